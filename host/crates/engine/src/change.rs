//! What clients decided about a stop, written into the task.

use crate::error::set_regs;
use crate::event::{Event, Touched};
use crate::task::{Held, InSyscall, Rewritten};

/// A call that clients changed.
pub(crate) struct Entered {
    pub(crate) now: InSyscall,
    /// What is to be undone behind it.
    pub(crate) rewritten: Option<Box<Rewritten>>,
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
