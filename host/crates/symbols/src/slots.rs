//! Slots that the dynamic loader fills in: the global offset table, and the
//! stubs that jump through it.

use object::elf;

use crate::dynamic::Dynamic;
use crate::elf::{Elf, u32_at, u64_at};
use crate::error::Error;
use crate::limits;
use crate::names::hash;
use crate::source::Source;

/// How a slot is filled in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SlotKind {
    /// R_X86_64_JUMP_SLOT: of a call, perhaps only when it is first made.
    JumpSlot,
    /// R_X86_64_GLOB_DAT: of code that takes the address itself.
    GlobDat,
    /// R_X86_64_64: data that holds the address.
    Absolute,
    /// R_X86_64_IRELATIVE: with what the function at the addend returns.
    IRelative,
}

/// A slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relocation<'a> {
    /// Its address at link time.
    pub slot: u64,
    /// How it is filled in.
    pub kind: SlotKind,
    /// Whose address it gets; empty for `IRelative`.
    pub name: &'a [u8],
    /// Which version of it, if that is said.
    pub version: Option<&'a [u8]>,
    /// What is added to it.
    pub addend: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Slot {
    slot: u64,
    kind: SlotKind,
    symbol: u32,
    addend: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// By address.
    slots: Vec<Slot>,
    /// (hash of the name, index), sorted.
    by_name: Vec<(u32, u32)>,
    pub(crate) damage: Vec<Error>,
}

impl Slots {
    pub(crate) fn parse(elf: &Elf, dynamic: Option<&Dynamic>, source: &Source) -> Self {
        let mut slots = Self::default();
        for result in [
            slots.add_dynamic(elf, dynamic, source),
            slots.add_sections(elf, source),
        ] {
            if let Err(error) = result {
                slots.damage.push(error);
            }
        }
        slots.slots.sort_unstable();
        slots.slots.dedup();
        if let Some(dynamic) = dynamic {
            slots.by_name = (0..)
                .zip(&slots.slots)
                .filter_map(|(index, slot)| Some((hash(dynamic.symbol_name(slot.symbol)?), index)))
                .collect();
            slots.by_name.sort_unstable();
        }
        slots
    }

    fn add_dynamic(
        &mut self,
        elf: &Elf,
        dynamic: Option<&Dynamic>,
        source: &Source,
    ) -> Result<(), Error> {
        let Some(dynamic) = dynamic else {
            return Ok(());
        };
        let with_addend = dynamic.get(elf::DT_PLTREL) != Some(elf::DT_REL.cast_unsigned());
        for (at, len, with_addend) in [
            (elf::DT_JMPREL, elf::DT_PLTRELSZ, with_addend),
            (elf::DT_RELA, elf::DT_RELASZ, true),
            (elf::DT_REL, elf::DT_RELSZ, false),
        ] {
            if let (Some(at), Some(len)) = (dynamic.get(at), dynamic.get(len)) {
                let bytes = elf.read_at(source, "relocations", at, len, limits::SECTION)?;
                self.add(elf, source, &bytes, with_addend)?;
            }
        }
        Ok(())
    }

    /// Those of static programs are not in a dynamic section.
    fn add_sections(&mut self, elf: &Elf, source: &Source) -> Result<(), Error> {
        for section in &elf.sections {
            let with_addend = section.kind == elf::SHT_RELA;
            let loaded = section.flags & u64::from(elf::SHF_ALLOC) != 0;
            if loaded && (with_addend || section.kind == elf::SHT_REL) {
                let (at, len) = (section.offset, section.size);
                let bytes = source.read("relocations", at, len, limits::SECTION)?;
                self.add(elf, source, &bytes, with_addend)?;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        elf: &Elf,
        source: &Source,
        bytes: &[u8],
        with_addend: bool,
    ) -> Result<(), Error> {
        let word = if elf.wide { 8 } else { 4 };
        let size = if with_addend { 3 * word } else { 2 * word };
        let field = |b: &[u8], n: usize| {
            if elf.wide {
                u64_at(b, n * 8)
            } else {
                u32_at(b, n * 4).map(u64::from)
            }
        };
        for entry in bytes.chunks_exact(size) {
            let (Some(slot), Some(info)) = (field(entry, 0), field(entry, 1)) else {
                continue;
            };
            let (symbol, kind) = if elf.wide {
                (info >> 32, info & 0xffff_ffff)
            } else {
                (info >> 8, info & 0xff)
            };
            let Some(kind) = kind_of(elf.machine, kind, symbol) else {
                continue;
            };
            if self.slots.len() as u64 >= 2 * limits::RELOCATIONS {
                let limit = limits::RELOCATIONS;
                return Err(source.too_large("relocations", limit + 1, limit));
            }
            self.slots.push(Slot {
                slot,
                kind,
                symbol: u32::try_from(symbol).unwrap_or(0),
                addend: field(entry, 2).filter(|_| with_addend).unwrap_or(0),
            });
        }
        Ok(())
    }

    fn relocation<'a>(&self, index: usize, dynamic: Option<&'a Dynamic>) -> Relocation<'a> {
        let slot = self.slots[index];
        let named = dynamic.filter(|_| slot.symbol != 0);
        Relocation {
            slot: slot.slot,
            kind: slot.kind,
            name: named
                .and_then(|d| d.symbol_name(slot.symbol))
                .unwrap_or_default(),
            version: named.and_then(|d| d.symbol_version(slot.symbol)),
            addend: slot.addend,
        }
    }

