//! An observer that panics at its first record.

use pai_plugin::{Item, Observer, Result};

pai_plugin::plugin! {
    name: "observer-panics",
    description: "observes, then panics",
    run: run,
}

fn run() -> Result<()> {
    Observer::new().syscalls(false).run(|item| {
        assert!(!matches!(item, Item::Call(_)), "a record too many");
        Ok(())
    })?;
    Ok(())
}
