//! What clients decided about a stop holds when another client has the task go on from
//! there.

use std::cell::{Cell, RefCell};

use pai_engine::{
    Action, ClientId, Delivery, Engine, Event, ExitStatus, HookSite, Outcome, Step, StopId, Topic,
};
use pai_ptrace::Signal;
use pai_syscalls::abi::X86_64;
use pai_tests::fixtures;
use pai_tests::hooks::BOTH;
use pai_tests::probe::tells;
use pai_tests::trace::{Trace, Traced, all_syscalls, calls, name, proceed};

/// SIGUSR1
const FIRST: i32 = 10;

fn first() -> Signal {
    Signal::new(FIRST).expect("a signal")
}

fn number(name: &str) -> u32 {
    pai_syscalls::number(X86_64, name).expect("a name")
}

/// Steps once from each stop that a test chooses, and lets the task go on then.
#[derive(Default)]
struct Stepper {
    held: Cell<Option<StopId>>,
    /// Steps that have ended.
    done: Cell<u64>,
}

impl Stepper {
    fn serve(
        &self,
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
        here: impl Fn(&Event) -> bool,
    ) -> Option<Action> {
        match &delivery.event {
            Event::OperationDone(done) => {
                if matches!(done.outcome, Ok(Outcome::Stepped(_))) {
                    self.done.set(self.done.get() + 1);
                    proceed(engine, client, self.held.take().expect("held"));
                }
                None
            }
            event if here(event) => {
                let tid = event.tid().expect("a task");
                self.held.set(delivery.stop);
                engine
                    .start_step(client, tid, Step::count(1), None)
                    .expect("it is held");
                None
            }
            _ => Some(Action::Proceed),
        }
    }
}

/// Runs a target with a client that decides and one that steps, where the first has
/// another action than to proceed; how often it has stepped.
#[track_caller]
fn run<'a>(
    target: Trace<'a>,
    topics: &[Topic],
    decide: impl Fn(&mut Engine, ClientId, &Event) -> Action + 'a,
    here: impl Fn(&Event) -> bool + 'a,
) -> (Traced, u64) {
    let stepper = Stepper::default();
    let traced = target
        .client(topics.to_vec(), |engine, client, delivery| {
            Some(decide(engine, client, &delivery.event))
        })
        .client(topics.to_vec(), |engine, client, delivery| {
            stepper.serve(engine, client, delivery, &here)
        })
        .run();
    assert!(traced.diagnostics.is_empty(), "{traced:?}");
    (traced, stepper.done.get())
}

fn is_entry_of(event: &Event, of: &str) -> bool {
    matches!(event, Event::SyscallEnter(stop) if name(stop) == of)
}

