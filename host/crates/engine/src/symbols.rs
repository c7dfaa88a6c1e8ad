//! Names of addresses and addresses of names, in the processes of the session.
//!
//! [`pai_symbols`] reads objects; here is what a process has loaded, and where.
//! Parsed objects are shared between processes. Each process has a list of its
//! modules, made from /proc/PID/maps, which is made anew
//!
//! - after an exec, and after [`Engine::symbols_changed`];
//! - when a name or an address is not found with it, before that is said;
//! - when what is found is in a module whose first bytes are no longer there.
//!
//! So nobody has to watch mmap and munmap for answers to be right. One answer
//! may be late: a name that a library loaded meanwhile defines too, and which
//! is found in one that was there before, is that of the one before, which is
//! also what the loader would say.
//!
//! Names in a target are bytes; they become text in [`text`] and nowhere else.

mod auxv;
mod ifunc;
mod modules;
mod spec;
mod stack;
mod unwind;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pai_ptrace::Pid;
pub use pai_symbols::Kind as SymbolKind;
use pai_symbols::{Binding, Object, Pattern, SlotKind};

use crate::engine::Engine;
use crate::error::Error;
use modules::Loaded;
pub(crate) use modules::Symbols;
use spec::Spec;

pub use unwind::MAX_FRAMES;

/// Most symbols that one call returns.
pub const MAX_SYMBOLS: usize = 65_536;

/// Most bytes that are read of the modules of one process, give or take one of
/// them: a target may have thousands, each as large as one may be.
const MAX_BYTES: u64 = 6 << 30;

const TOO_MUCH: &str = "size of the symbol tables of a process";

/// How long one call may go on to other modules when names have to be
/// demangled, or debug information read, for the first time.
const PATIENCE: Duration = Duration::from_secs(3);

/// An executable, a shared library, or the vDSO, in a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// File name, "[vdso]", "memfd:NAME".
    pub name: String,
    /// Path as /proc/PID/maps has it: with " (deleted)" when it is gone.
    pub path: String,
    /// First address.
    pub base: u64,
    /// First address behind it.
    pub end: u64,
    /// What was added to its addresses when it was loaded.
    pub bias: u64,
    /// Its build-id, if the linker made one.
    pub build_id: Option<Vec<u8>>,
    /// Where it begins to run, if it can.
    pub entry: Option<u64>,
}

/// A symbol in a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// As the linker knows it, without a version; `NAME@plt` for a stub; empty
    /// for a function of a stripped module of which only the unwind information
    /// knows.
    pub name: String,
    /// As it is in the source, if that is another one.
    pub demangled: Option<String>,
    /// Its address; of [`SymbolKind::Tls`] the offset into each thread's block.
    pub value: u64,
    /// Bytes; 0 when unknown.
    pub size: u64,
    /// What it is. [`SymbolKind::Ifunc`]: nobody has called it yet, so that its
    /// implementation is not known; `value` is the function that chooses it.
    /// One whose implementation is known is a [`SymbolKind::Function`] there.
    pub kind: SymbolKind,
    /// [`Module::name`] of the module that defines it.
    pub module: String,
}

/// What an address lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    /// The symbol.
    pub symbol: Symbol,
    /// Bytes behind its beginning.
    pub offset: u64,
}

/// A function and a line of source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceLine {
    /// The function's name, as it is in the source.
    pub function: Option<String>,
    /// Path of the file, as the compiler was given it.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<u32>,
    /// From 1.
    pub column: Option<u32>,
}

/// A name that a module gets from others, and the slot for its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// As the linker knows it.
    pub name: String,
    /// Which version of it, if that is said.
    pub version: Option<String>,
    /// Address of the slot.
    pub slot: u64,
    /// Whether calls go through it (JUMP_SLOT), which may be filled in only
    /// when the first is made; otherwise code reads it (GLOB_DAT).
    pub is_call: bool,
}

