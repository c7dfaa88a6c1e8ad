//! Write pai-host plugins in Rust.
//!
//! A plugin is a crate of type `cdylib`, built for `wasm32-wasip2`. It names
//! itself and what it wants with [`plugin!`], and runs a function:
//!
//! ```no_run
//! use pai_plugin::{Client, OnExit, Result};
//!
//! pai_plugin::plugin! {
//!     name: "failures",
//!     description: "counts failed system calls",
//!     run: run,
//! }
//!
//! fn run() -> Result<()> {
//!     let mut client = Client::new(0_u64);
//!     client.on_syscall_exit(|client, call| {
//!         if call.ret.is_some_and(|ret| (-4095..0).contains(&ret)) {
//!             *client.data_mut() += 1;
//!         }
//!         Ok(OnExit::Proceed)
//!     })?;
//!     let (_, failures) = client.loop_until_exit()?;
//!     pai_plugin::println!("{failures} calls failed");
//!     Ok(())
//! }
//! # fn main() {}
//! ```
//!
//! A [`Client`] takes part: a task that stopped for it goes on when its handler
//! has returned. An [`Observer`] only watches: it gets batches of records on a
//! thread of its own and the target does not wait for it. Which of the two a
//! plugin is follows from which it uses; it cannot use both.
//!
//! With the cargo feature `syscalls` names come from tables inside the plugin
//! instead of from the host.

pub mod bindings;
mod client;
pub mod clock;
pub mod condition;
#[cfg(feature = "syscalls")]
pub mod decode;
pub mod descriptors;
mod effects;
mod error;
mod handlers;
mod instruments;
pub mod json;
mod macros;
pub mod manifest;
mod modules;
pub mod names;
mod observer;
pub mod options;
pub mod output;
pub mod pattern;
mod process;
mod record;
#[cfg(feature = "select")]
pub mod select;
pub mod show;
#[doc(hidden)]
pub mod stdio;
mod symbols;

pub use bindings::pai::plugin::breakpoints::{
    Comparison, Condition, Kind as BreakpointKind, Place,
};
pub use bindings::pai::plugin::calls::Argument;
pub use bindings::pai::plugin::events::{
    Action, BreakpointHit, CallResult, CaptureLimits, End, Event, ExecInfo, ForkInfo,
    FunctionEvent, JobEvent, OtherStop, ProcessEnd, SignalStop, SyscallEvent, SyscallFilter,
    SyscallRewrite, SyscallSet, TaskEnd, TaskStart, Topic,
};
pub use bindings::pai::plugin::log;
pub use bindings::pai::plugin::memory::{Mapping, Protection};
pub use bindings::pai::plugin::symbols::{Import, Location, Module, Source, Symbol};
pub use bindings::pai::plugin::tasks::{State, Target, Task};
pub use bindings::pai::plugin::types::{ExitStatus, Pid, StopId, SyscallId, Tid};
pub use client::Client;
pub use effects::{Change, DescriptorChange, MappingChange, ModuleChange, PrctlCall};
pub use error::{Error, ErrorKind, Result};
pub use handlers::{
    HandlerId, OnBreakpoint, OnCall, OnEnter, OnExit, OnNotice, OnReturn, OnSignal,
};
pub use instruments::{BreakpointOptions, Steps};
pub use observer::{Call, Item, Observer, Overflow};
pub use process::{Allocation, Registers};
pub use record::{RecordFlags, SyscallRecord};

/// Runs a plugin's function; called by [`plugin!`].
#[doc(hidden)]
pub fn start(run: fn() -> Result<()>) -> std::result::Result<(), String> {
    output::install_panic_hook();
    run().map_err(|error| error.to_string())
}
