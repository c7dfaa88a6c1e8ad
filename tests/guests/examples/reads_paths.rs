//! Reads the path of every openat, whatever the pointer is.

use pai_plugin::{Client, ErrorKind, OnEnter, Result, println};

pai_plugin::plugin! {
    name: "reads-paths",
    description: "reads the paths of openat",
    wants: [MemoryRead("to read paths")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new((0, 0));
    client.on_enter_of(&["openat"], |client, call| {
        match client.read_c_string(call.pid, call.args.1, 4096) {
            Ok(_) => client.data_mut().0 += 1,
            Err(error) if matches!(error.kind(), ErrorKind::BadAddress(_)) => {
                client.data_mut().1 += 1;
            }
            Err(error) => return Err(error),
        }
        Ok(OnEnter::Proceed)
    })?;
    let (_, (good, bad)) = client.loop_until_exit()?;
    println!("{good} paths, {bad} addresses that are none");
    Ok(())
}
