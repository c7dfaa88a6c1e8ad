//! Allocates without end at the first getppid.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "allocates",
    description: "allocates without end in getppid",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(Vec::<Vec<u8>>::new());
    client.on_enter_of(&["getppid"], |client, _| {
        loop {
            client.data_mut().push(vec![1; 1 << 20]);
            if client.data().len() == usize::MAX {
                return Ok(OnEnter::Proceed);
            }
        }
    })?;
    client.loop_until_exit()?;
    Ok(())
}
