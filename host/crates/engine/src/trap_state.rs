//! What a task has to do with breakpoints.

use pai_ptrace::Regs;

use crate::births::BornInCall;
use crate::displaced::Plan;
use crate::hook::Called;

/// What a task has to do with breakpoints.
#[derive(Default, Debug)]
pub(crate) struct TrapState {
    /// It stands at a breakpoint that has been told, and goes past it next.
    pub(crate) pass: Option<Pass>,
    /// It was sent through the copy of an instruction.
    pub(crate) copy: Option<InCopy>,
    /// It came back from a copy with the instruction not executed, and will hit
    /// the breakpoint again.
    pub(crate) mark: Option<Box<Mark>>,
    /// It is in the system call of the instruction at this breakpoint.
    pub(crate) call_at: Option<u64>,
    /// It was resumed for one instruction.
    pub(crate) stepping: bool,
    /// That is an `int3` of somebody else, and these were its registers (see
    /// [`crate::uprobe`]).
    pub(crate) from_trap: Option<Box<Regs>>,
    /// That pushes the flags, and they come to be here.
    pub(crate) pushed: Option<u64>,
    /// It blocks SIGTRAP (see [`crate::sigtrap`]).
    pub(crate) blocks: bool,
    /// It has executed it, and has touched watched memory with it: that is told
    /// first.
    pub(crate) stepped: bool,
    /// Which debug registers it has (see [`crate::watchpoint`]).
    pub(crate) debug_version: u64,
    /// Its next trap by an `int3` of ours is its own.
    pub(crate) own: bool,
    /// Calls of hooked functions that have not returned.
    pub(crate) frames: Vec<Called>,
    /// It has come to where a function returns that was called for a client.
    pub(crate) arrived: bool,
    /// It was born in something that its creator did for a client, and gets back from
    /// there like its creator, who alone has something there.
    pub(crate) born_in_call: Option<Box<BornInCall>>,
    /// It may block signals that were blocked for foreign code in its creator, who
    /// itself blocks these.
    pub(crate) born_blocked: Option<u64>,
}

/// A task at a breakpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) addr: u64,
    /// Its registers, the instruction pointer at the breakpoint.
    pub(crate) regs: Regs,
    /// They have been changed.
    pub(crate) dirty: bool,
    /// The function there is not to be executed and returns this.
    pub(crate) early: Option<i64>,
}

/// An instruction that a task was to execute and has not: the hit was told, and
/// comes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) addr: u64,
    sp: u64,
    /// Its registers, unless the kernel changes them before the task comes back.
    regs: Option<Regs>,
    /// A handler runs first. It may repair what the instruction is about, and it
    /// may never return.
    pub(crate) handler: bool,
    /// It has returned to here.
    pub(crate) returned: bool,
}

impl Mark {
    /// For a task that has these registers.
    pub(crate) fn new(regs: &Regs) -> Self {
        Self {
            addr: regs.ip(),
            sp: regs.sp(),
            regs: Some(*regs),
            handler: false,
            returned: false,
        }
    }

    /// For a system call that restarts, or a task whose registers may be changed.
    pub(crate) fn of_place(addr: u64, sp: u64) -> Self {
        Self {
            addr,
            sp,
            regs: None,
            handler: false,
            returned: false,
        }
    }

    /// Whether a hit with these registers is the one that was told.
    pub(crate) fn is_about(&self, regs: &Regs) -> bool {
        let here = self.addr == regs.ip() && self.sp == regs.sp();
        let unchanged = || self.regs.is_none_or(|before| before.same_state(regs));
        here && if self.handler {
            self.returned
        } else {
            unchanged()
        }
    }

    /// Whether a hit with these registers is the last that it is of use for. A
    /// handler below its frame has yet to return; one on another stack may be taken
    /// for one that never will.
    pub(crate) fn is_over(&self, regs: &Regs) -> bool {
        self.addr == regs.ip() && !(self.waits() && regs.sp() < self.sp)
    }

    /// The handler has to be watched.
    pub(crate) fn waits(&self) -> bool {
        self.handler && !self.returned
    }
}

/// A task in the copy of an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InCopy {
    pub(crate) addr: u64,
    pub(crate) slot: u64,
    pub(crate) len: u8,
    /// It enters the kernel.
    pub(crate) is_call: bool,
    /// Behind that entry the task is to be here.
    pub(crate) next: Option<u64>,
    /// And rcx is to say so.
    pub(crate) in_rcx: bool,
}

impl InCopy {
    /// Of the instruction at this address, in this slot.
    pub(crate) fn of(plan: &Plan, addr: u64, slot: u64) -> Self {
        let (is_call, next, in_rcx) = match plan {
            Plan::SystemCall { next, in_rcx, .. } => (true, *next, *in_rcx),
            _ => (false, None, false),
        };
        Self {
            addr,
            slot,
            len: plan.instruction_len(),
            is_call,
            next,
            in_rcx,
        }
    }
}
