//! Formatting, lints, generated files, guests.

use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, run};
use crate::{codegen, target, workspace};

/// What must hold besides the tests.
pub(crate) fn main(_args: &[String]) -> Result<()> {
    target::ensure()?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    codegen::run(&["--check".to_owned()])?;
    build_guests()?;
    let clippy = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny=warnings",
    ];
    run(&mut cargo(&clippy))?;
    deny()
}

/// Bundled plugins and test guests, as components.
pub(crate) fn build_guests() -> Result<()> {
    let guests = workspace().join("target/guests");
    let build = |packages: &[&str]| {
        let mut command = cargo(&["build", "--profile=guest", "--locked"]);
        command
            .arg(format!("--target={}", target::WASM))
            .arg("--target-dir")
            .arg(&guests)
            .args(packages);
        run(&mut command)
    };
    build(&[
        "-ppai-minimal",
        "-ppai-count",
        "-ppai-strace",
        "-ppai-exits",
        "-ppai-trace-funcs",
        "-ppai-override",
        "-ppai-malloc-check",
        "-ppai-watch",
        "-ppai-coverage",
        "-ppai-exec-tree",
        "-ppai-files",
        "-ppai-net",
        "-ppai-fault",
    ])?;
    build(&["-ppai-test-guests", "--examples"])
}

/// Licences and advisories, where cargo-deny is installed.
fn deny() -> Result<()> {
    let installed = Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        eprintln!("skipped: cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    run(&mut cargo(&[
        "deny", "check", "licenses", "bans", "sources",
    ]))
}
