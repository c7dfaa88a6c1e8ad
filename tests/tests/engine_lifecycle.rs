//! Births and execs: cases 29 to 36 of docs/TESTING.md.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use pai_engine::{Event, Execed, ExitStatus, OtherStop, Topic};
use pai_ptrace::{NewTask, Pid, Tid};
use pai_tests::fixtures;
use pai_tests::trace::{
    Trace, Traced, all_syscalls, assert_paired, entered, everything, exits_of, name,
};

/// Runs a fixture with and without a trace of everything.
#[track_caller]
fn watch(trace: Trace<'_>, events: &RefCell<Vec<Event>>) -> (Traced, Vec<Event>) {
    // The borrow ends with the run.
    let traced = trace.run_like_untraced();
    let events = events.take();
    assert_paired(&events);
    assert_known(&events);
    (traced, events)
}

macro_rules! watched {
    ($($trace:tt)*) => {{
        let events = RefCell::new(Vec::new());
        let (traced, seen) = watch($($trace)*.log(everything(), &events), &events);
        (traced, seen)
    }};
}

/// Every task that does something has been introduced before, and does nothing
/// once it has ended; every process ends once, after its tasks.
#[track_caller]
fn assert_known(events: &[Event]) {
    let root = events.first().and_then(Event::tid).expect("events");
    let mut alive = BTreeSet::from([root]);
    let mut processes = BTreeMap::from([(root.as_pid(), 1_usize)]);
    for event in events {
        match event {
            Event::Forked { child, tid, .. } => {
                assert!(alive.contains(tid), "{event:?}");
                assert_eq!(processes.insert(*child, 0), None, "{event:?}");
            }
            Event::TaskStarted {
                pid, tid, creator, ..
            } => {
                assert!(alive.insert(*tid), "{event:?} twice");
                *processes.get_mut(pid).expect("a known process") += 1;
                assert!(creator.is_some(), "{event:?}");
            }
            Event::TaskExited { pid, tid, .. } => {
                assert!(alive.remove(tid), "{event:?} of nobody");
                *processes.get_mut(pid).expect("a known process") -= 1;
            }
            Event::Execed(exec) => {
                // Its id becomes the leader's, which had ended perhaps.
                let leader = exec.pid.leader();
                alive.insert(leader);
                processes.insert(exec.pid, 1);
            }
            Event::ProcessExited { pid, .. } => {
                assert_eq!(processes.remove(pid), Some(0), "{event:?}");
            }
            Event::Stop {
                kind: OtherStop::Exit,
                ..
            }
            | Event::Ended(_) => {}
            other => {
                let tid = other.tid().expect("a task");
                assert!(alive.contains(&tid), "{event:?} of nobody");
            }
        }
    }
    assert_eq!((alive, processes), (BTreeSet::new(), BTreeMap::new()));
}

fn forks(events: &[Event]) -> Vec<(Pid, Pid, NewTask)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Forked {
                pid,
                child,
                kind,
                followed,
                ..
            } => {
                assert!(followed, "{event:?}");
                Some((*pid, *child, *kind))
            }
            _ => None,
        })
        .collect()
}

/// Threads that were started, the first of each process left out.
fn threads(events: &[Event]) -> Vec<Tid> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::TaskStarted { pid, tid, .. } if pid.leader() != *tid => Some(*tid),
            _ => None,
        })
        .collect()
}

fn ends(events: &[Event]) -> BTreeMap<Pid, ExitStatus> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::ProcessExited { pid, status, .. } => Some((*pid, *status)),
            _ => None,
        })
        .collect()
}

fn execs(events: &[Event]) -> Vec<&Execed> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Execed(exec) => Some(exec.as_ref()),
            _ => None,
        })
        .collect()
}

/// How children of the target ended, in the order of their births.
fn codes(events: &[Event]) -> Vec<ExitStatus> {
    let ends = ends(events);
    forks(events)
        .iter()
        .map(|(_, child, _)| ends[child])
        .collect()
}

#[test]
fn c29_fork_is_told_before_the_child_does_anything() {
    for _ in 0..50 {
        let (traced, events) = watched!(Trace::of(fixtures::FORK_EXIT));
        traced.expect(0, "child exited 3\n");
        let [(parent, child, NewTask::Fork)] = forks(&events)[..] else {
            panic!("{events:?}");
        };
        assert_eq!(parent, traced.pid);
        let calls: Vec<_> = exits_of(&events, child.leader());
        assert!(
            calls.contains(&("getppid", i64::from(parent.get()))),
            "{calls:?}"
        );
        assert_eq!(entered(&events)["getppid"], 2);
        assert_eq!(codes(&events), [ExitStatus::Exited(3)]);
    }
}

