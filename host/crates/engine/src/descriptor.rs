//! What file descriptors refer to.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use pai_ptrace::Tid;
use pai_syscalls::decode::Descriptors;

use crate::socket;

/// Stands for the working directory (linux/fcntl.h).
const AT_FDCWD: i32 = -100;

/// What of it is wanted: a path as /proc/PID/fd has it (proc(5)), `TCP:[…]` for a socket,
/// `/dev/null<char 1:3>` for a device, `pid:12` for a process. `None` for one that is not
/// open, or of which nothing is wanted.
pub(crate) fn name(tid: Tid, fd: i32, how: Descriptors) -> Option<Vec<u8>> {
    let link = match fd {
        AT_FDCWD => format!("/proc/{tid}/cwd"),
        _ => format!("/proc/{tid}/fd/{fd}"),
    };
    let target = fs::read_link(&link).ok()?;
    let name = target.as_os_str().as_bytes().to_vec();
    if how.sockets
        && let Some(inode) = socket_inode(&name)
        && let Some(described) = socket::describe(tid, &link, inode)
    {
        return Some(described);
    }
    if how.processes
        && name == b"anon_inode:[pidfd]"
        && let Some(pid) = process_of(tid, fd)
    {
        return Some(format!("pid:{pid}").into_bytes());
    }
    if how.devices
        && name.starts_with(b"/")
        && let Some(numbers) = device(&link)
    {
        return Some([name.as_slice(), numbers.as_bytes()].concat());
    }
    how.paths.then_some(name)
}

/// `<char 1:3>`
fn device(link: &str) -> Option<String> {
    let file = fs::metadata(link).ok()?;
    let kind = match file.file_type() {
        kind if kind.is_char_device() => "char",
        kind if kind.is_block_device() => "block",
        _ => return None,
    };
    let (major, minor) = (
        nix::sys::stat::major(file.rdev()),
        nix::sys::stat::minor(file.rdev()),
    );
    Some(format!("<{kind} {major}:{minor}>"))
}

/// The process that a descriptor of one refers to, unless that is gone.
fn process_of(tid: Tid, fd: i32) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

/// `socket:[123]`
fn socket_inode(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
