//! Takes a second or so of CPU time for each task that ends.

use pai_plugin::{Client, OnNotice, Result, println};

pai_plugin::plugin! {
    name: "burns",
    description: "computes long for each task",
    run: run,
}

fn run() -> Result<()> {
    let mut client = Client::new(());
    client.on_task_exited(|_, _| {
        println!("burns");
        let mut n = 1_u64;
        for _ in 0..1_000_000_000_u64 {
            n = std::hint::black_box(n.wrapping_mul(3));
        }
        Ok(OnNotice::Proceed)
    })?;
    client.loop_until_exit()?;
    Ok(())
}
