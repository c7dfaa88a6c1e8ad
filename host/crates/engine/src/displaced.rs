//! What to do instead of an instruction that has a breakpoint on it.
//!
//! A breakpoint is an `int3` that stays in the target's memory while tasks run
//! past it: to take it out for the time of a step, every other task would have
//! to be stopped. So the instruction has its effect elsewhere. Most are copied
//! to a *slot*, followed by a jump back; near branches, which are about where
//! they stand, are done by the tracer ([`emulate`]). [`plan`] decides, once for
//! each breakpoint. Nothing here touches a process.
//!
//! # What whoever uses a plan has to do
//!
//! * Take the plan for the width that the task's code has: [`Width::of`].
//! * Before a task goes to a slot: its trap flag must be clear. A target that
//!   steps itself is stepped in place, or it would see the jump back.
//! * When a task stops in a slot, for a signal or for anything else, translate
//!   its instruction pointer with [`original_ip`]. So an instruction that
//!   faults (`ud2`, `hlt`, a division by zero) may be copied. What the target
//!   sees of a SIGILL, SIGFPE or SIGTRAP also has the pointer in si_addr.
//! * At the entry stop of a system call that was made in a slot, see
//!   [`Plan::SystemCall`].
//! * A task that resumes in a slot whose breakpoint has been removed needs the
//!   slot still: a slot is free when no task is in it.
//!
//! # What a target can see of it
//!
//! * The x87 instruction pointer that `fnstenv`, `fnsave`, `fxsave` and `xsave`
//!   store is that of the copy, if an x87 instruction was copied (Intel SDM
//!   vol. 1, 8.1.8). The same goes for what last-branch records, processor
//!   trace and samples of perf_event_open(2) say.
//! * `popf` that sets the trap flag traps behind the jump back: one instruction
//!   early. `StepKind::Popf` lets the tracer look first.
//! * A filter for system calls by code address (PR_SET_SYSCALL_USER_DISPATCH)
//!   looks at the instruction pointer before the tracer can correct it
//!   (`syscall_trace_enter` in kernel/entry/common.c). One of seccomp(2) looks
//!   after it.
//! * An `int3` aborts a transaction (RTM) that gets to it.
//! * Protection keys do not hold for accesses of the tracer (pkeys(7)).
//! * Code that the target changes under a breakpoint is not seen: the plan is
//!   made once.

mod decode;
mod emulate;
mod relocate;
#[cfg(test)]
mod tests;

pub use decode::{StepKind, boundary, instruction_len, step_kind};
pub use emulate::{Emulation, Fault, Memory, emulate};

use pai_ptrace::Regs;

use crate::displaced::decode::{Class, classify, decode};

// Code segments of Linux (arch/x86/include/asm/segment.h), and of guests of Xen
// (include/xen/interface/xen.h, arch/x86/include/asm/xen/interface_64.h).
const USER_CS: u64 = 0x33;
const USER32_CS: u64 = 0x23;
const XEN_USER_CS: u64 = 0xe033;
const XEN_USER32_CS: u64 = 0xe023;

/// Size of a slot: the longest instruction is 15 bytes (Intel SDM vol. 3,
/// "Interrupt 13"), the jump back 5. The rest makes slots easy to number.
pub const SLOT_SIZE: usize = 32;

/// Most bytes of one instruction.
pub const MAX_INSTRUCTION: usize = 15;

/// What the code segment makes of the bytes: the L bit of its descriptor (Intel
/// SDM vol. 3, 3.4.5). 16-bit segments are not supported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 64-bit mode.
    Bits64,
    /// Compatibility mode, with the flat segments that Linux sets up.
    Bits32,
}

impl Width {
    /// That of the code that a task runs; `None` in a segment of the program's
    /// own (modify_ldt(2)), which is never 64 bits wide and may begin anywhere.
    /// A plan holds for one width: a page may be run in both.
    pub fn of(regs: &Regs) -> Option<Self> {
        match regs.get("cs") {
            Some(USER_CS | XEN_USER_CS) => Some(Width::Bits64),
            Some(USER32_CS | XEN_USER32_CS) => Some(Width::Bits32),
            _ => None,
        }
    }

    pub(crate) fn bits(self) -> u32 {
        match self {
            Width::Bits64 => 64,
            Width::Bits32 => 32,
        }
    }

    /// Size of a near return address.
    pub(crate) fn bytes(self) -> u8 {
        match self {
            Width::Bits64 => 8,
            Width::Bits32 => 4,
        }
    }

    /// An address as far as this width knows it.
    pub(crate) fn address(self, value: u64) -> u64 {
        match self {
            Width::Bits64 => value,
            Width::Bits32 => value & 0xffff_ffff,
        }
    }
}

