//! Letting go: cases 33 and 42 of docs/TESTING.md.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::Signal as NixSignal;
use pai_engine::{Action, Block, Engine, Error, Event, ExitStatus, Follow, Topic, Turn};
use pai_ptrace::NewTask;
use pai_tests::fixtures;
use pai_tests::target::{Target, state};
use pai_tests::trace::{Reply, Trace, all_syscalls, calls, everything, name};

/// Ends the trace at its n-th event for every n, once by a client that leaves,
/// once with the stop still held: the target never knows.
fn detach_at_every(fixture: &str, topics: &[Topic], step: usize) {
    let native = Trace::of(fixture).untraced();
    for reply in [Reply::Leave, Reply::Abort] {
        for last in (0..).step_by(step) {
            let mut count = 0;
            let traced = Trace::of(fixture)
                .actor(topics.to_vec(), |_, _, _| {
                    count += 1;
                    if count <= last {
                        Reply::Answer(Action::Proceed)
                    } else {
                        reply
                    }
                })
                .run();
            let same = traced.stdout == native.stdout && traced.status == Some(native.status);
            assert!(same, "{reply:?} at event {last} of {fixture}: {traced:?}");
            if count <= last {
                break;
            }
        }
    }
}

/// Everything but calls.
fn no_calls() -> Vec<Topic> {
    everything().split_off(1)
}

#[test]
fn c42_detached_at_every_event_of_one_task() {
    detach_at_every(fixtures::HELLO, &everything(), 1);
    for fixture in [
        fixtures::INT80,
        fixtures::HELLO_32,
        fixtures::SIGRETURN_REGS,
        fixtures::SECCOMP_OWN_FILTER,
        fixtures::SECCOMP_STRICT,
        fixtures::SUD,
    ] {
        detach_at_every(fixture, &everything(), 3);
        detach_at_every(fixture, &no_calls(), 1);
    }
}

#[test]
fn c42_detached_at_every_event_around_a_vfork() {
    for fixture in [fixtures::VFORK_EXEC, fixtures::VFORK_EXIT] {
        detach_at_every(fixture, &everything(), 1);
        detach_at_every(fixture, &no_calls(), 1);
        detach_at_every(fixture, &[Topic::Forks], 1);
    }
    detach_at_every(fixtures::POSIX_SPAWN_MANY, &no_calls(), 7);
}

#[test]
fn c42_detached_at_every_event_of_forks_and_execs() {
    for fixture in [
        fixtures::FORK_EXIT,
        fixtures::CLONE3_THREAD_PROCESS,
        fixtures::EXEC_FROM_THREAD,
        fixtures::MAIN_THREAD_EXIT,
    ] {
        detach_at_every(fixture, &everything(), 3);
        detach_at_every(fixture, &no_calls(), 1);
    }
    // Its second child comes unannounced, also to a tracer that is leaving.
    detach_at_every(fixtures::CLONE_PTRACE, &[Topic::Signals(vec![])], 1);
    detach_at_every(fixtures::CLONE_PTRACE, &everything(), 13);
}

#[test]
fn c42_detached_at_every_event_around_signals() {
    // With a signal pending each time: it is delivered all the same.
    detach_at_every(fixtures::RT_SIGNALS, &[Topic::Signals(vec![])], 1);
    detach_at_every(fixtures::RT_SIGNALS, &everything(), 23);
    detach_at_every(fixtures::SIGTRAP_OWN, &everything(), 3);
    detach_at_every(fixtures::SIGINFO_KINDS, &no_calls(), 1);
    detach_at_every(fixtures::SIGNAL_IN_SYSCALL, &no_calls(), 1);
    detach_at_every(fixtures::SIGNAL_IN_SYSCALL, &everything(), 41);
    detach_at_every(fixtures::SIGNAL_STORM, &no_calls(), 61);
}

#[test]
fn c42_detached_at_every_event_around_stops() {
    for fixture in [
        fixtures::SIGSTOP_CONT,
        fixtures::SIGCONT_HANDLER,
        fixtures::SIGTSTP_TTIN,
        fixtures::JOB_CONTROL,
    ] {
        detach_at_every(fixture, &[Topic::Signals(vec![]), Topic::JobControl], 2);
    }
    detach_at_every(fixtures::GROUP_STOP_THREADS, &[Topic::JobControl], 5);
    detach_at_every(fixtures::RESTART_SYSCALL, &[Topic::JobControl], 2);
}

