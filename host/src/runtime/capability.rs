//! What a plugin may do to the targets.

use std::fmt;

use crate::manifest::Manifest;

/// One thing that a plugin may be allowed to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Capability {
    MemoryRead,
    RegistersWrite,
    Control,
    Tamper,
    Kill,
}

impl Capability {
    const ALL: [Self; 5] = [
        Capability::MemoryRead,
        Capability::RegistersWrite,
        Capability::Control,
        Capability::Tamper,
        Capability::Kill,
    ];

    /// As manifests spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Capability::MemoryRead => "memory-read",
            Capability::RegistersWrite => "registers-write",
            Capability::Control => "control",
            Capability::Tamper => "tamper",
            Capability::Kill => "kill",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one plugin may do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Capabilities(u8);

impl Capabilities {
    /// What the manifest wants: until users grant capabilities one by one,
    /// wanting is having. Names that this host does not act on grant nothing.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let wanted = |capability: &Capability| {
            manifest
                .wants
                .iter()
                .any(|want| want.capability == capability.name())
        };
        let bits = Capability::ALL.iter().filter(|c| wanted(c));
        Self(bits.fold(0, |set, capability| set | capability.bit()))
    }

    pub(crate) fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }
}
