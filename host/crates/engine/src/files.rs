//! What is kept open of processes: their memory and their mappings.
//!
//! Two descriptors for each would use up those of the host, which opens other files,
//! too. So there is a limit; beyond it all are closed, and opened again as they are
//! needed.

use nix::sys::resource::{Resource, getrlimit};
use pai_ptrace::{Area, Maps, Mem, Pid, Tid};

use crate::engine::Engine;
use crate::error::Error;
use crate::memory::Mapping;
use crate::procfs;
use crate::task::Process;

/// Where the limit cannot be asked for: half of what there always is (POSIX_OPEN_MAX in
/// getdtablesize(3)).
const FEW: usize = 10;
/// What is above is the kernel's, and the vsyscall page, of which a query says nothing.
const LAST_OF_USER: u64 = u64::MAX >> 1;
// Of asm-generic/errno-base.h; the last says that there is no such request.
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const ENOTTY: i32 = 25;

/// How they are kept.
#[derive(Debug)]
pub(crate) struct Files {
    /// So many at once.
    most: usize,
    /// The kernel knows PROCMAP_QUERY: so it does since Linux 6.11.
    queries: bool,
}

impl Files {
    pub(crate) fn new() -> Self {
        let most = getrlimit(Resource::RLIMIT_NOFILE).ok();
        let most = most.and_then(|(soft, _)| usize::try_from(soft / 2).ok());
        Self {
            most: most.unwrap_or(FEW),
            queries: true,
        }
    }
}

impl Process {
    fn files(&self) -> usize {
        usize::from(self.mem.is_some()) + usize::from(self.maps.is_some())
    }
}

impl Engine {
    /// A process with room for one more file, unless it has that already.
    fn process_for(
        &mut self,
        pid: Pid,
        has: impl Fn(&Process) -> bool,
    ) -> Result<(&mut Process, Tid), Error> {
        let tid = self.task_with_memory(pid)?;
        if !self.processes.get(&pid).is_some_and(has) {
            self.make_room();
        }
        let process = self.processes.get_mut(&pid);
        Ok((process.ok_or(Error::NoSuchProcess(pid))?, tid))
    }

    /// The open memory of a process, and a task of it that has not ended.
    pub(crate) fn mem(&mut self, pid: Pid) -> Result<(&Mem, Tid), Error> {
        let (process, tid) = self.process_for(pid, |process| process.mem.is_some())?;
        let mem = match process.mem.take() {
            Some(mem) => mem,
            None => Mem::open(tid).map_err(|e| Error::from_ptrace(e, tid))?,
        };
        Ok((process.mem.insert(mem), tid))
    }

    /// The mappings, ascending.
    ///
    /// # Errors
    /// `NoSuchProcess`, and when they cannot be read.
    pub fn maps(&mut self, pid: Pid) -> Result<Vec<Mapping>, Error> {
        let tid = self.task_with_memory(pid)?;
        procfs::maps(tid).map_err(|error| match error.raw_os_error() {
            None | Some(ENOENT | ESRCH) => Error::NoSuchProcess(pid),
            Some(errno) => Error::Os {
                errno,
                operation: "read /proc/PID/maps",
            },
        })
    }

    /// The mapping that an address is in.
    ///
    /// # Errors
    /// As for [`Self::maps`].
    pub(crate) fn area_at(&mut self, pid: Pid, addr: u64) -> Result<Option<Area>, Error> {
        if self.files.queries && addr <= LAST_OF_USER {
            match self.query_area(pid, addr) {
                Err(Error::Os { errno: ENOTTY, .. }) => self.files.queries = false,
                answer => return answer,
            }
        }
        let maps = self.maps(pid)?;
        Ok(mapping_of(&maps, addr).map(Mapping::area))
    }

    /// The same, without a question where it is the one of the place before, which is
    /// `near`.
    pub(crate) fn area_near(
        &mut self,
        pid: Pid,
        addr: u64,
        near: &mut Option<Area>,
    ) -> Option<Area> {
        if !near.is_some_and(|area| (area.start..area.end).contains(&addr)) {
            *near = self.area_at(pid, addr).unwrap_or(None);
        }
        *near
    }

    fn query_area(&mut self, pid: Pid, addr: u64) -> Result<Option<Area>, Error> {
        let (process, tid) = self.process_for(pid, |process| process.maps.is_some())?;
        let maps = match process.maps.take() {
            Some(maps) => maps,
            None => Maps::open(tid).map_err(|e| Error::from_ptrace(e, tid))?,
        };
        let answer = maps.at(addr).map_err(|e| Error::from_ptrace(e, tid))?;
        process.maps = Some(maps);
        Ok(answer)
    }

    /// For one more.
    fn make_room(&mut self) {
        let open: usize = self.processes.values().map(Process::files).sum();
        if open < self.files.most {
            return;
        }
        for process in self.processes.values_mut() {
            process.mem = None;
            process.maps = None;
        }
    }
}

/// The mapping that an address is in.
pub(crate) fn mapping_of(maps: &[Mapping], addr: u64) -> Option<&Mapping> {
    let after = maps.partition_point(|mapping| mapping.start <= addr);
    maps[..after].last().filter(|mapping| addr < mapping.end)
}
