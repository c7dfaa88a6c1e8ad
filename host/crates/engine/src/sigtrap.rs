//! What the target itself has in mind for SIGTRAP.
//!
//! The kernel forces the SIGTRAP of an `int3`, a step or a watchpoint on a task
//! that blocks or ignores the signal: it resets the action to the default and
//! unblocks it (force_sig_info_to_task in kernel/signal.c). Nobody can forbid it
//! that, so what was there is put back behind each trap of ours. Only processes
//! that have something to lose pay for it.
//!
//! What a task blocks is looked at before each step, and when the first breakpoint
//! comes. One that blocks SIGTRAP then is followed through its calls as long as it
//! does. One that begins later, without a handler for it, finds it unblocked.
//!
//! One that sets the action to the default itself, with breakpoints in place and
//! after it had another, gets that other one back.

use pai_ptrace::{Pid, Signal, Stopped, Tid};

use crate::engine::Engine;
use crate::error::unless_gone;
use crate::inject::Place;
use crate::procfs;
use crate::single::Here;
use crate::subscription::ClientId;

const NR_RT_SIGACTION: u32 = 13;
/// Size of a signal mask in the kernel.
const MASK_SIZE: u64 = 8;
/// Below the red zone and out of everybody's way.
const SCRATCH: u64 = 128 + 64;

/// `struct kernel_sigaction` of x86_64: handler, flags, restorer, mask.
type Action = [u8; 32];

/// What is known of a process's SIGTRAP.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct OwnTrap {
    /// It was looked at.
    looked: bool,
    /// It has, or had, a handler or ignores the signal.
    matters: bool,
    action: Option<Action>,
}

/// SIG_IGN, and nothing else.
fn ignore() -> Action {
    let mut action = [0; 32];
    action[0] = 1;
    action
}

impl Engine {
    /// Before the first trap of ours in a process. With a task of it held, its
    /// handler can be asked for.
    pub(crate) fn learn_own_trap(&mut self, client: ClientId, pid: Pid) {
        let Some(tid) = self.live_task(pid) else {
            return;
        };
        let Some(process) = self.processes.get_mut(&pid) else {
            return;
        };
        if std::mem::replace(&mut process.own_trap.looked, true) {
            return;
        }
        for (tid, task) in &mut self.tasks {
            if task.pid == pid {
                task.trap.blocks = procfs::signals(*tid).blocks(Signal::TRAP);
            }
        }
        let signals = procfs::signals(tid);
        if signals.is_default(Signal::TRAP) {
            return;
        }
        process.own_trap.matters = true;
        if !signals.has_handler(Signal::TRAP) {
            process.own_trap.action = Some(ignore());
            return;
        }
        let Some(tid) = self.held_task_of(client, pid) else {
            return;
        };
        let Ok(regs) = self.registers(client, tid) else {
            return;
        };
        let at = scratch(regs.sp());
        let ask = get_action(at);
        if self.calls_of_held(client, tid, &[ask]) == Ok(vec![0]) {
            self.keep_action(pid, at);
        }
    }

    fn keep_action(&mut self, pid: Pid, at: u64) {
        let mut action = [0; 32];
        if self.read_raw(pid, at, &mut action) == Ok(action.len())
            && let Some(process) = self.processes.get_mut(&pid)
        {
            process.own_trap.action = Some(action);
        }
    }

    /// A SIGTRAP of the target's own is about to be delivered: it has a handler,
    /// perhaps one that is new.
    pub(crate) fn own_trap_is_due(&mut self, tid: Tid) {
        let pid = self.tasks.get(&tid).map(|task| task.pid);
        let touched = pid.is_some_and(|pid| self.space(pid).is_some_and(|s| s.is_touched()));
        if let Some(process) = pid.and_then(|pid| self.processes.get_mut(&pid))
            && touched
            && procfs::signals(tid).has_handler(Signal::TRAP)
        {
            process.own_trap.matters = true;
        }
    }

    /// Behind a trap of ours: puts back what the kernel took away.
    pub(crate) fn mend_own_trap(&mut self, stopped: Stopped) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(Some(stopped));
        };
        let pid = task.pid;
        if task.trap.blocks
            && let Some(mask) = unless_gone(stopped.signal_mask())?
        {
            unless_gone(stopped.set_signal_mask(mask | Signal::TRAP.bit()))?;
        }
        let Some(own) = self.processes.get(&pid).map(|process| process.own_trap) else {
            return Ok(Some(stopped));
        };
        if !own.matters {
            return Ok(Some(stopped));
        }
        let Some(regs) = unless_gone(stopped.regs())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let at = scratch(regs.sp());
        let signals = procfs::signals(tid);
        match own.action {
            None if signals.has_handler(Signal::TRAP) => {
                let asked = self.inject(stopped, Place::User, &[get_action(at)])?;
                let Some((stopped, answer)) = asked else {
                    return Ok(None);
                };
                if answer == Ok(vec![0]) {
                    self.keep_action(pid, at);
                }
                Ok(Some(stopped))
            }
            Some(action) if signals.is_default(Signal::TRAP) => {
                if self.write_raw(pid, at, &action).is_err() {
                    return Ok(Some(stopped));
                }
                let set = (NR_RT_SIGACTION, [trap_number(), at, 0, MASK_SIZE, 0, 0]);
                let Some((stopped, _)) = self.inject(stopped, Place::User, &[set])? else {
                    return Ok(None);
                };
                // What is ignored need not have been blocked.
                if action != ignore()
                    && let Some(mask) = unless_gone(stopped.signal_mask())?
                {
                    unless_gone(stopped.set_signal_mask(mask | Signal::TRAP.bit()))?;
                }
                Ok(Some(stopped))
            }
            _ => Ok(Some(stopped)),
        }
    }
}

fn trap_number() -> u64 {
    u64::from(Signal::TRAP.get().unsigned_abs())
}

fn get_action(at: u64) -> (u32, [u64; 6]) {
    (NR_RT_SIGACTION, [trap_number(), 0, at, MASK_SIZE, 0, 0])
}

fn scratch(sp: u64) -> u64 {
    sp.wrapping_sub(SCRATCH) & !15
}
