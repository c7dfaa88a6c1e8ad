//! What a plugin may do beyond watching.

use std::fmt;

use crate::manifest::Manifest;

/// One thing that has to be granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Capability {
    MemoryRead,
    MemoryWrite,
    RegistersWrite,
    Control,
    Tamper,
    Inject,
    Kill,
}

impl Capability {
    const ALL: [Self; 7] = [
        Self::MemoryRead,
        Self::MemoryWrite,
        Self::RegistersWrite,
        Self::Control,
        Self::Tamper,
        Self::Inject,
        Self::Kill,
    ];

    /// Its name in manifests, on the command line and in errors.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::MemoryRead => "memory-read",
            Self::MemoryWrite => "memory-write",
            Self::RegistersWrite => "registers-write",
            Self::Control => "control",
            Self::Tamper => "tamper",
            Self::Inject => "inject",
            Self::Kill => "kill",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities of one plugin.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Grants(u8);

impl Grants {
    /// Everything that the manifest asks for: running a plugin is granting it.
    /// Names that are no capability grant nothing.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let wanted = manifest
            .wants
            .iter()
            .filter_map(|want| Capability::from_name(&want.capability));
        Self(wanted.fold(0, |bits, capability| bits | capability.bit()))
    }

    pub(crate) fn has(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{CAPABILITIES, Want};

    fn manifest(wants: &[&str]) -> Manifest {
        let mut manifest = Manifest::absent("x");
        manifest.wants = wants
            .iter()
            .map(|name| Want {
                capability: (*name).to_owned(),
                why: String::new(),
            })
            .collect();
        manifest
    }

    #[test]
    fn names_are_those_of_manifests() {
        let ours: Vec<&str> = Capability::ALL.map(Capability::name).to_vec();
        let theirs: Vec<&str> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
        assert_eq!(ours, theirs);
        for capability in Capability::ALL {
            assert_eq!(Capability::from_name(capability.name()), Some(capability));
        }
        assert_eq!(Capability::from_name("Kill"), None);
        assert_eq!(Capability::from_name(""), None);
    }

    #[test]
    fn only_what_is_wanted_is_granted() {
        let none = Grants::of(&manifest(&[]));
        assert!(Capability::ALL.iter().all(|c| !none.has(*c)));
        let some = Grants::of(&manifest(&["tamper", "root", "memory-read", "tamper"]));
        for capability in Capability::ALL {
            let wanted = matches!(capability, Capability::Tamper | Capability::MemoryRead);
            assert_eq!(some.has(capability), wanted, "{capability}");
        }
    }
}
