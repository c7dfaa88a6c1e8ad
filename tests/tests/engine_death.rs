//! Deaths: cases 37 to 41 of docs/TESTING.md.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::process::Command;

use pai_engine::{Action, End, Event, ExitStatus, Topic};
use pai_ptrace::{Pid, Signal, Tid};
use pai_tests::fixtures;
use pai_tests::target::Target;
use pai_tests::trace::{Reply, Trace, all_syscalls, assert_paired, everything, exits_of, name};

const KILLED: ExitStatus = ExitStatus::Killed(Signal::KILL, false);

/// Kills the target at its n-th event for every n, and answers or holds that
/// event.
fn kill_at_every(fixture: &str, topics: &[Topic], most: usize, step: usize) {
    for (n, reply) in (0..most)
        .step_by(step)
        .flat_map(|n| [(n, Reply::Answer(Action::Proceed)), (n, Reply::Hold)])
    {
        let count = Cell::new(0);
        let killed = Cell::new(false);
        // How the target was about to end when it was killed.
        let ending = RefCell::new(Vec::new());
        let traced = Trace::of(fixture)
            .actor(topics.to_vec(), |engine, _, delivery| {
                let at = count.replace(count.get() + 1);
                if !killed.get() {
                    match &delivery.event {
                        Event::TaskExited { status, .. } => ending.borrow_mut().push(*status),
                        Event::SyscallEnter(stop) if name(stop) == "exit_group" && at < n => {
                            let code = ExitStatus::Exited((stop.args[0] & 0xff) as u8);
                            ending.borrow_mut().push(code);
                        }
                        _ => {}
                    }
                }
                if at != n || matches!(delivery.event, Event::Ended(_)) {
                    return Reply::Answer(Action::Proceed);
                }
                let root = engine.root().expect("spawned");
                // Fails when it has ended already.
                killed.set(engine.kill_process(root).is_ok());
                reply
            })
            .run();
        let status = traced.status.expect("a spawned target");
        if killed.get() {
            let late = ending.borrow().contains(&status);
            assert!(status == KILLED || late, "event {n}: {traced:?}");
        }
        assert_eq!(
            traced.end.as_ref().ok(),
            Some(&End::Exited(status)),
            "event {n}: {traced:?}"
        );
    }
}

#[test]
fn c37_killed_at_every_event_of_one_task() {
    kill_at_every(fixtures::HELLO, &everything(), 100, 1);
    kill_at_every(fixtures::RT_SIGNALS, &everything(), 600, 7);
}

#[test]
fn c37_killed_at_every_event_of_several_processes() {
    for fixture in [
        fixtures::FORK_EXIT,
        fixtures::VFORK_EXEC,
        fixtures::CLONE3_THREAD_PROCESS,
    ] {
        kill_at_every(fixture, &everything(), 130, 1);
        kill_at_every(fixture, &[Topic::Forks, Topic::Tasks, Topic::Execs], 20, 1);
    }
}

#[test]
fn c37_killed_at_every_event_of_several_threads() {
    for fixture in [
        fixtures::EXEC_FROM_THREAD,
        fixtures::EXIT_GROUP_RACE,
        fixtures::MAIN_THREAD_EXIT,
        fixtures::GROUP_STOP_THREADS,
    ] {
        kill_at_every(fixture, &everything(), 400, 9);
        kill_at_every(
            fixture,
            &[Topic::Tasks, Topic::AllStops, Topic::JobControl],
            30,
            1,
        );
    }
}

#[test]
fn c37_killed_by_its_handler_s_answer() {
    for n in 0..60 {
        let mut count = 0;
        let traced = Trace::of(fixtures::FORK_EXIT)
            .client(everything(), |_, _, delivery| {
                count += 1;
                Some(if count > n && delivery.stop.is_some() {
                    Action::Kill
                } else {
                    Action::Proceed
                })
            })
            .run();
        assert_eq!(
            traced.end.as_ref().ok(),
            traced.status.map(End::Exited).as_ref(),
            "{n}"
        );
        if n < 30 {
            assert_eq!(traced.status, Some(KILLED), "{n}");
        }
    }
}

#[test]
fn c37_killed_at_any_time_while_four_clients_read_it() {
    let read = |engine: &mut pai_engine::Engine, id, event: &Event| {
        // All of it may fail, as the task may be gone at any time.
        if let Some(tid) = event.tid() {
            drop(engine.registers(id, tid));
            if let Ok(task) = engine.task(tid) {
                drop(engine.maps(task.pid));
                if let Event::SyscallEnter(stop) = event {
                    drop(engine.read(task.pid, stop.ip, 16));
                    drop(engine.read_c_string(task.pid, stop.args[0], 64));
                    let many = stop.args.map(|arg| (arg, 8));
                    drop(engine.read_many(task.pid, &many));
                }
            }
        }
        drop(engine.targets());
        Some(Action::Proceed)
    };
    for _ in 0..3 {
        let mut trace = Trace::of(fixtures::KILL_STORM).arg(10);
        for _ in 0..4 {
            trace = trace.client(everything(), |engine, id, delivery| {
                read(engine, id, &delivery.event)
            });
        }
        trace.run().expect(0, "10 children killed\n");
    }
}

