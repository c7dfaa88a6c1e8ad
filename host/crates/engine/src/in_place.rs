//! Going past a breakpoint where it is: the way that is left when there is no other.

use pai_ptrace::{Pid, Regs, Resume, Signal, Stop, Stopped};

use crate::displaced::StepKind;
use crate::engine::Engine;
use crate::error::{set_regs, unless_gone};
use crate::single::Here;
use crate::site::INT3;
use crate::trap::{Past, TRAP_BRKPT, TRAP_TRACE};
use crate::trap_state::Mark;

impl Engine {
    /// Executes the instruction under a breakpoint where it is, with all other
    /// tasks of the address space stopped meanwhile. Dear, and rare.
    pub(crate) fn step_in_place(
        &mut self,
        stopped: Stopped,
        pid: Pid,
        regs: &Regs,
        addr: u64,
    ) -> Here<Past> {
        let tid = stopped.tid();
        self.stats.steps_in_place += 1;
        let Ok(space) = self.space_id(pid) else {
            return Ok(None);
        };
        for other in self.tasks_in(space) {
            if other != tid {
                self.stop_now(other)?;
            }
        }
        let original = self
            .space(pid)
            .and_then(|space| Some(space.sites.get(&addr)?.original));
        let Some(original) = original else {
            return self.write_ip(stopped, regs, true, regs.ip());
        };
        if let Err(error) = self.write_raw(pid, addr, &[original]) {
            // The process has ended, or something else is mapped there, which is
            // the target's own.
            tracing::debug!(target: "pai::engine", %pid, %error, "a breakpoint is gone with its page");
            if let Some(space) = self.space_mut(pid) {
                space.sites.remove(&addr);
            }
            return self.write_ip(stopped, regs, true, addr);
        }
        if !self.load_debug_registers(&stopped)? {
            self.dying(tid)?;
            return Ok(None);
        }
        // A call may sleep until another task goes on: its entry is waited for, no
        // more.
        let kind = self.next_instruction(pid, regs);
        let how = match kind {
            Some(StepKind::Syscall) => Resume::Syscall,
            _ => Resume::Step,
        };
        self.note_pushed(tid, kind, regs);
        let mut regs = *regs;
        regs.set_ip(addr);
        if let Some(task) = self.tasks.get_mut(&tid) {
            // An interrupt may overtake the trap. One of a program that steps itself is its
            // own.
            task.trap.stepping = how == Resume::Step && !regs.has_trap_flag();
        }
        let running = unless_gone(set_regs(&stopped, &regs))?
            .is_some()
            .then(|| unless_gone(stopped.resume(how, None)))
            .transpose()?
            .flatten();
        let Some(running) = running else {
            self.dying(tid)?;
            return Ok(None);
        };
        let next = self.next_report(running)?;
        if self.write_raw(pid, addr, &[INT3]).is_err() {
            // The instruction has unmapped itself.
            tracing::debug!(target: "pai::engine", %pid, "a breakpoint is gone with its page");
        }
        let Some((stopped, stop, status)) = next else {
            return Ok(None);
        };
        self.hide_pushed(&stopped)?;
        if stop == Stop::SignalDelivery(Signal::TRAP)
            && let Some(info) = unless_gone(stopped.siginfo())?
            && matches!(info.code(), TRAP_TRACE | TRAP_BRKPT)
            && !regs.has_trap_flag()
            // It may have touched watched memory, which the loop is to tell.
            && !self.is_watched(tid)
        {
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.trap.stepping = false;
            }
            return Ok(self.mend_own_trap(stopped)?.map(Past::Done));
        }
        if stop == Stop::Syscall
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.trap.call_at = Some(addr);
        }
        // Anything else is for the loop: a fault of the instruction itself, a
        // signal that came first.
        if let Some(now) = unless_gone(stopped.regs())?
            && now.ip() == addr
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.trap.mark = Some(Box::new(Mark::new(&now)));
        }
        self.serve_later(stopped, stop, status);
        Ok(None)
    }
}
