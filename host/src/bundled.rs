//! The plugins inside this program. `build.rs` builds them from `plugins/`.

/// One of them.
pub(crate) struct Bundled {
    /// Its folder's name, and its manifest's.
    pub(crate) name: &'static str,
    /// The component.
    pub(crate) wasm: &'static [u8],
    /// SHA-256 of it.
    pub(crate) digest: [u8; 32],
}

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