#[test]
fn c29_no_short_life_is_lost() {
    let (traced, events) = watched!(Trace::of(fixtures::CLONE_IMMEDIATE_EXIT).arg(200));
    traced.expect(0, "200 processes, 200 threads\n");
    assert_eq!(forks(&events).len(), 200);
    assert_eq!(threads(&events).len(), 200);
    let expected: Vec<_> = (0..200_u8).map(|n| ExitStatus::Exited(n % 100)).collect();
    assert_eq!(codes(&events), expected);
}

#[test]
fn c29_a_storm_of_threads() {
    let (traced, events) = watched!(Trace::of(fixtures::THREAD_STORM).arg(2000));
    traced.expect(0, "2000 threads\n");
    assert_eq!(threads(&events).len(), 2000);
    assert_eq!(entered(&events)["getppid"], 2000);
}

#[test]
fn c29_storms_without_anybody_interested() {
    Trace::of(fixtures::CLONE_IMMEDIATE_EXIT)
        .arg(1000)
        .leaver(vec![])
        .run_like_untraced()
        .expect(0, "1000 processes, 1000 threads\n");
    Trace::of(fixtures::THREAD_STORM)
        .arg(5000)
        .leaver(vec![])
        .run_like_untraced()
        .expect(0, "5000 threads\n");
}

#[test]
fn c29_children_that_are_not_followed_are_unharmed() {
    for topics in [vec![], vec![all_syscalls()], everything()] {
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::CLONE_IMMEDIATE_EXIT)
            .arg(200)
            .no_follow()
            .log(topics.clone(), &events)
            .run_like_untraced();
        traced.expect(0, "200 processes, 200 threads\n");
        let events = events.into_inner();
        assert_paired(&events);
        for event in &events {
            let own = match event {
                Event::Forked { pid, followed, .. } => *pid == traced.pid && !followed,
                Event::SyscallEnter(stop) | Event::SyscallExit(stop) => stop.pid == traced.pid,
                Event::TaskStarted { pid, .. }
                | Event::TaskExited { pid, .. }
                | Event::ProcessExited { pid, .. } => *pid == traced.pid,
                _ => true,
            };
            assert!(own, "{event:?}");
        }
        if topics.contains(&Topic::Forks) {
            let forked = events
                .iter()
                .filter(|event| matches!(event, Event::Forked { .. }));
            assert_eq!(forked.count(), 200);
        }
    }
}

#[test]
fn c29_a_child_that_is_not_followed_may_have_a_tracer_of_its_own() {
    for _ in 0..10 {
        Trace::of(fixtures::PTRACE_NESTED)
            .no_follow()
            .leaver(vec![])
            .run_like_untraced()
            .expect(0, "traced\n");
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::PTRACE_NESTED)
            .log(everything(), &events)
            .run();
        traced.expect(0, "EPERM\n");
        assert_paired(&events.borrow());
    }
}

#[test]
fn c30_a_sibling_belongs_to_the_task_that_made_it() {
    let (traced, events) = watched!(Trace::of(fixtures::CLONE_PARENT));
    traced.expect(0, "sibling exited 5, maker exited 6\n");
    let [(first, maker, _), (second, sibling, _)] = forks(&events)[..] else {
        panic!("{events:?}");
    };
    assert_eq!((first, second), (traced.pid, maker));
    let ends = ends(&events);
    assert_eq!(ends[&maker], ExitStatus::Exited(6));
    assert_eq!(ends[&sibling], ExitStatus::Exited(5));
}

#[test]
fn c30_clone3() {
    let (traced, events) = watched!(Trace::of(fixtures::CLONE3_THREAD_PROCESS));
    traced.expect(0, "clone3\n");
    assert_eq!(threads(&events).len(), 1);
    let mut codes = codes(&events);
    codes.sort_by_key(|status| format!("{status}"));
    assert_eq!(codes, [11, 12, 13].map(ExitStatus::Exited));
}

#[test]
fn c30_an_exit_signal_does_not_make_a_thread_of_a_process() {
    let (_, events) = watched!(Trace::of(fixtures::CLONE_EXIT_SIGNAL));
    let kinds: Vec<_> = forks(&events).iter().map(|fork| fork.2).collect();
    assert_eq!(kinds, [NewTask::Clone, NewTask::Clone]);
    assert_eq!(codes(&events), [17, 18].map(ExitStatus::Exited));
    assert_eq!(threads(&events), []);
}