#[test]
fn c42_a_spinning_thread_is_detached_too() {
    for topics in [vec![], vec![all_syscalls()], everything()] {
        for last in [0, 1, 200, 500, 1000, 2000] {
            let mut count = 0;
            let traced = Trace::of(fixtures::SPINNER)
                .actor(topics.clone(), |_, _, _| {
                    count += 1;
                    if count <= last {
                        Reply::Answer(Action::Proceed)
                    } else {
                        Reply::Abort
                    }
                })
                .run();
            assert_eq!(traced.stdout, "1000 calls\n", "{traced:?}");
            assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
        }
    }
}

#[test]
fn c42_a_stop_that_was_listened_to_stays() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let tasks = target.tasks();
    for topics in [everything(), vec![Topic::JobControl, all_syscalls()]] {
        for round in 0..20 {
            let mut sent = false;
            let stopped = RefCell::new(BTreeSet::new());
            let traced = Trace::attached(&[target.pid()])
                .actor(topics.clone(), |_, _, delivery| {
                    if !sent {
                        target.signal(NixSignal::SIGSTOP);
                        sent = true;
                    }
                    if let Event::JobControl { tid, .. } = delivery.event {
                        stopped.borrow_mut().insert(tid);
                    }
                    if stopped.borrow().len() < tasks.len() {
                        Reply::Answer(Action::Proceed)
                    } else if round % 2 == 0 {
                        Reply::Leave
                    } else {
                        Reply::Abort
                    }
                })
                .run();
            assert_eq!(traced.end.is_ok(), round % 2 == 0);
            target.assert_let_go_stopped();
        }
    }
    target.expect_ok();
}

#[test]
fn c42_a_thousand_rounds() {
    let busy = Target::start(fixtures::ATTACH_TARGET, &[]);
    let asleep = Target::start(fixtures::ATTACH_SLEEPER, &[]);
    let pids = [busy.pid(), asleep.pid()];
    for round in 0..1000 {
        // Ignored, and on its way while tasks are seized and let go.
        asleep.signal(NixSignal::SIGURG);
        busy.signal(NixSignal::SIGCONT);
        let mut left = round % 11;
        let traced = Trace::attached(&pids)
            .actor(everything(), |_, _, _| {
                if left == 0 {
                    return if round % 2 == 0 {
                        Reply::Leave
                    } else {
                        Reply::Abort
                    };
                }
                left -= 1;
                Reply::Answer(Action::Proceed)
            })
            .run();
        assert_eq!(traced.end.is_ok(), round % 2 == 0, "{traced:?}");
        busy.assert_untraced();
        asleep.assert_untraced();
    }
    busy.expect_ok();
    asleep.expect_ok();
}

#[test]
fn c42_a_held_call_holds_nobody_else() {
    let expected: String = (1..=10).map(|n| format!("progress {n}\n")).collect();
    for (edge, then) in [
        (true, Reply::Answer(Action::Proceed)),
        (false, Reply::Answer(Action::Proceed)),
        (true, Reply::Leave),
        (false, Reply::Leave),
        (true, Reply::Abort),
        (false, Reply::Abort),
    ] {
        let mut held = None;
        let mut lines = 0;
        let topics = vec![calls(&["getpriority", "write"], true, true)];
        let traced = Trace::of(fixtures::HELD_STOP)
            .filtered(then != Reply::Abort)
            .actor(topics, |engine, id, delivery| {
                let (stop, enter) = match &delivery.event {
                    Event::SyscallEnter(stop) => (stop, true),
                    Event::SyscallExit(stop) => (stop, false),
                    _ => return Reply::Answer(Action::Proceed),
                };
                if name(stop) == "getpriority" && enter == edge {
                    held = delivery.stop;
                    return Reply::Hold;
                }
                if name(stop) == "write" && !enter {
                    lines += 1;
                    if lines == 10 {
                        let stop = held.expect("it is held");
                        if then == Reply::Answer(Action::Proceed) {
                            let answered = engine.answer(id, stop, Action::Proceed);
                            answered.expect("nothing fatal").expect("it is held");
                        }
                        return then;
                    }
                }
                Reply::Answer(Action::Proceed)
            })
            .run();
        assert_eq!(traced.stdout, format!("{expected}ok\n"), "{traced:?}");
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
    }
}

