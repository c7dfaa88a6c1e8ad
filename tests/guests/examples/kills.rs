//! Kills the target at its first getppid.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "kills",
    description: "kills at getppid",
    wants: [Kill("that is what it is for")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| Ok(OnEnter::Kill))?;
    client.loop_until_exit()?;
    Ok(())
}
