//! Sets of system calls in strace's words, and what calls concern.

use pai_syscalls::abi::{I386, X86_64};
use pai_syscalls::class;
use regex_lite::Regex;

use crate::bindings::pai::plugin::types::SyscallId;
use crate::decode::{Captured, Decoded, Value, When};
use crate::error::{ErrorKind, Result};

/// A set of system calls, by number and ABI.
#[derive(Clone, Debug)]
pub struct Calls {
    /// Bits by number.
    of: [Vec<bool>; 2],
    /// Numbers that no table has.
    others: bool,
}

const ABIS: [u32; 2] = [X86_64, I386];
const NUMBERS: usize = 1024;

/// Classes that need no `%`, as in old command lines of strace.
const OLD_CLASSES: [&str; 7] = [
    "file", "process", "network", "signal", "ipc", "desc", "memory",
];

impl Calls {
    /// Every call, or none.
    pub fn all(wanted: bool) -> Self {
        let every = vec![wanted; NUMBERS];
        Self {
            of: [every.clone(), every],
            others: wanted,
        }
    }

    /// Whether a call is in it.
    pub fn has(&self, call: SyscallId) -> bool {
        let Some(table) = ABIS.iter().position(|abi| *abi == call.abi) else {
            return self.others;
        };
        let known = usize::try_from(call.nr).ok();
        let bit = known.and_then(|nr| self.of[table].get(nr));
        bit.copied().unwrap_or(self.others)
    }

    /// What is not in it.
    #[must_use]
    pub fn negated(mut self) -> Self {
        self.others = !self.others;
        for bit in self.of.iter_mut().flatten() {
            *bit = !*bit;
        }
        self
    }

    /// Whether every call is in it, whatever its number.
    pub fn is_all(&self) -> bool {
        self.others && self.of.iter().flatten().all(|bit| *bit)
    }

    /// Whether any call is in it.
    pub fn has_any(&self) -> bool {
        self.others || self.of.iter().flatten().any(|bit| *bit)
    }

    /// Whether it has calls that no table has, and that [`Calls::ids`] leaves out.
    pub fn has_unknown(&self) -> bool {
        self.others
    }

    /// Those of another, too.
    pub fn add_all(&mut self, other: &Self) {
        self.others |= other.others;
        let others = other.of.iter().flatten();
        for (bit, other) in self.of.iter_mut().flatten().zip(others) {
            *bit |= other;
        }
    }

    /// As ids, for a subscription.
    pub fn ids(&self) -> Vec<SyscallId> {
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

    /// `[!]openat,%file,/^get/,?new_one,all,none`, with `@64` or `@32` behind an item for
    /// calls of that ABI only. Nothing is known of those of `@x32`: none is meant.
    ///
    /// # Errors
    /// `not-found` for a call or a class that there is not, `invalid` for a pattern
    /// or an ABI that is none.
    pub fn parse(text: &str) -> Result<Self> {
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
        let (name, of) = of_abi(item)?;
        let found = match name {
            "all" if of == Of::Any => {
                *self = Self::all(true);
                return Ok(());
            }
            "all" => {
                let tables = self.of.iter_mut().zip(ABIS);
                for (bits, _) in tables.filter(|(_, abi)| of.has(*abi)) {
                    bits.fill(true);
                }
                return Ok(());
            }
            "none" if of == Of::Any => return Ok(()),
            _ => self.add_named(name, of)?,
        };
        if found || optional {
            return Ok(());
        }
        let closest = pai_syscalls::closest(X86_64, name);
        let closest = closest.filter(|closest| *closest != name);
        let hint = closest.map_or_else(String::new, |name| format!("; is it {name:?}?"));
        let text = format!("no system call named {item:?}{hint}");
        Err(ErrorKind::NotFound(text).into())
    }

    fn add_named(&mut self, item: &str, of: Of) -> Result<bool> {
        let name = item.strip_prefix('%');
        if let Some(name) = name.or_else(|| OLD_CLASSES.contains(&item).then_some(item)) {
            let Some(names) = class(name) else {
                let known: Vec<String> = pai_syscalls::classes().map(|c| format!("%{c}")).collect();
                let text = format!("no class of calls named {item:?}: {}", known.join(", "));
                return Err(ErrorKind::NotFound(text).into());
            };
            self.set(of, |_, name| names.contains(&name));
            return Ok(true);
        }
        if let Some(pattern) = item.strip_prefix('/') {
            let pattern = Regex::new(pattern).map_err(|error| {
                let text = format!("/{pattern} is no regular expression: {error}");
                ErrorKind::Invalid(text)
            })?;
            return Ok(self.set(of, |_, name| pattern.is_match(name)));
        }
        if let Ok(number) = item.parse::<u32>() {
            return Ok(self.set(of, |nr, _| nr == number));
        }
        Ok(self.set(of, |_, name| name == item))
    }

    fn set(&mut self, of: Of, wanted: impl Fn(u32, &str) -> bool) -> bool {
        let mut found = false;
        for (bits, abi) in self.of.iter_mut().zip(ABIS) {
            // Names of x32 are those of 64 bits.
            let named = of == Of::X32 && abi == X86_64;
            for (nr, name) in pai_syscalls::names(abi) {
                let Some(bit) = usize::try_from(nr).ok().and_then(|at| bits.get_mut(at)) else {
                    continue;
                };
                if (named || of.has(abi)) && wanted(nr, name) {
                    *bit |= !named;
                    found = true;
                }
            }
        }
        found
    }
}

/// Which ABIs an item of a set is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Any,
    One(u32),
    X32,
}

