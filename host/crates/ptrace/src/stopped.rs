//! Running and stopped tasks as move-only types.

use std::marker::PhantomData;

use crate::error::last_errno;
use crate::siginfo::RawSigInfo;
use crate::syscall_info::RawSyscallInfo;
use crate::{Error, Op, Options, Pid, Regs, SigInfo, Signal, Stop, SyscallInfo, Tid};

/// Keeps a type on the thread that made it: requests from another thread fail
/// with ESRCH (ptrace(2), "the tracer thread").
type OneThread = PhantomData<*const ()>;

/// One ptrace(2) call. The only place that makes one. It is the kernel's own: for a
/// word that is read the C library's function returns the word, and -1 could be it.
fn ptrace(op: Op, tid: Tid, request: libc::c_uint, addr: usize, data: usize) -> Result<i64, Error> {
    let number = libc::c_long::from(request);
    let task = libc::c_long::from(tid.get());
    // SAFETY: the requests used in this crate either take plain numbers, or
    // pointers into a live local of the size that the request writes; the
    // callers say so where they pass one.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, number, task, addr, data) };
    if result == -1 {
        Err(Error::last(op, tid))
    } else {
        Ok(result)
    }
}

/// A seized task that runs, or listens in a group-stop: nothing can be asked of
/// it but to stop.
#[derive(Debug)]
pub struct Running {
    tid: Tid,
    thread: OneThread,
}

/// A task in a ptrace-stop. Comes only out of a wait report; neither `Clone`
/// nor `Copy`, so that a stop is answered once.
#[derive(Debug)]
pub struct Stopped {
    tid: Tid,
    thread: OneThread,
}

/// How far to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// To the next event or signal: PTRACE_CONT.
    Cont,
    /// Also to the next syscall entry or exit: PTRACE_SYSCALL.
    Syscall,
    /// One instruction: PTRACE_SINGLESTEP. A SIGTRAP with TRAP_TRACE follows,
    /// unless the instruction faults.
    Step,
}

/// Becomes the tracer of a task with PTRACE_SEIZE, which does not stop it.
///
/// The options hold from the first instant. PTRACE_ATTACH is not offered: its
/// SIGSTOP races with real ones (ptrace(2), "Attaching").
///
/// # Errors
/// EPERM when not permitted or already traced, ESRCH (as gone) when there is no
/// such task.
pub fn seize(tid: Tid, options: Options) -> Result<Running, Error> {
    let data = usize::try_from(options.bits()).unwrap_or(0);
    ptrace(Op::Seize, tid, libc::PTRACE_SEIZE, 0, data)?;
    Ok(Running::new(tid))
}

/// The calling thread.
pub fn own_tid() -> Tid {
    // SAFETY: no arguments.
    Tid::new(unsafe { libc::gettid() })
}

/// Sends a signal to a process (kill(2)).
///
/// # Errors
/// ESRCH (as gone), EPERM.
pub fn kill(pid: Pid, signal: Signal) -> Result<(), Error> {
    // SAFETY: takes two numbers.
    if unsafe { libc::kill(pid.get(), signal.get()) } == -1 {
        return Err(Error::last(Op::Kill, pid.leader()));
    }
    Ok(())
}

/// Sends a signal to one task (tgkill(2)); signal 0 only asks whether it is
/// there.
///
/// # Errors
/// ESRCH (as gone), EPERM, EAGAIN when a real-time signal cannot be queued.
pub fn tgkill(pid: Pid, tid: Tid, signal: i32) -> Result<(), Error> {
    // SAFETY: takes three numbers.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid.get(), tid.get(), signal) };
    if result == -1 {
        return Err(Error::last(Op::Kill, tid));
    }
    Ok(())
}

impl Running {
    pub(crate) fn new(tid: Tid) -> Self {
        Self {
            tid,
            thread: PhantomData,
        }
    }

    /// Its id.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Asks for a [`crate::Stop::Interrupt`]. Another stop may come first.
    ///
    /// # Errors
    /// Gone when the task has ended.
    pub fn interrupt(&self) -> Result<(), Error> {
        ptrace(Op::Interrupt, self.tid, libc::PTRACE_INTERRUPT, 0, 0).map(drop)
    }

    /// Whether the task is in a ptrace-stop although no wait reported it to us:
    /// its report is still waiting, or somebody else took it.
    pub fn is_stopped(&self) -> bool {
        let mut message: libc::c_ulong = 0;
        // The pointer is to a live local of the size that GETEVENTMSG writes.
        let data = &raw mut message as usize;
        ptrace(Op::GetEventMsg, self.tid, libc::PTRACE_GETEVENTMSG, 0, data).is_ok()
    }
}

