//! `-e` and its kin: which signals and results are shown, and how.

use pai_plugin::select::negation;
pub(crate) use pai_plugin::select::{Calls, signal};
use pai_plugin::{ErrorKind, Result};

/// Signals that are shown, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals(u128);

impl Signals {
    pub(crate) const ALL: Self = Self(u128::MAX);

    pub(crate) fn has(self, number: u32) -> bool {
        number < 128 && self.0 >> number & 1 != 0
    }

    /// `[!]SIGINT,term,10,all,none`
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (negated, list) = negation(text);
        let mut set = 0;
        for item in list.split(',').map(str::trim) {
            match item {
                "all" => set = u128::MAX,
                "none" => {}
                _ => {
                    set |= 1 << signal(item)?;
                }
            }
        }
        Ok(Self(if negated { !set } else { set }))
    }
}

/// Results that are shown (`-e status=`, `-z`, `-Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statuses {
    pub(crate) successful: bool,
    pub(crate) failed: bool,
    pub(crate) unfinished: bool,
    pub(crate) unavailable: bool,
    pub(crate) detached: bool,
}

impl Statuses {
    pub(crate) const ALL: Self = Self {
        successful: true,
        failed: true,
        unfinished: true,
        unavailable: true,
        detached: true,
    };
    pub(crate) const NONE: Self = Self {
        successful: false,
        failed: false,
        unfinished: false,
        unavailable: false,
        detached: false,
    };

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (negated, list) = negation(text);
        let mut set = Self::NONE;
        for item in list.split(',').map(str::trim) {
            match item {
                "all" => set = Self::ALL,
                "none" => {}
                "successful" => set.successful = true,
                "failed" => set.failed = true,
                "unfinished" => set.unfinished = true,
                "unavailable" => set.unavailable = true,
                "detached" => set.detached = true,
                _ => {
                    let text = format!(
                        "no status named {item:?}: successful, failed, unfinished, unavailable, \
                         detached, all, none"
                    );
                    return Err(ErrorKind::NotFound(text).into());
                }
            }
        }
        if negated {
            set = Self {
                successful: !set.successful,
                failed: !set.failed,
                unfinished: !set.unfinished,
                unavailable: !set.unavailable,
                detached: !set.detached,
            };
        }
        Ok(set)
    }
}

/// File descriptors (`-e read=`, `-e write=`).
#[derive(Clone, Debug)]
pub(crate) struct Descriptors {
    listed: Vec<i32>,
    negated: bool,
}

impl Descriptors {
    pub(crate) const NONE: Self = Self {
        listed: Vec::new(),
        negated: false,
    };

    pub(crate) fn is_none(&self) -> bool {
        self.listed.is_empty() && !self.negated
    }

    pub(crate) fn has(&self, fd: i32) -> bool {
        self.listed.contains(&fd) != self.negated
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (mut negated, list) = negation(text);
        let mut listed = Vec::new();
        for item in list.split(',').map(str::trim) {
            match (item, item.parse()) {
                ("all", _) => {
                    negated = !negated;
                    listed.clear();
                }
                ("none", _) => {}
                (_, Ok(fd)) => listed.push(fd),
                (_, Err(_)) => {
                    let text = format!("{item:?} is not the number of a file descriptor");
                    return Err(ErrorKind::Invalid(text).into());
                }
            }
        }
        Ok(Self { listed, negated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sets() {
        let set = Signals::parse("!SIGCHLD,int").unwrap();
        assert!(!set.has(17) && !set.has(2) && set.has(15));
        assert!(Signals::parse("SIGNOPE").is_err());
        let set = Descriptors::parse("3,5").unwrap();
        assert!(set.has(3) && !set.has(4));
        assert!(Descriptors::parse("all").unwrap().has(77));
        let set = Statuses::parse("failed,unfinished").unwrap();
        assert!(set.failed && !set.successful);
    }
}
