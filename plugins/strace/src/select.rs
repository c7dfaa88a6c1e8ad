//! `-e` and its kin: which calls, signals and results are shown, and how.

use pai_plugin::decode::Descriptors as Described;
use pai_plugin::{ErrorKind, Result, SyscallId};
use pai_syscalls::abi::{I386, X86_64};
use pai_syscalls::{class, signal};
use regex_lite::Regex;

/// A set of system calls, by number and ABI.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    /// Bits by number.
    of: [Vec<bool>; 2],
    /// Numbers that no table has.
    others: bool,
}

const ABIS: [u32; 2] = [X86_64, I386];
const NUMBERS: usize = 1024;

impl Calls {
    pub(crate) fn all(wanted: bool) -> Self {
        let every = vec![wanted; NUMBERS];
        Self {
            of: [every.clone(), every],
            others: wanted,
        }
    }

    pub(crate) fn has(&self, call: SyscallId) -> bool {
        let Some(table) = ABIS.iter().position(|abi| *abi == call.abi) else {
            return self.others;
        };
        let known = usize::try_from(call.nr).ok();
        let bit = known.and_then(|nr| self.of[table].get(nr));
        bit.copied().unwrap_or(self.others)
    }

    pub(crate) fn negated(mut self) -> Self {
        self.others = !self.others;
        for bit in self.of.iter_mut().flatten() {
            *bit = !*bit;
        }
        self
    }

    pub(crate) fn is_all(&self) -> bool {
        self.others && self.of.iter().flatten().all(|bit| *bit)
    }

    /// As ids, for a subscription.
    pub(crate) fn ids(&self) -> Vec<SyscallId> {
        let mut ids = Vec::new();
        for (bits, abi) in self.of.iter().zip(ABIS) {
            for (nr, _) in pai_syscalls::names(abi) {
                let known = usize::try_from(nr).ok().and_then(|at| bits.get(at));
                if known.copied().unwrap_or(false) {
                    ids.push(SyscallId { abi, nr });
                }
            }
        }
        ids
    }

    /// `[!]openat,%file,/^get/,?new_one,all,none`
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (negated, list) = negation(text);
        let mut set = Self::all(false);
        for item in list.split(',') {
            set.add(item.trim())?;
        }
        Ok(if negated { set.negated() } else { set })
    }

    fn add(&mut self, item: &str) -> Result<()> {
        let (optional, item) = match item.strip_prefix('?') {
            Some(item) => (true, item),
            None => (false, item),
        };
        let found = match item {
            "all" => {
                *self = Self::all(true);
                return Ok(());
            }
            "none" => return Ok(()),
            _ => self.add_named(item)?,
        };
        if found || optional {
            return Ok(());
        }
        let closest = pai_syscalls::closest(X86_64, item);
        let hint = closest.map_or_else(String::new, |name| format!("; is it {name:?}?"));
        let text = format!("no system call named {item:?}{hint}");
        Err(ErrorKind::NotFound(text).into())
    }

    fn add_named(&mut self, item: &str) -> Result<bool> {
        if let Some(name) = item.strip_prefix('%') {
            let Some(names) = class(name) else {
                let known: Vec<String> = pai_syscalls::classes().map(|c| format!("%{c}")).collect();
                let text = format!("no class of calls named {item:?}: {}", known.join(", "));
                return Err(ErrorKind::NotFound(text).into());
            };
            return Ok(self.set(|name| names.contains(&name)));
        }
        if let Some(pattern) = item.strip_prefix('/') {
            let pattern = Regex::new(pattern).map_err(|error| {
                let text = format!("/{pattern} is no regular expression: {error}");
                ErrorKind::Invalid(text)
            })?;
            return Ok(self.set(|name| pattern.is_match(name)));
        }
        if let Ok(number) = item.parse::<usize>() {
            let bit = self.of[0].get_mut(number);
            return Ok(bit.is_some_and(|bit| {
                *bit = true;
                true
            }));
        }
        Ok(self.set(|name| name == item))
    }

    fn set(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        let mut found = false;
        for (bits, abi) in self.of.iter_mut().zip(ABIS) {
            for (nr, name) in pai_syscalls::names(abi) {
                let Some(bit) = usize::try_from(nr).ok().and_then(|at| bits.get_mut(at)) else {
                    continue;
                };
                if wanted(name) {
                    *bit = true;
                    found = true;
                }
            }
        }
        found
    }
}

