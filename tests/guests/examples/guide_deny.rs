//! Refuses to open files whose paths begin with a prefix.

use pai_plugin::{Client, OnEnter, Result, options};

pai_plugin::plugin! {
    name: "deny",
    description: "refuses to open files whose paths begin with a prefix",
    wants: [
        MemoryRead("to see the paths"),
        Tamper("to refuse the calls"),
    ],
    options: [
        OptionSpec::text("prefix", "refuse paths that begin so").short("p").default("/etc/"),
    ],
    run: run,
}

const EACCES: i64 = 13;

fn run() -> Result<()> {
    let prefix = options::get("prefix").unwrap_or_default();
    let mut client = Client::new(());
    // In both calls the second argument is the path.
    client.on_enter_of(&["openat", "openat2"], move |client, call| {
        let refused = match client.read_c_string(call.pid, call.args.1, 4096) {
            Ok(path) => path.starts_with(prefix.as_bytes()),
            // With `?` the plugin would end here, and then nobody refuses anything.
            Err(_) => true,
        };
        Ok(match refused {
            true => OnEnter::Skip(-EACCES),
            false => OnEnter::Proceed,
        })
    })?;
    client.loop_until_exit()?;
    Ok(())
}
