//! Software breakpoints: every hit is counted, and the target cannot tell.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use pai_engine::{
    Action, BreakpointId, BreakpointOptions, ClientId, Delivery, Engine, Error, Event,
};
use pai_ptrace::Pid;
use pai_tests::fixtures;
use pai_tests::probe::{Told, tells, told};
use pai_tests::trace::{Trace, Traced};

/// What one client has counted.
#[derive(Default)]
struct Hits {
    /// By address.
    at: RefCell<BTreeMap<u64, u64>>,
    /// By process.
    of: RefCell<BTreeMap<Pid, u64>>,
    /// What the target told, in order.
    told: RefCell<Vec<Told>>,
    ids: RefCell<Vec<BreakpointId>>,
}

impl Hits {
    fn at(&self, addr: u64) -> u64 {
        self.at.borrow().get(&addr).copied().unwrap_or(0)
    }

    fn told(&self, code: u64) -> [u64; 5] {
        let told = self.told.borrow();
        let found = told.iter().find(|told| told.code == code);
        found.expect("the target tells it").args
    }

    fn count(&self, event: &Event) -> bool {
        let Event::Breakpoint(hit) = event else {
            return false;
        };
        *self.at.borrow_mut().entry(hit.addr).or_insert(0) += 1;
        *self.of.borrow_mut().entry(hit.pid).or_insert(0) += 1;
        true
    }

    /// Inserts breakpoints at all addresses of these calls, and counts.
    fn serve(
        &self,
        codes: &[(u64, usize)],
        engine: &mut Engine,
        client: ClientId,
        delivery: &Delivery,
    ) -> Option<Action> {
        if let Some(told) = told(&delivery.event) {
            self.told.borrow_mut().push(told);
            if let Some((_, count)) = codes.iter().find(|(code, _)| *code == told.code) {
                for addr in &told.args[..*count] {
                    let id = insert(engine, client, told.pid, *addr).expect("code");
                    self.ids.borrow_mut().push(id);
                }
            }
        }
        self.count(&delivery.event);
        Some(Action::Proceed)
    }
}

fn insert(
    engine: &mut Engine,
    client: ClientId,
    pid: Pid,
    addr: u64,
) -> Result<BreakpointId, Error> {
    engine.insert_breakpoint(client, pid, addr, BreakpointOptions::default())
}

/// Runs a target with a breakpoint at each of the first addresses that it tells.
#[track_caller]
fn run(trace: Trace<'_>, codes: &[(u64, usize)]) -> (Traced, Hits) {
    let hits = Hits::default();
    let traced = trace
        .client(vec![tells()], |engine, client, delivery| {
            hits.serve(codes, engine, client, delivery)
        })
        .run_like_untraced();
    (traced, hits)
}

#[test]
fn c48_every_kind_of_prologue() {
    const N: u64 = 100;
    let hits = Hits::default();
    let traced = Trace::of(fixtures::BP_PROLOGUES)
        .arg(N)
        .arg("clean")
        .client(vec![tells()], |engine, client, delivery| {
            if told(&delivery.event).is_some_and(|told| told.code == 0x1236) {
                for id in hits.ids.take() {
                    assert!(engine.breakpoint_hits(client, id).is_ok());
                    engine.remove_breakpoint(client, id).expect("it is there");
                    let gone = engine.remove_breakpoint(client, id);
                    assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
                }
            }
            hits.serve(&[(0x1234, 5), (0x1235, 5)], engine, client, delivery)
        })
        .run_like_untraced();
    let [frame, leaf, endbr, cond, rip] = hits.told(0x1234);
    let [call, jmp, other, je, after] = hits.told(0x1235);
    for addr in [frame, leaf, endbr, cond, rip, call, jmp, je, after] {
        assert_eq!(hits.at(addr), N, "{addr:#x} {traced:?}");
    }
    assert_eq!(hits.at(other), 2 * N);
    assert_eq!(traced.stats.steps_in_place, 0);
}

