//! System calls: cases 18 to 28 of docs/TESTING.md.

use std::cell::RefCell;

use pai_engine::{Action, Event, ExitStatus, Topic};
use pai_ptrace::{Pid, Signal};
use pai_syscalls::abi::{I386, X86_64};
use pai_tests::fixtures;
use pai_tests::flow::{call, flow, started, watch};
use pai_tests::trace::{Trace, all_syscalls, calls, entered, everything, name};

/// One field of /proc/PID/status.
fn status(pid: Pid, name: &str) -> String {
    pai_engine::procfs::status_field(pid.leader(), name).expect("it is there")
}

#[test]
fn c20_a_filter_of_the_target_that_asks_for_a_tracer_gets_none() {
    let (traced, events) = watch(fixtures::SECCOMP_TRACE_NO_TRACER);
    traced.expect(0, "ENOSYS\n");
    let leader = traced.pid.leader();
    let lines = flow(&events, leader, &["seccomp", "getppid"]);
    let expected = [
        "seccomp",
        "seccomp = 0",
        "getppid",
        "getppid = -38",
        "exited with 0",
    ];
    assert_eq!(lines, expected);
    for topics in [vec![], vec![all_syscalls()], vec![Topic::AllStops]] {
        Trace::of(fixtures::SECCOMP_TRACE_NO_TRACER)
            .leaver(topics)
            .run_like_untraced()
            .expect(0, "ENOSYS\n");
    }
}

#[test]
fn c21_nothing_is_installed_in_the_target() {
    let seccomp = |pid| ["Seccomp", "NoNewPrivs"].map(|field| status(pid, field));
    let own = seccomp(Pid::new(std::process::id().cast_signed()));
    for topics in [vec![calls(&["exit_group"], true, false)], everything()] {
        let mut looks = 0;
        let traced = Trace::of(fixtures::HELLO)
            .filtered(false)
            .client(topics, |engine, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    assert_eq!(seccomp(stop.pid), own);
                    looks += 1;
                }
                drop(engine.targets());
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "hello\n");
        assert!(looks > 0);
    }
}

