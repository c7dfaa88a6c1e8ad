//! Panics before its first event.

use pai_plugin::Result;

pai_plugin::plugin! {
    name: "panics-in-run",
    description: "panics at once",
    run: run,
}

fn run() -> Result<()> {
    panic!("nothing works today");
}