impl Stopped {
    pub(crate) fn new(tid: Tid) -> Self {
        Self {
            tid,
            thread: PhantomData,
        }
    }

    /// Its id.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    pub(crate) fn request(
        &self,
        op: Op,
        request: libc::c_uint,
        addr: usize,
        data: usize,
    ) -> Result<i64, Error> {
        ptrace(op, self.tid, request, addr, data)
    }

    /// Asks for another stop right after this one, as [`Running::interrupt`].
    ///
    /// # Errors
    /// Gone.
    pub fn interrupt(&self) -> Result<(), Error> {
        self.request(Op::Interrupt, libc::PTRACE_INTERRUPT, 0, 0)
            .map(drop)
    }

    /// Lets the task run on, delivering `signal` if it is in a
    /// signal-delivery-stop.
    ///
    /// # Errors
    /// Gone when it was killed meanwhile: forget it, its exit is reported.
    pub fn resume(self, how: Resume, signal: Option<Signal>) -> Result<Running, Error> {
        let (op, request) = match how {
            Resume::Cont => (Op::Cont, libc::PTRACE_CONT),
            Resume::Syscall => (Op::Syscall, libc::PTRACE_SYSCALL),
            Resume::Step => (Op::SingleStep, libc::PTRACE_SINGLESTEP),
        };
        self.request(op, request, 0, signal_data(signal))?;
        Ok(Running::new(self.tid))
    }

    /// Leaves a task in its group-stop, so that it can be woken by SIGCONT and
    /// interrupted by us (ptrace(2), PTRACE_LISTEN).
    ///
    /// # Errors
    /// Gone; EIO when it is not in a group-stop any more.
    pub fn listen(self) -> Result<Running, (Self, Error)> {
        match self.request(Op::Listen, libc::PTRACE_LISTEN, 0, 0) {
            Ok(_) => Ok(Running::new(self.tid)),
            Err(error) => Err((self, error)),
        }
    }

    /// Stops tracing it; it runs on, with `signal` if it is in a
    /// signal-delivery-stop, or stays stopped if it is in a group-stop.
    ///
    /// # Errors
    /// Gone when it was killed meanwhile.
    pub fn detach(self, signal: Option<Signal>) -> Result<(), Error> {
        self.request(Op::Detach, libc::PTRACE_DETACH, 0, signal_data(signal))
            .map(drop)
    }

    /// Replaces the options.
    ///
    /// # Errors
    /// Gone.
    pub fn set_options(&self, options: Options) -> Result<(), Error> {
        let data = usize::try_from(options.bits()).unwrap_or(0);
        self.request(Op::SetOptions, libc::PTRACE_SETOPTIONS, 0, data)
            .map(drop)
    }

    /// The message of the event that stopped it: the new task's id, the former
    /// id, or the exit status, by [`crate::Stop`].
    ///
    /// SIGKILL takes a task out of its stop, and into the one of its exit, at
    /// any time; the message is then that one's. So it is made sure afterwards
    /// that the task is still where it was: there is no way back.
    ///
    /// # Errors
    /// Gone.
    pub fn event_message(&self, event: Stop) -> Result<u64, Error> {
        let mut message: libc::c_ulong = 0;
        // The pointer is to a live local of the size that GETEVENTMSG writes.
        let data = &raw mut message as usize;
        self.request(Op::GetEventMsg, libc::PTRACE_GETEVENTMSG, 0, data)?;
        // ptrace(2), "PTRACE_EVENT stops".
        let code = event.number().map(|number| number << 8 | libc::SIGTRAP);
        if Some(self.siginfo()?.code()) == code {
            Ok(message)
        } else {
            Err(Error::new(Op::GetEventMsg, self.tid, libc::ESRCH))
        }
    }

    /// The siginfo of the stop that it is in now: the signal's, or one that the
    /// kernel makes for an event. That it is about to be killed shows in another
    /// si_signo; see [`Stopped::event_message`].
    ///
    /// # Errors
    /// Gone; EINVAL in a group-stop.
    pub fn siginfo(&self) -> Result<SigInfo, Error> {
        let mut info = RawSigInfo::zeroed();
        // The pointer is to a live local of the size that GETSIGINFO writes.
        let data = info.as_mut_ptr() as usize;
        self.request(Op::GetSigInfo, libc::PTRACE_GETSIGINFO, 0, data)?;
        Ok(info.into())
    }

    /// What this syscall stop is.
    ///
    /// # Errors
    /// Gone; EIO before Linux 5.3.
    pub fn syscall_info(&self) -> Result<SyscallInfo, Error> {
        let mut raw = RawSyscallInfo::default();
        let size = size_of::<RawSyscallInfo>();
        // The pointer is to a live local of the size that is passed along.
        let data = &raw mut raw as usize;
        self.request(
            Op::GetSyscallInfo,
            libc::PTRACE_GET_SYSCALL_INFO,
            size,
            data,
        )?;
        Ok(SyscallInfo::from_raw(&raw))
    }

    /// The general registers.
    ///
    /// # Errors
    /// Gone.
    pub fn regs(&self) -> Result<Regs, Error> {
        let mut regs = Regs::zeroed();
        // The pointer is to a live local of the size that GETREGS writes.
        let data = &raw mut regs.0 as usize;
        self.request(Op::GetRegs, libc::PTRACE_GETREGS, 0, data)?;
        Ok(regs)
    }

    /// Writes the general registers.
    ///
    /// A task may have values that the kernel does not take from a tracer, not even
    /// unchanged: a null selector with another privilege level than that of user mode, or a
    /// base of `fs` or `gs` in the kernel's half (set_segment_reg and putreg in
    /// arch/x86/kernel/ptrace.c). Then only what is to change is written.
    ///
    /// # Errors
    /// Gone; EIO when something is to change into a value that the kernel forbids, and all
    /// the rest is written. Of eflags, bits are masked silently.
    pub fn set_regs(&self, regs: &Regs) -> Result<(), Error> {
        // The pointer is to a live value of the size that SETREGS reads.
        let data = &raw const regs.0 as usize;
        match self.request(Op::SetRegs, libc::PTRACE_SETREGS, 0, data) {
            Ok(_) => Ok(()),
            Err(error) if error.errno() == libc::EIO => self.set_changed_regs(regs),
            Err(error) => Err(error),
        }
    }

    /// The same, one by one and only those that are others.
    fn set_changed_regs(&self, regs: &Regs) -> Result<(), Error> {
        let mut result = Ok(());
        let now = self.regs()?.values();
        let words = now.into_iter().zip(regs.values()).enumerate();
        for (index, (_, wanted)) in words.filter(|(_, (now, wanted))| now != wanted) {
            match self.set_register(index, wanted) {
                Err(error) if error.is_gone() => return Err(error),
                set => result = result.and(set),
            }
        }
        result
    }
}

