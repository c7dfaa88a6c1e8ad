//! What a plugin says of itself: name, options, and the capabilities it wants.
//!
//! A manifest is the custom section `pai:manifest` of the component, or of a
//! core module inside it, where the SDK's macro leaves it: one format byte, then
//! the fields of [`Manifest`] in [postcard] encoding. It was written by whoever
//! wrote the plugin, so it is checked before anything of it is shown.
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Name of the custom section.
pub const SECTION: &str = "pai:manifest";

/// The contract that this host speaks: major and minor version of `pai:plugin`.
pub const API: &str = "0.1";

/// Everything a plugin can ask for, and what it means to the user who grants it.
pub const CAPABILITIES: &[(&str, &str)] = &[
    ("memory-read", "read memory of the traced processes"),
    ("memory-write", "change memory of the traced processes"),
    ("registers-write", "change registers of the traced threads"),
    ("control", "hold threads, step them, set breakpoints"),
    (
        "tamper",
        "skip or change system calls, their results, and signals",
    ),
    (
        "inject",
        "run functions and system calls inside the traced processes",
    ),
    ("kill", "kill the traced processes"),
];

const FORMAT: u8 = 1;
const MAX_SECTION: usize = 64 << 10;
const MAX_NAME: usize = 64;
const MAX_OPTIONS: usize = 256;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Short name: lower-case letters, digits and dashes.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// Version of the contract, see [`API`]. Empty for a component that has no
    /// manifest.
    pub api: String,
    /// One line for people.
    pub description: String,
    /// SPDX expression; may be empty.
    pub license: String,
    /// Capabilities, and why each is wanted.
    pub wants: Vec<Want>,
    /// Command line options.
    pub options: Vec<OptionSpec>,
}

/// One capability that a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// One of [`CAPABILITIES`].
    pub capability: String,
    /// The author's reason, for people.
    pub why: String,
}

/// One command line option of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionSpec {
    /// Long name without dashes.
    pub name: String,
    /// One letter or digit; empty when there is none.
    pub short: String,
    /// One line for people.
    pub help: String,
    /// What it takes.
    pub kind: Kind,
    /// What its value is called in help texts; empty for the usual one.
    pub metavar: String,
    /// The value when it is not given.
    pub default: Option<String>,
    /// May be given several times.
    pub repeated: bool,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nothing: it is given or not.
    Flag,
    /// Any text.
    Text,
    /// A whole number that fits 64 bits, signed.
    Integer,
}

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More than one section of that name.
    #[error("it has more than one manifest")]
    Several,
    /// Unreasonably large.
    #[error("its manifest has {0} bytes, more than {MAX_SECTION}")]
    TooLarge(usize),
    /// Written by a newer SDK.
    #[error("its manifest has format {0}, and this pai-host knows only format {FORMAT}")]
    Format(u8),
    /// Cut off, or no manifest at all.
    #[error("its manifest is damaged")]
    Damaged,
    /// Made for another contract.
    #[error("it needs plugin API {0}, and this pai-host has {API}")]
    Api(String),
    /// A name that is none.
    #[error(
        "its manifest is not valid: {what} {name:?} is not made of 1 to {MAX_NAME} lower-case \
         letters, digits and dashes"
    )]
    Name {
        /// Whose name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A text that could fool a terminal.
    #[error("its manifest is not valid: control characters in {0}")]
    ControlCharacter(&'static str),
    /// A capability that nobody knows.
    #[error(
        "it wants {0:?}, which is no capability; there are {known}",
        known = CAPABILITIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    )]
    Capability(String),
    /// An option that makes no sense.
    #[error("its manifest is not valid: option --{name} {problem}")]
    Option {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More options than anybody would type.
    #[error("its manifest is not valid: more than {MAX_OPTIONS} options")]
    TooManyOptions,
}

