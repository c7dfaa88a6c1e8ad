//! Recurses without end at the first getppid.

use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "recurses",
    description: "recurses without end in getppid",
    run: run,
}

fn deeper(n: u64) -> u64 {
    let frame = std::hint::black_box([n; 32]);
    if n == u64::MAX {
        return frame[0];
    }
    deeper(n + 1) + frame[31]
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, _| {
        std::hint::black_box(deeper(0));
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