#[test]
fn c30_pid_namespaces() {
    let (traced, events) = watched!(Trace::of(fixtures::CLONE_NEWPID));
    traced.expect(0, "pid 1 exited 30\npid 1 exited 30\n");
    let mut all = codes(&events);
    all.sort_by_key(|status| format!("{status}"));
    assert_eq!(all, [30, 30, 31, 31].map(ExitStatus::Exited));
}

#[test]
fn c31_clone_untraced_escapes_unharmed() {
    let (_, events) = watched!(Trace::of(fixtures::CLONE_UNTRACED));
    assert_eq!(forks(&events), []);
    assert_eq!(ends(&events).len(), 1);
}

#[test]
fn c31_clone_ptrace_comes_without_an_announcement() {
    for topics in [vec![], everything()] {
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::CLONE_PTRACE)
            .log(topics, &events)
            .run_like_untraced();
        assert_paired(&events.borrow());
        let ends = ends(&events.borrow());
        let mut codes: Vec<_> = ends.iter().filter(|end| *end.0 != traced.pid).collect();
        codes.sort_by_key(|end| format!("{}", end.1));
        let codes: Vec<_> = codes.into_iter().map(|end| *end.1).collect();
        assert_eq!(codes, [21, 22].map(ExitStatus::Exited));
    }
}

#[test]
fn c31_a_process_that_shares_memory_is_a_process() {
    let (_, events) = watched!(Trace::of(fixtures::CLONE_VM));
    assert_eq!(threads(&events), []);
    assert_eq!(codes(&events), [ExitStatus::Exited(8)]);
    assert_eq!(entered(&events)["getppid"], 2);
}

#[test]
fn c32_vfork_and_exec() {
    for _ in 0..20 {
        let (traced, events) = watched!(Trace::of(fixtures::VFORK_EXEC));
        let [(parent, child, NewTask::Vfork)] = forks(&events)[..] else {
            panic!("{events:?}");
        };
        assert_eq!(parent, traced.pid);
        let at = |wanted: &dyn Fn(&Event) -> bool| {
            let mut places = events.iter().enumerate().filter(|(_, event)| wanted(event));
            let place = places.next().expect("it happens").0;
            assert!(places.next().is_none(), "it happens once");
            place
        };
        let exec = at(&|event| matches!(event, Event::Execed(exec) if exec.pid == child));
        let done = at(
            &|event| matches!(event, Event::Stop { kind: OtherStop::VforkDone, pid, .. } if *pid == parent),
        );
        let forked = at(&|event| matches!(event, Event::Forked { .. }));
        let entry = at(
            &|event| matches!(event, Event::SyscallEnter(stop) if stop.pid == child && name(stop) == "execve"),
        );
        assert!(forked < entry && entry < exec && entry < done, "{events:?}");
        // The parent does nothing in between.
        for event in &events[forked + 1..done] {
            assert_eq!(event.tid(), Some(child.leader()), "{event:?}");
        }
    }
}

#[test]
fn c32_vfork_and_exit() {
    let (_, events) = watched!(Trace::of(fixtures::VFORK_EXIT));
    assert_eq!(codes(&events), [ExitStatus::Exited(4)]);
}

#[test]
fn c32_posix_spawn() {
    let (traced, events) = watched!(Trace::of(fixtures::POSIX_SPAWN_MANY).arg(40));
    traced.expect(0, "spawned 40\n");
    assert!(forks(&events).iter().all(|fork| fork.2 == NewTask::Vfork));
    let expected: Vec<_> = (0..40).map(ExitStatus::Exited).collect();
    assert_eq!(codes(&events), expected);
    assert_eq!(execs(&events).len(), 41);
    for topics in [vec![], vec![Topic::Forks], vec![all_syscalls()]] {
        Trace::of(fixtures::POSIX_SPAWN_MANY)
            .leaver(topics.clone())
            .run_like_untraced();
        Trace::of(fixtures::POSIX_SPAWN_MANY)
            .no_follow()
            .leaver(topics)
            .run_like_untraced();
    }
}

/// Every combination of what decides which stops an exec makes.
fn combinations() -> Vec<Vec<Topic>> {
    let mut all = vec![vec![]];
    for topic in [all_syscalls(), Topic::Tasks, Topic::AllStops, Topic::Execs] {
        for mut topics in all.clone() {
            topics.push(topic.clone());
            all.push(topics);
        }
    }
    all
}

