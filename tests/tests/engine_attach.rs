//! Attaching, detaching and starting: cases 1 to 12 of docs/TESTING.md.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use pai_engine::{
    Action, BreakpointOptions, Engine, Error, Event, ExitStatus, Fatal, Follow, Topic,
};
use pai_ptrace::{Pid, Tid, own_tid};
use pai_syscalls::abi::{I386, X86_64};
use pai_tests::fixtures;
use pai_tests::target::{Target, state, tracer};
use pai_tests::trace::{Reply, Trace, all_syscalls, assert_paired, everything, name};

/// Attaches, sees this many events, detaches.
fn visit(pid: Pid, topics: Vec<Topic>, events: usize) -> Vec<Event> {
    let seen = RefCell::new(Vec::new());
    let traced = Trace::attached(&[pid])
        .actor(topics, |_, _, delivery| {
            seen.borrow_mut().push(delivery.event.clone());
            if seen.borrow().len() < events {
                Reply::Answer(Action::Proceed)
            } else {
                Reply::Leave
            }
        })
        .run();
    traced.end.expect("nothing fatal");
    seen.into_inner()
}

/// Attaches and detaches, without ever letting the target run in between.
fn touch(pid: Pid) {
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    engine.attach(&[pid]).expect("it is there");
    engine.shut_down();
}

/// Attaches, lets it run, and detaches at once.
fn pass_by(pid: Pid, topics: Vec<Topic>) {
    let traced = Trace::attached(&[pid]).leaver(topics).run();
    traced.end.expect("nothing fatal");
}

#[test]
fn c01_attach_sends_no_signal() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    for _ in 0..50 {
        let topics = vec![all_syscalls(), Topic::Signals(vec![]), Topic::JobControl];
        for event in visit(target.pid(), topics, 20) {
            let call = matches!(event, Event::SyscallEnter(_) | Event::SyscallExit(_));
            assert!(call, "{event:?}");
        }
    }
    target.assert_untraced();
    target.expect_ok();
}

#[test]
fn c01_no_stop_signal_is_lost_to_attaches() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let pid = target.pid();
    for round in 0..50 {
        // The stop is on its way while threads are seized and let go.
        target.signal(nix::sys::signal::Signal::SIGSTOP);
        match round % 3 {
            0 => touch(pid),
            1 => pass_by(pid, vec![all_syscalls()]),
            _ => pass_by(pid, vec![]),
        }
        target.stopped();
        target.await_state('T');
        target.resume();
    }
    target.expect_ok();
}

