//! What can fail, by who has to deal with it.

use std::io;

use pai_ptrace::{Pid, Regs, Signal, Stopped, Tid};

use crate::event::{ExitStatus, StopId};

/// A call of a client on a tracee failed; the client decides what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Memory that cannot be accessed.
    #[error("process {pid}: address {addr:#x} cannot be accessed ({done} bytes before it were)")]
    BadAddress {
        /// Whose memory.
        pid: Pid,
        /// First address that failed.
        addr: u64,
        /// Bytes transferred before it.
        done: u64,
    },
    /// Not a task of this session.
    #[error("no task {0} in this session")]
    NoSuchTask(Tid),
    /// Not a process of this session.
    #[error("no process {0} in this session")]
    NoSuchProcess(Pid),
    /// The call needs the task held by this client.
    #[error("task {0} is not held by this client")]
    NotStopped(Tid),
    /// Answered before, or the task is gone.
    #[error("stop {0} was answered already, or its task is gone")]
    StaleStop(StopId),
    /// The session is over.
    #[error("the session is over: {0}")]
    TargetExited(ExitStatus),
    /// Nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The arguments make no sense.
    #[error("{0}")]
    Invalid(String),
    /// Not available here.
    #[error("{0}")]
    Unsupported(String),
    /// The task already runs for a client.
    #[error("task {0} runs an operation")]
    Busy(Tid),
    /// Cut off by an exec, an end, a detach or a cancel.
    #[error("interrupted")]
    Interrupted,
    /// The time given is over.
    #[error("timed out")]
    Timeout,
    /// The code that ran for the client was about to end the target. It was
    /// given up, and everything put back.
    #[error("what was called was about to die of signal {0}")]
    Signalled(Signal),
    /// A limit of the client was reached.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The kernel said no.
    #[error("{operation}: {}", io::Error::from_raw_os_error(*.errno))]
    Os {
        /// errno, positive.
        errno: i32,
        /// The request.
        operation: &'static str,
    },
    /// A bug or inconsistency that was survived.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// Maps a failed request on a stopped task.
    pub(crate) fn from_ptrace(error: pai_ptrace::Error, tid: Tid) -> Self {
        if error.is_gone() {
            Error::NoSuchTask(tid)
        } else {
            Error::Os {
                errno: error.errno(),
                operation: error.op.name(),
            }
        }
    }
}

/// The session cannot start or go on. Everything is undone in the targets
/// before this is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fatal {
    /// A task cannot be seized.
    #[error("cannot attach to process {pid}: {source}")]
    Attach {
        /// Which process.
        pid: Pid,
        /// Which of its tasks.
        tid: Tid,
        /// Why.
        source: pai_ptrace::Error,
    },
    /// There is no such process.
    #[error("cannot attach to process {pid}: there is no such process")]
    NoProcess {
        /// Which.
        pid: Pid,
    },
    /// The target's program could not be executed.
    #[error("cannot execute {path}: {}", io::Error::from_raw_os_error(*.errno))]
    Exec {
        /// The file.
        path: String,
        /// errno of execve(2).
        errno: i32,
    },
    /// The child could not be made or seized.
    #[error("cannot start {path} under trace: {source}")]
    Spawn {
        /// The file.
        path: String,
        /// Why.
        source: pai_ptrace::Error,
    },
    /// Another thread of this process waits for children of ours.
    #[error(
        "another thread of this process took the report of task {tid}: while tracing, \
         wait only for specific children (not waitpid(-1))"
    )]
    Stolen {
        /// The task.
        tid: Tid,
    },
    /// A request failed in a way that the engine has no answer for.
    #[error("the kernel refused what tracing needs: {0}")]
    Kernel(#[from] pai_ptrace::Error),
    /// Too many clients.
    #[error(
        "more than {} clients in one session",
        crate::subscription::MAX_CLIENTS
    )]
    TooManyClients,
}

/// A request that failed with anything but "gone" is fatal for the session.
pub(crate) fn unless_gone<T>(
    result: Result<T, pai_ptrace::Error>,
) -> Result<Option<T>, pai_ptrace::Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the registers of a task. What the kernel refuses of them stays as it is, which
/// concerns this task alone: it may have loaded what nobody can write back
/// ([`Stopped::set_regs`]).
pub(crate) fn set_regs(stopped: &Stopped, regs: &Regs) -> Result<(), pai_ptrace::Error> {
    const EIO: i32 = 5;
    match stopped.set_regs(regs) {
        Err(error) if error.errno() == EIO => {
            tracing::warn!(target: "pai::engine", tid = %stopped.tid(), %error, "a register stays as it is");
            Ok(())
        }
        other => other,
    }
}
