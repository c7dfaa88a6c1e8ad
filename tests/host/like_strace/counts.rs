//! The tables of `-c`: how often each call is made, and how often it fails.

use std::collections::BTreeMap;

use super::{Case, OURS, STRACE, cases, log};

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
    let counted = |case: &Case, tracer: &[&str]| {
        let tracer = [tracer, &["-f", "-c"]].concat();
        counts(&log(case, &folder, 0, &tracer))
    };
    for case in cases::SAME_CALLS {
        let (mut theirs, mut ours) = (counted(case, STRACE), counted(case, OURS));
        if case.name == "sh" {
            // Whether a process has ended already when a shell waits for it is chance.
            for name in ["wait4", "rt_sigreturn", "total"] {
                theirs.remove(name);
                ours.remove(name);
            }
        }
        assert_eq!(ours, theirs, "{}", case.name);
    }
}
