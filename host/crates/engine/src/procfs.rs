//! The few files of /proc that tracing needs (proc(5)). A task may vanish at
//! any time, so every reader answers `None` or an empty list then.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use pai_ptrace::{Pid, Protection, Signal, Tid};

use crate::memory::Mapping;

/// Task ids of a process. The list ends early when a task ends while it is
/// read (next_tid in fs/proc/base.c); [`task_count`] tells.
pub fn tasks(pid: Pid) -> Vec<Tid> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(Tid::new)
        .collect()
}

/// How many tasks a process has.
pub(crate) fn task_count(pid: Pid) -> Option<usize> {
    status_field(pid.leader(), "Threads")?.parse().ok()
}

/// Whether `tid` is a task of `pid`.
pub(crate) fn is_task_of(pid: Pid, tid: Tid) -> bool {
    Path::new(&format!("/proc/{pid}/task/{tid}")).exists()
}

/// A line of /proc/TID/status, by its name.
pub fn status_field(tid: Tid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    field(&status, name).map(str::to_owned)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        Some(value.trim())
    })
}

/// The most memory that the process of a task has had at once, in bytes (VmHWM).
pub fn peak_memory(tid: Tid) -> Option<u64> {
    let kilobytes = status_field(tid, "VmHWM")?;
    let kilobytes: u64 = kilobytes.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// A numeric id of /proc/TID/status: "Tgid", "PPid", "TracerPid".
pub fn status_id(tid: Tid, name: &str) -> Option<Pid> {
    status_field(tid, name)?.parse().ok().map(Pid::new)
}

/// Whether the task has ended, reaped or not.
pub fn has_ended(tid: Tid) -> bool {
    status_field(tid, "State").is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// Whether the task has ended and waits to be reaped.
pub(crate) fn is_zombie(tid: Tid) -> bool {
    status_field(tid, "State").is_some_and(|state| state.starts_with('Z'))
}

/// Whether the task's system calls go through a filter (seccomp(2)).
pub(crate) fn has_filter(tid: Tid) -> bool {
    status_field(tid, "Seccomp").is_some_and(|mode| mode != "0")
}

/// What a task may not do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restrictions {
    /// How many filters its system calls go through.
    pub(crate) filters: u32,
    /// It cannot gain rights (PR_SET_NO_NEW_PRIVS in prctl(2)).
    pub(crate) no_new_privs: bool,
    /// Bits of its effective capabilities (capabilities(7)).
    pub(crate) capabilities: u64,
}

impl Restrictions {
    /// It may filter calls without giving up that they gain rights (seccomp(2),
    /// SECCOMP_SET_MODE_FILTER).
    pub(crate) fn is_admin(&self) -> bool {
        self.has(21)
    }

    /// What it traces gains rights all the same (execve(2), "Effect of privileges").
    pub(crate) fn traces_all(&self) -> bool {
        self.has(19)
    }

    fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

/// `None` before Linux 5.10, which does not tell of filters.
pub(crate) fn restrictions(tid: Tid) -> Option<Restrictions> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    Some(Restrictions {
        filters: field(&status, "Seccomp_filters")?.parse().ok()?,
        no_new_privs: field(&status, "NoNewPrivs") == Some("1"),
        capabilities: u64::from_str_radix(field(&status, "CapEff")?, 16).ok()?,
    })
}

/// Whether the task runs or waits for a CPU.
pub(crate) fn is_on_cpu(tid: Tid) -> bool {
    status_field(tid, "State").is_some_and(|state| state.starts_with('R'))
}

/// Whether `tracer`, a thread, traces `tid`.
pub(crate) fn is_traced_by(tid: Tid, tracer: Tid) -> bool {
    status_id(tid, "TracerPid").map(Pid::leader) == Some(tracer)
}

/// All tasks that `tracer`, a thread, traces.
pub(crate) fn traced_by(tracer: Tid) -> Vec<Tid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .flat_map(|pid| tasks(Pid::new(pid)))
        .filter(|tid| is_traced_by(*tid, tracer))
        .collect()
}

/// Whether `pid` traces the process of `tid`, itself or through others.
pub(crate) fn traces(pid: Pid, tid: Tid) -> bool {
    let Some(process) = status_id(tid, "Tgid") else {
        return false;
    };
    let mut chain = vec![process];
    let mut next = 0;
    while let Some(process) = chain.get(next) {
        for task in tasks(*process) {
            // 0, no tracer, is not a task either.
            let tracer =
                status_id(task, "TracerPid").and_then(|tracer| status_id(tracer.leader(), "Tgid"));
            chain.extend(tracer.filter(|tracer| !chain.contains(tracer)));
        }
        next += 1;
    }
    chain[1..].contains(&pid)
}

