//! Requests on a stopped task beyond its general registers: register sets,
//! debug registers, signal mask, siginfo.

use std::mem::offset_of;

use crate::siginfo::RawSigInfo;
use crate::{Error, Op, SigInfo, Stopped};

/// linux/elf.h; the libc crate does not have it.
const NT_X86_XSTATE: u32 = 0x202;

/// Most bytes of a register set. AMX tiles, the largest component so far, make
/// XSAVE areas of 11 KiB.
const MOST_BYTES: usize = 64 << 10;

/// Debug registers that hold addresses: DR0 to DR3 (Intel SDM volume 3, 18.2).
pub const DEBUG_ADDRESSES: usize = 4;

impl Stopped {
    /// A register set of the task by its NT_* number, as the kernel lays it out
    /// (PTRACE_GETREGSET, ptrace(2)).
    ///
    /// # Errors
    /// Gone; EINVAL when there is no such set, ENODEV when this processor does
    /// not have it.
    pub fn regset(&self, note: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; MOST_BYTES];
        let mut vector = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // The pointer is to a live vector, and that one's to a live buffer of
        // the length it names.
        let data = &raw mut vector as usize;
        let note = usize::try_from(note).unwrap_or(0);
        self.request(Op::GetRegSet, libc::PTRACE_GETREGSET, note, data)?;
        bytes.truncate(vector.iov_len);
        Ok(bytes)
    }

    /// Replaces a register set.
    ///
    /// # Errors
    /// As [`Stopped::regset`]; EINVAL or EFAULT for a wrong size or for values
    /// that the processor does not have.
    pub fn set_regset(&self, note: u32, bytes: &[u8]) -> Result<(), Error> {
        let vector = libc::iovec {
            iov_base: bytes.as_ptr().cast_mut().cast(),
            iov_len: bytes.len(),
        };
        // The kernel only reads through the pointers, which are to live values.
        let data = &raw const vector as usize;
        let note = usize::try_from(note).unwrap_or(0);
        self.request(Op::SetRegSet, libc::PTRACE_SETREGSET, note, data)
            .map(drop)
    }

    /// The state of x87, vector and further registers, as XSAVE lays it out in
    /// its standard form (Intel SDM volume 1, 13.4).
    ///
    /// # Errors
    /// Gone; ENODEV on a processor without XSAVE.
    pub fn extended_state(&self) -> Result<Vec<u8>, Error> {
        self.regset(NT_X86_XSTATE)
    }

    /// Writes what [`Stopped::extended_state`] gave, whole.
    ///
    /// # Errors
    /// Gone; EFAULT when it is shorter, EINVAL for values that the processor
    /// forbids.
    pub fn set_extended_state(&self, state: &[u8]) -> Result<(), Error> {
        self.set_regset(NT_X86_XSTATE, state)
    }

    /// Sets the instruction pointer alone, for half the price of all registers. The kernel
    /// takes any (putreg in arch/x86/kernel/ptrace.c); at one that is no address the task
    /// gets a SIGSEGV.
    ///
    /// # Errors
    /// Gone.
    pub fn set_ip(&self, ip: u64) -> Result<(), Error> {
        let offset = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rip);
        self.poke_user(offset, ip)
    }

    /// Sets one general register, by its place in [`crate::Regs::NAMES`].
    pub(crate) fn set_register(&self, index: usize, value: u64) -> Result<(), Error> {
        let offset = offset_of!(libc::user, regs) + index * size_of::<u64>();
        self.poke_user(offset, value)
    }

    /// A debug register: 0 to 3 hold addresses, 6 says what hit, 7 controls.
    ///
    /// # Errors
    /// Gone; EIO for another number.
    pub fn debug_register(&self, number: usize) -> Result<u64, Error> {
        self.peek_user(debug_offset(number))
    }

    /// Sets a debug register.
    ///
    /// # Errors
    /// Gone; EINVAL for an address of the kernel or bits that make no sense
    /// (ptrace_write_dr7 in arch/x86/kernel/ptrace.c), ENOSPC when somebody
    /// else uses the processor's registers up.
    pub fn set_debug_register(&self, number: usize, value: u64) -> Result<(), Error> {
        self.poke_user(debug_offset(number), value)
    }

    /// The result register alone, for little more than half the price of all.
    ///
    /// # Errors
    /// Gone.
    pub fn result(&self) -> Result<i64, Error> {
        let offset = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rax);
        self.peek_user(offset).map(u64::cast_signed)
    }

    fn peek_user(&self, offset: usize) -> Result<u64, Error> {
        let mut word: u64 = 0;
        // The pointer is to a live word, which is what the kernel writes
        // (ptrace(2), "C library/kernel differences").
        let data = &raw mut word as usize;
        self.request(Op::PeekUser, libc::PTRACE_PEEKUSER, offset, data)?;
        Ok(word)
    }

    fn poke_user(&self, offset: usize, value: u64) -> Result<(), Error> {
        let data = usize::try_from(value).unwrap_or(0);
        self.request(Op::PokeUser, libc::PTRACE_POKEUSER, offset, data)
            .map(drop)
    }

    /// The blocked signals, bit n-1 for signal n. In a call that has a mask of
    /// its own (ppoll, sigsuspend) it is the one that is put back afterwards
    /// (ptrace_request in kernel/ptrace.c).
    ///
    /// # Errors
    /// Gone.
    pub fn signal_mask(&self) -> Result<u64, Error> {
        let mut mask: u64 = 0;
        // The pointer is to a live local of the size that is passed along.
        let data = &raw mut mask as usize;
        self.request(
            Op::GetSigMask,
            libc::PTRACE_GETSIGMASK,
            size_of::<u64>(),
            data,
        )?;
        Ok(mask)
    }

    /// Sets the blocked signals. A call's own mask is over with it.
    ///
    /// # Errors
    /// Gone.
    pub fn set_signal_mask(&self, mask: u64) -> Result<(), Error> {
        // The pointer is to a live local of the size that is passed along.
        let data = &raw const mask as usize;
        self.request(
            Op::SetSigMask,
            libc::PTRACE_SETSIGMASK,
            size_of::<u64>(),
            data,
        )
        .map(drop)
    }

    /// Replaces the siginfo of the signal that is about to be delivered.
    ///
    /// # Errors
    /// Gone; EINVAL in a group-stop.
    pub fn set_siginfo(&self, info: &SigInfo) -> Result<(), Error> {
        // The pointer is to live bytes of the size that SETSIGINFO reads.
        let mut info = RawSigInfo::from(*info);
        let data = info.as_mut_ptr() as usize;
        self.request(Op::SetSigInfo, libc::PTRACE_SETSIGINFO, 0, data)
            .map(drop)
    }
}

fn debug_offset(number: usize) -> usize {
    offset_of!(libc::user, u_debugreg) + number * size_of::<libc::c_ulonglong>()
}
