//! Never comes to its first event.

use pai_plugin::Result;

pai_plugin::plugin! {
    name: "loops",
    description: "computes for ever",
    run: run,
}

fn run() -> Result<()> {
    let mut n = 1_u64;
    loop {
        n = std::hint::black_box(n.wrapping_mul(3));
    }
}
