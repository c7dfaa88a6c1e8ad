//! The symbols of an object: by name, by address.

use object::elf;

use crate::elf::{u16_at, u32_at, u64_at};
use crate::error::Error;
use crate::limits;
use crate::names::{Strings, hash};
use crate::source::Source;

/// What a symbol stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// STT_FUNC.
    Function,
    /// STT_GNU_IFUNC: its value is that of a function which returns the address
    /// of the function that is meant.
    Ifunc,
    /// STT_OBJECT, STT_COMMON: data.
    Object,
    /// STT_TLS: its value is an offset into the block of each thread.
    Tls,
    /// STT_NOTYPE: a label.
    Untyped,
}

impl Kind {
    fn decode(info: u8) -> Option<Self> {
        match info & 15 {
            elf::STT_NOTYPE => Some(Kind::Untyped),
            elf::STT_OBJECT | elf::STT_COMMON => Some(Kind::Object),
            elf::STT_FUNC => Some(Kind::Function),
            elf::STT_TLS => Some(Kind::Tls),
            elf::STT_GNU_IFUNC => Some(Kind::Ifunc),
            // STT_SECTION and STT_FILE name no address.
            _ => None,
        }
    }
}

/// Who may see a symbol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Binding {
    /// STB_GLOBAL, STB_GNU_UNIQUE.
    Global,
    /// STB_WEAK.
    Weak,
    /// STB_LOCAL, or not visible outside of its object.
    Local,
}

/// A symbol that the object defines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol<'a> {
    /// As the linker knows it, without a version.
    pub name: &'a [u8],
    /// Its address at link time.
    pub value: u64,
    /// Bytes; 0 when unknown.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Who may see it.
    pub binding: Binding,
    /// Whether a program that names no version gets another one.
    pub hidden: bool,
    /// Index of its version, when it has one.
    pub version: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    value: u64,
    size: u64,
    name: u32,
    len: u16,
    /// VERSYM index without the hidden bit, 0 for none.
    version: u16,
    strings: u8,
    kind: Kind,
    binding: Binding,
    hidden: bool,
}

impl Entry {
    /// The lower, the rather it is the one that is meant by its name.
    fn rank(&self) -> (bool, Binding, bool) {
        (self.hidden, self.binding, self.version == 0)
    }

    fn end(&self) -> u64 {
        self.value.saturating_add(self.size)
    }
}

/// How far back a look-up goes for a symbol that covers an address, past those
/// that begin behind it. Symbols lie inside each other only now and then.
const NESTED: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Table {
    strings: Vec<Strings>,
    entries: Vec<Entry>,
    /// (hash of the name, index), sorted; the best of one name first.
    by_name: Vec<(u32, u32)>,
    /// Sorted by value; of those with one value, the best last.
    by_value: Vec<u32>,
    /// The furthest end of those up to here in `by_value`.
    reach: Vec<u64>,
    names: u64,
}

/// Raw bytes of a symbol table and what belongs to it.
pub(crate) struct Raw<'a> {
    pub(crate) wide: bool,
    pub(crate) symbols: &'a [u8],
    pub(crate) strings: Strings,
    /// SHT_GNU_versym.
    pub(crate) versions: &'a [u8],
}

impl Raw<'_> {
    pub(crate) fn entry_size(wide: bool) -> usize {
        if wide { 24 } else { 16 }
    }
}

impl Table {
    /// Adds what a symbol table defines.
    pub(crate) fn add(&mut self, source: &Source, raw: &Raw<'_>) -> Result<(), Error> {
        let what = "symbol names";
        let size = Raw::entry_size(raw.wide);
        let table = u8::try_from(self.strings.len()).unwrap_or(u8::MAX);
        for (index, bytes) in raw.symbols.chunks_exact(size).enumerate() {
            let Some(symbol) = decode(bytes, raw.wide) else {
                continue;
            };
            // Nothing defines the first, absolute ones are no addresses.
            if matches!(symbol.section, elf::SHN_UNDEF | elf::SHN_ABS) {
                continue;
            }
            let Some(kind) = Kind::decode(symbol.info) else {
                continue;
            };
            let Some(full) = raw.strings.get(symbol.name) else {
                continue;
            };
            self.names += full.len() as u64;
            if self.names > limits::NAMES {
                return Err(source.too_large(what, self.names, limits::NAMES));
            }
            let (len, hidden) = without_version(full);
            let version = u16_at(raw.versions, index * 2).unwrap_or(0);
            let outside = matches!(symbol.other & 3, elf::STV_DEFAULT | elf::STV_PROTECTED);
            let binding = match symbol.info >> 4 {
                elf::STB_GLOBAL | elf::STB_GNU_UNIQUE if outside => Binding::Global,
                elf::STB_WEAK if outside => Binding::Weak,
                _ => Binding::Local,
            };
            self.entries.push(Entry {
                value: symbol.value,
                size: symbol.size,
                name: symbol.name,
                len: u16::try_from(len).unwrap_or(0),
                version: version & elf::VERSYM_VERSION,
                strings: table,
                kind,
                binding,
                hidden: hidden || version & elf::VERSYM_HIDDEN != 0,
            });
        }
        self.strings.push(raw.strings.clone());
        Ok(())
    }

