//! Function hooks: each entry has its return, whatever the target does between
//! the two.

use std::cell::Cell;
use std::collections::BTreeMap;

use pai_engine::{Action, Error, Event, HookOptions, HookSite};
use pai_ptrace::{Pid, Tid};
use pai_tests::fixtures;
use pai_tests::hooks::{BOTH, Hooks, Names, RECURSION, fib, run};
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Reply, Trace};

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
        || Trace::of(fixtures::HOOK_TAIL).arg(1).filtered(false),
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
            || {
                let trace = Trace::of(fixtures::HOOK_FORK).arg(2);
                trace.filtered(how != Reply::Abort)
            },
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
