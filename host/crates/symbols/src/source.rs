//! Where the bytes of an object come from.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;

use crate::error::Error;

/// Says whether two files are the same, unchanged one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// st_dev.
    pub device: u64,
    /// st_ino.
    pub inode: u64,
    /// In bytes.
    pub size: u64,
    /// Seconds and nanoseconds of the last change.
    pub modified: (i64, i64),
}

/// The bytes of an object, in a file or in memory.
#[derive(Debug)]
pub struct Source {
    name: Rc<str>,
    data: Data,
    len: u64,
    identity: Option<Identity>,
    /// Bytes that were made of it so far.
    taken: Cell<u64>,
}

#[derive(Debug)]
enum Data {
    File(File),
    Memory(Rc<[u8]>),
}

impl Source {
    /// A file.
    ///
    /// The path may be chosen by a hostile target. Opening a pipe would block,
    /// opening a device may have effects (watchdog(4)), so that the file is
    /// looked at with O_PATH first, and opened again through that descriptor
    /// (proc(5), "/proc/pid/fd").
    ///
    /// # Errors
    /// `Io`, `NotAFile`.
    pub fn open(path: &Path, name: &str) -> Result<Self, Error> {
        let fail = |operation, error: &io::Error| Error::Io {
            file: name.to_owned(),
            operation,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        let seen = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)
            .map_err(|error| fail("open", &error))?;
        let meta = seen.metadata().map_err(|error| fail("look at", &error))?;
        if !meta.is_file() {
            return Err(Error::NotAFile {
                file: name.to_owned(),
            });
        }
        let file = File::open(format!("/proc/self/fd/{}", seen.as_raw_fd()))
            .map_err(|error| fail("open", &error))?;
        Ok(Self {
            name: name.into(),
            len: meta.len(),
            identity: Some(Identity {
                device: meta.dev(),
                inode: meta.ino(),
                size: meta.len(),
                modified: (meta.mtime(), meta.mtime_nsec()),
            }),
            data: Data::File(file),
            taken: Cell::new(0),
        })
    }

    /// Bytes that were read from somewhere else.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.into(),
            len: bytes.len() as u64,
            identity: None,
            taken: Cell::new(0),
            data: Data::Memory(bytes.into()),
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In bytes, when it was opened.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Which file it is; `None` for memory.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Bytes that were read of it, or unpacked, so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.taken
            .set(self.taken.get().saturating_add(bytes as u64));
    }

    pub(crate) fn corrupt(&self, what: &'static str, at: u64) -> Error {
        Error::Corrupt {
            file: self.name.to_string(),
            what,
            at,
        }
    }

    pub(crate) fn too_large(&self, what: &'static str, size: u64, limit: u64) -> Error {
        Error::TooLarge {
            file: self.name.to_string(),
            what,
            size,
            limit,
        }
    }

    pub(crate) fn unsupported(&self, what: &'static str) -> Error {
        Error::Unsupported {
            file: self.name.to_string(),
            what,
        }
    }

    /// Exactly `len` bytes, which may be at most `limit`. Nothing is allocated
    /// for what is not there.
    pub(crate) fn read(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; self.check(what, at, len, limit)?];
        self.fill(what, at, &mut bytes)?;
        Ok(bytes)
    }

    /// As [`Source::read`], into what can be shared without a copy.
    pub(crate) fn read_shared(
        &self,
        what: &'static str,
        at: u64,
        len: u64,
        limit: u64,
    ) -> Result<Rc<[u8]>, Error> {
        let len = self.check(what, at, len, limit)?;
        let mut bytes = zeroed(len);
        if let Some(bytes) = Rc::get_mut(&mut bytes) {
            self.fill(what, at, bytes)?;
        }
        Ok(bytes)
    }

    fn check(&self, what: &'static str, at: u64, len: u64, limit: u64) -> Result<usize, Error> {
        if len > limit {
            return Err(self.too_large(what, len, limit));
        }
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(self.corrupt(what, at));
        }
        let len = usize::try_from(len).map_err(|_| self.too_large(what, len, limit))?;
        self.take(len);
        Ok(len)
    }

    pub(crate) fn fill(&self, what: &'static str, at: u64, bytes: &mut [u8]) -> Result<(), Error> {
        match &self.data {
            Data::File(file) => match file.read_exact_at(bytes, at) {
                Ok(()) => Ok(()),
                // It has become shorter.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(self.corrupt(what, at))
                }
                Err(error) => Err(Error::Io {
                    file: self.name.to_string(),
                    operation: "read",
                    errno: error.raw_os_error().unwrap_or(libc::EIO),
                }),
            },
            Data::Memory(memory) => {
                let from = usize::try_from(at).ok();
                let part = from.and_then(|from| memory.get(from..from.checked_add(bytes.len())?));
                bytes.copy_from_slice(part.ok_or_else(|| self.corrupt(what, at))?);
                Ok(())
            }
        }
    }
}

/// Shared bytes that can still be changed, made without a copy.
pub(crate) fn zeroed(len: usize) -> Rc<[u8]> {
    std::iter::repeat_n(0, len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        for path in ["/", "/dev/null", "/proc/self/fd"] {
            let error = Source::open(Path::new(path), path).unwrap_err();
            assert!(matches!(error, Error::NotAFile { .. }), "{error}");
        }
        let error = Source::open(Path::new("/nonexistent"), "it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "it: cannot open it: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn reads_are_checked() {
        let source = Source::from_bytes("x", b"abcdef");
        assert_eq!(source.read("part", 2, 3, 10), Ok(b"cde".to_vec()));
        assert_eq!(source.read("part", 6, 0, 10), Ok(vec![]));
        for (at, len) in [(6, 1), (0, 7), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(source.read("part", at, len, u64::MAX).is_err());
        }
        assert_eq!(
            source.read("part", 0, 6, 5).unwrap_err().to_string(),
            "x: part too large: 6, the limit is 5"
        );
        assert_eq!(source.read_shared("part", 0, 6, 6).unwrap()[..], *b"abcdef");
    }
}
