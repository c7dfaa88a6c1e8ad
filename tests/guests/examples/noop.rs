//! Takes part in every entry and exit and does nothing: what a plugin costs.

use pai_plugin::{Client, OnEnter, OnExit, Result};

pai_plugin::plugin! {
    name: "noop",
    description: "takes part in every system call",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_syscall_enter(|_, _| Ok(OnEnter::Proceed))?;
    client.on_syscall_exit(|_, _| Ok(OnExit::Proceed))?;
    client.loop_until_exit()?;
    Ok(())
}
