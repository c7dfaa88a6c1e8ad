//! What fixtures tell of themselves: addresses, as arguments of refused calls
//! (tests/fixtures/probe.h).

use pai_engine::{Event, SyscallStop, Topic};
use pai_ptrace::{Pid, Tid};

use crate::trace::{calls, name};

/// The topic in which fixtures tell.
pub fn tells() -> Topic {
    calls(&["getpriority"], true, false)
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