#[test]
fn c46_threads_lose_no_hit() {
    let (traced, hits) = run(
        Trace::of(fixtures::BP_THREADS).arg(8).arg(2000),
        &[(0x1234, 1)],
    );
    assert_eq!(hits.at(hits.told(0x1234)[0]), 16_000, "{traced:?}");
    assert_eq!(traced.stats.steps_in_place, 0);
}

#[test]
fn c46_threads_lose_no_hit_to_a_timer() {
    let (traced, hits) = run(
        Trace::of(fixtures::BP_THREADS)
            .arg(4)
            .arg(4000)
            .arg("timer"),
        &[(0x1234, 1)],
    );
    assert_eq!(hits.at(hits.told(0x1234)[0]), 16_000, "{traced:?}");
}

#[test]
fn c46_threads_lose_no_hit_while_others_fork() {
    let (traced, hits) = run(
        Trace::of(fixtures::BP_THREADS)
            .arg(4)
            .arg(1000)
            .arg("fork")
            .arg(20)
            .arg(10),
        &[(0x1234, 1)],
    );
    assert_eq!(hits.at(hits.told(0x1234)[0]), 4_200, "{traced:?}");
    assert_eq!(hits.of.borrow()[&traced.pid], 4_000);
    assert_eq!(hits.of.borrow().len(), 21);
}

#[test]
fn c33_children_that_are_not_followed_have_no_breakpoints() {
    let (traced, hits) = run(
        Trace::of(fixtures::BP_THREADS)
            .arg(4)
            .arg(1000)
            .arg("fork")
            .arg(20)
            .arg(10)
            .no_follow(),
        &[(0x1234, 1)],
    );
    assert_eq!(hits.at(hits.told(0x1234)[0]), 4_000, "{traced:?}");
}

#[test]
fn c47_a_handler_finds_the_program_where_it_is() {
    let (traced, hits) = run(Trace::of(fixtures::BP_HANDLER_RIP), &[(0x1234, 4)]);
    let [frame, rip, call, other, _] = hits.told(0x1234);
    let [frames, rips, calls, others, _] = hits.told(0x1235);
    assert_eq!(
        [frame, rip, call, other].map(|addr| hits.at(addr)),
        [frames, rips, calls, others],
        "{traced:?}"
    );
}

#[test]
fn c47_an_instruction_that_faults_is_hit_once() {
    let (traced, hits) = run(Trace::of(fixtures::BP_FAULT).arg(100), &[(0x1234, 3)]);
    let [load, div, ud2, ..] = hits.told(0x1234);
    assert_eq!(
        [load, div, ud2].map(|addr| hits.at(addr)),
        [100; 3],
        "{traced:?}"
    );
}

#[test]
fn c33_children_of_every_kind() {
    const N: u64 = 10;
    let (traced, hits) = run(Trace::of(fixtures::BP_FORK).arg(N), &[(0x1234, 1)]);
    let of = hits.of.borrow();
    assert_eq!(of[&traced.pid], 5 * N, "{of:?}");
    let children: Vec<u64> = of
        .iter()
        .filter(|(pid, _)| **pid != traced.pid)
        .map(|(_, hits)| *hits)
        .collect();
    assert_eq!(children, [N; 4], "{traced:?}");
}

#[test]
fn c33_children_of_every_kind_that_are_not_followed() {
    const N: u64 = 10;
    let trace = Trace::of(fixtures::BP_FORK).arg(N).arg("clean").no_follow();
    let (traced, hits) = run(trace, &[(0x1234, 1)]);
    assert_eq!(hits.of.borrow()[&traced.pid], 5 * N, "{traced:?}");
    assert_eq!(hits.of.borrow().len(), 1, "{traced:?}");
}

