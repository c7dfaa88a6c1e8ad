//! Counts the entries of one call, and looks at its registers so often at each.

use pai_plugin::bindings::pai::plugin::registers;
use pai_plugin::{Client, OnEnter, Result, options};

pai_plugin::plugin! {
    name: "entries",
    description: "counts the entries of a call",
    options: [
        OptionSpec::text("call", "this call").default("getppid"),
        OptionSpec::integer("registers", "ask for registers so often at each").default("0"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    let call = options::get("call").unwrap_or_default();
    let times = options::integer("registers")?.unwrap_or_default();
    client.on_enter_of(&[&call], move |client, stop| {
        *client.data_mut() += 1;
        for _ in 0..times {
            // Not by the client, which asks the host once.
            registers::get_all(stop.tid)?;
        }
        Ok(OnEnter::Proceed)
    })?;
    let (_end, entries) = client.loop_until_exit()?;
    pai_plugin::println!("{entries} entries");
    Ok(())
}
