//! The kernel's own word on a syscall stop.

/// `struct ptrace_syscall_info` of linux/ptrace.h: a header of 24 bytes, then a
/// union of which the largest part (seccomp) has eight words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawSyscallInfo {
    pub(crate) op: u8,
    reserved: u8,
    flags: u16,
    pub(crate) arch: u32,
    pub(crate) instruction_pointer: u64,
    pub(crate) stack_pointer: u64,
    pub(crate) payload: [u64; 8],
}

/// AUDIT_ARCH_I386 (linux/audit.h).
const I386: u32 = 0x4000_0003;

/// Which kind of stop it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallOp {
    /// Not a syscall stop.
    None,
    /// Before the call.
    Entry {
        /// Number, bit 30 set for x32.
        nr: u64,
        /// Argument registers.
        args: [u64; 6],
    },
    /// After the call.
    Exit {
        /// Raw result, negative errno on failure.
        ret: i64,
    },
    /// A seccomp stop: before the call, `data` from the filter.
    Seccomp {
        /// Number, bit 30 set for x32.
        nr: u64,
        /// Argument registers.
        args: [u64; 6],
        /// SECCOMP_RET_DATA of the filter.
        data: u32,
    },
}

/// PTRACE_GET_SYSCALL_INFO (Linux 5.3, ptrace(2)). Never guess entry or exit by
/// counting stops: attaching in the middle, restarts and events in between
/// break the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallInfo {
    /// AUDIT_ARCH_* of the *call*: a 64-bit process may make 32-bit calls.
    pub arch: u32,
    /// Instruction pointer: behind the syscall instruction.
    pub ip: u64,
    /// Stack pointer.
    pub sp: u64,
    /// What it is.
    pub op: SyscallOp,
}

impl SyscallInfo {
    /// Whether the call is still to be made.
    pub fn is_entry(&self) -> bool {
        matches!(self.op, SyscallOp::Entry { .. } | SyscallOp::Seccomp { .. })
    }

    pub(crate) fn from_raw(raw: &RawSyscallInfo) -> Self {
        let p = &raw.payload;
        let mut args = [p[1], p[2], p[3], p[4], p[5], p[6]];
        if raw.arch == I386 {
            // 64-bit code that makes such a call may have rubbish in the upper
            // halves. The kernel gives it out (syscall_get_arguments in
            // asm/syscall.h), but does not look at it (SC_IA32_REGS_TO_ARGS in
            // asm/syscall_wrapper.h).
            args = args.map(|arg| arg & 0xffff_ffff);
        }
        let op = match raw.op {
            1 => SyscallOp::Entry { nr: p[0], args },
            2 => SyscallOp::Exit {
                ret: p[0].cast_signed(),
            },
            3 => SyscallOp::Seccomp {
                nr: p[0],
                args,
                // The low half: ret_data is a u32 on a little-endian machine.
                data: (p[7] & 0xffff_ffff) as u32,
            },
            _ => SyscallOp::None,
        };
        Self {
            arch: raw.arch,
            ip: raw.instruction_pointer,
            sp: raw.stack_pointer,
            op,
        }
    }
}
