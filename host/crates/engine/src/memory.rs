//! Tracee memory, by process.

use std::borrow::Cow;

use memchr::memmem::Finder;
use pai_ptrace::{Area, MAX_PIECES, Pid, Piece, Protection, Tid, read_pieces};

use crate::engine::Engine;
use crate::error::Error;

/// Most bytes of one read, or of all reads in one call.
pub const MAX_READ: usize = 16 << 20;
/// Most pieces that one request may ask for.
const MOST_PIECES: usize = 4096;
/// Most bytes of one write.
pub const MAX_WRITE: usize = 16 << 20;
/// Most bytes of one search: reads of this length at a time, and no client can
/// be interrupted in it.
pub const MAX_SEARCH: usize = 16 << 20;
/// Most bytes of a pattern.
pub const MAX_PATTERN: usize = 4096;

/// Bytes per step of a C string, so that a short one costs one small read. A
/// step ends at a page border: what lies behind may be unreadable.
const STRING_STEP: u64 = 256;

/// From here on process_vm_readv(2) is quicker than /proc/PID/mem, which copies twice
/// (mem_rw in fs/proc/base.c); for less it is slower.
const MUCH: usize = 16 << 10;
pub(crate) const PAGE: u64 = 4096;

/// One line of /proc/PID/maps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What it allows.
    pub protection: Protection,
    /// Offset into the file.
    pub offset: u64,
    /// Device as makedev(3) packs it.
    pub device: u64,
    /// Inode, 0 when anonymous.
    pub inode: u64,
    /// File name, "[heap]", …; empty when anonymous.
    pub name: String,
}

impl Mapping {
    /// Whether the target executes what is there.
    pub(crate) fn is_code(&self) -> bool {
        self.protection.contains(Protection::EXECUTE)
    }

    pub(crate) fn area(&self) -> Area {
        Area {
            start: self.start,
            end: self.end,
            protection: self.protection,
        }
    }
}

/// Reads pieces, one behind the other in `buf`; `lens` is then how much of each could be
/// read. The kernel gives up at the first that it cannot read whole: those behind it are
/// asked for once more.
pub(crate) fn read_all(tid: Tid, pieces: &[Piece], buf: &mut [u8], lens: &mut Vec<usize>) {
    lens.clear();
    let mut at = 0;
    while lens.len() < pieces.len() {
        let rest = &pieces[lens.len()..];
        let mut done = read_pieces(tid, rest, &mut buf[at..]).unwrap_or(0);
        for piece in rest {
            let of_piece = done.min(piece.len);
            done -= of_piece;
            at += piece.len;
            lens.push(of_piece);
            if of_piece < piece.len {
                break;
            }
        }
    }
}

impl Engine {
    /// Exactly `len` bytes.
    ///
    /// # Errors
    /// `BadAddress`, `NoSuchProcess`, `Limit` above [`MAX_READ`].
    pub fn read(&mut self, pid: Pid, addr: u64, len: usize) -> Result<Vec<u8>, Error> {
        let bytes = self.read_some(pid, addr, len)?;
        if bytes.len() < len {
            return Err(self.bad_address(pid, addr, bytes.len()));
        }
        Ok(bytes)
    }

    /// Up to `len` bytes: those before the first unreadable page.
    ///
    /// # Errors
    /// As [`Engine::read`]; `BadAddress` only when nothing can be read.
    pub fn read_some(&mut self, pid: Pid, addr: u64, len: usize) -> Result<Vec<u8>, Error> {
        if len > MAX_READ {
            return Err(Error::Limit("read-size"));
        }
        let mut bytes = vec![0; len];
        let done = self.read_raw(pid, addr, &mut bytes)?;
        if done == 0 && len > 0 {
            return Err(self.bad_address(pid, addr, 0));
        }
        bytes.truncate(done);
        self.hide_breakpoints(pid, addr, &mut bytes);
        Ok(bytes)
    }

    /// Many reads at once; one result per request.
    ///
    /// # Errors
    /// `NoSuchProcess`, `Limit`; what fails singly fails in its own result.
    pub fn read_many(
        &mut self,
        pid: Pid,
        requests: &[(u64, usize)],
    ) -> Result<Vec<Result<Vec<u8>, Error>>, Error> {
        let total = requests.iter().try_fold(0_usize, |sum, (_, len)| {
            sum.checked_add(*len).filter(|sum| *sum <= MAX_READ)
        });
        if total.is_none() {
            return Err(Error::Limit("read-size"));
        }
        if requests.len() > MOST_PIECES {
            return Err(Error::Limit("reads"));
        }
        let (_, tid) = self.mem(pid)?;
        let mut results = Vec::with_capacity(requests.len());
        let mut lens = Vec::new();
        for chunk in requests.chunks(MAX_PIECES) {
            let pieces: Vec<Piece> = chunk
                .iter()
                .map(|&(addr, len)| Piece { addr, len })
                .collect();
            let mut buf = vec![0; pieces.iter().map(|p| p.len).sum()];
            read_all(tid, &pieces, &mut buf, &mut lens);
            let mut at = 0;
            for (piece, len) in pieces.into_iter().zip(&lens) {
                let end = at + piece.len;
                // Pages without PROT_READ are read singly.
                results.push(if *len == piece.len {
                    self.hide_breakpoints(pid, piece.addr, &mut buf[at..end]);
                    Ok(buf[at..end].to_vec())
                } else {
                    self.read(pid, piece.addr, piece.len)
                });
                at = end;
            }
        }
        Ok(results)
    }

