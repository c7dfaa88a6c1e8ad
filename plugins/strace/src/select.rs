//! `-e` and its kin: which signals and results are shown, and how.

use pai_plugin::decode::{Descriptors as Described, is_error};
use pai_plugin::select::negation;
pub(crate) use pai_plugin::select::{Calls, signal};
use pai_plugin::{ErrorKind, RecordFlags, Result, SyscallRecord};

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

/// `[!]one,other,all,none`, of names that stand for bits; `unknown` says what there is.
fn bits(text: &str, names: &[(&str, u8)], unknown: impl Fn(&str) -> String) -> Result<u8> {
    let all = names.iter().fold(0, |all, (_, bits)| all | bits);
    let (negated, list) = negation(text);
    let mut set = 0;
    for item in list.split(',').map(str::trim) {
        set |= match item {
            "all" => all,
            "none" => 0,
            _ => match names.iter().find(|(name, _)| *name == item) {
                Some((_, bits)) => *bits,
                None => return Err(ErrorKind::NotFound(unknown(item)).into()),
            },
        };
    }
    Ok(if negated { all & !set } else { set })
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

    /// Whether a call that ended so is shown.
    pub(crate) fn want(self, record: &SyscallRecord) -> bool {
        if self == Self::ALL {
            return true;
        }
        let flags = record.record_flags;
        // A line is written when it is known how it ends.
        match () {
            () if flags.contains(RecordFlags::UNFINISHED) => false,
            () if flags.contains(RecordFlags::DETACHED) => self.detached,
            () if flags.contains(RecordFlags::NO_RETURN) => self.unfinished,
            () if flags.contains(RecordFlags::RESTARTS) => self.failed,
            () if is_error(record.ret) => self.failed,
            () => self.successful,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        const NAMES: [(&str, u8); 5] = [
            ("successful", 1),
            ("failed", 2),
            ("unfinished", 4),
            ("unavailable", 8),
            ("detached", 16),
        ];
        let set = bits(text, &NAMES, |item| {
            format!(
                "no status named {item:?}: successful, failed, unfinished, unavailable, \
                 detached, all, none"
            )
        })?;
        Ok(Self {
            successful: set & 1 != 0,
            failed: set & 2 != 0,
            unfinished: set & 4 != 0,
            unavailable: set & 8 != 0,
            detached: set & 16 != 0,
        })
    }
}

/// What is not told (`-q`, `-e quiet=`); of the rest we tell nothing anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// Exits of tasks.
    pub(crate) exits: bool,
    /// Ends by another task's exec.
    pub(crate) superseded: bool,
}

impl Quiet {
    pub(crate) const NONE: Self = Self {
        exits: false,
        superseded: false,
    };

    /// `-q`, `-qq`, `-qqq`.
    pub(crate) fn level(count: usize) -> Self {
        Self {
            exits: count > 1,
            superseded: count > 2,
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        const NAMES: [(&str, u8); 7] = [
            ("attach", 0),
            ("path-resolution", 0),
            ("personality", 0),
            ("exit", 1),
            ("exits", 1),
            ("thread-execve", 2),
            ("superseded", 2),
        ];
        let set = bits(text, &NAMES, |item| {
            format!(
                "nothing to be quiet about is named {item:?}: attach, exit, \
                 path-resolution, personality, thread-execve, all, none"
            )
        })?;
        Ok(Self {
            exits: set & 1 != 0,
            superseded: set & 2 != 0,
        })
    }
}

/// What is told of file descriptors (`-y`, `-e decode-fds=`).
pub(crate) fn described(text: &str) -> Result<Described> {
    const NAMES: [(&str, u8); 4] = [("path", 1), ("socket", 2), ("dev", 4), ("pidfd", 8)];
    let set = bits(text, &NAMES, |item| {
        format!("nothing of descriptors is named {item:?}: path, socket, dev, pidfd, all, none")
    })?;
    Ok(Described {
        paths: set & 1 != 0,
        sockets: set & 2 != 0,
        devices: set & 4 != 0,
        processes: set & 8 != 0,
    })
}

/// Whether tasks have their names (`-Y`, `-e decode-pids=`).
pub(crate) fn named_tasks(text: &str) -> Result<bool> {
    let mut named = false;
    for item in text.split(',').map(str::trim) {
        match item {
            "none" => {}
            "comm" => named = true,
            "pidns" | "all" => {
                let text = "-e decode-pids=pidns: ids are those of the namespace of pai-host, and \
                            arguments those of the program: they are not translated";
                return Err(ErrorKind::Unsupported(text.to_owned()).into());
            }
            _ => {
                let text = format!("nothing of tasks is named {item:?}: comm, none");
                return Err(ErrorKind::NotFound(text).into());
            }
        }
    }
    Ok(named)
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
        fd >= 0 && self.listed.contains(&fd) != self.negated
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
        let exits = Quiet {
            exits: true,
            superseded: false,
        };
        assert_eq!(Quiet::parse("attach,exit").unwrap(), exits);
        assert_eq!(Quiet::parse("!superseded").unwrap(), exits);
        assert_eq!(Quiet::level(1), Quiet::NONE);
        assert_eq!(Quiet::level(3), Quiet::parse("all").unwrap());
        assert!(Quiet::parse("noise").is_err());
        let set = described("!path,pidfd").unwrap();
        assert!(set.sockets && set.devices && !set.paths && !set.processes);
        assert!(described("file").is_err());
        assert!(named_tasks("comm").unwrap() && !named_tasks("none").unwrap());
        assert!(named_tasks("pidns").is_err());
    }
}
