//! Back to the kind of stop that a task was in, from where foreign code ran.

use pai_ptrace::{Regs, Resume, SigInfo, Signal, Stop, Stopped};

use crate::engine::Engine;
use crate::error::{Fatal, set_regs, unless_gone};
use crate::inject::{SI_KERNEL, Saved};
use crate::remote_call::NR_GETPID;
use crate::single::Here;
use crate::task::After;

impl Engine {
    /// From one stop on the way to user mode into another, behind which the
    /// kernel looks at signals and restarts.
    pub(crate) fn trap_again(&mut self, stopped: Stopped) -> Here<Stopped> {
        let next = self.next_interrupt(stopped, None)?;
        Ok(next.map(|(there, _)| there))
    }

    /// On with a task, with a signal perhaps, to the stop that it makes before it executes
    /// anything.
    fn next_interrupt(&mut self, stopped: Stopped, with: Option<Signal>) -> Here<(Stopped, Stop)> {
        let tid = stopped.tid();
        if unless_gone(stopped.interrupt())?.is_some()
            && let Some(running) = unless_gone(stopped.resume(Resume::Cont, with))?
        {
            return self.next_stop(running);
        }
        self.dying(tid)?;
        Ok(None)
    }

    /// Enters a call that was skipped.
    pub(crate) fn enter_again(
        &mut self,
        stopped: Stopped,
        entry: &Regs,
        saved: &mut Saved,
    ) -> Here<Stopped> {
        let tid = stopped.tid();
        let mut again = *entry;
        again.restart_syscall();
        again.leave_syscall();
        // A breakpoint may be on the instruction itself.
        let instruction = match saved.int80 {
            true => self.int80_instruction(tid, entry),
            false => self.syscall_instruction(tid),
        };
        if let Ok(at) = instruction {
            again.set_ip(at);
        }
        if unless_gone(set_regs(&stopped, &again))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        let Some((stopped, _)) = self.run_to_stop(stopped, Resume::Syscall, None, None, saved)?
        else {
            return Ok(None);
        };
        if unless_gone(set_regs(&stopped, entry))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.at_entry = true;
        }
        Ok(Some(stopped))
    }

    /// Makes a signal that was taken off its queue be delivered again. At the
    /// stop of another one, that one turns into it. At a syscall stop the kernel
    /// sends what the task is resumed with anew (ptrace(2), PTRACE_CONT), without
    /// what came with it.
    pub(crate) fn signal_again(
        &mut self,
        stopped: Stopped,
        signal: Signal,
        info: &SigInfo,
        saved: &mut Saved,
    ) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(stopped) = self.leave_event(stopped, saved)? else {
            return Ok(None);
        };
        let Some(now) = unless_gone(stopped.siginfo())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        if now.is_of_a_signal() {
            if unless_gone(stopped.set_siginfo(info))?.is_none() {
                self.dying(tid)?;
                return Ok(None);
            }
            return Ok(Some(stopped));
        }
        if unless_gone(stopped.set_signal_mask(!signal.bit()))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        let mut stopped = stopped;
        let mut with = Some(signal);
        loop {
            let Some((there, stop)) =
                self.run_to_stop(stopped, Resume::Cont, with.take(), Some(signal), saved)?
            else {
                return Ok(None);
            };
            stopped = there;
            match stop {
                Stop::SignalDelivery(delivered) if delivered == signal => break,
                // There is nothing to deliver, and nothing comes of that it is tried.
                Stop::Interrupt => return Ok(Some(stopped)),
                _ => {}
            }
        }
        if let Some(found) = unless_gone(stopped.siginfo())?
            && found.code() != SI_KERNEL
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            // Another one of this number was waiting already. It comes last.
            task.displaced_signals.push(found);
        }
        if unless_gone(stopped.set_siginfo(info))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// At a signal that stops the process: it does, unless SIGCONT has come since
    /// (do_signal_stop in kernel/signal.c). The task itself stops once more before it
    /// executes anything; whether that is the group-stop.
    fn stop_process(&mut self, stopped: Stopped, signal: Signal) -> Here<(Stopped, bool)> {
        let next = self.next_interrupt(stopped, Some(signal))?;
        Ok(next.map(|(there, stop)| (there, matches!(stop, Stop::GroupStop(_)))))
    }

    /// Takes a task out of foreign code, of a function if there are `vectors`, and back
    /// to the stop that it came from. Or it has left a function, that has `failed`, itself.
    pub(crate) fn take_out(
        &mut self,
        stopped: Stopped,
        after: After,
        mut saved: Saved,
        vectors: Option<&[u8]>,
        failed: bool,
    ) -> Here<(Stopped, bool)> {
        if vectors.is_some() && failed && self.has_left(&stopped, &saved)? {
            // A jump out of the function: the code that was interrupted goes on
            // elsewhere.
            unless_gone(stopped.set_signal_mask(saved.mask))?;
            self.restore_filter(&stopped)?;
            return Ok(Some((stopped, true)));
        }
        let stopped = match after {
            // SIGSTOP cannot be blocked.
            After::Deliver(signal) if signal.stops() => {
                let Some((there, stops)) = self.stop_process(stopped, signal)? else {
                    return Ok(None);
                };
                saved.group_stop |= stops;
                there
            }
            After::Listen(_) => {
                saved.group_stop = true;
                stopped
            }
            _ => stopped,
        };
        if let Some(vectors) = vectors {
            unless_gone(stopped.set_extended_state(vectors))?;
        }
        let stopped = self.restore(stopped, saved)?;
        Ok(stopped.map(|stopped| (stopped, false)))
    }

    /// From an interrupt or a group-stop, where the kernel sends nothing of what the task
    /// is resumed with (do_jobctl_trap in kernel/signal.c), to the exit of a call.
    fn leave_event(&mut self, stopped: Stopped, saved: &mut Saved) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(now) = unless_gone(stopped.siginfo())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        if now.is_of_a_signal() || now.code() >> 8 == 0 {
            return Ok(Some(stopped));
        }
        let call = (NR_GETPID, [0; 6]);
        let Some((stopped, _)) = self.run_calls(stopped, saved, &[call])? else {
            return Ok(None);
        };
        if unless_gone(set_regs(&stopped, &saved.regs))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// At a signal that an earlier one has taken the siginfo from: gives it its
    /// own.
    pub(crate) fn bring_back_info(
        &mut self,
        stopped: &Stopped,
        signal: Signal,
    ) -> Result<(), Fatal> {
        let Some(found) = unless_gone(stopped.siginfo())? else {
            return Ok(());
        };
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        let infos = &mut task.displaced_signals;
        let Some(index) = infos.iter().position(|info| info.signal() == signal.get()) else {
            return Ok(());
        };
        let own = infos.remove(index);
        if found.code() != SI_KERNEL {
            infos.push(found);
        }
        unless_gone(stopped.set_siginfo(&own))?;
        Ok(())
    }
}
