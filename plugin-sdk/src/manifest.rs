//! What a plugin says of itself, encoded at compile time.
//!
//! The custom section `pai:manifest` is one version byte, [`FORMAT`], and then
//! the postcard encoding of name, version, api, description, license, wants
//! (capability and reason) and options (name, short, help, kind, metavar,
//! default, repeated), all texts.

/// Version byte of the section.
pub const FORMAT: u8 = 1;

/// The plugin interface that this SDK speaks.
pub const API: &str = "0.1";

/// What a plugin may be allowed to do to the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Read their memory.
    MemoryRead,
    /// Change it.
    MemoryWrite,
    /// Change their registers.
    RegistersWrite,
    /// Hold tasks while waiting for something else, let the target wait, set
    /// breakpoints, step.
    Control,
    /// Skip system calls, change arguments, results and signals, send signals.
    Tamper,
    /// Run functions and system calls in them, and allocate memory there.
    Inject,
    /// Kill them.
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

    /// The one of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Capability::MemoryRead => "memory-read",
            Capability::MemoryWrite => "memory-write",
            Capability::RegistersWrite => "registers-write",
            Capability::Control => "control",
            Capability::Tamper => "tamper",
            Capability::Inject => "inject",
            Capability::Kill => "kill",
        }
    }
}

/// A capability, and why.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Which.
    pub capability: Capability,
    /// For the user to read.
    pub why: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Text,
    Integer,
}

/// An option of the plugin: a flag of the command line.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec<'a> {
    name: &'a str,
    short: &'a str,
    help: &'a str,
    kind: Kind,
    metavar: &'a str,
    default: Option<&'a str>,
    repeated: bool,
}

impl<'a> OptionSpec<'a> {
    const fn new(name: &'a str, help: &'a str, kind: Kind, metavar: &'a str) -> Self {
        Self {
            name,
            short: "",
            help,
            kind,
            metavar,
            default: None,
            repeated: false,
        }
    }

    /// `--name`, given or not.
    pub const fn flag(name: &'a str, help: &'a str) -> Self {
        Self::new(name, help, Kind::Flag, "")
    }

    /// `--name TEXT`.
    pub const fn text(name: &'a str, help: &'a str) -> Self {
        Self::new(name, help, Kind::Text, "TEXT")
    }

    /// `--name N`, a whole number.
    pub const fn integer(name: &'a str, help: &'a str) -> Self {
        Self::new(name, help, Kind::Integer, "N")
    }

    /// Also as `-x`.
    #[must_use]
    pub const fn short(mut self, letter: &'a str) -> Self {
        self.short = letter;
        self
    }

    /// What help calls the value.
    #[must_use]
    pub const fn metavar(mut self, metavar: &'a str) -> Self {
        self.metavar = metavar;
        self
    }

    /// The value when it is not given.
    #[must_use]
    pub const fn default(mut self, value: &'a str) -> Self {
        self.default = Some(value);
        self
    }

    /// May be given several times.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }
}

/// Everything that a plugin says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// One line.
    pub description: &'a str,
    /// SPDX expression.
    pub license: &'a str,
    /// What it wants to do.
    pub wants: &'a [Want<'a>],
    /// Its options.
    pub options: &'a [OptionSpec<'a>],
}

/// Appends to a buffer, or only counts when the buffer is empty.
struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    const fn byte(mut self, byte: u8) -> Self {
        if N > 0 {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
        self
    }

    /// Lengths are varints: seven bits a byte, lowest first.
    const fn length(mut self, mut n: usize) -> Self {
        while n >= 0x80 {
            self = self.byte((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.byte((n & 0x7f) as u8)
    }

    const fn text(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        self = self.length(bytes.len());
        let mut i = 0;
        while i < bytes.len() {
            self = self.byte(bytes[i]);
            i += 1;
        }
        self
    }

    const fn option(mut self, option: &OptionSpec<'_>) -> Self {
        self = self
            .text(option.name)
            .text(option.short)
            .text(option.help)
            .byte(option.kind as u8)
            .text(option.metavar);
        self = match option.default {
            None => self.byte(0),
            Some(value) => self.byte(1).text(value),
        };
        self.byte(option.repeated as u8)
    }

    const fn manifest(mut self, manifest: &Manifest<'_>) -> Self {
        self = self
            .byte(FORMAT)
            .text(manifest.name)
            .text(manifest.version)
            .text(API)
            .text(manifest.description)
            .text(manifest.license)
            .length(manifest.wants.len());
        let mut i = 0;
        while i < manifest.wants.len() {
            let want = &manifest.wants[i];
            self = self.text(want.capability.name()).text(want.why);
            i += 1;
        }
        self = self.length(manifest.options.len());
        let mut i = 0;
        while i < manifest.options.len() {
            self = self.option(&manifest.options[i]);
            i += 1;
        }
        self
    }
}

/// How many bytes [`encode`] makes.
pub const fn encoded_len(manifest: &Manifest<'_>) -> usize {
    let writer = Writer::<0> { bytes: [], len: 0 };
    writer.manifest(manifest).len
}

/// The section's bytes.
pub const fn encode<const N: usize>(manifest: &Manifest<'_>) -> [u8; N] {
    let writer = Writer {
        bytes: [0; N],
        len: 0,
    };
    writer.manifest(manifest).bytes
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const FULL: Manifest<'_> = Manifest {
        name: "demo",
        version: "1.2.3",
        description: "does things",
        license: "MIT",
        wants: &[
            Want {
                capability: Capability::Tamper,
                why: "to skip",
            },
            Want {
                capability: Capability::MemoryRead,
                why: "",
            },
        ],
        options: &[
            OptionSpec::flag("quiet", "say nothing").short("q"),
            OptionSpec::integer("limit", "at most")
                .metavar("M")
                .default("10")
                .repeated(),
        ],
    };

    #[derive(Deserialize, Debug, PartialEq)]
    struct Decoded {
        name: String,
        version: String,
        api: String,
        description: String,
        license: String,
        wants: Vec<(String, String)>,
        options: Vec<DecodedOption>,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    struct DecodedOption {
        name: String,
        short: String,
        help: String,
        kind: DecodedKind,
        metavar: String,
        default: Option<String>,
        repeated: bool,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    enum DecodedKind {
        Flag,
        Text,
        Integer,
    }

    #[test]
    fn postcard_reads_what_was_encoded() {
        const BYTES: [u8; encoded_len(&FULL)] = encode(&FULL);
        assert_eq!(BYTES[0], FORMAT);
        let (decoded, rest): (Decoded, _) = postcard::take_from_bytes(&BYTES[1..]).unwrap();
        assert_eq!(rest, []);
        assert_eq!(decoded.name, "demo");
        assert_eq!(decoded.api, API);
        assert_eq!(decoded.wants[0], ("tamper".into(), "to skip".into()));
        assert_eq!(
            decoded.options[1],
            DecodedOption {
                name: "limit".into(),
                short: String::new(),
                help: "at most".into(),
                kind: DecodedKind::Integer,
                metavar: "M".into(),
                default: Some("10".into()),
                repeated: true,
            }
        );
        assert_eq!(decoded.options[0].kind, DecodedKind::Flag);
        assert_ne!(decoded.options[0].kind, DecodedKind::Text);
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let text = "x".repeat(300);
        let manifest = Manifest {
            description: &text,
            ..FULL
        };
        assert_eq!(encoded_len(&manifest), encoded_len(&FULL) + 300 - 11 + 1);
    }
}
