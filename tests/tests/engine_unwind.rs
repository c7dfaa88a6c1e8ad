//! Who called whom: case 46 of docs/TESTING.md.

use nix::libc::SIGSEGV;
use pai_engine::{Action, ClientId, Engine, Error, Event, MAX_FRAMES, Topic};
use pai_ptrace::{Pid, Tid};
use pai_tests::fixtures;
use pai_tests::probe::tells;
use pai_tests::trace::{Trace, calls};

/// Names of the functions that return addresses lie in.
#[track_caller]
fn names(engine: &mut Engine, pid: Pid, frames: &[u64]) -> Vec<String> {
    let name = |frame: &u64| {
        let at = engine.resolve(pid, frame - 1).expect("no error");
        at.map_or_else(|| format!("{frame:#x}"), |at| at.symbol.name)
    };
    frames.iter().map(name).collect()
}

#[track_caller]
fn backtrace(engine: &mut Engine, client: ClientId, tid: Tid) -> Vec<u64> {
    let frames = engine
        .backtrace(client, tid, MAX_FRAMES)
        .expect("it is held");
    for max in 0..frames.len() {
        let some = engine.backtrace(client, tid, max).expect("it is held");
        assert_eq!(some, frames[..max]);
    }
    frames
}

/// What unwind_frames tells, with the backtrace of each: (which, told return
/// addresses, frames, names).
type Told = (u64, Vec<u64>, Vec<u64>, Vec<String>);

#[track_caller]
fn run() -> (Vec<Told>, Vec<String>) {
    let mut told = Vec::new();
    let mut crash = Vec::new();
    let topics = vec![tells(), Topic::Signals(Vec::new())];
    Trace::of(fixtures::UNWIND_FRAMES)
        .client(topics, |engine, client, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) => {
                    let frames = backtrace(engine, client, stop.tid);
                    assert_eq!(frames[0], stop.ip);
                    let names = names(engine, stop.pid, &frames[1..]);
                    told.push((stop.args[0], stop.args[1..].to_vec(), frames, names));
                }
                Event::Signal(stop) if stop.signal.get() == SIGSEGV => {
                    let frames = backtrace(engine, client, stop.tid);
                    assert_eq!(frames[0], 0);
                    crash = names(engine, stop.pid, &frames[1..]);
                    let variable = engine.lookup(stop.pid, "null_return");
                    let variable = variable.expect("no error").expect("it is there");
                    let bytes = engine
                        .read(stop.pid, variable.value, 8)
                        .expect("it is data");
                    assert_eq!(frames[2].to_ne_bytes().to_vec(), bytes);
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run_like_untraced()
        .expect(0, "told\n");
    (told, crash)
}

#[test]
fn c71_without_frame_pointers() {
    let (told, _) = run();
    let (_, addresses, frames, names) = &told[0];
    // The first is in `syscall`, the second behind it in `inner`.
    assert_eq!(frames[2..5], addresses[..3]);
    let expected = ["inner", "middle", "outer", "main"];
    assert_eq!(names[..4], expected);
    assert_eq!(names.last().map(String::as_str), Some("_start"));
}

#[test]
fn c71_through_a_signal_s_handler() {
    let (told, _) = run();
    let (which, addresses, frames, names) = &told[1];
    assert_eq!(*which, 0x5402);
    assert_eq!(frames[2], addresses[0]);
    assert_eq!(names[..2], ["inner", "on_signal_body"]);
    // The signal's frame, `syscall` where it was interrupted, the sender.
    let sender = names.iter().position(|name| name == "sender");
    let sender = sender.expect("it is a caller");
    assert_eq!(sender, 4, "{names:?}");
    assert_eq!(frames[sender + 2], addresses[2]);
    assert_eq!(names[sender + 1], "main");
    assert_eq!(names.last().map(String::as_str), Some("_start"));
}

#[test]
fn c71_through_code_that_nothing_describes() {
    let (told, _) = run();
    let (which, addresses, frames, names) = &told[2];
    assert_eq!(*which, 0x5403);
    assert_eq!(frames[2..5], addresses[..3]);
    assert_eq!(names[0], "inner");
    assert_eq!(names[2..4], ["caller_of_bare", "main"]);
}

#[test]
fn c71_to_the_first_function_of_a_thread() {
    let (told, _) = run();
    let (which, addresses, frames, names) = &told[3];
    assert_eq!(*which, 0x5404);
    assert_eq!(frames[2..4], addresses[..2]);
    assert_eq!(names[..2], ["inner", "worker"]);
    // The library's own two functions that begin a thread.
    assert_eq!(frames.len(), 5, "{names:?}");
}

#[test]
fn c71_from_an_address_that_is_no_code() {
    let (_, crash) = run();
    assert_eq!(crash[..2], ["caller_of_null", "main"]);
}

#[test]
fn c71_only_of_tasks_that_are_held() {
    let mut seen = 0;
    Trace::of(fixtures::HELLO)
        .client(
            vec![calls(&["write"], true, false)],
            |engine, client, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    assert!(engine.backtrace(client, stop.tid, 100).is_ok());
                    let nobody = Tid::new(1);
                    let none = engine.backtrace(client, nobody, 100);
                    assert_eq!(none, Err(Error::NoSuchTask(nobody)));
                    seen += 1;
                }
                Some(Action::Proceed)
            },
        )
        .client(vec![calls(&["write"], true, false)], |_, _, _| {
            Some(Action::Proceed)
        })
        .run();
    assert_eq!(seen, 1);
}