impl Manifest {
    /// Reads and checks the contents of the custom section.
    ///
    /// # Errors
    /// When it is damaged, for another API, or not fit to be shown.
    pub fn decode(section: &[u8]) -> Result<Self, ManifestError> {
        if section.len() > MAX_SECTION {
            return Err(ManifestError::TooLarge(section.len()));
        }
        let (format, fields) = section.split_first().ok_or(ManifestError::Damaged)?;
        if *format != FORMAT {
            return Err(ManifestError::Format(*format));
        }
        let (manifest, rest) =
            postcard::take_from_bytes::<Self>(fields).map_err(|_| ManifestError::Damaged)?;
        if !rest.is_empty() {
            return Err(ManifestError::Damaged);
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Stands in for the manifest of a component that has none: it wants
    /// nothing and takes no options.
    pub fn absent(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            api: String::new(),
            description: String::new(),
            license: String::new(),
            wants: Vec::new(),
            options: Vec::new(),
        }
    }

    /// Whether this stands in for a missing manifest.
    pub fn is_absent(&self) -> bool {
        self.api.is_empty()
    }

    /// Whether the plugin asks for this capability.
    pub fn wants(&self, capability: &str) -> bool {
        self.wants.iter().any(|want| want.capability == capability)
    }

    fn check(&self) -> Result<(), ManifestError> {
        text("its API version", &self.api)?;
        if self.api != API {
            return Err(ManifestError::Api(self.api.clone()));
        }
        name("the name", &self.name)?;
        text("its version", &self.version)?;
        text("its description", &self.description)?;
        text("its licence", &self.license)?;
        for want in &self.wants {
            text("the name of a capability", &want.capability)?;
            if !CAPABILITIES
                .iter()
                .any(|(known, _)| *known == want.capability)
            {
                return Err(ManifestError::Capability(want.capability.clone()));
            }
            text("the reason for a capability", &want.why)?;
        }
        if self.options.len() > MAX_OPTIONS {
            return Err(ManifestError::TooManyOptions);
        }
        let mut taken = BTreeSet::from(["help", "h"]);
        for option in &self.options {
            option.check(&mut taken)?;
        }
        Ok(())
    }
}

impl OptionSpec {
    /// `taken`: long and short names in use; no long name has one letter.
    fn check<'a>(&'a self, taken: &mut BTreeSet<&'a str>) -> Result<(), ManifestError> {
        name("the option", &self.name)?;
        text("the short name of an option", &self.short)?;
        text("the help of an option", &self.help)?;
        text("the value name of an option", &self.metavar)?;
        text(
            "the default of an option",
            self.default.as_deref().unwrap_or(""),
        )?;
        let bad = |problem| {
            Err(ManifestError::Option {
                name: self.name.clone(),
                problem,
            })
        };
        if self.name.len() == 1 {
            return bad("has only one letter: that is a short name");
        }
        if !taken.insert(&self.name) {
            return bad("is there twice, or is --help");
        }
        if !self.short.is_empty() {
            if self.short.len() != 1 || !self.short.as_bytes()[0].is_ascii_alphanumeric() {
                return bad("has a short name that is not one letter or digit");
            }
            if !taken.insert(&self.short) {
                return bad("has a short name that is taken twice, or is -h");
            }
        }
        match (self.kind, &self.default) {
            (Kind::Flag, Some(_)) => bad("is a flag and has a default"),
            (Kind::Integer, Some(value)) if value.parse::<i64>().is_err() => {
                bad("takes an integer and has another default")
            }
            _ => Ok(()),
        }
    }
}

fn name(what: &'static str, name: &str) -> Result<(), ManifestError> {
    if is_name(name) {
        return Ok(());
    }
    Err(ManifestError::Name {
        what,
        name: name.chars().take(MAX_NAME).collect(),
    })
}