/// Signals of a task, as masks (proc(5), "SigPnd" and so on). All empty when it
/// is gone.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Signals {
    /// For the task or its process.
    pending: u64,
    /// For the task alone.
    own: u64,
    blocked: u64,
    ignored: u64,
    caught: u64,
}

/// What the kernel ignores by default (SIG_KERNEL_IGNORE_MASK in
/// linux/signal.h): SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
const IGNORED_BY_DEFAULT: u64 = 1 << 16 | 1 << 17 | 1 << 22 | 1 << 27;

impl Signals {
    /// Pending and not blocked.
    pub(crate) fn deliverable(self) -> u64 {
        self.pending & !self.blocked
    }

    /// Whether it has been sent, to the task or to its process.
    pub(crate) fn has_pending(self, signal: Signal) -> bool {
        self.pending & signal.bit() != 0
    }

    /// Whether it is the next that this task will have of those that the processor
    /// raises.
    pub(crate) fn is_next_fault(self, signal: Signal) -> bool {
        /// SYNCHRONOUS_MASK in kernel/signal.c: SIGILL, SIGTRAP, SIGBUS, SIGFPE,
        /// SIGSEGV, SIGSYS.
        const FAULTS: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;
        self.own & !self.blocked & FAULTS == signal.bit()
    }

    /// Whether it is blocked.
    pub(crate) fn blocks(self, signal: Signal) -> bool {
        self.blocked & signal.bit() != 0
    }

    /// Whether it has a handler.
    pub(crate) fn has_handler(self, signal: Signal) -> bool {
        self.caught & signal.bit() != 0
    }

    /// Whether its action is neither a handler nor to ignore it.
    pub(crate) fn is_default(self, signal: Signal) -> bool {
        (self.caught | self.ignored) & signal.bit() == 0
    }

    /// Without any effect when they are delivered.
    pub(crate) fn ignored(self) -> u64 {
        self.ignored | (IGNORED_BY_DEFAULT & !self.caught)
    }
}

/// The number of the task's process as the process itself sees it.
pub(crate) fn pid_inside(tid: Tid) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let numbers = field(&status, "NStgid")?;
    numbers.split_whitespace().last()?.parse().ok()
}

