//! Mappings of a tracee, one at a time.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::error::last_errno;
use crate::{Error, Op, Tid};

bitflags::bitflags! {
    /// What a mapping allows: PROCMAP_QUERY_VMA_* of linux/fs.h.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Protection: u8 {
        /// PROT_READ.
        const READ = 1;
        /// PROT_WRITE.
        const WRITE = 2;
        /// PROT_EXEC.
        const EXECUTE = 4;
        /// MAP_SHARED.
        const SHARED = 8;
    }
}

/// Where a mapping is, and what it allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What it allows.
    pub protection: Protection,
}

impl Area {
    /// Whether the target can execute what is there.
    pub fn is_executable(&self) -> bool {
        self.protection.contains(Protection::EXECUTE)
    }
}

/// An open /proc/PID/maps: one address space.
///
/// Stays bound to the address space it was opened for: reopen after exec.
#[derive(Debug)]
pub struct Maps {
    file: File,
    tid: Tid,
}

/// struct procmap_query of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    addr: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// `_IOWR(PROCFS_IOCTL_MAGIC, 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong = 0xc068_6611;
const _: () = assert!(size_of::<Query>() == 0x68);

impl Maps {
    /// Opens the mappings of a task's process. Use a live task, as for
    /// [`Mem::open`](crate::Mem::open).
    ///
    /// # Errors
    /// ENOENT or ESRCH when it is gone, EACCES.
    pub fn open(tid: Tid) -> Result<Self, Error> {
        match File::open(format!("/proc/{tid}/maps")) {
            Ok(file) => Ok(Self { file, tid }),
            Err(error) => Err(Error::new(
                Op::OpenMaps,
                tid,
                error.raw_os_error().unwrap_or(libc::EIO),
            )),
        }
    }

    /// The mapping that an address is in. The vsyscall page is in none
    /// (do_procmap_query in fs/proc/task_mmu.c does not look at the gate area).
    ///
    /// # Errors
    /// ENOTTY before Linux 6.11; gone.
    pub fn at(&self, addr: u64) -> Result<Option<Area>, Error> {
        let mut query = Query {
            size: size_of::<Query>() as u64,
            addr,
            ..Query::default()
        };
        // SAFETY: the request reads and writes a procmap_query, which `query` is, of the
        // size that it names; without a name_size and a build_id_size nothing else is
        // written.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
        if result == 0 {
            return Ok(Some(Area {
                start: query.start,
                end: query.end,
                protection: Protection::from_bits_truncate(query.vma_flags as u8),
            }));
        }
        match last_errno() {
            libc::ENOENT => Ok(None),
            errno => Err(Error::new(Op::QueryMaps, self.tid, errno)),
        }
    }
}