#[test]
fn c02_spawn_begins_with_execve_a_thousand_times() {
    let first = RefCell::new(Vec::new());
    for _ in 0..1000 {
        let events = RefCell::new(Vec::new());
        let traced = Trace::of("/bin/true")
            .client(vec![all_syscalls(), Topic::Execs], |_, _, delivery| {
                events.borrow_mut().push(match &delivery.event {
                    Event::SyscallEnter(stop) => format!("enter {}", name(stop)),
                    Event::SyscallExit(stop) => format!("exit {}", name(stop)),
                    other => other.name().to_owned(),
                });
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "");
        let events = events.into_inner();
        if first.borrow().is_empty() {
            assert_eq!(events[..3], ["enter execve", "execed", "exit execve"]);
            let end = ["enter exit_group", "process-exited", "ended"];
            assert_eq!(events[events.len() - 3..], end);
            *first.borrow_mut() = events;
        } else {
            assert_eq!(events, *first.borrow());
        }
    }
}

#[test]
fn c02_a_program_that_cannot_be_executed_says_why() {
    for (path, errno) in [("/nonexistent/program", 2), ("/etc/passwd", 13)] {
        let traced = Trace::of(path)
            .client(everything(), |_, _, _| Some(Action::Proceed))
            .run();
        assert!(
            matches!(&traced.end, Err(Fatal::Exec { errno: e, path: p }) if *e == errno && p == path),
            "{traced:?}"
        );
    }
}

#[test]
fn c02_the_target_starts_clean() {
    // As clean as without us: this process may have inherited descriptors.
    Trace::of(fixtures::NO_CLOEXEC_LEAK)
        .client(everything(), |_, _, _| Some(Action::Proceed))
        .run_like_untraced();
}

#[test]
fn c03_attach_leaves_no_thread_out() {
    let target = Target::start(fixtures::THREAD_CHURN, &[]);
    let pid = target.pid();
    for _ in 0..100 {
        let mut engine = Engine::new(Follow::Yes).expect("a timer");
        engine.attach(&[pid]).expect("it is there");
        let tasks = target.tasks();
        assert!(!tasks.is_empty());
        for tid in tasks {
            let seen = (state(tid), tracer(tid));
            // One that was about to end when it was to be seized.
            if !matches!(seen.0, None | Some('X' | 'Z')) {
                assert_eq!(seen, (Some('t'), Some(own_tid().get())), "of task {tid}");
            }
        }
        engine.shut_down();
        target.assert_untraced();
    }
    target.expect_ok();
}

#[test]
fn c03_threads_that_come_during_the_session_are_traced() {
    let target = Target::start(fixtures::THREAD_CHURN, &[]);
    for round in 0..30 {
        let started = RefCell::new(BTreeSet::new());
        let called = RefCell::new(BTreeSet::new());
        let traced = Trace::attached(&[target.pid()])
            .actor(vec![all_syscalls(), Topic::Tasks], |_, _, delivery| {
                match &delivery.event {
                    Event::TaskStarted { tid, .. } => {
                        started.borrow_mut().insert(*tid);
                    }
                    Event::SyscallEnter(stop) if name(stop) == "getppid" => {
                        called.borrow_mut().insert(stop.tid);
                    }
                    _ => {}
                }
                if started.borrow().intersection(&called.borrow()).count() < 10 {
                    Reply::Answer(Action::Proceed)
                } else {
                    Reply::Leave
                }
            })
            .run();
        traced
            .end
            .unwrap_or_else(|error| panic!("round {round}: {error}"));
        target.assert_untraced();
    }
    target.expect_ok();
}

#[test]
fn c04_a_stopped_process_stays_stopped() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let pid = target.pid();
    for round in 0..40 {
        target.stop();
        for _ in 0..=round % 3 {
            match round % 4 {
                0 => touch(pid),
                1 => pass_by(pid, vec![]),
                2 => pass_by(pid, everything()),
                _ => drop(visit(pid, vec![Topic::JobControl], 1)),
            }
        }
        target.await_state('T');
        target.assert_untraced();
        target.resume();
    }
    target.expect_ok();
}

#[test]
fn c04_a_stopped_process_is_reported_and_woken_under_trace() {
    let target = Target::start(fixtures::ATTACH_TARGET, &["2"]);
    let pid = target.pid();
    for _ in 0..10 {
        target.stop();
        let tasks = target.tasks();
        let log = RefCell::new(BTreeMap::<Tid, Vec<bool>>::new());
        let traced = Trace::attached(&[pid])
            .actor(vec![Topic::JobControl], |_, _, delivery| {
                let mut log = log.borrow_mut();
                if let Event::JobControl { tid, stopped, .. } = delivery.event {
                    log.entry(tid).or_default().push(stopped);
                }
                let all = |n| log.len() == tasks.len() && log.values().all(|seen| seen.len() == n);
                if all(1) {
                    target.signal(nix::sys::signal::Signal::SIGCONT);
                }
                if all(2) {
                    Reply::Leave
                } else {
                    Reply::Answer(Action::Proceed)
                }
            })
            .run();
        traced.end.expect("nothing fatal");
        let both: BTreeMap<Tid, Vec<bool>> =
            tasks.iter().map(|tid| (*tid, vec![true, false])).collect();
        assert_eq!(*log.borrow(), both);
        target.continued();
    }
    target.expect_ok();
}

