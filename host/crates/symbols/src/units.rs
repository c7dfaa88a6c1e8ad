//! DWARF, and the units that it consists of.
//!
//! Not with a crate that does all of it: those that were looked at go as deep
//! into the stack as inlined functions are nested, and keep as many address
//! ranges as a small file can claim to have, which is more than any memory.

use std::rc::Rc;
use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugInfoOffset, DebugLineOffset, Dwarf, EndianRcSlice,
    LittleEndian, SectionId, Unit, UnitHeader, UnitOffset, UnitSectionOffset,
};
use object::elf;
use rustc_hash::FxHashMap;

use crate::elf::{Elf, Section, u32_at, u64_at};
use crate::error::Error;
use crate::frames::Reader;
use crate::limits;
use crate::source::{Source, zeroed};

/// What the header and the first entry of a unit say.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) unit: Unit<Reader>,
    /// Where its line table is.
    pub(crate) lines: Option<DebugLineOffset>,
}

#[derive(Debug)]
pub(crate) struct Units {
    pub(crate) dwarf: Dwarf<Reader>,
    /// By offset.
    pub(crate) heads: Vec<Head>,
    /// First address, behind the last, index of the unit; by address.
    ranges: Vec<(u64, u64, u32)>,
    /// The furthest end of the ranges up to here.
    reach: Vec<u64>,
    file: Rc<str>,
}

/// First address, behind the last, and the entry that covers them.
pub(crate) type Covered = (u64, u64, UnitOffset);

/// What is read of the debug information: no types, no variables.
const SECTIONS: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

/// Whether there is debug information at all.
pub(crate) fn has_debug_info(elf: &Elf) -> bool {
    elf.section(b".debug_info").is_some_and(Section::has_bytes)
}

impl Units {
    pub(crate) fn parse(elf: &Elf, source: &Source) -> Result<Self, Error> {
        let mut total = 0;
        let mut sections = FxHashMap::default();
        for id in SECTIONS {
            let section = elf.section(id.name().as_bytes());
            if let Some(section) = section.filter(|s| s.has_bytes()) {
                let bytes = read(elf, source, section)?;
                total += bytes.len() as u64;
                if total > limits::DEBUG {
                    return Err(source.too_large("debug information", total, limits::DEBUG));
                }
                sections.insert(id.name(), bytes);
            }
        }
        let abbreviations = sections
            .get(SectionId::DebugAbbrev.name())
            .cloned()
            .unwrap_or_else(|| Rc::new([]));
        let dwarf = Dwarf::load(|id: SectionId| {
            let bytes = sections.get(id.name()).cloned();
            let bytes = bytes.unwrap_or_else(|| Rc::new([]));
            Ok::<_, Error>(EndianRcSlice::new(bytes, LittleEndian))
        })?;
        let mut units = Self {
            dwarf,
            heads: Vec::new(),
            ranges: Vec::new(),
            reach: Vec::new(),
            file: source.name().into(),
        };
        units.read_heads(&abbreviations)?;
        units.read_ranges()?;
        Ok(units)
    }

    pub(crate) fn corrupt(&self, what: &'static str, at: u64) -> Error {
        Error::Corrupt {
            file: self.file.to_string(),
            what,
            at,
        }
    }

    pub(crate) fn too_large(&self, what: &'static str, limit: usize) -> Error {
        Error::TooLarge {
            file: self.file.to_string(),
            what,
            size: limit as u64 + 1,
            limit: limit as u64,
        }
    }

