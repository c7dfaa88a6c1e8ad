//! What the dynamic loader reads: PT_DYNAMIC and what it points to. It is there
//! in every file that can be loaded, also when the section headers are not.

use object::elf;
use rustc_hash::FxHashMap;

use crate::elf::{Elf, u16_at, u32_at, u64_at};
use crate::error::Error;
use crate::limits;
use crate::names::Strings;
use crate::source::Source;
use crate::table::{Raw, Sym, decode};

#[derive(Debug)]
pub(crate) struct Dynamic {
    tags: Vec<(i64, u64)>,
    /// Address of the value of DT_DEBUG.
    pub(crate) debug: Option<u64>,
    wide: bool,
    symbols: Vec<u8>,
    pub(crate) strings: Strings,
    versions: Vec<u8>,
    /// Names of versions by index.
    names: FxHashMap<u16, u32>,
    pub(crate) soname: Option<Vec<u8>>,
    /// What could not be read.
    pub(crate) damage: Vec<Error>,
}

impl Dynamic {
    /// `None` for what is not linked dynamically.
    pub(crate) fn parse(elf: &Elf, source: &Source) -> Option<Self> {
        let segment = elf.segments.iter().find(|s| s.kind == elf::PT_DYNAMIC)?;
        let mut dynamic = Self {
            tags: Vec::new(),
            debug: None,
            wide: elf.wide,
            symbols: Vec::new(),
            strings: Strings::empty(),
            versions: Vec::new(),
            names: FxHashMap::default(),
            soname: None,
            damage: Vec::new(),
        };
        if let Err(error) = dynamic.read_tags(elf, source, segment.vaddr) {
            dynamic.damage.push(error);
        }
        if let Err(error) = dynamic.read_symbols(elf, source) {
            dynamic.damage.push(error);
        }
        if let Err(error) = dynamic.read_versions(elf, source) {
            dynamic.damage.push(error);
        }
        Some(dynamic)
    }

    pub(crate) fn get(&self, tag: i64) -> Option<u64> {
        self.tags
            .iter()
            .find(|(other, _)| *other == tag)
            .map(|(_, value)| *value)
    }

    fn word(&self) -> u64 {
        if self.wide { 8 } else { 4 }
    }

    fn read_tags(&mut self, elf: &Elf, source: &Source, vaddr: u64) -> Result<(), Error> {
        let word = self.word();
        let most = limits::DYNAMIC * word * 2;
        let bytes = elf.read_from(source, "dynamic section", vaddr, most)?;
        let step = usize::try_from(word * 2).unwrap_or(16);
        for (entry, at) in bytes.chunks_exact(step).zip((vaddr..).step_by(step)) {
            let pair = if self.wide {
                u64_at(entry, 0).zip(u64_at(entry, 8))
            } else {
                let narrow = |at| u32_at(entry, at).map(u64::from);
                narrow(0).zip(narrow(4))
            };
            let Some((tag, value)) = pair else { break };
            let tag = tag.cast_signed();
            if tag == elf::DT_NULL {
                return Ok(());
            }
            if tag == elf::DT_DEBUG {
                self.debug = at.checked_add(word);
            }
            self.tags.push((tag, value));
        }
        Err(source.corrupt("the dynamic section has no end", vaddr))
    }

    fn read_symbols(&mut self, elf: &Elf, source: &Source) -> Result<(), Error> {
        if let (Some(at), Some(len)) = (self.get(elf::DT_STRTAB), self.get(elf::DT_STRSZ)) {
            let what = "dynamic names";
            let bytes = elf.read_at(source, what, at, len, limits::SECTION)?;
            self.strings = Strings::new(bytes.into());
            self.soname = self
                .get(elf::DT_SONAME)
                .and_then(|at| self.strings.get(u32::try_from(at).ok()?))
                .map(<[u8]>::to_vec);
        }
        let Some(at) = self.get(elf::DT_SYMTAB) else {
            return Ok(());
        };
        let count = self.count(elf, source, at)?;
        if count > limits::SYMBOLS {
            return Err(source.too_large("dynamic symbols", count, limits::SYMBOLS));
        }
        let len = count * Raw::entry_size(self.wide) as u64;
        self.symbols = elf.read_at(source, "dynamic symbols", at, len, len)?;
        if let Some(at) = self.get(elf::DT_VERSYM) {
            self.versions = elf.read_at(source, "symbol versions", at, count * 2, len)?;
        }
        Ok(())
    }

    /// How many symbols there are, which the dynamic section does not say: its
    /// hash tables do, or the header of the section.
    fn count(&self, elf: &Elf, source: &Source, symbols: u64) -> Result<u64, Error> {
        let section = elf.sections.iter().find(|s| s.kind == elf::SHT_DYNSYM);
        if let Some(section) = section.filter(|s| s.addr == symbols) {
            return Ok(section.size / Raw::entry_size(self.wide) as u64);
        }
        if let Some(at) = self.get(elf::DT_HASH) {
            let header = elf.read_at(source, "symbol hash table", at, 8, 8)?;
            return Ok(u32_at(&header, 4).unwrap_or(0).into());
        }
        match self.get(elf::DT_GNU_HASH) {
            Some(at) => self.count_hashed(elf, source, at),
            None => Ok(0),
        }
    }

