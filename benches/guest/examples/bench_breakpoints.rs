//! Counts the hits of breakpoints on functions, and changes nothing. The handler is
//! called at each hit, while the task waits.

use std::time::Instant;

use pai_plugin::{Client, Event, OnBreakpoint, Result, options, output};

/// How far apart the functions are, where there are several.
const APART: u64 = 16;

pai_plugin::plugin! {
    name: "bench-breakpoints",
    description: "counts hits of breakpoints on functions",
    wants: [
        Control("to insert them"),
        MemoryRead("to look the function up"),
    ],
    options: [
        OptionSpec::text("function", "the name of the first").default("hot_frame"),
        OptionSpec::integer("count", "on so many").default("1"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    let mut inserting = 0;
    if let Some(Event::Execed(exec)) = client.run_until_exec()? {
        let name = options::get("function").unwrap_or_default();
        let count = options::integer("count")?.unwrap_or(1);
        let mut function = client.address_of(exec.pid, &name)?;
        let start = Instant::now();
        for _ in 0..count {
            client.on_breakpoint(exec.pid, function, |client, _| {
                *client.data_mut() += 1;
                Ok(OnBreakpoint::Keep)
            })?;
            function += APART;
        }
        inserting = start.elapsed().as_nanos();
    }
    let (_, hits) = client.loop_until_exit()?;
    output::print(&format!("hits {hits}\ninserting {inserting}\n"));
    Ok(())
}
