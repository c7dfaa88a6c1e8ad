//! Signals and group-stops: cases 13 to 17 of docs/TESTING.md.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nix::libc;
use nix::sys::signal::Signal as NixSignal;
use pai_engine::observe::{Overflow, buffer};
use pai_engine::{
    Action, Block, ClientId, Diagnostic, Engine, Event, ExitStatus, Follow, OtherStop, SignalStop,
    Topic, Turn,
};
use pai_ptrace::{SigInfo, Signal, Tid, tgkill};
use pai_tests::fixtures;
use pai_tests::flow::{flow, forked, started, watch};
use pai_tests::target::{Target, state};
use pai_tests::trace::{Reply, Trace, all_syscalls, assert_paired, calls, everything, input};

fn signals() -> Topic {
    Topic::Signals(Vec::new())
}

fn number(number: i32) -> Signal {
    Signal::new(number).expect("a signal")
}

fn signals_of(events: &[Event], tid: Tid) -> Vec<&SignalStop> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Signal(stop) if stop.tid == tid => Some(stop),
            _ => None,
        })
        .collect()
}

fn info(stop: &SignalStop) -> &SigInfo {
    stop.info.as_ref().expect("siginfo")
}

/// Signal and si_code.
fn codes(stops: &[&SignalStop]) -> Vec<(i32, i32)> {
    stops
        .iter()
        .map(|stop| {
            assert_eq!(info(stop).signal(), stop.signal.get());
            (stop.signal.get(), info(stop).code())
        })
        .collect()
}

#[test]
fn c13_the_target_s_own_sigtraps_are_signals() {
    let (traced, events) = watch(fixtures::SIGTRAP_OWN);
    traced.expect(0, "4 handled, 1 ignored, 2 died\n");
    let leader = traced.pid.leader();
    let mut own = signals_of(&events, leader);
    own.retain(|stop| stop.signal == Signal::TRAP);
    let expected = [
        libc::SI_TKILL,
        libc::SI_USER,
        // int3, then a single step that it asked for.
        libc::SI_KERNEL,
        libc::TRAP_TRACE,
        // Ignored, which only shows later.
        libc::SI_USER,
    ];
    assert_eq!(codes(&own), expected.map(|code| (libc::SIGTRAP, code)));
    let pid = Some(traced.pid.get());
    let senders: Vec<_> = own.iter().map(|stop| info(stop).sender()).collect();
    assert_eq!(senders, [pid, pid, None, None, pid]);
    let children = started(&events);
    assert_eq!(children.len(), 2);
    for child in children {
        let stops = signals_of(&events, child);
        assert_eq!(codes(&stops), [(libc::SIGTRAP, libc::SI_KERNEL)]);
    }
    for topics in [vec![], vec![signals()], vec![all_syscalls()]] {
        Trace::of(fixtures::SIGTRAP_OWN)
            .leaver(topics)
            .run_like_untraced();
    }
}

#[test]
fn c13_every_stop_is_what_its_status_says() {
    for fixture in [fixtures::VFORK_EXEC, fixtures::SIGCONT_HANDLER] {
        let (_, events) = watch(fixture);
        let mut kinds = 0;
        for event in &events {
            if let Event::Stop { status, kind, .. } = event {
                let number = match kind {
                    OtherStop::Interrupt => libc::PTRACE_EVENT_STOP,
                    OtherStop::VforkDone => libc::PTRACE_EVENT_VFORK_DONE,
                    OtherStop::Exit => libc::PTRACE_EVENT_EXIT,
                    OtherStop::Start => panic!("{event:?}"),
                };
                assert_eq!(*status, number << 16 | libc::SIGTRAP << 8 | 0x7f);
                kinds += 1;
            }
        }
        assert!(kinds >= 3, "{events:?}");
    }
}

