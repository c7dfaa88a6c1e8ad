//! Function hooks: each entry has its return, whatever the target does between
//! the two.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pai_engine::{
    Action, ClientId, Delivery, Engine, Error, Event, FunctionCall, HookId, HookOptions, HookSite,
};
use pai_ptrace::{Pid, Tid};
use pai_tests::fixtures;
use pai_tests::probe::{Told, tells, told};
use pai_tests::trace::{Reply, Trace, Traced};

const BOTH: HookOptions = HookOptions {
    enter: true,
    leave: true,
    tid: None,
};

/// An entry or a return of a hooked function.
#[derive(Clone, Debug)]
struct Seen {
    name: &'static str,
    entry: bool,
    call: FunctionCall,
    /// The first six integer arguments; only at the entry.
    args: [u64; 6],
}

/// What one client has seen.
#[derive(Default)]
struct Hooks {
    names: RefCell<BTreeMap<u64, &'static str>>,
    ids: RefCell<Vec<HookId>>,
    seen: RefCell<Vec<Seen>>,
}

/// What a fixture tells, and how that is called.
type Names<'a> = &'a [(u64, &'a [&'static str])];

impl Hooks {
    /// Hooks what is told, and notes what is seen.
    fn serve(
        &self,
        names: Names<'_>,
        options: HookOptions,
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
    ) {
        if let Some(Told {
            pid, code, args, ..
        }) = told(&delivery.event)
        {
            let functions = names.iter().filter(|(told, _)| *told == code);
            for (name, addr) in functions.flat_map(|(_, names)| names.iter().zip(args)) {
                let id = engine.insert_hook(client, pid, HookSite::Entry(addr), options);
                self.ids.borrow_mut().push(id.expect("a function"));
                self.names.borrow_mut().insert(addr, name);
            }
        }
        self.note(engine, client, delivery);
    }

    fn note(&self, engine: &mut Engine, client: ClientId, delivery: &Delivery) {
        let (entry, call) = match &delivery.event {
            Event::FunctionEnter(call) => (true, **call),
            Event::FunctionReturn(call) => (false, **call),
            _ => return,
        };
        let mut args = [0; 6];
        if entry {
            let regs = engine.registers(client, call.tid).expect("it is held");
            args = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"]
                .map(|name| regs.get(name).expect("its name"));
        }
        self.seen.borrow_mut().push(Seen {
            name: self.names.borrow()[&call.function],
            entry,
            call,
            args,
        });
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Entries, returns with a result, and frames that were left otherwise.
    fn counts(&self, name: &str) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for seen in self.seen.borrow().iter().filter(|seen| seen.name == name) {
            match (seen.entry, seen.call.ret) {
                (true, _) => counts.0 += 1,
                (false, Some(_)) => counts.1 += 1,
                (false, None) => counts.2 += 1,
            }
        }
        counts
    }

    /// All calls, each with its arguments and result, in the order of their
    /// entries. Panics unless entries and returns nest, in every task, and agree.
    #[track_caller]
    fn calls(&self) -> Vec<(Seen, Option<u64>)> {
        let mut open: BTreeMap<Tid, Vec<usize>> = BTreeMap::new();
        let mut calls: Vec<(Seen, Option<u64>)> = Vec::new();
        for seen in self.seen.borrow().iter() {
            let stack = open.entry(seen.call.tid).or_default();
            if seen.entry {
                assert_eq!(seen.call.depth as usize, stack.len(), "{seen:?}");
                assert_eq!(seen.call.ret, None);
                stack.push(calls.len());
                calls.push((seen.clone(), None));
                continue;
            }
            let index = stack
                .pop()
                .unwrap_or_else(|| panic!("not entered: {seen:?}"));
            let (entry, ret) = &mut calls[index];
            let expected = FunctionCall {
                ret: seen.call.ret,
                at: seen.call.at,
                ..entry.call
            };
            assert_eq!(seen.call, expected, "innermost first");
            assert!(entry.call.at <= seen.call.at);
            *ret = seen.call.ret;
        }
        assert!(open.values().all(Vec::is_empty), "all are left: {open:?}");
        let mut numbers: Vec<u64> = calls.iter().map(|(seen, _)| seen.call.call).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), calls.len(), "each call has its number");
        calls
    }
}

