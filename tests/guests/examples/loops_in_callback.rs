//! Computes for ever while it holds a task at the entry of getppid.

use pai_plugin::{Client, Result};

pai_plugin::plugin! {
    name: "loops-in-callback",
    description: "computes for ever in getppid",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| {
        let mut n = 1_u64;
        loop {
            n = std::hint::black_box(n.wrapping_mul(3));
        }
    })?;
    client.loop_until_exit()?;
    Ok(())
}
