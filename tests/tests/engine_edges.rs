//! What happens rarely, and must not be seen by the target.

use std::cell::{Cell, RefCell};

use nix::sys::signal::{Signal as NixSignal, kill};
use pai_engine::{
    Action, BreakpointOptions, ClientId, Delivery, Engine, Error, Event, ExitStatus, HookOptions,
    HookSite, OperationId, Outcome, Protection, Step, StopId, Topic,
};
use pai_ptrace::{Pid, Signal};
use pai_syscalls::abi::X86_64;
use pai_tests::fixtures;
use pai_tests::moment::Moment;
use pai_tests::probe::{tells, told};
use pai_tests::target::state;
use pai_tests::trace::{Reply, Trace, calls, name, proceed};

const CLONE: u32 = 56;
const FORK: u32 = 57;
const VFORK: u32 = 58;
const CLONE3: u32 = 435;
const SIGCHLD: u64 = 17;
const CLONE_VM: u64 = 0x100;
const CLONE_UNTRACED: u64 = 0x80_0000;
/// Bytes of a `struct clone_args`.
const CLONE_ARGS: u64 = 88;

/// Everything at which the fixture can be stopped.
fn moments() -> Vec<Topic> {
    let usr2 = Signal::new(12).expect("SIGUSR2");
    vec![
        calls(&["getpriority"], true, true),
        Topic::Signals(vec![usr2]),
    ]
}

/// A child that a client makes by a system call goes on where its creator was
/// stopped, whether it is followed or not.
#[test]
fn children_of_system_calls_of_clients() {
    for follow in [true, false] {
        for moment in Moment::ALL {
            for nr in [FORK, CLONE, CLONE3] {
                let args = Cell::new(0);
                let held: Cell<Option<StopId>> = Cell::new(None);
                let outcomes = RefCell::new(Vec::new());
                let mut trace = Trace::of(fixtures::INJECT_BIRTHS);
                if !follow {
                    trace = trace.no_follow();
                }
                let traced = trace
                    .client(moments(), |engine, client, delivery| {
                        if let Some(told) = told(&delivery.event).filter(|t| t.code == 0x1234) {
                            args.set(told.args[1]);
                            let options = BreakpointOptions::default();
                            engine
                                .insert_breakpoint(client, told.pid, told.args[0], options)
                                .expect("code");
                        }
                        if let Event::OperationDone(done) = &delivery.event {
                            outcomes.borrow_mut().push(done.outcome.clone());
                            proceed(engine, client, held.take().expect("held"));
                        }
                        if moment.is(&delivery.event)
                            && held.get().is_none()
                            && outcomes.borrow().is_empty()
                        {
                            let args = match nr {
                                CLONE => [SIGCHLD, 0, 0, 0, 0, 0],
                                CLONE3 => [args.get(), CLONE_ARGS, 0, 0, 0, 0],
                                _ => [0; 6],
                            };
                            let stop = delivery.stop.expect("a stop");
                            engine
                                .start_syscall(client, stop.tid(), nr, args, None)
                                .expect("it is held");
                            held.set(Some(stop));
                            return None;
                        }
                        Some(Action::Proceed)
                    })
                    .run();
                traced.expect(0, "1 children\n");
                assert_eq!(traced.stats.processes, 2);
                match outcomes.into_inner()[..] {
                    [Ok(Outcome::Syscalled(child))] if child > 1 => {}
                    ref other => panic!("{moment:?}, call {nr}: {other:?}"),
                }
            }
        }
    }
}

