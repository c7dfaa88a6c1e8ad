//! In its steady state the engine allocates nothing for an event.

use allocation_counter::measure;
use pai_engine::observe::{Overflow, buffer};
use pai_engine::{Action, BreakpointOptions};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Trace, all_syscalls, calls};

/// Allocations of this thread while the fixture is traced that makes so many calls.
fn allocations(trace: impl Fn(Trace<'static>) -> Trace<'static>, calls: u64) -> u64 {
    let trace = trace(Trace::of(fixtures::REPEAT_CALLS).arg(calls));
    let mut traced = None;
    let info = measure(|| traced = Some(trace.run()));
    traced.expect("it ran").expect(0, "done\n");
    info.count_total
}

/// Buffers grow at first, and from time to time somebody looks into /proc. An allocation
/// for every event would be thousands.
#[track_caller]
fn assert_few(few: u64, many: u64) {
    assert!(many < few + 500, "{few} allocations, then {many}");
}

/// Three thousand calls more, and no allocation for them.
#[track_caller]
fn assert_none(trace: impl Fn(Trace<'static>) -> Trace<'static>) {
    let few = allocations(&trace, 1000);
    let many = allocations(&trace, 4000);
    assert_few(few, many);
}

#[test]
fn syscalls_of_a_client() {
    assert_none(|trace| trace.client(vec![all_syscalls()], |_, _, _| Some(Action::Proceed)));
}

#[test]
fn filtered_syscalls_of_a_client() {
    let topics = || vec![calls(&["getppid"], true, true)];
    assert_none(|trace| {
        let trace = trace.filtered(true);
        trace.client(topics(), |_, _, _| Some(Action::Proceed))
    });
}

#[test]
fn syscalls_of_an_observer() {
    assert_none(|trace| {
        let (producer, _consumer) = buffer(64, Overflow::Drop);
        trace.observer(vec![all_syscalls()], producer)
    });
}

#[test]
fn hits_of_a_breakpoint() {
    let hits = |n: u64| {
        let mut traced = None;
        let info = measure(|| {
            let trace = Trace::of(fixtures::BP_PROLOGUES).arg(n);
            let trace = trace.client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                    let plain = BreakpointOptions::default();
                    let id = engine.insert_breakpoint(client, told.pid, told.args[0], plain);
                    id.expect("code");
                }
                Some(Action::Proceed)
            });
            traced = Some(trace.run());
        });
        assert_eq!(traced.expect("it ran").stats.breakpoints, n);
        info.count_total
    };
    assert_few(hits(1000), hits(4000));
}
