//! The session ends while tasks make children for a client, or calls.

use std::cell::Cell;
use std::fs;

use pai_engine::{
    Action, Block, BreakpointOptions, ClientId, Delivery, Engine, Event, ExitStatus, Follow,
    SyscallStop, Topic, Turn,
};
use pai_ptrace::{NewTask, Signal, Tid};
use pai_tests::fixtures;
use pai_tests::moment::Moment;
use pai_tests::probe::{tells, told};
use pai_tests::target::{Target, await_state, state};
use pai_tests::trace::{Reply, Trace, Traced, calls, name, proceed};

const FORK: u32 = 57;
const PAUSE: u32 = 34;

/// A turn in which something was looked for: the user's side may hear of stops first.
fn turn(engine: &mut Engine, block: Block, busy: &[ClientId]) -> Turn {
    loop {
        match engine.turn(block, busy).expect("nothing fatal") {
            Turn::News => {}
            turn => return turn,
        }
    }
}

/// The call that a stopped task is in, and its arguments, as proc(5) has it.
fn call_of(tid: Tid) -> String {
    fs::read_to_string(format!("/proc/{tid}/syscall")).expect("it lives")
}

#[track_caller]
fn assert_one_child(traced: &Traced, what: &str) {
    assert_eq!(traced.stdout, "1 children\n", "{what}: {traced:?}");
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{what}");
}

/// When the session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ends {
    /// The child has not been told of.
    Forked,
    /// The same, and it has stopped already, which the engine knows.
    Stopped,
    /// It has been told of.
    Started,
}

impl Ends {
    const ALL: [Ends; 3] = [Ends::Forked, Ends::Stopped, Ends::Started];

    /// Whether this is the end, of which the engine is to know all that there is.
    fn is(self, engine: &mut Engine, client: ClientId, event: &Event) -> bool {
        match (self, event) {
            (Ends::Forked, Event::Forked { .. }) | (Ends::Started, Event::TaskStarted { .. }) => {
                true
            }
            (Ends::Stopped, Event::Forked { child, .. }) => {
                await_state(child.leader(), 't');
                let turn = turn(engine, Block::No, &[client]);
                assert!(matches!(turn, Turn::Idle), "{turn:?}");
                true
            }
            _ => false,
        }
    }
}

/// A child that a client makes by a system call goes on where its creator was stopped.
#[test]
fn children_of_system_calls_when_the_session_ends() {
    for moment in [
        Moment::Entry,
        Moment::Exit,
        Moment::Breakpoint,
        Moment::Signal,
    ] {
        for ends in Ends::ALL {
            let usr2 = Signal::new(12).expect("SIGUSR2");
            let topics = vec![
                calls(&["getpriority"], true, true),
                Topic::Signals(vec![usr2]),
                Topic::Forks,
                Topic::Tasks,
            ];
            let started = Cell::new(false);
            let traced = Trace::of(fixtures::INJECT_BIRTHS)
                .filtered(false)
                .actor(topics, |engine, client, delivery| {
                    if let Some(told) = told(&delivery.event).filter(|t| t.code == 0x1234) {
                        let options = BreakpointOptions::default();
                        engine
                            .insert_breakpoint(client, told.pid, told.args[0], options)
                            .expect("code");
                    }
                    if moment.is(&delivery.event) && !started.replace(true) {
                        let tid = delivery.stop.expect("a stop").tid();
                        engine
                            .start_syscall(client, tid, FORK, [0; 6], None)
                            .expect("it is held");
                        return Reply::Hold;
                    }
                    if started.get() && ends.is(engine, client, &delivery.event) {
                        return Reply::Abort;
                    }
                    Reply::Answer(Action::Proceed)
                })
                .run();
            assert_one_child(&traced, &format!("{moment:?}, {ends:?}"));
        }
    }
}

