//! What stopped a task.

use crate::Signal;

/// How a new task was made: the kernel's event, chosen in kernel/fork.c from
/// the clone flags (CLONE_VFORK, else an exit signal other than SIGCHLD, else
/// fork).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTask {
    /// PTRACE_EVENT_FORK.
    Fork,
    /// PTRACE_EVENT_VFORK: the parent waits until the child execs or exits.
    Vfork,
    /// PTRACE_EVENT_CLONE: threads, and processes with unusual exit signals.
    Clone,
}

/// Why a seized task stopped, and what its tracer has to do next.
///
/// Decoded from the wait status alone (ptrace(2), "Stopped states"); the event
/// in the high bits is looked at before the signal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Entry or exit of a system call; `Stopped::syscall_info` tells which.
    /// Resume.
    Syscall,
    /// A signal is about to be delivered. Resume *with this signal*, or it is
    /// lost. SIGTRAP too may be a genuine signal.
    SignalDelivery(Signal),
    /// The whole process was stopped by this signal. `listen`, so that it stays
    /// stopped and SIGCONT can wake it; resuming would ignore the stop.
    GroupStop(Signal),
    /// The answer to `Running::interrupt`, the first stop of an automatically
    /// attached task, or the end of a group-stop that was listened to. Resume.
    Interrupt,
    /// A new task was made; `Stopped::event_message` is its id. Resume; the new
    /// task reports an [`Stop::Interrupt`] of its own, before or after this.
    NewTask(NewTask),
    /// The vfork child execed or exited; `event_message` is its id. Resume.
    VforkDone,
    /// A new program was loaded. The id is that of the thread group leader,
    /// whoever called; `event_message` is the caller's former id; all other
    /// tasks of the process are gone. Resume.
    Exec,
    /// The task is about to end; `event_message` is its wait status. Resume.
    Exit,
    /// A seccomp filter said RET_TRACE, before the call is made; with
    /// PTRACE_O_TRACESECCOMP. Since Linux 4.8 behind the syscall stop, if there is one.
    Seccomp,
    /// An event newer than this crate, by number. Resume.
    Other(i32),
}

impl Stop {
    /// The number of its event, where it has one (PTRACE_EVENT_*).
    pub(crate) fn number(self) -> Option<i32> {
        match self {
            Stop::NewTask(NewTask::Fork) => Some(libc::PTRACE_EVENT_FORK),
            Stop::NewTask(NewTask::Vfork) => Some(libc::PTRACE_EVENT_VFORK),
            Stop::NewTask(NewTask::Clone) => Some(libc::PTRACE_EVENT_CLONE),
            Stop::VforkDone => Some(libc::PTRACE_EVENT_VFORK_DONE),
            Stop::Exec => Some(libc::PTRACE_EVENT_EXEC),
            Stop::Exit => Some(libc::PTRACE_EVENT_EXIT),
            Stop::Seccomp => Some(libc::PTRACE_EVENT_SECCOMP),
            Stop::GroupStop(_) | Stop::Interrupt => Some(libc::PTRACE_EVENT_STOP),
            Stop::Other(number) => Some(number),
            Stop::Syscall | Stop::SignalDelivery(_) => None,
        }
    }

    /// Whether the task stopped in the middle of a system call: the registers of
    /// user mode are not loaded from what is set now.
    pub fn is_inside_call(self) -> bool {
        matches!(
            self,
            Stop::NewTask(_) | Stop::VforkDone | Stop::Exec | Stop::Exit | Stop::Seccomp
        )
    }

    /// Decodes a wait status that is WIFSTOPPED.
    pub(crate) fn decode(status: i32) -> Self {
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            0 if signal == libc::SIGTRAP | 0x80 => Stop::Syscall,
            0 => Stop::SignalDelivery(Signal::from_kernel(signal)),
            libc::PTRACE_EVENT_FORK => Stop::NewTask(NewTask::Fork),
            libc::PTRACE_EVENT_VFORK => Stop::NewTask(NewTask::Vfork),
            libc::PTRACE_EVENT_CLONE => Stop::NewTask(NewTask::Clone),
            libc::PTRACE_EVENT_VFORK_DONE => Stop::VforkDone,
            libc::PTRACE_EVENT_EXEC => Stop::Exec,
            libc::PTRACE_EVENT_EXIT => Stop::Exit,
            libc::PTRACE_EVENT_SECCOMP => Stop::Seccomp,
            libc::PTRACE_EVENT_STOP => {
                let signal = Signal::from_kernel(signal);
                if signal.stops() {
                    Stop::GroupStop(signal)
                } else {
                    Stop::Interrupt
                }
            }
            other => Stop::Other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(event: i32, signal: i32) -> i32 {
        event << 16 | signal << 8 | 0x7f
    }

    #[test]
    fn every_kind_of_stop_is_told_apart() {
        let table = [
            (stopped(0, libc::SIGTRAP | 0x80), Stop::Syscall),
            (
                stopped(0, libc::SIGTRAP),
                Stop::SignalDelivery(Signal::TRAP),
            ),
            (
                stopped(0, libc::SIGSTOP),
                Stop::SignalDelivery(Signal::STOP),
            ),
            (
                stopped(0, 64),
                Stop::SignalDelivery(Signal::new(64).unwrap()),
            ),
            (
                stopped(libc::PTRACE_EVENT_STOP, libc::SIGTRAP),
                Stop::Interrupt,
            ),
            (
                stopped(libc::PTRACE_EVENT_STOP, libc::SIGSTOP),
                Stop::GroupStop(Signal::STOP),
            ),
            (
                stopped(libc::PTRACE_EVENT_STOP, libc::SIGTTOU),
                Stop::GroupStop(Signal::TTOU),
            ),
            (
                stopped(libc::PTRACE_EVENT_FORK, libc::SIGTRAP),
                Stop::NewTask(NewTask::Fork),
            ),
            (
                stopped(libc::PTRACE_EVENT_VFORK, libc::SIGTRAP),
                Stop::NewTask(NewTask::Vfork),
            ),
            (
                stopped(libc::PTRACE_EVENT_CLONE, libc::SIGTRAP),
                Stop::NewTask(NewTask::Clone),
            ),
            (
                stopped(libc::PTRACE_EVENT_VFORK_DONE, libc::SIGTRAP),
                Stop::VforkDone,
            ),
            (stopped(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP), Stop::Exec),
            (stopped(libc::PTRACE_EVENT_EXIT, libc::SIGTRAP), Stop::Exit),
            (
                stopped(libc::PTRACE_EVENT_SECCOMP, libc::SIGTRAP),
                Stop::Seccomp,
            ),
            (stopped(99, libc::SIGTRAP), Stop::Other(99)),
        ];
        for (status, stop) in table {
            assert_eq!(Stop::decode(status), stop, "status {status:#x}");
            assert_eq!(stop.number().unwrap_or(0), status >> 16);
        }
    }
}
