//! Does nothing: the smallest plugin there is, and what tracing costs at least.

use pai_plugin::{Client, Result};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "minimal",
    description: "does nothing",
    run: run,
}

fn run() -> Result<()> {
    Client::new(()).loop_until_exit()?;
    Ok(())
}
