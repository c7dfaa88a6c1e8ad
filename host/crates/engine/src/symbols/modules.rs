//! What a process has loaded.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pai_ptrace::{Mem, Pid, Tid};
use pai_symbols::{DebugSearch, Identity, Object, Source};
use rustc_hash::FxHashMap;

use crate::engine::Engine;
use crate::error::Error;
use crate::memory::Mapping;
use crate::symbols::{Module, auxv};

/// Most modules of one process.
const MAX_MODULES: usize = 4096;
/// Objects that are kept although no process has them loaded.
const KEPT: usize = 64;
/// Most bytes of a vDSO. Its size is two pages on today's kernels.
const MAX_VDSO: u64 = 256 << 10;
/// How many bytes at the beginning of a module tell it from others: those of
/// the ELF header, with the positions of tables that hardly ever are the same.
const HEAD: usize = 64;
/// What the kernel appends to a path that is gone.
const DELETED: &str = " (deleted)";
const VDSO: &str = "[vdso]";

/// A module of a process.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) object: Rc<Object>,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) base: u64,
    pub(crate) end: u64,
    pub(crate) bias: u64,
    /// The first bytes in memory when it was listed.
    head: Vec<u8>,
    /// Of the file, as /proc/PID/maps has it.
    file: (u64, u64),
}

impl Loaded {
    pub(crate) fn describe(&self) -> Module {
        let entry = self.object.entry();
        Module {
            name: self.name.clone(),
            path: self.path.clone(),
            base: self.base,
            end: self.end,
            bias: self.bias,
            build_id: self.object.build_id().map(<[u8]>::to_vec),
            entry: (entry != 0).then(|| entry.wrapping_add(self.bias)),
        }
    }

    /// As [`Engine::is_there`], by the memory of its process.
    pub(crate) fn is_in(&self, mem: &Mem) -> bool {
        let mut head = [0; HEAD];
        mem.read(self.base, &mut head)
            .is_ok_and(|done| head[..done] == self.head[..])
    }
}

/// One process.
#[derive(Default, Debug)]
struct Process {
    /// In the order in which names are looked up.
    modules: Rc<[Rc<Loaded>]>,
    /// The mappings that they were made from.
    maps: Vec<Mapping>,
    /// All memory that may be executed, ascending.
    code: Rc<[Range<u64>]>,
    changed: bool,
}

/// What the engine knows of the symbols of all processes.
#[derive(Debug)]
pub(crate) struct Symbols {
    processes: FxHashMap<Pid, Process>,
    objects: FxHashMap<Identity, Rc<Object>>,
    /// Those that are in no file, with their bytes.
    in_memory: Vec<(Vec<u8>, Rc<Object>)>,
    directories: Vec<PathBuf>,
}

impl Symbols {
    pub(crate) fn new() -> Self {
        Self {
            processes: FxHashMap::default(),
            objects: FxHashMap::default(),
            in_memory: Vec::new(),
            directories: DebugSearch::default().directories,
        }
    }

    pub(crate) fn set_debug_directories(&mut self, directories: Vec<PathBuf>) {
        self.directories = directories;
        self.objects.clear();
    }