/// Runs `call_births` and has it call the function of this index, at the entry or the
/// exit of its last call; `look` says what else there is to do.
fn call_function(
    index: usize,
    entry: bool,
    mut look: impl FnMut(&mut Engine, ClientId, &Delivery) -> Reply,
) -> Traced {
    let function = Cell::new(0);
    let started = Cell::new(false);
    let topics = vec![
        calls(&["getpriority", "getppid"], true, true),
        Topic::Forks,
        Topic::Tasks,
    ];
    Trace::of(fixtures::CALL_BIRTHS)
        .filtered(false)
        .actor(topics, |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|t| t.code == 0x1234) {
                function.set(told.args[index]);
            }
            match &delivery.event {
                Event::SyscallEnter(stop) if entry && is_last(stop) => {}
                Event::SyscallExit(stop) if !entry && is_last(stop) => {}
                _ if started.get() => return look(engine, client, delivery),
                _ => return Reply::Answer(Action::Proceed),
            }
            // The child comes by, too.
            assert!(!started.replace(true), "once");
            let tid = delivery.stop.expect("a stop").tid();
            engine
                .start_call(client, tid, function.get(), &[], None)
                .expect("it is held");
            Reply::Hold
        })
        .run()
}

fn is_last(stop: &SyscallStop) -> bool {
    name(stop) == "getpriority" && stop.args[0] == 0x1240
}

/// One that is born in a function, too, wherever it is in there.
#[test]
fn children_in_called_functions_when_the_session_ends() {
    for entry in [true, false] {
        for (index, inside) in [(0, 'S'), (1, 'R')] {
            let traced = call_function(index, entry, |engine, client, delivery| {
                match &delivery.event {
                    Event::SyscallExit(stop) if stop.args[0] == 0x1241 => {
                        proceed(engine, client, delivery.stop.expect("a stop"));
                        while state(stop.tid) != Some(inside) {
                            let turn = turn(engine, Block::No, &[client]);
                            assert!(matches!(turn, Turn::Idle), "{turn:?}");
                        }
                        Reply::Abort
                    }
                    _ => Reply::Answer(Action::Proceed),
                }
            });
            assert_one_child(&traced, &format!("{entry}, {inside}"));
        }
        for ends in Ends::ALL {
            let traced = call_function(0, entry, |engine, client, delivery| {
                match ends.is(engine, client, &delivery.event) {
                    true => Reply::Abort,
                    false => Reply::Answer(Action::Proceed),
                }
            });
            assert_one_child(&traced, &format!("{entry}, {ends:?}"));
        }
    }
}

/// The same where a client holds it.
#[test]
fn children_that_are_held_in_called_functions_when_the_session_ends() {
    for entry in [true, false] {
        for at_entry in [true, false] {
            let traced = call_function(2, entry, |_, _, delivery| match &delivery.event {
                Event::SyscallEnter(stop) if at_entry && name(stop) == "getppid" => Reply::Abort,
                Event::SyscallExit(stop) if !at_entry && name(stop) == "getppid" => Reply::Abort,
                _ => Reply::Answer(Action::Proceed),
            });
            assert_one_child(&traced, &format!("{entry}, {at_entry}"));
        }
    }
}

/// One that nobody has heard of yet, neither from itself nor from its creator. Of tasks
/// that are no children of the tracer the newest is reported first.
#[test]
fn a_child_is_born_in_a_called_function_when_the_session_ends() {
    for entry in [true, false] {
        // Of another thread: no child of ours.
        let starter = std::thread::spawn(|| Target::start(fixtures::CALL_BIRTHS, &["wait"]));
        let mut target = starter.join().expect("it has started");
        let tid = target.pid().leader();
        let mut engine = Engine::new(Follow::Yes).expect("a timer");
        engine.attach(&[target.pid()]).expect("it is there");
        let client = engine.add_client("client").expect("room");
        let topic = calls(&["getpriority"], true, true);
        engine.subscribe(client, topic).expect("a new session");
        engine.set_waiting(client, None);
        assert!(matches!(turn(&mut engine, Block::No, &[]), Turn::Idle));
        target.end_input();
        let mut function = 0;
        loop {
            engine.set_waiting(client, None);
            assert!(matches!(turn(&mut engine, Block::Yes, &[]), Turn::Mail(_)));
            let delivery = engine.take_mail(client).expect("mail");
            match &delivery.event {
                Event::SyscallEnter(stop) if entry && is_last(stop) => break,
                Event::SyscallExit(stop) if !entry && is_last(stop) => break,
                Event::SyscallEnter(stop) if stop.args[0] == 0x1234 => function = stop.args[1],
                _ => {}
            }
            proceed(&mut engine, client, delivery.stop.expect("a stop"));
        }
        engine
            .start_call(client, tid, function, &[], None)
            .expect("it is held");
        await_state(tid, 't');
        let children = fs::read_to_string(format!("/proc/{tid}/task/{tid}/children"));
        let child = children.expect("it lives").trim().parse().expect("an id");
        await_state(Tid::new(child), 't');
        drop(engine);
        target.assert_untraced();
        assert_eq!(target.rest(), "1 children\n", "{entry}");
        assert_eq!(target.status(), ExitStatus::Exited(0));
    }
}

