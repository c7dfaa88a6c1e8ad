//! System calls that a prepared task makes for us, one after the other: only such
//! as never block.

use pai_ptrace::{Pid, Regs, Resume, Stop, Stopped, Tid};

use crate::engine::Engine;
use crate::error::{Error, set_regs, unless_gone};
use crate::inject::{Place, Saved};
use crate::memory::PAGE;
use crate::single::Here;
use crate::space::room_near;

pub(crate) const NR_MMAP: u32 = 9;
pub(crate) const NR_MUNMAP: u32 = 11;
pub(crate) const NR_MADVISE: u32 = 28;
/// Does nothing.
pub(crate) const NR_GETPID: u32 = 39;

const PROT_READ_EXEC: u64 = 1 | 4;
pub(crate) const MAP_PRIVATE_ANONYMOUS: u64 = 0x2 | 0x20;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
pub(crate) const MADV_DONTFORK: u64 = 10;

impl Engine {
    /// Runs system calls in a prepared task; stops at the first that fails. The
    /// results, negative errno for a failure.
    pub(crate) fn run_calls(
        &mut self,
        stopped: Stopped,
        saved: &mut Saved,
        calls: &[(u32, [u64; 6])],
    ) -> Here<(Stopped, Vec<i64>)> {
        let tid = stopped.tid();
        let mut stopped = stopped;
        let mut results = Vec::new();
        for (nr, args) in calls {
            let Ok(at) = self.syscall_instruction(tid) else {
                results.push(ENOEXEC);
                break;
            };
            let mut regs = saved.regs;
            regs.set_syscall(*nr, args);
            regs.set_ip(at);
            if unless_gone(set_regs(&stopped, &regs))?.is_none() {
                self.dying(tid)?;
                return Ok(None);
            }
            // Entry, exit. Anything else is a signal that cannot wait.
            for _ in 0..2 {
                let Some((there, stop)) =
                    self.run_to_stop(stopped, Resume::Syscall, None, None, saved)?
                else {
                    return Ok(None);
                };
                stopped = there;
                if stop != Stop::Syscall {
                    results.push(EFAULT);
                    return Ok(Some((stopped, results)));
                }
            }
            let Some(regs) = unless_gone(stopped.regs())? else {
                self.dying(tid)?;
                return Ok(None);
            };
            results.push(regs.result());
            if is_error(regs.result()) {
                break;
            }
        }
        Ok(Some((stopped, results)))
    }

    /// Runs system calls in a stopped task and brings it back to its stop.
    pub(crate) fn inject(
        &mut self,
        stopped: Stopped,
        place: Place,
        calls: &[(u32, [u64; 6])],
    ) -> Here<(Stopped, Result<Vec<i64>, Error>)> {
        let (stopped, mut saved) = match self.prepare(stopped, place, None)? {
            Some(Ok(prepared)) => prepared,
            Some(Err((stopped, error))) => return Ok(Some((stopped, Err(error)))),
            None => return Ok(None),
        };
        let Some((stopped, results)) = self.run_calls(stopped, &mut saved, calls)? else {
            return Ok(None);
        };
        let stopped = self.restore(stopped, saved)?;
        Ok(stopped.map(|stopped| (stopped, Ok(results))))
    }

    /// The address of a `syscall` instruction in the task's process: one of
    /// ours, or of the target's own.
    pub(crate) fn syscall_instruction(&mut self, tid: Tid) -> Result<u64, Error> {
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        /// More of a mapping is not looked at.
        const MOST: u64 = 8 << 20;
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        let space = self.space(pid).ok_or(Error::NoSuchProcess(pid))?;
        if let Some(pad) = space.pads.first() {
            return Ok(pad.syscall_at());
        }
        if let Some(at) = space.syscall_at {
            let mut bytes = [0; 2];
            // As it is in memory: there may be a breakpoint by now.
            if self.read_raw(pid, at, &mut bytes)? == 2 && bytes == SYSCALL {
                return Ok(at);
            }
        }
        let mut maps = self.maps(pid)?;
        maps.retain(|mapping| mapping.is_code() && mapping.name != "[vsyscall]");
        maps.sort_by_key(|mapping| mapping.name != "[vdso]");
        for mapping in maps {
            let len = (mapping.end - mapping.start).min(MOST);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            let done = self.read_raw(pid, mapping.start, &mut bytes)?;
            if let Some(at) = memchr::memmem::find(&bytes[..done], &SYSCALL) {
                let at = mapping.start + at as u64;
                if let Some(space) = self.space_mut(pid) {
                    space.syscall_at = Some(at);
                }
                return Ok(at);
            }
        }
        Err(Error::Unsupported(format!(
            "process {pid} has no syscall instruction"
        )))
    }

