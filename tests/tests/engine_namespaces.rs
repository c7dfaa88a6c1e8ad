//! What a session offers of namespaces: case 43 of docs/TESTING.md.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use pai_engine::{Action, Engine, Event, ExitStatus, Follow, procfs};
use pai_ptrace::{Pid, Tid};
use pai_tests::fixtures;
use pai_tests::flow::watch;
use pai_tests::target::{Target, helper, role, tell};
use pai_tests::trace::{Trace, assert_paired, everything, exits_of, name};

/// The ids of a task in its own and the outer pid namespaces, outer first.
fn namespace_ids(tid: Tid) -> Vec<i32> {
    let ids = procfs::status_field(tid, "NSpid").expect("it is there");
    ids.split_whitespace()
        .map(|id| id.parse().expect("a number"))
        .collect()
}

#[test]
fn c43_ids_are_those_of_our_own_pid_namespace() {
    let events = RefCell::new(Vec::new());
    let mut inner = BTreeMap::new();
    let traced = Trace::of(fixtures::CLONE_NEWPID)
        .client(everything(), |engine, _, delivery| {
            events.borrow_mut().push(delivery.event.clone());
            if let Event::TaskStarted { tid, .. } = delivery.event {
                let ids = namespace_ids(tid);
                assert_eq!(ids[0], tid.get());
                inner.insert(tid, ids[1]);
                assert!(engine.task(tid).is_ok());
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(0, "pid 1 exited 30\npid 1 exited 30\n");
    let events = events.into_inner();
    assert_paired(&events);
    let mut ids: Vec<_> = inner.values().copied().collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 1, 77, 77]);
    for event in &events {
        if let Event::Forked { tid, child, .. } = event
            && let Some(1) = inner.get(tid)
        {
            // What the call returns is the target's own id for its child.
            assert_eq!(inner[&child.leader()], 77);
            assert!(exits_of(&events, *tid).contains(&("clone3", 77)));
        }
    }
}

#[test]
fn c43_user_and_pid_namespaces_of_the_target() {
    for topics in [vec![], everything()] {
        Trace::of("/usr/bin/unshare")
            .arg("--user")
            .arg("--map-root-user")
            .arg("--pid")
            .arg("--fork")
            .arg("/bin/sh")
            .arg("-c")
            .arg("id -u; echo $$; exit 7")
            .leaver(topics.clone())
            .run_like_untraced()
            .expect(7, "0\n1\n");
        let events = RefCell::new(Vec::new());
        let traced = Trace::of("/usr/bin/unshare")
            .arg("-Urpf")
            .arg(fixtures::FORK_EXIT)
            .log(topics, &events)
            .run();
        traced.expect(0, "child exited 3\n");
        assert_paired(&events.borrow());
    }
}

#[test]
fn c43_a_tracer_in_a_container() {
    const TEST: &str = "c43_a_tracer_in_a_container";
    if role().is_some() {
        assert_eq!(std::process::id(), 1);
        let (traced, _) = watch(fixtures::FORK_EXIT);
        traced.expect(0, "child exited 3\n");
        let target = Target::start(fixtures::ATTACH_TARGET, &[]);
        for _ in 0..10 {
            let mut engine = Engine::new(Follow::Yes).expect("a timer");
            engine.attach(&[target.pid()]).expect("it is there");
            assert_eq!(engine.tasks(None).expect("tasks").len(), 5);
        }
        target.expect_ok();
        return tell("done");
    }
    for namespaces in ["-pf", "-Urpf"] {
        let inside = helper(TEST, "inside");
        let mut unshare = Command::new("unshare");
        unshare
            .arg(namespaces)
            .arg("--mount-proc")
            .arg(inside.get_program())
            .args(inside.get_args());
        for (name, value) in inside.get_envs() {
            unshare.env(name, value.expect("set"));
        }
        let mut helper = Target::launch(&mut unshare);
        assert_eq!(helper.told(), "done");
        assert_eq!(helper.finish().0, ExitStatus::Exited(0));
    }
}

/// Runs a fixture that execs itself; looks at the process of the second
/// program at its getppid.
fn at_the_end(fixture: &str, look: impl Fn(&mut Engine, Pid)) -> Vec<Event> {
    let events = RefCell::new(Vec::new());
    let mut looks = 0;
    Trace::of(fixture)
        .client(everything(), |engine, _, delivery| {
            events.borrow_mut().push(delivery.event.clone());
            if let Event::SyscallEnter(stop) = &delivery.event
                && name(stop) == "getppid"
            {
                look(engine, stop.pid);
                looks += 1;
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(looks, 1);
    events.into_inner()
}

/// Paths of the programs, as the events have them.
fn executed(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Execed(exec) => Some(String::from_utf8_lossy(&exec.path).into_owned()),
            _ => None,
        })
        .collect()
}

#[test]
fn c43_a_program_in_another_mount_namespace() {
    const PATH: &str = "/mnt/mount_ns_exec";
    let events = at_the_end(fixtures::MOUNT_NS_EXEC, |engine, pid| {
        // By this path it is there for the target only.
        assert!(fs::metadata(PATH).is_err());
        let original = fs::read(fixtures::MOUNT_NS_EXEC).expect("a file");
        for path in [
            format!("/proc/{pid}/root{PATH}"),
            format!("/proc/{pid}/exe"),
        ] {
            assert_eq!(fs::read(path).expect("a file"), original);
        }
        let maps = engine.maps(pid).expect("it is there");
        assert!(maps.iter().any(|map| map.name == PATH));
        assert_eq!(engine.targets()[0].exe, PATH.as_bytes());
    });
    assert_eq!(executed(&events), [fixtures::MOUNT_NS_EXEC, PATH]);
}

#[test]
fn c43_a_program_whose_file_is_gone() {
    let events = at_the_end(fixtures::EXEC_DELETED, |engine, pid| {
        let exe = engine.targets()[0].exe.clone();
        let exe = String::from_utf8(exe).expect("UTF-8");
        assert!(exe.ends_with(" (deleted)"), "{exe}");
        assert!(fs::metadata(&exe).is_err());
        let original = fs::read(fixtures::EXEC_DELETED).expect("a file");
        let linked = fs::read(format!("/proc/{pid}/exe")).expect("a file");
        assert_eq!(linked, original);
        let maps = engine.maps(pid).expect("it is there");
        let map = maps.iter().find(|map| map.name == exe).expect("its own");
        let range = format!("{:x}-{:x}", map.start, map.end);
        let mapped = fs::read(format!("/proc/{pid}/map_files/{range}"));
        assert_eq!(mapped.expect("a file"), original);
    });
    let paths = executed(&events);
    assert_eq!(paths[0], fixtures::EXEC_DELETED);
    assert!(paths[1].ends_with(" (deleted)"), "{paths:?}");
}
