//! What can be wrong with an object.

use std::io;

/// Why something of an object cannot be had. Each names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel said no.
    #[error("{file}: cannot {operation} it: {}", io::Error::from_raw_os_error(*.errno))]
    Io {
        /// Which file.
        file: String,
        /// What was tried.
        operation: &'static str,
        /// errno, positive.
        errno: i32,
    },
    /// A directory, a device, a pipe.
    #[error("{file}: not a regular file")]
    NotAFile {
        /// Which file.
        file: String,
    },
    /// Something else.
    #[error("{file}: not an ELF file")]
    NotElf {
        /// Which file.
        file: String,
    },
    /// It does not follow its format.
    #[error("{file}: damaged: {what} at {at:#x}")]
    Corrupt {
        /// Which file.
        file: String,
        /// What is wrong.
        what: &'static str,
        /// Offset in the file or the section, or an address: where it was seen.
        at: u64,
    },
    /// More than we are ready to look at.
    #[error("{file}: {what} too large: {size}, the limit is {limit}")]
    TooLarge {
        /// Which file.
        file: String,
        /// What is.
        what: &'static str,
        /// How much it is.
        size: u64,
        /// How much it may be.
        limit: u64,
    },
    /// Of a kind that we do not know.
    #[error("{file}: {what} not supported")]
    Unsupported {
        /// Which file.
        file: String,
        /// What is not.
        what: &'static str,
    },
}
