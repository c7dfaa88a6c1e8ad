//! Counts the hits of breakpoints on functions, and changes nothing. The handler is
//! called at each hit, while the task waits.

use std::time::Instant;

use pai_plugin::condition::argument;
use pai_plugin::{
    BreakpointOptions, Client, Event, OnBreakpoint, OnEnter, OnReturn, Result, options, output,
};

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
        OptionSpec::flag("unreported", "let the host count them"),
        OptionSpec::flag("hook", "calls that have returned instead"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    let mut inserting = 0;
    if let Some(Event::Execed(exec)) = client.run_until_exec()? {
        let name = options::get("function").unwrap_or_default();
        let mut count = options::integer("count")?.unwrap_or(1);
        let unreported = options::flag("unreported");
        let mut function = client.address_of(exec.pid, &name)?;
        if options::flag("hook") {
            client.on_return(exec.pid, function, |client, _| {
                *client.data_mut() += 1;
                Ok(OnReturn::Proceed)
            })?;
            count = 0;
        }
        let mut ids = Vec::new();
        let start = Instant::now();
        for _ in 0..count {
            let mut how = BreakpointOptions::default();
            if unreported {
                // Always true: each hit is counted by the host, and passed over.
                how = how.when(argument(0).is_at_least(0));
                how.skip = u64::MAX;
            }
            ids.push(
                client.on_breakpoint_with(exec.pid, function, how, |client, _| {
                    *client.data_mut() += 1;
                    Ok(OnBreakpoint::Keep)
                })?,
            );
            function += APART;
        }
        inserting = start.elapsed().as_nanos();
        if unreported {
            client.on_enter_of(&["exit_group"], move |client, _| {
                for id in &ids {
                    let hits = client.hits(*id)?;
                    *client.data_mut() += hits;
                }
                Ok(OnEnter::Proceed)
            })?;
        }
    }
    let (_, hits) = client.loop_until_exit()?;
    output::print(&format!("hits {hits}\ninserting {inserting}\n"));
    Ok(())
}
