//! Sleeps for a minute, through WASI, before its first event. Says so at its end.

use pai_plugin::{Client, Result, println};

pai_plugin::plugin! {
    name: "sleeps",
    description: "sleeps a minute at once",
    run: run,
}

fn run() -> Result<()> {
    std::thread::sleep(std::time::Duration::from_secs(60));
    Client::new(()).loop_until_exit()?;
    println!("slept and ended");
    Ok(())
}
