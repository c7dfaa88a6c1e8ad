//! Failures of kernel requests, with the operation and the task.

use std::fmt;

use crate::Tid;

/// Which request failed. Named as in the man pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the name of its request")]
pub enum Op {
    Seize,
    Interrupt,
    Listen,
    Cont,
    Syscall,
    SingleStep,
    Detach,
    SetOptions,
    GetEventMsg,
    GetSigInfo,
    GetSyscallInfo,
    GetRegs,
    SetRegs,
    GetRegSet,
    SetRegSet,
    PeekUser,
    PokeUser,
    GetSigMask,
    SetSigMask,
    SetSigInfo,
    OpenMem,
    OpenMaps,
    QueryMaps,
    ReadMem,
    WriteMem,
    Wait,
    Kill,
    Fork,
    Pipe,
    Exec,
    Timer,
    SigAction,
}

impl Op {
    /// Its name as users may look it up.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Seize => "PTRACE_SEIZE",
            Op::Interrupt => "PTRACE_INTERRUPT",
            Op::Listen => "PTRACE_LISTEN",
            Op::Cont => "PTRACE_CONT",
            Op::Syscall => "PTRACE_SYSCALL",
            Op::SingleStep => "PTRACE_SINGLESTEP",
            Op::Detach => "PTRACE_DETACH",
            Op::SetOptions => "PTRACE_SETOPTIONS",
            Op::GetEventMsg => "PTRACE_GETEVENTMSG",
            Op::GetSigInfo => "PTRACE_GETSIGINFO",
            Op::GetSyscallInfo => "PTRACE_GET_SYSCALL_INFO",
            Op::GetRegs => "PTRACE_GETREGS",
            Op::SetRegs => "PTRACE_SETREGS",
            Op::GetRegSet => "PTRACE_GETREGSET",
            Op::SetRegSet => "PTRACE_SETREGSET",
            Op::PeekUser => "PTRACE_PEEKUSER",
            Op::PokeUser => "PTRACE_POKEUSER",
            Op::GetSigMask => "PTRACE_GETSIGMASK",
            Op::SetSigMask => "PTRACE_SETSIGMASK",
            Op::SetSigInfo => "PTRACE_SETSIGINFO",
            Op::OpenMem => "open /proc/PID/mem",
            Op::OpenMaps => "open /proc/PID/maps",
            Op::QueryMaps => "PROCMAP_QUERY",
            Op::ReadMem => "read of tracee memory",
            Op::WriteMem => "write of tracee memory",
            Op::Wait => "wait4",
            Op::Kill => "kill",
            Op::Fork => "fork",
            Op::Pipe => "pipe2",
            Op::Exec => "execve",
            Op::Timer => "timer_create",
            Op::SigAction => "sigaction",
        }
    }
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The task is gone or about to go. ptrace(2) gives ESRCH three meanings:
    /// no such task, not traced by us, not stopped. With a [`crate::Stopped`]
    /// in hand on the tracer thread the last two cannot be, so it was killed;
    /// its exit is reported by the next waits ("Death under ptrace").
    Gone,
    /// Any other errno.
    Errno(i32),
}

/// A failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The request.
    pub op: Op,
    /// The task it was for, where there was one.
    pub tid: Option<Tid>,
    /// Why.
    pub kind: Kind,
}

impl Error {
    pub(crate) fn new(op: Op, tid: impl Into<Option<Tid>>, errno: i32) -> Self {
        let kind = if errno == libc::ESRCH {
            Kind::Gone
        } else {
            Kind::Errno(errno)
        };
        Self {
            op,
            tid: tid.into(),
            kind,
        }
    }

    pub(crate) fn last(op: Op, tid: impl Into<Option<Tid>>) -> Self {
        Self::new(op, tid, last_errno())
    }

    /// The task is gone.
    pub fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }

    /// The errno value, positive.
    pub fn errno(&self) -> i32 {
        match self.kind {
            Kind::Gone => libc::ESRCH,
            Kind::Errno(errno) => errno,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.op.name())?;
        if let Some(tid) = self.tid {
            write!(f, " for task {tid}")?;
        }
        let text = nix::errno::Errno::from_raw(self.errno()).desc();
        write!(f, ": {text}")
    }
}

impl std::error::Error for Error {}

pub(crate) fn last_errno() -> i32 {
    nix::errno::Errno::last_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_operation_task_and_cause() {
        let error = Error::new(Op::Seize, Tid::new(42), libc::EPERM);
        assert_eq!(
            error.to_string(),
            "PTRACE_SEIZE failed for task 42: Operation not permitted"
        );
        assert!(!error.is_gone());
        assert!(Error::new(Op::GetRegs, Tid::new(1), libc::ESRCH).is_gone());
    }
}