#[test]
fn c22_a_filter_of_its_own_refuses_and_traps() {
    let (traced, events) = watch(fixtures::SECCOMP_OWN_FILTER);
    traced.expect(0, "refused, trapped\n");
    let watched = ["getpgid", "getsid", "rt_sigreturn"];
    let lines = flow(&events, traced.pid.leader(), &watched);
    let expected = [
        "getpgid",
        "getpgid = -42",
        // Trapped: not executed, so the register still has the number.
        "getsid",
        "getsid = 124",
        "signal 31",
        "rt_sigreturn",
        "rt_sigreturn = 24301",
        "exited with 0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn c22_strict_mode() {
    let (traced, events) = watch(fixtures::SECCOMP_STRICT);
    traced.expect(9, "strict\n");
    let lines = flow(
        &events,
        traced.pid.leader(),
        &["prctl", "write", "exit", "exit_group"],
    );
    let expected = [
        "prctl",
        "prctl = 0",
        "write",
        "write = 7",
        "exit",
        "exited with 9",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn c22_killed_by_its_own_filter() {
    let by_filter = ExitStatus::Killed(Signal::new(31).expect("SIGSYS"), false);
    let (traced, events) = watch(fixtures::SECCOMP_KILL);
    assert_eq!(traced.status, Some(by_filter));
    // The other thread may be killed before its first stop.
    let ends = events.iter().filter_map(|event| match event {
        Event::TaskExited { tid, status, .. } => Some((*tid, *status)),
        _ => None,
    });
    let (leaders, others): (Vec<_>, Vec<_>) =
        ends.partition(|(tid, _)| *tid == traced.pid.leader());
    assert_eq!((leaders.len(), others.len()), (1, 1), "{events:?}");
    assert_eq!((leaders[0].1, others[0].1), (by_filter, by_filter));
    let mut lines = flow(&events, traced.pid.leader(), &["getppid"]);
    // The kernel has an exit for the call that kills, or has not.
    lines.retain(|line| line != "getppid = 110");
    assert_eq!(lines, ["getppid".to_owned(), by_filter.to_string()]);

    let (traced, events) = watch(fixtures::SECCOMP_KILL_THREAD);
    traced.expect(0, "thread killed\n");
    let [thread] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let lines = flow(&events, thread, &["getppid"]);
    assert_eq!(lines, ["getppid".to_owned(), by_filter.to_string()]);
    let lines = flow(&events, traced.pid.leader(), &["getppid"]);
    assert_eq!((lines.len(), lines[2].as_str()), (3, "exited with 0"));
}

#[test]
fn c22_a_supervisor_answers() {
    let (traced, events) = watch(fixtures::SECCOMP_UNOTIFY);
    traced.expect(0, "3 answers\n");
    let [thread] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let mut lines = flow(&events, thread, &["getppid"]);
    lines.retain(|line| line != "getppid");
    let expected = [
        "getppid = 24301",
        "getppid = 24302",
        "getppid = 24303",
        "exited with 0",
    ];
    assert_eq!(lines, expected);
    for topics in [vec![], vec![Topic::Signals(vec![])]] {
        Trace::of(fixtures::SECCOMP_UNOTIFY)
            .leaver(topics)
            .run_like_untraced();
    }
}

#[test]
fn c22_syscall_user_dispatch() {
    let (traced, events) = watch(fixtures::SUD);
    traced.expect(0, "3 dispatched\n");
    let lines = flow(
        &events,
        traced.pid.leader(),
        &["0x5eed", "0x5eee", "0x5eef", "rt_sigreturn"],
    );
    let mut expected = Vec::new();
    for n in 100..103 {
        expected.push("signal 31".to_owned());
        expected.push("rt_sigreturn".to_owned());
        expected.push(format!("rt_sigreturn = {n}"));
    }
    expected.push("exited with 0".to_owned());
    assert_eq!(lines, expected);
}

/// The kernel's own codes: never a result.
fn assert_no_restart_code(events: &[Event]) {
    for event in events {
        if let Event::SyscallExit(stop) = event {
            let code = stop.ret.is_some_and(|ret| (-516..=-512).contains(&ret));
            assert_eq!(stop.restarts, code, "{stop:?}");
        }
    }
}

#[test]
fn c23_a_call_that_a_signal_interrupts_says_that_it_restarts() {
    for _ in 0..20 {
        let (traced, events) = watch(fixtures::SIGNAL_IN_SYSCALL);
        traced.expect(0, "restarted, interrupted, time left\n");
        assert_no_restart_code(&events);
        let [thread] = started(&events)[..] else {
            panic!("{events:?}");
        };
        let lines = flow(
            &events,
            thread,
            &["read", "clock_nanosleep", "rt_sigreturn"],
        );
        let expected = [
            // With SA_RESTART: the handler returns into the call.
            "read",
            "read restarts",
            "signal 10",
            "rt_sigreturn",
            "rt_sigreturn = 0",
            "read",
            "read = 1",
            // Without: EINTR, which the handler's frame has already.
            "read",
            "read restarts",
            "signal 10",
            "rt_sigreturn",
            "rt_sigreturn = -4",
            "clock_nanosleep",
            "clock_nanosleep restarts",
            "signal 10",
            "rt_sigreturn",
            "rt_sigreturn = -4",
            "exited with 0",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn c23_a_call_that_a_stop_interrupts_goes_on_under_its_name() {
    let (traced, events) = watch(fixtures::RESTART_SYSCALL);
    traced.expect(0, "3 sleeps\n");
    assert_no_restart_code(&events);
    let [child] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let sleeps = [("clock_nanosleep", 0), ("poll", 0), ("futex", -110)];
    let names = ["restart_syscall", "clock_nanosleep", "poll", "futex"];
    let lines = flow(&events, child, &names);
    let mut left = lines.iter().map(String::as_str).peekable();
    for (sleep, result) in sleeps {
        assert_eq!(left.next(), Some(sleep), "{lines:?}");
        let mut end = left.next().expect("an exit").to_owned();
        // Where the machine stalls, a sleep may end before it is cut.
        if end == format!("{sleep} restarts") {
            let cut: Vec<_> = left.by_ref().take(5).collect();
            let again = format!("restart_syscall of {sleep}");
            let expected = [
                "signal 19",
                "stopped by 19",
                "continued",
                "signal 18",
                &again,
            ];
            assert_eq!(cut, expected, "{lines:?}");
            end = left.next().expect("an exit").to_owned();
            assert_eq!(end, format!("{again} = {result}"), "{lines:?}");
        } else {
            assert_eq!(end, format!("{sleep} = {result}"), "{lines:?}");
            while left.peek().is_some_and(|line| {
                line.starts_with("signal") || line.starts_with("stopped") || *line == "continued"
            }) {
                left.next();
            }
        }
    }
    assert_eq!(left.next(), Some("exited with 24"), "{lines:?}");
}

#[test]
fn c24_calls_that_do_not_exist() {
    let (traced, events) = watch(fixtures::SYSCALL_MINUS_ONE);
    traced.expect(0, "ENOSYS\n");
    let lines = flow(&events, traced.pid.leader(), &["0xffffffff", "0x1388"]);
    let expected = [
        "0xffffffff",
        "0xffffffff = -38",
        "0xffffffff",
        "0xffffffff = -38",
        "0x1388",
        "0x1388 = -38",
        "exited with 0",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn c25_the_abi_is_that_of_the_call() {
    let (traced, events) = watch(fixtures::INT80);
    traced.expect(80, "by syscall\nby int 0x80\n");
    let pid = traced.pid;
    let parent = std::process::id();
    let watched = [
        "getpid",
        "i386 getpid",
        "getppid",
        "i386 getppid",
        "write",
        "i386 write",
        "i386 close",
        "i386 exit_group",
    ];
    let lines = flow(&events, pid.leader(), &watched);
    let expected = [
        "getpid".to_owned(),
        format!("getpid = {pid}"),
        "i386 getpid".to_owned(),
        format!("i386 getpid = {pid}"),
        "getppid".to_owned(),
        format!("getppid = {parent}"),
        "i386 getppid".to_owned(),
        format!("i386 getppid = {parent}"),
        "write".to_owned(),
        "write = 11".to_owned(),
        "i386 write".to_owned(),
        "i386 write = 12".to_owned(),
        "i386 close".to_owned(),
        "i386 close = -9".to_owned(),
        "i386 exit_group".to_owned(),
        "exited with 80".to_owned(),
    ];
    assert_eq!(lines, expected);
    // Of a register only the half that such a call looks at.
    let write = events.iter().find_map(|event| match event {
        Event::SyscallEnter(stop) if call(stop) == "i386 write" => Some(stop),
        _ => None,
    });
    assert_eq!(write.expect("seen above").args[0], 1);
    assert!(execs_of(&events).iter().all(|abi| *abi == X86_64));
}

/// The ABIs of the programs that were executed.
fn execs_of(events: &[Event]) -> Vec<u32> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Execed(exec) => Some(exec.abi),
            _ => None,
        })
        .collect()
}

#[test]
fn c25_programs_that_make_nothing_but_32_bit_calls() {
    for (fixture, abi, expected, stdout, code) in [
        (
            fixtures::INT80_STATIC,
            X86_64,
            ["i386 write = 6", "i386 exit_group"],
            "int80\n",
            5,
        ),
        (
            fixtures::HELLO_32,
            I386,
            ["i386 write = 6", "i386 exit"],
            "hello\n",
            32,
        ),
    ] {
        let (traced, events) = watch(fixture);
        traced.expect(code, stdout);
        assert_eq!(execs_of(&events), [abi]);
        let calls: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::SyscallExit(stop) if name(stop) != "execve" => {
                    Some(format!("{} = {}", call(stop), stop.ret.expect("an exit")))
                }
                Event::SyscallEnter(stop) if name(stop).starts_with("exit") => Some(call(stop)),
                _ => None,
            })
            .collect();
        assert_eq!(calls, expected);
    }
}

#[test]
fn c25_a_jump_into_32_bit_code_and_back() {
    let (traced, events) = watch(fixtures::FAR_JUMP_32);
    traced.expect(0, "3 trips\n");
    let pid = traced.pid;
    let lines = flow(&events, pid.leader(), &["i386 getpid", "getppid"]);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push("i386 getpid".to_owned());
        expected.push(format!("i386 getpid = {pid}"));
        expected.push("getppid".to_owned());
        expected.push(format!("getppid = {}", std::process::id()));
    }
    expected.push("exited with 0".to_owned());
    assert_eq!(lines, expected);
    assert_eq!(execs_of(&events), [X86_64]);
}

#[test]
fn c25_a_name_is_that_call_in_every_abi() {
    let seen = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::INT80)
        .client(
            vec![calls(&["getpid", "write"], true, false)],
            |_, _, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    seen.borrow_mut().push(call(stop));
                }
                Some(Action::Proceed)
            },
        )
        .run_like_untraced();
    traced.expect(80, "by syscall\nby int 0x80\n");
    let expected = ["getpid", "i386 getpid", "write", "i386 write"];
    assert_eq!(*seen.borrow(), expected);
}