/// A name that came from a target.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Engine {
    /// Where separate debug files are, in place of /usr/lib/debug. For what is
    /// looked at from now on.
    pub fn set_debug_directories(&mut self, directories: Vec<PathBuf>) {
        self.symbols.set_debug_directories(directories);
    }

    /// To be called when a process may have loaded or unloaded something.
    pub fn symbols_changed(&mut self, pid: Pid) {
        self.symbols.changed(pid);
    }

    /// Where the program of a process begins: the executable's entry, not the
    /// loader's.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn entry(&mut self, pid: Pid) -> Result<u64, Error> {
        let tid = self.task_with_memory(pid)?;
        auxv::entry(tid).ok_or(Error::NoSuchProcess(pid))
    }

    /// What a process has loaded now, in the order in which names are looked
    /// up: the executable, then libraries as they were loaded, the vDSO last.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn modules(&mut self, pid: Pid) -> Result<Vec<Module>, Error> {
        self.refresh_modules(pid)?;
        let modules = self.loaded(pid)?;
        Ok(modules.iter().map(|module| module.describe()).collect())
    }

    /// The symbol of a name: the linker's, or the one in the source, with or
    /// without parameters; `MODULE!NAME` looks in one module only, whose name
    /// may be a file name, a soname, either without what follows ".so", a path,
    /// or a shell pattern of one of these. Only what a module defines is found,
    /// in the order of [`Engine::modules`].
    ///
    /// # Errors
    /// `NoSuchProcess`; `Invalid` when it is not found in a module that is
    /// damaged; `Limit` when demangling takes too long.
    pub fn lookup(&mut self, pid: Pid, name: &str) -> Result<Option<Symbol>, Error> {
        let (spec, name) = Spec::split(name)?;
        let mut fresh = self.ensure_modules(pid)?;
        loop {
            let modules = self.loaded(pid)?;
            match find(&modules, spec.as_ref(), name)? {
                Some((index, found)) if fresh || self.is_there(pid, &modules[index]) => {
                    return self.complete(pid, &modules, index, found).map(Some);
                }
                None if fresh => return missing(&modules, spec.as_ref()),
                _ => {}
            }
            self.refresh_modules(pid)?;
            fresh = true;
        }
    }

    /// Symbols whose name, the linker's, fits a shell pattern; with `::`, `(`,
    /// `<` or a space in it, also those whose name in the source does.
    /// `MODULE!PATTERN` looks in the modules that fit. In the order of modules
    /// and addresses, `max` of them from the one with number `skip` on.
    ///
    /// # Errors
    /// `NoSuchProcess`; `Limit` above [`MAX_SYMBOLS`], for a pattern that is too
    /// long, or when demangling takes too long.
    pub fn search(
        &mut self,
        pid: Pid,
        pattern: &str,
        skip: usize,
        max: usize,
    ) -> Result<Vec<Symbol>, Error> {
        let (spec, pattern) = Spec::split(pattern)?;
        self.list(pid, spec.as_ref(), pattern, None, skip, max)
    }

    /// Symbols of a module, or only those of a kind; see [`Engine::search`].
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn symbols_of(
        &mut self,
        pid: Pid,
        module: &str,
        kind: Option<SymbolKind>,
        skip: usize,
        max: usize,
    ) -> Result<Vec<Symbol>, Error> {
        let spec = Spec::new(module)?;
        self.list(pid, Some(&spec), "*", kind, skip, max)
    }

    fn list(
        &mut self,
        pid: Pid,
        spec: Option<&Spec>,
        pattern: &str,
        kind: Option<SymbolKind>,
        skip: usize,
        max: usize,
    ) -> Result<Vec<Symbol>, Error> {
        if max > MAX_SYMBOLS {
            return Err(Error::Limit("number of symbols"));
        }
        let in_source = pattern.contains("::") || pattern.contains(['(', '<', ' ']);
        let pattern = Pattern::new(pattern.as_bytes()).ok_or(Error::Limit("pattern-size"))?;
        self.refresh_modules(pid)?;
        let modules = self.loaded(pid)?;
        let until = Instant::now() + PATIENCE;
        let mut skip = skip;
        let mut found = Vec::new();
        for (index, module) in modules.iter().enumerate() {
            within_limits(&modules[..index])?;
            if found.len() >= max || spec.is_some_and(|spec| !spec.fits(module)) {
                continue;
            }
            if in_source && Instant::now() > until {
                return Err(Error::Limit("time for demangling"));
            }
            let symbols = module.object.search(&pattern, in_source);
            let symbols = symbols.map_err(|error| Error::Invalid(error.to_string()))?;
            for symbol in symbols {
                // A module with two versions of a name has one that is meant.
                let meant = kind.is_none_or(|kind| symbol.kind == kind);
                if !meant || symbol.hidden {
                    continue;
                }
                if skip > 0 {
                    skip -= 1;
                } else if found.len() < max {
                    found.push(self.complete(pid, &modules, index, symbol)?);
                }
            }
        }
        Ok(found)
    }

    /// The symbol that an address lies in, of known size, or the last one of
    /// unknown size before it. For a return address ask about the byte before:
    /// the function that it returns to may end with the call.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn resolve(&mut self, pid: Pid, addr: u64) -> Result<Option<Location>, Error> {
        let Some(module) = self.module_at(pid, addr)? else {
            return Ok(None);
        };
        let Some(place) = module.object.at(addr.wrapping_sub(module.bias)) else {
            return Ok(None);
        };
        let value = place.value.wrapping_add(module.bias);
        Ok(Some(Location {
            offset: addr.wrapping_sub(value),
            symbol: Symbol {
                name: text(&place.name),
                demangled: pai_symbols::demangle(&place.name),
                value,
                size: place.size,
                kind: place.kind,
                module: module.name.clone(),
            },
        }))
    }

    /// The functions and lines of source that an address belongs to: functions
    /// that are inlined there first, each into the one behind it. Empty without
    /// debug information.
    ///
    /// # Errors
    /// `NoSuchProcess`; `Invalid` when the debug information is damaged.
    pub fn locate(&mut self, pid: Pid, addr: u64) -> Result<Vec<SourceLine>, Error> {
        let Some(module) = self.module_at(pid, addr)? else {
            return Ok(Vec::new());
        };
        let frames = module.object.locate(addr.wrapping_sub(module.bias));
        let frames = frames.map_err(|error| Error::Invalid(error.to_string()))?;
        let line = |frame: pai_symbols::Frame| SourceLine {
            function: frame.function,
            file: frame.file,
            line: frame.line,
            column: frame.column,
        };
        Ok(frames.into_iter().map(line).collect())
    }

    /// Address of the slot through which a module calls or reads a name. The
    /// first of several modules that fit and have one; the slot of calls, if
    /// there are both.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn got_slot(&mut self, pid: Pid, module: &str, name: &str) -> Result<Option<u64>, Error> {
        let spec = Spec::new(module)?;
        let slot = |loaded: &Loaded| {
            let slots = loaded.object.slots_of(name.as_bytes());
            let slot = slots
                .filter(|slot| matches!(slot.kind, SlotKind::JumpSlot | SlotKind::GlobDat))
                .min_by_key(|slot| (slot.kind, slot.slot))?;
            Some(slot.slot.wrapping_add(loaded.bias))
        };
        self.refresh_modules(pid)?;
        let modules = self.loaded(pid)?;
        for (index, module) in modules.iter().enumerate() {
            within_limits(&modules[..index])?;
            if spec.fits(module)
                && let Some(slot) = slot(module)
            {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// The names that a module gets from others, by the address of the slot.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn imports(&mut self, pid: Pid, module: &str) -> Result<Vec<Import>, Error> {
        let spec = Spec::new(module)?;
        self.refresh_modules(pid)?;
        let mut imports = Vec::new();
        let modules = self.loaded(pid)?;
        for (index, module) in modules.iter().enumerate() {
            within_limits(&modules[..index])?;
            if !spec.fits(module) {
                continue;
            }
            for slot in module.object.relocations() {
                let is_call = match slot.kind {
                    SlotKind::JumpSlot => true,
                    SlotKind::GlobDat => false,
                    SlotKind::Absolute | SlotKind::IRelative => continue,
                };
                if imports.len() >= MAX_SYMBOLS {
                    return Err(Error::Limit("number of symbols"));
                }
                imports.push(Import {
                    name: text(slot.name),
                    version: slot.version.map(text),
                    slot: slot.slot.wrapping_add(module.bias),
                    is_call,
                });
            }
        }
        Ok(imports)
    }

    /// Whether an address is in memory that may be executed, now.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn is_code(&mut self, pid: Pid, addr: u64) -> Result<bool, Error> {
        let area = self.area_at(pid, addr)?;
        Ok(area.is_some_and(|area| area.is_executable()))
    }

    /// The module that an address is in.
    fn module_at(&mut self, pid: Pid, addr: u64) -> Result<Option<Rc<Loaded>>, Error> {
        let mut fresh = self.ensure_modules(pid)?;
        loop {
            let modules = self.loaded(pid)?;
            within_limits(&modules)?;
            let module = modules.iter().find(|m| (m.base..m.end).contains(&addr));
            match module {
                Some(module) if fresh || self.is_there(pid, module) => {
                    return Ok(Some(module.clone()));
                }
                None if fresh => return Ok(None),
                _ => {}
            }
            self.refresh_modules(pid)?;
            fresh = true;
        }
    }

    /// A symbol of a module, in a process.
    fn complete(
        &mut self,
        pid: Pid,
        modules: &[Rc<Loaded>],
        index: usize,
        symbol: pai_symbols::Symbol<'_>,
    ) -> Result<Symbol, Error> {
        let module = &modules[index];
        let in_process = |vaddr: u64| vaddr.wrapping_add(module.bias);
        let (kind, value, size) = match symbol.kind {
            SymbolKind::Tls => (symbol.kind, symbol.value, symbol.size),
            SymbolKind::Ifunc => match self.implementation(pid, modules, index, &symbol)? {
                Some(chosen) => {
                    let place = module.object.at(chosen.wrapping_sub(module.bias));
                    let size = place.map_or(0, |place| place.size);
                    (SymbolKind::Function, chosen, size)
                }
                None => (symbol.kind, in_process(symbol.value), symbol.size),
            },
            _ => (symbol.kind, in_process(symbol.value), symbol.size),
        };
        Ok(Symbol {
            name: text(symbol.name),
            demangled: pai_symbols::demangle(symbol.name),
            value,
            size,
            kind,
            module: module.name.clone(),
        })
    }
}

