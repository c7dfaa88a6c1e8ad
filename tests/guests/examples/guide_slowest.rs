//! Tells how long the slowest call of each name took.

use std::collections::BTreeMap;

use pai_plugin::{Item, Observer, Result, names, println};

pai_plugin::plugin! {
    name: "slowest",
    description: "tells how long the slowest call of each name took",
    run: run,
}

fn run() -> Result<()> {
    let mut slowest = BTreeMap::new();
    let mut lost = 0;
    Observer::new().syscalls(false).run(|item| {
        match item {
            Item::Call(call) => {
                let name = names::syscall(call.call).unwrap_or("unknown".into());
                let most = slowest.entry(name).or_insert(0);
                *most = call.took.max(*most);
            }
            Item::Lost(records) => lost += records,
            Item::Event(_) | Item::Flush => {}
        }
        Ok(())
    })?;
    for (name, nanos) in slowest {
        println!("{:>12} us {name}", nanos / 1000);
    }
    if lost > 0 {
        println!("{lost} records were lost");
    }
    Ok(())
}