    pub(crate) fn iter<'a>(
        &'a self,
        dynamic: Option<&'a Dynamic>,
    ) -> impl Iterator<Item = Relocation<'a>> {
        (0..self.slots.len()).map(move |index| self.relocation(index, dynamic))
    }

    /// The slots of a name.
    pub(crate) fn by_name<'a>(
        &'a self,
        name: &'a [u8],
        dynamic: Option<&'a Dynamic>,
    ) -> impl Iterator<Item = Relocation<'a>> {
        let hash = hash(name);
        let from = self.by_name.partition_point(|(other, _)| *other < hash);
        self.by_name[from..]
            .iter()
            .take_while(move |(other, _)| *other == hash)
            .map(move |(_, index)| self.relocation(*index as usize, dynamic))
            .filter(move |relocation| relocation.name == name)
    }

    /// What is filled into a slot.
    pub(crate) fn at<'a>(&self, slot: u64, dynamic: Option<&'a Dynamic>) -> Option<Relocation<'a>> {
        let index = self.slots.partition_point(|s| s.slot < slot);
        let found = self.slots.get(index).is_some_and(|s| s.slot == slot);
        found.then(|| self.relocation(index, dynamic))
    }
}

/// The kinds of relocation that fill in an address. The numbers differ between
/// the machines only where they are written out here.
fn kind_of(machine: u16, kind: u64, symbol: u64) -> Option<SlotKind> {
    let kind = u32::try_from(kind).ok()?;
    match (machine, kind) {
        (elf::EM_X86_64, elf::R_X86_64_IRELATIVE) | (elf::EM_386, elf::R_386_IRELATIVE) => {
            Some(SlotKind::IRelative)
        }
        _ if symbol == 0 => None,
        (elf::EM_X86_64, elf::R_X86_64_JUMP_SLOT) | (elf::EM_386, elf::R_386_JMP_SLOT) => {
            Some(SlotKind::JumpSlot)
        }
        (elf::EM_X86_64, elf::R_X86_64_GLOB_DAT) | (elf::EM_386, elf::R_386_GLOB_DAT) => {
            Some(SlotKind::GlobDat)
        }
        (elf::EM_X86_64, elf::R_X86_64_64) | (elf::EM_386, elf::R_386_32) => {
            Some(SlotKind::Absolute)
        }
        _ => None,
    }
}

/// The slot that a stub jumps through: its `jmp *slot(%rip)`, which may stand
/// behind an `endbr64` and have a `bnd` prefix.
pub(crate) fn stub_target(code: &[u8], vaddr: u64) -> Option<u64> {
    let at = code.windows(2).position(|two| two == [0xff, 0x25])?;
    let distance = i64::from(u32_at(code, at + 2)?.cast_signed());
    vaddr
        .checked_add(at as u64 + 6)?
        .checked_add_signed(distance)
}

/// Whether a section holds such stubs.
pub(crate) fn is_stubs(section: &[u8]) -> bool {
    section == b".plt" || section.starts_with(b".plt.") || section == b".iplt"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_are_understood() {
        let plain = [0xff, 0x25, 0x10, 0, 0, 0, 0x68, 0, 0, 0, 0];
        assert_eq!(stub_target(&plain, 0x1000), Some(0x1016));
        let endbr = [
            0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0xf0, 0xff, 0xff, 0xff,
        ];
        assert_eq!(stub_target(&endbr, 0x1000), Some(0x1000 + 11 - 16));
        assert_eq!(stub_target(&[0x90; 16], 0x1000), None);
        assert_eq!(stub_target(&[0xff, 0x25, 1], 0x1000), None);
        assert_eq!(stub_target(&plain, u64::MAX), None);
    }
}
