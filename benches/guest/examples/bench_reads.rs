//! Reads the path of every openat while the task waits, and counts those of the
//! targets, not those of the dynamic loader.

use pai_plugin::{Client, OnEnter, Result, output};

const OURS: &[u8] = b"/nonexistent/";

/// Most bytes of a path.
const MAX_PATH: usize = 4096;

pai_plugin::plugin! {
    name: "bench-reads",
    description: "reads the path of every openat",
    wants: [MemoryRead("to read paths")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(0_u64);
    client.on_enter_of(&["openat"], |client, stop| {
        // A path that cannot be read is not counted.
        if let Ok(path) = client.read_c_string(stop.pid, stop.args.1, MAX_PATH) {
            *client.data_mut() += u64::from(path.starts_with(OURS));
        }
        Ok(OnEnter::Proceed)
    })?;
    let (_, hits) = client.loop_until_exit()?;
    output::print(&format!("hits {hits}\n"));
    Ok(())
}