/// One that would share the memory of its creator has no place to go on at, and one
/// that is not traced cannot be brought to it.
#[test]
fn children_without_a_place_of_their_own_are_refused() {
    let refused = Cell::new(0);
    let look = |engine: &mut Engine, client: ClientId, delivery: &Delivery| {
        let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) else {
            return Some(Action::Proceed);
        };
        let args = told.args[1];
        let mut refuse = |nr, args| {
            let error = engine.start_syscall(client, told.tid, nr, args, None);
            assert!(matches!(error, Err(Error::Unsupported(_))), "{error:?}");
            refused.set(refused.get() + 1);
        };
        refuse(VFORK, [0; 6]);
        for flags in [CLONE_VM, CLONE_UNTRACED] {
            refuse(CLONE, [flags | SIGCHLD, 0, 0, 0, 0, 0]);
        }
        let before = engine.read(told.pid, args, 8).expect("a variable");
        for flags in [CLONE_VM, CLONE_UNTRACED] {
            engine
                .write(told.pid, args, &flags.to_le_bytes())
                .expect("a variable");
            let args = [args, CLONE_ARGS, 0, 0, 0, 0];
            let error = engine.start_syscall(client, told.tid, CLONE3, args, None);
            assert!(matches!(error, Err(Error::Unsupported(_))), "{error:?}");
        }
        engine.write(told.pid, args, &before).expect("a variable");
        Some(Action::Proceed)
    };
    let traced = Trace::of(fixtures::INJECT_BIRTHS)
        .client(vec![tells()], look)
        .run();
    traced.expect(0, "0 children\n");
    assert_eq!(refused.get(), 3);
}

