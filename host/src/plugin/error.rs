//! Why a plugin cannot be loaded.

use std::io;

use crate::manifest::ManifestError;
use crate::plugin::WIT_VERSION;

/// A plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin {reference}: {problem}")]
pub struct LoadError {
    /// What the user called it.
    pub reference: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl LoadError {
    /// What the user can do about it.
    pub fn help(&self) -> Option<String> {
        self.problem.help(&self.reference)
    }
}

/// What is wrong with a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Neither a bundled plugin nor a path.
    #[error("no bundled plugin has this name")]
    Unknown {
        /// A bundled plugin with nearly this name.
        suggestion: Option<&'static str>,
        /// A file of this name is in the working directory.
        file: bool,
    },
    /// The file cannot be read.
    #[error("cannot read it: {}", cause(.0))]
    Read(#[source] io::Error),
    /// The path leads to a directory.
    #[error("it is a directory")]
    Directory,
    /// The path leads to a device, a pipe or a socket.
    #[error("it is not a regular file")]
    NotAFile,
    /// Larger than any plugin.
    #[error("it is larger than 64 MiB")]
    TooLarge,
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// Something else.
    #[error("it is not WebAssembly")]
    NotWasm,
    /// The text form.
    #[error("it is WebAssembly text, not a binary")]
    Text,
    /// A compiled component, or any other ELF file.
    #[error("it is native code, which is never loaded")]
    Native,
    /// Not a component.
    #[error("it is a core module, not a component")]
    CoreModule,
    /// Cut off or corrupt.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Made for another version of the contract.
    #[error("it imports {import}, and this pai-host has version {WIT_VERSION} of pai:plugin")]
    ApiVersion {
        /// The import.
        import: String,
    },
    /// Needs something that does not exist here.
    #[error("it imports {0:?}, which pai-host does not provide")]
    UnknownImport(String),
    /// Watches and takes part at once.
    #[error(
        "it imports both pai:plugin/observe and pai:plugin/{0}: a plugin either watches or takes part"
    )]
    MixedWorlds(String),
    /// A program instead of a plugin.
    #[error("it is a program (it exports wasi:cli/run), not a plugin")]
    Command,
    /// Not a plugin.
    #[error("it does not export the function `run`, so it is not a plugin")]
    NoRun,
    /// Its manifest is refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The system's words without its number.
fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

impl Problem {
    fn help(&self, reference: &str) -> Option<String> {
        Some(match self {
            Problem::Unknown { file: true, .. } => {
                format!("to load the file of this name, write ./{reference}")
            }
            Problem::Unknown {
                suggestion: Some(name),
                ..
            } => format!("did you mean {name}? `pai-host list` shows all bundled plugins"),
            Problem::Unknown { .. } => {
                "`pai-host list` shows all bundled plugins; to load a file, \
                                        give a path such as ./tool.wasm"
                    .to_owned()
            }
            Problem::Directory => "give the .wasm file, usually in \
                                   target/wasm32-wasip2/release/"
                .to_owned(),
            Problem::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                "build it with `cargo build --release --target wasm32-wasip2`, or check the path"
                    .to_owned()
            }
            Problem::Text => format!("make a binary of it: wasm-tools parse {reference} -o FILE"),
            Problem::Native => "give the .wasm file that it was made from".to_owned(),
            Problem::CoreModule => {
                "build it with `cargo build --release --target wasm32-wasip2`".to_owned()
            }
            Problem::Empty | Problem::NotWasm | Problem::Damaged(_) => {
                "build or download it again".to_owned()
            }
            Problem::ApiVersion { .. } | Problem::Manifest(ManifestError::Api(_)) => {
                "build it again with the plugin SDK of this pai-host, or use another pai-host"
                    .to_owned()
            }
            Problem::Manifest(ManifestError::Format(_)) => {
                "use a newer pai-host, or build it with an older plugin SDK".to_owned()
            }
            Problem::UnknownImport(_) => {
                "plugins may import pai:plugin 0.1 and WASI 0.2 without wasi:http".to_owned()
            }
            Problem::MixedWorlds(_) => "make two plugins of it, and run both with -t".to_owned(),
            Problem::Command => "build it as a library with crate-type = [\"cdylib\"]".to_owned(),
            Problem::NoRun => "use the SDK's macro, which exports it".to_owned(),
            _ => return None,
        })
    }
}