    pub(crate) fn changed(&mut self, pid: Pid) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.changed = true;
        }
    }

    /// Its program is another one, or it has ended.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.processes.remove(&pid);
    }

    fn open(&mut self, tid: Tid, mapping: &Mapping) -> Result<Rc<Object>, pai_symbols::Error> {
        let source = open_mapped(tid, mapping)?;
        let identity = source.identity();
        if let Some(object) = identity.and_then(|identity| self.objects.get(&identity)) {
            return Ok(object.clone());
        }
        let path = mapping.name.strip_suffix(DELETED).unwrap_or(&mapping.name);
        let search = DebugSearch {
            // As the target sees it, which is the same for most.
            roots: vec![format!("/proc/{tid}/root").into(), "/".into()],
            directories: self.directories.clone(),
            path: path.starts_with('/').then(|| path.into()),
        };
        let object = Rc::new(Object::open(source, search)?);
        if let Some(identity) = identity {
            if self.objects.len() >= KEPT {
                self.objects
                    .retain(|_, object| Rc::strong_count(object) > 1);
            }
            self.objects.insert(identity, object.clone());
        }
        Ok(object)
    }

    fn unpack(&mut self, name: &str, bytes: Vec<u8>) -> Result<Rc<Object>, pai_symbols::Error> {
        if let Some((_, object)) = self.in_memory.iter().find(|(known, _)| *known == bytes) {
            return Ok(object.clone());
        }
        let source = Source::from_bytes(name, &bytes);
        let object = Rc::new(Object::open(source, DebugSearch::default())?);
        if self.in_memory.len() >= KEPT {
            self.in_memory.clear();
        }
        self.in_memory.push((bytes, object.clone()));
        Ok(object)
    }
}

/// The file of a mapping: itself where we may (map_files wants
/// CAP_CHECKPOINT_RESTORE, proc(5)), which works for what is deleted, replaced,
/// in no directory at all, or in another mount namespace. Otherwise what the
/// process has at the path, if it is the same file.
fn open_mapped(tid: Tid, mapping: &Mapping) -> Result<Source, pai_symbols::Error> {
    let name = mapping.name.as_str();
    let exact = format!(
        "/proc/{tid}/map_files/{:x}-{:x}",
        mapping.start, mapping.end
    );
    let refused = match Source::open(Path::new(&exact), name) {
        Ok(source) => return Ok(source),
        Err(error) => error,
    };
    let others = [
        format!("/proc/{tid}/exe"),
        format!("/proc/{tid}/root{name}"),
    ];
    let found = others.iter().find_map(|path| {
        let source = Source::open(Path::new(path), name).ok()?;
        let identity = source.identity()?;
        // Not the device: that of a file is another one than that of its
        // mappings on file systems of several devices (btrfs, overlayfs).
        (identity.inode == mapping.inode).then_some(source)
    });
    found.ok_or(refused)
}

/// What may belong to a module. Others come and go without being of interest.
fn is_of_interest(mapping: &Mapping) -> bool {
    mapping.inode != 0 || mapping.name == VDSO
}

/// The ranges that may be executed.
pub(crate) fn code(maps: &[Mapping]) -> Rc<[Range<u64>]> {
    let executable = maps.iter().filter(|mapping| mapping.is_code());
    executable
        .map(|mapping| mapping.start..mapping.end)
        .collect()
}

pub(crate) fn is_in(code: &[Range<u64>], addr: u64) -> bool {
    let behind = code.partition_point(|range| range.start <= addr);
    code[..behind].last().is_some_and(|range| addr < range.end)
}

/// What was added to the addresses of an object when one of its segments was
/// mapped here.
fn bias(object: &Object, mapping: &Mapping) -> Option<u64> {
    const PAGE: u64 = 4096;
    const PT_LOAD: u32 = 1;
    const PF_X: u32 = 1;
    let mut segments = object.segments().iter();
    // The kernel maps whole pages, so that the mapping may begin before the
    // segment; a part of it may have been mapped or protected anew.
    let segment = segments.find(|segment| {
        let from = segment.offset / PAGE * PAGE;
        let until = segment.offset.saturating_add(segment.file_size);
        segment.kind == PT_LOAD
            && segment.flags & PF_X != 0
            && (from..until).contains(&mapping.offset)
    })?;
    let vaddr = segment
        .vaddr
        .wrapping_sub(segment.offset)
        .wrapping_add(mapping.offset);
    Some(mapping.start.wrapping_sub(vaddr))
}

impl Engine {
    /// The modules as they were last listed.
    pub(crate) fn loaded(&self, pid: Pid) -> Result<Rc<[Rc<Loaded>]>, Error> {
        let process = self.symbols.processes.get(&pid);
        let process = process.ok_or(Error::NoSuchProcess(pid))?;
        Ok(process.modules.clone())
    }