#[test]
fn c14_all_threads_stop_and_go_on_together() {
    let (traced, events) = watch(fixtures::GROUP_STOP_THREADS);
    traced.expect(0, "3 group stops\n");
    let tasks = started(&events);
    assert_eq!(tasks.len(), 8);
    let mut deliveries = Vec::new();
    let mut most = 0;
    for tid in tasks {
        let mut stopped = false;
        let mut stops = 0;
        for line in flow(&events, tid, &[]) {
            match line.as_str() {
                "signal 19" | "signal 18" => deliveries.push(line),
                "stopped by 19" => {
                    assert!(!stopped, "{tid} stopped twice: {events:?}");
                    stopped = true;
                    stops += 1;
                }
                "continued" => {
                    assert!(stopped, "{tid} continued twice: {events:?}");
                    stopped = false;
                }
                killed => assert_eq!(killed, "killed by signal 9"),
            }
        }
        // One that has not got on since the last stop just stays; the last
        // ends in death.
        assert!((1..=4).contains(&stops), "{tid} stopped {stops} times");
        most = most.max(stops);
    }
    assert!(most >= 3, "{events:?}");
    deliveries.sort();
    // One thread takes each; the second SIGSTOP of each round ends unseen.
    let expected = [["signal 18"; 3].as_slice(), &["signal 19"; 4]].concat();
    assert_eq!(deliveries, expected);
}

#[test]
fn c14_threads_may_be_born_into_a_stop() {
    const ROUNDS: usize = 300;
    let target = Target::start(fixtures::THREAD_CHURN, &[]);
    let leader = target.pid().leader();
    let mut states = BTreeMap::new();
    let mut rounds = 0;
    // Whether the leader makes threads, and no stop is on its way.
    let mut runs = true;
    let topics = vec![Topic::JobControl, Topic::Tasks, all_syscalls()];
    let traced = Trace::attached(&[target.pid()])
        .actor(topics, |engine, _, delivery| {
            match delivery.event {
                // A thread stops all, while the leader may be making the next.
                Event::SyscallExit(stop) if runs && stop.tid != leader => {
                    runs = false;
                    let sent = engine.send_signal(stop.tid, Signal::STOP);
                    sent.expect("it is there");
                }
                Event::JobControl { tid, stopped, .. } => {
                    // Each task is told of by turns, first that it has stopped.
                    let before = states.insert(tid, stopped).unwrap_or(false);
                    assert_ne!(before, stopped, "{tid} in round {rounds}");
                    if tid == leader && stopped {
                        target.signal(NixSignal::SIGCONT);
                    } else if tid == leader {
                        runs = true;
                        rounds += 1;
                    }
                }
                _ => {}
            }
            if rounds < ROUNDS {
                Reply::Answer(Action::Proceed)
            } else {
                Reply::Leave
            }
        })
        .run();
    traced.end.expect("nothing fatal");
    target.expect_ok();
}

#[test]
fn c14_a_child_stops_itself() {
    let (traced, events) = watch(fixtures::SIGSTOP_CONT);
    traced.expect(0, "3 stops\n");
    let [child] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let round = ["signal 19", "stopped by 19", "continued", "signal 18"];
    let expected = [round, round, round].concat();
    let lines = flow(&events, child, &[]);
    assert_eq!(lines[..12], expected);
    assert_eq!(lines[12..], ["exited with 0"]);
}

#[test]
fn c14_every_stop_signal_stops_unless_it_is_ignored() {
    let (traced, events) = watch(fixtures::SIGTSTP_TTIN);
    traced.expect(0, "SIGTSTP SIGTTIN SIGTTOU\n");
    let [child] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let mut expected = Vec::new();
    for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        expected.push(format!("signal {signal}"));
        expected.push(format!("stopped by {signal}"));
        expected.push("continued".to_owned());
        expected.push("signal 18".to_owned());
        // Ignored.
        expected.push(format!("signal {signal}"));
    }
    expected.push("exited with 23".to_owned());
    assert_eq!(flow(&events, child, &[]), expected);
}

#[test]
fn c14_a_job_of_two_processes() {
    let (traced, events) = watch(fixtures::JOB_CONTROL);
    traced.expect(0, "stopped, continued, done\n");
    let children = forked(&events);
    assert_eq!(children.len(), 2);
    for (child, code) in children.into_iter().zip(41..) {
        let expected = [
            "signal 20".to_owned(),
            "stopped by 20".to_owned(),
            "continued".to_owned(),
            "signal 18".to_owned(),
            format!("exited with {code}"),
        ];
        assert_eq!(flow(&events, child, &[]), expected);
    }
}

