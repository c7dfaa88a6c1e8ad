//! Watchpoints and hardware breakpoints, which are in the registers of each
//! task.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Instant;

use pai_engine::{
    Action, BreakpointId, BreakpointKind, BreakpointOptions, ClientId, Engine, Error, Event,
    Outcome, Protection, Step, Topic,
};
use pai_ptrace::{Pid, Tid};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::target::{PATIENCE, state};
use pai_tests::trace::{Trace, calls, proceed};

const N: u64 = 10;
const THREADS: u64 = 3;

fn of(kind: BreakpointKind) -> BreakpointOptions {
    BreakpointOptions {
        kind,
        ..BreakpointOptions::default()
    }
}

fn target() -> Trace<'static> {
    Trace::of(fixtures::WATCH_WRITES).arg(N).arg(THREADS)
}

/// Hits by what was watched and where the task was, and by process.
type Hits = BTreeMap<(Option<u64>, u64), u64>;

#[test]
fn c56_every_write_of_every_thread() {
    let hits: RefCell<Hits> = RefCell::default();
    let of_process: RefCell<BTreeMap<Pid, u64>> = RefCell::default();
    let variables = Cell::new([0; 5]);
    let behind = Cell::new([0; 5]);
    let traced = target()
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    variables.set(told.args);
                    for (addr, size) in told.args.into_iter().zip([1, 2, 4, 8]) {
                        let options = of(BreakpointKind::Write(size));
                        engine
                            .insert_breakpoint(client, told.pid, addr, options)
                            .expect("four there are");
                    }
                    let fifth = of(BreakpointKind::Write(8));
                    let addr = told.args[3] + 8;
                    let error = engine.insert_breakpoint(client, told.pid, addr, fifth);
                    assert!(matches!(error, Err(Error::Limit(_))), "{error:?}");
                }
                Some(told) if told.code == 0x1236 => behind.set(told.args),
                _ => {}
            }
            if let Event::Breakpoint(hit) = delivery.event {
                *hits.borrow_mut().entry((hit.data, hit.addr)).or_insert(0) += 1;
                *of_process.borrow_mut().entry(hit.pid).or_insert(0) += 1;
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let of_process = of_process.into_inner();
    assert_eq!(
        of_process[&traced.pid],
        3 * N + (2 + THREADS) * N,
        "{traced:?}"
    );
    assert_eq!(of_process.values().sum::<u64>(), 3 * N + (3 + THREADS) * N);
    let counts = [N, N, N, (3 + THREADS) * N];
    let expected: Hits = (0..4)
        .map(|i| ((Some(variables.get()[i]), behind.get()[i]), counts[i]))
        .collect();
    assert_eq!(hits.into_inner(), expected);
}

/// Two clients share one register; each has its own view of it.
#[test]
fn c56_clients_share_registers() {
    let seen = Cell::new((0, 0));
    let ids: RefCell<Vec<BreakpointId>> = RefCell::default();
    target()
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let options = BreakpointOptions {
                    once: true,
                    skip: 3,
                    ..of(BreakpointKind::Write(8))
                };
                let id = engine.insert_breakpoint(client, told.pid, told.args[3], options);
                ids.borrow_mut().push(id.expect("a register"));
            }
            if let Event::Breakpoint(_) = delivery.event {
                seen.set((seen.get().0 + 1, seen.get().1));
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let options = of(BreakpointKind::Write(8));
                let id = engine.insert_breakpoint(client, told.pid, told.args[3], options.clone());
                assert!(id.is_ok());
                let twice = engine.insert_breakpoint(client, told.pid, told.args[3], options);
                assert!(matches!(twice, Err(Error::Invalid(_))), "{twice:?}");
            }
            if let Event::Breakpoint(_) = delivery.event {
                seen.set((seen.get().0, seen.get().1 + 1));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(seen.get(), (1, (3 + THREADS) * N));
}

