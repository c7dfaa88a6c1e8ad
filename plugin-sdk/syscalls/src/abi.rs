//! System call ABIs, identified by the kernel's `AUDIT_ARCH_*` values
//! (linux/audit.h).
//!
//! `PTRACE_GET_SYSCALL_INFO` and seccomp report this value with each call. It
//! belongs to the call, not to the process: a 64-bit x86 program may issue i386
//! calls.

/// A system call ABI, as an `AUDIT_ARCH_*` value.
///
/// A plain number, since a value from the kernel may be any; the constants of
/// this module are those that have tables here.
pub type Abi = u32;

/// `AUDIT_ARCH_X86_64`: 64-bit x86.
pub const X86_64: Abi = 0xC000_003E;

/// `AUDIT_ARCH_I386`: 32-bit x86, also as issued by a 64-bit process through
/// `int 0x80`.
pub const I386: Abi = 0x4000_0003;

/// `AUDIT_ARCH_AARCH64`: 64-bit Arm.
pub const AARCH64: Abi = 0xC000_00B7;

/// The short name of an ABI: `x86_64`, `i386` or `aarch64`.
#[must_use]
pub const fn name(abi: Abi) -> Option<&'static str> {
    match abi {
        X86_64 => Some("x86_64"),
        I386 => Some("i386"),
        AARCH64 => Some("aarch64"),
        _ => None,
    }
}