#[test]
fn c14_stops_without_anybody_interested() {
    for fixture in [
        fixtures::GROUP_STOP_THREADS,
        fixtures::SIGSTOP_CONT,
        fixtures::SIGTSTP_TTIN,
        fixtures::JOB_CONTROL,
        fixtures::SIGCONT_HANDLER,
    ] {
        for topics in [vec![], vec![all_syscalls()], vec![Topic::JobControl]] {
            let events = RefCell::new(Vec::new());
            Trace::of(fixture).log(topics, &events).run_like_untraced();
            assert_paired(&events.borrow());
        }
    }
}

#[test]
fn c14_a_suppressed_stop_signal_stops_nobody() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let mut suppressed = 0;
    let mut sent = false;
    let topics = vec![all_syscalls(), signals(), Topic::JobControl];
    let traced = Trace::attached(&[target.pid()])
        .actor(topics, |_, _, delivery| match &delivery.event {
            Event::Signal(stop) => {
                assert_eq!(stop.signal, Signal::STOP);
                suppressed += 1;
                sent = false;
                Reply::Answer(Action::Deliver(None))
            }
            Event::SyscallEnter(_) | Event::SyscallExit(_) => {
                if suppressed == 50 {
                    return Reply::Leave;
                }
                if !sent {
                    target.signal(NixSignal::SIGSTOP);
                    sent = true;
                }
                Reply::Answer(Action::Proceed)
            }
            other => panic!("{other:?}"),
        })
        .run();
    traced.end.expect("nothing fatal");
    target.assert_untraced();
    target.expect_ok();
}

