//! What an event costs in system calls of the host: what it must, and no more.

use std::collections::BTreeMap;

use pai_tests::{fixtures, guests};

use crate::common::{PAI_HOST, STRACE, finish, status, stderr, under};

/// What a target does, so many times.
#[derive(Clone, Copy)]
enum What {
    Getppid,
    Read,
    Signal,
    /// The function whose address is told first, and six more.
    Function,
}

/// How often the tracer's thread makes which calls meanwhile.
fn calls(plugin: &str, what: What, times: u32) -> BTreeMap<String, i64> {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = under(STRACE);
    command
        .args(["-c", "-U", "calls,name", "-o"])
        .arg(log.path());
    command.args([PAI_HOST, "run", "-o", "/dev/null", "-t", plugin, "--"]);
    let (fixture, numbers) = match what {
        What::Getppid => (fixtures::REPEAT_CALLS, vec![times]),
        What::Read => (fixtures::REPEAT_CALLS, vec![0, times]),
        What::Signal => (fixtures::REPEAT_CALLS, vec![0, 0, times]),
        What::Function => (fixtures::BP_PROLOGUES, vec![times]),
    };
    let numbers = numbers.iter().map(u32::to_string);
    command.arg(fixture).args(numbers);
    let output = finish(&mut command);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let table = std::fs::read_to_string(log.path()).expect("a table");
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let calls = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), calls))
    };
    table.lines().filter_map(row).collect()
}

/// Of ptrace, waits, and reads of a target's memory, for one more of what it does; of all
/// other calls there are none for each.
fn cost(plugin: &str, what: What) -> [i64; 3] {
    const FEW: u32 = 1000;
    const MANY: u32 = 3000;
    let (few, many) = (calls(plugin, what, FEW), calls(plugin, what, MANY));
    let of = |counts: &BTreeMap<String, i64>, name: &str| *counts.get(name).unwrap_or(&0);
    let each = i64::from(MANY - FEW);
    let kinds = [
        &["ptrace"][..],
        &["wait4"],
        &["pread64", "process_vm_readv"],
    ];
    let is_other = |name: &&String| !kinds.concat().contains(&name.as_str()) && *name != "total";
    let others = many.keys().filter(is_other);
    let others = others.map(|name| (name, of(&many, name) - of(&few, name)));
    let most = others.max_by_key(|(_, more)| *more);
    assert!(
        most.is_none_or(|(_, more)| more < each / 10),
        "{plugin}: {most:?}"
    );
    // How many of the child's calls before its execve stop is chance; and waits end early
    // when the clock comes in between, the more so the longer it takes.
    let mut parts = [10, 3, 10].into_iter();
    kinds.map(|names| {
        let part = parts.next().unwrap_or(1);
        let more = names.iter().map(|name| of(&many, name) - of(&few, name));
        let more: i64 = more.sum();
        let cost = (more + each / 2).div_euclid(each);
        let off = more - cost * each;
        assert!(off.abs() <= each / part, "{plugin}: {names:?} {more}");
        cost
    })
}

/// At the entry, each once, if anybody asks.
#[test]
fn descriptors_are_looked_up_if_that_is_wanted() {
    let lookups = |plugin, what| {
        let of = |times| *calls(plugin, what, times).get("readlink").unwrap_or(&0);
        of(3000) - of(1000)
    };
    assert_eq!(lookups("strace -e trace=read", What::Read), 0);
    assert_eq!(lookups("strace -y -e trace=read", What::Read), 2000);
    assert_eq!(lookups("strace -y -e trace=getppid", What::Getppid), 0);
}

#[test]
fn an_event_costs_what_it_must() {
    // Each stop: what it is, and on; and to be waited for.
    assert_eq!(cost("strace", What::Getppid), [4, 2, 0]);
    assert_eq!(cost("strace -e trace=getppid", What::Getppid), [4, 2, 0]);
    assert_eq!(cost("count", What::Getppid), [4, 2, 0]);
    // With what was read.
    assert_eq!(cost("strace", What::Read), [4, 2, 1]);
    assert_eq!(cost("strace -e trace=read", What::Read), [4, 2, 1]);
    // The result of the call that it may have cut short; for one who wants to know more
    // all registers, and siginfo.
    assert_eq!(cost("minimal", What::Signal), [2, 1, 0]);
    assert_eq!(cost("strace -e trace=none", What::Signal), [3, 1, 0]);
    // One end of a call only; registers once, however often they are asked for.
    assert_eq!(cost(guests::ENTRIES, What::Getppid), [2, 1, 0]);
    let asking = format!("{} --registers", guests::ENTRIES);
    assert_eq!(cost(&format!("{asking}=1"), What::Getppid), [3, 1, 0]);
    assert_eq!(cost(&format!("{asking}=16"), What::Getppid), [3, 1, 0]);
    // What trapped, where, past the breakpoint, and on; whoever looks at it.
    assert_eq!(cost(guests::BREAKPOINTS, What::Function), [4, 1, 0]);
    let never = format!("{} --equals=-1", guests::BREAKPOINTS);
    assert_eq!(cost(&never, What::Function), [4, 1, 0]);
    // Nobody wants to know.
    assert_eq!(cost("minimal", What::Getppid), [0, 0, 0]);
    assert_eq!(cost("strace -e trace=read", What::Getppid), [0, 0, 0]);
}