/// Runs a target with hooks on the functions that it tells.
#[track_caller]
fn run(trace: Trace<'_>, names: Names<'_>) -> (Traced, Hooks) {
    let hooks = Hooks::default();
    let traced = trace
        .client(vec![tells()], |engine, client, delivery| {
            hooks.serve(names, BOTH, engine, client, delivery);
            Some(Action::Proceed)
        })
        .run_like_untraced();
    (traced, hooks)
}

const RECURSION: Names<'static> = &[(0x1234, &["fib", "factorial"])];

fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[test]
fn c59_recursion() {
    let (traced, hooks) = run(Trace::of(fixtures::HOOK_RECURSION).arg(10), RECURSION);
    assert_eq!(hooks.counts("fib"), (177, 177, 0), "{traced:?}");
    assert_eq!(hooks.counts("factorial"), (10, 10, 0));
    let calls = hooks.calls();
    for (seen, ret) in &calls {
        let n = seen.args[0];
        let expected = match seen.name {
            "fib" => fib(n),
            _ => (1..=n).product(),
        };
        assert_eq!(*ret, Some(expected), "{seen:?}");
    }
    // All are open before the first returns.
    let depths: Vec<u32> = calls[177..]
        .iter()
        .map(|(seen, _)| seen.call.depth)
        .collect();
    assert_eq!(depths, (0..10).collect::<Vec<_>>());
    assert_eq!(traced.stats.steps_in_place, 0);
}

#[test]
fn c59_jumps_at_the_end() {
    const N: u64 = 10;
    let names: Names<'_> = &[(
        0x1234,
        &["tail_target", "tail_jmp", "tail_chain", "tail_self"],
    )];
    let (traced, hooks) = run(Trace::of(fixtures::HOOK_TAIL).arg(N), names);
    assert_eq!(hooks.counts("tail_target"), (3 * N, 3 * N, 0), "{traced:?}");
    assert_eq!(hooks.counts("tail_jmp"), (2 * N, 2 * N, 0));
    assert_eq!(hooks.counts("tail_chain"), (N, N, 0));
    assert_eq!(hooks.counts("tail_self"), (6 * N, 6 * N, 0));
    let round: Vec<_> = hooks
        .calls()
        .into_iter()
        .map(|(seen, ret)| (seen.name, seen.call.depth, seen.args[0], ret.expect("one")))
        .take(12)
        .collect();
    let expected = [
        ("tail_target", 0, 0, 11),
        ("tail_jmp", 0, 0, 12),
        ("tail_target", 1, 1, 12),
        ("tail_chain", 0, 0, 13),
        ("tail_jmp", 1, 1, 13),
        ("tail_target", 2, 2, 13),
        ("tail_self", 0, 5, 15),
        ("tail_self", 1, 4, 15),
        ("tail_self", 2, 3, 15),
        ("tail_self", 3, 2, 15),
        ("tail_self", 4, 1, 15),
        ("tail_self", 5, 0, 15),
    ];
    assert_eq!(round, expected);
}

#[test]
fn c59_longjmp_leaves_frames() {
    const ROUNDS: u64 = 20;
    const DEPTH: u64 = 5;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_LONGJMP).arg(ROUNDS).arg(DEPTH),
        &[(0x1234, &["deep", "shallow"])],
    );
    let half = ROUNDS * DEPTH;
    assert_eq!(hooks.counts("deep"), (2 * half, half, half), "{traced:?}");
    assert_eq!(hooks.counts("shallow"), (ROUNDS, ROUNDS, 0));
    for (seen, ret) in hooks.calls() {
        let [level, jumping, ..] = seen.args;
        let expected = match (seen.name, jumping) {
            ("deep", 1) => None,
            ("deep", _) => Some(level * (level + 1) / 2),
            _ => Some(level + 1),
        };
        assert_eq!(ret, expected, "{seen:?}");
    }
}

#[test]
fn c59_exceptions_leave_frames() {
    const N: u64 = 10;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_EXCEPTION).arg(N),
        &[(0x1234, &["outer", "middle", "inner", "outer2"])],
    );
    assert_eq!(hooks.counts("outer"), (N, N, 0), "{traced:?}");
    assert_eq!(hooks.counts("middle"), (2 * N, 0, 2 * N));
    assert_eq!(hooks.counts("inner"), (2 * N, 0, 2 * N));
    assert_eq!(hooks.counts("outer2"), (N, 0, N));
    for (seen, ret) in hooks.calls() {
        let expected = (seen.name == "outer").then_some(seen.args[0] + 1);
        assert_eq!(ret, expected, "{seen:?}");
    }
}