#[test]
fn c45_traps_of_the_target_s_own() {
    for (mode, codes, at_own) in [("handled", 1, 0), ("handled", 2, 10)] {
        let trace = Trace::of(fixtures::BP_OWN_INT3).arg(mode).arg(10);
        let (traced, hits) = run(trace, &[(0x1234, codes)]);
        let [hot, own, ..] = hits.told(0x1234);
        assert_eq!(hits.at(hot), 10, "{mode}: {traced:?}");
        assert_eq!(hits.at(own), at_own, "{mode}: {traced:?}");
    }
}

#[test]
fn c49_on_system_calls_and_behind_them() {
    let trace = Trace::of(fixtures::BP_SYSCALL_INSN).arg(10).arg(10);
    let (traced, hits) = run(trace, &[(0x1234, 5)]);
    let [getppid, read, eintr, read_after, eintr_after] = hits.told(0x1234);
    assert_eq!(hits.at(getppid), 10, "{traced:?}");
    assert_eq!(hits.at(eintr), 10, "{traced:?}");
    assert_eq!(
        [read_after, eintr_after].map(|a| hits.at(a)),
        [10; 2],
        "{traced:?}"
    );
    // Restarting the call executes the instruction again.
    assert_eq!(hits.at(read), 10, "{traced:?}");
}

/// Two clients with opinions of their own on one place.
#[test]
fn c55_each_client_has_its_own() {
    let seen = Cell::new(0);
    let other = Hits::default();
    let once = Cell::new(0);
    let traced = Trace::of(fixtures::BP_THREADS)
        .arg(4)
        .arg(1000)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                insert(engine, client, told.pid, told.args[0]).expect("code");
            }
            if let Event::Breakpoint(_) = delivery.event {
                seen.set(seen.get() + 1);
                if seen.get() == 100 {
                    return Some(Action::Remove);
                }
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            other.serve(&[(0x1234, 1)], engine, client, delivery)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                let options = BreakpointOptions {
                    once: true,
                    skip: 7,
                    ..BreakpointOptions::default()
                };
                let id = engine.insert_breakpoint(client, told.pid, told.args[0], options);
                assert!(id.is_ok());
            }
            if let Event::Breakpoint(hit) = delivery.event {
                once.set(once.get() + 1);
                // It has removed itself.
                let hits = engine.breakpoint_hits(client, hit.breakpoint);
                assert!(matches!(hits, Err(Error::NotFound(_))));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    // While one thread's hit is on its way, others may have come too.
    assert!((100..104).contains(&seen.get()), "{}", seen.get());
    assert_eq!(other.at(other.told(0x1234)[0]), 4_000, "{traced:?}");
    assert_eq!(once.get(), 1);
}

