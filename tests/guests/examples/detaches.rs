//! Detaches after three calls; with `--process` only from that process.

use pai_plugin::{Client, OnEnter, Result, options, println};

pai_plugin::plugin! {
    name: "detaches",
    description: "detaches after three calls",
    options: [OptionSpec::flag("process", "only from the process")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0);
    let process = options::flag("process");
    client.on_syscall_enter(move |client, _| {
        *client.data_mut() += 1;
        if *client.data() < 3 {
            return Ok(OnEnter::Proceed);
        }
        if process {
            return Ok(OnEnter::Detach);
        }
        client.detach()?;
        Ok(OnEnter::Proceed)
    })?;
    let (end, calls) = client.loop_until_exit()?;
    println!("{calls} calls, {end:?}");
    Ok(())
}
