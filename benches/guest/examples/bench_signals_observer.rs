//! Watches every signal, and counts them.

use pai_plugin::{Event, Item, Observer, Overflow, Result, Topic, output};

pai_plugin::plugin! {
    name: "bench-signals-observer",
    description: "counts signals, beside the target",
    wants: [Control("the target waits rather than that a signal is not counted")],
    run: run,
}

fn run() -> Result<()> {
    let mut signals = 0_u64;
    let observer = Observer::new().topic(Topic::SignalNumbers(Vec::new()));
    observer.overflow(Overflow::Block).run(|item| {
        if let Item::Event(Event::Signal(_)) = item {
            signals += 1;
        }
        Ok(())
    })?;
    output::print(&format!("counts entries=0 exits=0 signals={signals}\n"));
    Ok(())
}
