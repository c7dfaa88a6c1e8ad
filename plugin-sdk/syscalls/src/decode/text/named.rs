//! Numbers with a meaning: names, sets of flags, modes, devices.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::schema::{Numbers, Set};
use crate::decode::value::{file_type, major_minor};
use crate::signal;

use super::number::{push_decimal, push_hex, push_octal, push_unsigned};
use super::{Names, Style, quote};

impl Style<'_> {
    /// A name, its number, or both. Digits are no name, and errors are decimal.
    pub(super) fn push_named(&self, out: &mut Vec<u8>, name: &str, value: i64) {
        let word = name.split(' ').next().unwrap_or(name);
        let digits = word.strip_prefix("0x").unwrap_or(word);
        if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return out.extend_from_slice(name.as_bytes());
        }
        if name == "RLIM_INFINITY" || name.starts_with("-E") {
            return self.push_decimal_named(out, name, value);
        }
        self.push_either(
            out,
            |out| push_number(out, value.cast_unsigned()),
            |out| out.extend_from_slice(name.as_bytes()),
        );
    }

    /// The same with a number in decimal digits.
    fn push_decimal_named(&self, out: &mut Vec<u8>, name: &str, value: i64) {
        self.push_either(
            out,
            |out| push_decimal(out, value),
            |out| out.extend_from_slice(name.as_bytes()),
        );
    }

    pub(super) fn push_one(&self, out: &mut Vec<u8>, value: u64, set: &Set) {
        match set.name(value) {
            Some(name) if set.numbers == Numbers::Decimal => {
                // They are of 32 bits, some with a sign.
                let low = (value & 0xffff_ffff) as u32;
                self.push_decimal_named(out, name, low.cast_signed().into());
            }
            Some(name) => self.push_named(out, name, value.cast_signed()),
            None => {
                push_number(out, value);
                if self.names != Names::Raw && !set.unknown.is_empty() {
                    push_comment(out, set.unknown);
                }
            }
        }
    }

    /// A number, its meaning, or both; `number` and `meaning` write them.
    fn push_either(
        &self,
        out: &mut Vec<u8>,
        number: impl FnOnce(&mut Vec<u8>),
        meaning: impl FnOnce(&mut Vec<u8>),
    ) {
        match self.names {
            Names::Abbrev => meaning(out),
            Names::Raw => number(out),
            Names::Verbose => {
                number(out);
                out.extend_from_slice(b" /* ");
                meaning(out);
                out.extend_from_slice(b" */");
            }
        }
    }

    pub(super) fn push_flags(&self, out: &mut Vec<u8>, bits: u64, set: &Set) {
        if set.numbers == Numbers::Parts && self.names != Names::Abbrev {
            return self.push_parts(out, bits, set);
        }
        let start = out.len();
        let mut named = false;
        self.push_either(
            out,
            |out| push_number(out, bits),
            |out| named = flags(out, bits, set),
        );
        if self.names == Names::Verbose && !named {
            // The number is all there is.
            out.truncate(start);
            flags(out, bits, set);
        }
    }

    /// Each part as a number, or as one with its name behind it.
    fn push_parts(&self, out: &mut Vec<u8>, bits: u64, set: &Set) {
        let start = out.len();
        let mut left = bits;
        let own = Set {
            names: set.names,
            base: set.base,
            first: &[],
            last: &[],
            unknown: if set.first.is_empty() {
                set.unknown
            } else {
                ""
            },
            numbers: Numbers::Hex,
        };
        if set.first.is_empty() && set.last.is_empty() {
            // Its words.
            self.push_flags(out, bits & 0xffff_ffff, &own);
            left = bits & !0xffff_ffff;
            if left != 0 {
                out.push(b'|');
                self.push_shifted(out, left, &own);
            }
            return;
        }
        for (mask, values) in set.first {
            let value = bits & mask;
            left &= !mask;
            if value != 0 || values.name(0).is_some() {
                push_bar(out, start);
                self.push_one(out, value, values);
            }
        }
        let behind = set.last.iter().fold(0, |all, (mask, _)| all | mask);
        left &= !behind;
        if left != 0 || set.first.is_empty() && bits == 0 {
            push_bar(out, start);
            self.push_flags(out, left, &own);
        }
        for (mask, values) in set.last {
            let value = bits & mask;
            if value != 0 {
                push_bar(out, start);
                match values.name(value) {
                    Some(_) => self.push_one(out, value, values),
                    None => push_unsigned(out, value),
                }
            }
        }
    }

    /// The upper word of bits as a number of its own, and their names.
    fn push_shifted(&self, out: &mut Vec<u8>, bits: u64, set: &Set) {
        push_hex(out, bits >> 32);
        if self.names == Names::Verbose {
            out.extend_from_slice(b" /* ");
            flags(out, bits, set);
            out.extend_from_slice(b" */");
        }
    }

    pub(super) fn push_mode(&self, out: &mut Vec<u8>, mode: u32) {
        let number = |out: &mut Vec<u8>| push_octal_padded(out, mode.into());
        let name = match file_type(mode) {
            Some(name) => name,
            None if mode & 0o170_000 == 0 && mode & 0o7000 != 0 => "",
            None => return number(out),
        };
        self.push_either(out, number, |out| {
            let start = out.len();
            for (is_there, name) in [
                (!name.is_empty(), name),
                (mode & 0o4000 != 0, "S_ISUID"),
                (mode & 0o2000 != 0, "S_ISGID"),
                (mode & 0o1000 != 0, "S_ISVTX"),
            ] {
                if is_there {
                    push_bar(out, start);
                    out.extend_from_slice(name.as_bytes());
                }
            }
            push_bar(out, start);
            push_octal_padded(out, (mode & 0o777).into());
        });
    }

    pub(super) fn push_device(&self, out: &mut Vec<u8>, device: u64) {
        let (major, minor) = major_minor(device);
        self.push_either(
            out,
            |out| push_number(out, device),
            |out| {
                out.extend_from_slice(b"makedev(");
                push_number(out, major);
                out.extend_from_slice(b", ");
                push_number(out, minor);
                out.push(b')');
            },
        );
    }

    pub(super) fn push_signal(&self, out: &mut Vec<u8>, number: u32) {
        match signal::name(number).filter(|_| number != 0) {
            Some(name) => self.push_decimal_named(out, name, number.into()),
            None => push_decimal(out, number.cast_signed().into()),
        }
    }

    pub(super) fn push_interface(&self, out: &mut Vec<u8>, index: u32) {
        // LOOPBACK_IFINDEX in the kernel's net/flow.h, in every network namespace.
        const LOOPBACK: u32 = 1;
        let mut name = Vec::new();
        if let Some(tell) = self.interface {
            tell(&mut name, index);
        }
        if name.is_empty() && index == LOOPBACK {
            name.extend_from_slice(b"lo");
        }
        let number = |out: &mut Vec<u8>| push_unsigned(out, index.into());
        if name.is_empty() {
            return number(out);
        }
        self.push_either(out, number, |out| {
            out.extend_from_slice(b"if_nametoindex(");
            quote::push_quoted(out, &name, self.hex);
            out.push(b')');
        });
    }

    pub(super) fn push_limit(&self, out: &mut Vec<u8>, limit: u64) {
        let name = match limit {
            u64::MAX => "RLIM64_INFINITY".into(),
            limit if limit > 1024 && limit % 1024 == 0 => format!("{}*1024", limit / 1024),
            _ => String::new(),
        };
        let number = |out: &mut Vec<u8>| push_unsigned(out, limit);
        if name.is_empty() {
            return number(out);
        }
        self.push_either(out, number, |out| out.extend_from_slice(name.as_bytes()));
    }
}

