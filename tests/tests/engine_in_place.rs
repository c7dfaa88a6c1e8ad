//! Breakpoints that are passed where they are.

use std::cell::{Cell, RefCell};

use pai_engine::{Action, BreakpointKind, BreakpointOptions, Event};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::storm::Storm;
use pai_tests::trace::Trace;

/// The trap of a step is the tracer's, whatever stop has overtaken it.
#[test]
fn an_interrupt_that_overtakes_the_trap() {
    const N: u64 = 1_500;
    let storm: RefCell<Option<Storm>> = RefCell::new(None);
    let hits = Cell::new(0);
    let traced = Trace::of(fixtures::RLIMIT_AS)
        .arg(N)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                let options = BreakpointOptions::default();
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], options)
                    .expect("code");
                storm.replace(Some(Storm::over(told.pid)));
            }
            match delivery.event {
                Event::Breakpoint(_) => {
                    hits.set(hits.get() + 1);
                    storm.borrow().as_ref().expect("it has begun").go_on(1_000);
                }
                Event::ProcessExited { .. } => drop(storm.take()),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, &format!("{N} calls\n"));
    assert_eq!(hits.get(), N);
    assert!(traced.stats.steps_in_place >= N, "{traced:?}");
}

/// The kernel takes the action or the mask of a SIGTRAP away for the trap of each step.
#[test]
fn a_program_that_ignores_or_blocks_the_signal() {
    const N: u64 = 10;
    for mode in ["", "ignored", "blocked"] {
        let hits = Cell::new(0);
        let traced = Trace::of(fixtures::RLIMIT_AS)
            .arg(N)
            .arg(mode)
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    for addr in &told.args[..2] {
                        let options = BreakpointOptions::default();
                        engine
                            .insert_breakpoint(client, told.pid, *addr, options)
                            .expect("code");
                    }
                }
                if let Event::Breakpoint(_) = delivery.event {
                    hits.set(hits.get() + 1);
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(hits.get(), 2 * N, "{mode}");
        assert_eq!(traced.stats.steps_in_place, 2 * N, "{mode}");
    }
}

/// The step of the instruction is no reason not to tell of what it writes: the first one is
/// the push of hot_frame.
#[test]
fn an_instruction_that_writes_to_watched_memory() {
    const N: u64 = 10;
    let function = Cell::new(0);
    let watched = Cell::new(None);
    let (hits, writes) = (Cell::new(0), Cell::new(0));
    let traced = Trace::of(fixtures::RLIMIT_AS)
        .arg(N)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                function.set(told.args[0]);
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], BreakpointOptions::default())
                    .expect("code");
            }
            let Event::Breakpoint(hit) = &delivery.event else {
                return Some(Action::Proceed);
            };
            if hit.data.is_some() {
                // Others use that memory, too.
                writes.set(writes.get() + u64::from(hit.addr == function.get() + 1));
                return Some(Action::Proceed);
            }
            hits.set(hits.get() + 1);
            if watched.get().is_none() {
                let regs = engine.registers(client, hit.tid).expect("it is held");
                let options = BreakpointOptions {
                    kind: BreakpointKind::Write(8),
                    ..BreakpointOptions::default()
                };
                let id = engine.insert_breakpoint(client, hit.pid, regs.sp() - 8, options);
                watched.set(Some(id.expect("a register")));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!((hits.get(), writes.get()), (N, N), "{traced:?}");
}
