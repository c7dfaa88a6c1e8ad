//! Panics at the entry of getppid.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "panics-in-callback",
    description: "panics in getppid",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, call| {
        assert_eq!(call.args.5, u64::MAX, "not the call I wanted");
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