/// A task that waits for its vfork child is waited for when that has been let go.
#[test]
fn a_function_is_in_vfork_when_the_session_ends() {
    for entry in [true, false] {
        for ends in [Ends::Forked, Ends::Stopped] {
            let traced = call_function(3, entry, |engine, client, delivery| {
                if let Event::Forked { kind, .. } = delivery.event {
                    assert_eq!(kind, NewTask::Vfork);
                }
                match ends.is(engine, client, &delivery.event) {
                    true => Reply::Abort,
                    false => Reply::Answer(Action::Proceed),
                }
            });
            assert_one_child(&traced, &format!("{entry}, {ends:?}"));
        }
    }
}

/// A call that a client makes and that may never return is not entered any more.
#[test]
fn a_call_is_about_to_be_entered_when_the_session_ends() {
    let held = Cell::new(None);
    let lines = Cell::new(0);
    let topics = vec![calls(&["getpriority", "write"], true, true)];
    let traced = Trace::of(fixtures::HELD_STOP)
        .filtered(false)
        .actor(topics, |engine, client, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) if name(stop) == "getpriority" => {
                    held.set(Some(stop.tid));
                    return Reply::Hold;
                }
                Event::SyscallExit(stop) if name(stop) == "write" => {
                    lines.set(lines.get() + 1);
                    if lines.get() < 9 {
                        return Reply::Answer(Action::Proceed);
                    }
                    let other = held.get().expect("it is held");
                    engine
                        .start_syscall(client, other, PAUSE, [0; 6], None)
                        .expect("an entry will do");
                    while !(state(other) == Some('t')
                        && call_of(other).starts_with(&format!("{PAUSE} ")))
                    {
                        std::thread::yield_now();
                    }
                    proceed(engine, client, delivery.stop.expect("a stop"));
                    // "progress 10" is the longest line.
                    while !(state(stop.tid) == Some('t')
                        && call_of(stop.tid).split(' ').nth(3) == Some("0xc"))
                    {
                        std::thread::yield_now();
                    }
                    // Both have reported, and the newer thread first: the engine has not
                    // looked at the entry yet.
                    let turn = turn(engine, Block::Yes, &[]);
                    assert!(matches!(turn, Turn::Mail(_)), "{turn:?}");
                    return Reply::Abort;
                }
                _ => {}
            }
            Reply::Answer(Action::Proceed)
        })
        .run();
    let lines: String = (1..=10).map(|n| format!("progress {n}\n")).collect();
    assert_eq!(traced.stdout, lines + "ok\n", "{traced:?}");
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
}

/// A thread of a C library begins with all signals blocked, and sets the mask that its
/// creator had, who ran something for a client then: it is not left with that.
#[test]
fn a_thread_of_a_called_function_begins_when_the_session_ends() {
    for (index, looks) in [(0, 2), (1, 1)] {
        let function = Cell::new(0);
        // The thread is held at its start, and the function has returned.
        let (held, done) = (Cell::new(false), Cell::new(false));
        let topics = vec![tells(), Topic::Tasks];
        let traced = Trace::of(fixtures::CALL_THREADS)
            .filtered(false)
            .actor(topics, |engine, client, delivery| {
                match told(&delivery.event) {
                    Some(told) if told.code == 0x1234 => function.set(told.args[index]),
                    Some(told) => {
                        engine
                            .start_call(client, told.tid, function.get(), &[], None)
                            .expect("it is held");
                        return Reply::Hold;
                    }
                    None => {}
                }
                match &delivery.event {
                    Event::TaskStarted { .. } => {
                        held.set(true);
                        if done.get() {
                            Reply::Abort
                        } else {
                            Reply::Hold
                        }
                    }
                    Event::OperationDone(_) => {
                        done.set(true);
                        if held.get() {
                            Reply::Abort
                        } else {
                            Reply::Hold
                        }
                    }
                    _ => Reply::Answer(Action::Proceed),
                }
            })
            .run();
        assert_eq!(traced.stdout, format!("as before, {looks}\n"), "{traced:?}");
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    }
}