    /// The address of an `int 0x80` instruction in the task's process, which is about to
    /// enter a call that one has made: one of ours, or that one. The other one makes
    /// calls of another table.
    pub(crate) fn int80_instruction(&mut self, tid: Tid, entry: &Regs) -> Result<u64, Error> {
        const INT80: [u8; 2] = [0xcd, 0x80];
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        let space = self.space(pid).ok_or(Error::NoSuchProcess(pid))?;
        if let Some(pad) = space.pads.first() {
            return Ok(pad.int80_at());
        }
        let at = entry.ip().wrapping_sub(2);
        let mut bytes = [0; 2];
        if self.read_raw(pid, at, &mut bytes)? == 2 && bytes == INT80 {
            return Ok(at);
        }
        Err(Error::Unsupported(format!(
            "process {pid} has no `int 0x80` to make the call of task {tid} with"
        )))
    }

    /// Makes a pad near an address, by a prepared task of the process.
    pub(crate) fn make_pad(
        &mut self,
        stopped: Stopped,
        saved: &mut Saved,
        pid: Pid,
        addr: u64,
    ) -> Here<(Stopped, Result<(), Error>)> {
        let maps = match self.maps(pid) {
            Ok(maps) => maps,
            Err(error) => return Ok(Some((stopped, Err(error)))),
        };
        let len = self.space(pid).map_or(PAGE, |space| space.next_pad_len());
        let Some(base) = room_near(&maps, addr, len) else {
            let error = Error::Unsupported(format!(
                "process {pid} has no free page within 1 GiB of {addr:#x}"
            ));
            return Ok(Some((stopped, Err(error))));
        };
        let flags = MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE;
        let calls = [
            (NR_MMAP, [base, len, PROT_READ_EXEC, flags, u64::MAX, 0]),
            (NR_MADVISE, [base, len, MADV_DONTFORK, 0, 0, 0]),
        ];
        let Some((stopped, results)) = self.run_calls(stopped, saved, &calls)? else {
            return Ok(None);
        };
        let made = match results[..] {
            [mapped, 0] if mapped.cast_unsigned() == base => self.begin_pad(pid, base, len),
            [errno, ..] => Err(mmap_error(errno)),
            [] => Err(mmap_error(ENOEXEC)),
        };
        Ok(Some((stopped, made)))
    }

    fn begin_pad(&mut self, pid: Pid, base: u64, len: u64) -> Result<(), Error> {
        let Some(space) = self.space_mut(pid) else {
            return Err(Error::NoSuchProcess(pid));
        };
        let head = space.add_pad(base, len);
        self.write_raw(pid, base, &head)
    }

    /// Unmaps what nobody needs any more, at a stop where that is possible.
    pub(crate) fn take_out_garbage(&mut self, stopped: Stopped, place: Place) -> Here<Stopped> {
        let tid = stopped.tid();
        let pid = self.tasks.get(&tid).map(|task| task.pid);
        let garbage = pid
            .and_then(|pid| self.space_mut(pid))
            .map(|space| std::mem::take(&mut space.garbage))
            .unwrap_or_default();
        if garbage.is_empty() {
            return Ok(Some(stopped));
        }
        let (stopped, mut saved) = match self.prepare(stopped, place, None)? {
            Some(Ok(prepared)) => prepared,
            Some(Err((stopped, _))) => {
                if let Some(space) = pid.and_then(|pid| self.space_mut(pid)) {
                    space.garbage = garbage;
                }
                return Ok(Some(stopped));
            }
            None => return Ok(None),
        };
        let mut stopped = stopped;
        for (addr, len) in garbage {
            // The target may have sealed one (mseal(2)): the others go.
            let call = (NR_MUNMAP, [addr, len, 0, 0, 0, 0]);
            let Some((there, results)) = self.run_calls(stopped, &mut saved, &[call])? else {
                return Ok(None);
            };
            stopped = there;
            if results != [0] {
                tracing::debug!(target: "pai::engine", %tid, addr, ?results, "memory of ours stays");
            }
        }
        self.restore(stopped, saved)
    }
}

const EFAULT: i64 = -14;
const ENOEXEC: i64 = -8;

/// Of these values a system call returns no other (IS_ERR_VALUE in
/// include/linux/err.h).
fn is_error(result: i64) -> bool {
    (-4095..0).contains(&result)
}

/// The address that mmap or mremap returned.
pub(crate) fn mapped(results: &[i64]) -> Result<u64, Error> {
    match results {
        [addr] if !is_error(*addr) => Ok(addr.cast_unsigned()),
        [errno, ..] => Err(mmap_error(*errno)),
        [] => Err(mmap_error(ENOEXEC)),
    }
}

fn mmap_error(errno: i64) -> Error {
    Error::Os {
        errno: i32::try_from(-errno).unwrap_or(0),
        operation: "mmap in the target",
    }
}
