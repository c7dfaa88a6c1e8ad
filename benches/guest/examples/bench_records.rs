//! Watches one call, or all, and counts the records, in batches of a size that can be
//! chosen.

use std::fmt::Write;

use pai_plugin::bindings::pai::plugin::observe;
use pai_plugin::{
    Error, Overflow, Result, SyscallFilter, SyscallRecord, SyscallSet, Topic, options, output,
};

pai_plugin::plugin! {
    name: "bench-records",
    description: "counts records of system calls",
    wants: [Control("the target waits rather than that a call is not counted")],
    options: [
        OptionSpec::text("call", "its name, or all").default("all"),
        OptionSpec::integer("most", "records of one batch").default("4096"),
    ],
    run: run,
}

/// Numbers from here on share the last slot.
const SLOTS: usize = 1024;
/// Records that the host keeps.
const CAPACITY: u32 = 65_536;
/// Nanoseconds: an hour, as there is nothing to do meanwhile.
const MAX_WAIT: u64 = 3_600_000_000_000;

fn run() -> Result<()> {
    let which = match options::get("call").unwrap_or_default().as_str() {
        "all" => SyscallSet::All,
        name => SyscallSet::Names(vec![name.to_owned()]),
    };
    let most = options::integer("most")?.unwrap_or_default();
    let most = u32::try_from(most).map_err(|_| Error::new("--most is too large"))?;
    let topic = Topic::Syscalls(SyscallFilter {
        which,
        enter: false,
        exit: true,
        tasks: Vec::new(),
        capture: None,
        extra: Vec::new(),
    });
    observe::open(&[topic], CAPACITY, &Overflow::Block)?;
    let mut calls = vec![0_u64; SLOTS];
    let mut batches = 0_u64;
    loop {
        let batch = observe::next_batch(most, MAX_WAIT)?;
        batches += 1;
        if batch.lost > 0 {
            return Err(Error::new(format!("{} records were lost", batch.lost)));
        }
        for record in SyscallRecord::all_of(&batch.syscalls) {
            let nr = usize::try_from(record.call.nr).unwrap_or(SLOTS);
            calls[nr.min(SLOTS - 1)] += 1;
        }
        if batch.last {
            break;
        }
    }
    let all: u64 = calls.iter().sum();
    let mut text = format!("batches {batches}\ncounts entries=0 exits={all} signals=0\n");
    for (nr, exits) in calls.iter().enumerate().filter(|(_, exits)| **exits > 0) {
        // Writing to a string does not fail.
        let _written = writeln!(text, "call {nr} 0 {exits}");
    }
    output::print(&text);
    Ok(())
}
