//! Changed system calls: cases 19 and 24 of docs/TESTING.md.

use std::cell::RefCell;
use std::time::Duration;

use nix::libc;
use pai_engine::{
    Action, BreakpointOptions, Engine, Error, Event, MAX_DELAY, SyscallStop, Topic, Touched,
};
use pai_ptrace::Signal;
use pai_syscalls::abi::{I386, X86_64};
use pai_tests::probe::{tells, told};
use pai_tests::trace::{
    Trace, all_syscalls, assert_paired, calls, everything, exits_of, input, name,
};
use pai_tests::{fixtures, flow};

/// SIGURG, which is ignored unless somebody wants it.
const URGENT: i32 = 23;

fn number(name: &str) -> u32 {
    pai_syscalls::number(X86_64, name).expect("a name")
}

const UNDISTURBED: &str = "skip_targets wrote this\n\
    getppid: parent, parent, parent\n\
    write: 24\n\
    open: errno 2\n\
    read: 13 from the pipe\n";

#[test]
fn c19_number_arguments_and_result_change_exactly_as_answered() {
    let mut parents = 0;
    let mut events = Vec::new();
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(vec![all_syscalls()], |_, _, delivery| {
            events.push(delivery.event.clone());
            Some(match &delivery.event {
                Event::SyscallEnter(stop) => match name(stop) {
                    "getppid" => {
                        parents += 1;
                        match parents {
                            1 => Action::Rewrite {
                                nr: number("getpid"),
                                args: stop.args,
                            },
                            2 => Action::Skip(4711),
                            _ => Action::Proceed,
                        }
                    }
                    "write" => Action::Rewrite {
                        nr: stop.call.nr,
                        args: [stop.args[0], stop.args[1], 12, 0, 0, 0],
                    },
                    "open" => Action::Skip(-13),
                    _ => Action::Proceed,
                },
                Event::SyscallExit(stop) if name(stop) == "read" && stop.ret == Some(13) => {
                    Action::SetReturn(5)
                }
                _ => Action::Proceed,
            })
        })
        .run();
    let pid = i64::from(traced.pid.get());
    let expected = format!(
        "skip_targetsgetppid: {pid}, 4711, parent\nwrite: 12\nopen: errno 13\nread: 5 from the pipe\n"
    );
    traced.expect(0, &expected);
    // An exit tells of the call as it was executed.
    let tampered: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::SyscallExit(stop) if stop.touched.contains(Touched::TAMPERED) => {
                Some((name(stop), stop.ret))
            }
            _ => None,
        })
        .collect();
    let expected = [
        ("getpid", Some(pid)),
        ("getppid", Some(4711)),
        ("write", Some(12)),
        ("open", Some(-13)),
    ];
    assert_eq!(tampered, expected);
}

#[test]
fn c19_another_call_stands_in() {
    let mut seen = Vec::new();
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(vec![all_syscalls()], |engine, id, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) if name(stop) == "getppid" => {
                    let stop = delivery.stop.expect("a stop");
                    let fork = Action::StandIn {
                        nr: number("fork"),
                        ret: 1,
                    };
                    let refused = engine.answer(id, stop, fork).expect("no end");
                    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
                    return Some(Action::StandIn {
                        nr: number("getuid"),
                        ret: 4711,
                    });
                }
                Event::SyscallExit(stop) if name(stop) == "getppid" => {
                    let number = engine.registers(id, stop.tid).expect("held").syscall_nr();
                    seen.push((stop.ret, stop.touched, number));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, &UNDISTURBED.replace("parent", "4711"));
    assert_eq!(seen, [(Some(4711), Touched::TAMPERED, -1); 3]);
}