    /// Bytes up to and without the next NUL; `max` of them when there is none.
    ///
    /// # Errors
    /// As [`Engine::read`].
    pub fn read_c_string(&mut self, pid: Pid, addr: u64, max: usize) -> Result<Vec<u8>, Error> {
        if max > MAX_READ {
            return Err(Error::Limit("read-size"));
        }
        let mut bytes = Vec::new();
        let mut at = addr;
        while bytes.len() < max {
            let to_page_end = PAGE - at % PAGE;
            let step = STRING_STEP.min(to_page_end).min((max - bytes.len()) as u64);
            let old = bytes.len();
            bytes.resize(old + usize::try_from(step).unwrap_or(0), 0);
            let done = self.read_raw(pid, at, &mut bytes[old..])?;
            bytes.truncate(old + done);
            self.hide_breakpoints(pid, at, &mut bytes[old..]);
            if let Some(nul) = bytes[old..].iter().position(|b| *b == 0) {
                bytes.truncate(old + nul);
                return Ok(bytes);
            }
            match at.checked_add(step) {
                Some(next) if done as u64 == step => at = next,
                _ => return Err(self.bad_address(pid, addr, bytes.len())),
            }
        }
        Ok(bytes)
    }

    /// Writes all of `bytes`, whatever the pages allow to the target itself.
    ///
    /// # Errors
    /// `BadAddress`, with what was written before it; `NoSuchProcess`, `Limit`
    /// above [`MAX_WRITE`].
    pub fn write(&mut self, pid: Pid, addr: u64, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > MAX_WRITE {
            return Err(Error::Limit("write-size"));
        }
        let mut bytes = Cow::Borrowed(bytes);
        let hidden = self.keep_breakpoints(pid, addr, &mut bytes);
        let (mem, tid) = self.mem(pid)?;
        let done = mem
            .write(addr, &bytes)
            .map_err(|e| Error::from_ptrace(e, tid))?;
        self.write_under_breakpoints(pid, addr, done, hidden);
        if done < bytes.len() {
            return Err(self.bad_address(pid, addr, done));
        }
        Ok(())
    }

    /// The first `most` addresses of `len` bytes from `addr` on at which
    /// `pattern` stands as a whole, ascending; they may overlap. What cannot be
    /// read holds none.
    ///
    /// # Errors
    /// `NoSuchProcess`; `Limit` above [`MAX_SEARCH`] or [`MAX_PATTERN`];
    /// `Invalid` for an empty pattern.
    pub fn find(
        &mut self,
        pid: Pid,
        addr: u64,
        len: usize,
        pattern: &[u8],
        most: usize,
    ) -> Result<Vec<u64>, Error> {
        if len > MAX_SEARCH {
            return Err(Error::Limit("search-size"));
        }
        if pattern.len() > MAX_PATTERN {
            return Err(Error::Limit("pattern-size"));
        }
        if pattern.is_empty() {
            return Err(Error::Invalid("the pattern is empty".to_owned()));
        }
        let finder = Finder::new(pattern);
        let mut bytes = vec![0; len];
        let mut found = Vec::new();
        let mut start = 0;
        while start < len {
            let from = addr.saturating_add(start as u64);
            let done = self.read_raw(pid, from, &mut bytes[start..])?;
            self.hide_breakpoints(pid, from, &mut bytes[start..start + done]);
            let mut from = start;
            while found.len() < most
                && let Some(at) = finder.find(&bytes[from..start + done])
            {
                found.push(addr + (from + at) as u64);
                from += at + 1;
            }
            let Some(next) = next_page(addr, start + done) else {
                break;
            };
            start = next;
        }
        Ok(found)
    }

    /// What is there, breakpoints included; as much as can be read.
    pub(crate) fn read_raw(
        &mut self,
        pid: Pid,
        addr: u64,
        bytes: &mut [u8],
    ) -> Result<usize, Error> {
        let (mem, tid) = self.mem(pid)?;
        let len = bytes.len();
        let mut done = match len {
            // Why it came to an end, the other way tells.
            MUCH.. => read_pieces(tid, &[Piece { addr, len }], bytes).unwrap_or(0),
            _ => 0,
        };
        if done < len {
            done += mem
                .read(addr + done as u64, &mut bytes[done..])
                .map_err(|e| Error::from_ptrace(e, tid))?;
        }
        Ok(done)
    }

    /// The word that is there, breakpoints included, if it can be read.
    pub(crate) fn word_at(&mut self, pid: Pid, addr: u64) -> Option<u64> {
        let mut word = [0; 8];
        let whole = self.read_raw(pid, addr, &mut word) == Ok(word.len());
        whole.then(|| u64::from_le_bytes(word))
    }

    /// Writes all bytes, breakpoints or not.
    pub(crate) fn write_raw(&mut self, pid: Pid, addr: u64, bytes: &[u8]) -> Result<(), Error> {
        let (mem, tid) = self.mem(pid)?;
        let done = mem
            .write(addr, bytes)
            .map_err(|e| Error::from_ptrace(e, tid))?;
        if done < bytes.len() {
            return Err(self.bad_address(pid, addr, done));
        }
        Ok(())
    }

    /// What looked like a pointer was none: told to the caller, logged,
    /// counted.
    pub(crate) fn bad_address(&mut self, pid: Pid, addr: u64, done: usize) -> Error {
        self.stats.unexpected += 1;
        let first = addr.saturating_add(done as u64);
        tracing::debug!(target: "pai::unexpected", %pid, addr = format_args!("{first:#x}"), "unreadable address");
        Error::BadAddress {
            pid,
            addr: first,
            done: done as u64,
        }
    }
}

/// Where the page behind `addr + at` begins, as a distance from `addr`.
fn next_page(addr: u64, at: usize) -> Option<usize> {
    let next = addr.checked_add(at as u64)? / PAGE * PAGE;
    usize::try_from(next.checked_add(PAGE)? - addr).ok()
}
