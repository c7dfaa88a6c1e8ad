//! Counts system calls in the client's state.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "state",
    description: "counts system calls",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    client.on_syscall_enter(|client, _call| {
        *client.data_mut() += 1;
        Ok(OnEnter::Proceed)
    })?;
    let (_end, calls) = client.loop_until_exit()?;
    pai_plugin::println!("{calls} syscalls");
    Ok(())
}
