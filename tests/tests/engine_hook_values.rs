//! Function hooks: arguments and results, seen and replaced.

use std::cell::Cell;

use pai_engine::{Action, Engine, Event, HookOptions};
use pai_tests::fixtures;
use pai_tests::hooks::{BOTH, Hooks, Names, RECURSION, entry_or_return, fib};
use pai_tests::probe::tells;
use pai_tests::trace::Trace;

const ARGS: Names<'static> = &[
    (
        0x1234,
        &["ints8", "mixed", "floats", "by_value", "returns_double"],
    ),
    (
        0x1235,
        &[
            "returns_wide",
            "varargs",
            "returns_pair",
            "returns_big",
            "returns_long_double",
        ],
    ),
];

fn double(bytes: &[u8]) -> f64 {
    f64::from_le_bytes(*bytes.first_chunk().expect("a vector"))
}

#[test]
fn arguments_and_results_are_what_the_function_gets_and_gives() {
    let hooks = Hooks::default();
    let looked = Cell::new(0);
    Trace::of(fixtures::HOOK_ARGS)
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(ARGS, BOTH, engine, client, delivery);
            let Some((entry, call)) = entry_or_return(&delivery.event) else {
                return Some(Action::Proceed);
            };
            looked.set(looked.get() + 1);
            let name = hooks.names.borrow()[&call.function];
            let regs = engine.registers(client, call.tid).expect("held");
            let stack = |engine: &mut Engine, offset| {
                let word = engine.read(call.pid, regs.sp() + offset, 8).expect("stack");
                u64::from_le_bytes(*word.first_chunk().expect("8 bytes"))
            };
            let xmm0 = engine.vector(client, call.tid, "xmm0").expect("one");
            match (name, entry) {
                ("ints8", true) => {
                    assert_eq!(stack(engine, 0), call.caller);
                    assert_eq!((stack(engine, 8), stack(engine, 16)), (7, 8));
                }
                ("ints8", false) => {
                    // It is back: behind the call, with its own stack.
                    assert_eq!(regs.ip(), call.caller);
                    assert_eq!((stack(engine, 0), stack(engine, 8)), (7, 8));
                    assert_eq!(call.ret, Some(204));
                }
                ("mixed", true) => assert!((double(&xmm0) - 2.5).abs() < 1e-9),
                ("mixed", false) => assert!((double(&xmm0) - 704_826.0).abs() < 1e-9),
                ("returns_double", false) => assert!((double(&xmm0) - 3.5).abs() < 1e-9),
                ("by_value", true) => {
                    let words = [8, 16, 24].map(|offset| stack(engine, offset));
                    assert_eq!((words, regs.get("rdi")), ([11, 22, 33], Some(4)));
                }
                ("returns_wide", false) => assert_eq!(regs.results(), [6, 5]),
                ("varargs", false) => assert_eq!(call.ret, Some(254)),
                ("returns_pair", false) => {
                    assert_eq!(call.ret, Some(9));
                    assert!((double(&xmm0) - 4.5).abs() < 1e-9);
                }
                ("returns_big", false) => {
                    let at = call.ret.expect("its place");
                    let big = engine.read(call.pid, at, 32).expect("memory");
                    assert_eq!(&big[..8], &3_u64.to_le_bytes());
                    assert_eq!(&big[24..], &6_u64.to_le_bytes());
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(looked.get(), 20);
    assert!(hooks.calls().iter().all(|(_, ret)| ret.is_some()));
}

#[test]
fn arguments_and_results_are_replaced() {
    let hooks = Hooks::default();
    let traced = Trace::of(fixtures::HOOK_ARGS)
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(ARGS, BOTH, engine, client, delivery);
            let Some((entry, call)) = entry_or_return(&delivery.event) else {
                return Some(Action::Proceed);
            };
            let name = hooks.names.borrow()[&call.function];
            let mut regs = engine.registers(client, call.tid).expect("held");
            Some(match (name, entry) {
                ("ints8", true) => {
                    // One in a register, one on the stack.
                    assert!(regs.set("rdi", 101));
                    engine.set_registers(client, call.tid, regs).expect("held");
                    let at = regs.sp() + 16;
                    let eight = 18_u64.to_le_bytes();
                    engine.write(call.pid, at, &eight).expect("stack");
                    Action::Proceed
                }
                ("returns_double", true) => {
                    assert!(regs.set("rdi", 9));
                    engine.set_registers(client, call.tid, regs).expect("held");
                    Action::Proceed
                }
                ("mixed" | "floats", false) => {
                    let mut xmm0 = engine.vector(client, call.tid, "xmm0").expect("one");
                    if name == "mixed" {
                        xmm0[..8].copy_from_slice(&1.5_f64.to_le_bytes());
                    } else {
                        xmm0[..4].copy_from_slice(&0.25_f32.to_le_bytes());
                    }
                    engine
                        .set_vector(client, call.tid, "xmm0", &xmm0)
                        .expect("held");
                    Action::Proceed
                }
                ("by_value", true) => Action::ReturnEarly(-5),
                ("by_value", false) => {
                    assert_eq!(call.ret, Some((-5_i64).cast_unsigned()));
                    Action::Proceed
                }
                ("returns_wide", false) => {
                    assert!(regs.set("rdx", 50));
                    engine.set_registers(client, call.tid, regs).expect("held");
                    Action::Proceed
                }
                ("varargs", false) => Action::SetReturn(-254),
                ("returns_pair", true) => {
                    // Both: an argument is nothing to a function that is not run.
                    assert!(regs.set("rdi", 1));
                    engine.set_registers(client, call.tid, regs).expect("held");
                    Action::ReturnEarly(77)
                }
                ("returns_pair", false) => {
                    let mut xmm0 = engine.vector(client, call.tid, "xmm0").expect("one");
                    xmm0[..8].copy_from_slice(&0.5_f64.to_le_bytes());
                    engine
                        .set_vector(client, call.tid, "xmm0", &xmm0)
                        .expect("held");
                    Action::SetReturn(78)
                }
                _ => Action::Proceed,
            })
        })
        .run();
    traced.expect(
        0,
        "ints8 384\nmixed 1.5\nfloats 0.25\nby_value -5\nreturns_double 4.5\n\
         returns_wide 50 6\nvarargs -254\nreturns_pair 0.5 78\nreturns_big 3 4 5 6\n\
         returns_long_double 4.0\n",
    );
    for (seen, ret) in hooks.calls() {
        assert!(ret.is_some(), "{seen:?}");
    }
}

