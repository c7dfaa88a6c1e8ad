//! What file descriptors refer to.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use pai_ptrace::Tid;
use pai_syscalls::decode::{Descriptor, Descriptors};

use crate::socket::{self, Peers};

/// Stands for the working directory (linux/fcntl.h).
const AT_FDCWD: i32 = -100;

/// Behind the path of a file that has none any more (proc(5)), or in the name of one.
const DELETED: &[u8] = b" (deleted)";

fn link(tid: Tid, fd: i32) -> String {
    match fd {
        AT_FDCWD => format!("/proc/{tid}/cwd"),
        _ => format!("/proc/{tid}/fd/{fd}"),
    }
}

/// What /proc/PID/fd has (proc(5)). `None` for one that is not open.
pub(crate) fn path(tid: Tid, fd: i32) -> Option<Vec<u8>> {
    read(&link(tid, fd))
}

fn read(link: &str) -> Option<Vec<u8>> {
    let target = fs::read_link(link).ok()?;
    Some(target.into_os_string().into_vec())
}

/// What of it is wanted, in the encoding of [`Descriptor`]: a path, `TCP:[…]` for a
/// socket, `/dev/null<char 1:3>` for a device, `pid:12` for a process. `None` for one that
/// is not open, or of which nothing is wanted.
pub(crate) fn describe(tid: Tid, fd: i32, how: Descriptors, peers: &mut Peers) -> Option<Vec<u8>> {
    let link = link(tid, fd);
    let name = read(&link)?;
    if how.sockets
        && let Some(inode) = socket_inode(&name)
        && let Some(described) = socket::describe(tid, &link, inode, peers)
    {
        return Some(described);
    }
    if how.processes
        && name == b"anon_inode:[pidfd]"
        && let Some(pid) = process_of(tid, fd)
    {
        let details = format!("pid:{pid}").into_bytes();
        return Some(with_details(&details));
    }
    let path = name
        .strip_suffix(DELETED)
        .filter(|_| fd != AT_FDCWD && !is_there(tid, &link, &name));
    let of = Descriptor {
        path: path.unwrap_or(&name),
        deleted: path.is_some(),
        ..Descriptor::default()
    };
    if how.devices
        && name.starts_with(b"/")
        && let Some(numbers) = device(&link)
    {
        let details = numbers.as_bytes();
        return Some(Descriptor { details, ..of }.encode());
    }
    how.paths.then(|| of.encode())
}

fn with_details(details: &[u8]) -> Vec<u8> {
    let of = Descriptor {
        details,
        ..Descriptor::default()
    };
    of.encode()
}

/// Whether this is the name of a file that has it, and not of one that has lost another.
fn is_there(tid: Tid, link: &str, name: &[u8]) -> bool {
    let mut path = format!("/proc/{tid}/root").into_bytes();
    path.extend_from_slice(name);
    let of = |file: fs::Metadata| (file.dev(), file.ino());
    let named = fs::symlink_metadata(OsStr::from_bytes(&path)).map(of);
    match (named, fs::metadata(link).map(of)) {
        (Ok(named), Ok(open)) => named == open,
        _ => false,
    }
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