/// The bytes are no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no instruction at {addr:#x}")]
pub struct NotCode {
    /// Where.
    pub addr: u64,
}

/// What to do instead of executing an instruction in place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Run this at the slot.
    Copy {
        /// The instruction, as long as the original, then the jump back.
        code: Vec<u8>,
        /// Length of the instruction.
        len: u8,
        /// Whether its distance to what it names had to be changed. If not, it
        /// is the original, byte by byte.
        adjusted: bool,
    },
    /// A near branch: done by the tracer on registers and memory.
    Emulate(Emulation),
    /// Runs at the slot, and enters the kernel.
    SystemCall {
        /// The instruction and the jump back.
        code: Vec<u8>,
        /// Length of the instruction.
        len: u8,
        /// What the tracer has to make of the instruction pointer at the entry
        /// stop, and of rcx too if the instruction leaves its return address there. What
        /// seccomp, sigreturn and a restart of the call see is right then; a
        /// restart meets the breakpoint once more.
        ///
        /// `None` when the kernel returns to where it likes and never to the
        /// slot: `sysenter`, and `syscall` of 32-bit code (`do_fast_syscall_32`
        /// in arch/x86/entry/syscall_32.c). Leave the pointer alone then.
        next: Option<u64>,
        /// Whether rcx is the return address in the slot: behind `syscall` in 64-bit
        /// mode (Intel SDM vol. 2, SYSCALL). Of `int 0x80` it is an argument.
        in_rcx: bool,
    },
    /// The target's own `int3`, in one byte or two: the trap is the target's,
    /// and the instruction pointer behind the instruction.
    Trap {
        /// Length of the instruction.
        len: u8,
    },
    /// Has to be stepped in place, with all other tasks stopped.
    InPlace {
        /// Length of the instruction.
        len: u8,
        /// Why.
        why: &'static str,
    },
}

impl Plan {
    /// Length of the original instruction.
    pub fn instruction_len(&self) -> u8 {
        match self {
            Plan::Copy { len, .. }
            | Plan::SystemCall { len, .. }
            | Plan::Trap { len }
            | Plan::InPlace { len, .. } => *len,
            Plan::Emulate(emulation) => emulation.instruction_len(),
        }
    }

    /// What has to be at the slot.
    pub fn code(&self) -> Option<&[u8]> {
        match self {
            Plan::Copy { code, .. } | Plan::SystemCall { code, .. } => Some(code),
            Plan::Emulate(_) | Plan::Trap { .. } | Plan::InPlace { .. } => None,
        }
    }
}

/// Decides what to do instead of the instruction at `addr`.
///
/// `bytes` are up to [`MAX_INSTRUCTION`] bytes from there on, without any
/// breakpoints; fewer where a mapping ends. `slot` is where a copy will be.
/// What cannot be reached from a slot there is planned in place: a slot within
/// 1 GiB of the mapping serves all code that compilers make.
///
/// # Errors
/// [`NotCode`].
pub fn plan(bytes: &[u8], addr: u64, slot: u64, width: Width) -> Result<Plan, NotCode> {
    let decoded = decode(bytes, addr, width).ok_or(NotCode { addr })?;
    let len = decoded.len();
    Ok(match classify(&decoded) {
        Class::Plain => match relocate::copy(&decoded, slot) {
            Ok((code, adjusted)) => Plan::Copy {
                code,
                len,
                adjusted,
            },
            Err(why) => Plan::InPlace { len, why },
        },
        Class::SystemCall { returns, in_rcx } => match relocate::copy(&decoded, slot) {
            Ok((code, _)) => Plan::SystemCall {
                code,
                len,
                next: returns.then(|| decoded.next()),
                in_rcx,
            },
            Err(why) => Plan::InPlace { len, why },
        },
        Class::Branch(branch) => match Emulation::new(&decoded, branch) {
            Ok(emulation) => Plan::Emulate(emulation),
            Err(why) => Plan::InPlace { len, why },
        },
        Class::Trap => Plan::Trap { len },
        Class::InPlace(why) => Plan::InPlace { len, why },
    })
}

/// What the instruction pointer would be without us, for a task that stopped
/// at `ip` in the slot of the instruction of `len` bytes at `addr`.
///
/// On the copy the instruction is still to come, or has begun and goes on there
/// (`rep movs`); on the jump back it is done, which is also where a trap of the
/// target's own is reported (`int1`, `into`). `None` anywhere else.
pub fn original_ip(ip: u64, slot: u64, addr: u64, len: u8) -> Option<u64> {
    match ip.wrapping_sub(slot) {
        0 => Some(addr),
        done if done == u64::from(len) => Some(addr.wrapping_add(done)),
        _ => None,
    }
}
