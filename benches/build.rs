//! Builds what the benches trace and the C loops they are compared with.
//!
//! Every `targets/NAME.c` and `floors/NAME.c` becomes a program in `OUT_DIR`,
//! and `programs.rs` there gets one constant with its path. The flags are those
//! of `targets/Makefile`, which builds the targets for use by hand.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDERS: &[&str] = &["targets", "floors"];

const FLAGS: &[&str] = &["-O2", "-g", "-Wall", "-Wextra", "-rdynamic", "-pthread"];

/// What went wrong, in lines for whoever runs the build.
type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = programs() {
        // Cargo shows these and fails the build.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn programs() -> Result<()> {
    println!("cargo::rerun-if-env-changed=CC");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut module = String::new();
    for folder in FOLDERS {
        // The folder itself, for programs that come and go.
        println!("cargo::rerun-if-changed={folder}");
        let programs = out_dir.join(folder);
        fs::create_dir_all(&programs)
            .map_err(|error| format!("cannot create {}: {error}", programs.display()))?;
        for source in sources(folder)? {
            let name = source
                .file_stem()
                .and_then(|stem| stem.to_str())
                .ok_or_else(|| format!("{} is no plain name", source.display()))?;
            compile(&source, &programs.join(name))?;
            module += &format!(
                "/// Path of the program `{folder}/{name}.c`.\n\
                 pub const {}: &str = concat!(env!(\"OUT_DIR\"), \"/{folder}/{name}\");\n",
                name.to_uppercase(),
            );
        }
    }
    let path = out_dir.join("programs.rs");
    fs::write(&path, module).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The C files of a folder in the order of their names.
fn sources(folder: &str) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(|error| format!("cannot list {folder}: {error}"))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "c"));
    files.sort();
    Ok(files)
}

/// Compiles one program; an error holds the compiler's own words.
fn compile(source: &Path, program: &Path) -> Result<()> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(FLAGS)
        .arg(source)
        .arg("-o")
        .arg(program)
        .output()
        .map_err(|error| {
            format!(
                "cannot run the C compiler {compiler:?}, which the benches need: {error}\n\
                 help: install a C compiler, or name one in the environment variable CC"
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{} does not compile ({}):\n{}",
        source.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    ))
}
