//! What file descriptors refer to.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use pai_ptrace::Tid;
use pai_syscalls::decode::Descriptors;

use crate::socket;

/// Stands for the working directory (linux/fcntl.h).
const AT_FDCWD: i32 = -100;

/// As /proc/PID/fd has it (proc(5)); for devices with their numbers, if these are
/// wanted: `/dev/null<char 1:3>`. `None` for one that is not open.
pub(crate) fn name(tid: Tid, fd: i32, how: Descriptors) -> Option<Vec<u8>> {
    let link = match fd {
        AT_FDCWD => format!("/proc/{tid}/cwd"),
        _ => format!("/proc/{tid}/fd/{fd}"),
    };
    let target = fs::read_link(&link).ok()?;
    let mut name = target.as_os_str().as_bytes().to_vec();
    if how == Descriptors::Details
        && let Some(inode) = socket_inode(&name)
        && let Some(described) = socket::describe(tid, &link, inode)
    {
        return Some(described);
    }
    if how == Descriptors::Details
        && name.starts_with(b"/")
        && let Ok(file) = fs::metadata(&link)
    {
        let kind = match file.file_type() {
            kind if kind.is_char_device() => "char",
            kind if kind.is_block_device() => "block",
            _ => return Some(name),
        };
        let (major, minor) = (
            nix::sys::stat::major(file.rdev()),
            nix::sys::stat::minor(file.rdev()),
        );
        name.extend_from_slice(format!("<{kind} {major}:{minor}>").as_bytes());
    }
    Some(name)
}

/// `socket:[123]`
fn socket_inode(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
