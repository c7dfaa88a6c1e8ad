//! What the tests share: fixtures, and targets under the engine.

pub mod displaced;
pub mod docs;
pub mod elf;
pub mod encodings;
pub mod fixtures;
pub mod flow;
pub mod guests;
pub mod hooks;
pub mod lines;
pub mod moment;
pub mod probe;
pub mod puppet;
pub mod storm;
pub mod target;
pub mod trace;
