//! The tables of `-c`: how often each call is made, and how often it fails.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, cases, log};
use crate::common::{OURS, STRACE};

/// Calls and errors, by name.
type Counts = BTreeMap<String, (u64, u64)>;

/// Reads a table: `100.00    0.000009           3         3         1 total`.
fn counts(table: &str) -> Counts {
    let row = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let name = words.pop()?.to_owned();
        let numbers: Option<Vec<f64>> = words.iter().map(|word| word.parse().ok()).collect();
        let count = |at: usize| words.get(at).map_or(Ok(0), |word| word.parse());
        // Shares, seconds and microseconds a call are not compared.
        numbers.filter(|numbers| numbers.len() >= 4)?;
        Some((name, (count(3).ok()?, count(4).ok()?)))
    };
    let counts: Counts = table.lines().filter_map(row).collect();
    assert!(counts.len() > 1, "no table:\n{table}");
    counts
}

#[test]
fn counts_are_straces() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let folder = base.path().join("work");
    let counted = |case: &Case<'_>, tracer: &[&str]| {
        let tracer = [tracer, &["-f", "-c"]].concat();
        counts(&log(case, &folder, 0, &tracer))
    };
    for case in cases::SAME_CALLS {
        let turns = [STRACE, OURS, STRACE, OURS, STRACE];
        let [theirs, ours, second, again, third] = turns.map(|tracer| counted(case, tracer));
        let names: BTreeSet<&String> = [&theirs, &ours].iter().flat_map(|of| of.keys()).collect();
        let mut compared = 0;
        for name in names {
            let count = theirs.get(name);
            let is_chance = CHANCE.contains(&name.as_str());
            if is_chance || [&second, &third].iter().any(|of| of.get(name) != count) {
                continue;
            }
            compared += 1;
            // The program itself may do something once more: one run is enough.
            let found = [ours.get(name), again.get(name)];
            assert!(
                found.contains(&count),
                "{}: {name}: {count:?} {found:?}",
                case.name
            );
        }
        assert!(compared > 10, "{}: {compared} names", case.name);
    }
}

/// Whether a process has ended already when a shell waits for it, and whether a random name
/// of a file is taken; and all together.
const CHANCE: &[&str] = &["wait4", "rt_sigreturn", "getrandom", "total"];