#[test]
fn c14_a_stop_of_the_target_itself_is_told_to_the_user() {
    for _ in 0..20 {
        let (fd, end) = input();
        let mut end = Some(end);
        let topics = vec![calls(&["write"], false, true), Topic::JobControl];
        let log = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::ATTACH_SLEEPER)
            .stdin(fd)
            .client(topics, |engine, _, delivery| {
                let mut send = |tid, signal| engine.send_signal(tid, signal).expect("it is there");
                match &delivery.event {
                    Event::SyscallExit(stop) if stop.ret == Some(6) => send(stop.tid, Signal::STOP),
                    Event::JobControl { tid, stopped, .. } => {
                        log.borrow_mut().push(*stopped);
                        // Held in the stop, it is not listening yet.
                        if *stopped {
                            send(*tid, Signal::CONT);
                        } else {
                            end = None;
                        }
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "ready\nok\n");
        assert_eq!(*log.borrow(), [true, false]);
        let pid = traced.pid;
        let signal = Signal::STOP;
        assert_eq!(
            traced.diagnostics,
            [Diagnostic::TargetStopped { pid, signal }]
        );
    }
}

#[test]
fn c15_sigcont_wakes_first_and_is_delivered_later() {
    let (traced, events) = watch(fixtures::SIGCONT_HANDLER);
    traced.expect(0, "6 SIGCONT, 3 SIGUSR1\n");
    let [child] = started(&events)[..] else {
        panic!("{events:?}");
    };
    let mut expected = Vec::new();
    for _ in 0..3 {
        // In the order of the kernel: not SIGCONT before all others.
        expected.extend([
            "signal 19",
            "stopped by 19",
            "continued",
            "signal 10",
            "signal 18",
        ]);
    }
    // Without a stop before.
    expected.extend(["signal 18"; 3]);
    expected.push("exited with 0");
    assert_eq!(flow(&events, child, &[]), expected);
}

#[test]
fn c15_a_suppressed_sigcont_has_woken_all_the_same() {
    let mut suppressed = 0;
    let traced = Trace::of(fixtures::SIGSTOP_CONT)
        .client(vec![signals()], |_, _, delivery| {
            Some(match &delivery.event {
                Event::Signal(stop) if stop.signal == Signal::CONT => {
                    suppressed += 1;
                    Action::Deliver(None)
                }
                _ => Action::Proceed,
            })
        })
        .run();
    traced.expect(0, "3 stops\n");
    assert_eq!(suppressed, 3);
}

#[test]
fn c16_no_signal_of_a_storm_is_lost() {
    for topics in [vec![], vec![signals()], vec![all_syscalls()], everything()] {
        let events = RefCell::new(Vec::new());
        Trace::of(fixtures::SIGNAL_STORM)
            .arg(200)
            .log(topics.clone(), &events)
            .run_like_untraced()
            .expect(0, "200 passes\n");
        assert_paired(&events.borrow());
        Trace::of(fixtures::SIGNAL_STORM)
            .leaver(topics)
            .run_like_untraced()
            .expect(0, "300 passes\n");
    }
}

#[test]
fn c16_signals_end_calls_as_without_us() {
    for topics in [vec![], vec![signals()], vec![all_syscalls()], everything()] {
        for fixture in [fixtures::SIGNAL_IN_SYSCALL, fixtures::RESTART_SYSCALL] {
            let events = RefCell::new(Vec::new());
            Trace::of(fixture)
                .log(topics.clone(), &events)
                .run_like_untraced();
        }
    }
}

/// Serves what there is, answering signals with `action`.
fn serve(engine: &mut Engine, client: ClientId, action: Action) {
    while let Turn::Mail(_) = engine.turn(Block::No, &[]).expect("nothing fatal") {
        while let Some(delivery) = engine.take_mail(client) {
            let action = match delivery.event {
                Event::Signal(_) => action,
                _ => Action::Proceed,
            };
            if let Some(stop) = delivery.stop {
                let answered = engine.answer(client, stop, action).expect("nothing fatal");
                answered.expect("it is held");
            }
        }
        engine.set_waiting(client, None);
    }
}

/// Who hears of the signals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Client,
    Observer,
}

/// Sends `signal` to each task of a process whose tasks all sleep in calls.
fn signal_sleepers(target: &Target, who: Who, topics: &[Topic], signal: Signal, action: Action) {
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    engine.attach(&[target.pid()]).expect("it is there");
    let (producer, consumer) = buffer(1000, Overflow::Drop);
    let client = match who {
        Who::Client => engine.add_client("signals"),
        Who::Observer => engine.add_observer("signals", Box::new(producer)),
    };
    let client = client.expect("room");
    for topic in topics {
        let subscribed = engine.subscribe(client, topic.clone());
        subscribed.expect("a new session");
    }
    engine.set_waiting(client, None);
    let tasks = target.tasks();
    while tasks.iter().any(|tid| state(*tid) != Some('S')) {
        serve(&mut engine, client, action);
    }
    for tid in &tasks {
        tgkill(target.pid(), *tid, signal.get()).expect("it is there");
    }
    while engine.stats().signals < tasks.len() as u64 {
        serve(&mut engine, client, action);
    }
    drop((engine, consumer));
    target.assert_untraced();
}

#[test]
fn c16_an_ignored_signal_interrupts_nothing() {
    // Without a tracer it never reaches the target; a tracer is told of it,
    // and for that the kernel interrupts the call. One with a time limit is not
    // started over: signals that come often would put it off for ever.
    let target = Target::start(fixtures::EINTR_BLOCKERS, &["endless"]);
    for topics in [vec![], vec![signals()], vec![all_syscalls()], everything()] {
        for signal in [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD, libc::SIGCONT] {
            for who in [Who::Client, Who::Observer] {
                signal_sleepers(&target, who, &topics, number(signal), Action::Proceed);
            }
        }
    }
    target.expect_ok();
}

#[test]
fn c16_a_suppressed_signal_interrupts_nothing() {
    let target = Target::start(fixtures::EINTR_BLOCKERS, &[]);
    for topics in [vec![signals()], everything()] {
        // One would be handled, one would kill, one would stop.
        for signal in [libc::SIGUSR2, libc::SIGTERM, libc::SIGSTOP] {
            let action = Action::Deliver(None);
            signal_sleepers(&target, Who::Client, &topics, number(signal), action);
        }
    }
    target.expect_ok();
}

#[test]
fn c17_every_real_time_signal_with_its_value() {
    let (traced, events) = watch(fixtures::RT_SIGNALS);
    traced.expect(0, "93 real-time signals\n");
    let stops = signals_of(&events, traced.pid.leader());
    let seen: Vec<_> = stops
        .iter()
        .map(|stop| {
            let value = &info(stop).to_bytes()[24..28];
            let value = i32::from_ne_bytes(value.try_into().expect("four bytes"));
            (stop.signal.get(), info(stop).sender(), value)
        })
        .collect();
    let mut expected = Vec::new();
    // glibc keeps two for itself.
    for signal in 34..=64 {
        for turn in 0..3 {
            let value = 0x5160_0000 + signal * 256 + turn;
            expected.push((signal, Some(traced.pid.get()), value));
        }
    }
    assert_eq!(seen, expected);
    assert!(stops.iter().all(|stop| info(stop).code() == libc::SI_QUEUE));
}

#[test]
fn c17_every_origin_of_a_signal() {
    let (traced, events) = watch(fixtures::SIGINFO_KINDS);
    traced.expect(0, "18 kinds\n");
    let stops = signals_of(&events, traced.pid.leader());
    let queued = 37;
    let expected = [
        (libc::SIGUSR1, libc::SI_USER),
        (libc::SIGUSR1, libc::SI_TKILL),
        (queued, libc::SI_QUEUE),
        (libc::SIGUSR1, -77),
        (queued, libc::SI_TIMER),
        (libc::SIGVTALRM, libc::SI_KERNEL),
        // POLL_IN
        (queued, 1),
        (libc::SIGPIPE, libc::SI_USER),
        (libc::SIGCHLD, libc::CLD_EXITED),
        (libc::SIGCHLD, libc::CLD_STOPPED),
        (libc::SIGCHLD, libc::CLD_CONTINUED),
        (libc::SIGCHLD, libc::CLD_KILLED),
        // SEGV_ACCERR, SEGV_MAPERR
        (libc::SIGSEGV, 2),
        (libc::SIGSEGV, 1),
        (libc::SIGSEGV, libc::SI_KERNEL),
        (libc::SIGBUS, libc::BUS_ADRERR),
        // FPE_INTDIV, ILL_ILLOPN
        (libc::SIGFPE, 1),
        (libc::SIGILL, 2),
    ];
    assert_eq!(codes(&stops), expected);
    let faults = stops[12..].iter();
    let known: Vec<_> = faults.map(|stop| info(stop).address().is_some()).collect();
    assert_eq!(known, [true, true, false, true, true, true]);
}

#[test]
fn c17_another_signal_instead() {
    let usr1 = number(libc::SIGUSR1);
    for (instead, status, stdout) in [
        (Some(usr1), ExitStatus::Killed(usr1, false), ""),
        (None, ExitStatus::Exited(0), "survived\n"),
        (Some(Signal::CONT), ExitStatus::Exited(0), "survived\n"),
        (
            Some(Signal::KILL),
            ExitStatus::Killed(Signal::KILL, false),
            "",
        ),
    ] {
        let mut seen = Vec::new();
        let traced = Trace::of(fixtures::EXIT_SIGNAL)
            .arg(libc::SIGTERM)
            .client(vec![signals()], |_, _, delivery| {
                if let Event::Signal(stop) = &delivery.event {
                    seen.push(stop.signal);
                    return Some(Action::Deliver(instead));
                }
                Some(Action::Proceed)
            })
            .run();
        assert_eq!((traced.status, &*traced.stdout), (Some(status), stdout));
        // What is delivered instead is not offered once more.
        assert_eq!(seen, [Signal::TERM]);
    }
}

#[test]
fn c17_the_first_to_choose_a_signal_wins() {
    let traced = Trace::of(fixtures::EXIT_SIGNAL)
        .arg(libc::SIGTERM)
        .client(vec![signals()], |_, _, delivery| {
            Some(match delivery.event {
                Event::Signal(_) => Action::Deliver(None),
                _ => Action::Proceed,
            })
        })
        .client(vec![signals()], |_, _, delivery| {
            Some(match &delivery.event {
                Event::Signal(stop) => Action::Deliver(Some(stop.signal)),
                _ => Action::Proceed,
            })
        })
        .run();
    traced.expect(0, "survived\n");
    assert_eq!(traced.stats.clashes, 1);
    assert!(matches!(
        traced.diagnostics[..],
        [Diagnostic::Clash { tid, .. }] if tid == traced.pid.leader()
    ));
}

/// What ignored signals do to a call with a time limit, and a stop to any.
#[test]
fn c16_time_limits_hold_and_stops_show() {
    for topics in [vec![], vec![signals()], everything()] {
        let traced = Trace::of(fixtures::TIMED_WAIT)
            .log(topics, &RefCell::new(Vec::new()))
            .run();
        traced.expect(0, "in time\nstopped: EINTR\n");
    }
}
