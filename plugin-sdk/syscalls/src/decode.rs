//! What the arguments and results of system calls mean.
//!
//! Each call is described by one line of a table (`calls!` in [`schema`]), with
//! structures and sets of names that are described the same way. From that follows
//!
//! * what has to be read of a target's memory when a call is made and when it returns
//!   ([`wants`]), which the host does;
//! * the typed form of a call ([`decode`]) from its registers and what was read
//!   ([`Captured`]), wherever it is wanted: the walk is the same ([`walk`]);
//! * text as strace(1) writes it ([`text`]), and JSON ([`json`]).
//!
//! What a target says is believed nowhere: lengths are capped, nothing follows
//! pointers for ever, and what could not be read is shown as the number that it is.

mod ask;
pub mod captured;
mod declare;
mod descriptor;
mod ends;
pub mod json;
mod layout;
mod limits;
mod plan;
mod read;
pub mod schema;
pub mod stack;
pub mod text;
mod value;
mod view;
mod walk;

mod common;
mod files;
mod ioctl;
mod ipc;
mod kernel;
mod memory;
mod mounts;
mod net;
mod polls;
mod process;
mod signals;
mod system;
mod times;

pub use ask::{AT_FDCWD, FileName, SocketAddress};
pub use captured::{Captured, When};
pub use descriptor::Descriptor;
pub use limits::{Descriptors, Limits};
pub use plan::{MAX_WANTS, Mentioned, Want, mentioned, wants};
pub use read::{Argument, Decoded, decode, scalar};
pub use signals::siginfo::siginfo;
pub use value::{Bytes, Field, Fields, Items, Value, file_type, major_minor};
pub use view::View;

use schema::Call;

use crate::abi::Abi;

/// Results from -4095 to -1 are errors (syscall(2), IS_ERR_VALUE in linux/err.h).
#[must_use]
pub fn is_error(ret: i64) -> bool {
    (-4095..0).contains(&ret)
}

/// The description of a call; `None` for one that is not known.
#[must_use]
pub fn describe(abi: Abi, number: u32) -> Option<&'static Call> {
    index::of(abi, number)
}

mod index;

#[cfg(test)]
mod tests;
