//! What the tests share: fixtures, and targets under the engine.

pub mod fixtures;
pub mod flow;
pub mod guests;
pub mod probe;
pub mod target;
pub mod trace;
