//! Prints through the standard library instead of the SDK.

use pai_plugin::{Client, Result};

pai_plugin::plugin! {
    name: "prints-wasi",
    description: "prints through std",
    run: run,
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "that is what it is for"
)]
fn run() -> Result<()> {
    std::println!("to standard output");
    std::eprintln!("to standard error");
    Client::new(()).loop_until_exit()?;
    Ok(())
}