    fn read_heads(&mut self, abbreviations: &[u8]) -> Result<(), Error> {
        // Tables of abbreviations may overlap: without a limit on all of them
        // together, reading them takes time quadratic in their size.
        let mut left = abbreviations.len() * 4;
        let mut known: FxHashMap<usize, Arc<Abbreviations>> = FxHashMap::default();
        let mut headers = self.dwarf.units();
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(()),
                Err(_) => return Err(self.corrupt("a unit header", self.end_of_last())),
            };
            let bad = |units: &Self| {
                units.corrupt(
                    "a unit",
                    header.debug_info_offset().map_or(0, |at| at.0 as u64),
                )
            };
            let at = header.debug_abbrev_offset();
            let table = match known.get(&at.0) {
                Some(table) => table.clone(),
                None => {
                    let size = table_size(abbreviations, at.0).ok_or_else(|| bad(self))?;
                    left = left.checked_sub(size).ok_or_else(|| bad(self))?;
                    let table = self.dwarf.debug_abbrev.abbreviations(at);
                    let table = Arc::new(table.map_err(|_| bad(self))?);
                    known.insert(at.0, table.clone());
                    table
                }
            };
            match self.head(header.clone(), table) {
                Ok(head) => self.heads.push(head),
                Err(_) => return Err(bad(self)),
            }
        }
    }

    fn end_of_last(&self) -> u64 {
        self.heads.last().map_or(0, |head| {
            let header = &head.unit.header;
            let start = header.debug_info_offset().map_or(0, |at| at.0);
            (start + header.length_including_self()) as u64
        })
    }

    /// The attributes that the others depend on. Not `Unit::new`: it reads the
    /// head of the line table too, which may be long and the same for all.
    fn head(
        &self,
        header: UnitHeader<Reader>,
        abbreviations: Arc<Abbreviations>,
    ) -> gimli::Result<Head> {
        let encoding = header.encoding();
        let mut unit = Unit {
            header,
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(
                encoding,
                gimli::DwarfFileType::Main,
            ),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase(0),
            rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(
                encoding,
                gimli::DwarfFileType::Main,
            ),
            line_program: None,
            dwo_id: None,
        };
        let mut lines = None;
        let (mut name, mut folder, mut low_pc) = (None, None, None);
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        if let Some(abbreviation) = entries.read_abbreviation()? {
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec)?;
                match (attribute.name(), attribute.value()) {
                    (gimli::DW_AT_name, value) => name = Some(value),
                    (gimli::DW_AT_comp_dir, value) => folder = Some(value),
                    (gimli::DW_AT_low_pc, value) => low_pc = Some(value),
                    (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(at)) => lines = Some(at),
                    (gimli::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                        unit.str_offsets_base = base
                    }
                    (
                        gimli::DW_AT_addr_base | gimli::DW_AT_GNU_addr_base,
                        AttributeValue::DebugAddrBase(base),
                    ) => unit.addr_base = base,
                    (
                        gimli::DW_AT_rnglists_base | gimli::DW_AT_GNU_ranges_base,
                        AttributeValue::DebugRngListsBase(base),
                    ) => unit.rnglists_base = base,
                    _ => {}
                }
            }
        }
        drop(entries);
        unit.name = name.and_then(|value| self.dwarf.attr_string(&unit, value).ok());
        unit.comp_dir = folder.and_then(|value| self.dwarf.attr_string(&unit, value).ok());
        if let Some(value) = low_pc {
            unit.low_pc = self.dwarf.attr_address(&unit, value)?.unwrap_or(0);
        }
        Ok(Head { unit, lines })
    }

    fn read_ranges(&mut self) -> Result<(), Error> {
        let mut ranges = Vec::new();
        let mut left = limits::RANGES;
        let many = || self.too_large("address ranges", limits::RANGES);
        for (index, head) in (0_u32..).zip(&self.heads) {
            let bad = || {
                let at = head.unit.header.debug_info_offset();
                self.corrupt("address ranges of a unit", at.map_or(0, |at| at.0 as u64))
            };
            let mut iter = self.dwarf.unit_ranges(&head.unit).map_err(|_| bad())?;
            let before = ranges.len();
            while let Some(range) = iter.next().map_err(|_| bad())? {
                left = left.checked_sub(1).ok_or_else(many)?;
                if is_real(range) {
                    ranges.push((range.begin, range.end, index));
                }
            }
            // Some compilers give addresses to the functions only.
            if ranges.len() == before && head.unit.header.type_() == gimli::UnitType::Compilation {
                let functions = self.list_functions(index, &mut left)?;
                ranges.extend(
                    functions
                        .iter()
                        .map(|(begin, end, _)| (*begin, *end, index)),
                );
            }
        }
        ranges.sort_unstable();
        self.reach = ranges
            .iter()
            .scan(0, |reach, (_, end, _)| {
                *reach = (*end).max(*reach);
                Some(*reach)
            })
            .collect();
        self.ranges = ranges;
        Ok(())
    }

    /// The units that may have an address, the nearest first.
    pub(crate) fn covering(&self, vaddr: u64) -> Vec<u32> {
        let behind = self.ranges.partition_point(|(begin, ..)| *begin <= vaddr);
        let from = behind.saturating_sub(64);
        let mut found = Vec::new();
        for at in (from..behind).rev() {
            if self.reach[at] <= vaddr {
                break;
            }
            let (_, end, unit) = self.ranges[at];
            if end > vaddr && !found.contains(&unit) {
                found.push(unit);
            }
        }
        found
    }

    /// The unit that an offset into .debug_info lies in, and where in it.
    pub(crate) fn at(&self, offset: DebugInfoOffset) -> Option<(u32, UnitOffset)> {
        let start = |head: &Head| head.unit.header.debug_info_offset().map(|at| at.0);
        let behind = self
            .heads
            .partition_point(|head| start(head) <= Some(offset.0));
        let index = behind.checked_sub(1)?;
        let header = &self.heads[index].unit.header;
        let within = UnitSectionOffset(offset.0).to_unit_offset(header)?;
        Some((u32::try_from(index).ok()?, within))
    }

    /// First address, behind the last, and entry of each function of a unit,
    /// by address.
    pub(crate) fn functions(&self, unit: u32) -> Result<Vec<Covered>, Error> {
        self.list_functions(unit, &mut { limits::RANGES })
    }

    fn list_functions(&self, unit: u32, left: &mut usize) -> Result<Vec<Covered>, Error> {
        let Some(head) = self.heads.get(unit as usize) else {
            return Ok(Vec::new());
        };
        let start = head.unit.header.debug_info_offset().map_or(0, |at| at.0);
        let mut functions = Vec::new();
        let mut at = UnitOffset(0);
        match self.collect(head, &mut functions, &mut at, left) {
            Ok(true) => {}
            Ok(false) => return Err(self.too_large("address ranges", limits::RANGES)),
            Err(_) => return Err(self.corrupt("an entry", (start + at.0) as u64)),
        }
        functions.sort_unstable_by_key(|(begin, end, at)| (*begin, *end, at.0));
        Ok(functions)
    }

    /// False when there are too many.
    fn collect(
        &self,
        head: &Head,
        functions: &mut Vec<Covered>,
        at: &mut UnitOffset,
        left: &mut usize,
    ) -> gimli::Result<bool> {
        let unit = &head.unit;
        let mut entries = unit.entries_raw(None)?;
        while !entries.is_empty() {
            *at = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            if abbreviation.tag() != gimli::DW_TAG_subprogram {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut place = Addresses::default();
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec)?;
                place.take(attribute.name(), attribute.value());
            }
            let Some(mut ranges) = place.ranges(&self.dwarf, unit)? else {
                continue;
            };
            while let Some(range) = ranges.next()? {
                let Some(less) = left.checked_sub(1) else {
                    return Ok(false);
                };
                *left = less;
                if is_real(range) {
                    functions.push((range.begin, range.end, *at));
                }
            }
        }
        Ok(true)
    }
}

