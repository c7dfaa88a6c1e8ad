//! A folder full of files, for programs that go through one.

use std::fs;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// So many folders with as many files each.
const WIDTH: usize = 100;

/// How many files there are.
pub const FILES: usize = WIDTH * WIDTH;

/// A program in C beside the folder.
pub fn source(folder: &str) -> String {
    format!("{folder}.c")
}

/// Makes it, with room beside it; its path.
///
/// # Errors
/// When nothing can be written.
pub fn make() -> Result<(TempDir, String)> {
    let temporary = tempfile::tempdir().context("no temporary folder")?;
    let folder = temporary.path().join("all");
    for n in 0..WIDTH {
        let inner = folder.join(format!("folder{n}"));
        fs::create_dir_all(&inner).context("cannot make a folder")?;
        for n in 0..WIDTH {
            fs::write(inner.join(format!("file{n}")), "some text\n").context("cannot write")?;
        }
    }
    let folder = folder.to_string_lossy().into_owned();
    let text = "#include <stdio.h>\nint main(void) { return puts(\"hello\") < 0; }\n";
    fs::write(source(&folder), text).context("cannot write")?;
    Ok((temporary, folder))
}
