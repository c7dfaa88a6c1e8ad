//! Headers of an ELF file (elf(5)).

use std::ops::Range;

use object::elf;

use crate::error::Error;
use crate::limits;
use crate::source::Source;

/// A program header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// PT_*.
    pub kind: u32,
    /// PF_*.
    pub flags: u32,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it begins in memory.
    pub vaddr: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub size: u64,
}

/// A section header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its name, at most 255 bytes of it.
    pub name: Vec<u8>,
    /// SHT_*.
    pub kind: u32,
    /// SHF_*.
    pub flags: u64,
    /// First address; 0 when it is not loaded.
    pub addr: u64,
    /// In bytes.
    pub size: u64,
    pub(crate) offset: u64,
    pub(crate) link: u32,
    pub(crate) entry_size: u64,
}

impl Section {
    /// Whether it is loaded and holds code.
    pub fn is_code(&self) -> bool {
        let code = u64::from(elf::SHF_ALLOC | elf::SHF_EXECINSTR);
        self.flags & code == code
    }

    pub(crate) fn contains(&self, vaddr: u64) -> bool {
        self.flags & u64::from(elf::SHF_ALLOC) != 0
            && vaddr
                .checked_sub(self.addr)
                .is_some_and(|at| at < self.size)
    }

    /// Whether its bytes are in the file. In a debug file those of the program
    /// are not.
    pub(crate) fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS && self.kind != elf::SHT_NULL
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The headers, decoded.
#[derive(Debug)]
pub(crate) struct Elf {
    pub(crate) wide: bool,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    /// What is wrong with the section headers. Programs run without them.
    pub(crate) damage: Option<Error>,
}

impl Elf {
    pub(crate) fn parse(source: &Source) -> Result<Self, Error> {
        let not_elf = || Error::NotElf {
            file: source.name().to_owned(),
        };
        let ident = source
            .read("ELF header", 0, 20, 20)
            .map_err(|_| not_elf())?;
        if !ident.starts_with(&elf::ELFMAG) {
            return Err(not_elf());
        }
        if ident[5] != elf::ELFDATA2LSB {
            return Err(source.unsupported("big-endian ELF"));
        }
        let wide = match ident[4] {
            elf::ELFCLASS64 => true,
            elf::ELFCLASS32 => false,
            _ => return Err(source.corrupt("ELF class", 4)),
        };
        let size = if wide { 64 } else { 52 };
        let header = source.read("ELF header", 0, size, size)?;
        let bad = |at| source.corrupt("ELF header", at);
        let half = |at: usize| u16_at(&header, at).ok_or_else(|| bad(at as u64));
        let word = |at: usize| {
            let value = if wide {
                u64_at(&header, at)
            } else {
                u32_at(&header, at).map(u64::from)
            };
            value.ok_or_else(|| bad(at as u64))
        };
        let (entry, segments_at, sections_at, tail) = if wide {
            (word(24)?, word(32)?, word(40)?, 52)
        } else {
            (word(24)?, word(28)?, word(32)?, 40)
        };
        let table = Headers {
            source,
            wide,
            segments_at,
            sections_at,
            segment_size: half(tail + 2)?,
            segment_count: half(tail + 4)?,
            section_size: half(tail + 6)?,
            section_count: half(tail + 8)?,
            names: half(tail + 10)?,
        };
        let (sections, damage) = match table.sections() {
            Ok(sections) => (sections, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Ok(Self {
            wide,
            kind: half(16)?,
            machine: half(18)?,
            entry,
            segments: table.segments()?,
            sections,
            damage,
        })
    }

    pub(crate) fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.kind == elf::PT_LOAD)
    }

    pub(crate) fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// Where an address lies in the file, and how many bytes of the file follow
    /// in its segment.
    pub(crate) fn file_range(&self, vaddr: u64) -> Option<(u64, u64)> {
        self.loads().find_map(|segment| {
            let within = vaddr.checked_sub(segment.vaddr)?;
            let rest = segment.file_size.checked_sub(within)?;
            (rest > 0).then_some((segment.offset.checked_add(within)?, rest))
        })
    }

    /// Exactly `len` bytes of the program as it is before it runs.
    pub(crate) fn read_at(
        &self,
        source: &Source,
        what: &'static str,
        vaddr: u64,
        len: u64,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let range = self.file_range(vaddr).filter(|(_, rest)| *rest >= len);
        let (offset, _) = range.ok_or_else(|| source.corrupt(what, vaddr))?;
        source.read(what, offset, len, limit)
    }

    /// What follows an address in its segment, at most `most` bytes.
    pub(crate) fn read_from(
        &self,
        source: &Source,
        what: &'static str,
        vaddr: u64,
        most: u64,
    ) -> Result<Vec<u8>, Error> {
        let (offset, rest) = self
            .file_range(vaddr)
            .ok_or_else(|| source.corrupt(what, vaddr))?;
        let in_file = source.size().saturating_sub(offset);
        source.read(what, offset, rest.min(in_file).min(most), most)
    }

