//! The plugin that the README shows.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "no-unlink",
    description: "makes the target believe that it deleted its files",
    wants: [Tamper("to skip the calls")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0);
    client.on_enter_of(&["unlink", "unlinkat"], |client, _call| {
        *client.data_mut() += 1;
        Ok(OnEnter::Skip(0))
    })?;
    let (_end, files) = client.loop_until_exit()?;
    pai_plugin::println!("{files} files were spared");
    Ok(())
}