/// What is done to a clone(2) so that its child does not escape is not done to a call
/// that stands in for one.
#[test]
fn c19_a_call_that_stands_in_for_one_that_makes_a_child_makes_none() {
    let returned = RefCell::new(Vec::new());
    Trace::of(fixtures::BP_UNTRACED)
        .client(
            vec![tells(), calls(&["clone"], true, true)],
            |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("code");
                }
                match &delivery.event {
                    Event::SyscallEnter(stop) if name(stop) == "clone" => {
                        return Some(Action::StandIn {
                            nr: number("getuid"),
                            ret: -1,
                        });
                    }
                    Event::SyscallExit(stop) => returned.borrow_mut().push(stop.ret),
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run();
    assert_eq!(returned.into_inner(), [Some(-1)]);
}

#[test]
fn c19_a_task_is_held_up_and_signalled_and_others_know_what_was_done() {
    let seen = RefCell::new(Vec::new());
    let first = |engine: &mut Engine, id, event: &Event| {
        let (Event::SyscallEnter(stop) | Event::SyscallExit(stop)) = event else {
            return;
        };
        match (name(stop), stop.ret) {
            ("getppid", None) => {
                engine
                    .delay(id, stop.tid, Duration::from_millis(1))
                    .expect("held");
                let urgent = Signal::new(URGENT).expect("a signal");
                engine.raise(id, stop.tid, urgent).expect("held");
                let long = engine.delay(id, stop.tid, MAX_DELAY);
                assert_eq!(long, Err(Error::Limit("delay")));
            }
            ("write", None) => {
                let mut byte = engine.read(stop.pid, stop.args[1], 1).expect("a text");
                byte.make_ascii_uppercase();
                engine
                    .write_for(id, stop.pid, stop.args[1], &byte)
                    .expect("a text");
            }
            // No argument points there.
            ("close", None) => engine
                .write_for(id, stop.pid, stop.ip, &[0x48])
                .expect("code"),
            _ => {}
        }
    };
    let signals = RefCell::new(Vec::new());
    let wanted = vec![all_syscalls(), Topic::Signals(Vec::new())];
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(wanted.clone(), |engine, id, delivery| {
            first(engine, id, &delivery.event);
            Some(Action::Proceed)
        })
        .client(wanted, |engine, id, delivery| {
            match &delivery.event {
                Event::SyscallExit(stop) if ["getppid", "write"].contains(&name(stop)) => {
                    seen.borrow_mut().push((name(stop), stop.touched));
                }
                Event::Signal(stop) => {
                    let early = engine.delay(id, stop.tid, Duration::ZERO);
                    assert!(matches!(early, Err(Error::Invalid(_))), "{early:?}");
                    signals
                        .borrow_mut()
                        .push((stop.signal.get(), stop.info.expect("siginfo").code()));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, &UNDISTURBED.replacen('s', "S", 1));
    let count = |name, touched| {
        let seen = seen.borrow();
        seen.iter().filter(|call| **call == (name, touched)).count()
    };
    assert_eq!(count("getppid", Touched::DELAYED), 3);
    assert_eq!(count("write", Touched::POKED), 1);
    assert_eq!(seen.borrow().len(), 4);
    // SI_KERNEL
    assert_eq!(*signals.borrow(), [(URGENT, 0x80); 3]);
}

#[test]
fn c19_registers_change_exactly_as_written() {
    let mut parents = 0;
    let mut change = |engine: &mut Engine, id, event: &Event| {
        let (Event::SyscallEnter(stop) | Event::SyscallExit(stop)) = event else {
            return;
        };
        let mut regs = engine.registers(id, stop.tid).expect("it is held");
        match (name(stop), stop.ret) {
            ("getppid", None) => {
                parents += 1;
                if parents == 1 {
                    regs.set_syscall_nr(i64::from(number("getpid")));
                }
            }
            ("getppid", Some(_)) if parents == 2 => regs.set_result(4711),
            ("write", None) => assert!(regs.set("rdx", 12)),
            ("open", None) => {
                regs.set_syscall_nr(-1);
                regs.set_result(-13);
            }
            ("read", Some(13)) => regs.set_result(5),
            _ => return,
        }
        engine
            .set_registers(id, stop.tid, regs)
            .expect("it is held");
    };
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(vec![all_syscalls()], |engine, id, delivery| {
            change(engine, id, &delivery.event);
            Some(Action::Proceed)
        })
        .run();
    let pid = traced.pid;
    let expected = format!(
        "skip_targetsgetppid: {pid}, 4711, parent\nwrite: 12\nopen: errno 13\nread: 5 from the pipe\n"
    );
    traced.expect(0, &expected);
}

#[test]
fn c19_looking_at_registers_changes_nothing() {
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(everything(), |engine, id, delivery| {
            if let Some(stop) = delivery.stop {
                let regs = engine.registers(id, stop.tid()).expect("it is held");
                engine
                    .set_registers(id, stop.tid(), regs)
                    .expect("it is held");
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, UNDISTURBED);
}

#[test]
fn c19_calls_by_int_0x80_change_as_exactly() {
    let traced = Trace::of(fixtures::INT80)
        .client(vec![all_syscalls()], |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) if stop.call.abi == I386 => match name(stop) {
                    "write" => Action::Skip(12),
                    "close" => Action::Skip(-9),
                    "exit_group" => Action::Rewrite {
                        nr: stop.call.nr,
                        args: [81, 0, 0, 0, 0, 0],
                    },
                    _ => Action::Proceed,
                },
                _ => Action::Proceed,
            })
        })
        .run();
    traced.expect(81, "by syscall\n");
}

#[test]
fn c19_the_next_client_sees_the_change() {
    let seen = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(vec![calls(&["write"], true, true)], |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) => Action::Rewrite {
                    nr: stop.call.nr,
                    args: [stop.args[0], stop.args[1], 12, 0, 0, 0],
                },
                Event::SyscallExit(_) => Action::SetReturn(24),
                _ => Action::Proceed,
            })
        })
        .log(vec![calls(&["write"], true, true)], &seen)
        .run();
    traced.expect(0, &UNDISTURBED.replacen(" wrote this\n", "", 1));
    let seen: Vec<_> = seen
        .into_inner()
        .iter()
        .filter_map(|event| match event {
            Event::SyscallEnter(stop) | Event::SyscallExit(stop) => Some((
                stop.args[2],
                stop.ret,
                stop.touched.contains(Touched::TAMPERED),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [(12, None, true), (12, Some(24), true)]);
}

#[test]
fn c24_skipping_is_exact_whatever_the_result() {
    let results = [0, 1, -1, -4, -38, -4095, 4711, i64::MAX, i64::MIN];
    for result in results {
        let seen = RefCell::new(Vec::new());
        let mut calls = 0;
        let traced = Trace::of(fixtures::SKIP_TARGETS)
            .client(vec![all_syscalls()], |_, _, delivery| {
                seen.borrow_mut().push(delivery.event.clone());
                match &delivery.event {
                    Event::SyscallEnter(stop) if name(stop) == "getppid" => {
                        calls += 1;
                        Some(Action::Skip(result))
                    }
                    _ => Some(Action::Proceed),
                }
            })
            .run();
        assert_eq!(calls, 3);
        // What libc makes of it.
        let shown = if (-4095..0).contains(&result) {
            -1
        } else {
            result
        };
        let line = format!("getppid: {shown}, {shown}, {shown}\n");
        traced.expect(
            0,
            &UNDISTURBED.replacen("getppid: parent, parent, parent\n", &line, 1),
        );
        let seen = seen.into_inner();
        assert_paired_but_tampered(&seen);
        let exits = exits_of(&seen, traced.pid.leader());
        let skipped = exits.iter().filter(|exit| exit.0 == "getppid");
        assert!(skipped.clone().all(|exit| exit.1 == result), "{exits:?}");
        assert_eq!(skipped.count(), 3);
    }
}

/// Every entry has its exit, in turn.
fn assert_paired_but_tampered(events: &[Event]) {
    assert_paired(events);
    let (enters, exits): (Vec<_>, Vec<_>) = events
        .iter()
        .filter(|event| matches!(event, Event::SyscallEnter(_) | Event::SyscallExit(_)))
        .partition(|event| matches!(event, Event::SyscallEnter(_)));
    // All but exit_group return.
    assert_eq!(enters.len(), exits.len() + 1);
}

#[test]
fn c24_number_minus_one_as_a_rewrite_executes_nothing() {
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .client(vec![calls(&["getppid"], true, false)], |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) => Action::Rewrite {
                    nr: u32::MAX,
                    args: stop.args,
                },
                _ => Action::Proceed,
            })
        })
        .run();
    let line = "getppid: -1, -1, -1\n";
    traced.expect(
        0,
        &UNDISTURBED.replacen("getppid: parent, parent, parent\n", line, 1),
    );
}

