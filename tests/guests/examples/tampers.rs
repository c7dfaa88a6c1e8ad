//! Changes what the fixture `skip_targets` and others do: skips writes,
//! rewrites getppid, replaces results, by options.

use pai_plugin::{Client, OnEnter, OnExit, OnSignal, Result, options};

pai_plugin::plugin! {
    name: "tampers",
    description: "changes calls, results and signals",
    wants: [Tamper("that is what it is for")],
    options: [
        OptionSpec::integer("skip-write", "skip write, with this result"),
        OptionSpec::integer("skip-getppid", "skip getppid, with this result"),
        OptionSpec::flag("getppid-to-getpid", "execute getpid instead of getppid"),
        OptionSpec::integer("getppid-returns", "replace the result of getppid"),
        OptionSpec::integer("deliver", "deliver this signal instead of SIGUSR1; 0 for none"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    if let Some(result) = options::integer("skip-write")? {
        client.on_enter_of(&["write"], move |_, _| Ok(OnEnter::Skip(result)))?;
    }
    if let Some(result) = options::integer("skip-getppid")? {
        client.on_enter_of(&["getppid"], move |_, _| Ok(OnEnter::Skip(result)))?;
    }
    if options::flag("getppid-to-getpid") {
        client.on_enter_of(&["getppid"], |_, _| {
            Ok(OnEnter::Rewrite {
                nr: 39,
                args: [0; 6],
            })
        })?;
    }
    if let Some(result) = options::integer("getppid-returns")? {
        client.on_exit_of(&["getppid"], move |_, _| Ok(OnExit::SetReturn(result)))?;
    }
    if let Some(signal) = options::integer("deliver")? {
        let signal = u32::try_from(signal).unwrap_or(0);
        client.on_signal(&[10], move |_, _| Ok(OnSignal::Deliver(signal)))?;
    }
    client.loop_until_exit()?;
    Ok(())
}