    /// From the first to behind the last address of the loaded segments.
    pub(crate) fn bounds(&self) -> Option<Range<u64>> {
        let start = self.loads().map(|s| s.vaddr).min()?;
        let end = self.loads().map(|s| s.vaddr.saturating_add(s.size)).max()?;
        Some(start..end)
    }

    /// Whether code can be at an address, as far as the headers know.
    pub(crate) fn is_code(&self, vaddr: u64) -> bool {
        let executable = |s: &&Segment| s.flags & elf::PF_X != 0;
        self.loads()
            .filter(executable)
            .any(|s| vaddr.checked_sub(s.vaddr).is_some_and(|at| at < s.size))
    }
}

/// Where the tables of headers are.
struct Headers<'a> {
    source: &'a Source,
    wide: bool,
    segments_at: u64,
    sections_at: u64,
    segment_size: u16,
    segment_count: u16,
    section_size: u16,
    section_count: u16,
    names: u16,
}

impl Headers<'_> {
    fn segments(&self) -> Result<Vec<Segment>, Error> {
        let what = "program headers";
        let size = if self.wide { 56 } else { 32 };
        if self.segment_count == 0 {
            return Ok(Vec::new());
        }
        if usize::from(self.segment_size) != size {
            return Err(self.source.corrupt(what, self.segments_at));
        }
        let len = u64::from(self.segment_count) * size as u64;
        let bytes = self.source.read(what, self.segments_at, len, len)?;
        let segment = |b: &[u8]| {
            let word = |at| u32_at(b, at).map(u64::from);
            Some(if self.wide {
                Segment {
                    kind: u32_at(b, 0)?,
                    flags: u32_at(b, 4)?,
                    offset: u64_at(b, 8)?,
                    vaddr: u64_at(b, 16)?,
                    file_size: u64_at(b, 32)?,
                    size: u64_at(b, 40)?,
                }
            } else {
                Segment {
                    kind: u32_at(b, 0)?,
                    flags: u32_at(b, 24)?,
                    offset: word(4)?,
                    vaddr: word(8)?,
                    file_size: word(16)?,
                    size: word(20)?,
                }
            })
        };
        Ok(bytes.chunks_exact(size).filter_map(segment).collect())
    }

    fn sections(&self) -> Result<Vec<Section>, Error> {
        let what = "section headers";
        let size = if self.wide { 64 } else { 40 };
        if self.sections_at == 0 {
            return Ok(Vec::new());
        }
        if usize::from(self.section_size) != size {
            return Err(self.source.corrupt(what, self.sections_at));
        }
        let (mut count, mut names) = (u64::from(self.section_count), u32::from(self.names));
        // Numbers that do not fit are in the first header (elf(5), "e_shnum"
        // and "e_shstrndx").
        if count == 0 || self.names == elf::SHN_XINDEX {
            let len = size as u64;
            let first = self.source.read(what, self.sections_at, len, len)?;
            let first = self.section(&first).map(|(_, section)| section);
            let first = first.ok_or_else(|| self.source.corrupt(what, self.sections_at))?;
            if count == 0 {
                count = first.size;
            }
            if self.names == elf::SHN_XINDEX {
                names = first.link;
            }
        }
        if count > limits::SECTIONS {
            return Err(self.source.too_large(what, count, limits::SECTIONS));
        }
        let len = count * size as u64;
        let bytes = self.source.read(what, self.sections_at, len, len)?;
        let mut sections: Vec<(u32, Section)> = bytes
            .chunks_exact(size)
            .filter_map(|header| self.section(header))
            .collect();
        let strings = match sections.get(names as usize) {
            Some((_, table)) if table.has_bytes() => {
                let limit = 16 << 20;
                self.source
                    .read("section names", table.offset, table.size, limit)?
            }
            _ => Vec::new(),
        };
        for (name, section) in &mut sections {
            let rest = strings.get(*name as usize..).unwrap_or_default();
            let rest = &rest[..rest.len().min(255)];
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            section.name = rest[..end].to_vec();
        }
        Ok(sections.into_iter().map(|(_, section)| section).collect())
    }

    /// The offset of its name, and the rest.
    fn section(&self, b: &[u8]) -> Option<(u32, Section)> {
        let word = |at| u32_at(b, at).map(u64::from);
        let section = if self.wide {
            Section {
                name: Vec::new(),
                kind: u32_at(b, 4)?,
                flags: u64_at(b, 8)?,
                addr: u64_at(b, 16)?,
                offset: u64_at(b, 24)?,
                size: u64_at(b, 32)?,
                link: u32_at(b, 40)?,
                entry_size: u64_at(b, 56)?,
            }
        } else {
            Section {
                name: Vec::new(),
                kind: u32_at(b, 4)?,
                flags: word(8)?,
                addr: word(12)?,
                offset: word(16)?,
                size: word(20)?,
                link: u32_at(b, 24)?,
                entry_size: word(36)?,
            }
        };
        Some((u32_at(b, 0)?, section))
    }
}
