//! Holds the task that makes a certain call: answers only after ten writes of
//! other tasks were seen, or never.

use pai_plugin::{Client, Event, OnEnter, Result, names, options, println};

pai_plugin::plugin! {
    name: "holds",
    description: "holds a call until other tasks have written ten times",
    wants: [Control("to hold")],
    options: [
        OptionSpec::text("call", "hold this call").default("getpriority"),
        OptionSpec::flag("for-ever", "wait for what never comes"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    let call = options::get("call").unwrap_or_default();
    let for_ever = options::flag("for-ever");
    client.on_enter_of(&[&call], move |client, _| {
        let mut writes = 0;
        let seen = client.run_until(|event| {
            if let Event::SyscallEnter(call) = event {
                writes += u32::from(names::syscall(call.call).is_some_and(|name| name == "write"));
            }
            writes == 10 && !for_ever
        })?;
        println!(
            "held until {}",
            if seen.is_some() {
                "the tenth write"
            } else {
                "the end"
            }
        );
        Ok(OnEnter::Remove)
    })?;
    client.on_enter_of(&["write"], |_, _| Ok(OnEnter::Proceed))?;
    client.loop_until_exit()?;
    Ok(())
}
