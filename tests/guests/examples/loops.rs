//! Says so, and never comes to its first event.

use pai_plugin::{Result, println};

pai_plugin::plugin! {
    name: "loops",
    description: "computes for ever",
    run: run,
}

fn run() -> Result<()> {
    println!("computes");
    let mut n = 1_u64;
    loop {
        n = std::hint::black_box(n.wrapping_mul(3));
    }
}
