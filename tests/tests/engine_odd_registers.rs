//! Targets whose registers the kernel does not take back from a tracer, and clients that
//! ask for such.

use std::cell::Cell;

use pai_engine::{Action, BreakpointOptions, Error, Event, ExitStatus, Protection};
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::target::Target;
use pai_tests::trace::{Reply, Trace, calls, name};

const KINDS: [&str; 2] = ["ds", "gs"];

#[test]
fn calls_are_skipped_and_rewritten() {
    for kind in KINDS {
        let count = Cell::new(0);
        let traced = Trace::of(fixtures::ODD_SEGMENTS)
            .arg(kind)
            .client(vec![calls(&["getppid"], true, false)], |_, _, delivery| {
                let Event::SyscallEnter(stop) = &delivery.event else {
                    return Some(Action::Proceed);
                };
                count.set(count.get() + 1);
                Some(match count.get() {
                    1 => Action::Skip(4711),
                    _ => Action::Rewrite {
                        nr: 39,
                        args: stop.args,
                    },
                })
            })
            .run();
        traced.expect(0, "getppid: 4711\ngetppid: own\nok\n");
        assert_eq!(count.get(), 2);
    }
}

/// One instruction is done for the task, the other one executed elsewhere, in memory that
/// the task is made to map.
#[test]
fn breakpoints_are_passed() {
    for kind in KINDS {
        let hits = Cell::new(0);
        Trace::of(fixtures::ODD_SEGMENTS)
            .arg(kind)
            .client(vec![tells()], |engine, client, delivery| {
                match told(&delivery.event) {
                    Some(told) if told.code == 0x1234 => {
                        for addr in &told.args[..2] {
                            let options = BreakpointOptions::default();
                            engine
                                .insert_breakpoint(client, told.pid, *addr, options)
                                .expect("code");
                        }
                    }
                    Some(told) => {
                        engine
                            .allocate(client, told.tid, 1, Protection::READ)
                            .expect("room");
                    }
                    None => {}
                }
                if let Event::Breakpoint(_) = delivery.event {
                    hits.set(hits.get() + 1);
                }
                Some(Action::Proceed)
            })
            .run_like_untraced();
        assert_eq!(hits.get(), 2, "{kind}");
    }
}

/// Others are let go, whatever one of the processes has in its registers.
#[test]
fn who_is_traced_beside_is_let_go() {
    for kind in KINDS {
        let targets: Vec<Target> = (0..5)
            .map(|n| match n {
                2 => Target::start(fixtures::ODD_SEGMENTS, &[kind, "wait"]),
                _ => Target::start(fixtures::ATTACH_TARGET, &["1"]),
            })
            .collect();
        let pids: Vec<_> = targets.iter().map(Target::pid).collect();
        let mut got = Vec::new();
        let traced = Trace::attached(&pids)
            .actor(
                vec![calls(&["getppid"], true, false)],
                |engine, client, delivery| {
                    let Event::SyscallEnter(stop) = &delivery.event else {
                        return Reply::Answer(Action::Proceed);
                    };
                    assert_eq!(name(stop), "getppid");
                    if got.contains(&stop.pid) {
                        return Reply::Answer(Action::Proceed);
                    }
                    // It is unmapped when the target is let go.
                    engine
                        .allocate(client, stop.tid, 1, Protection::READ)
                        .expect("room");
                    got.push(stop.pid);
                    match got.len() == pids.len() {
                        true => Reply::Leave,
                        false => Reply::Answer(Action::Proceed),
                    }
                },
            )
            .run();
        assert!(traced.end.is_ok(), "{traced:?}");
        for target in targets {
            target.assert_untraced();
            let (status, rest) = target.finish();
            assert_eq!((status, rest.as_str()), (ExitStatus::Exited(0), "ok\n"));
        }
    }
}

/// What no task can have is refused before it is written.
#[test]
fn registers_that_the_kernel_refuses() {
    let seen = Cell::new(0);
    Trace::of(fixtures::ODD_SEGMENTS)
        .arg("gs")
        .client(vec![tells()], |engine, client, delivery| {
            if let Some(told) = told(&delivery.event) {
                let before = engine.registers(client, told.tid).expect("it is held");
                for (name, value) in [
                    ("ds", 1),
                    ("cs", 0),
                    ("ss", 0x18),
                    ("fs_base", 1 << 63),
                    ("gs_base", (1 << 63) + 1),
                ] {
                    let mut regs = before;
                    assert!(regs.set(name, value));
                    let refused = engine.set_registers(client, told.tid, regs);
                    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
                    seen.set(seen.get() + 1);
                }
                // As it is already.
                engine
                    .set_registers(client, told.tid, before)
                    .expect("no other values");
            }
            Some(Action::Proceed)
        })
        .run_like_untraced();
    assert_eq!(seen.get(), 10);
}
