//! The shape of a generated table, and lookups in it.

use crate::abi::{self, Abi};
use crate::generated::{aarch64, i386, x86_64};

/// A system call's name, and how many arguments the kernel reads if known.
pub(crate) type Entry = (&'static str, Option<u8>);

/// The system calls of one ABI.
pub(crate) struct Table {
    /// Indexed by number; `None` where the number is unassigned.
    pub(crate) by_number: &'static [Option<Entry>],
    /// The assigned numbers, sorted by name.
    pub(crate) by_name: &'static [u16],
}

impl Table {
    pub(crate) fn of(abi: Abi) -> Option<&'static Self> {
        match abi {
            abi::X86_64 => Some(&x86_64::TABLE),
            abi::I386 => Some(&i386::TABLE),
            abi::AARCH64 => Some(&aarch64::TABLE),
            _ => None,
        }
    }

    pub(crate) fn entry(&self, number: u32) -> Option<Entry> {
        let index = usize::try_from(number).ok()?;
        *self.by_number.get(index)?
    }

    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        // `None` would sort first, but every number in `by_name` has an entry.
        let name_of = |number: u16| self.entry(number.into()).map(|(name, _)| name);
        let index = self
            .by_name
            .binary_search_by(|&number| name_of(number).cmp(&Some(name)))
            .ok()?;
        Some(self.by_name[index].into())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, Entry)> {
        (0..)
            .zip(self.by_number)
            .filter_map(|(number, entry)| Some((number, (*entry)?)))
    }
}