impl Of {
    fn has(self, abi: u32) -> bool {
        match self {
            Self::Any => true,
            Self::One(one) => one == abi,
            Self::X32 => false,
        }
    }
}

/// `openat@64`: what is in front of the `@`, and what is behind it.
fn of_abi(item: &str) -> Result<(&str, Of)> {
    let Some((name, abi)) = item.rsplit_once('@') else {
        return Ok((item, Of::Any));
    };
    let of = match abi {
        "64" => Of::One(X86_64),
        "32" => Of::One(I386),
        "x32" => Of::X32,
        _ => {
            let text = format!("{item}: {abi:?} behind the @ is none of 64, 32, x32");
            return Err(ErrorKind::Invalid(text).into());
        }
    };
    Ok((name, of))
}

/// `!`, or `\!` for shells that have plans with it; and what is behind it.
pub fn negation(text: &str) -> (bool, &str) {
    match text.strip_prefix('!').or_else(|| text.strip_prefix("\\!")) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// The number of a signal, from its name or its number: `SIGINT`, `term`, `10`.
///
/// # Errors
/// `not-found` for what is neither.
pub fn signal(text: &str) -> Result<u32> {
    let number = text.parse().ok();
    let upper = text.to_ascii_uppercase();
    let number = number.or_else(|| pai_syscalls::signal::number(&upper));
    number.filter(|number| *number < 128).ok_or_else(|| {
        let text = format!("no signal named {text:?}");
        ErrorKind::NotFound(text).into()
    })
}

/// A time in strace's words: its number, and how many nanoseconds its unit has, `ns`,
/// `us`, `ms` or `s`; without one these are microseconds.
pub fn time(text: &str) -> (&str, u32) {
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
    ];
    let split = |(unit, nanos): (&str, u32)| Some((text.strip_suffix(unit)?, nanos));
    units.into_iter().find_map(split).unwrap_or((text, 1_000))
}

/// Whether one of these paths is among the arguments of a call, by name or as a
/// descriptor.
pub fn concerns(decoded: &Decoded, captured: &Captured<'_>, paths: &[Vec<u8>]) -> bool {
    let is_one = |name: &[u8]| paths.iter().any(|path| path == name);
    let is_on_one = |fd| {
        let found = captured.descriptor(fd, When::Enter);
        found.is_some_and(|found| is_one(found.path))
    };
    decoded.args.iter().any(|arg| match &arg.value {
        Value::Fd(fd) => is_on_one(*fd),
        Value::To { value, .. } => match &**value {
            Value::Bytes(bytes) => bytes.whole && is_one(&bytes.data),
            Value::Descriptors(fds) => fds.iter().any(|fd| is_on_one(*fd)),
            Value::Array(items) => items.items.iter().any(|item| match item {
                // What poll(2) waits for.
                Value::Struct(fields) => match fields.get("fd") {
                    Some(Value::Fd(fd)) => is_on_one(*fd),
                    _ => false,
                },
                _ => false,
            }),
            _ => false,
        },
        _ => false,
    })
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
    fn items_are_about_one_abi() {
        let of = |set: &str, name| {
            let set = Calls::parse(set).unwrap();
            ABIS.map(|abi| {
                let nr = pai_syscalls::number(abi, name).unwrap();
                set.has(SyscallId { abi, nr })
            })
        };
        for (set, has) in [
            ("openat", [true, true]),
            ("openat@64", [true, false]),
            ("openat@32", [false, true]),
            ("openat@x32", [false, false]),
            ("%file@32", [false, true]),
            ("/^open@64", [true, false]),
            ("257@64", [true, false]),
            ("295@32", [false, true]),
            ("all@32", [false, true]),
            ("!openat@32", [true, false]),
            ("!all@64", [false, true]),
            ("openat@64,openat@32", [true, true]),
            ("?no_such@32", [false, false]),
        ] {
            assert_eq!(of(set, "openat"), has, "{set}");
        }
        assert!(Calls::parse("waitpid@32").is_ok());
        for wrong in [
            "waitpid@64",
            "openat@16",
            "openat@",
            "none@32",
            "@32",
            "no@x32",
        ] {
            assert!(Calls::parse(wrong).is_err(), "{wrong}");
        }
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
    fn sets_add_up() {
        let mut set = Calls::parse("read").unwrap();
        set.add_all(&Calls::parse("file").unwrap());
        assert!(has(&set, "read") && has(&set, "openat") && !has(&set, "write"));
        assert!(!set.has_unknown());
        set.add_all(&Calls::parse("!read").unwrap());
        assert!(set.is_all() && set.has_unknown());
    }

    #[test]
    fn signals_by_name_and_number() {
        for (text, number) in [("SIGUSR1", 10), ("usr1", 10), ("64", 64), ("SIGRT_1", 33)] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        assert!(signal("SIGNOPE").is_err() && signal("-1").is_err());
    }
}