/// `0`, or hexadecimal digits.
pub(super) fn push_number(out: &mut Vec<u8>, value: u64) {
    match value {
        0 => out.push(b'0'),
        value => push_hex(out, value),
    }
}

pub(super) fn push_comment(out: &mut Vec<u8>, comment: &str) {
    out.extend_from_slice(b" /* ");
    out.extend_from_slice(comment.as_bytes());
    out.extend_from_slice(b" */");
}

/// At least three digits.
pub(super) fn push_octal_padded(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(match value {
        0 => b"00",
        1..8 => b"0",
        _ => b"",
    });
    push_octal(out, value);
}

/// Between what stands behind `start`.
fn push_bar(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b'|');
    }
}

/// Bits as names, what has none as a number; true if there was any name.
fn flags(out: &mut Vec<u8>, bits: u64, set: &Set) -> bool {
    let start = out.len();
    let mut left = bits;
    let mut named = false;
    // Whether bits of these names have been shown, which explain those without a name:
    // values in front of other names do not.
    let mut explained = false;
    let join = |out: &mut Vec<u8>, text: &str| {
        push_bar(out, start);
        out.extend_from_slice(text.as_bytes());
    };
    for (mask, values) in set.first {
        explained |= values.unknown == set.unknown;
        match values.name(bits & mask) {
            Some(name) => {
                join(out, name);
                left &= !mask;
                named = true;
            }
            None if bits & mask != 0 => {
                join(out, &format!("{:#x} /* {} */", bits & mask, values.unknown));
                left &= !mask;
            }
            None => {}
        }
    }
    if bits == 0
        && set.first.is_empty()
        && let Some(name) = set.name(0)
    {
        out.extend_from_slice(name.as_bytes());
        return true;
    }
    for (value, name) in set.each() {
        if value != 0 && left & value == value {
            join(out, name);
            left &= !value;
            named = true;
            explained = true;
        }
    }
    let behind = set.last.iter().fold(0, |all, (mask, _)| all | mask);
    left &= !behind;
    if left != 0 {
        push_bar(out, start);
        push_hex(out, left);
        if !explained && !set.unknown.is_empty() {
            push_comment(out, set.unknown);
        }
    }
    for (mask, values) in set.last {
        let value = bits & mask;
        match values.name(value) {
            _ if value == 0 => {}
            Some(name) => {
                join(out, name);
                named = true;
            }
            None => join(out, &format!("{value}")),
        }
    }
    if out.len() == start {
        out.push(b'0');
    }
    named
}