#[test]
fn c59_the_unwinder_finds_its_way() {
    const N: u64 = 5;
    let names = ["outer", "middle", "inner"];
    let (_, hooks) = run(Trace::of(fixtures::HOOK_UNWIND).arg(N), &[(0x1234, &names)]);
    for name in names {
        assert_eq!(hooks.counts(name), (2 * N, N, N), "{name}");
    }
    for (seen, ret) in hooks.calls() {
        let result = match seen.name {
            "outer" => 3,
            "middle" => 2,
            _ => 1,
        };
        assert_eq!(ret, (seen.args[0] == 0).then_some(result), "{seen:?}");
    }
}

#[test]
fn c59_threads_in_one_function() {
    const THREADS: u64 = 4;
    const N: u64 = 100;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_THREADS).arg(THREADS).arg(N),
        &[(0x1234, &["outer", "inner"])],
    );
    let all = THREADS * N;
    assert_eq!(hooks.counts("outer"), (all, all, 0), "{traced:?}");
    assert_eq!(hooks.counts("inner"), (all, all, 0));
    for (seen, ret) in hooks.calls() {
        let [thread, i, ..] = seen.args;
        let outer = seen.name == "outer";
        assert_eq!(ret, Some(thread * 1000 + i + u64::from(outer)), "{seen:?}");
        assert_eq!(seen.call.depth, u32::from(!outer));
    }
    // Nobody returns from its i-th call before all are in theirs.
    let mut round = BTreeMap::new();
    let mut entered = BTreeMap::new();
    for seen in hooks.seen().iter().filter(|seen| seen.name == "outer") {
        if seen.entry {
            round.insert(seen.call.call, seen.args[1]);
            *entered.entry(seen.args[1]).or_insert(0) += 1;
        } else {
            assert_eq!(entered[&round[&seen.call.call]], THREADS);
        }
    }
    assert_eq!(traced.stats.steps_in_place, 0);
}

#[test]
fn a_hook_of_one_thread() {
    const THREADS: u64 = 4;
    const N: u64 = 50;
    let hooks = Hooks::default();
    let only = Cell::new(None);
    let other = Cell::new(0);
    Trace::of(fixtures::HOOK_THREADS)
        .arg(THREADS)
        .arg(N)
        .client(vec![tells()], |engine, client, delivery| {
            let first = match &delivery.event {
                // The first thread to come here gets a hook of its own.
                Event::FunctionEnter(call) if only.get().is_none() => Some(**call),
                _ => None,
            };
            if let Some(call) = first {
                only.set(Some(call.tid));
                let options = HookOptions {
                    tid: Some(call.tid),
                    ..BOTH
                };
                let site = HookSite::Entry(hooks.address("inner"));
                engine
                    .insert_hook(client, call.pid, site, options)
                    .expect("a function");
            }
            match &delivery.event {
                Event::FunctionEnter(call) if hooks.names.borrow()[&call.function] == "inner" => {
                    assert_eq!(Some(call.tid), only.get());
                    other.set(other.get() + 1);
                    None
                }
                _ => Some(()),
            };
            if let Some(told) = told(&delivery.event) {
                hooks.names.borrow_mut().insert(told.args[1], "inner");
            }
            let outer: Names<'_> = &[(0x1234, &["outer"])];
            hooks.serve(outer, BOTH, engine, client, delivery);
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(other.get(), N);
    assert_eq!(hooks.counts("inner"), (N, N, 0));
    assert_eq!(hooks.counts("outer"), (THREADS * N, THREADS * N, 0));
    hooks.calls();
}

#[test]
fn c59_a_handler_on_a_stack_of_its_own() {
    const N: u64 = 10;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_SIGALTSTACK).arg(N),
        &[(0x1234, &["hooked"])],
    );
    assert_eq!(hooks.counts("hooked"), (2 * N, 2 * N, 0), "{traced:?}");
    for (seen, ret) in hooks.calls() {
        let [i, inner, ..] = seen.args;
        assert_eq!(ret, Some(i + 100 + inner), "{seen:?}");
        assert_eq!(u64::from(seen.call.depth), inner);
    }
}

