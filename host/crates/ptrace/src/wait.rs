//! Waiting for the tracees of this thread.

use crate::error::last_errno;
use crate::stopped::{has_tasks, is_gone, report_is_waiting};
use crate::{Error, Op, Pid, Running, SigInfo, Signal, Stop, Stopped, Tid};

/// What happened to one task.
#[derive(Debug)]
pub enum What {
    /// It stopped.
    Stopped(Stopped, Stop),
    /// It ended with this exit code.
    Exited(u8),
    /// It was ended by this signal; true when a core was dumped.
    Killed(Signal, bool),
}

/// One report of wait4(2).
#[derive(Debug)]
pub struct Report {
    /// Whose.
    pub tid: Tid,
    /// The status as it came.
    pub status: i32,
    /// Decoded.
    pub what: What,
}

/// The result of one wait.
#[derive(Debug)]
pub enum Waited {
    /// Something happened.
    Report(Report),
    /// Nothing yet; only when not blocking.
    Nothing,
    /// A signal handler ran in this thread.
    Interrupted,
    /// This thread has neither children nor tracees left.
    NoTasks,
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Until something happens.
    Yes,
    /// Not at all.
    No,
}

/// Waits for any child or tracee of the *calling thread*.
///
/// `__WALL` takes tasks of every kind; `__WNOTHREAD` leaves the children of
/// other threads alone (wait4(2)). It does take the exit of any other child
/// that this thread forked. Somebody else's plain `waitpid(-1)` in this process
/// steals our reports; see [`was_stolen`].
///
/// # Errors
/// Any errno but EINTR and ECHILD.
pub fn any(block: Block) -> Result<Waited, Error> {
    wait(-1, block)
}

/// Waits for one task.
///
/// # Errors
/// As [`any`].
pub fn one(tid: Tid, block: Block) -> Result<Waited, Error> {
    wait(tid.get(), block)
}

/// Whether there is anything that [`any`] could report one day. Takes no
/// report.
pub fn any_left() -> bool {
    has_tasks()
}

fn wait(id: i32, block: Block) -> Result<Waited, Error> {
    let mut flags = libc::__WALL | libc::__WNOTHREAD;
    if block == Block::No {
        flags |= libc::WNOHANG;
    }
    let mut status = 0;
    // SAFETY: `status` is a live local; the usage pointer may be null.
    let result = unsafe { libc::wait4(id, &raw mut status, flags, std::ptr::null_mut()) };
    match result {
        0 => Ok(Waited::Nothing),
        -1 => match last_errno() {
            libc::EINTR => Ok(Waited::Interrupted),
            libc::ECHILD => Ok(Waited::NoTasks),
            errno => Err(Error::new(Op::Wait, None, errno)),
        },
        tid => Ok(Waited::Report(Report::decode(Tid::new(tid), status))),
    }
}

/// Whether somebody took a report that was meant for us: the task is stopped
/// and nothing is left to wait for, or it and its leader are gone without a
/// word. (A task alone may vanish unreported: when another one execs.)
///
/// Only for a task of which no report is pending in the caller's own queue.
pub fn was_stolen(running: &Running, pid: Pid) -> bool {
    let tid = running.tid();
    // Looked at in this order: a task that stops in between has its report
    // waiting. Twice, because a stopped task that is killed takes its report
    // back, and ends or stops with a new one.
    (0..2).all(|_| {
        let lost = running.is_stopped() || (is_gone(tid) && is_gone(pid.leader()));
        lost && !report_is_waiting(tid) && !report_is_waiting(pid.leader())
    })
}

/// Takes a stop whose report somebody else took; see [`was_stolen`].
///
/// # Errors
/// The task as it was when it is not in such a stop.
pub fn reclaim(running: Running, pid: Pid) -> Result<Report, Running> {
    if !was_stolen(&running, pid) {
        return Err(running);
    }
    let tid = running.tid();
    let stopped = Stopped::new(tid);
    match stopped.siginfo() {
        Ok(info) => Ok(Report::decode(tid, status_of(&info))),
        // Killed meanwhile, or gone without a word.
        Err(_) => Err(running),
    }
}

/// What wait4 said of a stop. One that is no signal's has that, shifted, for its
/// si_code (ptrace_do_notify in kernel/signal.c).
fn status_of(info: &SigInfo) -> i32 {
    let reported = if info.is_of_a_signal() {
        info.signal()
    } else {
        info.code()
    };
    reported << 8 | 0x7f
}

impl Report {
    fn decode(tid: Tid, status: i32) -> Self {
        let what = if libc::WIFEXITED(status) {
            What::Exited((libc::WEXITSTATUS(status) & 0xff) as u8)
        } else if libc::WIFSIGNALED(status) {
            let signal = Signal::from_kernel(libc::WTERMSIG(status));
            What::Killed(signal, libc::WCOREDUMP(status))
        } else {
            What::Stopped(Stopped::new(tid), Stop::decode(status))
        };
        Self { tid, status, what }
    }
}
