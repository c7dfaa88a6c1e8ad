//! Gives up with an error of its own at the first getppid.

use pai_plugin::{Client, Error, Result};

pai_plugin::plugin! {
    name: "returns-error",
    description: "gives up in getppid",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| Err(Error::new("I have seen enough")))?;
    client.loop_until_exit()?;
    Ok(())
}
