//! Both takes part and observes, which is refused.

use pai_plugin::{Client, Observer, Result, options};

pai_plugin::plugin! {
    name: "two-worlds",
    description: "cannot decide",
    run: run,
}

fn run() -> Result<()> {
    if options::flag("observe") {
        Observer::new().run(|_| Ok(()))?;
        return Ok(());
    }
    Client::new(()).loop_until_exit()?;
    Ok(())
}
