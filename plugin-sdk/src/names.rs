//! Names of system calls, errnos and signals.
//!
//! Asked of the host, or with the feature `syscalls` looked up in tables inside
//! the plugin, which costs some 30 KiB and no call.

use std::borrow::Cow;

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

/// Name of a call.
pub fn syscall(call: SyscallId) -> Option<Cow<'static, str>> {
    source::syscall(call).map(Into::into)
}

/// Number of a call.
pub fn number(abi: u32, name: &str) -> Option<u32> {
    source::number(abi, name)
}

/// How many arguments it takes, when known.
pub fn argument_count(call: SyscallId) -> Option<u32> {
    source::argument_count(call)
}

/// "ENOENT" for 2.
pub fn errno(errno: u32) -> Option<Cow<'static, str>> {
    source::errno(errno).map(Into::into)
}

/// "No such file or directory" for 2.
pub fn errno_text(errno: u32) -> Option<Cow<'static, str>> {
    source::errno_text(errno).map(Into::into)
}

/// "SIGHUP" for 1.
pub fn signal(signal: u32) -> Option<Cow<'static, str>> {
    source::signal(signal).map(Into::into)
}

#[cfg(feature = "syscalls")]
mod source {
    use super::SyscallId;
    pub(super) use pai_syscalls::errno::{description as errno_text, name as errno};
    pub(super) use pai_syscalls::number;
    pub(super) use pai_syscalls::signal::name as signal;

    pub(super) fn syscall(call: SyscallId) -> Option<&'static str> {
        pai_syscalls::name(call.abi, call.nr)
    }

    pub(super) fn argument_count(call: SyscallId) -> Option<u32> {
        pai_syscalls::argument_count(call.abi, call.nr).map(u32::from)
    }
}

#[cfg(not(feature = "syscalls"))]
mod source {
    pub(super) use crate::bindings::pai::plugin::syscalls::{
        argument_count, errno_name as errno, errno_text, name as syscall, number,
        signal_name as signal,
    };
}
