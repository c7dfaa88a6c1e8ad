//! Operations that come one after the other, at moments of every kind.

use std::cell::{Cell, RefCell};

use nix::sys::signal::{Signal as NixSignal, kill};
use pai_engine::{
    Action, Argument, BreakpointId, BreakpointKind, BreakpointOptions, ClientId, Engine, Error,
    Event, ExitStatus, Outcome, Step, StopId, Topic,
};
use pai_ptrace::{Pid, Signal};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::target::state;
use pai_tests::trace::{Reply, Trace, proceed};

fn ints(values: &[u64]) -> Vec<Argument> {
    values.iter().map(|value| Argument::Int(*value)).collect()
}

/// A task that has been stepped is somewhere else than its stop says: a function
/// that is called then leaves it there.
#[test]
fn a_call_after_steps() {
    for steps in 1..=4 {
        let pair = Cell::new(0);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let results = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::CALL_TARGETS)
            .arg(60)
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    if told.code == 0x1237 {
                        pair.set(told.args[4]);
                    } else if told.code == 0x1240 {
                        held.set(delivery.stop);
                        engine
                            .start_step(client, told.tid, Step::count(steps), None)
                            .expect("it is held");
                        return None;
                    }
                }
                if let Event::OperationDone(done) = &delivery.event {
                    match done.outcome {
                        Ok(Outcome::Stepped(ip)) => {
                            let regs = engine.registers(client, done.tid).expect("held");
                            assert_eq!(regs.ip(), ip);
                            engine
                                .start_call(client, done.tid, pair.get(), &ints(&[30, 12]), None)
                                .expect("it is held");
                        }
                        Ok(Outcome::Called { int, .. }) => {
                            results.borrow_mut().push(int);
                            engine
                                .answer(client, held.take().expect("held"), Action::Proceed)
                                .expect("no end")
                                .expect("it is held");
                        }
                        ref other => panic!("{other:?}"),
                    }
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
        assert_eq!(results.into_inner(), vec![[42, 18]; 60]);
    }
}

