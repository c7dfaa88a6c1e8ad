//! The programs that take part.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pai_ptrace::Program;

/// Compiled by the build script.
pub mod built {
    include!(concat!(env!("OUT_DIR"), "/programs.rs"));
}

/// Names the component that takes part in every entry and exit and changes
/// nothing, when it is elsewhere than where cargo puts it.
const NOOP: &str = "PAI_BENCH_NOOP";

/// The program of this name in `PATH`.
pub fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Cargo sets it for what it runs. Every program that is started would look for its
/// libraries in folders of the build first, with some 90 calls that nobody else sees.
pub(crate) const CARGOS: &str = "LD_LIBRARY_PATH";

/// The program whose start and end are measured, with its arguments.
///
/// # Errors
/// When there is none.
pub fn true_() -> Result<Vec<String>> {
    let path = in_path("true").context("no program named true")?;
    Ok(vec![path.to_string_lossy().into_owned()])
}

/// What cargo built beside this bench.
fn beside(name: impl AsRef<Path>) -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let folder = own.parent()?;
    let release = if folder.file_name() == Some(OsStr::new("deps")) {
        folder.parent()?
    } else {
        folder
    };
    let file = release.join(name);
    file.exists().then_some(file)
}

/// The host.
pub fn host() -> Option<PathBuf> {
    beside("pai-host")
}

/// The tracers without Wasm.
pub fn tracer() -> Option<PathBuf> {
    beside("pai-bench-tracer")
}

/// The component that does nothing.
pub fn noop() -> Option<PathBuf> {
    match env::var_os(NOOP) {
        Some(path) => Some(path.into()),
        None => beside("../guests/wasm32-wasip2/guest/pai_bench_guest.wasm"),
    }
}

/// One of the other components of the benches.
pub fn guest(name: &str) -> Option<PathBuf> {
    beside(format!(
        "../guests/wasm32-wasip2/guest/examples/{name}.wasm"
    ))
}

/// A program with its arguments, to be traced in this process.
///
/// # Errors
/// When it is not found.
pub fn program(arguments: &[String]) -> Result<Program> {
    let name = arguments.first().context("no program")?;
    let path = if name.contains('/') {
        PathBuf::from(name)
    } else {
        in_path(name).with_context(|| format!("no program named {name}"))?
    };
    let env = env::vars_os().filter(|(name, _)| name != CARGOS);
    let env = env.map(|(name, value)| {
        let mut variable = name.into_vec();
        variable.push(b'=');
        variable.extend_from_slice(value.as_bytes());
        variable
    });
    let argv = arguments.iter().map(|word| word.as_bytes().to_vec());
    pai_engine::program(&path, argv, env).context("a NUL byte in an argument")
}