/// A client that leaves takes its breakpoints with it, whatever it holds.
#[test]
fn c45_a_client_leaves_with_its_breakpoints() {
    let stays = Hits::default();
    let seen = Cell::new(0);
    let traced = Trace::of(fixtures::BP_THREADS)
        .arg(4)
        .arg(500)
        .actor(vec![tells()], |engine, client, delivery| {
            use pai_tests::trace::Reply;
            if let Some(told) = told(&delivery.event) {
                insert(engine, client, told.pid, told.args[0]).expect("code");
            }
            if let Event::Breakpoint(_) = delivery.event {
                seen.set(seen.get() + 1);
                if seen.get() == 50 {
                    return Reply::Leave;
                }
            }
            Reply::Answer(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            stays.serve(&[(0x1234, 1)], engine, client, delivery)
        })
        .run_like_untraced();
    assert_eq!(seen.get(), 50);
    assert_eq!(stays.at(stays.told(0x1234)[0]), 2_000, "{traced:?}");
}

/// The session ends with breakpoints in place: nothing is left of them.
#[test]
fn c42_detached_with_breakpoints_in_place() {
    for leave_at in [1, 2, 50, 99, 500] {
        let seen = Cell::new(0);
        let traced = Trace::of(fixtures::BP_PROLOGUES)
            .arg(100)
            .arg("clean")
            .actor(vec![tells()], |engine, client, delivery| {
                use pai_tests::trace::Reply;
                if let Some(told) = told(&delivery.event) {
                    for addr in told.args.into_iter().filter(|addr| *addr > 0x1000) {
                        insert(engine, client, told.pid, addr).expect("code");
                    }
                }
                if let Event::Breakpoint(_) = delivery.event {
                    seen.set(seen.get() + 1);
                    if seen.get() == leave_at {
                        return Reply::Leave;
                    }
                }
                Reply::Answer(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(seen.get(), leave_at, "{traced:?}");
    }
}

#[test]
fn c53_an_exec_ends_all() {
    let (traced, hits) = run(
        Trace::of(fixtures::BP_EXEC).arg(10).arg("clean"),
        &[(0x1234, 1)],
    );
    let [first, second] = [0, 1].map(|image| {
        let told = hits.told.borrow();
        told[image].args[0]
    });
    assert_ne!(first, second);
    assert_eq!(
        [first, second].map(|addr| hits.at(addr)),
        [10; 2],
        "{traced:?}"
    );
}

#[test]
fn c53_a_library_that_comes_and_goes() {
    let hits = Cell::new(0);
    let ids: RefCell<Vec<BreakpointId>> = RefCell::default();
    let traced = Trace::of(fixtures::BP_DLOPEN)
        .arg(5)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let id = insert(engine, client, told.pid, told.args[0]).expect("code");
                    ids.borrow_mut().push(id);
                }
                Some(told) => {
                    let addr = told.args[0];
                    let error = engine.read(told.pid, addr, 1);
                    assert!(matches!(error, Err(Error::BadAddress { .. })), "{error:?}");
                    for id in ids.take() {
                        assert_eq!(engine.remove_breakpoint(client, id), Ok(()));
                    }
                    let error = insert(engine, client, told.pid, addr);
                    assert!(matches!(error, Err(Error::BadAddress { .. })), "{error:?}");
                }
                None => {}
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(hits.get(), 15, "{traced:?}");
}

#[test]
fn c54_memory_that_becomes_something_else() {
    let kinds = RefCell::new(BTreeMap::new());
    let ids: RefCell<Vec<BreakpointId>> = RefCell::default();
    let at: Cell<(u64, u64)> = Cell::new((0, 0));
    Trace::of(fixtures::BP_MUNMAP)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    let [addr, kind, ..] = told.args;
                    at.set((addr, kind));
                    match insert(engine, client, told.pid, addr) {
                        Ok(id) => ids.borrow_mut().push(id),
                        // Others would have it in their memory.
                        Err(Error::Unsupported(_)) => assert!(kind >= 2),
                        Err(error) => panic!("{error}"),
                    }
                }
                Some(_) => {
                    for id in ids.take() {
                        assert_eq!(engine.remove_breakpoint(client, id), Ok(()));
                    }
                }
                None => {}
            }
            if let Event::Breakpoint(hit) = delivery.event {
                assert_eq!(hit.addr, at.get().0);
                *kinds.borrow_mut().entry(at.get().1).or_insert(0) += 1;
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(kinds.into_inner(), BTreeMap::from([(0, 3), (1, 3)]));
}

/// A jump out of the handler of a signal that came before the instruction was
/// executed.
#[test]
fn c47_handlers_that_jump_away() {
    let (traced, hits) = run(Trace::of(fixtures::BP_SIGLONGJMP), &[(0x1234, 1)]);
    let [hot, ..] = hits.told(0x1234);
    let [counter, undecided, ..] = hits.told(0x1235);
    let hits = hits.at(hot);
    assert!(
        (counter..=counter + undecided).contains(&hits),
        "{hits} hits, {counter} calls, {undecided} undecided: {traced:?}"
    );
}

/// Targets in which nothing may be mapped, or nothing new be executable.
#[test]
fn c68_targets_with_rules_of_their_own() {
    for (path, functions) in [
        (fixtures::SECCOMP_INJECT, 1),
        (fixtures::MDWE, 1),
        (fixtures::RLIMIT_AS, 3),
    ] {
        let (traced, hits) = run(Trace::of(path).arg(10), &[(0x1234, functions)]);
        for function in &hits.told(0x1234)[..functions] {
            assert_eq!(hits.at(*function), 10, "{path}: {traced:?}");
        }
    }
}

#[test]
fn c55_where_no_breakpoint_belongs() {
    let hits = Hits::default();
    Trace::of(fixtures::BP_MID)
        .arg(10)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                let mut at = |addr| insert(engine, client, told.pid, addr).map(drop);
                if told.code == 0x1234 {
                    let [mid, inside, data, unmapped, none] = told.args;
                    assert_eq!(at(mid), Ok(()));
                    let twice = at(mid);
                    assert!(matches!(twice, Err(Error::Invalid(_))), "{twice:?}");
                    for addr in [inside, data, none] {
                        let error = at(addr);
                        assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
                    }
                    let error = at(unmapped);
                    assert!(matches!(error, Err(Error::BadAddress { .. })), "{error:?}");
                } else {
                    let [inside, after, read_only, null, nowhere] = told.args;
                    assert_eq!(at(after), Ok(()));
                    for addr in [inside, read_only] {
                        let error = at(addr);
                        assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
                    }
                    for addr in [null, nowhere, u64::MAX] {
                        let error = at(addr);
                        assert!(matches!(error, Err(Error::BadAddress { .. })), "{error:?}");
                    }
                }
                hits.told.borrow_mut().push(told);
            }
            hits.count(&delivery.event);
            Some(Action::Proceed)
        })
        .run_like_untraced();
    let mid = hits.told(0x1234)[0];
    let after = hits.told(0x1235)[1];
    assert_eq!([mid, after].map(|addr| hits.at(addr)), [10; 2]);
}

