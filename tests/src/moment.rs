//! Moments at which a client makes a task do something.

use pai_engine::Event;

use crate::trace::name;

/// Stops of the fixture `inject_births`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// The entry of its call 0x1240.
    Entry,
    /// The exit.
    Exit,
    /// A breakpoint.
    Breakpoint,
    /// A signal.
    Signal,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 4] = [
        Moment::Entry,
        Moment::Exit,
        Moment::Breakpoint,
        Moment::Signal,
    ];

    /// Whether this is the event of it.
    #[must_use]
    pub fn is(self, event: &Event) -> bool {
        match (self, event) {
            (Moment::Entry, Event::SyscallEnter(stop))
            | (Moment::Exit, Event::SyscallExit(stop)) => {
                name(stop) == "getpriority" && stop.args[0] == 0x1240
            }
            (Moment::Breakpoint, Event::Breakpoint(_)) | (Moment::Signal, Event::Signal(_)) => true,
            _ => false,
        }
    }
}
