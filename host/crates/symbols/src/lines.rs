//! From addresses to lines of source, with the functions that were inlined.

use std::cell::OnceCell;

use gimli::{AttributeValue, ColumnType, LineProgramHeader, Reader as _, UnitOffset};

use crate::demangle::demangle;
use crate::elf::Elf;
use crate::error::Error;
use crate::frames::Reader;
use crate::limits;
use crate::source::Source;
use crate::units::{Addresses, Covered, Head, Units};

/// One of the functions that an address belongs to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frame {
    /// Its name, demangled.
    pub function: Option<String>,
    /// Path of its source. Bytes that are no UTF-8 are replaced.
    pub file: Option<String>,
    /// From 1; `None` when the code belongs to no line.
    pub line: Option<u32>,
    /// From 1; `None` for the begin of the line.
    pub column: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Lines {
    units: Units,
    /// Per unit, read when first asked for.
    details: Vec<Details>,
}

#[derive(Default, Debug)]
struct Details {
    table: OnceCell<Result<LineTable, Error>>,
    functions: OnceCell<Result<Vec<Covered>, Error>>,
}

#[derive(Default, Debug)]
struct LineTable {
    header: Option<LineProgramHeader<Reader>>,
    /// First address, behind the last, and the rows; by address.
    sequences: Vec<(u64, u64, std::ops::Range<usize>)>,
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u64,
    line: u32,
    column: u32,
}

/// Where a function was inlined.
#[derive(Default, Debug)]
struct Call {
    depth: isize,
    name: Option<String>,
    file: Option<u64>,
    line: u32,
    column: u32,
}

impl Lines {
    pub(crate) fn parse(elf: &Elf, source: &Source) -> Result<Self, Error> {
        let units = Units::parse(elf, source)?;
        let details = units.heads.iter().map(|_| Details::default()).collect();
        Ok(Self { units, details })
    }

