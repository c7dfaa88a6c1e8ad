//! Signals that stop a process, where a client makes the task do something.

use std::cell::Cell;

use nix::sys::signal::Signal as NixSignal;
use pai_engine::{Action, Delivery};
use pai_engine::{Block, ClientId, Engine, Event, Follow, Protection, StopId, Topic, Turn};
use pai_ptrace::Signal;
use pai_tests::fixtures;
use pai_tests::target::Target;
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
    target.stopped();
    target.assert_untraced();
    target.await_state('T');
    target.resume();
    target.expect_ok();
}
