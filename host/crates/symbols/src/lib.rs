//! ELF and DWARF of one object: its symbols, lines, slots and unwind tables.
//!
//! Bytes in, tables out: nothing here knows of a process, and every address is
//! the one that the object was linked at ("vaddr"). Whoever knows where the
//! object was loaded adds the bias.
//!
//! What is read may come from a hostile target, so no byte of it is trusted.
//! Files are read piecewise with pread(2): a mapping would kill us with SIGBUS
//! when the target truncates its file. Every size, count, depth and amount of
//! work has a limit, most of them in [`limits`], and what is damaged is an
//! [`Error`] or is left out, never a panic.

mod debugfile;
mod demangle;
mod dynamic;
mod elf;
mod error;
mod frames;
pub mod limits;
mod lines;
mod names;
mod object;
mod pattern;
mod slots;
mod source;
mod table;
mod units;
mod unwind;

pub use debugfile::DebugSearch;
pub use demangle::demangle;
pub use elf::{Section, Segment};
pub use error::Error;
pub use lines::Frame;
pub use object::{Function, Object, Place};
pub use pattern::Pattern;
pub use slots::{Relocation, SlotKind};
pub use source::{Identity, Source};
pub use table::{Binding, Kind, Symbol};
pub use unwind::{REGISTERS, Registers};
