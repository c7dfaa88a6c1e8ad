//! Builds what the tests run: the C fixtures.
//!
//! Every `fixtures/NAME.c` becomes a program in `OUT_DIR`, and `fixtures.rs` there gets
//! one constant with its path. A fixture whose first lines hold a comment
//! `/* build: FLAGS */` is compiled with these flags as well.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const FIXTURES: &str = "fixtures";

const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-pthread",
    "-O1",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
];

/// What went wrong, in lines for whoever runs the build.
type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = fixtures() {
        // Cargo shows these and fails the build.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Compiles the fixtures and writes the module of their paths.
fn fixtures() -> Result<()> {
    println!("cargo::rerun-if-env-changed=CC");
    // The directory itself, for fixtures that come and go.
    println!("cargo::rerun-if-changed={FIXTURES}");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let programs = out_dir.join(FIXTURES);
    fs::create_dir_all(&programs)
        .map_err(|error| format!("cannot create {}: {error}", programs.display()))?;

    let mut module = String::new();
    for source in files_in(Path::new(FIXTURES))? {
        println!("cargo::rerun-if-changed={}", source.display());
        if source.extension().is_none_or(|extension| extension != "c") {
            continue;
        }
        let name = source
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or_else(|| format!("{} is no plain name", source.display()))?;
        compile(name, &source, &programs.join(name))?;
        module += &constant(name);
    }
    let path = out_dir.join("fixtures.rs");
    fs::write(&path, module).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The files of a directory in order of their names, so that builds are reproducible.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
    files.sort();
    Ok(files)
}

/// Compiles one fixture; an error holds the compiler's own words.
fn compile(name: &str, source: &Path, program: &Path) -> Result<()> {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(FLAGS)
        .args(own_flags(source)?)
        .arg(source)
        .arg("-o")
        .arg(program)
        .output()
        .map_err(|error| {
            format!(
                "cannot run the C compiler {compiler:?}, which the test fixtures need: {error}\n\
                 help: install a C compiler, or name one in the environment variable CC"
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "fixture {name} does not compile ({}, {}):\n{}{}",
        source.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    ))
}

/// The flags of a fixture's `/* build: ... */` line, if it has one.
fn own_flags(source: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(source)
        .map_err(|error| format!("cannot read {}: {error}", source.display()))?;
    Ok(text
        .lines()
        .take(3)
        .find_map(|line| line.strip_prefix("/* build: ")?.strip_suffix(" */"))
        .map(|flags| flags.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default())
}

/// The constant that holds a fixture's path.
fn constant(name: &str) -> String {
    format!(
        "/// Path of the program `{FIXTURES}/{name}.c`.\n\
         pub const {}: &str = concat!(env!(\"OUT_DIR\"), \"/{FIXTURES}/{name}\");\n",
        name.to_uppercase(),
    )
}