#[test]
fn calls_that_are_skipped_or_changed() {
    let calls_of_parent = Cell::new(0);
    let decide = |_: &mut Engine, _: ClientId, event: &Event| match event {
        Event::SyscallEnter(stop) => match name(stop) {
            "getppid" => {
                calls_of_parent.set(calls_of_parent.get() + 1);
                match calls_of_parent.get() {
                    1 => Action::Rewrite {
                        nr: number("getpid"),
                        args: stop.args,
                    },
                    2 => Action::Skip(4711),
                    _ => Action::StandIn {
                        nr: number("getuid"),
                        ret: 4712,
                    },
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
    };
    let (traced, steps) = run(
        Trace::of(fixtures::SKIP_TARGETS),
        &[all_syscalls()],
        decide,
        |event| {
            ["getppid", "write", "open"]
                .iter()
                .any(|of| is_entry_of(event, of))
                || matches!(event, Event::SyscallExit(stop) if name(stop) == "read")
        },
    );
    let pid = traced.pid;
    let expected = format!(
        "skip_targetsgetppid: {pid}, 4711, 4712\nwrite: 12\nopen: errno 13\nread: 5 from the pipe\n"
    );
    traced.expect(0, &expected);
    assert!(steps > 5, "{steps}");
}

#[test]
fn signals_that_are_swallowed_or_others() {
    let seen = RefCell::new(Vec::new());
    let (traced, steps) = run(
        Trace::of(fixtures::EXIT_SIGNAL).arg(FIRST),
        &[Topic::Signals(Vec::new())],
        |_, _, event| {
            if let Event::Signal(stop) = event {
                seen.borrow_mut().push(stop.signal);
            }
            Action::Deliver(None)
        },
        |event| matches!(event, Event::Signal(_)),
    );
    traced.expect(0, "survived\n");
    assert_eq!((seen.take(), steps), (vec![first()], 1));

    let (traced, _) = run(
        Trace::of(fixtures::EXIT_SIGNAL).arg(FIRST),
        &[Topic::Signals(Vec::new())],
        |_, _, _| Action::Deliver(Some(Signal::TERM)),
        |event| matches!(event, Event::Signal(_)),
    );
    let status = ExitStatus::Killed(Signal::TERM, false);
    assert_eq!(traced.status, Some(status), "{traced:?}");
}

/// What was decided about one signal is not about the next, at which the steps end.
#[test]
fn a_signal_that_comes_in_the_steps() {
    let seen = Cell::new(0);
    let held = Cell::new(None);
    let operation = Cell::new(None);
    let topics = vec![Topic::Signals(Vec::new()), calls(&["write"], true, false)];
    let traced = Trace::of(fixtures::EXIT_SIGNAL)
        .arg(FIRST)
        .client(vec![Topic::Signals(Vec::new())], |_, _, delivery| {
            if !matches!(delivery.event, Event::Signal(_)) {
                return Some(Action::Proceed);
            }
            seen.set(seen.get() + 1);
            Some(match seen.get() {
                1 => Action::Deliver(None),
                _ => Action::Proceed,
            })
        })
        .client(topics, |engine, client, delivery| {
            match &delivery.event {
                Event::Signal(stop) => match operation.get() {
                    None => {
                        held.set(delivery.stop);
                        let all = Step::count(1 << 40);
                        let id = engine.start_step(client, stop.tid, all, None);
                        operation.set(Some(id.expect("it is held")));
                        return None;
                    }
                    Some(id) => engine.cancel(client, id).expect("it goes on"),
                },
                Event::SyscallEnter(stop) => {
                    let pid = nix::unistd::Pid::from_raw(stop.pid.get());
                    let signal = nix::sys::signal::Signal::SIGUSR1;
                    nix::sys::signal::kill(pid, signal).expect("it is there");
                }
                Event::OperationDone(_) => {
                    proceed(engine, client, held.take().expect("held"));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    let status = ExitStatus::Killed(first(), false);
    assert_eq!(traced.status, Some(status), "{traced:?}");
    assert_eq!((traced.stdout.as_str(), seen.get()), ("survived\n", 2));
}

#[test]
fn functions_that_return_early() {
    for (entry, expected) in [
        (true, "first: ours\nsecond: ours\n"),
        (false, "first: ours\nsecond: ours\n"),
    ] {
        let decide = |engine: &mut Engine, client: ClientId, event: &Event| match event {
            Event::SyscallEnter(stop) if stop.args[0] == 0x5307 => {
                let slot = engine.got_slot(stop.pid, "sym_got", "getpgrp");
                let slot = slot.expect("a module").expect("a slot");
                engine
                    .insert_hook(client, stop.pid, HookSite::GotSlot(slot), BOTH)
                    .expect("a slot");
                Action::Proceed
            }
            Event::FunctionEnter(_) if entry => Action::ReturnEarly(4711),
            Event::FunctionReturn(_) if !entry => Action::SetReturn(4711),
            _ => Action::Proceed,
        };
        // The stepper has a hook of its own: it is offered the same stop.
        let stepper = Stepper::default();
        let traced = Trace::of(fixtures::SYM_GOT)
            .client(vec![tells()], |engine, client, delivery| {
                Some(decide(engine, client, &delivery.event))
            })
            .client(vec![tells()], |engine, client, delivery| {
                decide(engine, client, &delivery.event);
                stepper.serve(engine, client, delivery, |event| match event {
                    Event::FunctionEnter(_) => entry,
                    Event::FunctionReturn(_) => !entry,
                    _ => false,
                })
            })
            .run();
        traced.expect(0, expected);
        assert_eq!(stepper.done.get(), 2);
    }
}

#[test]
fn who_is_killed_does_nothing_more() {
    let (traced, steps) = run(
        Trace::of(fixtures::SKIP_TARGETS),
        &[calls(&["write"], true, false)],
        |_, _, event| match is_entry_of(event, "write") {
            true => Action::Kill,
            false => Action::Proceed,
        },
        |event| is_entry_of(event, "write"),
    );
    assert_eq!(
        traced.status,
        Some(ExitStatus::Killed(Signal::KILL, false)),
        "{traced:?}"
    );
    assert_eq!((traced.stdout.as_str(), steps), ("", 0));
}

/// A signal that is sent with a call comes behind that call.
#[test]
fn signals_that_are_raised() {
    for topic in [all_syscalls(), calls(&["getppid"], true, false)] {
        let signals = RefCell::new(Vec::new());
        let (traced, steps) = run(
            Trace::of(fixtures::SKIP_TARGETS),
            &[topic, Topic::Signals(Vec::new())],
            |engine, client, event| {
                match event {
                    Event::SyscallEnter(stop) if name(stop) == "getppid" => {
                        let urgent = Signal::new(23).expect("a signal");
                        engine.raise(client, stop.tid, urgent).expect("held");
                    }
                    Event::Signal(stop) => signals
                        .borrow_mut()
                        .push((stop.signal.get(), stop.info.expect("siginfo").code())),
                    _ => {}
                }
                Action::Proceed
            },
            |event| is_entry_of(event, "getppid"),
        );
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
        // SI_KERNEL
        assert_eq!((signals.take(), steps), (vec![(23, 0x80); 3], 3));
    }
}