    /// The functions that an address belongs to, the innermost first.
    pub(crate) fn locate(&self, vaddr: u64) -> Result<Vec<Frame>, Error> {
        for unit in self.units.covering(vaddr) {
            let frames = self.locate_in(unit, vaddr)?;
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
        Ok(Vec::new())
    }

    fn locate_in(&self, unit: u32, vaddr: u64) -> Result<Vec<Frame>, Error> {
        let head = &self.units.heads[unit as usize];
        let details = &self.details[unit as usize];
        let table = details
            .table
            .get_or_init(|| self.read_table(head))
            .as_ref()
            .map_err(Clone::clone)?;
        let functions = details
            .functions
            .get_or_init(|| self.units.functions(unit))
            .as_ref()
            .map_err(Clone::clone)?;
        // Functions do not lie inside each other, but for what is damaged.
        let behind = functions.partition_point(|(begin, ..)| *begin <= vaddr);
        let entry = functions[..behind]
            .iter()
            .rev()
            .take(16)
            .find(|(_, end, _)| *end > vaddr)
            .map(|(.., entry)| *entry);
        let start = head.unit.header.debug_info_offset().map_or(0, |at| at.0);
        let calls = match entry {
            Some(entry) => self.calls(head, entry, vaddr).map_err(|_| {
                let at = (start + entry.0) as u64;
                self.units.corrupt("a function", at)
            })?,
            None => Vec::new(),
        };
        let mut at = table
            .row(vaddr)
            .map(|row| (Some(row.file), row.line, row.column));
        if at.is_none() && calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut frames = Vec::new();
        let mut calls = calls.into_iter().rev();
        loop {
            let call = calls.next();
            let (file, line, column) = at.take().unwrap_or_default();
            frames.push(Frame {
                function: call.as_ref().and_then(|call| call.name.clone()),
                file: file.and_then(|file| self.path(head, table, file)),
                line: (line > 0).then_some(line),
                column: (column > 0).then_some(column),
            });
            match call {
                // The outermost was not inlined anywhere.
                Some(call) if calls.len() > 0 => at = Some((call.file, call.line, call.column)),
                _ => return Ok(frames),
            }
        }
    }

    /// The function and those that are inlined at an address, outermost first.
    fn calls(&self, head: &Head, entry: UnitOffset, vaddr: u64) -> gimli::Result<Vec<Call>> {
        let unit = &head.unit;
        let mut entries = unit.entries_raw(Some(entry))?;
        let outer = entries.next_depth();
        let mut calls: Vec<Call> = Vec::new();
        // Functions in functions are not what this one consists of.
        let mut skipped = None;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            if depth <= outer && !calls.is_empty() {
                break;
            }
            let Some(abbreviation) = entries.read_abbreviation()? else {
                continue;
            };
            if skipped.is_some_and(|top| depth > top) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            skipped = None;
            let first = calls.is_empty();
            if !first && abbreviation.tag() == gimli::DW_TAG_subprogram {
                skipped = Some(depth);
            }
            if !first && abbreviation.tag() != gimli::DW_TAG_inlined_subroutine {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut call = Call {
                depth,
                ..Call::default()
            };
            let mut place = Addresses::default();
            let (mut linkage, mut name, mut origin) = (None, None, None);
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec)?;
                let number = || u32::try_from(attribute.udata_value().unwrap_or(0)).unwrap_or(0);
                match attribute.name() {
                    gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                        linkage = Some(attribute.value());
                    }
                    gimli::DW_AT_name => name = Some(attribute.value()),
                    gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                        origin = Some(attribute.value());
                    }
                    gimli::DW_AT_call_file => {
                        call.file = match attribute.value() {
                            AttributeValue::FileIndex(file) => Some(file),
                            other => other.udata_value(),
                        };
                    }
                    gimli::DW_AT_call_line => call.line = number(),
                    gimli::DW_AT_call_column => call.column = number(),
                    other => place.take(other, attribute.value()),
                }
            }
            if !first {
                if !self.covers(head, place, vaddr)? {
                    // Nor does anything below it.
                    skipped = Some(depth);
                    continue;
                }
                while calls.len() > 1 && calls.last().is_some_and(|last| last.depth >= depth) {
                    calls.pop();
                }
                if calls.len() >= limits::INLINED {
                    break;
                }
            }
            call.name = self.name(head, linkage.or(name), origin);
            calls.push(call);
        }
        Ok(calls)
    }

    fn covers(&self, head: &Head, place: Addresses, vaddr: u64) -> gimli::Result<bool> {
        let Some(mut ranges) = place.ranges(&self.units.dwarf, &head.unit)? else {
            return Ok(false);
        };
        for _ in 0..limits::ENTRY_RANGES {
            match ranges.next()? {
                Some(range) if (range.begin..range.end).contains(&vaddr) => return Ok(true),
                Some(_) => {}
                None => break,
            }
        }
        Ok(false)
    }

    /// The name of an entry, or of the one that it is made from.
    fn name(
        &self,
        head: &Head,
        own: Option<AttributeValue<Reader>>,
        origin: Option<AttributeValue<Reader>>,
    ) -> Option<String> {
        let (mut head, mut own, mut origin) = (head, own, origin);
        for _ in 0..limits::ORIGINS {
            if let Some(value) = own {
                let text = self.units.dwarf.attr_string(&head.unit, value).ok()?;
                let text = text.to_slice().ok()?;
                let known = text.get(..text.len().min(limits::NAME))?;
                let name = || String::from_utf8_lossy(known).into_owned();
                return Some(demangle(known).unwrap_or_else(name));
            }
            let at = match origin? {
                AttributeValue::UnitRef(at) => at,
                AttributeValue::DebugInfoRef(at) => {
                    let (unit, at) = self.units.at(at)?;
                    head = &self.units.heads[unit as usize];
                    at
                }
                _ => return None,
            };
            let mut entries = head.unit.entries_raw(Some(at)).ok()?;
            let abbreviation = entries.read_abbreviation().ok()??;
            let mut name = None;
            (own, origin) = (None, None);
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute(*spec).ok()?;
                match attribute.name() {
                    gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                        own = Some(attribute.value());
                    }
                    gimli::DW_AT_name => name = Some(attribute.value()),
                    gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => {
                        origin = Some(attribute.value());
                    }
                    _ => {}
                }
            }
            own = own.or(name);
        }
        None
    }

    fn read_table(&self, head: &Head) -> Result<LineTable, Error> {
        let Some(at) = head.lines else {
            return Ok(LineTable::default());
        };
        let bad = || self.units.corrupt("a line table", at.0 as u64);
        let unit = &head.unit;
        let program = self.units.dwarf.debug_line.program(
            at,
            unit.header.address_size(),
            unit.comp_dir.clone(),
            unit.name.clone(),
        );
        let program = program.map_err(|_| bad())?;
        let mut table = LineTable {
            header: Some(program.header().clone()),
            ..LineTable::default()
        };
        let mut rows = program.rows();
        let mut from = 0;
        while let Some((_, row)) = rows.next_row().map_err(|_| bad())? {
            if row.end_sequence() {
                let until = table.rows.len();
                if let Some(first) = table.rows.get(from)
                    && first.address != 0
                    && first.address < row.address()
                {
                    let range = (first.address, row.address(), from..until);
                    table.sequences.push(range);
                } else {
                    // Of a function that the linker has removed.
                    table.rows.truncate(from);
                }
                from = table.rows.len();
                continue;
            }
            if table.rows.len() >= limits::LINES {
                return Err(self.units.too_large("a line table", limits::LINES));
            }
            let number = |n: u64| u32::try_from(n).unwrap_or(0);
            table.rows.push(Row {
                address: row.address(),
                file: row.file_index(),
                line: row.line().map_or(0, |line| number(line.get())),
                column: match row.column() {
                    ColumnType::LeftEdge => 0,
                    ColumnType::Column(column) => number(column.get()),
                },
            });
        }
        table.rows.truncate(from);
        table
            .sequences
            .sort_unstable_by_key(|(begin, end, _)| (*begin, *end));
        Ok(table)
    }

    /// Path of a file of a line table.
    fn path(&self, head: &Head, table: &LineTable, file: u64) -> Option<String> {
        let header = table.header.as_ref()?;
        let file = header.file(file)?;
        let text = |value: AttributeValue<Reader>| {
            let text = self.units.dwarf.attr_string(&head.unit, value).ok()?;
            let text = text.to_slice().ok()?;
            let text = text.get(..text.len().min(limits::PATH))?;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        let mut path = text(file.path_name())?;
        // Directory 0 is that of the compilation.
        let folder = match file.directory_index() {
            0 => None,
            _ => file.directory(header).and_then(text),
        };
        let compiled = head.unit.comp_dir.as_ref();
        let compiled = compiled.and_then(|folder| text(AttributeValue::String(folder.clone())));
        for folder in [folder, compiled].into_iter().flatten() {
            if !path.starts_with('/') && !folder.is_empty() {
                path = format!("{}/{path}", folder.trim_end_matches('/'));
            }
        }
        Some(path)
    }
}

impl LineTable {
    fn row(&self, vaddr: u64) -> Option<Row> {
        let behind = self
            .sequences
            .partition_point(|(begin, ..)| *begin <= vaddr);
        let (.., rows) = self.sequences[..behind]
            .iter()
            .rev()
            .take(16)
            .find(|(_, end, _)| *end > vaddr)?;
        let rows = &self.rows[rows.clone()];
        let behind = rows.partition_point(|row| row.address <= vaddr);
        rows[..behind].last().copied()
    }
}