/// Threads and children of a called function block what the target blocks, and its
/// filter holds for them.
#[test]
fn threads_that_a_called_function_makes() {
    for (index, looks) in [(0, 2), (1, 1), (2, 0)] {
        let functions = Cell::new([0; 5]);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let traced = Trace::of(fixtures::CALL_THREADS)
            .client(vec![tells()], |engine, client, delivery| {
                match told(&delivery.event) {
                    Some(told) if told.code == 0x1234 => functions.set(told.args),
                    Some(told) => {
                        let function = functions.get()[index];
                        engine
                            .start_call(client, told.tid, function, &[], None)
                            .expect("it is held");
                        held.set(delivery.stop);
                        return None;
                    }
                    None => {}
                }
                if let Event::OperationDone(done) = &delivery.event {
                    assert!(
                        matches!(done.outcome, Ok(Outcome::Called { .. })),
                        "{done:?}"
                    );
                    proceed(engine, client, held.take().expect("held"));
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, &format!("as before, {looks}\n"));
    }
}

/// A child whose creator is killed before it can tell of it has a copy of the
/// creator's breakpoints, and is known to have it.
#[test]
fn a_child_whose_creator_is_killed_before_it_tells() {
    assert_eq!(kill_before_it_tells(Reply::Answer(Action::Proceed)), 1);
}

/// The same when the session ends before anybody else has heard of the child.
#[test]
fn a_child_whose_creator_is_killed_when_the_session_ends() {
    assert_eq!(kill_before_it_tells(Reply::Abort), 0);
}

/// Goes on like this when the creator is dead; how often its child hits a breakpoint.
fn kill_before_it_tells(reply: Reply) -> usize {
    let subscribed = Cell::new(None);
    let hot = Cell::new(0);
    let hits = Cell::new(0);
    let mut abis = Vec::new();
    let traced = Trace::of(fixtures::BP_ORPHAN)
        .actor(vec![Topic::Execs], |engine, client, delivery| {
            if let Event::Execed(_) = &delivery.event {
                let id = engine.subscribe(client, tells()).expect("no end");
                subscribed.set(Some(id));
            }
            if let Some(told) = told(&delivery.event) {
                for addr in &told.args[..2] {
                    engine
                        .insert_breakpoint(client, told.pid, *addr, BreakpointOptions::default())
                        .expect("code");
                }
                hot.set(told.args[0]);
                // Nobody stops at calls any more.
                engine.unsubscribe(client, subscribed.take().expect("an exec"));
            }
            if let Event::Breakpoint(hit) = &delivery.event {
                if hit.addr == hot.get() {
                    hits.set(hits.get() + 1);
                    abis.extend(engine.targets().iter().map(|target| target.abi));
                } else {
                    let regs = engine.registers(client, hit.tid).expect("held");
                    let worker =
                        Pid::new(i32::try_from(regs.get("rdi").expect("rdi")).expect("an id"));
                    let go = regs.get("rsi").expect("rsi");
                    engine.write(hit.pid, go, &[1]).expect("a variable");
                    while state(worker.leader()) != Some('t') {
                        std::thread::yield_now();
                    }
                    kill(nix::unistd::Pid::from_raw(worker.get()), NixSignal::SIGKILL)
                        .expect("it lives");
                    while !matches!(state(worker.leader()), None | Some('Z')) {
                        std::thread::yield_now();
                    }
                    return reply;
                }
            }
            Reply::Answer(Action::Proceed)
        })
        .run();
    assert_eq!(traced.stdout, "the child has gone on\n", "{traced:?}");
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
    // What it is is known of the child, too.
    abis.dedup();
    assert!(hits.get() == 0 || abis == [X86_64], "{abis:x?}");
    hits.get()
}

/// Where the steps of the fixture `step_ignored` end. `send` says which signal comes
/// before the step with this index.
fn steps_with(send: impl Fn(usize) -> Option<i32>) -> Vec<u64> {
    let told_of = Cell::new([0; 5]);
    let held: Cell<Option<StopId>> = Cell::new(None);
    let ends = RefCell::new(Vec::new());
    let calls_seen = RefCell::new(Vec::new());
    let topics = vec![tells(), calls(&["getppid"], true, true)];
    let step = |engine: &mut Engine, client, tid| {
        if let Some(number) = send(ends.borrow().len()) {
            let signal = Signal::new(number).expect("a signal");
            engine.send_signal(tid, signal).expect("it lives");
        }
        engine
            .start_step(client, tid, Step::count(1), None)
            .expect("it is held");
    };
    let traced = Trace::of(fixtures::STEP_IGNORED)
        .client(topics, |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                told_of.set(told.args);
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], BreakpointOptions::default())
                    .expect("code");
            }
            match &delivery.event {
                Event::Breakpoint(hit) => {
                    held.set(delivery.stop);
                    step(engine, client, hit.tid);
                    return None;
                }
                Event::OperationDone(done) => {
                    let Ok(Outcome::Stepped(ip)) = done.outcome else {
                        panic!("{done:?}");
                    };
                    let [begin, end, ..] = told_of.get();
                    ends.borrow_mut().push(ip.wrapping_sub(begin));
                    if ip == end {
                        proceed(engine, client, held.take().expect("held"));
                    } else {
                        step(engine, client, done.tid);
                    }
                }
                Event::SyscallEnter(stop) | Event::SyscallExit(stop) if name(stop) == "getppid" => {
                    calls_seen.borrow_mut().push(stop.ret.is_some());
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "0 handled, flags as usual\n");
    assert_eq!(calls_seen.into_inner(), [false, true]);
    ends.into_inner()
}

/// A signal that is ignored is no step, and hides none.
#[test]
fn steps_meet_signals_that_are_ignored() {
    const USR1: i32 = 10;
    const CHLD: i32 = 17;
    let without = steps_with(|_| None);
    assert_eq!(without.len(), 12);
    for signal in [USR1, CHLD] {
        assert_eq!(steps_with(|_| Some(signal)), without);
        for at in 0..without.len() {
            assert_eq!(steps_with(|index| (index == at).then_some(signal)), without);
        }
    }
}

/// One that has a handler ends the step there, and its frame is left alone.
#[test]
fn steps_meet_a_signal_at_pushed_flags() {
    let usr1 = Signal::new(10).expect("SIGUSR1");
    for index in 0..12 {
        let told_of = Cell::new([0; 5]);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let steps = Cell::new(0);
        let step = |engine: &mut Engine, client, tid| {
            if steps.get() == index {
                engine.send_signal(tid, usr1).expect("it lives");
            }
            steps.set(steps.get() + 1);
            engine
                .start_step(client, tid, Step::count(1), None)
                .expect("it is held");
        };
        let traced = Trace::of(fixtures::STEP_IGNORED)
            .arg("handled")
            .client(vec![tells()], |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    told_of.set(told.args);
                    let options = BreakpointOptions::default();
                    engine
                        .insert_breakpoint(client, told.pid, told.args[0], options)
                        .expect("code");
                }
                match &delivery.event {
                    Event::Breakpoint(hit) if steps.get() == 0 => {
                        held.set(delivery.stop);
                        step(engine, client, hit.tid);
                        return None;
                    }
                    Event::OperationDone(done) => {
                        let [_, end, handler, ..] = told_of.get();
                        match done.outcome {
                            Ok(Outcome::Stepped(ip)) if ip == handler || ip == end => {
                                proceed(engine, client, held.take().expect("held"));
                            }
                            Ok(_) => step(engine, client, done.tid),
                            ref other => panic!("{other:?}"),
                        }
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "1 handled, flags as usual\n");
    }
}

/// A process that is stopped and woken while it executes something for a client is in
/// the end what it would be without.
#[test]
fn stopped_and_woken_in_calls() {
    const GETPID: u32 = 39;
    for what in ["memory", "function", "system call"] {
        let idle = Cell::new(0);
        let held: Cell<Option<StopId>> = Cell::new(None);
        let done = Cell::new(0);
        let traced = Trace::of(fixtures::CALL_STOPPED)
            .no_follow()
            .arg(100)
            .client(vec![tells()], |engine, client, delivery| {
                match told(&delivery.event) {
                    Some(told) if told.code == 0x1234 => idle.set(told.args[0]),
                    Some(told) if what == "memory" => {
                        let made = engine.allocate(client, told.tid, 1, Protection::READ);
                        engine
                            .free(client, told.pid, made.expect("room"))
                            .expect("it is there");
                        done.set(done.get() + 1);
                    }
                    Some(told) => {
                        let started = if what == "function" {
                            engine.start_call(client, told.tid, idle.get(), &[], None)
                        } else {
                            engine.start_syscall(client, told.tid, GETPID, [0; 6], None)
                        };
                        started.expect("it is held");
                        held.set(delivery.stop);
                        return None;
                    }
                    None => {}
                }
                if let Event::OperationDone(operation) = &delivery.event {
                    assert!(operation.outcome.is_ok(), "{what}: {operation:?}");
                    done.set(done.get() + 1);
                    proceed(engine, client, held.take().expect("held"));
                }
                Some(Action::Proceed)
            })
            .run();
        traced.expect(0, "100 handled\n");
        assert!(done.get() > 0);
    }
}

/// One that is stopped then, and not woken, stops before it does anything else.
#[test]
fn stopped_in_a_call() {
    let order = RefCell::new(Vec::new());
    let topics = vec![tells(), Topic::Forks, Topic::JobControl];
    let traced = Trace::of(fixtures::CALL_STOPPED)
        .arg(0)
        .client(topics, |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                engine
                    .send_signal(told.tid, Signal::STOP)
                    .expect("it lives");
                let made = engine.allocate(client, told.tid, 1, Protection::READ);
                made.expect("room");
                order.borrow_mut().push("told");
            }
            match &delivery.event {
                Event::JobControl {
                    tid, stopped: true, ..
                } => {
                    order.borrow_mut().push("stopped");
                    let cont = Signal::new(18).expect("SIGCONT");
                    engine.send_signal(*tid, cont).expect("it lives");
                }
                Event::JobControl { .. } => order.borrow_mut().push("woken"),
                Event::Forked { .. } => order.borrow_mut().push("forked"),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "1 handled\n");
    assert_eq!(order.into_inner(), ["told", "stopped", "woken", "forked"]);
}

/// Steps that are given up at a breakpoint leave the task there, and what is done with
/// its registers then counts.
#[test]
fn steps_are_given_up_at_a_breakpoint() {
    let hot = Cell::new(0);
    let going: Cell<Option<(ClientId, OperationId)>> = Cell::new(None);
    let held: Cell<Option<StopId>> = Cell::new(None);
    let hits = Cell::new(0);
    let traced = Trace::of(fixtures::STEP_CANCEL)
        .client(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => hot.set(told.args[0]),
                Some(told) => {
                    let how = Step::count(u64::MAX);
                    let id = engine.start_step(client, told.tid, how, None);
                    going.set(Some((client, id.expect("it is held"))));
                    held.set(delivery.stop);
                    return None;
                }
                None => {}
            }
            if let Event::OperationDone(done) = &delivery.event {
                assert_eq!(done.outcome, Err(Error::Interrupted));
                let mut regs = engine.registers(client, done.tid).expect("held");
                assert_eq!(regs.ip(), hot.get());
                assert!(regs.set("rsi", 22));
                engine.set_registers(client, done.tid, regs).expect("held");
                proceed(engine, client, held.take().expect("held"));
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event).filter(|told| told.code == 0x1234) {
                let options = BreakpointOptions::default();
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], options)
                    .expect("code");
            }
            if let Event::Breakpoint(_) = &delivery.event {
                hits.set(hits.get() + 1);
                let (client, id) = going.take().expect("it steps");
                engine.cancel(client, id).expect("it is going on");
            }
            Some(Action::Proceed)
        })
        .run();
    traced.expect(0, "53\n");
    assert_eq!(hits.get(), 1);
}

