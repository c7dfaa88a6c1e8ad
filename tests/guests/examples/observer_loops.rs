//! An observer that computes for ever after its first batch.

use pai_plugin::{Item, Observer, Result};

pai_plugin::plugin! {
    name: "observer-loops",
    description: "observes, then computes for ever",
    run: run,
}

fn run() -> Result<()> {
    Observer::new().syscalls(false).run(|item| {
        if let Item::Call(_) = item {
            let mut n = 1_u64;
            loop {
                n = std::hint::black_box(n.wrapping_mul(3));
            }
        }
        Ok(())
    })?;
    Ok(())
}
