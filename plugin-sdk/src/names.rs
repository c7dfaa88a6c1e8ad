//! Names of system calls, errnos and signals.
//!
//! Asked of the host, or with the feature `syscalls` looked up in tables inside
//! the plugin, which costs some 30 KiB and no call.

use crate::bindings::pai::plugin::types::SyscallId;
use crate::error::{Error, ErrorKind, Result};

/// AUDIT_ARCH_X86_64.
pub const X86_64: u32 = 0xC000_003E;
/// AUDIT_ARCH_I386.
pub const I386: u32 = 0x4000_0003;

/// The calls of these names, in every ABI that has them.
///
/// # Errors
/// `not-found` for a name that no ABI has.
pub fn ids(names: &[&str]) -> Result<Vec<SyscallId>> {
    let mut ids = Vec::new();
    for name in names {
        let before = ids.len();
        for abi in [X86_64, I386] {
            if let Some(nr) = number(abi, name) {
                ids.push(SyscallId { abi, nr });
            }
        }
        if ids.len() == before {
            let text = format!("no system call named {name:?}");
            return Err(Error::from(ErrorKind::NotFound(text)));
        }
    }
    Ok(ids)
}

#[cfg(feature = "syscalls")]
mod source {
    use super::SyscallId;

    /// Name of a call.
    pub fn syscall(call: SyscallId) -> Option<&'static str> {
        pai_syscalls::name(call.abi, call.nr)
    }

    /// Number of a call.
    pub fn number(abi: u32, name: &str) -> Option<u32> {
        pai_syscalls::number(abi, name)
    }

    /// How many arguments it takes, when known.
    pub fn argument_count(call: SyscallId) -> Option<u32> {
        pai_syscalls::argument_count(call.abi, call.nr).map(u32::from)
    }

    /// "ENOENT" for 2.
    pub fn errno(errno: u32) -> Option<&'static str> {
        pai_syscalls::errno::name(errno)
    }

    /// "No such file or directory" for 2.
    pub fn errno_text(errno: u32) -> Option<&'static str> {
        pai_syscalls::errno::description(errno)
    }

    /// "SIGHUP" for 1.
    pub fn signal(signal: u32) -> Option<String> {
        Some(format!("{}", pai_syscalls::signal::Name(signal)))
    }
}

#[cfg(not(feature = "syscalls"))]
mod source {
    use super::SyscallId;
    use crate::bindings::pai::plugin::syscalls;

    /// Name of a call.
    pub fn syscall(call: SyscallId) -> Option<String> {
        syscalls::name(call)
    }

    /// Number of a call.
    pub fn number(abi: u32, name: &str) -> Option<u32> {
        syscalls::number(abi, name)
    }

    /// How many arguments it takes, when known.
    pub fn argument_count(call: SyscallId) -> Option<u32> {
        syscalls::argument_count(call)
    }

    /// "ENOENT" for 2.
    pub fn errno(errno: u32) -> Option<String> {
        syscalls::errno_name(errno)
    }

    /// "No such file or directory" for 2.
    pub fn errno_text(errno: u32) -> Option<String> {
        syscalls::errno_text(errno)
    }

    /// "SIGHUP" for 1.
    pub fn signal(signal: u32) -> Option<String> {
        syscalls::signal_name(signal)
    }
}

pub use source::{argument_count, errno, errno_text, number, signal, syscall};