    /// The mappings of files, and of the vDSO, when the modules were last listed.
    pub(crate) fn listed_maps(&self, pid: Pid) -> &[Mapping] {
        let process = self.symbols.processes.get(&pid);
        process.map_or(&[], |process| &process.maps)
    }

    /// Memory that could be executed when the modules were last listed.
    pub(crate) fn loaded_code(&self, pid: Pid) -> Rc<[Range<u64>]> {
        let process = self.symbols.processes.get(&pid);
        process
            .map(|process| process.code.clone())
            .unwrap_or_default()
    }

    /// Lists the modules unless that was done before; true if it was done now.
    pub(crate) fn ensure_modules(&mut self, pid: Pid) -> Result<bool, Error> {
        if !self.processes.contains_key(&pid) {
            return Err(Error::NoSuchProcess(pid));
        }
        match self.symbols.processes.get(&pid) {
            Some(process) if !process.changed => Ok(false),
            _ => self.refresh_modules(pid).map(|()| true),
        }
    }

    /// Lists the modules as they are now. Those that have not changed are kept.
    pub(crate) fn refresh_modules(&mut self, pid: Pid) -> Result<(), Error> {
        let tid = self.task_with_memory(pid)?;
        let mut maps = self.maps(pid)?;
        let code = code(&maps);
        maps.retain(is_of_interest);
        let before = self.symbols.processes.get(&pid);
        if before.is_some_and(|process| process.maps == maps) {
            // Also without a change of the mappings another program may have
            // been read into them; its beginning tells.
            let modules = self.loaded(pid)?;
            if modules.iter().all(|module| self.is_there(pid, module)) {
                if let Some(process) = self.symbols.processes.get_mut(&pid) {
                    process.changed = false;
                    process.code = code;
                }
                return Ok(());
            }
        }
        let before = self.symbols.processes.remove(&pid).unwrap_or_default();
        let mut modules = Vec::new();
        for mapping in maps.iter().filter(|mapping| mapping.is_code()) {
            if modules.len() < MAX_MODULES
                && !is_part_of_any(&modules, mapping)
                && let Some(module) = self.module_of(pid, tid, mapping, &before.modules)?
            {
                modules.push(module);
            }
        }
        let order = self.load_order(pid, tid, &modules)?;
        let mut order: Vec<_> = order.into_iter().zip(modules).collect();
        order.sort_by_key(|(place, module)| (*place, module.base));
        let process = Process {
            modules: order.into_iter().map(|(_, module)| module).collect(),
            maps,
            code,
            changed: false,
        };
        self.symbols.processes.insert(pid, process);
        Ok(())
    }