/// The same at a signal: it is delivered once.
#[test]
fn a_call_after_steps_from_a_signal() {
    const SIGNALS: u64 = 100;
    let flag = Cell::new(0);
    let hot = Cell::new(0);
    let held: Cell<Option<StopId>> = Cell::new(None);
    let calls = Cell::new(0);
    let traced = Trace::of(fixtures::CALL_STORM)
        .arg(SIGNALS)
        .client(
            vec![tells(), Topic::Signals(Vec::new())],
            |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    flag.set(told.args[0]);
                    hot.set(told.args[1]);
                }
                match &delivery.event {
                    Event::Signal(stop) if stop.signal.get() >= 34 => {
                        held.set(delivery.stop);
                        engine
                            .start_step(client, stop.tid, Step::count(3), None)
                            .expect("it is held");
                        return None;
                    }
                    Event::OperationDone(done) => match done.outcome {
                        Ok(Outcome::Stepped(_)) => {
                            engine
                                .start_call(client, done.tid, hot.get(), &ints(&[40, 2]), None)
                                .expect("it is held");
                        }
                        Ok(Outcome::Called { int, .. }) => {
                            assert_eq!(int[0], 42);
                            calls.set(calls.get() + 1);
                            if calls.get() == SIGNALS {
                                engine
                                    .write(done.pid, flag.get(), &[1])
                                    .expect("a variable");
                            }
                            engine
                                .answer(client, held.take().expect("held"), Action::Proceed)
                                .expect("no end")
                                .expect("it is held");
                        }
                        ref other => panic!("{other:?}"),
                    },
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run();
    traced.expect(0, &format!("{SIGNALS} signals\n"));
    assert_eq!(calls.get(), SIGNALS);
}

/// In the middle of a storm of signals no register changes and none is lost.
#[test]
fn c66_no_signal_and_no_register_is_lost_in_a_storm() {
    calls_at_signals(Topic::Signals(Vec::new()));
}

/// What came with a signal is delivered with it, also if nobody has looked at that.
#[test]
fn c66_no_signal_is_lost_of_which_only_numbers_are_wanted() {
    calls_at_signals(Topic::SignalNumbers(Vec::new()));
}

fn calls_at_signals(signals: Topic) {
    const SIGNALS: u64 = 500;
    let flag = Cell::new(0);
    let function = Cell::new(0);
    let calls = Cell::new(0_u64);
    let held: Cell<Option<StopId>> = Cell::new(None);
    let traced = Trace::of(fixtures::CALL_STORM)
        .arg(SIGNALS)
        .client(vec![tells(), signals], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                flag.set(told.args[0]);
                function.set(told.args[1]);
            }
            match &delivery.event {
                Event::Signal(stop) if stop.signal.get() >= 34 => {
                    let args = ints(&[40, 2]);
                    engine
                        .start_call(client, stop.tid, function.get(), &args, None)
                        .expect("a signal stop will do");
                    held.set(delivery.stop);
                    return None;
                }
                Event::OperationDone(done) => {
                    let Ok(Outcome::Called { int, .. }) = done.outcome else {
                        panic!("{done:?}");
                    };
                    assert_eq!(int[0], 42);
                    calls.set(calls.get() + 1);
                    if calls.get() == SIGNALS {
                        let pid = done.pid;
                        engine.write(pid, flag.get(), &[1]).expect("a variable");
                    }
                    proceed(engine, client, held.take().expect("held"));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, &format!("{SIGNALS} signals\n"));
    assert_eq!(calls.get(), SIGNALS);
}

/// Steps that the tracer makes for the task are no less in turn.
#[test]
fn a_long_row_of_popf() {
    let held: Cell<Option<StopId>> = Cell::new(None);
    let row = Cell::new([0; 5]);
    let outcomes = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::STEP_POPF)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                row.set(told.args);
                let once = BreakpointOptions {
                    once: true,
                    ..BreakpointOptions::default()
                };
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], once)
                    .expect("code");
            }
            match &delivery.event {
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    let [_, _, count, ..] = row.get();
                    engine
                        .start_step(client, hit.tid, Step::count(count), None)
                        .expect("it is held");
                    return None;
                }
                Event::OperationDone(done) => {
                    outcomes.borrow_mut().push(done.outcome.clone());
                    engine
                        .answer(client, held.take().expect("held"), Action::Proceed)
                        .expect("no end")
                        .expect("it is held");
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(0, "popped\n");
    let [_, end, ..] = row.get();
    assert_eq!(outcomes.into_inner(), [Ok(Outcome::Stepped(end))]);
}

/// A call that sleeps is not waited for, however its instruction is passed.
#[test]
fn a_call_with_the_trap_flag() {
    let hits = Cell::new(0);
    Trace::of(fixtures::BP_TRAP_FLAG)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], BreakpointOptions::default())
                    .expect("code");
            }
            hits.set(hits.get() + usize::from(matches!(delivery.event, Event::Breakpoint(_))));
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(hits.get(), 5);
}

/// It ends in front of an instruction that is executed in place: that ends the
/// session for nobody.
#[test]
fn killed_before_a_step_in_place() {
    let hits = Cell::new(0);
    let traced = Trace::of(fixtures::BP_TRAP_FLAG)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], BreakpointOptions::default())
                    .expect("code");
            }
            if let Event::Breakpoint(hit) = delivery.event
                && hits.replace(hits.get() + 1) == 2
            {
                let pid = nix::unistd::Pid::from_raw(hit.pid.get());
                kill(pid, NixSignal::SIGKILL).expect("it lives");
                while !matches!(state(hit.tid), None | Some('Z')) {
                    std::thread::yield_now();
                }
            }
            Some(Action::Proceed)
        })
        .run();
    assert_eq!(
        traced.status,
        Some(ExitStatus::Killed(Signal::KILL, false)),
        "{traced:?}"
    );
}