#[test]
fn c37_killed_by_somebody_else() {
    let mut seed = 0x5eed_u64;
    for round in 0..60 {
        let target = Target::start(fixtures::ATTACH_TARGET, &["3"]);
        let pid = target.pid();
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let wait = seed >> 54;
        let status = std::thread::scope(|scope| {
            let tracer = scope.spawn(move || {
                let topics = if round % 2 == 0 {
                    everything()
                } else {
                    vec![all_syscalls()]
                };
                Trace::attached(&[pid])
                    .client(topics, |_, _, _| Some(Action::Proceed))
                    .run()
            });
            // Not synchronised with anything: any moment will do.
            for _ in 0..wait {
                std::thread::yield_now();
            }
            target.signal(nix::sys::signal::Signal::SIGKILL);
            tracer.join().expect("no panic")
        });
        match status.end {
            Ok(End::Exited(end)) => assert_eq!(end, KILLED),
            // Before it was attached to.
            Err(pai_engine::Fatal::NoProcess { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn c38_a_leader_that_ends_first() {
    for topics in [vec![], vec![all_syscalls()], everything()] {
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::MAIN_THREAD_EXIT)
            .log(topics.clone(), &events)
            .run_like_untraced();
        traced.expect(5, "leader gone\n");
        let events = events.into_inner();
        assert_paired(&events);
        let leader = traced.pid.leader();
        let ends: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::TaskExited { tid, status, .. } => Some((*tid == leader, *status)),
                Event::ProcessExited { status, .. } => Some((true, *status)),
                _ => None,
            })
            .collect();
        let five = ExitStatus::Exited(5);
        if topics.contains(&Topic::Tasks) {
            assert_eq!(
                ends,
                [(true, ExitStatus::Exited(0)), (false, five), (true, five)]
            );
        } else {
            assert_eq!(ends, [(true, five)]);
        }
    }
}

#[test]
fn c38_memory_outlives_the_leader() {
    let reads = Cell::new(0);
    let traced = Trace::of(fixtures::MAIN_THREAD_EXIT)
        .client(vec![all_syscalls()], |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event
                && name(stop) == "getppid"
            {
                // `syscall` is 0f 05.
                let code = engine.read(stop.pid, stop.ip - 2, 2).expect("it is there");
                assert_eq!(code, [0x0f, 0x05]);
                let mappings = engine.maps(stop.pid).expect("they are there");
                assert!(
                    mappings
                        .iter()
                        .any(|mapping| mapping.start <= stop.ip && stop.ip < mapping.end)
                );
                let target = &engine.targets()[0];
                assert!(target.exe.ends_with(b"main_thread_exit"));
                reads.set(reads.get() + 1);
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(5, "leader gone\n");
    assert_eq!(reads.get(), 100);
}

#[test]
fn c38_attached_after_the_leader_has_ended() {
    let mut target = Target::start(fixtures::ATTACH_HEADLESS, &[]);
    for _ in 0..20 {
        let mut events = 0;
        let traced = Trace::attached(&[target.pid()])
            .actor(everything(), |_, _, _| {
                events += 1;
                if events < 10 {
                    Reply::Answer(Action::Proceed)
                } else {
                    Reply::Leave
                }
            })
            .run();
        traced.end.expect("nothing fatal");
    }
    target.assert_untraced();
    // To its end this time.
    let events = RefCell::new(Vec::new());
    let pid = target.pid();
    let traced = Trace::attached(&[pid])
        .client(vec![Topic::Tasks], |_, _, delivery| {
            events.borrow_mut().push(delivery.event.clone());
            Some(Action::Proceed)
        })
        .client(vec![all_syscalls()], |_, _, _| {
            target.end_input();
            Some(Action::Proceed)
        })
        .run();
    assert!(matches!(traced.end, Ok(End::Exited(_))), "{traced:?}");
    let gone = events
        .borrow()
        .iter()
        .filter(|event| matches!(event, Event::ProcessExited { .. }))
        .count();
    assert_eq!(gone, 1, "{events:?}");
}

#[test]
fn c40_exit_group_ends_every_thread_once() {
    for topics in [
        vec![],
        vec![Topic::Tasks],
        vec![all_syscalls()],
        everything(),
    ] {
        for _ in 0..15 {
            let events = RefCell::new(Vec::new());
            let traced = Trace::of(fixtures::EXIT_GROUP_RACE)
                .log(topics.clone(), &events)
                .run_like_untraced();
            traced.expect(7, "");
            ended_once(
                &events.into_inner(),
                traced.pid,
                ExitStatus::Exited(7),
                &topics,
            );
        }
    }
}

#[test]
fn c39_sigkill_ends_every_thread_once() {
    for topics in [
        vec![],
        vec![Topic::Tasks],
        vec![all_syscalls()],
        everything(),
    ] {
        for _ in 0..15 {
            let events = RefCell::new(Vec::new());
            let traced = Trace::of(fixtures::SIGKILL_SELF_THREADS)
                .log(topics.clone(), &events)
                .run_like_untraced();
            assert_eq!(traced.status, Some(KILLED));
            ended_once(&events.into_inner(), traced.pid, KILLED, &topics);
        }
    }
}

/// The leader is reaped last; everybody ends once, and has its calls in pairs.
#[track_caller]
fn ended_once(events: &[Event], pid: Pid, status: ExitStatus, topics: &[Topic]) {
    assert_paired(events);
    let mut ends = BTreeMap::<Tid, Vec<ExitStatus>>::new();
    for event in events {
        if let Event::TaskExited { tid, status, .. } = event {
            ends.entry(*tid).or_default().push(*status);
        }
    }
    if topics.contains(&Topic::Tasks) {
        assert_eq!(ends.len(), 5, "{ends:?}");
        assert!(ends.values().all(|end| *end == [status]), "{ends:?}");
    }
    let [
        ..,
        Event::ProcessExited {
            pid: last,
            status: code,
            ..
        },
        Event::Ended(End::Exited(end)),
    ] = events
    else {
        panic!("{:?}", &events[events.len() - 3..]);
    };
    assert_eq!((*last, *code, *end), (pid, status, status));
}

#[test]
fn c39_children_killed_in_full_run() {
    for topics in [vec![], vec![Topic::Tasks], everything()] {
        Trace::of(fixtures::KILL_STORM)
            .arg(20)
            .leaver(topics.clone())
            .run_like_untraced()
            .expect(0, "20 children killed\n");
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::KILL_STORM)
            .arg(20)
            .log(topics, &events)
            .run();
        traced.expect(0, "20 children killed\n");
        assert_paired(&events.borrow());
    }
}

#[test]
fn c41_the_real_parent_gets_every_status() {
    let mut script = String::new();
    for code in [0, 1, 2, 126, 127, 128, 255] {
        script += &format!("{} {code}; echo code {code}: $?; ", fixtures::EXIT_CODE);
    }
    for signal in [1, 2, 3, 6, 9, 11, 13, 14, 15, 10, 34, 64] {
        script += &format!(
            "({} {signal}); echo signal {signal}: $?; ",
            fixtures::EXIT_SIGNAL
        );
    }
    script += "exit 42";
    for topics in [vec![], everything()] {
        let traced = Trace::of("/bin/sh")
            .arg("-c")
            .arg(&script)
            .leaver(topics.clone())
            .run_like_untraced();
        assert_eq!(traced.status, Some(ExitStatus::Exited(42)));
        Trace::of("/bin/sh")
            .arg("-c")
            .arg(&script)
            .client(topics, |_, _, _| Some(Action::Proceed))
            .run_like_untraced();
    }
}

#[test]
fn c41_the_target_s_own_signal_is_its_status() {
    for number in [1, 2, 3, 6, 9, 11, 13, 14, 15, 10, 34, 64] {
        let traced = Trace::of(fixtures::EXIT_SIGNAL)
            .arg(number)
            .client(everything(), |_, _, _| Some(Action::Proceed))
            .run_like_untraced();
        let Some(ExitStatus::Killed(signal, _)) = traced.status else {
            panic!("{traced:?}");
        };
        assert_eq!(signal.get(), number);
    }
}

#[test]
fn c41_an_attached_child_is_reaped_by_its_real_parent() {
    let script = format!("{}; echo code $?; exit 3", fixtures::ATTACH_SLEEPER);
    for topics in [vec![all_syscalls()], everything()] {
        let mut shell = Target::launch(Command::new("/bin/sh").args(["-c", &script]));
        assert_eq!(shell.line(), "ready");
        let leader = shell.pid();
        let children = std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children"));
        let child = children
            .expect("it is there")
            .trim()
            .parse()
            .expect("one child");
        let traced = Trace::attached(&[Pid::new(child)])
            .client(topics, |_, _, _| {
                shell.end_input();
                Some(Action::Proceed)
            })
            .run();
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
        assert_eq!(
            shell.finish(),
            (ExitStatus::Exited(3), "ok\ncode 0\n".to_owned())
        );
    }
}

#[test]
fn c41_zombies_and_orphans_are_the_target_s_own_business() {
    for topics in [vec![], everything()] {
        for fixture in [fixtures::ZOMBIE_CHILDREN, fixtures::ORPHAN_GRANDCHILD] {
            let traced = Trace::of(fixture)
                .leaver(topics.clone())
                .run_like_untraced();
            assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
            let traced = Trace::of(fixture)
                .no_follow()
                .leaver(topics.clone())
                .run_like_untraced();
            assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
        }
    }
    let events = RefCell::new(Vec::new());
    Trace::of(fixtures::ORPHAN_GRANDCHILD)
        .log(everything(), &events)
        .run_like_untraced();
    let events = events.into_inner();
    assert_paired(&events);
    let children: Vec<Pid> = events
        .iter()
        .filter_map(|event| match event {
            Event::Forked { child, .. } => Some(*child),
            _ => None,
        })
        .collect();
    let grandchild = exits_of(&events, children[1].leader());
    assert!(
        grandchild.iter().any(|exit| exit.0 == "getppid"),
        "{grandchild:?}"
    );
}