#[test]
fn c56_reads_and_instructions() {
    let reads = Cell::new(0);
    let executed = Cell::new(0);
    let load = Cell::new((0, 0));
    let phase = Cell::new(0);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let [.., w8, load8] = told.args;
                    load.set((load8, w8));
                    for (addr, kind) in [
                        (w8, BreakpointKind::Access(8)),
                        (load8, BreakpointKind::HardwareExecute),
                    ] {
                        engine
                            .insert_breakpoint(client, told.pid, addr, of(kind))
                            .expect("a register");
                    }
                }
                Some(told) if told.code == 0x1237 => phase.set(told.args[0]),
                _ => {}
            }
            if let Event::Breakpoint(hit) = delivery.event
                && phase.get() == 3
            {
                if hit.data.is_some() {
                    assert_eq!(hit.data, Some(load.get().1));
                    reads.set(reads.get() + 1);
                } else {
                    assert_eq!(hit.addr, load.get().0);
                    executed.set(executed.get() + 1);
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(executed.get(), N);
    // The program looks at the variable too.
    assert!(reads.get() >= N, "{}", reads.get());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let looked = Cell::new(false);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                looked.set(true);
                let mut insert = |addr, kind| {
                    engine
                        .insert_breakpoint(client, told.pid, addr, of(kind))
                        .map(|_| ())
                };
                let [w1, _, w4, ..] = told.args;
                for (addr, kind) in [
                    (w4 + 1, BreakpointKind::Write(4)),
                    (w4, BreakpointKind::Write(3)),
                    (w4, BreakpointKind::Access(16)),
                    (w1, BreakpointKind::HardwareExecute),
                ] {
                    let error = insert(addr, kind);
                    assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
                }
                for addr in [0, 1 << 63] {
                    let error = insert(addr, BreakpointKind::Write(8));
                    assert!(matches!(error, Err(Error::BadAddress { .. })), "{error:?}");
                }
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert!(looked.get());
}

/// A watch that is touched in the middle of steps is told, and the step counts.
#[test]
fn c56_steps_that_touch_watched_memory() {
    let told_hits = Cell::new(0);
    let done = Cell::new(0);
    let held = Cell::new(None);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    engine
                        .insert_breakpoint(
                            client,
                            told.pid,
                            told.args[0],
                            of(BreakpointKind::Write(1)),
                        )
                        .expect("a register");
                }
                Some(told) if told.code == 0x1235 => {
                    engine
                        .insert_breakpoint(
                            client,
                            told.pid,
                            told.args[0],
                            BreakpointOptions::default(),
                        )
                        .expect("code");
                }
                _ => {}
            }
            match &delivery.event {
                Event::Breakpoint(hit) if hit.data.is_some() => {
                    told_hits.set(told_hits.get() + 1);
                }
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    engine
                        .start_step(client, hit.tid, Step::count(2), None)
                        .expect("it is held");
                    return None;
                }
                Event::OperationDone(operation) => {
                    assert!(operation.outcome.is_ok(), "{operation:?}");
                    done.set(done.get() + 1);
                    let stop = held.take().expect("held");
                    proceed(engine, client, stop);
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!((told_hits.get(), done.get()), (N, N));
}

/// The fixture has the kernel write to the variable too, by read(2).
#[test]
fn c57_what_the_kernel_writes_is_not_seen() {
    let hits = Cell::new(0);
    target()
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let options = of(BreakpointKind::Write(4));
                engine
                    .insert_breakpoint(client, told.pid, told.args[2], options)
                    .expect("a register");
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(hits.get(), N);
}

/// A program that steps itself gets its own traps, also that of an instruction which
/// touches watched memory.
#[test]
fn a_program_that_steps_itself() {
    for calls in [false, true] {
        let hits = Cell::new(0);
        let traced = Trace::of(fixtures::WATCH_OWN_TRAP)
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    let options = of(BreakpointKind::Write(8));
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("free");
                }
                if let Event::Breakpoint(hit) = &delivery.event {
                    hits.set(hits.get() + 1);
                    if calls {
                        engine
                            .allocate(client, hit.tid, 1, Protection::READ)
                            .expect("room");
                    }
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(hits.get(), 2, "{traced:?}");
    }
}

fn word(engine: &mut Engine, pid: Pid, at: u64) -> u64 {
    let bytes = engine.read(pid, at, 8).expect("memory");
    u64::from_le_bytes(*bytes.first_chunk().expect("8 bytes"))
}

