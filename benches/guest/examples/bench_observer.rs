//! Watches every call, from beside the trace, and counts them. The target waits when the
//! host keeps as many records as it may, so that none is lost.

#[path = "../src/counts.rs"]
mod counts;

use pai_plugin::{Error, Item, Observer, Overflow, RecordFlags, Result, output};

use crate::counts::Counts;

pai_plugin::plugin! {
    name: "bench-observer",
    description: "counts every system call, as an observer",
    wants: [Control("the target waits rather than that a call is not counted")],
    run: run,
}

fn run() -> Result<()> {
    let mut counts = Counts::new();
    let observer = Observer::new().syscalls(false).overflow(Overflow::Block);
    observer.run(|item| match item {
        Item::Call(call) => {
            counts.enter(call.call.nr);
            if !call.record_flags.contains(RecordFlags::NO_RETURN) {
                counts.exit(call.call.nr);
            }
            Ok(())
        }
        Item::Lost(lost) => Err(Error::new(format!("{lost} records are lost"))),
        Item::Event(_) | Item::Flush => Ok(()),
    })?;
    output::print(&counts.text());
    Ok(())
}
