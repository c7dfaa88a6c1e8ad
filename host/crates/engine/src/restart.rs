//! Calls that are cut short: what our own doing must not show.

use pai_ptrace::{Regs, Signal, Stopped};

use crate::engine::Engine;
use crate::error::{Fatal, set_regs, unless_gone};
use crate::event::SyscallId;
use crate::procfs;

/// The kernel's own restart codes (linux/errno.h), never seen by the target.
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
pub(crate) const ERESTARTNOHAND: i64 = -514;
pub(crate) const ERESTART_RESTARTBLOCK: i64 = -516;
pub(crate) const EINTR: i64 = -4;

pub(crate) const fn restarts(ret: i64) -> bool {
    matches!(
        ret,
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK
    )
}

/// restart_syscall continues what a signal interrupted.
pub(crate) fn is_restart_syscall(call: SyscallId) -> bool {
    match call.abi {
        pai_syscalls::abi::X86_64 => call.nr == 219,
        pai_syscalls::abi::I386 => call.nr == 0,
        _ => false,
    }
}

/// What a call that is left with ERESTART_RESTARTBLOCK will be continued as. One
/// that was cut before, with nobody there to see, has no name any more.
pub(crate) fn first_call(call: SyscallId, continues: Option<u32>) -> Option<u32> {
    if is_restart_syscall(call) {
        continues
    } else {
        Some(call.nr)
    }
}

/// Of the calls that fail with EINTR: whether this one has no time limit.
fn waits_for_ever(abi: u32, regs: &Regs) -> bool {
    let compat = abi == pai_syscalls::abi::I386;
    let args = regs.syscall_args(compat);
    let negative = |arg: u64| (arg as u32).cast_signed() < 0;
    let name = u32::try_from(regs.syscall_nr()).ok();
    match name.and_then(|nr| pai_syscalls::name(abi, nr)) {
        Some("semop") => true,
        Some("epoll_wait" | "epoll_pwait") => negative(args[3]),
        Some("epoll_pwait2" | "semtimedop") => args[3] == 0,
        Some("rt_sigtimedwait") => args[2] == 0,
        Some("io_getevents") => args[4] == 0,
        _ => false,
    }
}

impl Engine {
    /// At an entry that took the place of our interrupt: the call now finds
    /// the task as if a signal were about, and may fail with EINTR at once.
    /// There has to be a stop behind it for the repair.
    pub(crate) fn interrupt_again(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        if unless_gone(stopped.interrupt())?.is_some()
            && let Some(task) = self.tasks.get_mut(&stopped.tid())
        {
            task.interrupting = true;
        }
        Ok(())
    }

    /// At an exit with EINTR: starts the call over if only we are to blame.
    pub(crate) fn repair_exit(
        &mut self,
        stopped: &Stopped,
        interrupted: bool,
    ) -> Result<bool, Fatal> {
        let signals = procfs::signals(stopped.tid());
        let about = signals.deliverable();
        if !interrupted && about == 0 || about & !signals.ignored() != 0 {
            return Ok(false);
        }
        let Some(regs) = unless_gone(stopped.regs())? else {
            return Ok(false);
        };
        self.start_over(stopped, regs, about)
    }

    /// At a stop that may lie between the exit of a call and the return to user
    /// mode, with the signal that is about to be delivered, if there is one.
    ///
    /// Most calls that are interrupted restart by themselves when no handler is
    /// called. Some fail with EINTR (epoll_wait, semtimedop, sigtimedwait, recv
    /// with a timeout; signal(7), last section), for two reasons that there are
    /// not without a tracer: our own interrupt, and a signal that the target
    /// ignores, which the kernel drops unless there is a tracer to be told
    /// (sig_ignored in kernel/signal.c). These are started over. True when that
    /// was done.
    ///
    /// Notes on the way which call the kernel is going to continue by
    /// restart_syscall, so that it keeps its name.
    pub(crate) fn repair_eintr(
        &mut self,
        stopped: &Stopped,
        signal: Option<Signal>,
    ) -> Result<bool, Fatal> {
        // Nearly always this one register tells that there is nothing to do.
        match unless_gone(stopped.result())? {
            Some(EINTR | ERESTART_RESTARTBLOCK) => {}
            _ => return Ok(false),
        }
        match unless_gone(stopped.regs())? {
            Some(regs) => self.repair_eintr_of(stopped, regs, signal),
            None => Ok(false),
        }
    }

