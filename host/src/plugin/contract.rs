//! What a component asks of its host, read from the file.

use wasmparser::{Chunk, ComponentExternalKind, Encoding, Parser, Payload, Validator};

use super::{Problem, World};
use crate::manifest::{ManifestError, SECTION};

/// Interfaces of `pai:plugin`, and whether only one world has them.
const INTERFACES: &[(&str, Option<World>)] = &[
    ("types", None),
    ("events", None),
    ("log", None),
    ("output", None),
    ("config", None),
    ("syscalls", None),
    ("clock", None),
    ("tasks", None),
    ("client", Some(World::Plugin)),
    ("memory", Some(World::Plugin)),
    ("registers", Some(World::Plugin)),
    ("symbols", Some(World::Plugin)),
    ("unwind", Some(World::Plugin)),
    ("breakpoints", Some(World::Plugin)),
    ("control", Some(World::Plugin)),
    ("calls", Some(World::Plugin)),
    ("observe", Some(World::Observer)),
];

/// Packages of WASI 0.2 that plugins are linked with. All doors in them are
/// closed.
const WASI: &[&str] = &["io", "cli", "clocks", "filesystem", "random", "sockets"];

pub(super) struct Contract {
    pub(super) manifest: Option<Vec<u8>>,
    pub(super) world: World,
    pub(super) imports: Vec<String>,
}

/// `trusted`: a bundled plugin, which the build has checked.
pub(super) fn examine(wasm: &[u8], trusted: bool) -> Result<Contract, Problem> {
    kind_of_file(wasm)?;
    let mut found = Found::default();
    if trusted {
        read_without_code(wasm, &mut found)?;
    } else {
        // Function bodies are left to the compiler, which checks them anyway.
        let mut validator = Validator::new();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.map_err(damaged)?;
            validator.payload(&payload).map_err(damaged)?;
            found.take(&payload)?;
        }
    }
    if !found.run {
        return Err(if found.command {
            Problem::Command
        } else {
            Problem::NoRun
        });
    }
    Ok(Contract {
        world: world(&found.imports)?,
        manifest: found.manifest,
        imports: found.imports,
    })
}

/// Passes over functions, of which there are thousands.
fn read_without_code(wasm: &[u8], found: &mut Found) -> Result<(), Problem> {
    let mut parser = Parser::new(0);
    let mut outer = Vec::new();
    let mut rest = wasm;
    loop {
        let (consumed, payload) = match parser.parse(rest, true).map_err(damaged)? {
            Chunk::Parsed { consumed, payload } => (consumed, payload),
            Chunk::NeedMoreData(_) => return Err(Problem::Damaged("it is cut off".into())),
        };
        found.take(&payload)?;
        rest = rest.get(consumed..).unwrap_or_default();
        match payload {
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                rest = rest.get(size as usize..).unwrap_or_default();
            }
            Payload::ModuleSection { parser: inner, .. }
            | Payload::ComponentSection { parser: inner, .. } => {
                outer.push(std::mem::replace(&mut parser, inner));
            }
            Payload::End(_) => match outer.pop() {
                Some(around) => parser = around,
                None => return Ok(()),
            },
            _ => {}
        }
    }
}

/// Checks everything, function bodies too.
pub(super) fn validate(wasm: &[u8]) -> Result<(), Problem> {
    Validator::new()
        .validate_all(wasm)
        .map(drop)
        .map_err(damaged)
}

fn damaged(error: wasmparser::BinaryReaderError) -> Problem {
    Problem::Damaged(format!("{} at byte {:#x}", error.message(), error.offset()))
}

fn kind_of_file(wasm: &[u8]) -> Result<(), Problem> {
    match wasm {
        [] => Err(Problem::Empty),
        [0x7f, b'E', b'L', b'F', ..] => Err(Problem::Native),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Problem::CoreModule),
        [0, b'a', b's', b'm', ..] => Ok(()),
        // A file that was cut off inside the first four bytes.
        short if b"\0asm".starts_with(short) => Err(Problem::Damaged("it is cut off".into())),
        text if looks_like_text(text) => Err(Problem::Text),
        _ => Err(Problem::NotWasm),
    }
}

fn looks_like_text(bytes: &[u8]) -> bool {
    let head = bytes.trim_ascii_start();
    [&b"(component"[..], b"(module", b";;", b"(;"]
        .iter()
        .any(|start| head.starts_with(start))
}

#[derive(Default)]
struct Found {
    /// Nesting of modules and components.
    depth: usize,
    manifest: Option<Vec<u8>>,
    imports: Vec<String>,
    run: bool,
    command: bool,
}

impl Found {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), Problem> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                if self.depth == 1 && *encoding == Encoding::Module {
                    return Err(Problem::CoreModule);
                }
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == SECTION => {
                if self.manifest.is_some() {
                    return Err(ManifestError::Several.into());
                }
                self.manifest = Some(section.data().to_vec());
            }
            Payload::ComponentImportSection(section) if self.depth == 1 => {
                for import in section.clone() {
                    let name = import.map_err(damaged)?.name.name;
                    check_import(name)?;
                    self.imports.push(name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 1 => {
                for export in section.clone() {
                    let export = export.map_err(damaged)?;
                    let name = export.name.name;
                    self.run |= name == "run" && export.kind == ComponentExternalKind::Func;
                    self.command |= name.starts_with("wasi:cli/run@");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn check_import(import: &str) -> Result<(), Problem> {
    let unknown = || Problem::UnknownImport(import.to_owned());
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let (package, interface) = path.split_once('/').ok_or_else(unknown)?;
    if package == "pai:plugin" {
        // Cargo's rule: 0.1.x provide each other, a pre-release nobody.
        if !is_patch_of(version, "0.1.") {
            return Err(Problem::ApiVersion {
                import: import.to_owned(),
            });
        }
        if INTERFACES.iter().any(|(known, _)| *known == interface) {
            return Ok(());
        }
    } else if let Some(package) = package.strip_prefix("wasi:")
        && WASI.contains(&package)
        && is_patch_of(version, "0.2.")
    {
        return Ok(());
    }
    Err(unknown())
}

fn is_patch_of(version: &str, minor: &str) -> bool {
    version
        .strip_prefix(minor)
        .is_some_and(|patch| patch.parse::<u32>().is_ok())
}

/// The world that has all these imports.
fn world(imports: &[String]) -> Result<World, Problem> {
    let mut part = None;
    let mut watches = false;
    for import in imports {
        let Some(interface) = import.strip_prefix("pai:plugin/") else {
            continue;
        };
        let interface = interface.split('@').next().unwrap_or(interface);
        let world = INTERFACES
            .iter()
            .find(|(known, _)| *known == interface)
            .and_then(|(_, world)| *world);
        match world {
            Some(World::Plugin) => part = part.or(Some(interface)),
            Some(World::Observer) => watches = true,
            None => {}
        }
    }
    match (watches, part) {
        (true, Some(interface)) => Err(Problem::MixedWorlds(interface.to_owned())),
        (true, None) => Ok(World::Observer),
        (false, _) => Ok(World::Plugin),
    }
}

#[cfg(test)]
mod tests;
