//! In its steady state the engine allocates nothing for an event.

use allocation_counter::measure;
use pai_engine::observe::{Overflow, buffer};
use pai_engine::{Action, BreakpointOptions, Comparison, Condition, Place, Topic};
use pai_ptrace::Register;
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Trace, all_syscalls, calls};

/// Allocations of this thread while the fixture is traced that makes so many calls, or
/// gets so many signals.
fn allocations(trace: impl Fn(Trace<'static>) -> Trace<'static>, args: [u64; 3]) -> u64 {
    let fixture = Trace::of(fixtures::REPEAT_CALLS);
    let trace = trace(args.into_iter().fold(fixture, Trace::arg));
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
    let few = allocations(&trace, [1000, 0, 0]);
    let many = allocations(&trace, [4000, 0, 0]);
    assert_few(few, many);
}

/// Three thousand signals more.
#[track_caller]
fn assert_none_of_signals(trace: impl Fn(Trace<'static>) -> Trace<'static>) {
    let few = allocations(&trace, [0, 0, 1000]);
    let many = allocations(&trace, [0, 0, 4000]);
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
fn signals_of_a_client() {
    assert_none_of_signals(|trace| {
        let topics = vec![Topic::Signals(Vec::new())];
        trace.client(topics, |_, _, _| Some(Action::Proceed))
    });
}

#[test]
fn signals_of_observers() {
    for topic in [Topic::Signals, Topic::SignalNumbers] {
        assert_none_of_signals(|trace| {
            let (producer, _consumer) = buffer(64, Overflow::Drop);
            trace.observer(vec![topic(Vec::new())], producer)
        });
    }
}

#[test]
fn hits_of_a_breakpoint() {
    assert_none_of_hits(BreakpointOptions::default);
}

#[test]
fn hits_with_a_condition_on_memory() {
    let no_return_address = || Condition {
        place: Place::Memory {
            base: Register::named("rsp"),
            offset: 0,
        },
        len: 8,
        mask: u64::MAX,
        comparison: Comparison::Equal,
        value: 0,
    };
    assert_none_of_hits(|| BreakpointOptions {
        when: vec![no_return_address()],
        ..BreakpointOptions::default()
    });
}

#[track_caller]
fn assert_none_of_hits(options: impl Fn() -> BreakpointOptions) {
    let hits = |n: u64| {
        let mut traced = None;
        let info = measure(|| {
            let trace = Trace::of(fixtures::BP_PROLOGUES).arg(n);
            let trace = trace.client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                    let id = engine.insert_breakpoint(client, told.pid, told.args[0], options());
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