#[test]
fn c25_x32_calls_are_no_64_bit_calls() {
    let (traced, events) = watch(fixtures::X32_CALL);
    let lines = flow(&events, traced.pid.leader(), &["getpid", "0x40000027"]);
    // Where the kernel has x32, it works, and getpid follows.
    let result = match traced.stdout.as_str() {
        "ENOSYS\n" => "0x40000027 = -38".to_owned(),
        _ => format!("0x40000027 = {}", traced.pid),
    };
    assert_eq!(lines[..2], ["0x40000027".to_owned(), result]);
    // The name means the call of the ABIs that have names here.
    let events = RefCell::new(Vec::new());
    Trace::of(fixtures::X32_CALL)
        .log(vec![calls(&["getpid"], true, true)], &events)
        .run_like_untraced();
    for event in events.borrow().iter() {
        if let Event::SyscallEnter(stop) = event {
            assert_eq!(stop.call.nr, 39);
        }
    }
}

/// What a process does between its two getppid.
fn between_getppids(events: &[Event]) -> Vec<String> {
    let is_getppid = |event: &&Event| matches!(event, Event::SyscallEnter(stop) | Event::SyscallExit(stop) if name(stop) == "getppid");
    let calls = |event: &Event| match event {
        Event::SyscallEnter(stop) => Some(name(stop).to_owned()),
        Event::SyscallExit(_) => None,
        other => Some(other.name().to_owned()),
    };
    let mut ends = events.iter().enumerate().filter(|(_, e)| is_getppid(e));
    let (from, _) = ends.nth(1).expect("an exit");
    let (to, _) = ends.next().expect("a second one");
    assert_eq!(ends.count(), 1);
    events[from + 1..to].iter().filter_map(calls).collect()
}

