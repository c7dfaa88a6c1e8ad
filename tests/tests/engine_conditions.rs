//! Breakpoints with conditions: what does not hold is no hit, and nobody is told.

use std::cell::{Cell, RefCell};

use pai_engine::{
    Action, BreakpointKind, BreakpointOptions, Comparison, Condition, Error, Event, MAX_CONDITIONS,
    Place,
};
use pai_ptrace::Register;
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::trace::Trace;

const N: u64 = 100;

fn register(name: &str, comparison: Comparison, value: u64) -> Condition {
    Condition {
        place: Place::Register(Register::named(name).expect("a register")),
        len: 8,
        mask: u64::MAX,
        comparison,
        value,
    }
}

fn memory(base: Option<&str>, offset: i64, len: u8, value: u64) -> Condition {
    Condition {
        place: Place::Memory {
            base: base.map(|name| Register::named(name).expect("a register")),
            offset,
        },
        len,
        ..register("rax", Comparison::Equal, value)
    }
}

/// With a breakpoint that has these options at `hot_frame`, whose address they are made
/// for and which is called with (0, 1000) to (N - 1, 1000): the first arguments of the
/// hits that are reported, and how many are counted. A second client has all hits.
#[track_caller]
fn hits(options: impl Fn(u64) -> BreakpointOptions) -> (Vec<u64>, u64) {
    let reported = RefCell::new(Vec::new());
    let counted = Cell::new(0);
    let all = Cell::new(0);
    let [mine, second] = [const { Cell::new(None) }; 2];
    Trace::of(fixtures::BP_PROLOGUES)
        .arg(N)
        .arg("clean")
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let frame = told.args[0];
                    let id = engine.insert_breakpoint(client, told.pid, frame, options(frame));
                    mine.set(Some(id.expect("code")));
                }
                Some(told) if told.code == 0x1236 => {
                    let id = mine.get().expect("it was inserted");
                    // One that was to be hit once is gone.
                    if let Ok(hits) = engine.breakpoint_hits(client, id) {
                        counted.set(hits);
                        engine.remove_breakpoint(client, id).expect("it is there");
                    }
                }
                _ => {}
            }
            if let Event::Breakpoint(hit) = delivery.event {
                let regs = engine.registers(client, hit.tid).expect("it is held");
                reported
                    .borrow_mut()
                    .push(regs.get("rdi").expect("a register"));
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                match told.code {
                    0x1234 => {
                        let plain = BreakpointOptions::default();
                        let frame = told.args[0];
                        let id = engine.insert_breakpoint(client, told.pid, frame, plain);
                        second.set(Some(id.expect("code")));
                    }
                    0x1236 => {
                        let id = second.get().expect("it was inserted");
                        engine.remove_breakpoint(client, id).expect("it is there");
                    }
                    _ => {}
                }
            }
            if let Event::Breakpoint(_) = delivery.event {
                all.set(all.get() + 1);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(all.get(), N);
    (reported.into_inner(), counted.get())
}

fn when(conditions: &[Condition]) -> BreakpointOptions {
    BreakpointOptions {
        when: conditions.to_vec(),
        ..BreakpointOptions::default()
    }
}

#[test]
fn registers_are_compared() {
    use Comparison::*;
    let one = hits(|_| when(&[register("rdi", Equal, 42)]));
    assert_eq!(one, (vec![42], 1));
    let none = hits(|_| when(&[register("rsi", NotEqual, 1000)]));
    assert_eq!(none, (vec![], 0));
    let first = hits(|_| when(&[register("rdi", Below, 3), register("rsi", Equal, 1000)]));
    assert_eq!(first, (vec![0, 1, 2], 3));
    let middle = hits(|_| when(&[register("rdi", NotLess, 97), register("rdi", Less, 99)]));
    assert_eq!(middle, (vec![97, 98], 2));
    let odd = Condition {
        mask: 1,
        ..register("rdi", Equal, 1)
    };
    let (odd, counted) = hits(|_| when(&[odd]));
    assert_eq!(counted, N / 2);
    assert!(odd.iter().all(|number| number % 2 == 1), "{odd:?}");
}

/// What a condition does not let through is neither counted nor skipped.
#[test]
fn skipped_and_only_once() {
    let below = || vec![register("rdi", Comparison::NotBelow, 90)];
    let skips = |_| BreakpointOptions {
        skip: 7,
        when: below(),
        ..BreakpointOptions::default()
    };
    assert_eq!(hits(skips), (vec![97, 98, 99], 10));
    let once = |_| BreakpointOptions {
        once: true,
        when: below(),
        ..BreakpointOptions::default()
    };
    assert_eq!(hits(once), (vec![90], 0));
}

/// As the plugin would read it: breakpoints do not show, not even this one.
#[test]
fn memory_is_compared() {
    // push %rbp; mov %rsp,%rbp
    let frame = 0xe589_4855;
    let (all, _) = hits(|addr| when(&[memory(None, addr.cast_signed(), 4, frame)]));
    assert_eq!(all.len() as u64, N);
    let (all, _) = hits(|_| when(&[memory(Some("rip"), 1, 1, 0x48)]));
    assert_eq!(all.len() as u64, N);
    assert_eq!(hits(|_| when(&[memory(Some("rip"), 0, 1, 0xcc)])).1, 0);
    // Nobody's: it does not hold, whatever is compared.
    for comparison in [Comparison::Equal, Comparison::NotEqual] {
        let nowhere = Condition {
            comparison,
            ..memory(None, 8, 8, 0)
        };
        assert_eq!(hits(|_| when(&[nowhere])), (vec![], 0));
    }
}

#[test]
fn debug_registers_have_conditions_too() {
    let hardware = |_| BreakpointOptions {
        kind: BreakpointKind::HardwareExecute,
        ..when(&[register("rdi", Comparison::Equal, 42)])
    };
    assert_eq!(hits(hardware), (vec![42], 1));
}

#[test]
fn bad_conditions_are_refused() {
    let refused = Cell::new(0);
    Trace::of(fixtures::BP_PROLOGUES)
        .arg(1)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let mut insert = |conditions: &[Condition]| {
                    engine.insert_breakpoint(client, told.pid, told.args[0], when(conditions))
                };
                let good = register("rdi", Comparison::Equal, 1 << 40);
                let long = insert(&[good, Condition { len: 3, ..good }]);
                assert!(matches!(long, Err(Error::Invalid(_))), "{long:?}");
                let many = insert(&[good; MAX_CONDITIONS + 1]);
                assert!(matches!(many, Err(Error::Limit("conditions"))), "{many:?}");
                insert(&[good; MAX_CONDITIONS]).expect("as many as there may be");
                refused.set(refused.get() + 1);
            }
            assert!(!matches!(delivery.event, Event::Breakpoint(_)));
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(refused.get(), 1);
}
