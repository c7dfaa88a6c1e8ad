//! The Wasm target, added when it is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What plugins are built for.
pub(crate) const WASM: &str = "wasm32-wasip2";

/// Makes sure that plugins can be built.
pub(crate) fn ensure() -> Result<()> {
    if is_installed()? {
        return Ok(());
    }
    eprintln!("+ rustup target add {WASM}");
    let added = Command::new("rustup")
        .args(["target", "add", WASM])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("rustup target add {WASM} failed: {status}"),
        Err(error) => bail!(
            "the Rust target {WASM} is missing and rustup cannot be run ({error}): \
             install rustup, or the target by your own means"
        ),
    }
}

/// Whether the compiler in use has the target's standard library.
fn is_installed() -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", WASM])
        .output()
        .context("cannot run rustc")?;
    let dir = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(dir.trim()).is_dir())
}