/// Reads show what belongs there, whoever reads; writes go below.
#[test]
fn c52_memory_looks_as_if_there_were_none() {
    let looked = Cell::new(false);
    let hits = Cell::new(0);
    Trace::of(fixtures::BP_PROLOGUES)
        .arg(10)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let frame = told.args[0];
                let before = engine.read(told.pid, frame - 16, 40).expect("code");
                insert(engine, client, told.pid, frame).expect("code");
                insert(engine, client, told.pid, frame + 1).expect("the second instruction");
                let after = engine.read(told.pid, frame - 16, 40);
                assert_eq!(after, Ok(before));
            }
            if let Event::Breakpoint(_) = delivery.event {
                hits.set(hits.get() + 1);
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, _, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                looked.set(true);
                // push %rbp; mov %rsp, %rbp; lea (%rdi, %rsi), %rax; pop %rbp; ret
                let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x04, 0x37, 0x5d, 0xc3];
                let (pid, frame) = (told.pid, told.args[0]);
                assert_eq!(engine.read(pid, frame, 10), Ok(code.to_vec()));
                assert_eq!(engine.read_c_string(pid, frame, 10), Ok(code.to_vec()));
                let many = engine.read_many(pid, &[(frame, 1), (frame + 1, 3)]);
                let parts = vec![Ok(code[..1].to_vec()), Ok(code[1..4].to_vec())];
                assert_eq!(many, Ok(parts));
                assert_eq!(engine.find(pid, frame, 10, &code, 1), Ok(vec![frame]));
                // The same function, by another instruction: push %rbp; mov
                // %rsp, %rbp; lea (%rsi, %rdi), %rax; …
                let other = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x04, 0x3e, 0x5d, 0xc3];
                assert_eq!(engine.write(pid, frame, &other), Ok(()));
                assert_eq!(engine.read(pid, frame, 10), Ok(other.to_vec()));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert!(looked.get());
    assert_eq!(hits.get(), 20);
}