/// Lower-case letters, digits and dashes, the first of them no dash.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Refuses what could move the cursor, colour or reorder the line that asks the
/// user for a capability.
fn text(what: &'static str, text: &str) -> Result<(), ManifestError> {
    let reorders = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.chars().any(|c| c.is_control() || reorders(c)) {
        return Err(ManifestError::ControlCharacter(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        Manifest {
            name: "demo".into(),
            version: "1.2.3".into(),
            api: API.into(),
            description: "Shows".into(),
            license: "MIT".into(),
            wants: vec![Want {
                capability: "kill".into(),
                why: "ends it".into(),
            }],
            options: vec![OptionSpec {
                name: "max".into(),
                short: "m".into(),
                help: "At most".into(),
                kind: Kind::Integer,
                metavar: "N".into(),
                default: Some("7".into()),
                repeated: true,
            }],
        }
    }

    fn encode(manifest: &Manifest) -> Vec<u8> {
        let mut section = vec![FORMAT];
        section.extend(postcard::to_allocvec(manifest).unwrap());
        section
    }

    fn refused(change: impl FnOnce(&mut Manifest)) -> String {
        let mut manifest = example();
        change(&mut manifest);
        Manifest::decode(&encode(&manifest))
            .unwrap_err()
            .to_string()
    }

    /// The bytes that the SDK writes; they must be understood for ever.
    #[test]
    fn golden_bytes() {
        let golden: &[u8] = b"\x01\x04demo\x051.2.3\x030.1\x05Shows\x03MIT\x01\x04kill\x07ends it\
              \x01\x03max\x01m\x07At most\x02\x01N\x01\x017\x01";
        assert_eq!(Manifest::decode(golden), Ok(example()));
        assert_eq!(encode(&example()), golden);
    }

    #[test]
    fn every_truncation_is_damage() {
        let section = encode(&example());
        for len in 0..section.len() {
            assert_eq!(
                Manifest::decode(&section[..len]),
                Err(ManifestError::Damaged),
                "{len} bytes"
            );
        }
        let mut longer = section;
        longer.push(0);
        assert_eq!(Manifest::decode(&longer), Err(ManifestError::Damaged));
    }

    #[test]
    fn no_single_byte_makes_it_panic() {
        let section = encode(&example());
        for at in 0..section.len() {
            for value in [0, 1, 0x1b, 0x7f, 0x80, 0xff] {
                let mut changed = section.clone();
                changed[at] = value;
                drop(Manifest::decode(&changed));
            }
        }
        // Lengths far beyond the section.
        let huge = [FORMAT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Manifest::decode(&huge), Err(ManifestError::Damaged));
    }

    #[test]
    fn other_formats_and_apis_are_named() {
        assert_eq!(Manifest::decode(&[2, 0]), Err(ManifestError::Format(2)));
        let message = refused(|m| m.api = "0.2".into());
        assert_eq!(
            message,
            "it needs plugin API 0.2, and this pai-host has 0.1"
        );
        let large = vec![FORMAT; MAX_SECTION + 1];
        assert_eq!(
            Manifest::decode(&large),
            Err(ManifestError::TooLarge(MAX_SECTION + 1))
        );
    }

    #[test]
    fn what_is_shown_is_harmless() {
        assert!(refused(|m| m.name = "Demo".into()).contains("\"Demo\""));
        assert!(refused(|m| m.name = String::new()).contains("the name"));
        assert!(refused(|m| m.name = "-x".into()).contains("\"-x\""));
        let message = refused(|m| m.description = "a\x1b[2Jb".into());
        assert!(message.contains("control characters in its description"));
        assert!(refused(|m| m.wants[0].why = "\u{202e}".into()).contains("control characters"));
        assert!(refused(|m| m.api = "\u{7}".into()).contains("control characters"));
        let message = refused(|m| m.wants[0].capability = "root".into());
        assert!(message.contains("\"root\"") && message.contains("memory-read, memory-write"));
    }

    #[test]
    fn options_make_sense() {
        assert!(
            refused(|m| m.options[0].default = Some("x".into())).contains("--max takes an integer")
        );
        assert!(refused(|m| m.options[0].kind = Kind::Flag).contains("--max is a flag"));
        assert!(refused(|m| m.options[0].short = "ab".into()).contains("not one letter"));
        assert!(refused(|m| m.options[0].short = "h".into()).contains("-h"));
        assert!(refused(|m| m.options[0].name = "help".into()).contains("--help is there twice"));
        assert!(refused(|m| m.options.push(m.options[0].clone())).contains("twice"));
        assert!(refused(|m| m.options[0].name = "a b".into()).contains("the option \"a b\""));
        let many = refused(|m| m.options = vec![m.options[0].clone(); MAX_OPTIONS + 1]);
        assert!(many.contains("more than 256 options"));
    }

    #[test]
    fn json_is_for_machines() {
        let json = serde_json::to_value(example()).unwrap();
        assert_eq!(json["options"][0]["kind"], "integer");
        assert_eq!(json["wants"][0]["capability"], "kill");
    }
}
