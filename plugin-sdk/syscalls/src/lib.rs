//! Names and numbers of Linux system calls, error codes and signals.
//!
//! System call numbers mean different calls on different ABIs, so every lookup
//! takes an [`Abi`], the value that a system call stop or a seccomp filter
//! reports. The tables are constant data: nothing is parsed or allocated at
//! start-up, and the crate builds for the host and for WebAssembly guests alike,
//! so that both sides agree on every name.
//!
//! ```
//! use pai_syscalls::{abi, errno, signal};
//!
//! assert_eq!(pai_syscalls::name(abi::X86_64, 257), Some("openat"));
//! assert_eq!(pai_syscalls::number(abi::AARCH64, "openat"), Some(56));
//! assert_eq!(errno::name(2), Some("ENOENT"));
//! assert_eq!(signal::number("HUP"), Some(1));
//! ```

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod decode;
pub mod errno;
pub mod signal;

mod class;
mod closest;
mod generated {
    pub(crate) mod aarch64;
    pub(crate) mod i386;
    pub(crate) mod x86_64;
}
mod table;
#[cfg(test)]
mod tests;

pub use abi::Abi;
pub use class::{class, classes};
pub use closest::closest;

use table::Table;

/// The name of a system call.
///
/// `None` if the ABI is unknown or has no call of that number. The numbers of
/// the x32 ABI, which [`abi::X86_64`] shares, are unknown too (syscall(2),
/// "Architecture calling conventions").
#[must_use]
pub fn name(abi: Abi, number: u32) -> Option<&'static str> {
    let (name, _) = Table::of(abi)?.entry(number)?;
    Some(name)
}

/// The number of a system call, by its exact kernel name (`newfstatat`, not
/// `fstatat`).
///
/// Takes time logarithmic in the number of calls.
#[must_use]
pub fn number(abi: Abi, name: &str) -> Option<u32> {
    Table::of(abi)?.number(name)
}

/// Every system call of an ABI, in number order; empty for an unknown ABI.
pub fn names(abi: Abi) -> impl Iterator<Item = (u32, &'static str)> {
    Table::of(abi)
        .into_iter()
        .flat_map(Table::entries)
        .map(|(number, (name, _))| (number, name))
}

/// How many arguments the kernel reads for a system call.
///
/// Counts registers, so a 64-bit value that a 32-bit ABI splits counts twice
/// (`pread64` has 4 on x86_64, 5 on i386), and a call that takes its arguments
/// in a structure has one (`mmap` on i386). The C library's wrapper may show
/// fewer or more.
///
/// `None` if the call is unknown, and for the names that were reserved but never
/// implemented (unimplemented(2)).
#[must_use]
pub fn argument_count(abi: Abi, number: u32) -> Option<u8> {
    let (_, arguments) = Table::of(abi)?.entry(number)?;
    arguments
}