/// Whether more may be read of these modules.
fn within_limits(modules: &[Rc<Loaded>]) -> Result<(), Error> {
    let bytes = modules.iter().map(|module| module.object.bytes_read());
    match bytes.fold(0, u64::saturating_add) {
        0..=MAX_BYTES => Ok(()),
        _ => Err(Error::Limit(TOO_MUCH)),
    }
}

/// The first module with a name, and its symbol.
fn find<'a>(
    modules: &'a [Rc<Loaded>],
    spec: Option<&Spec>,
    name: &str,
) -> Result<Option<(usize, pai_symbols::Symbol<'a>)>, Error> {
    type Look<'a, 'n> = dyn Fn(&'a Object) -> Option<pai_symbols::Symbol<'a>> + 'n;
    let by = |look: &Look<'a, '_>, until: Option<Instant>| {
        // One that is visible everywhere, before one that is not.
        let mut local = None;
        let mut bytes = 0;
        for (index, module) in modules.iter().enumerate() {
            let fits = spec.is_none_or(|spec| spec.fits(module));
            let symbol = if fits { look(&module.object) } else { None };
            match symbol {
                Some(symbol) if symbol.binding != Binding::Local => {
                    return Ok(Some((index, symbol)));
                }
                Some(symbol) if local.is_none() => local = Some((index, symbol)),
                _ => {}
            }
            bytes += module.object.bytes_read();
            if bytes > MAX_BYTES {
                return Err(Error::Limit(TOO_MUCH));
            }
            if until.is_some_and(|until| Instant::now() > until) {
                return Err(Error::Limit("time for demangling"));
            }
        }
        Ok(local)
    };
    let found = by(&|object| object.by_name(name.as_bytes()), None)?;
    if found.is_some() {
        return Ok(found);
    }
    let until = Instant::now() + PATIENCE;
    by(&|object| object.by_demangled(name), Some(until))
}

/// It is not there; or nobody can say, because the module is damaged.
fn missing(modules: &[Rc<Loaded>], spec: Option<&Spec>) -> Result<Option<Symbol>, Error> {
    let Some(spec) = spec else {
        return Ok(None);
    };
    let mut fitting = modules.iter().filter(|module| spec.fits(module));
    match fitting.find_map(|module| module.object.damage().into_iter().next()) {
        Some(damage) => Err(Error::Invalid(damage.to_string())),
        None => Ok(None),
    }
}
