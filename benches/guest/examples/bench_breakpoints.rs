//! Counts the hits of a breakpoint on a function, and changes nothing. The
//! handler is called at each hit, while the task waits.

use pai_plugin::condition::argument;
use pai_plugin::{
    BreakpointOptions, Client, Event, OnBreakpoint, OnEnter, Result, options, output,
};

pai_plugin::plugin! {
    name: "bench-breakpoints",
    description: "counts hits of a breakpoint on a function",
    wants: [
        Control("to insert it"),
        MemoryRead("to look the function up"),
    ],
    options: [
        OptionSpec::text("function", "its name").default("hot_frame"),
        OptionSpec::flag("unreported", "let the host count them"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    if let Some(Event::Execed(exec)) = client.run_until_exec()? {
        let name = options::get("function").unwrap_or_default();
        let function = client.address_of(exec.pid, &name)?;
        let mut how = BreakpointOptions::default();
        if options::flag("unreported") {
            // Always true: each hit is counted by the host, and passed over.
            how = how.when(argument(0).is_at_least(0));
            how.skip = u64::MAX;
        }
        let id = client.on_breakpoint_with(exec.pid, function, how, |client, _| {
            *client.data_mut() += 1;
            Ok(OnBreakpoint::Keep)
        })?;
        if options::flag("unreported") {
            client.on_enter_of(&["exit_group"], move |client, _| {
                *client.data_mut() += client.hits(id)?;
                Ok(OnEnter::Proceed)
            })?;
        }
    }
    let (_, hits) = client.loop_until_exit()?;
    output::print(&format!("hits {hits}\n"));
    Ok(())
}