    /// The last symbol is the last one of the chain that begins last.
    fn count_hashed(&self, elf: &Elf, source: &Source, at: u64) -> Result<u64, Error> {
        let what = "GNU symbol hash table";
        let bytes = elf.read_from(source, what, at, limits::SECTION)?;
        let bad = || source.corrupt(what, at);
        let field = |at| u32_at(&bytes, at).ok_or_else(bad);
        let (buckets, first, bloom) = (field(0)?, field(4)?, field(8)?);
        let buckets_at = 16 + u64::from(bloom) * self.word();
        let chains_at = buckets_at + u64::from(buckets) * 4;
        let index = |at: u64| usize::try_from(at).map_err(|_| bad());
        let range = index(buckets_at)?..index(chains_at)?;
        let table = bytes.get(range).ok_or_else(bad)?;
        let last = table.chunks_exact(4).filter_map(|b| u32_at(b, 0)).max();
        let Some(mut last) = last.filter(|last| *last >= first).map(u64::from) else {
            // Only undefined ones, which are not hashed.
            return Ok(first.into());
        };
        loop {
            let at = index(chains_at + (last - u64::from(first)) * 4)?;
            last += 1;
            if field(at)? & 1 != 0 {
                return Ok(last);
            }
        }
    }

    fn read_versions(&mut self, elf: &Elf, source: &Source) -> Result<(), Error> {
        let mut read = |tag, number, definitions| {
            let (Some(at), Some(count)) = (self.get(tag), self.get(number)) else {
                return Ok(());
            };
            let bytes = elf.read_from(source, "symbol versions", at, 4 << 20)?;
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let names = version_names(&bytes, count.min(limits::VERSIONS), definitions);
            self.names.extend(names);
            Ok(())
        };
        read(elf::DT_VERDEF, elf::DT_VERDEFNUM, true)?;
        read(elf::DT_VERNEED, elf::DT_VERNEEDNUM, false)
    }

    /// The symbol table, if it has one.
    pub(crate) fn raw(&self) -> Raw<'_> {
        Raw {
            wide: self.wide,
            symbols: &self.symbols,
            strings: self.strings.clone(),
            versions: &self.versions,
        }
    }

    pub(crate) fn symbol(&self, index: u32) -> Option<Sym> {
        let size = Raw::entry_size(self.wide);
        let at = (index as usize).checked_mul(size)?;
        decode(self.symbols.get(at..at.checked_add(size)?)?, self.wide)
    }

    pub(crate) fn symbol_name(&self, index: u32) -> Option<&[u8]> {
        self.strings.get(self.symbol(index)?.name)
    }

    /// Name of the version that a symbol has or needs.
    pub(crate) fn symbol_version(&self, index: u32) -> Option<&[u8]> {
        let version = u16_at(&self.versions, (index as usize).checked_mul(2)?)?;
        self.version_name(version & elf::VERSYM_VERSION)
    }

    pub(crate) fn version_name(&self, version: u16) -> Option<&[u8]> {
        self.strings.get(*self.names.get(&version)?)
    }
}

/// Index and name of each version of a SHT_GNU_verdef or SHT_GNU_verneed. Both
/// are lists of lists whose links lead forward only.
fn version_names(bytes: &[u8], count: u32, definitions: bool) -> Vec<(u16, u32)> {
    let mut names = Vec::new();
    let mut at = 0_usize;
    for _ in 0..count {
        let more = if definitions {
            definition(bytes, at, &mut names)
        } else {
            need(bytes, at, &mut names)
        };
        match more {
            Some(next) if next > 0 => at = at.saturating_add(next as usize),
            _ => break,
        }
    }
    names
}

/// An Elfxx_Verdef; its first Verdaux has its name.
fn definition(bytes: &[u8], at: usize, names: &mut Vec<(u16, u32)>) -> Option<u32> {
    let index = u16_at(bytes, at.checked_add(4)?)?;
    let aux = at.checked_add(u32_at(bytes, at.checked_add(12)?)? as usize)?;
    names.push((index, u32_at(bytes, aux)?));
    u32_at(bytes, at.checked_add(16)?)
}

/// An Elfxx_Verneed with an Elfxx_Vernaux per version.
fn need(bytes: &[u8], at: usize, names: &mut Vec<(u16, u32)>) -> Option<u32> {
    let count = u16_at(bytes, at.checked_add(2)?)?;
    let mut aux = at.checked_add(u32_at(bytes, at.checked_add(8)?)? as usize)?;
    for _ in 0..count {
        if names.len() >= limits::VERSIONS as usize {
            return None;
        }
        let index = u16_at(bytes, aux.checked_add(6)?)?;
        names.push((index, u32_at(bytes, aux.checked_add(8)?)?));
        match u32_at(bytes, aux.checked_add(12)?)? {
            0 => break,
            next => aux = aux.checked_add(next as usize)?,
        }
    }
    u32_at(bytes, at.checked_add(12)?)
}