/// The thread ends in a call that is stepped over: no breakpoint stays behind.
#[test]
fn a_thread_that_ends_in_a_stepped_call() {
    let id = Cell::new(None);
    let ends = Cell::new(0);
    let traced = Trace::of(fixtures::STEP_ENDS)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let options = BreakpointOptions::default();
                    let inserted =
                        engine.insert_breakpoint(client, told.pid, told.args[0], options);
                    id.set(Some(inserted.expect("code")));
                }
                Some(_) => {
                    let id = id.take().expect("inserted");
                    engine.remove_breakpoint(client, id).expect("it is there");
                }
                None => {}
            }
            match &delivery.event {
                Event::Breakpoint(hit) => {
                    let over = Step {
                        over_calls: true,
                        ..Step::count(1)
                    };
                    engine
                        .start_step(client, hit.tid, over, None)
                        .expect("it is held");
                    return None;
                }
                Event::OperationDone(_) => ends.set(ends.get() + 1),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(ends.get(), 5, "{traced:?}");
}

/// What a program blocks that a called function executes is what it would block
/// without the call.
#[test]
fn programs_that_a_called_function_executes() {
    for (index, stdout) in [(0, "gone on\n"), (1, "mask 0x200\n")] {
        let functions = Cell::new([0; 5]);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let outcomes = RefCell::new(Vec::new());
        let traced = Trace::of(fixtures::CALL_EXEC)
            .client(vec![tells()], |engine, client, delivery| {
                match told(&delivery.event) {
                    Some(told) if told.code == 0x1234 => functions.set(told.args),
                    Some(told) if told.code == 0x1240 => {
                        held.set(delivery.stop);
                        engine
                            .start_call(client, told.tid, functions.get()[index], &[], None)
                            .expect("it is held");
                        return None;
                    }
                    _ => {}
                }
                if let Event::OperationDone(done) = &delivery.event {
                    outcomes.borrow_mut().push(done.outcome.clone());
                    let stop = held.take().expect("held");
                    // After an exec there is none any more.
                    drop(
                        engine
                            .answer(client, stop, Action::Proceed)
                            .expect("no end"),
                    );
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, stdout);
        match &outcomes.into_inner()[..] {
            [Ok(Outcome::Called { int, .. })] if index == 0 => assert_eq!(int[0], 0),
            [Err(_)] if index == 1 => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A hit within the handler of a signal that came before the instruction was
/// executed is one of its own, and the hit outside is told once.
#[test]
fn hits_within_a_handler() {
    const CALLS: u64 = 20;
    let hits = Cell::new(0);
    let sent = Cell::new(0);
    let inside = Cell::new(false);
    let traced = Trace::of(fixtures::BP_HANDLER_HITS)
        .arg(CALLS)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], BreakpointOptions::default())
                    .expect("code");
            }
            if let Event::Breakpoint(hit) = delivery.event {
                hits.set(hits.get() + 1);
                if !inside.replace(!inside.get()) && sent.get() < CALLS {
                    sent.set(sent.get() + 1);
                    let usr1 = Signal::new(10).expect("SIGUSR1");
                    engine.send_signal(hit.tid, usr1).expect("it lives");
                }
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "20 calls, 20 handled\n");
    assert_eq!(hits.get(), 2 * CALLS);
}

/// Steps of a stopped process are given up while it is stopped.
#[test]
fn steps_of_a_stopped_process_are_given_up() {
    let steps = Cell::new(None);
    let held: Cell<Option<StopId>> = Cell::new(None);
    let parent = Cell::new(None);
    let traced = Trace::of(fixtures::STEP_STOPPED)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    held.set(delivery.stop);
                    let how = Step::count(u64::MAX);
                    let id = engine.start_step(client, told.tid, how, None);
                    steps.set(Some(id.expect("it is held")));
                    return None;
                }
                Some(told) => {
                    parent.set(Some((told.pid, told.args[0])));
                    let id = steps.take().expect("begun");
                    engine.cancel(client, id).expect("it is going on");
                }
                None => {}
            }
            if let Event::OperationDone(done) = &delivery.event {
                assert_eq!(done.outcome, Err(Error::Interrupted));
                engine
                    .answer(client, held.take().expect("held"), Action::Proceed)
                    .expect("no end")
                    .expect("it is held");
                let (pid, flag) = parent.get().expect("told");
                engine.write(pid, flag, &[1]).expect("a variable");
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "woken\n");
}