#[test]
fn c24_a_missing_call_can_be_given_a_result() {
    // Its own -1 is not taken for a skip of ours.
    let traced = Trace::of(fixtures::SYSCALL_MINUS_ONE)
        .client(vec![all_syscalls()], |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) if stop.call.nr == 5000 => Action::Skip(-38),
                Event::SyscallExit(stop) if stop.call.nr == u32::MAX => {
                    assert_eq!(
                        (stop.ret, stop.touched.contains(Touched::TAMPERED)),
                        (Some(-38), false)
                    );
                    Action::Proceed
                }
                _ => Action::Proceed,
            })
        })
        .run();
    traced.expect(0, "ENOSYS\n");
}

/// Rewrites the arguments of these calls, those behind the first ones that
/// they have.
fn with_more_args(stop: &SyscallStop) -> Action {
    let mut args = stop.args;
    match name(stop) {
        "getppid" => args = [1, 2, 3, 4, 5, 6],
        "clone" => args[5] = 7,
        _ => {}
    }
    Action::Rewrite {
        nr: stop.call.nr,
        args,
    }
}

#[test]
fn c19_a_rewritten_call_leaves_the_registers_alone() {
    let watched = &["getppid", "clone"];
    for topics in [vec![calls(watched, true, false)], everything()] {
        for follow in [true, false] {
            let mut rewritten = 0;
            let mut trace = Trace::of(fixtures::REGS_KEPT);
            if !follow {
                trace = trace.no_follow();
            }
            let traced = trace
                .client(topics.clone(), |_, _, delivery| {
                    Some(match &delivery.event {
                        Event::SyscallEnter(stop) if watched.contains(&name(stop)) => {
                            rewritten += 1;
                            with_more_args(stop)
                        }
                        _ => Action::Proceed,
                    })
                })
                .run_like_untraced();
            traced.expect(0, "kept\n");
            assert_eq!(rewritten, 3);
        }
    }
}