/// For an hour; the session ends before.
#[test]
fn c42_a_call_that_is_held_up_holds_nobody_else_and_is_let_go() {
    let expected: String = (1..=10).map(|n| format!("progress {n}\n")).collect();
    for enter in [true, false] {
        for then in [Reply::Leave, Reply::Abort] {
            let mut lines = 0;
            let mut delayed = 0;
            let topics = vec![calls(&["getpriority", "write"], true, true)];
            let traced = Trace::of(fixtures::HELD_STOP)
                .filtered(then != Reply::Abort)
                .actor(topics, |engine, id, delivery| {
                    match &delivery.event {
                        Event::SyscallEnter(stop) if enter && name(stop) == "getpriority" => {
                            let hour = Duration::from_secs(3600);
                            engine.delay(id, stop.tid, hour).expect("it is held");
                            delayed += 1;
                        }
                        Event::SyscallExit(stop) if !enter && name(stop) == "getpriority" => {
                            let hour = Duration::from_secs(3600);
                            engine.delay(id, stop.tid, hour).expect("it is held");
                            delayed += 1;
                        }
                        Event::SyscallExit(stop) if name(stop) == "write" => lines += 1,
                        _ => {}
                    }
                    match lines {
                        10 => then,
                        _ => Reply::Answer(Action::Proceed),
                    }
                })
                .run();
            assert_eq!(traced.stdout, format!("{expected}ok\n"), "{traced:?}");
            assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
            assert_eq!(delayed, 1);
        }
    }
}

/// The first client skips or changes calls; the second ends the session, or
/// itself, while it has such a call.
fn change_and_end(action: impl Fn(u32, [u64; 6]) -> Action, reply: Reply) -> String {
    let topic = || vec![calls(&["getppid"], true, false)];
    let traced = Trace::of(fixtures::SKIP_TARGETS)
        .filtered(reply != Reply::Abort)
        .client(topic(), |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) => action(stop.call.nr, stop.args),
                _ => Action::Proceed,
            })
        })
        .actor(topic(), |_, _, _| reply)
        .run();
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
    let pid = format!(" {}", traced.pid);
    let mut lines = traced.stdout.lines().map(|line| line.replace(&pid, " own"));
    lines
        .find(|line| line.starts_with("getppid"))
        .expect("a line")
}

#[test]
fn c42_changes_to_a_held_call_count_only_when_all_have_answered() {
    let getpid = pai_syscalls::number(pai_syscalls::abi::X86_64, "getpid").expect("a name");
    let rewrite = |_, args| Action::Rewrite { nr: getpid, args };
    let skip = |_, _| Action::Skip(4711);
    // The session ends: no call has been decided about.
    let undisturbed = "getppid: parent, parent, parent";
    assert_eq!(change_and_end(rewrite, Reply::Abort), undisturbed);
    assert_eq!(change_and_end(skip, Reply::Abort), undisturbed);
    // The second client ends: the first has decided alone.
    let rewritten = "getppid: own, own, own";
    assert_eq!(change_and_end(rewrite, Reply::Leave), rewritten);
    let skipped = "getppid: 4711, 4711, 4711";
    assert_eq!(change_and_end(skip, Reply::Leave), skipped);
}

#[test]
fn c42_registers_of_a_held_call_are_not_written_when_the_session_ends() {
    for at in ["open", "read", "write"] {
        let traced = Trace::of(fixtures::SKIP_TARGETS)
            .filtered(false)
            .actor(vec![calls(&[at], true, true)], |engine, id, delivery| {
                let stop = delivery.stop.expect("the session does not end");
                let mut regs = engine.registers(id, stop.tid()).expect("it is held");
                for name in ["rax", "orig_rax", "rdi", "rsi", "rdx", "rip"] {
                    assert!(regs.set(name, 0x5eed));
                }
                let set = engine.set_registers(id, stop.tid(), regs);
                set.expect("it is held");
                Reply::Abort
            })
            .run();
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)));
        let native = Trace::of(fixtures::SKIP_TARGETS).untraced();
        assert_eq!(traced.stdout, native.stdout);
    }
}

