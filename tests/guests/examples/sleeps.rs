//! Sleeps for a minute, through WASI, before its first event.

use pai_plugin::{Client, Result};

pai_plugin::plugin! {
    name: "sleeps",
    description: "sleeps a minute at once",
    run: run,
}

fn run() -> Result<()> {
    std::thread::sleep(std::time::Duration::from_secs(60));
    Client::new(()).loop_until_exit()?;
    Ok(())
}
