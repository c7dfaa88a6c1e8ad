//! Takes part in every entry and exit, counts them, and changes nothing. The
//! counts are printed at the end in the form that all tracers of the benches
//! use: a bench knows from them that no event was lost on the way here.

mod counts;

use pai_plugin::{Client, OnEnter, OnExit, Result, output};

use crate::counts::Counts;

pai_plugin::plugin! {
    name: "bench",
    description: "counts every entry and exit of system calls",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(Counts::new());
    client.on_syscall_enter(|client, stop| {
        client.data_mut().enter(stop.call.nr);
        Ok(OnEnter::Proceed)
    })?;
    client.on_syscall_exit(|client, stop| {
        client.data_mut().exit(stop.call.nr);
        Ok(OnExit::Proceed)
    })?;
    let (_, counts) = client.loop_until_exit()?;
    output::print(&counts.text());
    Ok(())
}