#[test]
fn c34_exec_in_a_thread_that_is_not_the_leader() {
    for topics in combinations() {
        for round in 0..4 {
            let events = RefCell::new(Vec::new());
            let mut trace = Trace::of(fixtures::EXEC_FROM_THREAD).log(topics.clone(), &events);
            if round % 2 == 1 {
                trace = trace.no_follow();
            }
            let traced = trace.run_like_untraced();
            traced.expect(0, "after exec\n");
            let events = events.into_inner();
            if topics.contains(&Topic::Execs) {
                assert_paired(&events);
            }
            let ends = ends(&events);
            assert_eq!(ends, BTreeMap::from([(traced.pid, ExitStatus::Exited(0))]));
            if topics.contains(&Topic::Execs) {
                let execs = execs(&events);
                assert_eq!(execs.len(), 2);
                assert_eq!(execs[1].pid, traced.pid);
                assert_ne!(execs[1].former, traced.pid.leader());
                assert_eq!(execs[1].argv[1], b"after");
            }
            if topics.contains(&Topic::Tasks) {
                // Four beside the leader, the one that calls exec among them.
                assert_eq!(threads(&events).len(), 4);
                let gone: BTreeSet<Tid> = events
                    .iter()
                    .filter_map(|event| match event {
                        Event::TaskExited { tid, .. } => Some(*tid),
                        _ => None,
                    })
                    .collect();
                for tid in threads(&events) {
                    assert!(gone.contains(&tid), "{events:?}");
                }
            }
        }
    }
}

#[test]
fn c34_the_exec_is_the_work_of_its_caller_and_ends_in_the_leader() {
    let (traced, events) = watched!(Trace::of(fixtures::EXEC_FROM_THREAD));
    let exec = execs(&events)[1];
    let entry = events.iter().rev().find_map(|event| match event {
        Event::SyscallEnter(stop) if name(stop) == "execve" => Some(stop),
        _ => None,
    });
    assert_eq!(entry.map(|stop| stop.tid), Some(exec.former));
    let exits = exits_of(&events, traced.pid.leader());
    assert_eq!(
        exits.iter().filter(|exit| **exit == ("execve", 0)).count(),
        2
    );
    let before = exits_of(&events, exec.former);
    assert!(before.iter().all(|exit| exit.0 != "execve"), "{before:?}");
}

#[test]
fn c35_failed_execs_leave_everything_as_it_was() {
    let (traced, events) = watched!(Trace::of(fixtures::EXEC_FAIL));
    traced.expect(0, "six failures\n");
    assert_eq!(execs(&events).len(), 1);
    let exits = exits_of(&events, traced.pid.leader());
    let results: Vec<i64> = exits
        .iter()
        .filter(|exit| exit.0 == "execve")
        .map(|exit| exit.1)
        .collect();
    assert_eq!(results, [0, -2, -13, -2, -8, -14, -14]);
}

#[test]
fn c35_the_exec_comes_between_entry_and_exit() {
    let (_, events) = watched!(Trace::of(fixtures::EXEC_MANY).arg(50));
    assert_eq!(execs(&events).len(), 51);
    for (n, event) in events.iter().enumerate() {
        if matches!(event, Event::Execed(_)) {
            let before =
                matches!(&events[n - 1], Event::SyscallEnter(stop) if name(stop) == "execve");
            let after =
                matches!(&events[n + 1], Event::SyscallExit(stop) if name(stop) == "execve");
            assert!(before && after, "{events:?}");
        }
    }
}

#[test]
fn c35_killed_while_executing() {
    for topics in [vec![], everything()] {
        Trace::of(fixtures::EXEC_KILLED)
            .leaver(topics.clone())
            .run_like_untraced()
            .expect(0, "20 children killed\n");
        let events = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::EXEC_KILLED)
            .arg(20)
            .log(topics, &events)
            .run();
        traced.expect(0, "20 children killed\n");
        assert_paired(&events.borrow());
    }
}

#[test]
fn c35_the_new_program_may_have_another_bitness() {
    let (traced, events) = watched!(Trace::of(fixtures::EXEC_COMMAND).arg(fixtures::HELLO_32));
    traced.expect(32, "hello\n");
    let abis: Vec<u32> = execs(&events).iter().map(|exec| exec.abi).collect();
    assert_eq!(abis, [pai_syscalls::abi::X86_64, pai_syscalls::abi::I386]);
    // The exit of the execve is a call of the new program already, for the
    // kernel; for us it is still the call that was entered.
    assert!(exits_of(&events, traced.pid.leader()).contains(&("write", 6)));
}

#[test]
fn c36_a_privileged_exec_keeps_its_privilege() {
    for topics in [vec![], everything()] {
        Trace::of(fixtures::SETUID_EXEC)
            .leaver(topics)
            .run_like_untraced()
            .expect(0, "user 65534 became 0\n");
    }
    watched!(Trace::of(fixtures::SETUID_EXEC));
}