    /// To be called when all have been added.
    pub(crate) fn finish(&mut self) {
        let entries = &self.entries;
        let strings = &self.strings;
        let name_of = |entry: &Entry| slice(strings, entry);
        // What .symtab and .dynsym both have stands next to each other then.
        let mut order: Vec<(u32, u32)> = (0..)
            .zip(entries)
            .map(|(index, entry)| (hash(name_of(entry)), index))
            .collect();
        let at = |index: u32| &entries[index as usize];
        order.sort_unstable_by_key(|(hash, index)| {
            let entry = at(*index);
            (*hash, entry.value, entry.rank(), *index)
        });
        order.dedup_by(|(hash, index), (kept_hash, kept)| {
            let (entry, kept) = (at(*index), at(*kept));
            hash == kept_hash && entry.value == kept.value && name_of(entry) == name_of(kept)
        });
        order.sort_unstable_by_key(|(hash, index)| {
            let entry = at(*index);
            (*hash, entry.rank(), entry.value, *index)
        });
        let mut by_value: Vec<u32> = order
            .iter()
            .map(|(_, index)| *index)
            .filter(|index| at(*index).kind != Kind::Tls)
            .collect();
        by_value.sort_unstable_by_key(|index| {
            let entry = at(*index);
            let typed = entry.kind != Kind::Untyped;
            let rank = std::cmp::Reverse((entry.binding, entry.hidden, entry.len));
            (entry.value, entry.size > 0, typed, rank, *index)
        });
        self.reach = by_value
            .iter()
            .scan(0, |reach, index| {
                *reach = at(*index).end().max(*reach);
                Some(*reach)
            })
            .collect();
        self.by_name = order;
        self.by_value = by_value;
    }

    fn symbol(&self, index: u32) -> Symbol<'_> {
        let entry = &self.entries[index as usize];
        Symbol {
            name: slice(&self.strings, entry),
            value: entry.value,
            size: entry.size,
            kind: entry.kind,
            binding: entry.binding,
            hidden: entry.hidden,
            version: (entry.version > 1).then_some(entry.version),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// All of this name, the one that is meant by it first.
    pub(crate) fn by_name(&self, name: &[u8]) -> impl Iterator<Item = Symbol<'_>> {
        let hash = hash(name);
        let from = self.by_name.partition_point(|(other, _)| *other < hash);
        self.by_name[from..]
            .iter()
            .take_while(move |(other, _)| *other == hash)
            .map(|(_, index)| self.symbol(*index))
            .filter(move |symbol| symbol.name == name)
    }

    /// One by its number, which [`Table::named`] gives.
    pub(crate) fn nth(&self, number: u32) -> Symbol<'_> {
        self.symbol(number)
    }

    /// All with their numbers, in no order.
    pub(crate) fn named(&self) -> impl Iterator<Item = (u32, Symbol<'_>)> {
        let numbers = self.by_name.iter().map(|(_, index)| *index);
        numbers.map(|index| (index, self.symbol(index)))
    }

    /// All, by address; those without one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        let tls = self.by_name.iter().map(|(_, index)| *index);
        tls.filter(|index| self.entries[*index as usize].kind == Kind::Tls)
            .chain(self.by_value.iter().copied())
            .map(|index| self.symbol(index))
    }

    /// The innermost symbol that covers an address.
    pub(crate) fn covering(&self, vaddr: u64) -> Option<Symbol<'_>> {
        let behind = self.behind(vaddr);
        let from = behind.saturating_sub(NESTED);
        for at in (from..behind).rev() {
            if self.reach[at] <= vaddr {
                return None;
            }
            let index = self.by_value[at];
            if self.entries[index as usize].end() > vaddr {
                return Some(self.symbol(index));
            }
        }
        None
    }

    /// The last symbol of unknown size at or before an address, unless one of
    /// known size is nearer.
    pub(crate) fn before(&self, vaddr: u64) -> Option<Symbol<'_>> {
        let last = self.behind(vaddr).checked_sub(1)?;
        let symbol = self.symbol(self.by_value[last]);
        (symbol.size == 0).then_some(symbol)
    }

    fn behind(&self, vaddr: u64) -> usize {
        self.by_value
            .partition_point(|index| self.entries[*index as usize].value <= vaddr)
    }
}

fn slice<'a>(strings: &'a [Strings], entry: &Entry) -> &'a [u8] {
    strings
        .get(usize::from(entry.strings))
        .map_or(&[], |strings| strings.slice(entry.name, entry.len))
}

/// Length of the name without `@VERSION`, and whether that is another version
/// than the one that is meant by the name alone (`@@`).
fn without_version(name: &[u8]) -> (usize, bool) {
    match memchr::memchr(b'@', name) {
        Some(at) if at > 0 => (at, name.get(at + 1) != Some(&b'@')),
        _ => (name.len(), false),
    }
}

/// One entry of a symbol table, raw.
pub(crate) struct Sym {
    pub(crate) name: u32,
    pub(crate) info: u8,
    pub(crate) other: u8,
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

pub(crate) fn decode(b: &[u8], wide: bool) -> Option<Sym> {
    Some(if wide {
        Sym {
            name: u32_at(b, 0)?,
            info: *b.get(4)?,
            other: *b.get(5)?,
            section: u16_at(b, 6)?,
            value: u64_at(b, 8)?,
            size: u64_at(b, 16)?,
        }
    } else {
        Sym {
            name: u32_at(b, 0)?,
            value: u32_at(b, 4)?.into(),
            size: u32_at(b, 8)?.into(),
            info: *b.get(12)?,
            other: *b.get(13)?,
            section: u16_at(b, 14)?,
        }
    })
}
