//! Takes part in the delivery of every signal, counts them, and changes nothing.

use pai_plugin::{Client, OnSignal, Result, SignalStop, options, output};

pai_plugin::plugin! {
    name: "bench-signals",
    description: "counts signals",
    options: [OptionSpec::flag("details", "with siginfo and the instruction pointer")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    let count = |client: &mut Client<u64>, _: &SignalStop| {
        *client.data_mut() += 1;
        Ok(OnSignal::Proceed)
    };
    if options::flag("details") {
        client.on_signal(&[], count)?;
    } else {
        client.on_signal_number(&[], count)?;
    }
    let (_, signals) = client.loop_until_exit()?;
    output::print(&format!("counts entries=0 exits=0 signals={signals}\n"));
    Ok(())
}
