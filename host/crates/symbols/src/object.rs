//! One object: an executable, a shared library, the vDSO.

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::ops::Range;

use object::elf;

use crate::debugfile::{self, DebugSearch};
use crate::demangle::{Budget, demangle, is_mangled, spellings};
use crate::dynamic::Dynamic;
use crate::elf::{Elf, Section, Segment};
use crate::error::Error;
use crate::frames::Frames;
use crate::limits;
use crate::lines::{Frame, Lines};
use crate::names::{Strings, hash};
use crate::pattern::Pattern;
use crate::slots::{self, Relocation, SlotKind, Slots};
use crate::source::{Identity, Source};
use crate::table::{Kind, Raw, Symbol, Table};
use crate::units;
use crate::unwind::{self, Registers};

/// What an address lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its name: as the linker knows it, `NAME@plt` for a stub, empty for a
    /// function of which only the unwind information knows.
    pub name: Vec<u8>,
    /// Where it begins, at link time.
    pub value: u64,
    /// Bytes; 0 when unknown.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
}

/// A function, with or without a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'a> {
    /// Where it begins, at link time.
    pub value: u64,
    /// Bytes; 0 when unknown.
    pub size: u64,
    /// Its symbol; `None` when only the unwind information knows of it.
    pub symbol: Option<Symbol<'a>>,
}

/// An ELF object. Headers are read at once, everything else when it is first
/// asked for. What is damaged is left out, and listed by [`Object::damage`].
#[derive(Debug)]
pub struct Object {
    source: Source,
    elf: Elf,
    build_id: Option<Vec<u8>>,
    search: DebugSearch,
    dynamic: OnceCell<Option<Dynamic>>,
    debug: OnceCell<Option<(Source, Elf)>>,
    table: OnceCell<Table>,
    demangled: OnceCell<Vec<(u32, u32)>>,
    frames: OnceCell<Option<Frames>>,
    rows: unwind::Rows,
    slots: OnceCell<Slots>,
    lines: OnceCell<Result<Option<Lines>, Error>>,
    damage: RefCell<Vec<Error>>,
}

