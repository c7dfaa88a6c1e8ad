//! Which file or socket each descriptor of each process is, from what an observer sees.

use std::collections::BTreeMap;

use crate::bindings::pai::plugin::events::Event;
use crate::bindings::pai::plugin::types::Pid;
use crate::names;
use crate::record::{RecordFlags, SyscallRecord};

/// Calls that duplicate and close descriptors: what [`Descriptors::call`] wants to see.
pub const CALLS: &[&str] = &[
    "close",
    "close_range",
    "dup",
    "dup2",
    "dup3",
    "fcntl",
    "fcntl64",
    "ioctl",
];

/// In the flags of open(2), dup3(2), pipe2(2), and, as SOCK_CLOEXEC, of socket(2).
pub const O_CLOEXEC: u64 = 0o2_000_000;

/// A table of descriptors for each process, of anything that is told of them.
///
/// Who uses it opens descriptors; what becomes of them by dup, fork, exec and close
/// follows from the topics `forks` and `execs` ([`Descriptors::event`]) and from
/// [`CALLS`] ([`Descriptors::call`]). Processes that share a table without being threads
/// (CLONE_FILES) are taken for ordinary children.
#[derive(Clone, Debug)]
pub struct Descriptors<T> {
    processes: BTreeMap<Pid, Table<T>>,
}

type Table<T> = BTreeMap<i32, Open<T>>;

#[derive(Clone, Debug)]
struct Open<T> {
    what: T,
    cloexec: bool,
    /// When the call that opened it returned.
    since: u64,
}

impl<T> Default for Descriptors<T> {
    fn default() -> Self {
        Self {
            processes: BTreeMap::new(),
        }
    }
}

impl<T: Clone> Descriptors<T> {
    /// None are known.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a descriptor is.
    pub fn get(&self, pid: Pid, fd: i32) -> Option<&T> {
        let open = self.processes.get(&pid)?.get(&fd)?;
        Some(&open.what)
    }

    /// One that was open before anybody looked.
    pub fn found(&mut self, pid: Pid, fd: i32, what: T) {
        let open = Open {
            what,
            cloexec: false,
            since: 0,
        };
        self.processes.entry(pid).or_default().insert(fd, open);
    }

    /// One that a call has opened, with these flags ([`O_CLOEXEC`]).
    pub fn open(&mut self, call: &SyscallRecord, fd: i32, what: T, flags: u64) {
        let open = Open {
            what,
            cloexec: flags & O_CLOEXEC != 0,
            since: call.at + call.took,
        };
        self.processes.entry(call.pid).or_default().insert(fd, open);
    }

    /// Forks, execs and ends; of no interest is what else there is.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Forked(fork) if fork.followed => {
                let copy = self.processes.get(&fork.pid).cloned();
                self.processes.insert(fork.child, copy.unwrap_or_default());
            }
            Event::Execed(exec) => {
                if let Some(table) = self.processes.get_mut(&exec.pid) {
                    table.retain(|_, open| !open.cloexec);
                }
            }
            Event::ProcessExited(end) => {
                self.processes.remove(&end.pid);
            }
            _ => {}
        }
    }

    /// A call of [`CALLS`] when it has returned; others do nothing.
    pub fn call(&mut self, call: &SyscallRecord) {
        const EBADF: i64 = -9;
        let no_result = RecordFlags::RESTARTS | RecordFlags::NO_RETURN | RecordFlags::DETACHED;
        let Some(name) = names::syscall(call.call) else {
            return;
        };
        let Some(table) = self.processes.get_mut(&call.pid) else {
            return;
        };
        if call.record_flags.intersects(no_result) {
            return;
        }
        let (first, second) = (fd(call.a0), fd(call.a1));
        let made = fd(call.ret.cast_unsigned());
        let since = call.at + call.took;
        // Whatever else it fails with, it has closed it: close(2), "Dealing with error
        // returns".
        if name == "close" && call.ret != EBADF {
            return close(table, first, first, call.at);
        }
        if call.ret < 0 {
            return;
        }
        match &*name {
            "dup" => duplicate(table, first, made, false, since),
            "dup2" => duplicate(table, first, second, false, since),
            "dup3" => duplicate(table, first, second, call.a2 & O_CLOEXEC != 0, since),
            "fcntl" | "fcntl64" => match call.a1 {
                // F_DUPFD, F_DUPFD_CLOEXEC and F_SETFD of fcntl(2).
                0 => duplicate(table, first, made, false, since),
                1030 => duplicate(table, first, made, true, since),
                2 => set_cloexec(table, first, first, call.a2 & 1 != 0),
                _ => {}
            },
            // FIONCLEX and FIOCLEX in asm-generic/ioctls.h.
            "ioctl" => match call.a1 {
                0x5450 => set_cloexec(table, first, first, false),
                0x5451 => set_cloexec(table, first, first, true),
                _ => {}
            },
            "close_range" => {
                const CLOSE_RANGE_CLOEXEC: u64 = 4;
                let last = i32::try_from(call.a1 & 0xffff_ffff).unwrap_or(i32::MAX);
                match call.a2 & CLOSE_RANGE_CLOEXEC {
                    0 => close(table, first, last, call.at),
                    _ => set_cloexec(table, first, last, true),
                }
            }
            _ => {}
        }
    }
}

