//! Children that a task makes while it runs something for a client: they begin with
//! what was made for that, and go on like the task itself.

use pai_ptrace::{Pid, Stopped, Tid};
use pai_syscalls::abi::I386;

use crate::call::Frame;
use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::SyscallId;
use crate::inject::{CAN_WAIT, Saved};
use crate::operation::Doing;
use crate::task::{After, State};
use crate::trap_state::Mark;

// Numbers of the 64-bit ABI, and flags (linux/sched.h).
pub(crate) const NR_CLONE: u32 = 56;
const NR_VFORK: u32 = 58;
pub(crate) const NR_CLONE3: u32 = 435;
/// The other ABI of 64-bit code has the same numbers with this bit (asm/unistd.h).
pub(crate) const X32_BIT: u32 = 1 << 30;
const CLONE_VM: u64 = 0x100;
pub(crate) const CLONE_UNTRACED: u64 = 0x80_0000;

/// A child with memory of its own that a task makes for a client.
#[derive(Clone, Debug)]
pub(crate) struct BornInCall {
    /// Where the function returns to that it was born in, with the vector registers
    /// from before; `None` in a system call.
    function: Option<(u64, Vec<u8>)>,
    saved: Saved,
}

impl BornInCall {
    /// The signals that its creator itself blocks.
    pub(crate) fn own_mask(&self) -> u64 {
        self.saved.mask
    }

    /// Of one born in a function: the vector registers, and the rest, that its creator had.
    pub(crate) fn of_function(self) -> Option<(Vec<u8>, Saved)> {
        let (_, vectors) = self.function?;
        Some((vectors, self.saved))
    }
}

