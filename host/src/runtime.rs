//! x
mod bindings;
mod imports;
