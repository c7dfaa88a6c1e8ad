//! Logs far more than anybody reads, for each call of getppid.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "logs-much",
    description: "logs far too much",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| {
        for _ in 0..100 {
            pai_plugin::log!(Warn, "{}", "x".repeat(10_000));
        }
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