    /// The same where the registers are known.
    pub(crate) fn repair_eintr_of(
        &mut self,
        stopped: &Stopped,
        regs: Regs,
        signal: Option<Signal>,
    ) -> Result<bool, Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(false);
        };
        if regs.syscall_nr() < 0 || [task.chosen, task.stopped_at].contains(&Some(regs.ip())) {
            return Ok(false);
        }
        if regs.result() == ERESTART_RESTARTBLOCK
            && let Some(info) = unless_gone(stopped.syscall_info())?
        {
            let call = SyscallId {
                abi: info.arch,
                nr: regs.syscall_nr() as u32,
            };
            task.restarting = first_call(call, task.restarting);
        }
        if regs.result() != EINTR {
            return Ok(false);
        }
        let signals = procfs::signals(tid);
        let about = signals.deliverable() | signal.map_or(0, Signal::bit);
        if about & !signals.ignored() != 0 {
            return Ok(false);
        }
        self.start_over(stopped, regs, about)
    }

    /// `ignored` are signals that the target ignores, and that interrupted the
    /// call. They may come again and again, so that a call with a time limit
    /// would never reach it: such a call fails, as under any other tracer.
    fn start_over(
        &mut self,
        stopped: &Stopped,
        mut regs: Regs,
        ignored: u64,
    ) -> Result<bool, Fatal> {
        // Of a call that was skipped there is nothing to start over.
        if regs.syscall_nr() < 0 {
            return Ok(false);
        }
        if ignored != 0 {
            let Some(info) = unless_gone(stopped.syscall_info())? else {
                return Ok(false);
            };
            if !waits_for_ever(info.arch, &regs) {
                return Ok(false);
            }
        }
        regs.restart_syscall();
        let done = unless_gone(set_regs(stopped, &regs))?.is_some();
        if done {
            self.stats.restarted_calls += 1;
        }
        Ok(done)
    }

    /// Behind a call that a client rewrote: gives the target its own argument
    /// registers back, which a call does not change (syscall(2), "Architecture
    /// calling conventions"), and if the call is going to restart, its own
    /// number. What is restarted by restart_syscall stays what it is.
    pub(crate) fn put_back(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        let pid = task.pid;
        let Some(rewritten) = task.rewritten.take() else {
            return Ok(());
        };
        if let Some((addr, before)) = rewritten.memory
            && let Err(error) = self.write_raw(pid, addr, &before.to_le_bytes())
        {
            tracing::debug!(target: "pai::engine", %pid, %error, "an argument stays changed");
        }
        let Some(mut regs) = unless_gone(stopped.regs())? else {
            return Ok(());
        };
        let compat = rewritten.compat;
        // Others are there after a successful execve or a sigreturn.
        if regs.syscall_args(compat) != rewritten.args {
            return Ok(());
        }
        regs.copy_syscall_args(compat, &rewritten.before);
        if let Some(value) = rewritten.result {
            // As behind a call that was skipped: nothing restarts it.
            regs.set_syscall_nr(-1);
            regs.set_result(value);
            unless_gone(set_regs(stopped, &regs))?;
            return Ok(());
        }
        let again = matches!(
            regs.result(),
            EINTR | ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND
        );
        if again && regs.syscall_nr() >= 0 {
            regs.set_syscall_nr(rewritten.before.syscall_nr());
        }
        unless_gone(set_regs(stopped, &regs))?;
        Ok(())
    }
}
