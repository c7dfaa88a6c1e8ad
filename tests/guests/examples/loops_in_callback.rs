//! Computes for ever while it holds a task at the entry of a call.

use pai_plugin::{Client, Result, options};

pai_plugin::plugin! {
    name: "loops-in-callback",
    description: "computes for ever in a call",
    options: [OptionSpec::text("call", "this call").default("getppid")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    let call = options::get("call").unwrap_or_default();
    client.on_enter_of(&[&call], |_, _| {
        let mut n = 1_u64;
        loop {
            n = std::hint::black_box(n.wrapping_mul(3));
        }
    })?;
    client.loop_until_exit()?;
    Ok(())
}