/// A register gets another variable at this mark, while the trap of the one before is still
/// to be told, or behind that. A write to the one is no write to the other.
#[track_caller]
fn a_register_that_watches_something_else_from(mark: u64) {
    let hits = RefCell::new(Vec::new());
    let ids = Cell::new((None, None));
    let writer: Cell<Option<Tid>> = Cell::new(None);
    let variables = Cell::new([0; 5]);
    let held = Cell::new(None);
    let steps = Cell::new(0);
    let insert = |engine: &mut Engine, client: ClientId, pid, addr| {
        let id = engine.insert_breakpoint(client, pid, addr, of(BreakpointKind::Write(8)));
        Some(id.expect("a register"))
    };
    let topics = vec![
        calls(&["getpriority"], true, false),
        Topic::Signals(Vec::new()),
    ];
    let traced = Trace::of(fixtures::WATCH_SWAPPED)
        .client(topics, |engine, client, delivery| {
            let [a, b, go, ..] = variables.get();
            match (&delivery.event, told(&delivery.event)) {
                (_, Some(told)) if told.code == 0x1234 => {
                    variables.set(told.args);
                    ids.set((insert(engine, client, told.pid, told.args[0]), None));
                }
                (_, Some(told)) if told.code == 0x1235 => {
                    engine
                        .write(told.pid, go, &1_u64.to_le_bytes())
                        .expect("memory");
                    let writer = writer.get().expect("it has written");
                    let until = Instant::now() + PATIENCE;
                    while word(engine, told.pid, a) != 2 || state(writer) != Some('t') {
                        assert!(Instant::now() < until, "it does not stop");
                        std::thread::yield_now();
                    }
                    let (of_a, _) = ids.get();
                    engine
                        .remove_breakpoint(client, of_a.expect("one"))
                        .expect("it is there");
                    if mark == told.code {
                        ids.set((of_a, insert(engine, client, told.pid, b)));
                    }
                }
                (_, Some(told)) if mark == told.code => {
                    ids.set((ids.get().0, insert(engine, client, told.pid, b)));
                }
                (Event::Breakpoint(hit), _) => {
                    writer.set(Some(hit.tid));
                    hits.borrow_mut().push((Some(hit.breakpoint), hit.data));
                }
                // Into the handler: a trap that no debug exception comes with.
                (Event::Signal(stop), _) => {
                    held.set(delivery.stop);
                    engine
                        .start_step(client, stop.tid, Step::count(1), None)
                        .expect("it is held");
                    return None;
                }
                (Event::OperationDone(done), _) => {
                    assert!(done.outcome.is_ok(), "{done:?}");
                    steps.set(steps.get() + 1);
                    proceed(engine, client, held.take().expect("held"));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let (of_a, of_b) = ids.get();
    assert!(of_b.is_some() && steps.get() == 1, "{traced:?}");
    assert_eq!(hits.into_inner(), [(of_a, Some(variables.get()[0]))]);
}

#[test]
fn a_register_that_watches_something_else_before_its_trap_is_told() {
    a_register_that_watches_something_else_from(0x1235);
}

#[test]
fn a_register_that_watches_something_else_behind_an_old_trap() {
    a_register_that_watches_something_else_from(0x1236);
}

/// A step that was given up at a hit within it is none of the next ones.
#[test]
fn steps_that_are_given_up_where_they_touch_watched_memory() {
    let behind = Cell::new(0);
    let held = Cell::new(None);
    let operation = Cell::new(None);
    let ends = RefCell::new(Vec::new());
    target()
        .client(vec![tells()], |engine, client, delivery| {
            let insert = |engine: &mut Engine, pid, addr, kind| {
                engine
                    .insert_breakpoint(client, pid, addr, of(kind))
                    .expect("code or a register");
            };
            if let Some(told) = told(&delivery.event) {
                match told.code {
                    0x1234 => insert(engine, told.pid, told.args[0], BreakpointKind::Write(1)),
                    0x1235 => insert(engine, told.pid, told.args[0], BreakpointKind::Software),
                    0x1236 => behind.set(told.args[0]),
                    _ => {}
                }
            }
            let step = |engine: &mut Engine, tid, most| {
                let id = engine.start_step(client, tid, Step::count(most), None);
                operation.set(Some(id.expect("it is held")));
            };
            match &delivery.event {
                Event::Breakpoint(hit) if hit.data.is_some() => {
                    let id = operation.get().expect("it steps");
                    engine.cancel(client, id).expect("it has not ended");
                }
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    step(engine, hit.tid, 10);
                    return None;
                }
                Event::OperationDone(done) if done.outcome.is_err() => step(engine, done.tid, 1),
                Event::OperationDone(done) => {
                    ends.borrow_mut().push(done.outcome.clone());
                    proceed(engine, client, held.take().expect("held"));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let ends = ends.into_inner();
    assert_eq!(ends.len() as u64, N);
    // Behind its return.
    let is_back = |end| matches!(end, &Ok(Outcome::Stepped(ip)) if ip != behind.get());
    assert!(ends.iter().all(is_back), "{ends:x?}, {:#x}", behind.get());
}
