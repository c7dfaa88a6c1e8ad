//! Plugins with breakpoints, hooks and calls, on real programs.

use std::process::Output;

use pai_tests::{fixtures, guests};

use crate::common::{finish, pai_host, status, stderr, stdout};

/// Runs a command under plugins; panics unless it ends with this status.
#[track_caller]
fn run(plugin: &str, command: &[&str], code: i32) -> Output {
    let mut args = vec!["run", "-t", plugin, "--"];
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), code, "{}", stderr(&output));
    output
}

#[test]
fn state_counts() {
    let output = run(guests::STATE, &[fixtures::SYM_STATIC], 0);
    let said = stderr(&output);
    let count = said.strip_suffix(" syscalls\n").expect("one line");
    let counted = run("count", &[fixtures::SYM_STATIC], 0);
    let counted = stderr(&counted);
    let total = counted.lines().last().expect("a table");
    assert_eq!(total.split_whitespace().next(), Some(count), "{counted}");
}

#[test]
fn functions_of_the_target_are_called() {
    for plugin in [guests::BREAKPOINT, guests::BREAKPOINT_NOEVENT] {
        for command in [&["echo", "hello"][..], &["python3", "-c", "print('hello')"]] {
            let output = run(plugin, command, 0);
            assert_eq!(stdout(&output), "hello\n");
            let said = stderr(&output);
            let pid = said.strip_prefix("getpid() is ").expect("its line");
            assert!(pid.trim_end().parse::<u32>().is_ok(), "{said}");
        }
    }
}
