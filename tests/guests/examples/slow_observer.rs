//! An observer with the smallest buffer: what does not fit is counted.

use pai_plugin::{Item, Observer, Result, println};

pai_plugin::plugin! {
    name: "slow-observer",
    description: "observes with a small buffer",
    run: run,
}

fn run() -> Result<()> {
    let (mut calls, mut lost) = (0_u64, 0_u64);
    Observer::new().syscalls(false).capacity(64).run(|item| {
        match item {
            Item::Call(_) => calls += 1,
            Item::Lost(n) => lost += n,
            Item::Event(_) | Item::Flush => {}
        }
        Ok(())
    })?;
    println!("{calls} seen, {lost} lost, {} in all", calls + lost);
    Ok(())
}
