//! Several clients with breakpoints, steps and memory in one target, of which
//! one goes.

use std::cell::{Cell, RefCell};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::libc;
use pai_engine::observe::{Consumer, Overflow, buffer};
use pai_engine::{
    Action, BreakpointId, BreakpointKind, BreakpointOptions, ClientId, Delivery, Engine, Event,
    ExitStatus, Protection, Step, SyscallFilter, SyscallSet, Topic,
};
use pai_ptrace::{SigInfo, Signal, Tid};
use pai_syscalls::decode::Limits;
use pai_tests::fixtures;
use pai_tests::probe::{Told, tells, told};
use pai_tests::trace::{Reply, Trace, calls, name};

/// A client that counts hits, and takes its breakpoint away at the end.
#[derive(Default)]
struct Stays {
    hits: Cell<u64>,
    own: RefCell<Vec<BreakpointId>>,
}

fn insert(engine: &mut Engine, client: ClientId, told: &Told) -> BreakpointId {
    let options = BreakpointOptions::default();
    engine
        .insert_breakpoint(client, told.pid, told.args[0], options)
        .expect("code")
}

impl Stays {
    fn serve(&self, engine: &mut Engine, client: ClientId, delivery: &Delivery) -> Option<Action> {
        match told(&delivery.event) {
            Some(told) if told.code == 0x1234 => {
                self.own.borrow_mut().push(insert(engine, client, &told));
            }
            Some(told) if told.code == 0x1235 => {
                for id in self.own.take() {
                    engine.remove_breakpoint(client, id).expect("it is there");
                }
            }
            _ => {}
        }
        if let Event::Breakpoint(_) = delivery.event {
            self.hits.set(self.hits.get() + 1);
        }
        Some(Action::Proceed)
    }
}

fn target() -> Trace<'static> {
    Trace::of(fixtures::BP_THREADS).arg(4).arg(200).arg("clean")
}

/// Runs the target with a client that stays and one that does something at its
/// twentieth hit, in both orders.
#[track_caller]
fn run(goes: impl Fn(&mut Engine, ClientId, &Delivery, u64) -> Reply) {
    for first in [true, false] {
        let stays = Stays::default();
        let hits = Cell::new(0);
        let going = |engine: &mut Engine, client: ClientId, delivery: &Delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1234
            {
                insert(engine, client, &told);
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
            }
            goes(engine, client, delivery, hits.get())
        };
        let staying = |engine: &mut Engine, client: ClientId, delivery: &Delivery| {
            stays.serve(engine, client, delivery)
        };
        let traced = if first {
            target()
                .actor(vec![tells()], going)
                .client(vec![tells()], staying)
                .run_like_untraced()
        } else {
            target()
                .client(vec![tells()], staying)
                .actor(vec![tells()], going)
                .run_like_untraced()
        };
        assert_eq!(stays.hits.get(), 800, "{traced:?}");
    }
}

/// It steps a task that comes to its breakpoint again on the way, and goes
/// there: it holds the task twice over.
#[test]
fn one_leaves_at_a_hit_within_its_own_steps() {
    let stepped: Cell<Option<Tid>> = Cell::new(None);
    run(|engine, client, delivery, hits| {
        let Event::Breakpoint(hit) = delivery.event else {
            return Reply::Answer(Action::Proceed);
        };
        if hits == 20 {
            engine
                .start_step(client, hit.tid, Step::count(1 << 40), None)
                .expect("it is held");
            stepped.set(Some(hit.tid));
            return Reply::Hold;
        }
        if stepped.get() == Some(hit.tid) {
            stepped.set(None);
            return Reply::Leave;
        }
        Reply::Answer(Action::Proceed)
    });
}

/// It leaves the process, and stays in the session: nothing of it is in memory.
#[test]
fn one_leaves_the_process() {
    run(|_, _, delivery, hits| {
        let hit = matches!(delivery.event, Event::Breakpoint(_));
        Reply::Answer(if hit && hits == 20 {
            Action::Detach
        } else {
            Action::Proceed
        })
    });
    run(|engine, client, delivery, hits| {
        if let Event::Breakpoint(hit) = delivery.event
            && hits == 20
        {
            engine.leave_process(client, hit.pid).expect("it is there");
        }
        Reply::Answer(Action::Proceed)
    });
}

