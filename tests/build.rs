//! Builds what the tests run: the C fixtures, and with the feature `guests` the
//! plugins of `guests/`.
//!
//! Every `fixtures/NAME.c` and `NAME.cc` becomes a program in `OUT_DIR`, and `fixtures.rs`
//! there gets one constant with its path. A fixture whose first lines hold a comment
//! `/* build: FLAGS */` is compiled with these flags as well.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const FIXTURES: &str = "fixtures";

const FLAGS: &[&str] = &["-pthread", "-O1", "-g", "-Wall", "-Wextra", "-Werror"];

/// What fixtures are written in.
struct Language {
    name: &'static str,
    extension: &'static str,
    /// The variable that names a compiler, and the usual one.
    variable: &'static str,
    compiler: &'static str,
    standard: &'static str,
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "C",
        extension: "c",
        variable: "CC",
        compiler: "cc",
        standard: "-std=gnu11",
    },
    Language {
        name: "C++",
        extension: "cc",
        variable: "CXX",
        compiler: "c++",
        standard: "-std=gnu++17",
    },
];

/// What went wrong, in lines for whoever runs the build.
type Result<T> = std::result::Result<T, String>;

fn main() {
    if let Err(message) = fixtures().and_then(|()| guests()) {
        // Cargo shows these and fails the build.
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

/// Compiles the fixtures and writes the module of their paths.
fn fixtures() -> Result<()> {
    for language in LANGUAGES {
        println!("cargo::rerun-if-env-changed={}", language.variable);
    }
    // The directory itself, for fixtures that come and go.
    println!("cargo::rerun-if-changed={FIXTURES}");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let programs = out_dir.join(FIXTURES);
    fs::create_dir_all(&programs)
        .map_err(|error| format!("cannot create {}: {error}", programs.display()))?;

    let mut module = String::new();
    for source in files_in(Path::new(FIXTURES))? {
        println!("cargo::rerun-if-changed={}", source.display());
        let Some(language) = LANGUAGES.iter().find(|language| {
            source
                .extension()
                .is_some_and(|extension| extension == language.extension)
        }) else {
            continue;
        };
        let name = source
            .file_stem()
            .and_then(|stem| stem.to_str())
            .ok_or_else(|| format!("{} is no plain name", source.display()))?;
        compile(language, name, &source, &programs.join(name))?;
        module += &constant(name, language);
    }
    let path = out_dir.join("fixtures.rs");
    fs::write(&path, module).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

const GUESTS: &str = "guests/examples";
const WASM: &str = "wasm32-wasip2";

/// Builds the plugins of `guests/` and writes the module of their paths; an
/// empty one without the feature, so that engine tests need no Wasm target.
fn guests() -> Result<()> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut module = String::new();
    if env::var_os("CARGO_FEATURE_GUESTS").is_some() {
        for input in ["guests", "../plugin-sdk", "../wit", "../Cargo.lock"] {
            println!("cargo::rerun-if-changed={input}");
        }
        let built = build_guests(&out_dir, &["--examples"])?;
        for source in files_in(Path::new(GUESTS))? {
            let name = source
                .file_stem()
                .and_then(|stem| stem.to_str())
                .ok_or_else(|| format!("{} is no plain name", source.display()))?;
            module += &format!(
                "/// Path of the plugin `{GUESTS}/{name}.rs`.\n\
                 pub const {}: &str = {:?};\n",
                name.to_uppercase(),
                built.join(format!("{name}.wasm")),
            );
        }
        // One of them once more, with the names in the plugin.
        let tables = ["--example=names_probe", "--features=syscalls"];
        let built = build_guests(&out_dir, &tables)?;
        let copy = out_dir.join("names_probe_tables.wasm");
        fs::copy(built.join("names_probe.wasm"), &copy)
            .map_err(|error| format!("cannot copy names_probe.wasm: {error}"))?;
        module += &format!(
            "/// Path of `{GUESTS}/names_probe.rs` with the feature `syscalls`.\n\
             pub const NAMES_PROBE_TABLES: &str = {copy:?};\n"
        );
        // The folder keeps the usual one.
        build_guests(&out_dir, &["--example=names_probe"])?;
    }
    let path = out_dir.join("guests.rs");
    fs::write(&path, module).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A cargo of its own, in a folder that the outer one does not hold the lock
/// of. Returns the folder with the components.
fn build_guests(out_dir: &Path, which: &[&str]) -> Result<PathBuf> {
    // TARGET_DIR/PROFILE/build/PACKAGE/out
    let target = out_dir
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR is not in a target folder")?
        .join("guests");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--locked", "--profile=guest"])
        .args(["--package=pai-test-guests", "--target", WASM])
        .args(which)
        .arg("--target-dir")
        .arg(&target);
    // Meant for the outer build: flags of the host's target, clippy's wrapper.
    for name in [
        "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    let output = command
        .output()
        .map_err(|error| format!("cannot run cargo for the test plugins: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the test plugins do not build; if {WASM} is missing: rustup target add {WASM}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(target.join(WASM).join("guest/examples"))
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
fn compile(language: &Language, name: &str, source: &Path, program: &Path) -> Result<()> {
    let compiler = env::var_os(language.variable).unwrap_or_else(|| language.compiler.into());
    let output = Command::new(&compiler)
        .arg(language.standard)
        .args(FLAGS)
        .args(own_flags(source)?)
        .arg(source)
        .arg("-o")
        .arg(program)
        .output()
        .map_err(|error| {
            format!(
                "cannot run the {name} compiler {compiler:?}, which the test fixtures need: \
                 {error}\n\
                 help: install one, or name it in the environment variable {variable}",
                name = language.name,
                variable = language.variable,
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
fn constant(name: &str, language: &Language) -> String {
    format!(
        "/// Path of the program `{FIXTURES}/{name}.{}`.\n\
         pub const {}: &str = concat!(env!(\"OUT_DIR\"), \"/{FIXTURES}/{name}\");\n",
        language.extension,
        name.to_uppercase(),
    )
}
