//! Builds the binary and runs it.

use anyhow::Result;

use crate::process::{cargo, run};
use crate::{target, workspace};

/// `pai-host run` with these arguments, from a fresh build. Ends with its exit
/// status.
pub(crate) fn main(args: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;

    target::ensure()?;
    run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        // With the features of dependencies that the tests are built with, or
        // the larger half of them would be compiled twice.
        "--workspace",
        "--bin=pai-host",
    ]))?;
    // As cargo reads it, which runs in the workspace's folder.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let binary = workspace().join(target).join("release/pai-host");
    let error = std::process::Command::new(&binary)
        .arg("run")
        .args(args)
        .exec();
    Err(anyhow::Error::new(error).context(format!("cannot run {}", binary.display())))
}