fn signal_data(signal: Option<Signal>) -> usize {
    signal.map_or(0, |s| usize::try_from(s.get()).unwrap_or(0))
}

/// Whether two processes share their memory (kcmp(2), KCMP_VM); `None` when the
/// kernel does not say.
pub fn share_memory(one: Pid, other: Pid) -> Option<bool> {
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: takes five numbers.
    let order = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            one.get(),
            other.get(),
            KCMP_VM,
            0_usize,
            0_usize,
        )
    };
    (order >= 0).then_some(order == 0)
}

/// Whether no task has this id: not even a zombie that waits to be reaped.
pub(crate) fn is_gone(tid: Tid) -> bool {
    // SAFETY: takes two numbers; signal 0 is not sent (kill(2)).
    let result = unsafe { libc::syscall(libc::SYS_tkill, tid.get(), 0) };
    result == -1 && last_errno() == libc::ESRCH
}

/// Whether a wait report of this task is there and not yet taken.
pub(crate) fn report_is_waiting(tid: Tid) -> bool {
    let id = libc::id_t::from(tid.get().unsigned_abs());
    match look(libc::P_PID, id) {
        Ok(info) => info.signal() != 0,
        Err(errno) => errno == libc::EINTR,
    }
}

/// Whether the calling thread has a child or a tracee.
pub(crate) fn has_tasks() -> bool {
    look(libc::P_ALL, 0) != Err(libc::ECHILD)
}

/// What a wait would report, without taking it (waitid(2), WNOWAIT): all zero
/// for nothing yet.
fn look(which: libc::idtype_t, id: libc::id_t) -> Result<SigInfo, i32> {
    let flags = libc::WEXITED
        | libc::WSTOPPED
        | libc::WNOHANG
        | libc::WNOWAIT
        | libc::__WALL
        | libc::__WNOTHREAD;
    let mut info = RawSigInfo::zeroed();
    // SAFETY: `info` is a live local of the size and alignment of a siginfo_t.
    let result = unsafe { libc::waitid(which, id, info.as_mut_ptr().cast(), flags) };
    if result == -1 {
        Err(last_errno())
    } else {
        Ok(info.into())
    }
}