/// What cannot be unmapped keeps nothing else of ours in the target.
#[test]
fn memory_that_cannot_be_unmapped() {
    let traced = Trace::of(fixtures::ALLOC_SEALED)
        .filtered(false)
        .actor(vec![tells()], |engine, client, delivery| {
            match told(&delivery.event) {
                Some(told) if told.code == 0x1234 => {
                    for variable in &told.args[..2] {
                        let made = engine.allocate(client, told.tid, 1, Protection::READ);
                        let made = made.expect("room").to_le_bytes();
                        engine
                            .write(told.pid, *variable, &made)
                            .expect("a variable");
                    }
                    Reply::Answer(Action::Proceed)
                }
                Some(_) => Reply::Leave,
                None => Reply::Answer(Action::Proceed),
            }
        })
        .run();
    assert_eq!(traced.stdout, "sealed\n", "{traced:?}");
    assert_eq!(traced.status, Some(ExitStatus::Exited(0)), "{traced:?}");
}

/// Who leaves a process takes its hooks of slots along.
#[test]
fn who_leaves_hooks_no_slots() {
    let slot = Cell::new(0);
    let seen = Cell::new(0);
    let word = |engine: &mut Engine, pid| {
        let bytes = engine.read(pid, slot.get(), 8).expect("a slot");
        u64::from_le_bytes(bytes.try_into().expect("8 bytes"))
    };
    let traced = Trace::of(fixtures::SYM_GOT)
        .client(vec![tells()], |engine, client, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) if stop.args[0] == 0x5307 => {
                    let imports = engine.imports(stop.pid, "sym_got").expect("a module");
                    let own = imports.iter().find(|import| import.name == "getpgrp");
                    slot.set(own.expect("it calls it").slot);
                    let both = HookOptions {
                        enter: true,
                        leave: true,
                        tid: None,
                    };
                    engine
                        .insert_hook(client, stop.pid, HookSite::GotSlot(slot.get()), both)
                        .expect("a slot");
                }
                Event::SyscallEnter(stop) if stop.args[0] == 0x5308 => {
                    return Some(Action::Detach);
                }
                Event::FunctionEnter(_) => seen.set(seen.get() + 1),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .client(vec![tells()], |engine, _, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event
                && matches!(stop.args[0], 0x5308 | 0x5309)
            {
                let function = engine.lookup(stop.pid, "getpgrp").expect("symbols");
                let function = function.expect("it has one").value;
                assert_eq!(word(engine, stop.pid), function);
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(0, "first: theirs\nsecond: theirs\n");
    assert_eq!(seen.get(), 1);
}

/// Children that ask for no tracer get none, and no breakpoints either; a thread that
/// does cannot do without.
#[test]
fn children_that_escape_have_no_breakpoints() {
    let hits = Cell::new(0);
    let forks = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::BP_UNTRACED)
        .client(vec![tells(), Topic::Forks], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                let options = BreakpointOptions::default();
                engine
                    .insert_breakpoint(client, told.pid, told.args[0], options)
                    .expect("code");
            }
            match delivery.event {
                Event::Breakpoint(_) => hits.set(hits.get() + 1),
                Event::Forked { followed, .. } => forks.borrow_mut().push(followed),
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(0, "2 children, 1 thread\n");
    assert_eq!(hits.get(), 4);
    assert_eq!(forks.into_inner(), [false, false]);
}
