//! Sleeps for a minute, through WASI, while it holds a task in getppid. Says so at its
//! end.

use pai_plugin::{Client, OnEnter, Result, println};

pai_plugin::plugin! {
    name: "sleeps-in-callback",
    description: "sleeps a minute in getppid",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    println!("slept and ended");
    Ok(())
}
