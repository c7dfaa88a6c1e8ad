//! What one task did, as lines that a test can compare.

use std::cell::RefCell;

use pai_engine::{Event, SyscallStop};
use pai_ptrace::Tid;

use crate::trace::{Trace, Traced, assert_paired, everything};

/// Runs a fixture without a tracer, then under one that hears of everything;
/// panics when the fixture can tell the difference.
#[track_caller]
pub fn watch(fixture: &str) -> (Traced, Vec<Event>) {
    let events = RefCell::new(Vec::new());
    let traced = Trace::of(fixture)
        .log(everything(), &events)
        .run_like_untraced();
    let events = events.into_inner();
    assert_paired(&events);
    (traced, events)
}

/// The name of a call, with its ABI where that is not the usual one; the number
/// where it has no name.
pub fn call(stop: &SyscallStop) -> String {
    let name = pai_syscalls::name(stop.call.abi, stop.call.nr)
        .map_or_else(|| format!("{:#x}", stop.call.nr), str::to_owned);
    match stop.call.abi {
        pai_syscalls::abi::X86_64 => name,
        pai_syscalls::abi::I386 => format!("i386 {name}"),
        other => format!("{other:#x} {name}"),
    }
}

fn line(event: &Event, calls: &[&str]) -> Option<String> {
    let line = match event {
        Event::SyscallEnter(stop) | Event::SyscallExit(stop) => {
            let name = call(stop);
            if !calls.contains(&name.as_str()) {
                return None;
            }
            let first = stop
                .continues
                .and_then(|nr| pai_syscalls::name(stop.call.abi, nr));
            let name = match first {
                Some(first) => format!("{name} of {first}"),
                None => name,
            };
            match stop.ret {
                None => name,
                Some(_) if stop.restarts => format!("{name} restarts"),
                Some(ret) => format!("{name} = {ret}"),
            }
        }
        Event::Signal(stop) => format!("signal {}", stop.signal),
        Event::JobControl {
            signal,
            stopped: true,
            ..
        } => format!("stopped by {signal}"),
        Event::JobControl { .. } => "continued".to_owned(),
        Event::TaskExited { status, .. } => status.to_string(),
        _ => return None,
    };
    Some(line)
}

/// What this task did: the calls of these names, its signals and stops, its
/// end. An entry is the name alone, an exit has the result.
pub fn flow(events: &[Event], tid: Tid, calls: &[&str]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.tid() == Some(tid))
        .filter_map(|event| line(event, calls))
        .collect()
}

/// The tasks that started during the trace, in the order of their first stops:
/// two that are made one after the other may stop in either.
pub fn started(events: &[Event]) -> Vec<Tid> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::TaskStarted { tid, .. } => Some(*tid),
            _ => None,
        })
        .collect()
}

/// The processes that were made during the trace, in the order of their births.
pub fn forked(events: &[Event]) -> Vec<Tid> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Forked { child, .. } => Some(child.leader()),
            _ => None,
        })
        .collect()
}
