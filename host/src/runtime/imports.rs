//! x
pub(crate) mod client;
