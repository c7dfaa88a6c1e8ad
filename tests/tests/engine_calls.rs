//! Functions and system calls that clients have a target execute.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use pai_engine::{
    Action, Argument, BreakpointOptions, ClientId, Delivery, Engine, Error, Event, OperationDone,
    OperationId, Outcome, Protection, StopId,
};
use pai_ptrace::{Pid, Signal, Tid};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Trace, Traced, all_syscalls, proceed};

const TIMEOUT: Duration = Duration::from_millis(200);

/// What the target told of its functions.
#[derive(Clone, Copy, Default)]
struct Targets {
    groups: [[u64; 5]; 4],
}

impl Targets {
    fn function(&self, name: &str) -> u64 {
        const NAMES: [[&str; 5]; 4] = [
            ["add10", "mix", "sum_kinds", "clobber", "entry_state"],
            ["block", "exit3", "forks", "jumps", "aborts"],
            ["segfaults", "locks", "raises", "calls_hot", "hot_frame"],
            ["spin_stop", "spin_begin", "spin_end", "text", "pair"],
        ];
        for (group, names) in self.groups.iter().zip(NAMES) {
            if let Some(index) = names.iter().position(|known| *known == name) {
                return group[index];
            }
        }
        panic!("no function {name}");
    }
}

/// One thing to do at a stop of the target.
#[derive(Clone)]
enum Job {
    Call(&'static str, Vec<Argument>, Option<Duration>),
    Syscall(u32, [u64; 6], Option<Duration>),
}

/// Does the jobs one after the other, each at a stop of its own, and notes how
/// they end.
struct Worker<'a> {
    targets: Cell<Targets>,
    jobs: RefCell<std::vec::IntoIter<Job>>,
    held: Cell<Option<(StopId, OperationId)>>,
    outcomes: &'a RefCell<Vec<Result<Outcome, Error>>>,
}

impl<'a> Worker<'a> {
    fn new(jobs: Vec<Job>, outcomes: &'a RefCell<Vec<Result<Outcome, Error>>>) -> Self {
        Self {
            targets: Cell::default(),
            jobs: RefCell::new(jobs.into_iter()),
            held: Cell::new(None),
            outcomes,
        }
    }

    fn start(&self, engine: &mut Engine, client: ClientId, tid: Tid) -> Option<OperationId> {
        let job = self.jobs.borrow_mut().next()?;
        let started = match job {
            Job::Call(name, args, timeout) => {
                let function = self.targets.get().function(name);
                engine.start_call(client, tid, function, &args, timeout)
            }
            Job::Syscall(nr, args, timeout) => engine.start_syscall(client, tid, nr, args, timeout),
        };
        match started {
            Ok(id) => Some(id),
            Err(error) => {
                self.outcomes.borrow_mut().push(Err(error));
                None
            }
        }
    }