/// It leaves the process, and others can have the debug registers.
#[test]
fn one_leaves_the_process_and_its_debug_registers() {
    let all = |engine: &mut Engine, client, told: &Told, offset| {
        let kinds = [
            BreakpointKind::HardwareExecute,
            BreakpointKind::Access(1),
            BreakpointKind::Access(2),
            BreakpointKind::Access(4),
        ];
        kinds.map(|kind| {
            let options = BreakpointOptions {
                kind,
                ..BreakpointOptions::default()
            };
            engine.insert_breakpoint(client, told.pid, told.args[0] + offset, options)
        })
    };
    let at = RefCell::new(None);
    let hits = Cell::new(0);
    let got = Cell::new(false);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1234
            {
                at.replace(Some(told));
                assert!(all(engine, client, &told, 0).iter().all(Result::is_ok));
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
                return Some(Action::Detach);
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let (Some(told), Some(first)) = (told(&delivery.event), *at.borrow()) {
                let made = all(engine, client, &first, 8);
                got.set(made.iter().all(Result::is_ok));
                assert_eq!(got.get(), told.code == 0x1235, "{made:?}");
                for id in made.into_iter().flatten() {
                    engine.remove_breakpoint(client, id).expect("it is there");
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert!(got.get() && hits.get() > 0);
}

/// Its memory is unmapped at the next stop of the target, not at the end of the
/// session.
#[test]
fn one_leaves_and_has_memory_in_the_target() {
    const LEN: u64 = 302 * 4096;
    for by in [Reply::Leave, Reply::Answer(Action::Detach)] {
        let hits = Cell::new(0);
        let at = Cell::new(0);
        let looked = Cell::new(false);
        let is_mapped = |engine: &mut Engine, pid| {
            let maps = engine.maps(pid).expect("it lives");
            maps.iter().any(|map| map.start == at.get())
        };
        target()
            .actor(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event)
                    && told.code == 0x1234
                {
                    insert(engine, client, &told);
                }
                let Event::Breakpoint(hit) = delivery.event else {
                    return Reply::Answer(Action::Proceed);
                };
                hits.set(hits.get() + 1);
                if hits.get() != 20 {
                    return Reply::Answer(Action::Proceed);
                }
                let memory = engine.allocate(client, hit.tid, LEN, Protection::READ);
                at.set(memory.expect("it is held"));
                assert!(is_mapped(engine, hit.pid));
                by
            })
            .client(vec![tells()], |engine, _, delivery| {
                if let Some(told) = told(&delivery.event)
                    && told.code == 0x1235
                {
                    looked.set(true);
                    assert!(!is_mapped(engine, told.pid));
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert!(looked.get());
    }
}

/// It goes while a task of its steps runs. The trap of the last step comes behind
/// the interrupt that ends them, and is nobody's signal.
#[test]
fn one_leaves_in_the_middle_of_its_steps() {
    for _ in 0..20 {
        let stepped: Cell<Option<Tid>> = Cell::new(None);
        run(|engine, client, delivery, hits| {
            let Event::Breakpoint(hit) = delivery.event else {
                return Reply::Answer(Action::Proceed);
            };
            if hits == 20 {
                engine
                    .start_step(client, hit.tid, Step::count(1 << 40), None)
                    .expect("it is held");
                stepped.set(Some(hit.tid));
                return Reply::Hold;
            }
            match stepped.take() {
                Some(tid) if tid != hit.tid => Reply::Leave,
                other => {
                    stepped.set(other);
                    Reply::Answer(Action::Proceed)
                }
            }
        });
    }
}

/// The same, and it was the last: the target is let go in the middle of steps.
#[test]
fn the_last_leaves_in_the_middle_of_its_steps() {
    for round in 0..100 {
        let hits = Cell::new(0);
        let stepped: Cell<Option<Tid>> = Cell::new(None);
        target()
            .actor(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event)
                    && told.code == 0x1234
                {
                    insert(engine, client, &told);
                }
                let Event::Breakpoint(hit) = delivery.event else {
                    return Reply::Answer(Action::Proceed);
                };
                hits.set(hits.get() + 1);
                if stepped.get().is_some_and(|tid| tid != hit.tid) && hits.get() > 20 + round % 10 {
                    return Reply::Leave;
                }
                if stepped.get().is_none() && hits.get() >= 20 {
                    engine
                        .start_step(client, hit.tid, Step::count(1 << 40), None)
                        .expect("it is held");
                    stepped.set(Some(hit.tid));
                    return Reply::Hold;
                }
                Reply::Answer(Action::Proceed)
            })
            .run_like_untraced();
    }
}

/// A signal has just been sent to a task that is being stepped, or is about to be
/// delivered to it, when the session ends: it is handled, once.
#[test]
fn no_signal_is_lost_when_steps_end_with_the_session() {
    for (at_signal, leave_at) in (1..16).flat_map(|n| [(true, n), (false, n)]) {
        let seen = Cell::new(0);
        let stepping = Cell::new(false);
        let topic = match at_signal {
            true => Topic::Signals(vec![]),
            false => calls(&["kill"], false, true),
        };
        let traced = Trace::of(fixtures::STEP_SIGNALS)
            .arg(20)
            .actor(vec![tells(), topic], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    insert(engine, client, &told);
                }
                match &delivery.event {
                    Event::Breakpoint(hit) if !stepping.get() => {
                        stepping.set(true);
                        engine
                            .start_step(client, hit.tid, Step::count(1 << 40), None)
                            .expect("it is held");
                        return Reply::Hold;
                    }
                    Event::Signal(stop) if stop.signal.get() == 10 => seen.set(seen.get() + 1),
                    Event::SyscallExit(_) => seen.set(seen.get() + 1),
                    _ => {}
                }
                if seen.get() == leave_at {
                    return Reply::Leave;
                }
                Reply::Answer(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(seen.get(), leave_at, "{traced:?}");
    }
}

/// What a signal is about is read if somebody wants to know, and is then there for all.
#[test]
fn signals_are_looked_into_if_somebody_wants_that() {
    let numbers = || Topic::SignalNumbers(vec![Signal::TERM]);
    for (others, known) in [
        (vec![], false),
        (vec![numbers()], false),
        (vec![Topic::Signals(vec![])], true),
    ] {
        let seen = RefCell::new(Vec::new());
        let look = |delivery: &Delivery| {
            if let Event::Signal(stop) = &delivery.event {
                let code = stop.info.as_ref().map(SigInfo::code);
                seen.borrow_mut().push((stop.signal, code, stop.ip != 0));
            }
        };
        let both = 1 + usize::from(!others.is_empty());
        let mut traced = Trace::of(fixtures::EXIT_SIGNAL).arg(libc::SIGTERM);
        if !others.is_empty() {
            traced = traced.client(others, |_, _, delivery| {
                look(delivery);
                Some(Action::Proceed)
            });
        }
        let traced = traced
            .client(vec![numbers()], |_, _, delivery| {
                look(delivery);
                Some(Action::Proceed)
            })
            .run();
        assert_eq!(traced.status, Some(ExitStatus::Killed(Signal::TERM, false)));
        let code = known.then_some(libc::SI_USER);
        assert_eq!(seen.into_inner(), vec![(Signal::TERM, code, known); both]);
    }
}

/// Who asks for the stack of signals gets it, and nobody else.
#[test]
fn stacks_of_signals_are_for_who_asks() {
    let captures = || {
        let mut filter = SyscallFilter::new(SyscallSet::Only(Vec::new()), false, false);
        filter.capture = Some(Limits {
            frames: 8,
            ..Limits::NONE
        });
        vec![Topic::Signals(vec![]), Topic::Syscalls(filter)]
    };
    let (sink, mut asks) = buffer(64, Overflow::Drop);
    let (other_sink, mut asks_not) = buffer(64, Overflow::Drop);
    let takes_part = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::EXIT_SIGNAL)
        .arg(libc::SIGTERM)
        .log(vec![Topic::Signals(vec![])], &takes_part)
        .observer(captures(), sink)
        .observer(vec![Topic::SignalNumbers(vec![])], other_sink)
        .run();
    assert_eq!(traced.status, Some(ExitStatus::Killed(Signal::TERM, false)));
    let stacks = |events: &[Event]| -> Vec<bool> {
        let signals = events.iter().filter_map(|event| match event {
            Event::Signal(stop) => Some(!stop.frames.is_empty()),
            _ => None,
        });
        signals.collect()
    };
    let watched = |consumer: &mut Consumer| {
        let batch = consumer.next_batch(100, Duration::ZERO);
        let events: Vec<Event> = batch.others().map(|(_, event)| event.clone()).collect();
        stacks(&events)
    };
    assert_eq!(watched(&mut asks), [true]);
    assert_eq!(watched(&mut asks_not), [false]);
    assert_eq!(stacks(&takes_part.into_inner()), [false]);
}

/// However many ask the tracer for something all the time, the target goes on.
#[test]
fn requests_of_many_threads_starve_nobody() {
    let asking: RefCell<Vec<JoinHandle<u64>>> = RefCell::default();
    let traced = Trace::of(fixtures::REPEAT_CALLS)
        .arg(1000)
        .client(vec![calls(&["getppid"], true, true)], |engine, _, _| {
            let mut asking = asking.borrow_mut();
            if asking.is_empty() {
                asking.extend((0..16).map(|_| {
                    let remote = engine.remote();
                    std::thread::spawn(move || {
                        let answers =
                            std::iter::from_fn(|| remote.call(|engine| engine.targets().len()));
                        answers.count() as u64
                    })
                }));
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "done\n");
    for thread in asking.into_inner() {
        assert_ne!(thread.join().expect("no panic"), 0);
    }
}

/// A client may put its wishes as awkwardly as it likes.
#[test]
fn wishes_that_say_everything_many_times() {
    let names = vec!["getppid"; 4096];
    let ids = SyscallSet::ids(&names).expect("known");
    let topic = |which| Topic::Syscalls(SyscallFilter::new(which, true, true));
    let mut topics = vec![topic(SyscallSet::Except(ids.clone())); 255];
    topics.push(topic(SyscallSet::Only(ids)));
    let seen = Cell::new(0);
    let traced = Trace::of(fixtures::REPEAT_CALLS)
        .arg(100)
        .client(topics, |_, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event
                && name(stop) == "getppid"
            {
                seen.set(seen.get() + 1);
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "done\n");
    assert_eq!(seen.get(), 100);
}