    /// The module that an executable mapping belongs to, if it is one.
    fn module_of(
        &mut self,
        pid: Pid,
        tid: Tid,
        mapping: &Mapping,
        before: &[Rc<Loaded>],
    ) -> Result<Option<Rc<Loaded>>, Error> {
        let file = (mapping.device, mapping.inode);
        let known = before.iter().find(|module| {
            module.file == file
                && module.path == mapping.name
                && bias(&module.object, mapping) == Some(module.bias)
        });
        if let Some(known) = known
            && self.is_there(pid, known)
        {
            return Ok(Some(known.clone()));
        }
        let object = if mapping.name == VDSO {
            let len = (mapping.end - mapping.start).min(MAX_VDSO);
            let bytes = self.peek(pid, mapping.start, usize::try_from(len).unwrap_or(0))?;
            self.symbols.unpack(VDSO, bytes)
        } else {
            self.symbols.open(tid, mapping)
        };
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                // Not everything that is executable is an ELF object.
                tracing::debug!(target: "pai::symbols", %pid, %error, "not a module");
                return Ok(None);
            }
        };
        let (Some(bias), Some(bounds)) = (bias(&object, mapping), object.bounds()) else {
            return Ok(None);
        };
        let base = bounds.start.wrapping_add(bias) / 4096 * 4096;
        let end = bounds.end.wrapping_add(bias);
        let end = end.checked_next_multiple_of(4096).unwrap_or(end);
        let name = mapping.name.strip_suffix(DELETED).unwrap_or(&mapping.name);
        let name = match name.strip_prefix("/memfd:") {
            Some(name) => format!("memfd:{name}"),
            None => name.rsplit('/').next().unwrap_or(name).to_owned(),
        };
        Ok(Some(Rc::new(Loaded {
            head: self.peek(pid, base, HEAD)?,
            object,
            name,
            path: mapping.name.clone(),
            base,
            end,
            bias,
            file,
        })))
    }

    /// Whether a module is still where it was when it was listed.
    pub(crate) fn is_there(&mut self, pid: Pid, module: &Loaded) -> bool {
        self.mem(pid).is_ok_and(|(mem, _)| module.is_in(mem))
    }

    /// Up to `len` bytes; none where nothing can be read.
    pub(crate) fn peek(&mut self, pid: Pid, addr: u64, len: usize) -> Result<Vec<u8>, Error> {
        let (mem, tid) = self.mem(pid)?;
        let mut bytes = vec![0; len];
        let done = mem
            .read(addr, &mut bytes)
            .map_err(|e| Error::from_ptrace(e, tid))?;
        bytes.truncate(done);
        Ok(bytes)
    }

    /// The place of each module in the order in which the loader looks names
    /// up: the executable, what its list has, the rest, the vDSO.
    fn load_order(
        &mut self,
        pid: Pid,
        tid: Tid,
        modules: &[Rc<Loaded>],
    ) -> Result<Vec<(u8, usize)>, Error> {
        let entry = auxv::entry(tid);
        let is_main = |module: &&Rc<Loaded>| {
            entry.is_some_and(|entry| (module.base..module.end).contains(&entry))
        };
        let listed = match modules.iter().find(is_main) {
            Some(main) => self.link_map(pid, main)?,
            None => Vec::new(),
        };
        let place = |module: &Rc<Loaded>| {
            if is_main(&module) {
                (0, 0)
            } else if module.path == VDSO {
                (3, 0)
            } else {
                match listed.iter().position(|bias| *bias == module.bias) {
                    Some(at) => (1, at),
                    None => (2, 0),
                }
            }
        };
        Ok(modules.iter().map(place).collect())
    }

    /// The biases of the objects that the dynamic loader has loaded, in its
    /// order (link.h, `struct r_debug` and `struct link_map`). Empty before it
    /// has begun. The list is the target's own, so it may be anything.
    fn link_map(&mut self, pid: Pid, main: &Loaded) -> Result<Vec<u64>, Error> {
        let wide = main.object.is_64_bit();
        let word = if wide { 8 } else { 4 };
        let mut biases = Vec::new();
        let Some(at) = main.object.loader_word() else {
            return Ok(biases);
        };
        let mut read = |addr: u64| -> Result<u64, Error> {
            let bytes = self.peek(pid, addr, word)?;
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(&bytes);
            Ok(u64::from_le_bytes(value))
        };
        let step = word as u64;
        let debug = read(at.wrapping_add(main.bias))?;
        // r_version, r_map
        let mut next = match debug {
            0 => 0,
            debug => read(debug.wrapping_add(step))?,
        };
        while next != 0 && biases.len() < MAX_MODULES {
            biases.push(read(next)?);
            // l_addr, l_name, l_ld, l_next
            next = read(next.wrapping_add(3 * step))?;
        }
        Ok(biases)
    }
}

/// Whether a mapping belongs to a module that is known already: most have one
/// that is executable, some have several.
fn is_part_of_any(modules: &[Rc<Loaded>], mapping: &Mapping) -> bool {
    modules.iter().rev().any(|module| {
        module.path == mapping.name
            && module.file == (mapping.device, mapping.inode)
            && bias(&module.object, mapping) == Some(module.bias)
    })
}
