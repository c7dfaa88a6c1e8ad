//! Memory of a tracee.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;

use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid as NixPid;

use crate::{Error, Op, Tid};

/// An open /proc/PID/mem: one address space.
///
/// Stays bound to the address space it was opened for: reopen after exec.
/// Reads and writes ignore page protections (`FOLL_FORCE`, kernel mm/gup.c); a
/// write into a read-only private page gives the process a page of its own, and
/// one into a shared page that it may not write to fails.
#[derive(Debug)]
pub struct Mem {
    file: File,
    tid: Tid,
}

impl Mem {
    /// Opens the memory of a task's process. Use a live task: the files of a
    /// zombie leader are empty.
    ///
    /// # Errors
    /// ENOENT or ESRCH when it is gone, EACCES.
    pub fn open(tid: Tid) -> Result<Self, Error> {
        let path = format!("/proc/{tid}/mem");
        match File::options().read(true).write(true).open(path) {
            Ok(file) => Ok(Self { file, tid }),
            Err(error) => Err(Error::new(
                Op::OpenMem,
                tid,
                error.raw_os_error().unwrap_or(libc::EIO),
            )),
        }
    }

    /// Reads at `addr` until `buf` is full or a page cannot be read; returns
    /// how much.
    ///
    /// # Errors
    /// Any errno other than the ones that mean an unreadable page (EIO,
    /// EFAULT, EINVAL for addresses that no file offset can name).
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.transfer(Op::ReadMem, addr, buf.len(), |done, at| {
            self.file.read_at(&mut buf[done..], at)
        })
    }

    /// Writes `bytes` at `addr`, up to the first page that cannot be written;
    /// returns how much.
    ///
    /// # Errors
    /// As [`Mem::read`].
    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<usize, Error> {
        self.transfer(Op::WriteMem, addr, bytes.len(), |done, at| {
            self.file.write_at(&bytes[done..], at)
        })
    }

    fn transfer(
        &self,
        op: Op,
        addr: u64,
        len: usize,
        mut step: impl FnMut(usize, u64) -> io::Result<usize>,
    ) -> Result<usize, Error> {
        let mut done = 0;
        while done < len {
            let Some(at) = addr.checked_add(done as u64) else {
                break;
            };
            match step(done, at) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) => match error.raw_os_error().unwrap_or(libc::EIO) {
                    libc::EINTR => {}
                    libc::EIO | libc::EFAULT | libc::EINVAL | libc::EOVERFLOW => break,
                    errno => return Err(Error::new(op, self.tid, errno)),
                },
            }
        }
        Ok(done)
    }
}

/// One range of tracee memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Start.
    pub addr: u64,
    /// Length in bytes.
    pub len: usize,
}

/// How many pieces one [`read_pieces`] takes (IOV_MAX, readv(2)).
pub const MAX_PIECES: usize = 1024;

/// So many need no allocation.
const FEW: usize = 16;

/// Reads many pieces in one process_vm_readv(2) into `buf`, one behind the
/// other; returns how many bytes came before the first unreadable page.
///
/// # Errors
/// Gone; EPERM. An unreadable first page is `Ok(0)`.
pub fn read_pieces(tid: Tid, pieces: &[Piece], buf: &mut [u8]) -> Result<usize, Error> {
    // Mostly there are a few, and this is on the way of each system call.
    let mut few = [RemoteIoVec { base: 0, len: 0 }; FEW];
    let mut many = Vec::new();
    let remote = if let Some(few) = few.get_mut(..pieces.len()) {
        few
    } else {
        many.resize(pieces.len(), RemoteIoVec { base: 0, len: 0 });
        &mut many
    };
    for (to, piece) in remote.iter_mut().zip(pieces) {
        let Ok(base) = usize::try_from(piece.addr) else {
            break;
        };
        *to = RemoteIoVec {
            base,
            len: piece.len,
        };
    }
    let mut local = [IoSliceMut::new(buf)];
    match process_vm_readv(NixPid::from_raw(tid.get()), &mut local, remote) {
        Ok(n) => Ok(n),
        Err(nix::errno::Errno::EFAULT) => Ok(0),
        Err(errno) => Err(Error::new(Op::ReadMem, tid, errno as i32)),
    }
}

/// Writes as the task itself may (process_vm_writev(2)): not where its pages
/// cannot be written. Returns how many bytes came before the first such page.
///
/// # Errors
/// As [`read_pieces`].
pub fn write_piece(tid: Tid, addr: u64, bytes: &[u8]) -> Result<usize, Error> {
    let Ok(base) = usize::try_from(addr) else {
        return Ok(0);
    };
    let len = bytes.len();
    let remote = [RemoteIoVec { base, len }];
    match process_vm_writev(NixPid::from_raw(tid.get()), &[IoSlice::new(bytes)], &remote) {
        Ok(n) => Ok(n),
        Err(nix::errno::Errno::EFAULT) => Ok(0),
        Err(errno) => Err(Error::new(Op::WriteMem, tid, errno as i32)),
    }
}
