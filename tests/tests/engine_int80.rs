//! Calls of i386 that 64-bit code makes by `int 0x80`.

use std::cell::{Cell, RefCell};

use pai_engine::{Action, BreakpointOptions, Event, Outcome, Protection, StopId, SyscallStop};
use pai_tests::fixtures;
use pai_tests::flow::call;
use pai_tests::probe::{tells, told};
use pai_tests::trace::{Trace, Traced, all_syscalls, calls, proceed};

const GETPID: u32 = 39;

fn is_i386(stop: &SyscallStop) -> bool {
    stop.call.abi == pai_syscalls::abi::I386
}

/// Those of the fixture `int80`.
const CALLS: [&str; 5] = [
    "i386 getpid",
    "i386 getppid",
    "i386 write",
    "i386 close",
    "i386 exit_group",
];

/// The target makes the call that it was about to make, whatever it does before.
#[test]
fn memory_is_allocated_where_a_call_is_entered() {
    let seen = RefCell::new(Vec::new());
    let traced = Trace::of(fixtures::INT80)
        .client(vec![all_syscalls()], |engine, client, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event
                && is_i386(stop)
            {
                engine
                    .allocate(client, stop.tid, 1, Protection::READ)
                    .expect("memory");
                seen.borrow_mut().push(call(stop));
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(80, "by syscall\nby int 0x80\n");
    assert_eq!(seen.into_inner(), CALLS);
}

#[test]
fn calls_of_clients_where_a_call_is_entered() {
    let seen = RefCell::new(Vec::new());
    let results = RefCell::new(Vec::new());
    let held: Cell<Option<StopId>> = Cell::new(None);
    let traced = Trace::of(fixtures::INT80)
        .client(vec![all_syscalls()], |engine, client, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) if is_i386(stop) => {
                    seen.borrow_mut().push(call(stop));
                    engine
                        .start_syscall(client, stop.tid, GETPID, [0; 6], None)
                        .expect("an entry will do");
                    held.set(delivery.stop);
                    return None;
                }
                Event::OperationDone(done) => {
                    results.borrow_mut().push(done.outcome.clone());
                    proceed(engine, client, held.take().expect("held"));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    traced.expect(80, "by syscall\nby int 0x80\n");
    assert_eq!(seen.into_inner(), CALLS);
    let pid = i64::from(traced.pid.get());
    assert_eq!(results.into_inner(), vec![Ok(Outcome::Syscalled(pid)); 5]);
}

/// It leaves no return address in rcx, which is the second argument of its call.
#[test]
fn breakpoints_on_the_instruction() {
    const CALLS: usize = 5;
    // Nothing, or a client does something at the entry.
    for allocates in [false, true] {
        let places = Cell::new([0; 2]);
        let hits = RefCell::new(Vec::new());
        let entered = Cell::new(0);
        let topics = vec![tells(), calls(&["write"], true, true)];
        let traced = Trace::of(fixtures::BP_INT80)
            .arg(CALLS)
            .client(topics, |engine, client, delivery| {
                if let Some(told) = told(&delivery.event) {
                    places.set([told.args[0], told.args[1]]);
                    for addr in places.get() {
                        let options = BreakpointOptions::default();
                        engine
                            .insert_breakpoint(client, told.pid, addr, options)
                            .expect("code");
                    }
                }
                match &delivery.event {
                    Event::Breakpoint(hit) => hits.borrow_mut().push(hit.addr),
                    Event::SyscallEnter(stop) if is_i386(stop) => {
                        assert_eq!(stop.ip, places.get()[1]);
                        entered.set(entered.get() + 1);
                        if allocates {
                            engine
                                .allocate(client, stop.tid, 1, Protection::READ)
                                .expect("memory");
                        }
                    }
                    _ => {}
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        traced.expect(0, &("by int 0x80\n".repeat(CALLS) + "done\n"));
        assert_eq!(hits.into_inner(), places.get().repeat(CALLS));
        assert_eq!(entered.get(), CALLS);
    }
}

/// Runs `bp_int80` with calls rewritten to arguments of which the kernel takes the lower
/// halves only; what else happens to them is another client's.
fn rewrite(then: impl Fn(&SyscallStop) -> Action) -> Traced {
    let topics = || vec![calls(&["write"], true, false)];
    Trace::of(fixtures::BP_INT80)
        .client(topics(), |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) if is_i386(stop) => Action::Rewrite {
                    nr: stop.call.nr,
                    args: stop.args.map(|arg| arg | u64::MAX << 32),
                },
                _ => Action::Proceed,
            })
        })
        .client(topics(), |_, _, delivery| {
            Some(match &delivery.event {
                Event::SyscallEnter(stop) if is_i386(stop) => then(stop),
                _ => Action::Proceed,
            })
        })
        .run()
}

/// The target's own argument registers are put back, whole ones.
#[test]
fn a_rewritten_call_is_undone() {
    let traced = rewrite(|_| Action::Proceed);
    traced.expect(0, &("by int 0x80\n".repeat(5) + "done\n"));
}

/// And what another call stands in for returns what it is told to.
#[test]
fn a_rewritten_call_returns_what_a_client_says() {
    const GETPID_I386: u32 = 20;
    let traced = rewrite(|_| Action::StandIn {
        nr: GETPID_I386,
        ret: 12,
    });
    traced.expect(0, "done\n");
}
