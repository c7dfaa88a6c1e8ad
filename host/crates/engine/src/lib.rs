//! The trace: tasks, the one event loop, and several clients that do not know
//! of each other.
//!
//! An [`Engine`] belongs to the thread that made it, does every ptrace request
//! there and is the only one that waits for the tracees. A session is
//!
//! ```text
//! while let Some(report) = wait()  ->  classify  ->  offer to clients  ->  resume
//! ```
//!
//! [`Engine::turn`] runs that loop until a client has mail. A client takes its
//! [`Delivery`]s, and answers those that carry a [`StopId`]; the task goes on
//! after the last client that wanted the stop has answered. [`run`] drives a
//! set of [`Client`]s; nothing here knows what a client is made of.
//!
//! While a session lasts, nobody else in the process may wait for *any* child
//! (`waitpid(-1)`): it would take reports that are meant for the engine, which
//! notices and ends the session with [`Fatal::Stolen`].

mod again;
mod allocation;
mod attach;
mod births;
mod breakpoint;
mod call;
mod capture;
mod change;
mod clients;
mod collect;
mod condition;
mod delay;
mod descriptor;
mod detach;
// Public for the tests, which run its plans on a processor.
mod dispatch;
#[doc(hidden)]
pub mod displaced;
mod engine;
mod error;
mod event;
mod files;
mod filter;
mod got;
mod hook;
mod in_place;
mod inject;
mod leave_foreign;
mod lifecycle;
mod memory;
pub mod observe;
mod offer;
mod operation;
mod orphans;
pub mod procfs;
mod query;
mod remote_call;
mod restart;
mod resume;
mod seen;
mod session;
mod sigtrap;
mod single;
mod site;
mod socket;
mod space;
mod stats;
mod step;
mod subscription;
mod symbols;
mod task;
mod trap;
mod trap_state;
mod untraced;
mod uprobe;
mod watch;
mod watchpoint;

pub use allocation::MAX_ALLOCATION;
pub use attach::{Follow, program};
pub use breakpoint::{BreakpointKind, BreakpointOptions, MAX_BREAKPOINTS};
pub use call::{Argument, MAX_ARGUMENTS, MAX_PLACED};
pub use clients::{Command, Remote, Sink};
pub use condition::{Comparison, Condition, MAX_CONDITIONS, Place};
pub use delay::MAX_DELAY;
pub use engine::{Diagnostic, Engine, Turn};
pub use error::{Error, Fatal};
pub use event::{
    Action, BreakpointId, Delivery, End, Event, Execed, ExitStatus, FunctionCall, Hit, HookId,
    OperationDone, OperationId, OtherStop, Outcome, SignalStop, StopId, SyscallId, SyscallStop,
    Touched,
};
pub use filter::CallStops;
pub use hook::{HookOptions, HookSite};
pub use memory::{MAX_PATTERN, MAX_READ, MAX_SEARCH, MAX_WRITE, Mapping};
pub use pai_ptrace::Protection;
pub use pai_ptrace::wait::Block;
pub use query::{TargetInfo, TaskInfo, TaskState};
pub use seen::SeenTasks;
pub use session::{Client, Served, Supervisor, finish, run, tell};
pub use stats::{ClientStats, Stats};
pub use step::Step;
pub use subscription::{ClientId, MAX_CLIENTS, SyscallFilter, SyscallSet, Topic};
pub use symbols::{
    Import, Location, MAX_FRAMES, MAX_SYMBOLS, Module, SourceLine, Symbol, SymbolKind,
};
