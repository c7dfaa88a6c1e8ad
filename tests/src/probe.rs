//! What fixtures tell of themselves: addresses, as arguments of refused calls
//! (tests/fixtures/probe.h).

use std::path::Path;

use pai_engine::{Action, ClientId, Engine, Event, SyscallStop, Topic};
use pai_ptrace::{Pid, Tid};

use crate::trace::{Trace, Traced, calls, name};

/// The topic in which fixtures tell.
pub fn tells() -> Topic {
    calls(&["getpriority"], true, false)
}

/// Runs a program and looks at the entry of each call that tells.
#[track_caller]
pub fn at_tells(
    program: impl AsRef<Path>,
    arg: Option<&str>,
    mut look: impl FnMut(&mut Engine, ClientId, &SyscallStop),
) -> Traced {
    let mut trace = Trace::of(program);
    if let Some(arg) = arg {
        trace = trace.arg(arg);
    }
    trace
        .client(vec![tells()], |engine, client, delivery| {
            if let Event::SyscallEnter(stop) = &delivery.event {
                look(engine, client, stop);
            }
            Some(Action::Proceed)
        })
        .run()
}

/// One call of `tell`.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Who.
    pub pid: Pid,
    /// Which task of it.
    pub tid: Tid,
    /// What it is about.
    pub code: u64,
    /// The rest.
    pub args: [u64; 5],
}

/// What an event tells, if it does.
pub fn told(event: &Event) -> Option<Told> {
    match event {
        Event::SyscallEnter(stop @ SyscallStop { pid, tid, args, .. })
            if name(stop) == "getpriority" && (0x1000..0x2000).contains(&args[0]) =>
        {
            let [code, a, b, c, d, e] = *args;
            Some(Told {
                pid: *pid,
                tid: *tid,
                code,
                args: [a, b, c, d, e],
            })
        }
        _ => None,
    }
}
