//! Holds the task of the first getppid: answers only after a write of another
//! task was seen, or never.

use pai_plugin::{Client, Event, OnEnter, Result, options, println};

pai_plugin::plugin! {
    name: "holds",
    description: "holds getppid until another task writes",
    wants: [Control("to hold")],
    options: [OptionSpec::flag("for-ever", "wait for what never comes")],
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    let for_ever = options::flag("for-ever");
    client.on_enter_of(&["getppid"], move |client, _| {
        let seen = client.run_until(|event| match event {
            Event::SyscallEnter(call) => !for_ever && call.call.nr == 1,
            _ => false,
        });
        println!(
            "held until {}",
            if matches!(seen, Ok(Some(_))) {
                "write"
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