    fn serve(&self, engine: &mut Engine, client: ClientId, delivery: &Delivery) -> Option<Action> {
        if let Some(told) = told(&delivery.event) {
            if let Some(group) = told.code.checked_sub(0x1234).filter(|group| *group < 4) {
                let mut targets = self.targets.get();
                targets.groups[usize::try_from(group).expect("small")] = told.args;
                self.targets.set(targets);
            } else if self.held.get().is_none()
                && let Some(id) = self.start(engine, client, told.tid)
            {
                self.held.set(Some((delivery.stop.expect("a stop"), id)));
                return None;
            }
        }
        if let Event::OperationDone(done) = &delivery.event {
            let OperationDone {
                operation, outcome, ..
            } = &**done;
            let (stop, id) = self.held.take().expect("one is going on");
            assert_eq!(*operation, id);
            self.outcomes.borrow_mut().push(outcome.clone());
            if self.jobs.borrow().as_slice().is_empty() {
                let spin_stop = self.targets.get().function("spin_stop");
                // Unless it is over already.
                drop(engine.write(done.pid, spin_stop, &[1]));
            }
            match engine
                .answer(client, stop, Action::Proceed)
                .expect("no end")
            {
                Ok(()) | Err(Error::StaleStop(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Some(Action::Proceed)
    }
}

/// Runs the jobs in a target that checks all of its registers.
#[track_caller]
fn run(trace: Trace<'_>, jobs: Vec<Job>) -> (Traced, Vec<Result<Outcome, Error>>) {
    let outcomes = RefCell::new(Vec::new());
    let worker = Worker::new(jobs, &outcomes);
    let traced = trace
        .client(vec![tells()], |engine, client, delivery| {
            worker.serve(engine, client, delivery)
        })
        .run();
    drop(worker);
    (traced, outcomes.into_inner())
}

fn targets(rounds: u64) -> Trace<'static> {
    Trace::of(fixtures::CALL_TARGETS).arg(rounds)
}

fn ints(values: &[u64]) -> Vec<Argument> {
    values.iter().map(|value| Argument::Int(*value)).collect()
}

fn call(name: &'static str, args: Vec<Argument>) -> Job {
    Job::Call(name, args, None)
}

#[track_caller]
fn int(outcome: &Result<Outcome, Error>) -> u64 {
    match outcome {
        Ok(Outcome::Called { int, .. }) => int[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn c63_arguments_and_results_of_every_kind() {
    let jobs = vec![
        call("add10", ints(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])),
        call(
            "mix",
            vec![
                Argument::Int(1),
                Argument::Float(0.5),
                Argument::Single(0.25),
                Argument::Int(3),
                Argument::Float(2.0),
            ],
        ),
        call(
            "sum_kinds",
            vec![
                Argument::Bytes(b"ldldldldldl\0".to_vec()),
                Argument::Int(1),
                Argument::Float(0.01),
                Argument::Int(2),
                Argument::Float(0.02),
                Argument::Int(3),
                Argument::Float(0.03),
                Argument::Int(4),
                Argument::Float(0.04),
                Argument::Int(5),
                Argument::Float(0.05),
                Argument::Int(6),
            ],
        ),
        call("clobber", vec![]),
        call("entry_state", vec![]),
        call("pair", ints(&[30, 12])),
        call("calls_hot", ints(&[20, 21])),
        call("locks", vec![]),
    ];
    let (traced, outcomes) = run(targets(100), jobs);
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
    assert_eq!(int(&outcomes[0]), 385);
    let Ok(Outcome::Called { float, .. }) = outcomes[1] else {
        panic!("{:?}", outcomes[1]);
    };
    assert_eq!(f64::from_bits(float), 1.0 + 1.0 + 1.0 + 24.0 + 32.0);
    assert_eq!(int(&outcomes[2]), 21 + 15);
    assert_eq!(int(&outcomes[3]), 77);
    assert_eq!(int(&outcomes[4]), 0);
    let Ok(Outcome::Called { int: pair, .. }) = outcomes[5] else {
        panic!("{:?}", outcomes[5]);
    };
    assert_eq!(pair, [42, 18]);
    assert_eq!(int(&outcomes[6]), 42);
    assert_eq!(int(&outcomes[7]), 42);
}

/// A function may use all registers there are.
#[test]
fn c64_vector_registers_are_kept() {
    let jobs = vec![call("clobber", vec![]); 5];
    let (traced, outcomes) = run(targets(100), jobs);
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
    for outcome in &outcomes {
        assert_eq!(int(outcome), 77);
    }
}

/// Where a `syscall` instruction is found in programs of every kind.
#[test]
fn c67_programs_of_every_kind_make_calls() {
    for path in [
        fixtures::SYM_STATIC,
        fixtures::SYM_STATIC_PIE,
        fixtures::SYM_NO_PIE,
        fixtures::SYM_PIE,
    ] {
        let outcome = RefCell::new(None);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let traced = Trace::of(path)
            .client(vec![tells()], |engine, client, delivery| {
                match &delivery.event {
                    Event::SyscallEnter(stop) if outcome.borrow().is_none() => {
                        engine
                            .start_syscall(client, stop.tid, 39, [0; 6], None)
                            .expect("an entry will do");
                        held.set(delivery.stop);
                        return None;
                    }
                    Event::OperationDone(done) => {
                        *outcome.borrow_mut() = Some(done.outcome.clone());
                        let stop = held.take().expect("held");
                        proceed(engine, client, stop);
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run();
        let pid = i64::from(traced.pid.get());
        assert_eq!(
            outcome.into_inner(),
            Some(Ok(Outcome::Syscalled(pid))),
            "{path}"
        );
    }
}

/// What a function does to the program is the program's own; what it would do to
/// the session is an error.
#[test]
fn c65_functions_that_do_not_just_return() {
    let jobs = vec![
        Job::Call("block", vec![], Some(TIMEOUT)),
        call("segfaults", vec![]),
        call("aborts", vec![]),
        call("raises", vec![]),
        Job::Call("jumps", vec![], Some(TIMEOUT)),
        call("pair", ints(&[1, 1])),
    ];
    let (traced, outcomes) = run(targets(0), jobs);
    assert_eq!(outcomes[0], Err(Error::Timeout));
    assert_eq!(
        outcomes[1],
        Err(Error::Signalled(Signal::new(11).expect("SIGSEGV")))
    );
    assert_eq!(
        outcomes[2],
        Err(Error::Signalled(Signal::new(6).expect("SIGABRT")))
    );
    int(&outcomes[3]);
    assert_eq!(outcomes[4], Err(Error::Timeout));
    assert_eq!(int(&outcomes[5]), 2);
    traced.expect(0, "kept: 1 jumps, 1 handled, 0 children\n");
}

#[test]
fn c65_a_function_that_ends_the_process() {
    let (traced, outcomes) = run(targets(100), vec![call("exit3", vec![])]);
    assert_eq!(
        traced.status,
        Some(pai_engine::ExitStatus::Exited(3)),
        "{traced:?}"
    );
    assert!(
        matches!(outcomes[..], [Err(Error::NoSuchTask(_))]),
        "{outcomes:?}"
    );
}

/// The child of a function goes on where the program was.
#[test]
fn c65_a_function_that_forks() {
    for follow in [true, false] {
        let mut trace = targets(60);
        if !follow {
            trace = trace.no_follow();
        }
        let (traced, outcomes) = run(trace, vec![call("forks", vec![])]);
        traced.expect(0, "kept: 0 jumps, 0 handled, 1 children\n");
        let child = int(&outcomes[0]);
        assert!(child > 1 && child < 1 << 31, "{child}");
        assert_eq!(traced.stats.processes, 2);
    }
}

#[test]
fn c65_a_lock_that_another_thread_holds() {
    let trace = targets(100).arg("lock");
    let (traced, outcomes) = run(trace, vec![call("locks", vec![])]);
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
    assert_eq!(int(&outcomes[0]), 42);
}

#[test]
fn c60_system_calls() {
    let jobs = vec![
        Job::Syscall(39, [0; 6], None),
        Job::Syscall(3, [u64::MAX, 0, 0, 0, 0, 0], None),
        // pause
        Job::Syscall(34, [0; 6], Some(TIMEOUT)),
        Job::Syscall(39, [0; 6], None),
    ];
    let (traced, outcomes) = run(targets(100), jobs);
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
    let pid = i64::from(traced.pid.get());
    assert_eq!(
        outcomes,
        [
            Ok(Outcome::Syscalled(pid)),
            Ok(Outcome::Syscalled(-9)),
            Err(Error::Timeout),
            Ok(Outcome::Syscalled(pid)),
        ]
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let outcomes = RefCell::new(Vec::new());
    let worker = Worker::new(vec![], &outcomes);
    let looked = Cell::new(false);
    let traced = targets(100)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1240
                && !looked.replace(true)
            {
                let text = worker.targets.get().function("text");
                for function in [0, 1 << 63, text] {
                    let error = engine.start_call(client, told.tid, function, &[], None);
                    assert!(matches!(error, Err(Error::Invalid(_))), "{error:?}");
                }
                let much = vec![Argument::Int(0); 1000];
                let add10 = worker.targets.get().function("add10");
                let error = engine.start_call(client, told.tid, add10, &much, None);
                assert_eq!(error, Err(Error::Limit("call-arguments")));
                let nobody = Tid::new(1);
                let error = engine.start_call(client, nobody, add10, &[], None);
                assert_eq!(error, Err(Error::NoSuchTask(nobody)));
            }
            worker.serve(engine, client, delivery)
        })
        .run();
    assert!(looked.get());
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
}

/// Another client's breakpoint is hit inside; nothing else of the call is seen.
#[test]
fn c62_others_see_their_breakpoints_and_no_more() {
    let outcomes = RefCell::new(Vec::new());
    let worker = Worker::new(vec![call("calls_hot", ints(&[1, 2]))], &outcomes);
    let hits = Cell::new(0);
    let calls = Cell::new((0, 0));
    let traced = targets(100)
        .client(vec![tells()], |engine, client, delivery| {
            worker.serve(engine, client, delivery)
        })
        .client(vec![all_syscalls()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1236
            {
                let options = BreakpointOptions::default();
                engine
                    .insert_breakpoint(client, told.pid, told.args[4], options)
                    .expect("code");
            }
            let (enters, exits) = calls.get();
            match &delivery.event {
                Event::Breakpoint(_) => hits.set(hits.get() + 1),
                Event::SyscallEnter(_) => calls.set((enters + 1, exits)),
                Event::SyscallExit(_) => calls.set((enters, exits + 1)),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
    assert_eq!(int(&outcomes.borrow()[0]), 4);
    assert_eq!(hits.get(), 1);
    let (enters, exits) = calls.get();
    // exit_group does not return.
    assert_eq!(enters, exits + 1, "{traced:?}");
}

/// Memory comes and goes, and nothing is left of it.
#[test]
fn c69_memory_is_allocated_and_freed() {
    let done = Cell::new(false);
    let traced = targets(100)
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event)
                && told.code == 0x1240
                && !done.replace(true)
            {
                allocate(engine, client, told.pid, told.tid);
            }
            Some(Action::Proceed)
        })
        .run();
    assert!(done.get());
    traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
}

fn allocate(engine: &mut Engine, client: ClientId, pid: Pid, tid: Tid) {
    let rw = Protection::READ | Protection::WRITE;
    let mapped = |engine: &mut Engine, addr| {
        let maps = engine.maps(pid).expect("it lives");
        maps.into_iter().any(|m| m.start <= addr && addr < m.end)
    };
    let before = engine.maps(pid).expect("it lives").len();
    let addr = engine.allocate(client, tid, 20_000, rw).expect("memory");
    let big = engine.allocate(client, tid, 64 << 20, rw).expect("memory");
    assert!(mapped(engine, addr) && mapped(engine, big));
    assert_eq!(engine.write(pid, addr + 19_999, b"x"), Ok(()));
    let moved = engine.reallocate(client, tid, addr, 1 << 20).expect("more");
    assert_eq!(engine.read(pid, moved + 19_999, 2), Ok(b"x\0".to_vec()));
    assert_eq!(engine.free(client, pid, big), Ok(()));
    assert!(!mapped(engine, big));
    let again = engine.free(client, pid, big);
    assert!(matches!(again, Err(Error::NotFound(_))), "{again:?}");
    assert_eq!(engine.free(client, pid, moved), Ok(()));
    assert_eq!(engine.maps(pid).expect("it lives").len(), before);
    for (len, error) in [
        (0, Error::Invalid("no bytes are no allocation".to_owned())),
        (u64::MAX, Error::Limit("allocation-size")),
    ] {
        assert_eq!(engine.allocate(client, tid, len, rw), Err(error));
    }
}

/// Functions are called in tasks that sleep in calls of every kind: none of them
/// notices.
#[test]
fn c61_calls_that_sleep_go_on() {
    for mode in ["released", "timeout"] {
        let calls = Cell::new(0);
        let told_times = Cell::new(0);
        let add2 = Cell::new(0);
        let teller: Cell<Option<StopId>> = Cell::new(None);
        let sleeper: Cell<Option<(StopId, OperationId)>> = Cell::new(None);
        let traced = Trace::of(fixtures::CALL_RESTART)
            .arg("all")
            .arg(mode)
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    if told.code == 0x1234 {
                        add2.set(told.args[1]);
                        return Some(Action::Proceed);
                    }
                    told_times.set(told_times.get() + 1);
                    let main = Tid::new(i32::try_from(told.args[1]).expect("an id"));
                    engine.interrupt(client, main).expect("it sleeps");
                    teller.set(delivery.stop);
                    return None;
                }
                let answer = |engine: &mut Engine, stop: Option<StopId>| {
                    let stop = stop.expect("held");
                    proceed(engine, client, stop);
                };
                match &delivery.event {
                    Event::Stop { tid, .. } if teller.get().is_some() => {
                        let args = ints(&[40, 2]);
                        let id = engine
                            .start_call(client, *tid, add2.get(), &args, None)
                            .expect("an interrupt will do");
                        sleeper.set(Some((delivery.stop.expect("a stop"), id)));
                        return None;
                    }
                    Event::OperationDone(done) => {
                        assert_eq!(int(&done.outcome), 42);
                        calls.set(calls.get() + 1);
                        let (stop, _) = sleeper.take().expect("held");
                        answer(engine, Some(stop));
                        answer(engine, teller.take());
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert!(calls.get() > 0, "{traced:?}");
        assert_eq!(calls.get(), told_times.get(), "{mode}: {traced:?}");
    }
}

/// Children do not have what is ours in their parent's memory.
#[test]
fn c69_children_have_no_memory_of_ours() {
    let allocated = Cell::new(0);
    let last: Cell<(u64, u64)> = Cell::new((0, 0));
    let traced = Trace::of(fixtures::ALLOC_CHILD)
        .arg(3)
        .client(vec![tells()], |engine, client, delivery| {
            let Some(told) = told(&delivery.event) else {
                return Some(Action::Proceed);
            };
            let [address, length, ..] = told.args;
            let word = |value: u64| value.to_le_bytes();
            if told.code == 0x1234 {
                let rw = Protection::READ | Protection::WRITE;
                let len = 3 * 4096;
                let addr = engine.allocate(client, told.tid, len, rw).expect("memory");
                let mut pattern = [0; 8];
                pattern
                    .copy_from_slice(&engine.read(told.pid, told.args[2], 8).expect("a variable"));
                engine.write(told.pid, addr, &pattern).expect("ours");
                engine
                    .write(told.pid, length, &word(len))
                    .expect("a variable");
                engine
                    .write(told.pid, address, &word(addr))
                    .expect("a variable");
                allocated.set(allocated.get() + 1);
                last.set((addr, len));
            } else {
                assert_eq!(engine.free(client, told.pid, last.get().0), Ok(()));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(allocated.get(), 3, "{traced:?}");
}

/// The session ends while a task makes a call for a client, at any of the stops
/// that takes.
#[test]
fn c42_detached_in_the_middle_of_calls() {
    for (mode, nr) in [("getpid", 39), ("pause", 34)] {
        for leave_at in 1..=6 {
            let seen = Cell::new(0);
            let target = Cell::new(Targets::default());
            let traced = targets(40)
                .actor(vec![tells(), all_syscalls()], |engine, client, delivery| {
                    use pai_tests::trace::Reply;
                    if let Some(told) = told(&delivery.event) {
                        if let Some(group) = told.code.checked_sub(0x1234).filter(|g| *g < 4) {
                            let mut targets = target.get();
                            targets.groups[usize::try_from(group).expect("small")] = told.args;
                            target.set(targets);
                        } else if matches!(delivery.event, Event::SyscallEnter(_)) {
                            seen.set(seen.get() + 1);
                            if seen.get() == leave_at {
                                engine
                                    .start_syscall(client, told.tid, nr, [0; 6], None)
                                    .expect("an entry will do");
                                return Reply::Leave;
                            }
                        }
                    }
                    Reply::Answer(Action::Proceed)
                })
                .run();
            assert_eq!(seen.get(), leave_at, "{mode}");
            traced.expect(0, "kept: 0 jumps, 0 handled, 0 children\n");
        }
    }
}
