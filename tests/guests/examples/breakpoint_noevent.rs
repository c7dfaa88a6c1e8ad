//! Calls a function of the target at its entry point, one line after the other.

use pai_plugin::{Client, Result};

pai_plugin::plugin! {
    name: "breakpoint-noevent",
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
    let hit = client.run_until_entry()?.ok_or("nothing was executed")?;
    let getpid = client.address_of(hit.pid, "getpid")?;
    let pid = client.call(hit.tid, getpid, &[])?.int;
    assert_eq!(pid, u64::from(hit.tid));
    pai_plugin::println!("getpid() is {pid}");
    client.loop_until_exit()?;
    Ok(())
}
