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
        "-ppai-host",
    ]))?;
    let binary = workspace().join("target/release/pai-host");
    let error = std::process::Command::new(&binary)
        .arg("run")
        .args(args)
        .exec();
    Err(anyhow::Error::new(error).context(format!("cannot run {}", binary.display())))
}
