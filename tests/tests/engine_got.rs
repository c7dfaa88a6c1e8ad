//! Function hooks on slots of the GOT.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pai_engine::{Action, Engine, Event, FunctionCall, HookSite};
use pai_ptrace::Pid;
use pai_tests::fixtures;
use pai_tests::hooks::BOTH;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Reply, Trace, Traced};

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
                .filtered(how != Reply::Abort)
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

/// What a program puts into a slot, or where a stub was, is its own: also in its children,
/// whether these are followed or not, and when the hook goes.
#[test]
fn slots_and_stubs_that_have_become_something_else() {
    let targets = || {
        let target = || Trace::of(fixtures::SYM_GOT_CHANGED);
        [target(), target().arg("exec"), target().no_follow()]
    };
    for (removed, target) in [true, false]
        .into_iter()
        .flat_map(|removed| targets().map(|target| (removed, target)))
    {
        let hook = Cell::new(None);
        let entries = Cell::new(0);
        let traced = target
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    if told.code == 0x1307 {
                        let slot = slot_of(engine, told.pid, "sym_got_changed", "getpgrp");
                        let id =
                            engine.insert_hook(client, told.pid, HookSite::GotSlot(slot), BOTH);
                        hook.set(Some(id.expect("a slot")));
                    } else if removed {
                        let id = hook.take().expect("one");
                        engine.remove_hook(client, id).expect("it is there");
                    }
                }
                entries.set(entries.get() + u64::from(through_slot(&delivery.event).is_some()));
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "ok\n");
        assert_eq!(entries.get(), 0);
    }
}
