//! Tells who asks malloc(3) for a megabyte or more, in every process.

use pai_plugin::condition::argument;
use pai_plugin::{BreakpointHit, BreakpointOptions, Client, OnBreakpoint, Result, println};

pai_plugin::plugin! {
    name: "large",
    description: "tells who asks malloc for a megabyte or more",
    wants: [
        Control("to stop at malloc"),
        MemoryRead("to find it, and who calls it"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_modules(|client, pid, modules| {
        for malloc in client.functions_in(pid, modules, "libc.so*!malloc")? {
            // The host looks at the condition: other calls do not wake the plugin.
            let large = BreakpointOptions::default().when(argument(0).is_at_least(1 << 20));
            client.on_breakpoint_with(pid, malloc.value, large, |client, hit| {
                match tell(client, hit) {
                    // The task was killed while it was looked at.
                    Err(error) if error.is_gone() => {}
                    told => told?,
                }
                Ok(OnBreakpoint::Keep)
            })?;
        }
        Ok(())
    })?;
    client.loop_until_exit()?;
    Ok(())
}

fn tell(client: &mut Client, hit: &BreakpointHit) -> Result<()> {
    let size = client.registers(hit.tid)?.get("rdi").unwrap_or(0);
    // Where the task is, and behind that where it returns to.
    let caller = client.backtrace(hit.tid, 2)?.pop().unwrap_or(0);
    let caller = client.resolve(hit.pid, caller)?;
    let caller = caller.map_or_else(|| "?".to_owned(), |at| at.symbol.name);
    println!("{}: malloc({size}) by {caller}", hit.tid);
    Ok(())
}
