//! What an event costs in system calls of the host: what it must, and no more.

use std::collections::BTreeMap;

use crate::common::{PAI_HOST, STRACE, finish, status, stderr, under};

/// How often the tracer's thread makes which calls while a target does something so many
/// times.
fn calls(plugin: &str, what: &str, times: u32) -> BTreeMap<String, i64> {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let script = format!(
        "import os\nzero = os.open('/dev/zero', os.O_RDONLY)\nfor _ in range({times}): {what}"
    );
    let mut command = under(STRACE);
    command
        .args(["-c", "-U", "calls,name", "-o"])
        .arg(log.path());
    command.args([PAI_HOST, "run", "-o", "/dev/null", "-t", plugin, "--"]);
    command.args(["python3", "-c", &script]);
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

/// Of ptrace, waits, and reads of a target's memory, for one more of what it does.
fn cost(plugin: &str, what: &str) -> [i64; 3] {
    const FEW: u32 = 1000;
    const MANY: u32 = 3000;
    let (few, many) = (calls(plugin, what, FEW), calls(plugin, what, MANY));
    let of = |counts: &BTreeMap<String, i64>, name: &str| *counts.get(name).unwrap_or(&0);
    [
        &["ptrace"][..],
        &["wait4"],
        &["pread64", "process_vm_readv"],
    ]
    .map(|names| {
        let more = names.iter().map(|name| of(&many, name) - of(&few, name));
        let more: i64 = more.sum();
        let each = i64::from(MANY - FEW);
        let cost = (more + each / 2).div_euclid(each);
        // Now and then the clock comes in between.
        let off = more - cost * each;
        assert!(off.abs() <= each / 50, "{plugin}: {names:?} {more}");
        cost
    })
}

#[test]
fn an_event_costs_what_it_must() {
    const GETPPID: &str = "os.getppid()";
    const READ: &str = "os.read(zero, 8)";
    // Each stop: what it is, and on; and to be waited for.
    assert_eq!(cost("strace", GETPPID), [4, 2, 0]);
    assert_eq!(cost("strace -e trace=getppid", GETPPID), [4, 2, 0]);
    assert_eq!(cost("count", GETPPID), [4, 2, 0]);
    // With what was read.
    assert_eq!(cost("strace", READ), [4, 2, 1]);
    assert_eq!(cost("strace -e trace=read", READ), [4, 2, 1]);
    // Nobody wants to know.
    assert_eq!(cost("minimal", GETPPID), [0, 0, 0]);
    assert_eq!(cost("strace -e trace=read", GETPPID), [0, 0, 0]);
}