#[test]
fn c59_parent_and_child_return() {
    const N: u64 = 5;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_FORK).arg(N),
        &[(0x1234, &["outer", "forking", "plain"])],
    );
    assert_eq!(hooks.counts("outer"), (N, 2 * N, 0), "{traced:?}");
    assert_eq!(hooks.counts("forking"), (N, 2 * N, 0));
    assert_eq!(hooks.counts("plain"), (N, N, 0));
    let seen = hooks.seen();
    let entry_of = |call: u64| {
        let entry = seen
            .iter()
            .find(|seen| seen.entry && seen.call.call == call);
        entry.expect("it was entered, if by the parent")
    };
    for seen in seen.iter().filter(|seen| !seen.entry) {
        let entry = entry_of(seen.call.call);
        let [i, ..] = entry.args;
        let child = u64::from(seen.call.pid != traced.pid);
        let expected = match seen.name {
            "forking" => i + 1 + child,
            "outer" => i + 101 + child,
            _ => i + 5,
        };
        assert_eq!(seen.call.ret, Some(expected), "{seen:?}");
        assert_eq!(seen.call.caller, entry.call.caller);
        assert_eq!(seen.call.depth, entry.call.depth);
    }
    assert!(
        seen.iter()
            .all(|seen| (seen.name == "plain") == (seen.call.pid != traced.pid) || !seen.entry)
    );
}

#[test]
fn children_that_are_not_followed_find_their_own_code() {
    const N: u64 = 5;
    let (traced, hooks) = run(
        Trace::of(fixtures::HOOK_FORK).arg(N).no_follow(),
        &[(0x1234, &["outer", "forking", "plain"])],
    );
    assert_eq!(hooks.counts("outer"), (N, N, 0), "{traced:?}");
    assert_eq!(hooks.counts("forking"), (N, N, 0));
    assert_eq!(hooks.counts("plain"), (0, 0, 0));
}

