//! Signals that stop a process, where a client makes the task do something.

use std::cell::{Cell, RefCell};

use nix::sys::signal::Signal as NixSignal;
use pai_engine::{
    Action, Block, ClientId, Delivery, Engine, Error, Event, Follow, OperationId, Protection,
    StopId, Topic, Turn,
};
use pai_ptrace::Signal;
use pai_tests::fixtures;
use pai_tests::storm::Storm;
use pai_tests::target::{Target, await_state};
use pai_tests::trace::{Trace, proceed};

fn signals() -> Topic {
    Topic::Signals(Vec::new())
}

/// The next thing that a client hears.
#[track_caller]
fn next(engine: &mut Engine, client: ClientId) -> Delivery {
    engine.set_waiting(client, None);
    let turn = engine.turn(Block::Yes, &[]).expect("nothing fatal");
    assert!(matches!(turn, Turn::Mail(_)), "{turn:?}");
    engine.take_mail(client).expect("mail")
}

#[track_caller]
fn signal_of(delivery: &Delivery) -> (Signal, StopId) {
    match &delivery.event {
        Event::Signal(stop) => (stop.signal, delivery.stop.expect("a stop")),
        other => panic!("{other:?}"),
    }
}

/// The signal is about to be delivered again behind what the task did.
#[test]
fn memory_is_allocated_where_a_signal_is_about_to_stop_the_process() {
    for (fixture, stops) in [(fixtures::SIGSTOP_CONT, 3), (fixtures::SIGTSTP_TTIN, 6)] {
        let allocated = Cell::new(0);
        Trace::of(fixture)
            .client(vec![signals()], |engine, client, delivery| {
                if let Event::Signal(stop) = &delivery.event
                    && stop.signal.stops()
                {
                    engine
                        .allocate(client, stop.tid, 1, Protection::READ)
                        .expect("memory");
                    allocated.set(allocated.get() + 1);
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(allocated.get(), stops);
    }
}

/// What is ours is taken out there, and the process stops.
#[test]
fn the_session_ends_where_a_signal_is_about_to_stop_the_process() {
    let target = Target::start(fixtures::ATTACH_SLEEPER, &[]);
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    engine.attach(&[target.pid()]).expect("it is there");
    let client = engine.add_client("client").expect("room");
    engine.subscribe(client, signals()).expect("a new session");
    target.signal(NixSignal::SIGURG);
    let (_, stop) = signal_of(&next(&mut engine, client));
    engine
        .allocate(client, stop.tid(), 1, Protection::READ)
        .expect("memory");
    target.signal(NixSignal::SIGSTOP);
    proceed(&mut engine, client, stop);
    let (signal, _) = signal_of(&next(&mut engine, client));
    assert_eq!(signal, Signal::STOP);
    drop(engine);
    target.assert_let_go_stopped();
    target.expect_ok();
}

/// A process that has been attached to, in a function that never returns: called at a
/// signal that it ignores, or at an interrupt.
struct Spinning {
    engine: Engine,
    client: ClientId,
    stop: StopId,
    operation: OperationId,
}

fn make_spin(target: &mut Target, at_signal: bool) -> Spinning {
    let spins = target.line().parse().expect("an address");
    let mut engine = Engine::new(Follow::Yes).expect("a timer");
    engine.attach(&[target.pid()]).expect("it is there");
    let client = engine.add_client("client").expect("room");
    let tid = target.pid().leader();
    for topic in [signals(), Topic::JobControl] {
        engine.subscribe(client, topic).expect("a new session");
    }
    engine.set_waiting(client, None);
    if at_signal {
        target.signal(NixSignal::SIGURG);
    } else {
        let turn = engine.turn(Block::No, &[]).expect("nothing fatal");
        assert!(matches!(turn, Turn::Idle), "{turn:?}");
        engine.interrupt(client, tid).expect("it sleeps");
    }
    let stop = next(&mut engine, client).stop.expect("a stop");
    let operation = engine
        .start_call(client, tid, spins, &[], None)
        .expect("it is held");
    Spinning {
        engine,
        client,
        stop,
        operation,
    }
}

#[track_caller]
fn assert_cancelled(delivery: &Delivery, operation: OperationId) {
    match &delivery.event {
        Event::OperationDone(done) if done.operation == operation => {
            assert_eq!(done.outcome, Err(Error::Interrupted));
        }
        other => panic!("{other:?}"),
    }
}

/// A signal that was about to be delivered before a call is so behind it, also if that
/// was cut off.
#[test]
fn a_call_that_began_at_a_signal_is_cut_off() {
    let mut target = Target::start(fixtures::ATTACH_SPINS, &[]);
    let Spinning {
        mut engine,
        client,
        stop,
        operation,
    } = make_spin(&mut target, true);
    engine.cancel(client, operation).expect("it goes on");
    assert_cancelled(&next(&mut engine, client), operation);
    proceed(&mut engine, client, stop);
    drop(engine);
    target.expect_ok();
}

/// Sends SIGSTOP, which nothing holds back, and waits until it is about to be delivered.
fn stop_within(target: &Target) {
    target.signal(NixSignal::SIGSTOP);
    await_state(target.pid().leader(), 't');
}

/// The process has been stopped, and stays so, although the task that was about to do it
/// is taken elsewhere.
#[test]
fn a_call_is_cut_off_where_it_is_about_to_be_stopped() {
    for at_signal in [false, true] {
        let mut target = Target::start(fixtures::ATTACH_SPINS, &[]);
        let Spinning {
            mut engine,
            client,
            stop,
            operation,
        } = make_spin(&mut target, at_signal);
        stop_within(&target);
        engine.cancel(client, operation).expect("it goes on");
        assert_cancelled(&next(&mut engine, client), operation);
        proceed(&mut engine, client, stop);
        let delivery = next(&mut engine, client);
        let Event::JobControl {
            signal,
            stopped: true,
            ..
        } = delivery.event
        else {
            panic!("{delivery:?}");
        };
        assert_eq!(signal, Signal::STOP);
        drop(engine);
        target.assert_let_go_stopped();
        target.expect_ok();
    }
}

/// The same for one that has gone on since.
#[test]
fn a_call_is_cut_off_where_a_stop_of_the_process_is_over() {
    for at_signal in [false, true] {
        let mut target = Target::start(fixtures::ATTACH_SPINS, &[]);
        let Spinning {
            mut engine,
            client,
            stop,
            operation,
        } = make_spin(&mut target, at_signal);
        stop_within(&target);
        target.signal(NixSignal::SIGCONT);
        engine.cancel(client, operation).expect("it goes on");
        assert_cancelled(&next(&mut engine, client), operation);
        proceed(&mut engine, client, stop);
        let (signal, _) = signal_of(&next(&mut engine, client));
        assert_eq!(signal, Signal::CONT);
        drop(engine);
        target.await_state('S');
        target.assert_untraced();
        target.expect_ok();
    }
}

#[test]
fn the_session_ends_where_a_call_is_about_to_be_stopped() {
    for at_signal in [false, true] {
        let mut target = Target::start(fixtures::ATTACH_SPINS, &[]);
        let Spinning { engine, .. } = make_spin(&mut target, at_signal);
        stop_within(&target);
        drop(engine);
        target.assert_let_go_stopped();
        target.expect_ok();
    }
}

/// SIGCONTs come at every moment, also between the signal's being sent anew and its
/// delivery: then there is nothing to deliver.
#[test]
fn the_stop_is_forestalled_while_memory_is_allocated() {
    const TIMES: u64 = 5_000;
    const EACH: u64 = 100;
    let storm: RefCell<Option<Storm>> = RefCell::default();
    let told = Cell::new(0);
    let traced = Trace::of(fixtures::STOP_STORM)
        .arg(TIMES)
        .client(
            vec![signals(), Topic::JobControl],
            |engine, client, delivery| {
                match &delivery.event {
                    Event::Signal(stop) if stop.signal == Signal::TSTP => {
                        let mut storm = storm.borrow_mut();
                        storm
                            .get_or_insert_with(|| Storm::over(stop.pid))
                            .go_on(EACH);
                        told.set(told.get() + 1);
                        let memory = engine.allocate(client, stop.tid, 1, Protection::READ);
                        engine
                            .free(client, stop.pid, memory.expect("memory"))
                            .expect("it is there");
                    }
                    Event::JobControl { stopped: true, .. } => {
                        storm.borrow().as_ref().expect("it has begun").go_on(1);
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run();
    traced.expect(0, &format!("{TIMES} times\n"));
    assert!((1..=TIMES).contains(&told.get()), "{traced:?}");
}