impl Object {
    /// Reads the headers.
    ///
    /// # Errors
    /// When it is no ELF file, or its program headers cannot be read.
    pub fn open(source: Source, search: DebugSearch) -> Result<Self, Error> {
        let mut elf = Elf::parse(&source)?;
        let damage = elf.damage.take().into_iter().collect();
        Ok(Self {
            build_id: debugfile::build_id(&elf, &source),
            elf,
            source,
            search,
            dynamic: OnceCell::new(),
            debug: OnceCell::new(),
            table: OnceCell::new(),
            demangled: OnceCell::new(),
            frames: OnceCell::new(),
            rows: unwind::Rows::default(),
            slots: OnceCell::new(),
            lines: OnceCell::new(),
            damage: RefCell::new(damage),
        })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Which file it is; `None` for memory.
    pub fn identity(&self) -> Option<Identity> {
        self.source.identity()
    }

    /// What was found to be wrong so far.
    pub fn damage(&self) -> Vec<Error> {
        self.damage.borrow().clone()
    }

    /// How many bytes of it, and of its debug file, were read so far: about as
    /// much as it takes of our memory. Each object has limits, those who open
    /// many need one for all.
    pub fn bytes_read(&self) -> u64 {
        let debug = self.debug.get().and_then(Option::as_ref);
        let debug = debug.map_or(0, |(source, _)| source.taken());
        self.source.taken().saturating_add(debug)
    }

    fn note(&self, damage: impl IntoIterator<Item = Error>) {
        self.damage.borrow_mut().extend(damage);
    }

    /// Whether it is a 64-bit object.
    pub fn is_64_bit(&self) -> bool {
        self.elf.wide
    }

    /// Whether it is loaded at any address (ET_DYN), not at its own (ET_EXEC).
    pub fn is_position_independent(&self) -> bool {
        self.elf.kind == elf::ET_DYN
    }

    /// Where the program begins; 0 in most libraries.
    pub fn entry(&self) -> u64 {
        self.elf.entry
    }

    /// The program headers.
    pub fn segments(&self) -> &[Segment] {
        &self.elf.segments
    }

    /// The section headers; none when they are damaged.
    pub fn sections(&self) -> &[Section] {
        &self.elf.sections
    }

    /// From the first to behind the last address of the loaded segments.
    pub fn bounds(&self) -> Option<Range<u64>> {
        self.elf.bounds()
    }

    /// The build-id, if the linker made one.
    pub fn build_id(&self) -> Option<&[u8]> {
        self.build_id.as_deref()
    }

    /// DT_SONAME.
    pub fn soname(&self) -> Option<&[u8]> {
        self.dynamic()?.soname.as_deref()
    }

    /// Address of the word in which the dynamic loader leaves the address of
    /// its `struct r_debug` (link.h).
    pub fn loader_word(&self) -> Option<u64> {
        self.dynamic()?.debug
    }

    /// Whether code may be at an address: inside an executable segment, and
    /// inside a section of code if there are section headers.
    pub fn is_code(&self, vaddr: u64) -> bool {
        let mut sections = self.elf.sections.iter();
        self.elf.is_code(vaddr)
            && (self.elf.sections.is_empty() || sections.any(|s| s.is_code() && s.contains(vaddr)))
    }

    /// Whether an address is in a section of stubs for the calls of functions
    /// in other objects.
    pub fn is_stub(&self, vaddr: u64) -> bool {
        self.stubs(vaddr).is_some()
    }

    fn stubs(&self, vaddr: u64) -> Option<&Section> {
        let mut sections = self.elf.sections.iter();
        sections.find(|s| slots::is_stubs(&s.name) && s.contains(vaddr))
    }

    fn dynamic(&self) -> Option<&Dynamic> {
        self.dynamic
            .get_or_init(|| {
                let mut dynamic = Dynamic::parse(&self.elf, &self.source)?;
                self.note(std::mem::take(&mut dynamic.damage));
                Some(dynamic)
            })
            .as_ref()
    }

    fn debug(&self) -> Option<&(Source, Elf)> {
        self.debug
            .get_or_init(|| debugfile::find(&self.elf, &self.source, self.build_id(), &self.search))
            .as_ref()
    }

    /// Path of the separate debug file, if there is one. Looks for it.
    pub fn debug_file(&self) -> Option<&str> {
        Some(self.debug()?.0.name())
    }

    fn table(&self) -> &Table {
        self.table.get_or_init(|| {
            let mut table = Table::default();
            let has_own = |elf: &Elf| elf.sections.iter().any(|s| s.kind == elf::SHT_SYMTAB);
            let result = if has_own(&self.elf) {
                add_symtab(&mut table, &self.elf, &self.source)
            } else if let Some((source, elf)) = self.debug() {
                add_symtab(&mut table, elf, source)
            } else {
                Ok(())
            };
            self.note(result.err());
            if let Some(dynamic) = self.dynamic() {
                self.note(table.add(&self.source, &dynamic.raw()).err());
            }
            table.finish();
            table
        })
    }

    /// How many symbols it defines.
    pub fn symbol_count(&self) -> usize {
        self.table().len()
    }

    /// All symbols, by address; those without one first.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.table().iter()
    }

