//! What clients decided about a stop, written into the task.

use pai_ptrace::{Signal, kill};

use crate::engine::Engine;
use crate::error::{Fatal, set_regs, unless_gone};
use crate::event::{Event, Touched};
use crate::task::{After, Change, Held, InSyscall, Offer, Rewritten};
use crate::trap_state::{Mark, Pass};

/// A call that clients changed.
pub(crate) struct Entered {
    pub(crate) now: InSyscall,
    /// What is to be undone behind it.
    pub(crate) rewritten: Option<Box<Rewritten>>,
}

impl Engine {
    /// Carries out what was decided about a stop: behind this, the offer's `after` is how
    /// the task goes on. False when it is gone.
    pub(crate) fn carry_out(&mut self, held: &mut Held) -> Result<bool, Fatal> {
        let tid = held.stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(false);
        };
        if held.offer.change.kill {
            unless_gone(kill(task.pid, Signal::KILL))?;
        }
        let Some(entered) = unless_gone(held.apply())? else {
            self.dying(tid)?;
            return Ok(false);
        };
        if let Some(Entered { now, rewritten }) = entered {
            if rewritten.is_some() {
                task.captured.forget();
            }
            task.rewritten = rewritten;
            if let Some(syscall) = &mut task.syscall {
                *syscall = InSyscall {
                    at: syscall.at,
                    ..now
                };
            }
        }
        let offer = &mut held.offer;
        if let (Some(addr), Some(regs)) = (offer.at_site, offer.regs) {
            task.trap.pass = Some(Pass {
                addr,
                regs,
                dirty: offer.regs_dirty,
                early: offer.change.early.map(|(_, value)| value),
            });
        }
        if offer.regs_dirty || offer.moved {
            task.at_signal = None;
        }
        if offer.regs_dirty
            && let Some(regs) = &offer.regs
        {
            // A client has sent it away from the breakpoint that it was to hit again.
            let left = |mark: &mut Box<Mark>| !mark.handler && mark.addr != regs.ip();
            task.trap.mark.take_if(left);
        }
        if let (After::Deliver(_), Some((_, signal))) = (offer.after, offer.change.signal) {
            offer.after = signal.map_or(After::Resume, After::Deliver);
        }
        if let (Event::Signal(_), After::Resume, false) = (&offer.event, offer.after, offer.moved) {
            // The kernel restarts most calls when a signal is suppressed.
            self.repair_eintr(&held.stopped, None)?;
        }
        Ok(true)
    }
}

impl Offer {
    /// Behind which instruction the result of the call is one that clients chose.
    pub(crate) fn chosen(&self) -> Option<u64> {
        match &self.event {
            Event::SyscallExit(stop)
                if !self.moved && (self.regs_dirty || self.change.result.is_some()) =>
            {
                Some(stop.ip)
            }
            _ => None,
        }
    }

    /// What was decided has been done, but for the delay.
    pub(crate) fn set_carried_out(&mut self) {
        self.change = Change {
            delay: self.change.delay,
            ..Change::default()
        };
    }
}

impl Held {
    /// Writes what was decided into the task, once. At an entry returns the
    /// call as it is now, if anything was changed.
    pub(crate) fn apply(&mut self) -> Result<Option<Entered>, pai_ptrace::Error> {
        let offer = &mut self.offer;
        if offer.at_site.is_some() {
            // Written when the breakpoint is passed.
            return Ok(None);
        }
        let changed =
            offer.regs_dirty || offer.change.rewritten.is_some() || offer.change.result.is_some();
        if !changed {
            return Ok(None);
        }
        let mut regs = match offer.regs {
            Some(regs) => regs,
            None => self.stopped.regs()?,
        };
        let mut entered = None;
        if offer.moved {
            set_regs(&self.stopped, &regs)?;
            return Ok(None);
        }
        match &mut offer.event {
            Event::SyscallEnter(stop) => {
                let compat = stop.call.abi == pai_syscalls::abi::I386;
                let mut rewritten = None;
                if offer.change.rewritten.is_some() {
                    rewritten = Some(Rewritten::new(regs, stop.args, compat));
                    regs.set_syscall_nr(i64::from(stop.call.nr.cast_signed()));
                    regs.set_syscall_args(compat, &stop.args);
                } else if offer.regs_dirty {
                    stop.call.nr = regs.syscall_nr() as u32;
                    stop.args = regs.syscall_args(compat);
                }
                stop.touched |= Touched::TAMPERED;
                if let Some((_, value)) = offer.change.result {
                    match offer.change.stand_in {
                        // Number -1 executes nothing and leaves the result
                        // register alone (arch/x86/entry/syscall_64.c).
                        None => {
                            regs.set_syscall_nr(-1);
                            regs.set_result(value);
                        }
                        Some(nr) => {
                            let fresh = || Rewritten::new(regs, stop.args, compat);
                            rewritten.get_or_insert_with(fresh).result = Some(value);
                            regs.set_syscall_nr(i64::from(nr));
                        }
                    }
                }
                let now = InSyscall {
                    call: stop.call,
                    args: stop.args,
                    ip: stop.ip,
                    sp: stop.sp,
                    at: stop.at,
                    continues: stop.continues,
                    touched: stop.touched,
                };
                entered = Some(Entered { now, rewritten });
            }
            Event::SyscallExit(stop) => {
                if let Some((_, value)) = offer.change.result {
                    regs.set_result(value);
                } else {
                    stop.ret = Some(regs.result());
                    stop.touched |= Touched::TAMPERED;
                }
            }
            _ => {}
        }
        set_regs(&self.stopped, &regs)?;
        Ok(entered)
    }
}
