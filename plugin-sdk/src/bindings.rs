//! Generated from `wit/`: every import of both worlds and the one export.
//!
//! One set of types serves plugins and observers. The linker drops the imports
//! that a guest does not call, so that what a component imports is what it can
//! do.
#![allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::undocumented_unsafe_blocks,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "generated code"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "pai:plugin/host",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_run",
    default_bindings_module: "pai_plugin::bindings",
    runtime_path: "wit_bindgen::rt",
});
