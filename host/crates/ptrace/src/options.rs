//! Ptrace options.

bitflags::bitflags! {
    /// PTRACE_O_* bits, given at seize time or set later (ptrace(2)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Options: i32 {
        /// Mark syscall stops with bit 7 of the signal number.
        const SYSGOOD = libc::PTRACE_O_TRACESYSGOOD;
        /// Stop at fork and attach to the child.
        const FORK = libc::PTRACE_O_TRACEFORK;
        /// Stop at vfork and attach to the child.
        const VFORK = libc::PTRACE_O_TRACEVFORK;
        /// Stop at clone and attach to the new task.
        const CLONE = libc::PTRACE_O_TRACECLONE;
        /// Stop after a successful execve.
        const EXEC = libc::PTRACE_O_TRACEEXEC;
        /// Stop when a vfork child released its parent.
        const VFORK_DONE = libc::PTRACE_O_TRACEVFORKDONE;
        /// Stop before a task ends, registers still readable.
        const EXIT = libc::PTRACE_O_TRACEEXIT;
        /// Stop where a filter says RET_TRACE (seccomp(2)).
        const SECCOMP = libc::PTRACE_O_TRACESECCOMP;
        /// Kill the tracee when the tracer ends.
        const EXITKILL = libc::PTRACE_O_EXITKILL;
        /// PTRACE_O_SUSPEND_SECCOMP: its filters do not hold while this is set. Needs
        /// CAP_SYS_ADMIN in the initial user namespace.
        const SUSPEND_SECCOMP = 1 << 21;
    }
}
