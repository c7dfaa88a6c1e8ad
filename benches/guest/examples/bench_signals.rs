//! Takes part in the delivery of every signal, counts them, and changes nothing.

use pai_plugin::{Client, OnSignal, Result, output};

pai_plugin::plugin! {
    name: "bench-signals",
    description: "counts signals",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    client.on_signal(&[], |client, _| {
        *client.data_mut() += 1;
        Ok(OnSignal::Proceed)
    })?;
    let (_, signals) = client.loop_until_exit()?;
    output::print(&format!("counts entries=0 exits=0 signals={signals}\n"));
    Ok(())
}