#[test]
fn c05_blocked_calls_never_see_eintr() {
    let target = Target::start(fixtures::EINTR_BLOCKERS, &[]);
    for _ in 0..250 {
        touch(target.pid());
        pass_by(target.pid(), vec![]);
    }
    target.assert_untraced();
    target.expect_ok();
}

#[test]
fn c05_blocked_calls_never_see_eintr_when_calls_are_watched() {
    let target = Target::start(fixtures::EINTR_BLOCKERS, &[]);
    for round in 0..250 {
        pass_by(target.pid(), vec![all_syscalls()]);
        visit(target.pid(), vec![all_syscalls()], 1 + round % 30);
    }
    target.assert_untraced();
    target.expect_ok();
}

#[test]
fn c05_an_interrupted_call_keeps_its_name() {
    let target = Target::start(fixtures::EINTR_BLOCKERS, &[]);
    let tasks = target.tasks().len();
    for round in 0..5 {
        // The first event of each task is the entry into the call that it was
        // in, once more.
        let mut first = BTreeMap::new();
        let traced = Trace::attached(&[target.pid()])
            .actor(vec![all_syscalls()], |_, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    first.entry(stop.tid).or_insert(*stop);
                }
                if first.len() < tasks {
                    Reply::Answer(Action::Proceed)
                } else {
                    Reply::Leave
                }
            })
            .run();
        traced.end.expect("nothing fatal");
        let mut continued = BTreeSet::new();
        for stop in first.values() {
            if name(stop) == "restart_syscall" {
                continued.extend(
                    stop.continues
                        .map(|nr| pai_syscalls::name(stop.call.abi, nr)),
                );
            } else {
                assert_eq!(stop.continues, None, "{stop:?}");
            }
        }
        // What an earlier tracer has interrupted has lost its name for good,
        // but for the one that begins anew all the time.
        if round == 0 {
            let all = ["futex", "nanosleep", "poll"].map(Some);
            assert_eq!(continued.into_iter().collect::<Vec<_>>(), all);
        } else {
            assert!(
                continued.iter().all(|call| *call == Some("nanosleep")),
                "{continued:?}"
            );
        }
    }
    target.expect_ok();
}

#[test]
fn c18_every_exit_has_an_entry_or_says_so() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    for round in 0..1000 {
        let mut events = visit(target.pid(), vec![all_syscalls()], 10 + round % 17);
        let mut begun = BTreeSet::new();
        events.retain(|event| match event {
            Event::SyscallEnter(stop) => {
                begun.insert(stop.tid);
                true
            }
            // Caught in the middle of it, each task once at most.
            Event::SyscallExit(stop) => stop.entry_seen || !begun.insert(stop.tid),
            _ => true,
        });
        assert_paired(&events);
    }
    target.expect_ok();
}

#[test]
fn c06_a_process_that_is_not_there() {
    let traced = Trace::attached(&[Pid::new(i32::MAX)]).leaver(vec![]).run();
    assert!(
        matches!(traced.end, Err(Fatal::NoProcess { .. })),
        "{traced:?}"
    );
}

#[test]
fn c06_a_kernel_thread_is_refused() {
    let kthreadd = Pid::new(2);
    let traced = Trace::attached(&[kthreadd]).leaver(vec![]).run();
    let Err(Fatal::Attach { pid, source, .. }) = traced.end else {
        panic!("{traced:?}");
    };
    assert_eq!((pid, source.errno()), (kthreadd, 1));
}

#[test]
fn c06_a_process_with_another_tracer_is_refused() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let pid = target.pid();
    let mut first = Engine::new(Follow::Yes).expect("a timer");
    first.attach(&[pid]).expect("it is there");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let traced = Trace::attached(&[pid]).leaver(vec![]).run();
            let Err(Fatal::Attach { source, .. }) = traced.end else {
                panic!("{traced:?}");
            };
            assert_eq!(source.errno(), 1);
        });
    });
    // The refusal has changed nothing.
    for tid in target.tasks() {
        assert_eq!(tracer(tid), Some(own_tid().get()));
    }
    first.shut_down();
    target.assert_untraced();
    target.expect_ok();
}