impl Hooks {
    fn address(&self, name: &str) -> u64 {
        let names = self.names.borrow();
        let found = names.iter().find(|(_, of)| **of == name);
        *found.expect("it was told").0
    }
}

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
            let (entry, call) = match &delivery.event {
                Event::FunctionEnter(call) => (true, call),
                Event::FunctionReturn(call) => (false, call),
                _ => return Some(Action::Proceed),
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
            let (entry, call) = match &delivery.event {
                Event::FunctionEnter(call) => (true, call),
                Event::FunctionReturn(call) => (false, call),
                _ => return Some(Action::Proceed),
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

impl Hooks {
    fn hook(&self, names: Names<'_>, engine: &mut Engine, client: ClientId, delivery: &Delivery) {
        if told(&delivery.event).is_some() {
            self.serve(names, BOTH, engine, client, delivery);
        }
    }
}

#[test]
fn a_hook_that_is_removed_is_not_told_of_any_more() {
    for answer in [true, false] {
        let hooks = Hooks::default();
        let gone = Cell::new(false);
        Trace::of(fixtures::HOOK_RECURSION)
            .arg(10)
            .client(vec![tells()], |engine, client, delivery| {
                hooks.serve(RECURSION, BOTH, engine, client, delivery);
                let at = hooks.seen.borrow().last().cloned();
                let Some(at) = at.filter(|at| at.entry && at.name == "fib" && at.args[0] == 5)
                else {
                    return Some(Action::Proceed);
                };
                assert!(!gone.replace(true), "it was removed");
                if answer {
                    return Some(Action::Remove);
                }
                engine
                    .remove_hook(client, at.call.hook)
                    .expect("it is there");
                let again = engine.remove_hook(client, at.call.hook);
                assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(hooks.counts("fib"), (6, 0, 0));
        assert_eq!(hooks.counts("factorial"), (10, 10, 0));
    }
}

/// The client leaves, or the session ends, at each event in turn.
#[track_caller]
fn leave_at_each(trace: impl Fn() -> Trace<'static>, names: Names<'_>, how: Reply) {
    let mut at = 0;
    loop {
        let hooks = Hooks::default();
        let count = Cell::new(0);
        let trace = trace();
        let native = trace.untraced();
        let traced = trace
            .actor(vec![tells()], |engine, client, delivery| {
                hooks.serve(names, BOTH, engine, client, delivery);
                count.set(count.get() + 1);
                if count.get() == at + 1 {
                    return how;
                }
                Reply::Answer(Action::Proceed)
            })
            .run();
        assert_eq!(traced.stdout, native.stdout, "{at}: {traced:?}");
        assert_eq!(traced.status, Some(native.status), "{at}: {traced:?}");
        if count.get() <= at {
            break;
        }
        at += 1;
    }
    assert!(at > 10, "{at}");
}

#[test]
fn left_at_every_event_of_a_recursion() {
    leave_at_each(
        || Trace::of(fixtures::HOOK_RECURSION).arg(4),
        RECURSION,
        Reply::Leave,
    );
}

#[test]
fn ended_at_every_event_of_tail_calls() {
    let names: Names<'_> = &[(
        0x1234,
        &["tail_target", "tail_jmp", "tail_chain", "tail_self"],
    )];
    leave_at_each(
        || Trace::of(fixtures::HOOK_TAIL).arg(1),
        names,
        Reply::Abort,
    );
}

#[test]
fn left_at_every_event_of_jumps() {
    leave_at_each(
        || Trace::of(fixtures::HOOK_LONGJMP).arg(2).arg(2),
        &[(0x1234, &["deep", "shallow"])],
        Reply::Leave,
    );
}

#[test]
fn ended_at_every_event_of_forks() {
    for how in [Reply::Leave, Reply::Abort] {
        leave_at_each(
            || Trace::of(fixtures::HOOK_FORK).arg(2),
            &[(0x1234, &["outer", "forking", "plain"])],
            how,
        );
    }
}

#[test]
fn what_cannot_be_hooked() {
    let checked = Cell::new(false);
    Trace::of(fixtures::HOOK_RECURSION)
        .client(vec![tells()], |engine, client, delivery| {
            let Some(told) = told(&delivery.event) else {
                return Some(Action::Proceed);
            };
            checked.set(true);
            let mut hook = |pid, site, options| engine.insert_hook(client, pid, site, options);
            let entry = HookSite::Entry(told.args[0]);
            let nothing = HookOptions {
                enter: false,
                leave: false,
                tid: None,
            };
            let reply = hook(told.pid, entry, nothing);
            assert!(matches!(reply, Err(Error::Invalid(_))), "{reply:?}");
            let reply = hook(told.pid, HookSite::Entry(8), BOTH);
            assert!(matches!(reply, Err(Error::BadAddress { .. })), "{reply:?}");
            let reply = hook(Pid::new(1), entry, BOTH);
            assert!(matches!(reply, Err(Error::NoSuchProcess(_))), "{reply:?}");
            let other = HookOptions {
                tid: Some(Tid::new(1)),
                ..BOTH
            };
            let reply = hook(told.pid, entry, other);
            assert!(matches!(reply, Err(Error::NoSuchTask(_))), "{reply:?}");
            let reply = hook(told.pid, HookSite::GotSlot(told.args[0]), BOTH);
            assert!(matches!(reply, Err(Error::Invalid(_))), "{reply:?}");
            let reply = hook(told.pid, HookSite::GotSlot(8), BOTH);
            assert!(reply.is_err(), "{reply:?}");
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert!(checked.get());
}

/// The event of the hooked call through a slot, if it is one, and whether it is
/// the entry.
fn through_slot(event: &Event) -> Option<(bool, FunctionCall)> {
    match event {
        Event::FunctionEnter(call) => Some((true, **call)),
        Event::FunctionReturn(call) => Some((false, **call)),
        _ => None,
    }
}

fn mark(event: &Event) -> Option<(Pid, u64)> {
    match event {
        Event::SyscallEnter(stop) => Some((stop.pid, stop.args[0])),
        _ => None,
    }
}

fn slot_of(engine: &mut Engine, pid: Pid, module: &str, name: &str) -> u64 {
    let slot = engine.got_slot(pid, module, name).expect("a module");
    slot.expect("it is called through one")
}

fn word(engine: &mut Engine, pid: Pid, at: u64) -> u64 {
    let bytes = engine.read(pid, at, 8).expect("memory");
    u64::from_le_bytes(*bytes.first_chunk().expect("8 bytes"))
}

/// Runs sym_got with its slot hooked from this mark on.
#[track_caller]
fn through_got(
    from: u64,
    answer: impl Fn(bool, &FunctionCall) -> Action,
) -> (Traced, Vec<(bool, FunctionCall)>) {
    let seen = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::SYM_GOT)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some((pid, code)) = mark(&delivery.event)
                && code == from
            {
                let slot = slot_of(engine, pid, "sym_got", "getpgrp");
                engine
                    .insert_hook(client, pid, HookSite::GotSlot(slot), BOTH)
                    .expect("a slot");
            }
            let Some((entry, call)) = through_slot(&delivery.event) else {
                return Some(Action::Proceed);
            };
            seen.borrow_mut().push((entry, call));
            let there = engine.lookup(call.pid, "getpgrp").expect("symbols");
            assert_eq!(there.map(|symbol| symbol.value), Some(call.function));
            Some(answer(entry, &call))
        })
        .run();
    (traced, seen.into_inner())
}

#[test]
fn slots_before_and_after_they_are_bound() {
    for (from, calls) in [(0x5307, 2), (0x5308, 1), (0x5309, 0)] {
        let (traced, seen) = through_got(from, |_, _| Action::Proceed);
        traced.expect(0, "first: theirs\nsecond: theirs\n");
        assert_eq!(seen.len(), 2 * calls, "{seen:?}");
        for pair in seen.chunks(2) {
            let [(true, entry), (false, leave)] = pair else {
                panic!("{pair:?}");
            };
            assert_eq!(entry.call, leave.call);
            assert_eq!(entry.caller, leave.caller);
            assert_eq!((entry.depth, leave.depth), (0, 0));
            assert!(leave.ret.is_some());
        }
    }
}

#[test]
fn results_through_slots_are_replaced() {
    let early = |entry: bool, _: &FunctionCall| match entry {
        true => Action::ReturnEarly(4711),
        false => Action::Proceed,
    };
    let late = |entry: bool, _: &FunctionCall| match entry {
        true => Action::Proceed,
        false => Action::SetReturn(4711),
    };
    let (traced, seen) = through_got(0x5307, early);
    traced.expect(0, "first: ours\nsecond: ours\n");
    let results: Vec<_> = seen.iter().map(|(_, call)| call.ret).collect();
    assert_eq!(results, [None, Some(4711), None, Some(4711)]);
    let (traced, _) = through_got(0x5308, early);
    traced.expect(0, "first: theirs\nsecond: ours\n");
    let (traced, _) = through_got(0x5307, late);
    traced.expect(0, "first: ours\nsecond: ours\n");
}

#[test]
fn a_slot_is_itself_again_when_its_hook_goes() {
    let (traced, seen) = through_got(0x5307, |_, _| Action::Remove);
    traced.expect(0, "first: theirs\nsecond: theirs\n");
    assert_eq!(seen.len(), 1, "{seen:?}");

    let was = Cell::new(0);
    let id = Cell::new(None);
    Trace::of(fixtures::SYM_GOT)
        .client(vec![tells()], |engine, client, delivery| {
            let Some((pid, code)) = mark(&delivery.event) else {
                return Some(Action::Proceed);
            };
            let slot = slot_of(engine, pid, "sym_got", "getpgrp");
            let now = word(engine, pid, slot);
            match code {
                0x5307 => {
                    let site = HookSite::GotSlot(slot);
                    let hook = engine.insert_hook(client, pid, site, BOTH);
                    id.set(Some(hook.expect("a slot")));
                    was.set(word(engine, pid, slot));
                    assert_ne!(now, was.get());
                }
                0x5308 => {
                    assert_eq!(now, was.get());
                    let hook = id.get().expect("one");
                    engine.remove_hook(client, hook).expect("it is there");
                    let function = engine.lookup(pid, "getpgrp").expect("symbols");
                    let function = function.expect("it has one").value;
                    assert_eq!(word(engine, pid, slot), function);
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
}

/// A hook of the slot through which hook_fork forks, and one of that through
/// which it waits.
#[track_caller]
fn fork_through_slots(trace: Trace<'_>) -> (Traced, Vec<(&'static str, bool, FunctionCall)>) {
    let seen = RefCell::new(Vec::new());
    let names = RefCell::new(BTreeMap::new());
    let traced = trace
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                for name in ["fork", "_exit"] {
                    let slot = slot_of(engine, told.pid, "hook_fork", name);
                    let site = HookSite::GotSlot(slot);
                    let id = engine.insert_hook(client, told.pid, site, BOTH);
                    names.borrow_mut().insert(id.expect("a slot"), name);
                }
            }
            if let Some((entry, call)) = through_slot(&delivery.event) {
                let name = names.borrow()[&call.hook];
                seen.borrow_mut().push((name, entry, call));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    (traced, seen.into_inner())
}

#[test]
fn slots_of_children() {
    const N: usize = 5;
    let (traced, seen) = fork_through_slots(Trace::of(fixtures::HOOK_FORK).arg(N));
    let count = |name, entry, own: bool| {
        seen.iter()
            .filter(|(n, e, call)| (*n, *e, call.pid == traced.pid) == (name, entry, own))
            .count()
    };
    assert_eq!(count("fork", true, true), N, "{seen:?}");
    assert_eq!(count("fork", false, true), N);
    assert_eq!(count("fork", true, false), 0);
    assert_eq!(count("fork", false, false), N);
    assert_eq!(count("_exit", true, false), N, "{seen:?}");
    assert_eq!(count("_exit", false, false), N);
    for (name, entry, call) in seen {
        let expected = match (name, entry) {
            ("fork", false) => Some(call.pid != traced.pid),
            _ => None,
        };
        assert_eq!(call.ret.map(|ret| ret == 0), expected);
    }
}

#[test]
fn slots_of_children_that_are_not_followed() {
    const N: usize = 5;
    let (traced, seen) = fork_through_slots(Trace::of(fixtures::HOOK_FORK).arg(N).no_follow());
    assert_eq!(seen.len(), 2 * N, "{seen:?}");
    assert!(seen.iter().all(|(name, _, _)| *name == "fork"));
    assert!(seen.iter().all(|(_, _, call)| call.pid == traced.pid));
}

#[test]
fn slots_whose_hook_goes_while_threads_are_there() {
    const THREADS: u64 = 8;
    const NAME: &str = "pthread_barrier_wait";
    for _ in 0..20 {
        let entries = Cell::new(0);
        Trace::of(fixtures::HOOK_THREADS)
            .arg(THREADS)
            .arg(50)
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    let slot = slot_of(engine, told.pid, "hook_threads", NAME);
                    let site = HookSite::GotSlot(slot);
                    engine
                        .insert_hook(client, told.pid, site, BOTH)
                        .expect("a slot");
                }
                let Some((entry, _)) = through_slot(&delivery.event) else {
                    return Some(Action::Proceed);
                };
                entries.set(entries.get() + u64::from(entry));
                // When as many as can be are inside, and come again.
                Some(match entries.get() > 5 * THREADS {
                    true => Action::Remove,
                    false => Action::Proceed,
                })
            })
            .run_like_untraced();
        assert!(entries.get() > 5 * THREADS);
    }
}

#[test]
fn slots_when_the_client_leaves_at_any_time() {
    for at in 0..8 {
        for how in [Reply::Leave, Reply::Abort] {
            let count = Cell::new(0);
            let traced = Trace::of(fixtures::SYM_GOT)
                .actor(vec![tells()], |engine, client, delivery| {
                    if let Some((pid, 0x5307)) = mark(&delivery.event) {
                        let slot = slot_of(engine, pid, "sym_got", "getpgrp");
                        let site = HookSite::GotSlot(slot);
                        engine.insert_hook(client, pid, site, BOTH).expect("a slot");
                    }
                    count.set(count.get() + 1);
                    match count.get() > at {
                        true => how,
                        false => Reply::Answer(Action::Proceed),
                    }
                })
                .run();
            assert_eq!(traced.stdout, "first: theirs\nsecond: theirs\n", "{at}");
        }
    }
}

#[test]
fn c53_a_function_of_a_library_that_comes_again() {
    const N: u64 = 5;
    let newest = Cell::new(None);
    let counts = Cell::new((0, 0));
    Trace::of(fixtures::BP_DLOPEN)
        .arg(N)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1234
            {
                // The hook before is not removed: its function went by itself.
                let site = HookSite::Entry(told.args[0]);
                let hook = engine.insert_hook(client, told.pid, site, BOTH);
                newest.set(Some(hook.expect("a function")));
            }
            let (entries, returns) = counts.get();
            match through_slot(&delivery.event) {
                Some((true, call)) if Some(call.hook) == newest.get() => {
                    counts.set((entries + 1, returns));
                }
                Some((false, call)) if Some(call.hook) == newest.get() => {
                    counts.set((entries, returns + 1));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(counts.get(), (3 * N, 3 * N));
}
