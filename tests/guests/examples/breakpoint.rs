//! Calls a function of the target at its entry point, from handlers.

use pai_plugin::{Client, Event, OnBreakpoint, OnNotice, Result};

pai_plugin::plugin! {
    name: "breakpoint",
    description: "calls getpid in the target",
    wants: [
        Control("a breakpoint at the entry point"),
        MemoryRead("to look getpid up"),
        Inject("to call it"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_exec(|client, event| {
        if let Event::Execed(exec) = event {
            let entry = client.entry(exec.pid)?;
            client.on_breakpoint(exec.pid, entry, |client, hit| {
                let getpid = client.address_of(hit.pid, "getpid")?;
                let pid = client.call(hit.tid, getpid, &[])?.int;
                assert_eq!(pid, u64::from(hit.tid));
                pai_plugin::println!("getpid() is {pid}");
                Ok(OnBreakpoint::Remove)
            })?;
        }
        Ok(OnNotice::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
