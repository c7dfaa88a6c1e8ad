//! Attaching to a busy program, breakpoints, and letting go: again and again.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::FileExt;

use pai_engine::{Action, BreakpointOptions, Event};
use pai_ptrace::Pid;
use pai_tests::fixtures;
use pai_tests::probe::{tells, told};
use pai_tests::target::Target;
use pai_tests::trace::{Reply, Trace};

/// What a session found.
#[derive(Clone, Copy, Debug)]
struct Visit {
    /// Where the functions are, and how many bytes.
    text: (u64, usize),
    hits: u64,
}

/// Attaches, inserts a hundred breakpoints, sees so many hits, and leaves with
/// the last of them still held.
fn visit(pid: Pid, hits: u64) -> Visit {
    let text = Cell::new(None);
    let seen = Cell::new(0);
    let traced = Trace::attached(&[pid])
        .actor(vec![tells()], |engine, client, delivery| {
            if let (Some(told), None) = (told(&delivery.event), text.get()) {
                let [first, stride, count, ..] = told.args;
                for number in 0..count {
                    let addr = first + number * stride;
                    engine
                        .insert_breakpoint(client, pid, addr, BreakpointOptions::default())
                        .expect("code");
                }
                let len = usize::try_from(stride * count).expect("small");
                text.set(Some((first, len)));
            }
            if let Event::Breakpoint(_) = delivery.event {
                seen.set(seen.get() + 1);
            }
            if text.get().is_some() && seen.get() >= hits {
                return Reply::Leave;
            }
            Reply::Answer(Action::Proceed)
        })
        .run();
    traced.end.expect("nothing fatal");
    Visit {
        text: text.get().expect("it tells"),
        hits: seen.get(),
    }
}

fn read(pid: Pid, (addr, len): (u64, usize)) -> Vec<u8> {
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("it lives");
    let mut bytes = vec![0; len];
    memory.read_exact_at(&mut bytes, addr).expect("its text");
    bytes
}

fn maps(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives")
}

/// No call fails, no function returns anything else, and nothing is left.
#[test]
fn a_busy_program_never_notices() {
    let target = Target::start(fixtures::BP_HUNDRED, &["8"]);
    let pid = target.pid();
    let mapped = maps(pid);
    let mut built: Option<Vec<u8>> = None;
    for round in 0..200 {
        let wanted = round % 70;
        let Visit { text, hits } = visit(pid, wanted);
        assert_eq!(hits, wanted);
        let now = read(pid, text);
        // Of the first functions: a push and a lea.
        assert_eq!((now[0], now[32]), (0x55, 0x48), "round {round}");
        let built = built.get_or_insert_with(|| now.clone());
        assert_eq!(now, *built, "round {round}");
        target.assert_untraced();
    }
    assert_eq!(maps(pid), mapped);
    target.expect_ok();
}

/// The same while the program is stopped by the user now and then.
#[test]
fn a_stopped_program_stays_stopped() {
    let target = Target::start(fixtures::BP_HUNDRED, &["4"]);
    let pid = target.pid();
    for round in 0..20 {
        let Visit { text, .. } = visit(pid, round);
        assert_eq!(read(pid, text)[0], 0x55);
        target.stop();
        target.await_state('T');
        // Attached to and let go in its stop.
        let traced = Trace::attached(&[pid]).leaver(vec![tells()]).run();
        traced.end.expect("nothing fatal");
        target.await_state('T');
        target.resume();
    }
    target.expect_ok();
}