    /// The symbol that is meant by a name: the default version, and a global
    /// one rather than a weak or local one. What is not defined here has no
    /// symbol.
    pub fn by_name(&self, name: &[u8]) -> Option<Symbol<'_>> {
        self.table().by_name(name).next()
    }

    /// The same for a name as it is in the source, with or without parameters
    /// (C++), with or without hash (Rust).
    pub fn by_demangled(&self, name: &str) -> Option<Symbol<'_>> {
        let index = self.demangled.get_or_init(|| self.index_demangled());
        let hash = hash(name.as_bytes());
        let from = index.partition_point(|(other, _)| *other < hash);
        index[from..]
            .iter()
            .take_while(|(other, _)| *other == hash)
            .map(|(_, at)| self.table().nth(*at))
            .filter(|symbol| spellings(symbol.name).any(|spelling| spelling == name))
            .min_by_key(|symbol| (symbol.hidden, symbol.binding, symbol.value))
    }

    fn index_demangled(&self) -> Vec<(u32, u32)> {
        let budget = Budget::new();
        let mut index = Vec::new();
        for (at, symbol) in self.table().named() {
            if !is_mangled(symbol.name) {
                continue;
            }
            if budget.is_spent() {
                let limit = limits::DEMANGLING;
                self.note([self
                    .source
                    .too_large("time for demangling", limit + 1, limit)]);
                break;
            }
            index.extend(spellings(symbol.name).map(|text| (hash(text.as_bytes()), at)));
        }
        index.sort_unstable();
        index
    }

    /// Symbols whose name fits a pattern, by address. A pattern with `::`, `(`,
    /// `<` or a space is meant for names as they are in the source.
    ///
    /// # Errors
    /// `TooLarge` when demangling takes too long.
    pub fn search(&self, pattern: &Pattern, source_names: bool) -> Result<Vec<Symbol<'_>>, Error> {
        let budget = Budget::new();
        let mut found = Vec::new();
        for symbol in self.table().iter() {
            let fits = pattern.matches(symbol.name)
                || source_names
                    && is_mangled(symbol.name)
                    && spellings(symbol.name).any(|text| pattern.matches(text.as_bytes()));
            if fits {
                found.push(symbol);
            }
            if source_names && budget.is_spent() {
                let limit = limits::DEMANGLING;
                return Err(self
                    .source
                    .too_large("time for demangling", limit + 1, limit));
            }
        }
        Ok(found)
    }

    /// What an address lies in.
    pub fn at(&self, vaddr: u64) -> Option<Place> {
        let place = |symbol: Symbol<'_>| Place {
            name: symbol.name.to_vec(),
            value: symbol.value,
            size: symbol.size,
            kind: symbol.kind,
        };
        if let Some(symbol) = self.table().covering(vaddr) {
            return Some(place(symbol));
        }
        if let Some(stub) = self.stub_at(vaddr) {
            return Some(stub);
        }
        let before = self
            .table()
            .before(vaddr)
            .filter(|symbol| self.is_together(symbol.value, vaddr));
        let frame = self.frames().and_then(|frames| frames.covering(vaddr));
        match (frame, before) {
            (Some(frame), before) if before.is_none_or(|b| b.value < frame.start) => Some(Place {
                name: Vec::new(),
                value: frame.start,
                size: frame.end - frame.start,
                kind: Kind::Function,
            }),
            (_, before) => before.map(place),
        }
    }

    /// Whether two addresses are in one section, or in one segment where there
    /// are no sections.
    fn is_together(&self, one: u64, other: u64) -> bool {
        let both = |at: u64, size: u64| [one, other].iter().all(|x| x.wrapping_sub(at) < size);
        if self.elf.sections.is_empty() {
            return self.elf.loads().any(|s| both(s.vaddr, s.size));
        }
        let mut sections = self.elf.sections.iter();
        sections.any(|s| s.contains(one) && both(s.addr, s.size))
    }

    fn stub_at(&self, vaddr: u64) -> Option<Place> {
        let section = self.stubs(vaddr)?;
        let size = match section.entry_size {
            8 => 8,
            _ => 16,
        };
        let value = section.addr + (vaddr - section.addr) / size * size;
        let code = self.elf.read_at(&self.source, "stubs", value, size, size);
        let slot = slots::stub_target(&code.ok()?, value)?;
        let relocation = self.slots().at(slot, self.dynamic())?;
        let mut name = match relocation.kind {
            SlotKind::IRelative => self.table().covering(relocation.addend)?.name,
            _ => relocation.name,
        }
        .to_vec();
        if name.is_empty() {
            return None;
        }
        name.extend(b"@plt");
        Some(Place {
            name,
            value,
            size,
            kind: Kind::Function,
        })
    }

    /// Functions by address, also those of which only the unwind information
    /// knows. Those with several names are listed once for each.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let mut functions: Vec<Function<'_>> = self
            .table()
            .iter()
            .filter(|s| matches!(s.kind, Kind::Function | Kind::Ifunc))
            .map(|symbol| Function {
                value: symbol.value,
                size: symbol.size,
                symbol: Some(symbol),
            })
            .collect();
        let named: HashSet<u64> = functions.iter().map(|f| f.value).collect();
        let described = self.frames().map_or(&[][..], |frames| &frames.functions);
        functions.extend(
            described
                .iter()
                .filter(|d| !named.contains(&d.start) && self.stubs(d.start).is_none())
                .map(|d| Function {
                    value: d.start,
                    size: d.end - d.start,
                    symbol: None,
                }),
        );
        functions.sort_by_key(|function| function.value);
        functions
    }

    fn slots(&self) -> &Slots {
        self.slots.get_or_init(|| {
            let mut slots = Slots::parse(&self.elf, self.dynamic(), &self.source);
            self.note(std::mem::take(&mut slots.damage));
            slots
        })
    }

    /// All slots that the dynamic loader fills in, by address.
    pub fn relocations(&self) -> impl Iterator<Item = Relocation<'_>> {
        self.slots().iter(self.dynamic())
    }

    /// The slots of one name.
    pub fn slots_of<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = Relocation<'a>> {
        self.slots().by_name(name, self.dynamic())
    }

    /// The name of a symbol's version.
    pub fn version_name(&self, symbol: &Symbol<'_>) -> Option<&[u8]> {
        self.dynamic()?.version_name(symbol.version?)
    }

    fn frames(&self) -> Option<&Frames> {
        self.frames
            .get_or_init(|| {
                let mut frames = Frames::parse(&self.elf, &self.source)?;
                self.note(frames.damage.take());
                Some(frames)
            })
            .as_ref()
    }

    /// The registers of the caller of the code at `vaddr`, and whether that
    /// was a signal's frame. `read` reads eight bytes of the stack; `bias` is
    /// what was added to the addresses of this object. `None` when there is no
    /// description of the code, or the caller cannot be found with it.
    pub fn unwind(
        &self,
        vaddr: u64,
        bias: u64,
        registers: &Registers,
        read: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> Option<(Registers, bool)> {
        if self.elf.machine != elf::EM_X86_64 {
            return None;
        }
        unwind::step(self.frames()?, &self.rows, vaddr, bias, registers, read)
    }

    /// Whether there is a description of the code at an address.
    pub fn is_described(&self, vaddr: u64) -> bool {
        self.frames().is_some_and(|f| f.covering(vaddr).is_some())
    }

    /// The functions and lines of source that an address belongs to, innermost
    /// first; none without debug information.
    ///
    /// # Errors
    /// When the debug information is damaged.
    pub fn locate(&self, vaddr: u64) -> Result<Vec<Frame>, Error> {
        let lines = self.lines.get_or_init(|| {
            if units::has_debug_info(&self.elf) {
                return Lines::parse(&self.elf, &self.source).map(Some);
            }
            match self.debug() {
                Some((source, elf)) if units::has_debug_info(elf) => {
                    Lines::parse(elf, source).map(Some)
                }
                _ => Ok(None),
            }
        });
        let mut frames = match lines {
            Ok(Some(lines)) => lines.locate(vaddr)?,
            Ok(None) => Vec::new(),
            Err(error) => return Err(error.clone()),
        };
        // Debug information may consist of lines only.
        if let Some(Frame {
            function: function @ None,
            ..
        }) = frames.last_mut()
            && let Some(place) = self.at(vaddr)
            && !place.name.is_empty()
        {
            let plain = || String::from_utf8_lossy(&place.name).into_owned();
            *function = Some(demangle(&place.name).unwrap_or_else(plain));
        }
        Ok(frames)
    }
}

/// Adds the symbols of .symtab.
fn add_symtab(table: &mut Table, elf: &Elf, source: &Source) -> Result<(), Error> {
    let Some(section) = elf.sections.iter().find(|s| s.kind == elf::SHT_SYMTAB) else {
        return Ok(());
    };
    let size = Raw::entry_size(elf.wide) as u64;
    let count = section.size / size;
    if count > limits::SYMBOLS {
        return Err(source.too_large("symbols", count, limits::SYMBOLS));
    }
    let (at, len) = (section.offset, count * size);
    let symbols = source.read("symbols", at, len, len)?;
    let names = elf.sections.get(section.link as usize);
    let names = names.filter(|s| s.kind == elf::SHT_STRTAB);
    let names = names.ok_or_else(|| source.corrupt("symbols without names", at))?;
    let what = "symbol names";
    let strings = source.read_shared(what, names.offset, names.size, limits::SECTION)?;
    let raw = Raw {
        wide: elf.wide,
        symbols: &symbols,
        strings: Strings::new(strings),
        versions: &[],
    };
    table.add(source, &raw)
}