#[test]
fn c06_all_or_none_of_several_processes() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let missing = Pid::new(i32::MAX);
    for _ in 0..20 {
        let traced = Trace::attached(&[target.pid(), missing])
            .leaver(vec![])
            .run();
        assert!(matches!(traced.end, Err(Fatal::NoProcess { pid }) if pid == missing));
        target.assert_untraced();
    }
    target.expect_ok();
}

#[test]
fn c08_attach_to_oneself_is_refused() {
    let own = Pid::new(std::process::id().cast_signed());
    let traced = Trace::attached(&[own]).leaver(vec![]).run();
    assert!(
        matches!(traced.end, Err(Fatal::Attach { .. })),
        "{traced:?}"
    );
    assert_eq!(tracer(own_tid()), Some(0));
}

#[test]
fn c11_no_thread_starves() {
    const ENOUGH: usize = 200;
    let target = Target::start(fixtures::ATTACH_TARGET, &["8"]);
    let counts = RefCell::new(BTreeMap::<Tid, usize>::new());
    let mut total = 0;
    let traced = Trace::attached(&[target.pid()])
        .actor(vec![all_syscalls()], |_, _, delivery| {
            let mut counts = counts.borrow_mut();
            if let Some(tid) = delivery.event.tid() {
                *counts.entry(tid).or_default() += 1;
            }
            total += 1;
            let served = counts.values().filter(|n| **n >= ENOUGH).count();
            // Eight workers; the leader sleeps.
            if served == 8 || total == 1_000_000 {
                Reply::Leave
            } else {
                Reply::Answer(Action::Proceed)
            }
        })
        .run();
    traced.end.expect("nothing fatal");
    assert!(total < 1_000_000, "{counts:?}");
    target.expect_ok();
}

#[test]
fn c11_a_spinning_thread_starves_nobody() {
    let events = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::SPINNER)
        .log(everything(), &events)
        .run_like_untraced();
    traced.expect(0, "1000 calls\n");
    assert_paired(&events.borrow());
    assert_eq!(pai_tests::trace::entered(&events.borrow())["getppid"], 1000);
}

#[test]
fn c10_an_exited_target_is_reported_with_its_code() {
    for code in [0_u8, 1, 77, 255] {
        let traced = Trace::of(fixtures::EXIT_CODE)
            .arg(code)
            .leaver(vec![])
            .run_like_untraced();
        assert_eq!(traced.status, Some(ExitStatus::Exited(code)));
    }
}

#[test]
fn c03_a_thread_of_the_kernel_is_no_obstacle() {
    let target = Target::start(fixtures::ATTACH_IO_URING, &[]);
    assert_eq!(target.tasks().len(), 2);
    for _ in 0..20 {
        touch(target.pid());
        visit(target.pid(), everything(), 1);
    }
    target.assert_untraced();
    target.expect_ok();
}

/// There are no breakpoints for a program of 32 bits, whose code would be taken for another.
#[test]
fn what_a_program_is_is_known_when_it_runs_already() {
    let targets =
        [fixtures::ATTACH_SLEEPER, fixtures::WAIT_32].map(|path| Target::start(path, &[]));
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    let client = engine.add_client("client").expect("room");
    let pids = targets.each_ref().map(Target::pid);
    engine.attach(&pids).expect("they are there");
    let abis: Vec<u32> = engine.targets().iter().map(|target| target.abi).collect();
    assert_eq!(abis, [X86_64, I386]);
    let at_entry = pids.map(|pid| {
        let entry = engine.entry(pid).expect("a program");
        engine.insert_breakpoint(client, pid, entry, BreakpointOptions::default())
    });
    assert!(
        matches!(at_entry, [Ok(_), Err(Error::Unsupported(_))]),
        "{at_entry:?}"
    );
    engine.shut_down();
    for target in targets {
        target.assert_untraced();
        target.expect_ok();
    }
}
