//! Single steps that clients have a task do.

use std::cell::{Cell, RefCell};

use pai_engine::{
    Action, BreakpointOptions, ClientId, Delivery, Engine, Error, Event, ExitStatus, Outcome, Step,
    StopId, Topic,
};
use pai_ptrace::{Signal, Tid};
use pai_tests::fixtures;
use pai_tests::probe::{Told, tells, told};
use pai_tests::trace::{Reply, Trace, Traced, all_syscalls, entered, proceed};

/// What the stepper found.
#[derive(Default)]
struct Steps {
    /// Where each step ended, from `begin` to `end`, in each round.
    rounds: RefCell<Vec<Vec<u64>>>,
    told: Cell<[u64; 5]>,
    held: Cell<Option<StopId>>,
}

impl Steps {
    fn step(engine: &mut Engine, client: ClientId, tid: Tid, how: Step) {
        engine
            .start_step(client, tid, how, None)
            .expect("it is held");
    }

    /// Steps from one address to another, one instruction at a time.
    fn serve(
        &self,
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
        how: &Step,
    ) -> Option<Action> {
        if let Some(told) = told(&delivery.event)
            && told.code == 0x1234
        {
            self.told.set(told.args);
            let options = BreakpointOptions::default();
            engine
                .insert_breakpoint(client, told.pid, told.args[0], options)
                .expect("code");
        }
        match &delivery.event {
            Event::Breakpoint(hit) => {
                self.rounds.borrow_mut().push(vec![hit.addr]);
                self.held.set(delivery.stop);
                Self::step(engine, client, hit.tid, how.clone());
                None
            }
            Event::OperationDone(done) => {
                let Ok(Outcome::Stepped(ip)) = done.outcome else {
                    panic!("{done:?}");
                };
                let [_, end, ..] = self.told.get();
                let mut rounds = self.rounds.borrow_mut();
                let round = rounds.last_mut().expect("it has begun");
                round.push(ip);
                if ip == end || how.most > 1 {
                    let stop = self.held.take().expect("held");
                    proceed(engine, client, stop);
                } else {
                    Self::step(engine, client, done.tid, how.clone());
                }
                Some(Action::Proceed)
            }
            _ => Some(Action::Proceed),
        }
    }
}

fn target() -> Trace<'static> {
    Trace::of(fixtures::STEP_CODE).arg(5).arg(16).arg("r11")
}

#[track_caller]
fn run(how: &Step) -> (Traced, Steps) {
    let steps = Steps::default();
    let traced = target()
        .client(vec![tells()], |engine, client, delivery| {
            steps.serve(engine, client, delivery, how)
        })
        .run_like_untraced();
    assert_eq!(steps.rounds.borrow().len(), 5);
    (traced, steps)
}

#[test]
fn c51_one_after_the_other() {
    let (_, steps) = run(&Step::count(1));
    let [begin, end, count, ..] = steps.told.get();
    for round in steps.rounds.borrow().iter() {
        assert_eq!(round.len() as u64 - 1, count, "{round:x?}");
        assert_eq!((round[0], *round.last().expect("steps")), (begin, end));
    }
}

#[test]
fn c51_so_many_at_once() {
    let (_, steps) = run(&Step::count(10));
    let one_by_one = run(&Step::count(1)).1;
    // The program is somewhere else each time.
    let at = |steps: &Steps, step: usize| {
        let round = &steps.rounds.borrow()[0];
        round[step] - steps.told.get()[0]
    };
    assert_eq!(at(&steps, 1), at(&one_by_one, 10));
}

