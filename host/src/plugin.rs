//! Plugins as files: what they are, what they import, and why one is refused.
//!
//! Everything here happens before any code of a plugin is compiled, and reads
//! a file that a stranger may have made.

mod contract;
mod error;

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::bundled;
use crate::manifest::{self, Manifest};

pub use error::{LoadError, Problem};

/// Version of the WIT package `pai:plugin` that this host provides.
pub const WIT_VERSION: &str = "0.1.0";

const MAX_SIZE: u64 = 64 << 20;

/// One plugin, checked and ready to be compiled.
#[derive(Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Short name: the manifest's, or the file's when it has none.
    pub name: String,
    /// What it says of itself.
    pub manifest: Manifest,
    /// How it takes part.
    pub world: World,
    /// Names of the interfaces it imports, in the file's order.
    pub imports: Vec<String>,
    /// The component.
    pub wasm: Cow<'static, [u8]>,
    /// SHA-256 of it.
    pub digest: [u8; 32],
}

/// How a plugin takes part. Its imports decide, not a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Threads that stop for it wait for its answer.
    Plugin,
    /// It only watches, and the target never waits for it.
    Observer,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            World::Plugin => "plugin",
            World::Observer => "observer",
        })
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("world", &self.world)
            .field("digest", &self.digest_hex())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Loads the plugin that the user named: a bundled one by its name, or a
    /// file by a path that contains a `/` or ends in `.wasm`.
    ///
    /// # Errors
    /// When there is no such plugin, or it is none.
    pub fn load(reference: &str) -> Result<Self, LoadError> {
        let loaded = if is_path(reference) {
            read(Path::new(reference)).and_then(|wasm| {
                let digest = Sha256::digest(&wasm).into();
                Self::examine(wasm.into(), digest, &file_name(reference))
            })
        } else {
            match bundled::ALL.iter().find(|plugin| plugin.name == reference) {
                Some(plugin) => Self::examine(plugin.wasm.into(), plugin.digest, plugin.name),
                None => Err(unknown(reference)),
            }
        };
        loaded.map_err(|problem| LoadError {
            reference: reference.to_owned(),
            problem,
        })
    }

    /// Makes a plugin of a component in memory. `name` is used when it has no
    /// manifest.
    ///
    /// # Errors
    /// When it is no plugin.
    pub fn from_bytes(wasm: Vec<u8>, name: &str) -> Result<Self, LoadError> {
        let digest = Sha256::digest(&wasm).into();
        Self::examine(wasm.into(), digest, name).map_err(|problem| LoadError {
            reference: name.to_owned(),
            problem,
        })
    }

    fn examine(wasm: Cow<'static, [u8]>, digest: [u8; 32], name: &str) -> Result<Self, Problem> {
        let trusted = matches!(wasm, Cow::Borrowed(_));
        let contract = contract::examine(&wasm, trusted)?;
        let manifest = match contract.manifest {
            Some(section) => Manifest::decode(&section)?,
            None => Manifest::absent(name),
        };
        Ok(Self {
            name: manifest.name.clone(),
            manifest,
            world: contract.world,
            imports: contract.imports,
            wasm,
            digest,
        })
    }

    /// Checks the whole component, which loading leaves to the compiler.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn validate(&self) -> Result<(), LoadError> {
        contract::validate(&self.wasm).map_err(|problem| LoadError {
            reference: self.name.clone(),
            problem,
        })
    }

    /// The digest as people write it.
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// Names of the plugins inside this program.
pub fn bundled() -> impl Iterator<Item = &'static str> {
    bundled::ALL.iter().map(|plugin| plugin.name)
}

fn is_path(reference: &str) -> bool {
    reference.contains('/') || reference.ends_with(".wasm")
}

fn unknown(reference: &str) -> Problem {
    let closest = bundled()
        .map(|name| (strsim::damerau_levenshtein(reference, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3);
    Problem::Unknown {
        suggestion: closest.map(|(_, name)| name),
        file: Path::new(reference).is_file(),
    }
}

/// A name for a component that does not say its own.
fn file_name(path: &str) -> String {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    let mut name: String = stem
        .to_string_lossy()
        .chars()
        .take(64)
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '-',
        })
        .collect();
    if !manifest::is_name(&name) {
        name.insert_str(0, "plugin");
        name.truncate(64);
    }
    name
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    // Looked at before it is opened: opening a FIFO waits for a writer.
    let metadata = path.metadata().map_err(Problem::Read)?;
    if metadata.is_dir() {
        return Err(Problem::Directory);
    }
    if !metadata.is_file() {
        return Err(Problem::NotAFile);
    }
    if metadata.len() > MAX_SIZE {
        return Err(Problem::TooLarge);
    }
    let mut wasm = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(path)
        .and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut wasm))
        .map_err(Problem::Read)?;
    // It may have grown since.
    if wasm.len() as u64 > MAX_SIZE {
        return Err(Problem::TooLarge);
    }
    Ok(wasm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        assert_eq!(file_name("dir/My_tool.wasm"), "my-tool");
        assert_eq!(file_name("./-x.wasm"), "plugin-x");
        assert_eq!(file_name("dir/.wasm"), "plugin-wasm");
        assert_eq!(file_name("/"), "plugin");
        assert!(manifest::is_name(&file_name(&format!(
            "{}.wasm",
            "é".repeat(99)
        ))));
    }

    #[test]
    fn files_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let problem = |path: &Path| {
            let error = Plugin::load(path.to_str().unwrap()).unwrap_err();
            error.problem.to_string()
        };
        assert_eq!(problem(folder.path()), "it is a directory");
        let missing = folder.path().join("missing.wasm");
        assert!(problem(&missing).contains("No such file or directory"));
        assert_eq!(problem(Path::new("/dev/null")), "it is not a regular file");
        let large = folder.path().join("large.wasm");
        File::create(&large).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert_eq!(problem(&large), "it is larger than 64 MiB");
        let empty = folder.path().join("empty.wasm");
        File::create(&empty).unwrap();
        assert_eq!(problem(&empty), "it is empty");
    }

    #[test]
    fn unknown_names_get_a_suggestion() {
        let error = Plugin::load("no-such-plugin-at-all").unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin no-such-plugin-at-all: no bundled plugin has this name"
        );
        assert!(error.help().unwrap().contains("pai-host list"));
        for name in bundled() {
            let typo = format!("{name}x");
            let help = Plugin::load(&typo).unwrap_err().help().unwrap();
            assert!(help.contains(&format!("did you mean {name}?")), "{help}");
        }
    }
}