/// Who leaves a process frees its debug registers for others.
#[test]
fn who_leaves_watches_nothing() {
    let variable = Cell::new(0);
    let traced = Trace::of(fixtures::WATCH_WRITES)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && variable.replace(told.args[0] & !63) == 0
            {
                for index in 0..4 {
                    watch(engine, client, told.pid, variable.get() + 8 * index).expect("free");
                }
                return Some(Action::Detach);
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                for index in 0..4 {
                    let addr = variable.get() + 32 + 8 * index;
                    let id = watch(engine, client, told.pid, addr);
                    let id = id.expect("free again");
                    engine.remove_breakpoint(client, id).expect("it is there");
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_ne!(variable.get(), 0, "{traced:?}");
}

fn watch(
    engine: &mut Engine,
    client: ClientId,
    pid: Pid,
    addr: u64,
) -> Result<BreakpointId, Error> {
    let options = BreakpointOptions {
        kind: BreakpointKind::Write(8),
        ..BreakpointOptions::default()
    };
    engine.insert_breakpoint(client, pid, addr, options)
}

/// A breakpoint whose memory has become something else is in nobody's way: not of
/// another one there, and not of data.
#[test]
fn where_another_s_breakpoint_was() {
    let first = Cell::new(false);
    let last: Cell<Option<BreakpointId>> = Cell::new(None);
    let at = Cell::new((0, 0));
    let hits = RefCell::new(Vec::new());
    Trace::of(fixtures::BP_MUNMAP)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 && !first.replace(true) => {
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("code");
                }
                Some(told) if told.code == 0x1235 && told.args[1] == 0 => {
                    let [addr, ..] = told.args;
                    let byte = engine.read(told.pid, addr, 1).expect("data");
                    engine.write(told.pid, addr, &byte).expect("data");
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let [addr, kind, ..] = told.args;
                    at.set((addr, kind));
                    let options = BreakpointOptions::default();
                    last.set(
                        engine
                            .insert_breakpoint(client, told.pid, addr, options)
                            .ok(),
                    );
                }
                Some(_) => {
                    if let Some(id) = last.take() {
                        engine.remove_breakpoint(client, id).expect("it is there");
                    }
                }
                None => {}
            }
            if let Event::Breakpoint(hit) = delivery.event {
                assert_eq!(hit.addr, at.get().0);
                hits.borrow_mut().push(at.get().1);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(hits.into_inner(), [0, 1, 0, 1, 0, 1]);
}

/// The session ends while children are being made that have copies of breakpoints
/// and have not been told of.
#[test]
fn detached_while_children_are_made() {
    for last in (1..600).step_by(7) {
        let hits = Cell::new(0);
        let traced = Trace::of(fixtures::BP_THREADS)
            .arg(2)
            .arg(400)
            .arg("fork")
            .arg(20)
            .arg(10)
            .filtered(false)
            .actor(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("code");
                }
                if let Event::Breakpoint(_) = delivery.event {
                    hits.set(hits.get() + 1);
                    if hits.get() == last {
                        return Reply::Abort;
                    }
                }
                Reply::Answer(Action::Proceed)
            })
            .run();
        assert_eq!(hits.get(), last);
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
        assert_eq!(traced.stdout, "process 800, children 200\n", "{traced:?}");
    }
}