#[test]
fn c26_the_vsyscall_page_makes_no_call() {
    let (traced, events) = watch(fixtures::VSYSCALL_TIME);
    let between = between_getppids(&events);
    if traced.stdout == "works\n" {
        // Of sigsetjmp.
        assert_eq!(between, ["rt_sigprocmask"]);
    } else {
        traced.expect(0, "SIGSEGV\n");
        assert!(!between.contains(&"gettimeofday".to_owned()), "{between:?}");
    }
}

#[test]
fn c27_the_vdso_makes_no_call() {
    let (traced, events) = watch(fixtures::VDSO_TIME);
    traced.expect(0, "1000 times\n");
    let between = between_getppids(&events);
    // Where the vDSO has no clock, it makes every one of the calls.
    let all = vec!["clock_gettime".to_owned(); 1000];
    assert!(between.is_empty() || between == all, "{between:?}");
}

#[test]
fn c27_io_uring_works_unseen() {
    let (traced, events) = watch(fixtures::IO_URING_WRITE);
    traced.expect(0, "by io_uring\n");
    let entered = entered(&events);
    assert_eq!(entered.get("write"), None);
    assert_eq!(entered["io_uring_setup"], 1);
    assert_eq!(entered["io_uring_enter"], 1);
}

#[test]
fn c28_a_sigreturn_restores_a_register_and_has_no_result() {
    let (traced, events) = watch(fixtures::SIGRETURN_REGS);
    traced.expect(0, "4 returns\n");
    let lines = flow(&events, traced.pid.leader(), &["tgkill", "rt_sigreturn"]);
    let mut expected = Vec::new();
    // The last two look like restart codes and restart nothing.
    for restored in [0x5eed_0000_0000_0001_i64, -4, -512, -516] {
        for line in ["tgkill", "tgkill = 0", "signal 10", "rt_sigreturn"] {
            expected.push(line.to_owned());
        }
        expected.push(format!("rt_sigreturn = {restored}"));
    }
    expected.push("exited with 0".to_owned());
    assert_eq!(lines, expected);
    for topics in [vec![], vec![all_syscalls()], vec![Topic::Signals(vec![])]] {
        Trace::of(fixtures::SIGRETURN_REGS)
            .leaver(topics)
            .run_like_untraced();
    }
}
