//! The end of a session, while targets are on their way somewhere.

use std::cell::Cell;

use pai_engine::{Action, Event, ExitStatus};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Reply, Trace, calls, name};

/// The program that is executed begins as it is: nothing of what the one before was made
/// to do is put back.
#[test]
fn an_exec_ends_what_a_client_had_begun() {
    let waits = Cell::new(0);
    let topics = vec![tells(), calls(&["execve"], true, false)];
    let traced = Trace::of(fixtures::CALL_VFORK_EXEC)
        .filtered(false)
        .actor(topics, |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                if told.code == 0x1234 {
                    waits.set(told.args[0]);
                } else {
                    engine
                        .start_call(client, told.tid, waits.get(), &[], None)
                        .expect("it is held");
                    return Reply::Hold;
                }
            }
            match &delivery.event {
                Event::SyscallEnter(stop)
                    if name(stop) == "execve" && stop.tid != stop.pid.leader() =>
                {
                    Reply::Abort
                }
                _ => Reply::Answer(Action::Proceed),
            }
        })
        .run();
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    assert_eq!(traced.stdout, "again, mask 0x200\n");
}
