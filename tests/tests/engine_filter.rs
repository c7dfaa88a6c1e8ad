//! Spawned targets whose calls are filtered in the kernel: what clients see, and what
//! the targets do, is what it is without.

use std::cell::{Cell, RefCell};
use std::io::Read;

use pai_engine::{Action, CallStops, End, Event, ExitStatus, SyscallSet, Topic, procfs};
use pai_ptrace::{Signal, Tid};
use pai_tests::fixtures;
use pai_tests::flow::flow;
use pai_tests::trace::{Reply, Trace, all_syscalls, calls, name, syscalls};

const FILTERED: CallStops = CallStops::Wanted {
    no_new_privs: false,
    always: true,
};

type Flows = Vec<Vec<String>>;

/// What each task did, in the order in which tasks first show, without ids.
fn flows(events: &[Event], names: &[&str]) -> Flows {
    let mut tids: Vec<Tid> = Vec::new();
    for event in events {
        if let Some(tid) = event.tid().filter(|tid| !tids.contains(tid)) {
            tids.push(tid);
        }
    }
    // Also those of processes that do nothing of interest.
    let is_id = |word: &str| word.parse().is_ok_and(|number: i64| number > 200);
    let line = |line: String| match line.rsplit_once(' ') {
        Some((call, result)) if is_id(result) => format!("{call} ID"),
        _ => line,
    };
    let all = tids.iter().map(|tid| flow(events, *tid, names));
    let mut all: Flows = all
        .map(|lines| lines.into_iter().map(line).collect())
        .filter(|lines: &Vec<String>| !lines.is_empty())
        .collect();
    // Two that are made one after the other may stop in either order.
    all.sort();
    all
}

