//! Traces Linux programs with sandboxed WebAssembly plugins.
//!
//! The binary `pai-host` is a thin command line around this library: a
//! [`plugin::Plugin`] is a component with its manifest, and [`session::run`]
//! traces one target with several of them.

mod bundled;
pub mod cache;
pub mod manifest;
pub mod output;
pub mod plugin;
mod runtime;
pub mod session;
