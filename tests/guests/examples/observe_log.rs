//! Prints one line per record and event, as an observer.

use pai_plugin::{Event, Item, Observer, RecordFlags, Result, Topic, names, println};
use pai_test_guests::status;

pai_plugin::plugin! {
    name: "observe-log",
    description: "prints every record",
    run: run,
}

fn run() -> Result<()> {
    let observer = Observer::new()
        .syscalls(true)
        .topic(Topic::Signals(Vec::new()))
        .topic(Topic::Tasks)
        .topic(Topic::Forks)
        .topic(Topic::Execs);
    let end = observer.run(|item| {
        match item {
            Item::Call(call) => {
                let name = names::syscall(call.call).unwrap_or_default();
                if call.record_flags.contains(RecordFlags::UNFINISHED) {
                    println!("{} {name} unfinished", call.tid);
                } else if call.record_flags.contains(RecordFlags::NO_RETURN) {
                    println!("{} {name} = ?", call.tid);
                } else {
                    println!("{} {name} = {}", call.tid, call.ret);
                }
            }
            Item::Event(Event::Signal(stop)) => println!("{} signal {}", stop.tid, stop.signal),
            Item::Event(Event::TaskExited(e)) => println!("{} ended: {}", e.tid, status(&e.status)),
            Item::Event(Event::Execed(e)) => println!("{} exec {}", e.pid, e.path),
            Item::Event(_) | Item::Flush => {}
            Item::Lost(n) => println!("lost {n}"),
        }
        Ok(())
    })?;
    println!("{end:?}");
    Ok(())
}
