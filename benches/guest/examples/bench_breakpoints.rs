//! Counts the hits of a breakpoint on a function, and changes nothing. The
//! handler is called at each hit, while the task waits.

use pai_plugin::{Client, Event, OnBreakpoint, Result, options, output};

pai_plugin::plugin! {
    name: "bench-breakpoints",
    description: "counts hits of a breakpoint on a function",
    wants: [
        Control("to insert it"),
        MemoryRead("to look the function up"),
    ],
    options: [OptionSpec::text("function", "its name").default("hot_frame")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    if let Some(Event::Execed(exec)) = client.run_until_exec()? {
        let name = options::get("function").unwrap_or_default();
        let function = client.address_of(exec.pid, &name)?;
        client.on_breakpoint(exec.pid, function, |client, _| {
            *client.data_mut() += 1;
            Ok(OnBreakpoint::Keep)
        })?;
    }
    let (_, hits) = client.loop_until_exit()?;
    output::print(&format!("hits {hits}\n"));
    Ok(())
}