/// The signals of a task.
pub(crate) fn signals(tid: Tid) -> Signals {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let mask = |name| {
        field(&status, name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    Signals {
        pending: mask("SigPnd") | mask("ShdPnd"),
        own: mask("SigPnd"),
        blocked: mask("SigBlk"),
        ignored: mask("SigIgn"),
        caught: mask("SigCgt"),
    }
}

/// The executable's path; empty when it cannot be read.
pub fn exe(tid: Tid) -> Vec<u8> {
    fs::read_link(format!("/proc/{tid}/exe"))
        .map(|path| path.as_os_str().as_bytes().to_vec())
        .unwrap_or_default()
}

/// EI_CLASS of a 64-bit program (elf(5)).
const CLASS_64: u8 = 2;

/// EI_CLASS and e_machine of the program that the task's process runs (elf(5)); `None`
/// when its file cannot be read.
fn program_kind(tid: Tid) -> Option<(u8, u16)> {
    const MACHINE: usize = 18;
    let mut header = [0; MACHINE + 2];
    let mut file = File::open(format!("/proc/{tid}/exe")).ok()?;
    file.read_exact(&mut header).ok()?;
    let machine = u16::from_le_bytes([header[MACHINE], header[MACHINE + 1]]);
    Some((header[4], machine))
}

/// AUDIT_ARCH_* of the program that the task's process runs.
pub(crate) fn abi(tid: Tid) -> Option<u32> {
    const EM_386: u16 = 3;
    /// The kernel executes it all the same (elf_check_arch_ia32 in asm/elf.h).
    const EM_486: u16 = 6;
    const EM_X86_64: u16 = 62;
    match program_kind(tid)? {
        (_, EM_386 | EM_486) => Some(pai_syscalls::abi::I386),
        // Also one of the class of 32 bits (x32): the code is the same.
        (_, EM_X86_64) => Some(pai_syscalls::abi::X86_64),
        _ => None,
    }
}

/// Whether words of the program are 64 bits wide. Without its file we take them for that.
pub(crate) fn is_wide(tid: Tid) -> bool {
    program_kind(tid).is_none_or(|(class, _)| class == CLASS_64)
}

/// Bytes of arguments that are told of: a process may have megabytes of them.
const MAX_ARGV: u64 = 64 << 10;

/// The arguments; empty for kernel threads and zombies. At most 64 KiB: where
/// they are cut off, the last ends in "…".
pub fn argv(tid: Tid) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(format!("/proc/{tid}/cmdline"))
        .and_then(|file| file.take(MAX_ARGV + 1).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    if bytes.len() as u64 > MAX_ARGV {
        bytes.truncate(bytes.len() - 1);
        bytes.extend("…".bytes());
    }
    if bytes.last() == Some(&0) {
        bytes.pop();
    } else if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|b| *b == 0).map(<[u8]>::to_vec).collect()
}

/// The task's name.
pub fn comm(tid: Tid) -> Option<String> {
    let name = fs::read(format!("/proc/{tid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(name.trim_end_matches('\n').to_owned())
}

/// Mappings of the task's process, ascending.
pub(crate) fn maps(tid: Tid) -> io::Result<Vec<Mapping>> {
    // The kernel says 0 of its length, and gives a page at a time.
    let mut text = Vec::with_capacity(16 << 10);
    File::open(format!("/proc/{tid}/maps"))?.read_to_end(&mut text)?;
    let lines = text.split(|b| *b == b'\n');
    Ok(lines.filter_map(parse_mapping).collect())
}

/// One line: `start-end perms offset major:minor inode   name`.
fn parse_mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail.trim_ascii_start();
        std::str::from_utf8(word).ok()
    };
    let (start, end) = field()?.split_once('-')?;
    let perms = field()?.as_bytes();
    let offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?;
    let hex = |s| u64::from_str_radix(s, 16).ok();
    let flag = |at: usize, letter, bit| {
        if perms.get(at) == Some(&letter) {
            bit
        } else {
            Protection::empty()
        }
    };
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        protection: flag(0, b'r', Protection::READ)
            | flag(1, b'w', Protection::WRITE)
            | flag(2, b'x', Protection::EXECUTE)
            | flag(3, b's', Protection::SHARED),
        offset: hex(offset)?,
        device: device(hex(major)?, hex(minor)?),
        inode: inode.parse().ok()?,
        name: String::from_utf8_lossy(rest).into_owned(),
    })
}

/// makedev(3) as glibc packs it.
fn device(major: u64, minor: u64) -> u64 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_lines_are_understood() {
        let line = b"7f0000001000-7f0000002000 r-xp 00001000 fe:01 1234                       /tmp/a file (deleted)";
        let mapping = parse_mapping(line).unwrap();
        assert_eq!(mapping.start, 0x7f00_0000_1000);
        assert_eq!(mapping.end, 0x7f00_0000_2000);
        assert_eq!(mapping.protection, Protection::READ | Protection::EXECUTE);
        assert_eq!(mapping.offset, 0x1000);
        assert_eq!(mapping.inode, 1234);
        assert_eq!(mapping.device, device(0xfe, 1));
        assert_eq!(mapping.name, "/tmp/a file (deleted)");

        let anonymous = parse_mapping(b"00400000-00401000 rw-s 00000000 00:00 0 ").unwrap();
        assert_eq!(anonymous.name, "");
        assert_eq!(
            anonymous.protection,
            Protection::READ | Protection::WRITE | Protection::SHARED
        );
        assert_eq!(parse_mapping(b""), None);
        assert_eq!(parse_mapping(b"garbage"), None);
    }

    #[test]
    fn own_process_can_be_read() {
        let pid = Pid::new(std::process::id().cast_signed());
        let tid = pid.leader();
        assert!(tasks(pid).contains(&tid));
        assert!(is_task_of(pid, tid));
        assert_eq!(status_id(tid, "Tgid"), Some(pid));
        let peak = peak_memory(tid).unwrap();
        assert!((1 << 16..1 << 40).contains(&peak), "{peak}");
        assert_eq!(status_id(tid, "TracerPid").map(Pid::get), Some(0));
        assert!(!exe(tid).is_empty());
        assert!(!argv(tid).is_empty());
        assert!(maps(tid).unwrap().iter().any(|m| m.name == "[stack]"));
        let nobody = Tid::new(i32::MAX);
        assert!(tasks(nobody.as_pid()).is_empty());
        assert!(argv(nobody).is_empty());
        assert!(maps(nobody).is_err());
    }
}