#[test]
fn c51_until_an_address_or_out_of_a_range() {
    let until_end = |told: [u64; 5]| Step {
        until: Some(told[1]),
        ..Step::count(1000)
    };
    // The address is only known at run time: the first round tells it.
    let (_, steps) = run(&Step::count(1));
    let [begin, end, ..] = steps.told.get();
    let len = end - begin;
    for make in [
        Box::new(until_end) as Box<dyn Fn([u64; 5]) -> Step>,
        Box::new(move |told: [u64; 5]| Step {
            out_of: Some(told[0]..told[0] + len),
            over_calls: true,
            ..Step::count(1000)
        }),
    ] {
        let ends = RefCell::new(Vec::new());
        let held: Cell<Option<StopId>> = Cell::new(None);
        let addresses = Cell::new([0; 5]);
        target()
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event)
                    && told.code == 0x1234
                {
                    addresses.set(told.args);
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("code");
                }
                match &delivery.event {
                    Event::Breakpoint(hit) => {
                        held.set(delivery.stop);
                        Steps::step(engine, client, hit.tid, make(addresses.get()));
                        return None;
                    }
                    Event::OperationDone(done) => {
                        ends.borrow_mut().push(done.outcome.clone());
                        let stop = held.take().expect("held");
                        proceed(engine, client, stop);
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        let end = addresses.get()[1];
        assert_eq!(*ends.borrow(), vec![Ok(Outcome::Stepped(end)); 5]);
    }
}

/// What a stepped program does, others see as always.
#[test]
fn c51_others_count_its_calls() {
    let steps = Steps::default();
    let events = RefCell::new(Vec::new());
    let hits = Cell::new(0);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            steps.serve(engine, client, delivery, &Step::count(1))
        })
        .client(vec![all_syscalls()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1234
            {
                // On the way, and where the steps begin and end.
                for addr in [told.args[0], told.args[1], told.args[4]] {
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, addr, options)
                        .expect("code");
                }
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
            }
            events.borrow_mut().push(delivery.event.clone());
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let events = events.into_inner();
    pai_tests::trace::assert_paired(&events);
    assert_eq!(entered(&events)["getppid"], 5);
    assert_eq!(hits.get(), 15);
    let [_, _, count, ..] = steps.told.get();
    for round in steps.rounds.borrow().iter() {
        assert_eq!(round.len() as u64 - 1, count);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let looked = Cell::new(false);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                looked.set(true);
                let error = engine.start_step(client, told.tid, Step::count(0), None);
                assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
                let nobody = Tid::new(1);
                let error = engine.start_step(client, nobody, Step::count(1), None);
                assert_eq!(error, Err(Error::NoSuchTask(nobody)));
            }
            Some(Action::Proceed)
        })
        .client(vec![], |engine, client, delivery| {
            if let Some(tid) = delivery.event.tid() {
                let error = engine.start_step(client, tid, Step::count(1), None);
                assert!(error.is_err());
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert!(looked.get());
}

/// Of a program with uprobes, or why they cannot be had.
fn with_uprobes(args: [u32; 3]) -> Result<Trace<'static>, String> {
    let target = args
        .iter()
        .fold(Trace::of(fixtures::STEP_UPROBE), Trace::arg);
    let native = target.untraced();
    if native.status == ExitStatus::Exited(77) {
        return Err(native.stdout);
    }
    Ok(target)
}

/// The kernel's SIGTRAP behind somebody else's uprobe ends a step and is not the
/// program's.
#[test]
fn steps_go_over_uprobes() {
    let steps = Steps::default();
    let target = match with_uprobes([5, 16, 0]) {
        Ok(target) => target,
        Err(why) => {
            eprint!("{why}");
            return;
        }
    };
    target
        .client(vec![tells()], |engine, client, delivery| {
            steps.serve(engine, client, delivery, &Step::count(1))
        })
        .run_like_untraced();
    let [begin, end, count, ..] = steps.told.get();
    assert_eq!(steps.rounds.borrow().len(), 5);
    for round in steps.rounds.borrow().iter() {
        assert_eq!(round.len() as u64 - 1, count, "{round:x?}");
        assert_eq!((round[0], *round.last().expect("steps")), (begin, end));
    }
}

/// At the first place that is told, once.
fn insert_once(engine: &mut Engine, client: ClientId, told: &Told) {
    let options = BreakpointOptions {
        once: true,
        ..BreakpointOptions::default()
    };
    engine
        .insert_breakpoint(client, told.pid, told.args[0], options)
        .expect("code");
}

/// Has the task that comes to the first place that is told make so many steps, each asked
/// for when the one before is done.
#[track_caller]
fn step_by_step(target: Trace<'_>, wanted: u64) {
    let steps = Cell::new(0);
    let held = Cell::new(None);
    let traced = target
        .client(vec![tells()], |engine, client, delivery| {
            match &delivery.event {
                event if told(event).is_some_and(|told| told.code == 0x1234) => {
                    insert_once(engine, client, &told(event).expect("it does"));
                }
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    Steps::step(engine, client, hit.tid, Step::count(1));
                    return None;
                }
                Event::OperationDone(done) => {
                    assert!(done.outcome.is_ok(), "{done:?}");
                    steps.set(steps.get() + 1);
                    if steps.get() < wanted {
                        Steps::step(engine, client, done.tid, Step::count(1));
                        return None;
                    }
                    let stop = held.take().expect("held");
                    proceed(engine, client, stop);
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(steps.get(), wanted, "{traced:?}");
}

/// Steps the task that comes to the first place that is told, and ends the session when
/// others have made so many calls meanwhile.
fn let_go_in_steps(target: Trace<'_>, last: u32) -> Traced {
    let calls = Cell::new(0);
    let stepped = Cell::new(None);
    let traced = target
        .filtered(false)
        .actor(vec![tells(), all_syscalls()], |engine, client, delivery| {
            match &delivery.event {
                Event::Breakpoint(hit) => {
                    stepped.set(Some(hit.tid));
                    Steps::step(engine, client, hit.tid, Step::count(1_000_000));
                    return Reply::Hold;
                }
                event => {
                    if let Some(told) = told(event).filter(|told| told.code == 0x1234) {
                        insert_once(engine, client, &told);
                    }
                }
            }
            // Another thread calls, and this one is somewhere.
            if stepped
                .get()
                .is_some_and(|tid| delivery.event.tid() != Some(tid))
            {
                calls.set(calls.get() + 1);
            }
            if calls.get() == last {
                return Reply::Abort;
            }
            Reply::Answer(Action::Proceed)
        })
        .run();
    assert_eq!(calls.get(), last);
    traced
}

/// It is not left behind either when the session ends in the middle of such steps.
#[test]
fn a_program_is_let_go_in_steps_over_uprobes() {
    if let Err(why) = with_uprobes([1, 256, 0]) {
        eprint!("{why}");
        return;
    }
    // Most steps are over one.
    for last in 1..10 {
        let target = Trace::of(fixtures::STEP_UPROBE).arg(100).arg(256);
        let traced = let_go_in_steps(target, 20 * last);
        assert_eq!(traced.stdout, "done\n", "{traced:?}");
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    }
}

/// The kernel may have taken its handler away for a step: it gets it back.
#[test]
fn a_program_is_let_go_in_steps_of_its_own_handler() {
    for last in 1..10 {
        let traced = let_go_in_steps(Trace::of(fixtures::SIGTRAP_STEPS), 50 * last);
        assert_eq!(traced.stdout, "100 handled\n", "{traced:?}");
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    }
}

/// The trap flag of a step does not stay on its stack.
#[test]
fn a_program_is_let_go_in_steps_that_push_its_flags() {
    for last in 1..40 {
        let traced = let_go_in_steps(Trace::of(fixtures::STEP_PUSHF), last);
        assert_eq!(traced.stdout, "20000 rounds\n", "{traced:?}");
        assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    }
}

/// Nor when the steps are given up, again and again, from outside.
#[test]
fn steps_that_push_flags_are_given_up() {
    const TIMES: u32 = 300;
    let going = Cell::new(None);
    let held = Cell::new(None);
    let given_up = Cell::new(0);
    let step = |engine: &mut Engine, client, tid| {
        let id = engine.start_step(client, tid, Step::count(u64::MAX), None);
        going.set(Some(id.expect("it is held")));
    };
    let traced = Trace::of(fixtures::STEP_PUSHF)
        .client(vec![tells(), all_syscalls()], |engine, client, delivery| {
            match &delivery.event {
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    step(engine, client, hit.tid);
                    return None;
                }
                Event::OperationDone(done) => {
                    assert_eq!(done.outcome, Err(Error::Interrupted));
                    given_up.set(given_up.get() + 1);
                    if given_up.get() < TIMES {
                        step(engine, client, done.tid);
                    } else {
                        proceed(engine, client, held.take().expect("held"));
                    }
                }
                event => {
                    if let Some(told) = told(event).filter(|told| told.code == 0x1234) {
                        insert_once(engine, client, &told);
                    }
                    if let Some(id) = going.take() {
                        engine.cancel(client, id).expect("it is going on");
                    }
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(given_up.get(), TIMES, "{traced:?}");
}

/// A program that is stepped over uprobes gets the SIGTRAPs that it sends to itself.
#[test]
fn own_sigtraps_come_between_steps_over_uprobes() {
    let target = match with_uprobes([1, 4, 20]) {
        Ok(target) => target,
        Err(why) => {
            eprint!("{why}");
            return;
        }
    };
    step_by_step(target, 4_000);
}

/// Signals come to a task that is stepped all the time, whatever it thinks of
/// SIGTRAP.
#[test]
fn c50_signals_come_between_steps() {
    for mode in ["handled", "ignored", "blocked"] {
        let target = Trace::of(fixtures::STEP_SIGNALS).arg(5).arg(mode);
        step_by_step(target, 2_000);
    }
}

/// The trap behind that is the step's: no signal comes to the program.
#[test]
fn into_a_handler_is_one_step() {
    const N: usize = 5;
    let handler = Cell::new(0);
    let signals = RefCell::new(Vec::new());
    let ends = RefCell::new(Vec::new());
    let held: Cell<Option<StopId>> = Cell::new(None);
    Trace::of(fixtures::STEP_SIGNALS)
        .arg(N)
        .client(
            vec![tells(), Topic::Signals(Vec::new())],
            |engine, client, delivery| {
                if let Some(Told { args, .. }) = told(&delivery.event) {
                    handler.set(args[2]);
                }
                match &delivery.event {
                    Event::Signal(stop) => {
                        signals.borrow_mut().push(stop.signal);
                        // The end of a child has none.
                        if stop.signal == first() {
                            held.set(delivery.stop);
                            Steps::step(engine, client, stop.tid, Step::count(1));
                            return None;
                        }
                    }
                    Event::OperationDone(done) => {
                        ends.borrow_mut().push(done.outcome.clone());
                        proceed(engine, client, held.take().expect("held"));
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            },
        )
        .run_like_untraced();
    assert_eq!(
        ends.into_inner(),
        vec![Ok(Outcome::Stepped(handler.get())); N]
    );
    let signals = signals.into_inner();
    assert_eq!(signals[..N], [first(); N]);
    assert_eq!(signals[N..], [Signal::new(17).expect("SIGCHLD")]);
}

/// SIGUSR1
fn first() -> Signal {
    Signal::new(10).expect("a signal")
}
