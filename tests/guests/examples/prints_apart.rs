//! Prints to the file of a task that is not traced, and to those of each that is.

use pai_plugin::output::print_to;
use pai_plugin::{Client, OnEnter, Result};

pai_plugin::plugin! {
    name: "prints-apart",
    description: "prints to files of tasks",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_enter_of(&["getppid"], |_, call| {
        print_to(1, "not traced\n");
        print_to(call.tid, "");
        print_to(call.tid, "traced\n");
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
