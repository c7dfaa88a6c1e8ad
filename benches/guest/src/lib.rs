//! Takes part in every entry and exit, counts them, and changes nothing. The
//! counts are printed at the end in the form that all tracers of the benches
//! use: a bench knows from them that no event was lost on the way here.

use std::fmt::Write;

use pai_plugin::{Client, OnEnter, OnExit, Result, output};

/// Numbers from here on share the last slot.
const SLOTS: usize = 1024;

pai_plugin::plugin! {
    name: "bench",
    description: "counts every entry and exit of system calls",
    run: run,
}

/// Entries and exits of one call.
#[derive(Clone, Copy, Default)]
struct Call {
    entries: u64,
    exits: u64,
}

fn run() -> Result<()> {
    let mut client = Client::new(vec![Call::default(); SLOTS]);
    client.on_syscall_enter(|client, stop| {
        client.data_mut()[slot(stop.call.nr)].entries += 1;
        Ok(OnEnter::Proceed)
    })?;
    client.on_syscall_exit(|client, stop| {
        client.data_mut()[slot(stop.call.nr)].exits += 1;
        Ok(OnExit::Proceed)
    })?;
    let (_, calls) = client.loop_until_exit()?;
    output::print(&text(&calls));
    Ok(())
}

fn slot(nr: u32) -> usize {
    usize::try_from(nr).unwrap_or(SLOTS).min(SLOTS - 1)
}

fn text(calls: &[Call]) -> String {
    let entries: u64 = calls.iter().map(|call| call.entries).sum();
    let exits: u64 = calls.iter().map(|call| call.exits).sum();
    let mut text = format!("counts entries={entries} exits={exits} signals=0\n");
    for (nr, call) in calls.iter().enumerate() {
        if call.entries + call.exits > 0 {
            // Writing to a string does not fail.
            let _written = writeln!(text, "call {nr} {} {}", call.entries, call.exits);
        }
    }
    text
}
