//! Everything that CI runs as tests.

use anyhow::Result;

use crate::process::{cargo, run};
use crate::target;

/// Builds the plugins and runs all tests; arguments go to `cargo test`.
pub(crate) fn main(args: &[String]) -> Result<()> {
    target::ensure()?;
    let mut command = cargo(&["test", "--release", "--workspace", "--locked"]);
    command.args(args);
    run(&mut command)
}