#[test]
fn a_function_that_is_returned_from_at_every_level() {
    // fib(3) and fib(4) are known; what is below them is not called.
    let hooks = Hooks::default();
    let traced = Trace::of(fixtures::HOOK_RECURSION)
        .arg(10)
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(RECURSION, BOTH, engine, client, delivery);
            let last = hooks.seen.borrow().last().cloned();
            Some(match (&delivery.event, last) {
                (Event::FunctionEnter(_), Some(seen)) => match (seen.name, seen.args[0]) {
                    ("fib", 3) => Action::ReturnEarly(2),
                    ("fib", 4) => Action::ReturnEarly(3),
                    _ => Action::Proceed,
                },
                _ => Action::Proceed,
            })
        })
        .run();
    // Those that were not executed did not count themselves.
    traced.expect(
        0,
        "fib(10) = 55, 20 calls\nfactorial(10) = 3628800, 10 calls\n",
    );
    assert_eq!(hooks.counts("fib"), (41, 41, 0));
    for (seen, ret) in hooks.calls().iter().take(41) {
        assert_eq!(*ret, Some(fib(seen.args[0])), "{seen:?}");
    }
}

#[test]
fn entries_or_returns_alone() {
    let entries = Hooks::default();
    let returns = Hooks::default();
    let both = Hooks::default();
    let only_enter = HookOptions {
        leave: false,
        ..BOTH
    };
    let only_leave = HookOptions {
        enter: false,
        ..BOTH
    };
    Trace::of(fixtures::HOOK_RECURSION)
        .arg(7)
        .client(vec![tells()], |engine, client, delivery| {
            entries.serve(RECURSION, only_enter, engine, client, delivery);
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            returns.serve(RECURSION, only_leave, engine, client, delivery);
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            both.serve(RECURSION, BOTH, engine, client, delivery);
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(entries.counts("fib"), (41, 0, 0));
    assert_eq!(entries.counts("factorial"), (7, 0, 0));
    assert_eq!(returns.counts("fib"), (0, 41, 0));
    assert_eq!(returns.counts("factorial"), (0, 7, 0));
    assert_eq!(both.counts("fib"), (41, 41, 0));
    both.calls();
    let results = |hooks: &Hooks| -> Vec<Option<u64>> {
        let seen = hooks.seen();
        let returns = seen.iter().filter(|seen| !seen.entry);
        returns.map(|seen| seen.call.ret).collect()
    };
    assert_eq!(results(&returns), results(&both));
}

#[test]
fn the_first_of_two_clients_to_replace_a_result_wins() {
    let hooks = Hooks::default();
    let traced = Trace::of(fixtures::HOOK_ARGS)
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(ARGS, BOTH, engine, client, delivery);
            Some(match &delivery.event {
                Event::FunctionReturn(_) => match hooks.seen().last().expect("one").name {
                    "ints8" => Action::SetReturn(1),
                    _ => Action::Proceed,
                },
                _ => Action::Proceed,
            })
        })
        .client(vec![tells()], |engine, client, delivery| {
            let ints8: Names<'_> = &[(0x1234, &["ints8"])];
            Hooks::default().hook(ints8, engine, client, delivery);
            Some(match &delivery.event {
                Event::FunctionReturn(_) => Action::SetReturn(2),
                _ => Action::Proceed,
            })
        })
        .run();
    assert!(traced.stdout.starts_with("ints8 1\nmixed"), "{traced:?}");
    assert_eq!(traced.diagnostics.len(), 1, "a clash: {traced:?}");
}