/// A descriptor in a register is its lower half.
pub fn fd(register: u64) -> i32 {
    ((register & 0xffff_ffff) as u32).cast_signed()
}

/// The same under another number.
fn duplicate<T: Clone>(table: &mut Table<T>, from: i32, to: i32, cloexec: bool, since: u64) {
    if from == to {
        return;
    }
    match table.get(&from).cloned() {
        Some(Open { what, .. }) => {
            let open = Open {
                what,
                cloexec,
                since,
            };
            table.insert(to, open);
        }
        None => {
            table.remove(&to);
        }
    }
}

/// Closes by a call that was made at that time. What was opened later has only its
/// number in common with what was closed: another thread got it in between.
fn close<T>(table: &mut Table<T>, first: i32, last: i32, at: u64) {
    table.retain(|fd, open| !(first..=last).contains(fd) || open.since > at);
}

fn set_cloexec<T>(table: &mut Table<T>, first: i32, last: i32, on: bool) {
    for (fd, open) in table {
        if (first..=last).contains(fd) {
            open.cloexec = on;
        }
    }
}

#[cfg(all(test, feature = "syscalls"))]
mod tests {
    use super::*;
    use crate::bindings::pai::plugin::events::{ExecInfo, ForkInfo};
    use crate::bindings::pai::plugin::types::SyscallId;

    fn record(name: &str, args: [u64; 3], ret: i64, at: u64) -> SyscallRecord {
        let nr = names::number(names::X86_64, name).expect(name);
        SyscallRecord {
            pid: 1,
            tid: 1,
            call: SyscallId {
                abi: names::X86_64,
                nr,
            },
            a0: args[0],
            a1: args[1],
            a2: args[2],
            a3: 0,
            a4: 0,
            a5: 0,
            ret,
            ip: 0,
            at,
            took: 5,
            record_flags: RecordFlags::empty(),
            captured: 0,
        }
    }

    fn known(descriptors: &Descriptors<char>, pid: Pid) -> Vec<(i32, char)> {
        let known = |fd| Some((fd, *descriptors.get(pid, fd)?));
        (0..100).filter_map(known).collect()
    }

    #[test]
    fn descriptors_come_and_go() {
        let mut all = Descriptors::new();
        all.found(1, 0, 'i');
        all.open(&record("openat", [0; 3], 3, 10), 3, 'a', O_CLOEXEC);
        for (name, args, ret) in [
            ("dup", [3, 0, 0], 4),
            ("dup2", [3, 5, 0], 5),
            ("dup2", [3, 3, 0], 3),
            ("dup2", [3, 6, 0], -9),
            ("dup3", [0, 7, O_CLOEXEC], 7),
            ("fcntl", [0, 1030, 8], 8),
            ("fcntl", [8, 2, 0], 0),
            ("ioctl", [4, 0x5451, 0], 0),
            ("close", [0, 0, 0], -9),
        ] {
            all.call(&record(name, args, ret, 20));
        }
        assert_eq!(
            known(&all, 1),
            [(0, 'i'), (3, 'a'), (4, 'a'), (5, 'a'), (7, 'i'), (8, 'i')]
        );
        all.event(&Event::Forked(ForkInfo {
            pid: 1,
            tid: 1,
            child: 2,
            kind: "fork".into(),
            followed: true,
            at: 0,
        }));
        all.event(&Event::Execed(ExecInfo {
            pid: 2,
            former_tid: 2,
            path: String::new(),
            argv: Vec::new(),
            abi: 0,
            at: 0,
        }));
        assert_eq!(known(&all, 2), [(0, 'i'), (5, 'a'), (8, 'i')]);
        all.call(&record("dup2", [50, 5, 0], 5, 30));
        all.call(&record("close", [4, 0, 0], -5, 40));
        all.call(&record("close_range", [7, u64::MAX, 0], 0, 40));
        assert_eq!(known(&all, 1), [(0, 'i'), (3, 'a')]);
    }

    #[test]
    fn a_close_that_is_told_late_closes_nothing_newer() {
        let mut all = Descriptors::new();
        all.open(&record("openat", [0; 3], 3, 20), 3, 'n', 0);
        all.call(&record("close", [3, 0, 0], 0, 10));
        assert_eq!(known(&all, 1), [(3, 'n')]);
    }
}
