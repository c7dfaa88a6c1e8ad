//! Children that ask for no tracer, of processes that have breakpoints.
//!
//! A child that is made with CLONE_UNTRACED is never reported, and has a copy of its
//! creator's memory, with every `int3` of ours in it. So the flag is taken away at the
//! entry of the call; the child stops, is cleaned like any other that is not followed,
//! and let go. Behind the call the flag is where it was, in the creator and in the
//! child.
//!
//! Only entries that are seen anyway are looked at: to see them, a task has to be
//! stopped twice in every system call that it makes.

use pai_ptrace::Stopped;

use crate::births::{CLONE_UNTRACED, NR_CLONE, NR_CLONE3, X32_BIT};
use crate::engine::Engine;
use crate::error::{Fatal, set_regs, unless_gone};
use crate::event::SyscallId;
use crate::task::{InSyscall, Rewritten};

/// clone(2) of the 32-bit ABI; clone3(2) has the same number in both.
const NR_CLONE_I386: u32 = 120;

/// Where a call that makes a task has its flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    InRegister,
    InMemory,
}

impl Flags {
    pub(crate) fn of(call: SyscallId) -> Option<Self> {
        match (call.abi, call.nr & !X32_BIT) {
            (pai_syscalls::abi::X86_64, NR_CLONE) | (pai_syscalls::abi::I386, NR_CLONE_I386) => {
                Some(Flags::InRegister)
            }
            (pai_syscalls::abi::X86_64 | pai_syscalls::abi::I386, NR_CLONE3) => {
                Some(Flags::InMemory)
            }
            _ => None,
        }
    }
}

impl Engine {
    /// At the entry of a call that is made now, when all clients have answered.
    pub(crate) fn keep_child(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(());
        };
        let Some(InSyscall { call, args, .. }) = task.syscall else {
            return Ok(());
        };
        let Some(place) = Flags::of(call) else {
            return Ok(());
        };
        let pid = task.pid;
        let touched = self
            .space(pid)
            .is_some_and(|space| !space.sites.is_empty() || !space.stubs.is_empty());
        if !touched && !self.is_filtered() {
            return Ok(());
        }
        let mut flags = args[0];
        if place == Flags::InMemory {
            let Some(word) = self.word_at(pid, args[0]) else {
                return Ok(());
            };
            flags = word;
        }
        if flags & CLONE_UNTRACED == 0 {
            return Ok(());
        }
        let entry = unless_gone(stopped.syscall_info())?.is_some_and(|info| info.is_entry());
        let Some(regs) = unless_gone(stopped.regs())? else {
            return Ok(());
        };
        // One that is skipped has another number: -1, or that of what stands in for it.
        if !entry || regs.syscall_nr() != i64::from(call.nr) {
            return Ok(());
        }
        let compat = call.abi == pai_syscalls::abi::I386;
        let mut now = regs.syscall_args(compat);
        let mut memory = None;
        match place {
            Flags::InRegister => {
                now[0] &= !CLONE_UNTRACED;
                let mut changed = regs;
                changed.set_syscall_args(compat, &now);
                unless_gone(set_regs(stopped, &changed))?;
            }
            Flags::InMemory => {
                let kept = (flags & !CLONE_UNTRACED).to_le_bytes();
                if let Err(error) = self.write_raw(pid, args[0], &kept) {
                    tracing::debug!(target: "pai::engine", %pid, %error, "a child escapes");
                    return Ok(());
                }
                memory = Some((args[0], flags));
            }
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            let before = task.rewritten.take().map_or(regs, |other| other.before);
            task.rewritten = Some(Box::new(Rewritten {
                before,
                args: now,
                compat,
                memory,
                untraced: true,
                result: None,
            }));
        }
        Ok(())
    }
}
