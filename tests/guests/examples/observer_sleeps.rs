//! An observer that sleeps for a minute, through WASI, before it asks for records. Says so
//! at its end.

use pai_plugin::{Observer, Result, println};

pai_plugin::plugin! {
    name: "observer-sleeps",
    description: "sleeps a minute at once, and observes",
    run: run,
}

fn run() -> Result<()> {
    std::thread::sleep(std::time::Duration::from_secs(60));
    Observer::new().syscalls(false).run(|_| Ok(()))?;
    println!("slept and ended");
    Ok(())
}
