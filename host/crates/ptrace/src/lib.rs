//! ptrace(2) for one tracer thread, with the rules of the kernel in the types.
//!
//! A task is either [`Running`] or [`Stopped`]; both are move-only. A
//! [`Stopped`] comes only out of a [`wait`], every request that needs a
//! stopped tracee is a method on it, and resuming consumes it: a ptrace request
//! on a running task does not compile. What stopped a task is a [`Stop`].
//!
//! ptrace(2) binds a tracee to the *thread* that seized it, so neither type is
//! `Send`: they stay on the thread that made them.
//!
//! This crate holds every `unsafe` line of pai-host and knows no policy: which
//! tasks exist, who wants to hear of a stop and what happens next is the
//! engine's business.

#![allow(unsafe_code, reason = "this is the crate that holds it")]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("pai-ptrace supports Linux on x86_64 only");

mod cstr;
mod disposition;
mod error;
mod filter;
mod ids;
mod maps;
mod memory;
mod options;
mod regs;
mod regsets;
mod siginfo;
mod signal;
mod spawn;
mod stdio;
mod stop;
mod stopped;
mod syscall_info;
mod trap;
pub mod vectors;
pub mod wait;
mod wake;
mod xattr;

pub use error::{Error, Kind, Op};
pub use filter::{Filter, Test, Verdict, Verdicts};
pub use ids::{Pid, Tid};
pub use maps::{Area, Maps, Protection};
pub use memory::{MAX_PIECES, Mem, Piece, read_pieces, write_piece};
pub use options::Options;
pub use regs::{Register, Regs};
pub use regsets::DEBUG_ADDRESSES;
pub use siginfo::SigInfo;
pub use signal::Signal;
pub use spawn::{Credentials, Gate, Program, Spawned, spawn};
pub use stop::{NewTask, Stop};
pub use stopped::{Resume, Running, Stopped, kill, own_tid, seize, share_memory, tgkill};
pub use syscall_info::{SyscallInfo, SyscallOp};
pub use trap::{Caught, SignalTrap, die_by, stop_self};
pub use wake::{Alarm, Waker, monotonic_nanos, thread_cpu_time};
pub use xattr::xattr;