/// `[INT TERM]`, or `~[KILL STOP]` where most are in.
pub(super) fn push_signals(out: &mut Vec<u8>, set: u64, names: Names) {
    // Two thirds of all.
    let most = set.count_ones() >= 64 * 2 / 3;
    let shown = if most { !set } else { set };
    if most {
        out.push(b'~');
    }
    out.push(b'[');
    let mut first = true;
    for number in (1..=64).filter(|number| shown >> (number - 1) & 1 != 0) {
        if !core::mem::replace(&mut first, false) {
            out.push(b' ');
        }
        let name = signal::name(number).filter(|_| names != Names::Raw);
        let name = name.map(|name| name.strip_prefix("SIG").unwrap_or(name));
        match name {
            Some(name) if names == Names::Abbrev => out.extend_from_slice(name.as_bytes()),
            Some(name) => {
                push_decimal(out, number.into());
                push_comment(out, name);
            }
            None => push_decimal(out, number.into()),
        }
    }
    out.push(b']');
}

/// As the macros of wait(2) take it apart.
pub(super) fn push_wait_status(out: &mut Vec<u8>, status: u32) {
    let signal = |number: u32| match signal::name(number) {
        Some(name) => String::from(name),
        None => format!("{number}"),
    };
    let event = status >> 16;
    let code = status >> 8 & 0xff;
    let end = status & 0x7f;
    let mut text = if status == 0xffff {
        String::from("{WIFCONTINUED(s)}")
    } else if status & 0xff == 0x7f {
        let stopped = match code & 0x80 {
            0 => signal(code),
            _ => format!("{} | 0x80", signal(code & 0x7f)),
        };
        format!("{{WIFSTOPPED(s) && WSTOPSIG(s) == {stopped}}}")
    } else if end == 0 {
        format!("{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}")
    } else {
        let core = if status & 0x80 == 0 {
            ""
        } else {
            " && WCOREDUMP(s)"
        };
        format!("{{WIFSIGNALED(s) && WTERMSIG(s) == {}{core}}}", signal(end))
    };
    let event = match event {
        _ if status & 0xff != 0x7f => 0,
        event => event,
    };
    match event {
        0 => {}
        1..=7 | 128 => {
            let name = match event {
                1 => "FORK",
                2 => "VFORK",
                3 => "CLONE",
                4 => "EXEC",
                5 => "VFORK_DONE",
                6 => "EXIT",
                7 => "SECCOMP",
                _ => "STOP",
            };
            text.push_str(&format!("|PTRACE_EVENT_{name}<<16"));
        }
        event => text.push_str(&format!("|{event}<<16")),
    }
    out.extend_from_slice(text.as_bytes());
}