/// How it ended, what it did, and which calls stopped.
fn run(fixture: &str, names: &[&str], filtered: bool) -> (Option<ExitStatus>, Flows, CallStops) {
    let events = RefCell::new(Vec::new());
    let stops = Cell::new(CallStops::All("nothing came"));
    // Of i386 too.
    let plain = names.iter().map(|name| name.trim_start_matches("i386 "));
    let topics = vec![calls(&plain.collect::<Vec<_>>(), true, true)];
    let traced = Trace::of(fixture)
        .filtered(filtered)
        .client(topics, |engine, _, delivery| {
            stops.set(engine.call_stops());
            events.borrow_mut().push(delivery.event.clone());
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let flows = flows(&events.into_inner(), names);
    (traced.status, flows, stops.get())
}

#[test]
fn events_are_those_without_a_filter() {
    for (fixture, names) in [
        (fixtures::HELLO, &["write", "exit_group"][..]),
        (fixtures::FORK_EXIT, &["exit_group", "wait4", "clone"]),
        (fixtures::VFORK_EXEC, &["execve", "vfork", "exit_group"]),
        (fixtures::EXEC_FROM_THREAD, &["execve", "exit_group"]),
        (fixtures::EXEC_FAIL, &["execve", "exit_group"]),
        (fixtures::EXEC_MANY, &["execve"]),
        (fixtures::POSIX_SPAWN_MANY, &["execve", "exit_group"]),
        (fixtures::CLONE_THREADS, &["exit", "exit_group"]),
        (fixtures::CLONE3_THREAD_PROCESS, &["clone3", "exit_group"]),
        (fixtures::CLONE_PARENT, &["exit_group"]),
        (fixtures::INT80, &["i386 getppid", "i386 getpid", "getppid"]),
        (fixtures::HELLO_32, &["i386 write", "i386 exit"]),
        (fixtures::SYSCALL_MINUS_ONE, &["getppid", "exit_group"]),
        (fixtures::SKIP_TARGETS, &["open", "read", "getppid"]),
        (fixtures::X32_CALL, &["getpid", "exit_group"]),
        (fixtures::VSYSCALL_TIME, &["gettimeofday", "getppid"]),
        (fixtures::VDSO_TIME, &["clock_gettime", "getppid"]),
        (fixtures::RESTART_SYSCALL, &["clock_nanosleep", "poll"]),
        (fixtures::SIGRETURN_REGS, &["rt_sigreturn"]),
        (fixtures::SUD, &["prctl", "rt_sigreturn"]),
        (fixtures::JOB_CONTROL, &["exit_group", "exit"]),
        (fixtures::SETUID_EXEC, &["execve", "setresuid"]),
        (fixtures::MAIN_THREAD_EXIT, &["exit", "exit_group"]),
        (fixtures::SECCOMP_OWN_FILTER, &["getpgid", "getsid"]),
        (fixtures::SECCOMP_KILL, &["getppid", "exit_group"]),
        (fixtures::SECCOMP_KILL_THREAD, &["getppid", "exit_group"]),
        (fixtures::SECCOMP_UNOTIFY, &["getppid", "exit_group"]),
        (fixtures::SECCOMP_TRACE_NO_TRACER, &["getppid"]),
        (fixtures::SECCOMP_TRACE_NO_TRACER, &["exit_group"]),
    ] {
        let (status, flows, stops) = run(fixture, names, true);
        assert_eq!(stops, FILTERED, "{fixture}");
        assert!(!flows.is_empty(), "{fixture}");
        let (status_without, flows_without, stops) = run(fixture, names, false);
        assert_eq!(stops, CallStops::All("not wanted"), "{fixture}");
        assert_eq!(flows, flows_without, "{fixture}");
        assert_eq!(status, status_without, "{fixture}");
    }
}

/// Two for each call whose both ends are wanted, one where only the entry is, none for
/// the others.
#[test]
fn only_wanted_ends_of_calls_stop() {
    for (enter, exit, of_each) in [(true, false, 1), (true, true, 2), (false, true, 2)] {
        let told = Cell::new(0);
        let traced = Trace::of(fixtures::SKIP_TARGETS)
            .client(vec![calls(&["getppid"], enter, exit)], |_, _, delivery| {
                let call = &delivery.event;
                if let Event::SyscallEnter(_) | Event::SyscallExit(_) = call {
                    told.set(told.get() + 1);
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        let wanted = 3 * of_each;
        assert_eq!(traced.stats.syscall_stops, wanted, "{traced:?}");
        assert_eq!(told.get(), 3 * (u64::from(enter) + u64::from(exit)));
    }
}

/// Nothing is filtered where no call is wanted, where all are, and where processes are
/// to be let go.
#[test]
fn a_filter_where_it_is_of_use() {
    let stops = |trace: Trace<'_>, topic| {
        let stops = Cell::new(FILTERED);
        trace
            .client(vec![topic, Topic::Tasks], |engine, _, _| {
                stops.set(engine.call_stops());
                Some(Action::Proceed)
            })
            .run_like_untraced()
            .expect(0, "hello\n");
        stops.get()
    };
    let hello = || Trace::of(fixtures::HELLO);
    let some = || calls(&["write"], true, true);
    let except = SyscallSet::Except(SyscallSet::ids(&["write"]).expect("a name"));
    assert_eq!(stops(hello(), some()), FILTERED);
    assert_eq!(stops(hello(), syscalls(except, true, true)), FILTERED);
    assert_eq!(
        stops(hello(), syscalls(SyscallSet::All, true, false)),
        FILTERED
    );
    let all = stops(hello(), all_syscalls());
    assert_eq!(all, CallStops::All("all calls are wanted"));
    let none = stops(hello(), Topic::Forks);
    assert_eq!(none, CallStops::All("no call is wanted"));
    let let_go = stops(hello().no_follow(), some());
    assert_eq!(let_go, CallStops::All("processes are let go"));
}

/// From then on all calls stop, until less is wanted again.
#[test]
fn more_is_wanted_later() {
    let seen = RefCell::new(Vec::new());
    let mut more = None;
    Trace::of(fixtures::SKIP_TARGETS)
        .client(
            vec![calls(&["open", "write"], true, true)],
            |engine, id, delivery| {
                let (Event::SyscallEnter(stop) | Event::SyscallExit(stop)) = &delivery.event else {
                    return Some(Action::Proceed);
                };
                seen.borrow_mut().push((name(stop), stop.ret.is_some()));
                match (name(stop), stop.ret) {
                    ("open", None) => {
                        let wish = engine.subscribe(id, calls(&["read"], true, true));
                        more = Some(wish.expect("it is there"));
                        let stops = CallStops::All("more were wanted later");
                        assert_eq!(engine.call_stops(), stops);
                    }
                    ("read", Some(_)) => {
                        engine.unsubscribe(id, more.take().expect("one read"));
                        let stops = CallStops::Wanted {
                            no_new_privs: false,
                            always: false,
                        };
                        assert_eq!(engine.call_stops(), stops);
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run_like_untraced();
    let seen = seen.into_inner();
    let open = seen.iter().position(|call| *call == ("open", true));
    let read = seen.iter().position(|call| *call == ("read", false));
    assert!(open < read && open.is_some(), "{seen:?}");
    assert_eq!(seen.iter().filter(|(name, _)| *name == "read").count(), 2);
}

/// The target has the filter and goes on with it, alone.
#[test]
fn who_leaves_does_not_take_the_filter_along() {
    for fixture in [
        fixtures::HELLO,
        fixtures::FORK_EXIT,
        fixtures::CLONE_THREADS,
    ] {
        let traced = Trace::of(fixture)
            .leaver(vec![calls(&["write", "exit_group"], true, true)])
            .run_like_untraced();
        assert!(matches!(traced.end, Ok(End::Exited(_))), "{traced:?}");
    }
}

#[test]
fn what_is_filtered_ends_with_the_session() {
    let traced = Trace::of(fixtures::HELD_STOP)
        .actor(vec![calls(&["write"], true, true)], |_, _, _| Reply::Abort)
        .run();
    assert_eq!(traced.status, Some(ExitStatus::Killed(Signal::KILL, false)));
}

/// Also children whose creator is killed before it can report them.
#[test]
fn children_on_their_way_end_with_the_session() {
    for events in 0..150 {
        let (mut told, stdin) = std::io::pipe().expect("a pipe");
        let left = Cell::new(events);
        let traced = Trace::of(fixtures::FORK_FOREVER)
            .stdin(stdin.into())
            .actor(
                vec![calls(&["getppid"], true, false)],
                |_, _, _| match left.get() {
                    0 => Reply::Abort,
                    n => {
                        left.set(n - 1);
                        Reply::Answer(Action::Proceed)
                    }
                },
            )
            .run();
        assert_eq!(traced.status, Some(ExitStatus::Killed(Signal::KILL, false)));
        // Whoever is left has the other end.
        let mut failed = String::new();
        told.read_to_string(&mut failed).expect("its end");
        assert_eq!(failed, "", "after {events} events");
    }
}

/// Children that ask for no tracer would have nobody to answer their filter. They stay
/// unseen all the same, with all that they make and execute.
#[test]
fn children_without_a_tracer_keep_ours() {
    for fixture in [fixtures::CLONE_UNTRACED, fixtures::BP_UNTRACED] {
        for topic in [
            calls(&["getppid", "getpid", "write", "exit_group"], true, true),
            calls(&["exit_group"], true, false),
        ] {
            let topics = vec![topic, Topic::Forks, Topic::Tasks, Topic::Execs];
            let events = RefCell::new(Vec::new());
            let traced = Trace::of(fixture)
                .client(topics, |engine, _, delivery| {
                    assert_eq!(engine.call_stops(), FILTERED);
                    events.borrow_mut().push(delivery.event.clone());
                    Some(Action::Proceed)
                })
                .run_like_untraced();
            let events = events.into_inner();
            assert!(!events.is_empty());
            for event in events {
                let pid = match &event {
                    Event::SyscallEnter(stop) | Event::SyscallExit(stop) => stop.pid,
                    Event::TaskStarted { pid, .. }
                    | Event::TaskExited { pid, .. }
                    | Event::Forked { pid, .. }
                    | Event::ProcessExited { pid, .. } => *pid,
                    Event::Execed(exec) => exec.pid,
                    Event::Ended(_) => continue,
                    other => panic!("{other:?}"),
                };
                assert_eq!(pid, traced.pid, "{event:?}");
            }
        }
    }
}

/// As strace's, it is seen: a filter, and no strict mode beside it.
#[test]
fn what_a_target_can_tell() {
    let topics = || vec![calls(&["exit_group", "exit"], true, false)];
    let traced = Trace::of(fixtures::HELLO)
        .client(topics(), |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                let field = |name| procfs::status_field(stop.tid, name).expect("a field");
                assert_eq!(field("Seccomp"), "2");
                assert_eq!(field("NoNewPrivs"), "0");
                assert_eq!(engine.call_stops(), FILTERED);
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "hello\n");
    let strict = Trace::of(fixtures::SECCOMP_STRICT)
        .client(topics(), |_, _, _| Some(Action::Proceed))
        .run();
    assert_ne!(strict.stdout, "strict\n");
    Trace::of(fixtures::SECCOMP_STRICT)
        .filtered(false)
        .client(topics(), |_, _, _| Some(Action::Proceed))
        .run_like_untraced();
}