/// Linkers leave functions that they have removed at address 0 or at the end of
/// all addresses.
fn is_real(range: gimli::Range) -> bool {
    range.begin != 0 && range.begin < range.end
}

/// The attributes that say where an entry's code is.
#[derive(Default, Debug)]
pub(crate) struct Addresses {
    low: Option<AttributeValue<Reader>>,
    high: Option<AttributeValue<Reader>>,
    list: Option<AttributeValue<Reader>>,
}

impl Addresses {
    pub(crate) fn take(&mut self, name: gimli::DwAt, value: AttributeValue<Reader>) {
        match name {
            gimli::DW_AT_low_pc => self.low = Some(value),
            gimli::DW_AT_high_pc => self.high = Some(value),
            gimli::DW_AT_ranges => self.list = Some(value),
            _ => {}
        }
    }

    pub(crate) fn ranges(
        self,
        dwarf: &Dwarf<Reader>,
        unit: &Unit<Reader>,
    ) -> gimli::Result<Option<Ranges>> {
        if let Some(list) = self.list {
            let list = dwarf.attr_ranges(unit, list)?;
            return Ok(list.map(Ranges::List));
        }
        let Some(begin) = self
            .low
            .map(|low| dwarf.attr_address(unit, low))
            .transpose()?
        else {
            return Ok(None);
        };
        let Some((begin, high)) = begin.zip(self.high) else {
            return Ok(None);
        };
        let end = match high.udata_value() {
            Some(size) => begin.checked_add(size),
            None => dwarf.attr_address(unit, high)?,
        };
        Ok(end.map(|end| Ranges::One(Some(gimli::Range { begin, end }))))
    }
}

