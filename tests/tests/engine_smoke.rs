//! First of all: a program runs under the engine as it does without.

use std::cell::RefCell;

use pai_engine::{Event, ExitStatus};
use pai_tests::trace::{Trace, all_syscalls, assert_paired, everything, name};

#[test]
fn true_begins_with_execve_and_ends_with_exit_group() {
    let events = RefCell::new(Vec::new());
    let traced = Trace::of("/bin/true")
        .log(vec![all_syscalls()], &events)
        .run();
    traced.expect(0, "");
    let events = events.into_inner();
    assert_paired(&events);
    let names: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::SyscallEnter(stop) => Some(name(stop)),
            _ => None,
        })
        .collect();
    assert_eq!(names.first(), Some(&"execve"));
    assert_eq!(names.last(), Some(&"exit_group"));
    assert!(matches!(events.last(), Some(Event::Ended(_))));
}

#[test]
fn everything_at_once() {
    let events = RefCell::new(Vec::new());
    let traced = Trace::of("/bin/sh")
        .arg("-c")
        .arg("ls / | wc -l; exit 3")
        .log(everything(), &events)
        .run();
    assert_eq!(traced.status, Some(ExitStatus::Exited(3)), "{traced:?}");
    assert_paired(&events.borrow());
}