#[test]
fn c42_detached_from_a_rewritten_call_at_every_event() {
    let native = Trace::of(fixtures::REGS_KEPT).untraced();
    for reply in [Reply::Leave, Reply::Abort] {
        for last in 0.. {
            let mut count = 0;
            let traced = Trace::of(fixtures::REGS_KEPT)
                .actor(everything(), |_, _, delivery| {
                    count += 1;
                    if count > last {
                        return reply;
                    }
                    Reply::Answer(match &delivery.event {
                        Event::SyscallEnter(stop) if name(stop) == "getppid" => Action::Rewrite {
                            nr: stop.call.nr,
                            args: [1, 2, 3, 4, 5, 6],
                        },
                        Event::SyscallEnter(stop) if name(stop) == "clone" => {
                            let [a, b, c, d, e, _] = stop.args;
                            Action::Rewrite {
                                nr: stop.call.nr,
                                args: [a, b, c, d, e, 7],
                            }
                        }
                        _ => Action::Proceed,
                    })
                })
                .run();
            assert_eq!(traced.stdout, native.stdout, "{reply:?} at event {last}");
            if count <= last {
                break;
            }
        }
    }
}

#[test]
fn c42_a_rewritten_call_that_blocks_is_the_target_s_own_again() {
    let pause = pai_syscalls::number(pai_syscalls::abi::X86_64, "pause").expect("a name");
    for _ in 0..50 {
        let target = Target::start(fixtures::ATTACH_SLEEPER, &[]);
        let tid = target.pid().leader();
        let mut engine = Engine::new(Follow::Yes).expect("a timer");
        engine.attach(&[target.pid()]).expect("it is there");
        let client = engine.add_client("rewriter").expect("room");
        let topic = calls(&["read"], true, false);
        engine.subscribe(client, topic).expect("a new session");
        engine.set_waiting(client, None);
        let turn = engine.turn(Block::Yes, &[]).expect("nothing fatal");
        assert!(matches!(turn, Turn::Mail(_)), "{turn:?}");
        let delivery = engine.take_mail(client).expect("mail");
        let answered = engine.answer(
            client,
            delivery.stop.expect("a stop"),
            Action::Rewrite {
                nr: pause,
                args: [9; 6],
            },
        );
        answered.expect("nothing fatal").expect("it is held");
        while state(tid) != Some('S') {
            std::thread::yield_now();
        }
        drop(engine);
        target.assert_untraced();
        // It would pause for ever.
        target.expect_ok();
    }
}

#[test]
fn c33_parent_and_child_have_memory_of_their_own() {
    // Breakpoints there are none yet; a child has what its parent had.
    for (fixture, kind) in [
        (fixtures::FORK_EXIT, NewTask::Fork),
        (fixtures::VFORK_EXIT, NewTask::Vfork),
    ] {
        let mut code = BTreeMap::new();
        let mut child = None;
        let traced = Trace::of(fixture)
            .client(everything(), |engine, _, delivery| {
                match &delivery.event {
                    Event::Forked {
                        child: pid,
                        kind: how,
                        ..
                    } => {
                        assert_eq!(*how, kind);
                        child = Some(*pid);
                    }
                    Event::SyscallEnter(stop) if child.is_some() => {
                        let bytes = engine.read(stop.pid, stop.ip - 2, 2).expect("code");
                        assert_eq!(bytes, [0x0f, 0x05]);
                        let page = engine.read(stop.pid, stop.ip & !0xfff, 4096);
                        code.insert(stop.pid, page.expect("code"));
                    }
                    Event::ProcessExited { pid, .. } => {
                        assert_eq!(engine.read(*pid, 0, 1), Err(Error::NoSuchProcess(*pid)));
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        // Both end in the same exit_group.
        let child = child.expect("a child");
        assert_eq!(code[&child], code[&traced.pid]);
    }
}