#[test]
fn c19_a_rewritten_call_that_restarts_is_the_target_s_own_again() {
    let (fd, end) = input();
    let mut end = Some(end);
    let mut own = None;
    let mut seen = Vec::new();
    let traced = Trace::of(fixtures::ATTACH_SLEEPER)
        .stdin(fd)
        .client(vec![all_syscalls()], |engine, _, delivery| {
            match &delivery.event {
                // Not the reads of the loader.
                Event::SyscallEnter(stop) if name(stop) == "read" && stop.args[0] == 0 => {
                    seen.push(flow::call(stop));
                    if own.is_none() {
                        own = Some(stop.args);
                        // Ignored, it ends the call all the same.
                        let winch = Signal::new(libc::SIGWINCH).expect("a signal");
                        engine.send_signal(stop.tid, winch).expect("it is there");
                        return Some(Action::Rewrite {
                            nr: number("pause"),
                            args: [9; 6],
                        });
                    }
                    assert_eq!(own, Some(stop.args));
                    end = None;
                }
                Event::SyscallExit(stop) if name(stop) == "pause" => {
                    assert!(stop.restarts);
                    seen.push(flow::call(stop));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "ready\nok\n");
    assert_eq!(seen, ["read", "pause", "read"]);
}

#[test]
fn c19_an_eintr_that_a_client_chose_is_kept() {
    // A SIGCONT to another thread interrupts this one too, right behind the
    // exit: that EINTR is none of ours to repair.
    for topics in [vec![all_syscalls()], everything()] {
        let mut entries = 0;
        let mut chosen = 0;
        let traced = Trace::of(fixtures::SPINNER)
            .client(topics, |engine, _, delivery| {
                match &delivery.event {
                    Event::SyscallEnter(stop) if name(stop) == "getppid" => entries += 1,
                    Event::SyscallExit(stop) if name(stop) == "getppid" => {
                        let leader = stop.pid.leader();
                        engine
                            .send_signal(leader, Signal::CONT)
                            .expect("it is there");
                        chosen += 1;
                        return Some(Action::SetReturn(-4));
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "1000 calls\n");
        assert_eq!((entries, chosen), (1000, 1000));
    }
}