impl Engine {
    /// Refuses system calls whose child could not go on. One that shares its
    /// creator's memory would have the same stack; one that is not traced would stay
    /// where the call was made.
    pub(crate) fn check_birth(&mut self, pid: Pid, nr: u32, args: &[u64; 6]) -> Result<(), Error> {
        let flags = match nr & !X32_BIT {
            NR_VFORK => CLONE_VM,
            NR_CLONE => args[0],
            NR_CLONE3 => {
                let mut word = [0; 8];
                // What cannot be read the kernel refuses itself.
                match self.read_raw(pid, args[0], &mut word) {
                    Ok(_) => u64::from_le_bytes(word),
                    Err(_) => 0,
                }
            }
            _ => 0,
        };
        if flags & CLONE_VM != 0 {
            return Err(Error::Unsupported(
                "a system call cannot make a child that shares memory, which has no stack to \
                 go on with: call a function of the target that makes it"
                    .to_owned(),
            ));
        }
        if flags & CLONE_UNTRACED != 0 {
            return Err(Error::Unsupported(
                "a system call cannot make a child with CLONE_UNTRACED, which cannot be sent \
                 back to where the target was"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// What its creator itself blocks, for a child whose creator blocks more, and what a
    /// child has to know besides.
    pub(crate) fn blocked_and_born(&self, tid: Tid) -> (Option<u64>, Option<Box<BornInCall>>) {
        let Some(task) = self.tasks.get(&tid) else {
            return (None, None);
        };
        let foreign = task.runs_foreign_code().then(|| task.own_mask()).flatten();
        // A child of a child that has yet to settle is no better off.
        let blocked = foreign.or(task.trap.born_blocked);
        (blocked, self.birth_in_call(tid))
    }

    /// What a child has to know that a task makes while it runs something for a
    /// client.
    fn birth_in_call(&self, tid: Tid) -> Option<Box<BornInCall>> {
        let task = self.tasks.get(&tid)?;
        let (function, saved) = match &task.operation.as_ref()?.doing {
            Doing::Call(frame) => {
                let Frame { saved, vectors } = &**frame;
                let return_at = self.space(task.pid)?.pads.first()?.return_at();
                (Some((return_at, vectors.clone())), saved)
            }
            Doing::Syscall { saved, .. } => (None, &**saved),
            Doing::Step(_) => return None,
        };
        let saved = saved.for_child();
        Some(Box::new(BornInCall { function, saved }))
    }

    /// At the first stop of a task: what was blocked and suspended for the foreign
    /// code that it was born in is not for it.
    ///
    /// A C library makes a thread with all signals blocked. The first that the thread
    /// does is to set the mask that its creator had (pthread_create in glibc and musl),
    /// and only then it can be given its own.
    pub(crate) fn settle_birth(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        self.place_child(stopped)?;
        let tid = stopped.tid();
        let Some(own) = self.tasks.get(&tid).and_then(|t| t.trap.born_blocked) else {
            return Ok(());
        };
        self.restore_filter(stopped)?;
        let mask = unless_gone(stopped.signal_mask())?.unwrap_or(own);
        let by_library = mask & !own & !CAN_WAIT != 0;
        if !by_library {
            self.unblock_child(stopped)?;
        }
        Ok(())
    }

    /// Gives a task its own mask that may block what was blocked in its creator.
    fn unblock_child(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let task = self.tasks.get_mut(&stopped.tid());
        match task.and_then(|task| task.trap.born_blocked.take()) {
            Some(own) => self.unblock(stopped, own),
            None => Ok(()),
        }
    }

    /// Whether it is about to set a mask that it got from its creator, and that is not for
    /// it.
    pub(crate) fn has_mask_to_come(&self, tid: Tid) -> bool {
        let task = self.tasks.get(&tid);
        task.is_some_and(|task| task.trap.born_blocked.is_some())
    }

    /// At the exit of a call of such a task, whatever it is.
    pub(crate) fn settle_mask_of(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let (Some(info), Some(regs)) = (
            unless_gone(stopped.syscall_info())?,
            unless_gone(stopped.regs())?,
        ) else {
            return Ok(());
        };
        let call = SyscallId {
            abi: info.arch,
            nr: regs.syscall_nr() as u32,
        };
        self.settle_mask(stopped, call, &regs.syscall_args(call.abi == I386))
    }

    /// Behind a call of such a task.
    pub(crate) fn settle_mask(
        &mut self,
        stopped: &Stopped,
        call: SyscallId,
        args: &[u64; 6],
    ) -> Result<(), Fatal> {
        const NR_RT_SIGPROCMASK: u32 = 14;
        const SIG_SETMASK: u64 = 2;
        let sets = call.nr == NR_RT_SIGPROCMASK && args[0] == SIG_SETMASK && args[1] != 0;
        if sets && call.abi == pai_syscalls::abi::X86_64 {
            self.unblock_child(stopped)?;
        }
        Ok(())
    }

    /// At its first stop, a child of a system call is sent to where its creator is
    /// going to be. It stops on its way to user mode (ret_from_fork in
    /// arch/x86/kernel/process.c), where the kernel restarts what is to restart.
    fn place_child(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let born = &mut task.trap.born_in_call;
        let Some(born) = born.take_if(|born| born.function.is_none()) else {
            return Ok(());
        };
        let BornInCall { saved, .. } = *born;
        let mut regs = saved.regs;
        let mask = saved.mask;
        let entered = saved.is_of_an_entry();
        (task.trap.pass, task.trap.mark) = saved.trap;
        if entered {
            // It makes the call itself.
            regs.restart_syscall();
            regs.leave_syscall();
            task.trap.mark = Some(Box::new(Mark::of_place(regs.ip(), regs.sp())));
        }
        unless_gone(set_regs(stopped, &regs))?;
        unless_gone(stopped.set_signal_mask(mask))?;
        Ok(())
    }

    /// A child that returns from the function it was born in goes on like its
    /// creator: where that was interrupted.
    pub(crate) fn on_return_of_child(
        &mut self,
        stopped: Stopped,
    ) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let Some(regs) = unless_gone(stopped.regs())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Some(stopped));
        };
        let here = |born: &mut Box<BornInCall>| {
            let function = born.function.as_ref();
            function.is_some_and(|(return_at, _)| *return_at == regs.ip())
        };
        let Some(born) = task.trap.born_in_call.take_if(here) else {
            return Ok(Some(stopped));
        };
        task.state = State::Engaged;
        task.trap.born_blocked = None;
        let unfollowed = task.unfollowed;
        let BornInCall { function, saved } = *born;
        if let Some((_, vectors)) = function {
            unless_gone(stopped.set_extended_state(&vectors))?;
        }
        let entered = saved.is_of_an_entry();
        let Some(stopped) = self.restore(stopped, saved)? else {
            return Ok(None);
        };
        match (unfollowed, entered) {
            (true, _) => self.let_child_leave(stopped, After::Resume)?,
            (false, true) => self.on_syscall(stopped, false)?,
            (false, false) => self.go_on(stopped, After::Resume)?,
        }
        Ok(None)
    }

    /// What was blocked for foreign code is not any more, unless it was before.
    pub(crate) fn unblock(&mut self, stopped: &Stopped, before: u64) -> Result<(), Fatal> {
        if let Some(mask) = unless_gone(stopped.signal_mask())? {
            unless_gone(stopped.set_signal_mask(mask & (before | !CAN_WAIT)))?;
        }
        Ok(())
    }
}
