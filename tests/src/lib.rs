//! What the tests share: fixtures, and targets under the engine.

pub mod fixtures;
pub mod target;
pub mod trace;