/// `!`, or `\!` for shells that have plans with it.
fn negation(text: &str) -> (bool, &str) {
    match text.strip_prefix('!').or_else(|| text.strip_prefix("\\!")) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

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
                    let number = item.parse().ok();
                    let upper = item.to_ascii_uppercase();
                    let number = number.or_else(|| signal::number(&upper));
                    let Some(number) = number.filter(|number| *number < 128) else {
                        let text = format!("no signal named {item:?}");
                        return Err(ErrorKind::NotFound(text).into());
                    };
                    set |= 1 << number;
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
        let (negated, list) = negation(text);
        let mut set = Self::NONE;
        for item in list.split(',').map(str::trim) {
            match item {
                "all" => set = Self::level(3),
                "none" | "attach" | "path-resolution" | "personality" => {}
                "exit" | "exits" => set.exits = true,
                "thread-execve" | "superseded" => set.superseded = true,
                _ => {
                    let text = format!(
                        "nothing to be quiet about is named {item:?}: attach, exit, \
                         path-resolution, personality, thread-execve, all, none"
                    );
                    return Err(ErrorKind::NotFound(text).into());
                }
            }
        }
        if negated {
            set = Self {
                exits: !set.exits,
                superseded: !set.superseded,
            };
        }
        Ok(set)
    }
}

/// What is told of file descriptors (`-y`, `-e decode-fds=`).
pub(crate) fn described(text: &str) -> Result<Described> {
    let (negated, list) = negation(text);
    let mut set = Described::NONE;
    for item in list.split(',').map(str::trim) {
        match item {
            "all" => set = Described::ALL,
            "none" => {}
            "path" => set.paths = true,
            "socket" => set.sockets = true,
            "dev" => set.devices = true,
            "pidfd" => set.processes = true,
            _ => {
                let text = format!(
                    "nothing of descriptors is named {item:?}: path, socket, dev, pidfd, all, none"
                );
                return Err(ErrorKind::NotFound(text).into());
            }
        }
    }
    if negated {
        set = Described {
            paths: !set.paths,
            sockets: !set.sockets,
            devices: !set.devices,
            processes: !set.processes,
        };
    }
    Ok(set)
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

    fn has(set: &Calls, name: &str) -> bool {
        let nr = pai_syscalls::number(X86_64, name).unwrap();
        set.has(SyscallId { abi: X86_64, nr })
    }

    #[test]
    fn calls_by_name_class_pattern_and_number() {
        let set = Calls::parse("openat,%network,/^get[pt]id$,?no_such,39").unwrap();
        for name in ["openat", "connect", "getpid", "gettid"] {
            assert!(has(&set, name), "{name}");
        }
        for name in ["open", "getppid", "read"] {
            assert!(!has(&set, name), "{name}");
        }
        assert!(!set.is_all());
        assert!(set.ids().len() > 20);
        assert!(Calls::parse("all").unwrap().is_all());
    }

    #[test]
    fn negation_takes_away() {
        let set = Calls::parse("!read,write").unwrap();
        assert!(!has(&set, "read") && !has(&set, "write") && has(&set, "openat"));
        let unknown = SyscallId {
            abi: X86_64,
            nr: 5000,
        };
        assert!(set.has(unknown));
        assert!(Calls::parse("\\!none").unwrap().is_all());
    }

    #[test]
    fn what_does_not_exist_is_told() {
        let error = Calls::parse("opneat").unwrap_err().to_string();
        assert!(
            error.contains("opneat") && error.contains("openat"),
            "{error}"
        );
        let error = Calls::parse("%fiel").unwrap_err().to_string();
        assert!(error.contains("%file"), "{error}");
        assert!(Calls::parse("/[").is_err());
    }

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
