//! Builds the plugins in `plugins/` for WebAssembly and puts them into the
//! program, so that the program works alone.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use sha2::{Digest, Sha256};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "guest";

/// What cargo gives to a build script and a cargo for another target must not
/// get: flags of the host's target, clippy's wrapper, another place to build.
const NOT_INHERITED: &[&str] = &[
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let manifest_dir = variable("CARGO_MANIFEST_DIR")?;
    let workspace = manifest_dir
        .parent()
        .ok_or("host is no folder of a workspace")?;
    let out_dir = variable("OUT_DIR")?;

    for input in ["plugins", "plugin-sdk", "wit", "Cargo.toml", "Cargo.lock"] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(input).display()
        );
    }
    println!("cargo::rerun-if-changed=build.rs");

    println!(
        "cargo::rustc-env=PAI_WASMTIME_VERSION={}",
        locked_version(
            &fs::read_to_string(workspace.join("Cargo.lock"))?,
            "wasmtime"
        )
    );

    let names = if env::var_os("CARGO_FEATURE_BUNDLED_PLUGINS").is_some() {
        plugin_names(&workspace.join("plugins"))?
    } else {
        Vec::new()
    };
    let built = if names.is_empty() {
        PathBuf::new()
    } else {
        build(workspace, &guests_dir(&out_dir), &names)?
    };

    let mut list =
        String::from("/// All of them, by name.\npub(crate) static ALL: &[Bundled] = &[\n");
    for name in &names {
        let wasm = fs::read(built.join(format!("pai_{}.wasm", name.replace('-', "_"))))?;
        let digest: [u8; 32] = Sha256::digest(&wasm).into();
        // A copy: a later build must not change what this one embeds.
        let file = out_dir.join(format!("{name}.wasm"));
        fs::write(&file, wasm)?;
        writeln!(
            list,
            "    Bundled {{ name: {name:?}, wasm: include_bytes!({file:?}), digest: {digest:?} }},"
        )?;
    }
    list.push_str("];\n");
    fs::write(out_dir.join("bundled.rs"), list)?;
    Ok(())
}

fn variable(name: &str) -> Result<PathBuf> {
    let value = env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))?;
    Ok(PathBuf::from(value))
}

/// The version of a package in a Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> &'a str {
    lock.split_once(&format!("\nname = \"{package}\"\nversion = \""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("(unknown)", |(version, _)| version)
}

/// The folders in `plugins/`; the package in the folder `x` is `pai-x`.
fn plugin_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// A build folder beside the one that the outer cargo holds the lock of. It is
/// kept, so that only changed plugins are built again.
fn guests_dir(out_dir: &Path) -> PathBuf {
    // TARGET_DIR[/TRIPLE]/PROFILE/build/PACKAGE/out
    let profile = out_dir
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "build"))
        .and_then(Path::parent);
    let triple = env::var_os("TARGET");
    match profile.and_then(Path::parent) {
        Some(folder) if folder.file_name() == triple.as_deref() => {
            folder.parent().unwrap_or(folder).join("guests")
        }
        Some(folder) => folder.join("guests"),
        None => out_dir.join("guests"),
    }
}

/// Builds the plugins and returns the folder with the components.
fn build(workspace: &Path, target_dir: &Path, names: &[String]) -> Result<PathBuf> {
    require_target()?;
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--profile",
            PROFILE,
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir);
    for name in names {
        cargo.arg("--package").arg(format!("pai-{name}"));
    }
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the bundled plugins do not build ({status})").into());
    }
    Ok(target_dir.join(TARGET).join(PROFILE))
}

fn require_target() -> Result<()> {
    let output = Command::new(variable("RUSTC")?)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    let folder = String::from_utf8(output.stdout)?;
    if output.status.success() && Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    Err(
        format!("the bundled plugins need the target {TARGET}: run `rustup target add {TARGET}`")
            .into(),
    )
}