/// The address ranges of an entry.
#[derive(Debug)]
pub(crate) enum Ranges {
    One(Option<gimli::Range>),
    List(gimli::RngListIter<Reader>),
}

impl Ranges {
    pub(crate) fn next(&mut self) -> gimli::Result<Option<gimli::Range>> {
        match self {
            Ranges::One(range) => Ok(range.take()),
            Ranges::List(list) => list.next(),
        }
    }
}

/// Bytes of a table of abbreviations (DWARF 5, 7.5.3), counted without keeping
/// anything.
fn table_size(section: &[u8], at: usize) -> Option<usize> {
    let mut rest = section.get(at..)?;
    let len = rest.len();
    while number(&mut rest)? != 0 {
        number(&mut rest)?;
        rest = rest.get(1..)?;
        loop {
            let (name, form) = (number(&mut rest)?, number(&mut rest)?);
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                number(&mut rest)?;
            }
            if name == 0 && form == 0 {
                break;
            }
        }
    }
    Some(len - rest.len())
}

/// A LEB128 number; what does not fit is of no interest here.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let len = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, tail) = rest.split_at(len);
    *rest = tail;
    let bits = |(shift, byte): (u32, &u8)| u64::from(byte & 0x7f).checked_shl(shift);
    Some(
        (0..)
            .step_by(7)
            .zip(bytes)
            .filter_map(bits)
            .fold(0, |a, b| a | b),
    )
}

/// The bytes of a section, unpacked if it is packed.
fn read(elf: &Elf, source: &Source, section: &Section) -> Result<Rc<[u8]>, Error> {
    let what = "debug information";
    let limit = limits::DEBUG_SECTION;
    let packed = section.flags & u64::from(elf::SHF_COMPRESSED) != 0;
    if !packed {
        return source.read_shared(what, section.offset, section.size, limit);
    }
    let bytes = source.read(what, section.offset, section.size, limit)?;
    let bad = || source.corrupt("a packed section", section.offset);
    let (kind, size, start) = if elf.wide {
        (u32_at(&bytes, 0), u64_at(&bytes, 8), 24)
    } else {
        (u32_at(&bytes, 0), u32_at(&bytes, 4).map(u64::from), 12)
    };
    let (kind, size) = kind.zip(size).ok_or_else(bad)?;
    if kind != elf::ELFCOMPRESS_ZLIB {
        return Err(source.unsupported("this kind of packed section"));
    }
    // One byte becomes 1032 at most (RFC 1951: 258 bytes for two bits), so that
    // a small file cannot make us reserve much.
    let most = (bytes.len() as u64).saturating_mul(1032).min(limit);
    if size > most {
        return Err(source.too_large("a packed section", size, most));
    }
    source.take(usize::try_from(size).map_err(|_| bad())?);
    let mut unpacked = zeroed(usize::try_from(size).map_err(|_| bad())?);
    if let Some(out) = Rc::get_mut(&mut unpacked) {
        let input = bytes.get(start..).ok_or_else(bad)?;
        let parts = std::iter::once(input);
        let done = miniz_oxide::inflate::decompress_slice_iter_to_slice(out, parts, true, false);
        if done.ok() != Some(out.len()) {
            return Err(bad());
        }
    }
    Ok(unpacked)
}
