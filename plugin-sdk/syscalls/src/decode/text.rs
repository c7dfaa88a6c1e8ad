//! Values as strace(1) writes them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::signal;

use super::schema::{Look, Set};
use super::value::{Bytes, Fields, Items, Value, file_type, major_minor};

mod call;
mod number;
mod quote;

pub use call::{push_error, push_name, push_raw_arguments, push_restart};
pub use number::{push_decimal, push_hex, push_octal};
pub use quote::push_escaped;

/// Which bytes are shown in hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hex {
    /// None: others than letters are in octal digits.
    #[default]
    No,
    /// Others than letters.
    Escapes,
    /// All of a text that is not all letters (`-x`).
    Odd,
    /// All (`-xx`).
    All,
}

/// How names are shown (`-X`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// As numbers.
    Raw,
    /// As names.
    #[default]
    Abbrev,
    /// As numbers with names in comments.
    Verbose,
}

/// Says more about a file descriptor or a task: `<...>`.
pub type Tell<'a> = &'a dyn Fn(&mut Vec<u8>, i32);

/// Says the name of a network interface with this index, if there is one.
pub type NameInterface<'a> = &'a dyn Fn(&mut Vec<u8>, u32);

/// How values are written.
#[derive(Clone, Copy, Default)]
pub struct Style<'a> {
    /// Everything (`-v`).
    pub verbose: bool,
    /// Which bytes are in hexadecimal digits.
    pub hex: Hex,
    /// How names are shown.
    pub names: Names,
    /// All arguments have their names (`-N`).
    pub argument_names: bool,
    /// Says more about descriptors (`-y`).
    pub descriptor: Option<Tell<'a>>,
    /// Says more about processes and tasks (`-Y`).
    pub task: Option<Tell<'a>>,
    /// Knows network interfaces by name.
    pub interface: Option<NameInterface<'a>>,
}

impl core::fmt::Debug for Style<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Style")
            .field("verbose", &self.verbose)
            .field("hex", &self.hex)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Style<'_> {
    /// Writes a value.
    pub fn push(&self, out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Signed(number) => push_decimal(out, *number),
            Value::Unsigned(number) => number::push_unsigned(out, *number),
            Value::Hex(0) => out.push(b'0'),
            Value::Hex(number) => push_hex(out, *number),
            Value::Octal(number) => push_octal_padded(out, *number),
            Value::Address(0) => out.extend_from_slice(b"NULL"),
            Value::Address(addr) => push_hex(out, *addr),
            Value::Fd(fd) => self.push_fd(out, *fd),
            Value::Pid(pid) => {
                push_decimal(out, (*pid).into());
                if let Some(tell) = self.task {
                    tell(out, *pid);
                }
            }
            Value::Uid(u32::MAX) => out.extend_from_slice(b"-1"),
            Value::Uid(id) => number::push_unsigned(out, (*id).into()),
            Value::Mode(mode) => self.push_mode(out, *mode),
            Value::Device(device) => self.push_device(out, *device),
            Value::Signal(number) => self.push_signal(out, *number),
            Value::Signals(set) => push_signals(out, *set),
            Value::WaitStatus(status) => push_wait_status(out, *status),
            Value::Interface(index) => self.push_interface(out, *index),
            Value::Limit(limit) => self.push_limit(out, *limit),
            Value::One(value, set) => self.push_one(out, *value, set),
            Value::Flags(bits, set) => self.push_flags(out, *bits, set),
            Value::Named(number, name) => self.push_named(out, name, number.cast_signed()),
            Value::Bytes(bytes) => self.push_bytes(out, bytes),
            Value::Struct(fields) => self.push_fields(out, fields),
            Value::Table(fields) => self.push_table(out, fields),
            Value::Array(items) => self.push_items(out, items),
            Value::Numbers(numbers) => {
                out.push(b'[');
                for (index, number) in numbers.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    number::push_unsigned(out, (*number).into());
                }
                out.push(b']');
            }
            Value::To { value, .. } => self.push_target(out, value),
            Value::Changed {
                addr,
                before,
                after,
            } => self.push_changed(out, *addr, before, after),
            Value::Counted {
                addr,
                items,
                count,
                what,
            } => {
                if self.verbose && !(items.items.is_empty() && *count > 0) {
                    return self.push_items(out, items);
                }
                push_hex(out, *addr);
                let what = match what.strip_suffix('s') {
                    Some(one) if *count == 1 => one,
                    _ => what,
                };
                let end = if items.missing { ", unterminated" } else { "" };
                push_comment(out, &format!("{count} {what}{end}"));
            }
            Value::List(fields) => self.push_joined(out, fields, b' '),
            Value::Descriptors(fds) => {
                out.push(b'[');
                for (index, fd) in fds.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    self.push_fd(out, *fd);
                }
                out.push(b']');
            }
            Value::Call(name, args) => {
                out.extend_from_slice(name.as_bytes());
                out.push(b'(');
                self.push_list(out, args);
                out.push(b')');
            }
            Value::Titled(title, value) => {
                out.extend_from_slice(title.as_bytes());
                out.push(b' ');
                self.push(out, value);
            }
            Value::Plain(text) => out.extend_from_slice(text.as_bytes()),
            Value::Comment(value, comment) => {
                self.push(out, value);
                push_comment(out, comment);
            }
            Value::Told(value, told) => {
                if self.verbose || self.names == Names::Raw {
                    return self.push(out, value);
                }
                out.extend_from_slice(told.as_bytes());
            }
        }
    }

    /// What a pointer leads to: a number is in brackets.
    fn push_target(&self, out: &mut Vec<u8>, value: &Value) {
        let brackets = match value {
            Value::Comment(value, _) => is_number(value),
            value => is_number(value),
        };
        if brackets {
            out.push(b'[');
        }
        self.push(out, value);
        if brackets {
            out.push(b']');
        }
    }

    fn push_changed(&self, out: &mut Vec<u8>, addr: u64, before: &Value, after: &Value) {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        self.push(&mut one, before);
        self.push(&mut other, after);
        let brackets = addr != 0 && is_number(after);
        if brackets {
            out.push(b'[');
        }
        out.extend_from_slice(&one);
        if one != other {
            out.extend_from_slice(b" => ");
            out.extend_from_slice(&other);
        }
        if brackets {
            out.push(b']');
        }
    }

    fn push_list(&self, out: &mut Vec<u8>, values: &[Value]) {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            self.push(out, value);
        }
    }

    fn push_items(&self, out: &mut Vec<u8>, items: &Items) {
        out.push(b'[');
        self.push_list(out, &items.items);
        if let Some(next) = items.more {
            if !items.items.is_empty() {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"...");
            if items.missing {
                push_comment(out, &format!("{next:#x}"));
            }
        }
        out.push(b']');
    }

    fn push_fields(&self, out: &mut Vec<u8>, fields: &Fields) {
        out.push(b'{');
        self.push_joined(out, fields, b'=');
        out.push(b'}');
    }

    /// Fields, with this between names and values.
    fn push_joined(&self, out: &mut Vec<u8>, fields: &Fields, between: u8) {
        let mut first = true;
        let mut separate = |out: &mut Vec<u8>| {
            if !core::mem::replace(&mut first, false) {
                out.extend_from_slice(b", ");
            }
        };
        let mut hidden = fields.more;
        for field in &fields.fields {
            if field.verbose && !self.verbose {
                hidden = true;
                continue;
            }
            separate(out);
            if !field.name.is_empty() {
                out.extend_from_slice(field.name.as_bytes());
                out.push(between);
            }
            self.push(out, &field.value);
        }
        if hidden {
            separate(out);
            out.extend_from_slice(b"...");
        }
    }

    fn push_table(&self, out: &mut Vec<u8>, fields: &Fields) {
        out.push(b'[');
        for (index, field) in fields.fields.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            out.push(b'[');
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"]=");
            self.push(out, &field.value);
        }
        if fields.more {
            out.extend_from_slice(b", ...");
        }
        out.push(b']');
    }

    fn push_bytes(&self, out: &mut Vec<u8>, bytes: &Bytes) {
        let mut data = bytes.data.as_slice();
        let hex = match bytes.look {
            Look::Hex => Hex::All,
            Look::Text | Look::Terminated => self.hex,
            Look::SocketName => {
                if let Some(name) = data.strip_prefix(b"\0") {
                    out.push(b'@');
                    data = name;
                }
                self.hex
            }
            Look::Each => return quote::push_each(out, data, bytes.more),
            Look::Colons => return quote::push_colons(out, data),
        };
        let whole = match data.split_last() {
            Some((0, text)) if bytes.look == Look::Terminated => Some(text),
            _ => None,
        };
        quote::push_quoted(out, whole.unwrap_or(data), hex);
        if bytes.more && whole.is_none() {
            out.extend_from_slice(b"...");
        }
    }

    fn push_fd(&self, out: &mut Vec<u8>, fd: i32) {
        const AT_FDCWD: i32 = -100;
        if fd == AT_FDCWD {
            match self.names {
                Names::Abbrev => out.extend_from_slice(b"AT_FDCWD"),
                Names::Raw => push_decimal(out, fd.into()),
                Names::Verbose => {
                    push_decimal(out, fd.into());
                    push_comment(out, "AT_FDCWD");
                }
            }
        } else {
            push_decimal(out, fd.into());
        }
        if let Some(tell) = self.descriptor {
            tell(out, fd);
        }
    }

    /// A name, its number, or both.
    fn push_named(&self, out: &mut Vec<u8>, name: &str, value: i64) {
        match self.names {
            Names::Abbrev => out.extend_from_slice(name.as_bytes()),
            Names::Raw => push_number(out, value.cast_unsigned()),
            Names::Verbose => {
                push_number(out, value.cast_unsigned());
                push_comment(out, name);
            }
        }
    }

    fn push_one(&self, out: &mut Vec<u8>, value: u64, set: &Set) {
        match set.name(value) {
            Some(name) => self.push_named(out, name, value.cast_signed()),
            None => {
                push_number(out, value);
                if self.names != Names::Raw && !set.unknown.is_empty() {
                    push_comment(out, set.unknown);
                }
            }
        }
    }

    fn push_flags(&self, out: &mut Vec<u8>, bits: u64, set: &Set) {
        if self.names == Names::Raw {
            return push_number(out, bits);
        }
        let mut text = Vec::new();
        let named = flags(&mut text, bits, set);
        match (named, self.names) {
            (true, Names::Verbose) => {
                push_number(out, bits);
                out.extend_from_slice(b" /* ");
                out.extend_from_slice(&text);
                out.extend_from_slice(b" */");
            }
            _ => out.extend_from_slice(&text),
        }
    }

    fn push_mode(&self, out: &mut Vec<u8>, mode: u32) {
        let name = match file_type(mode) {
            _ if self.names == Names::Raw => return push_octal_padded(out, mode.into()),
            Some(name) => name,
            None if mode & 0o170_000 == 0 && mode & 0o7000 != 0 => "",
            None => return push_octal_padded(out, mode.into()),
        };
        let mut text = Vec::from(name.as_bytes());
        for (bit, name) in [
            (0o4000, "|S_ISUID"),
            (0o2000, "|S_ISGID"),
            (0o1000, "|S_ISVTX"),
        ] {
            if mode & bit != 0 {
                text.extend_from_slice(name.as_bytes());
            }
        }
        text.push(b'|');
        push_octal_padded(&mut text, (mode & 0o777).into());
        // One that has no type begins with the bar.
        let text = text.strip_prefix(b"|").unwrap_or(&text);
        if self.names == Names::Verbose {
            push_octal_padded(out, mode.into());
            out.extend_from_slice(b" /* ");
            out.extend_from_slice(text);
            out.extend_from_slice(b" */");
        } else {
            out.extend_from_slice(text);
        }
    }

    fn push_device(&self, out: &mut Vec<u8>, device: u64) {
        let (major, minor) = major_minor(device);
        let mut text = Vec::from(*b"makedev(");
        push_number(&mut text, major);
        text.extend_from_slice(b", ");
        push_number(&mut text, minor);
        text.push(b')');
        match self.names {
            Names::Raw => push_number(out, device),
            Names::Abbrev => out.extend_from_slice(&text),
            Names::Verbose => {
                push_number(out, device);
                out.extend_from_slice(b" /* ");
                out.extend_from_slice(&text);
                out.extend_from_slice(b" */");
            }
        }
    }

    fn push_signal(&self, out: &mut Vec<u8>, number: u32) {
        match signal::name(number).filter(|_| number != 0) {
            Some(name) => self.push_named(out, name, number.into()),
            None => push_decimal(out, number.cast_signed().into()),
        }
    }

    fn push_interface(&self, out: &mut Vec<u8>, index: u32) {
        // LOOPBACK_IFINDEX in the kernel's net/flow.h, in every network namespace.
        const LOOPBACK: u32 = 1;
        let mut name = Vec::new();
        if let Some(tell) = self.interface {
            tell(&mut name, index);
        }
        if name.is_empty() && index == LOOPBACK {
            name.extend_from_slice(b"lo");
        }
        if name.is_empty() || self.names == Names::Raw {
            return number::push_unsigned(out, index.into());
        }
        let mut text = Vec::from(*b"if_nametoindex(");
        quote::push_quoted(&mut text, &name, self.hex);
        text.push(b')');
        if self.names == Names::Verbose {
            number::push_unsigned(out, index.into());
            return push_comment(out, &String::from_utf8_lossy(&text));
        }
        out.extend_from_slice(&text);
    }

    fn push_limit(&self, out: &mut Vec<u8>, limit: u64) {
        let name = match limit {
            u64::MAX => "RLIM64_INFINITY".into(),
            limit if limit > 1024 && limit % 1024 == 0 => format!("{}*1024", limit / 1024),
            _ => String::new(),
        };
        if name.is_empty() || self.names != Names::Abbrev {
            number::push_unsigned(out, limit);
        }
        match self.names {
            Names::Abbrev => out.extend_from_slice(name.as_bytes()),
            Names::Verbose if !name.is_empty() => push_comment(out, &name),
            Names::Verbose | Names::Raw => {}
        }
    }
}

/// Whether a pointer to it is shown in brackets.
fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Hex(_)
            | Value::Octal(_)
            | Value::Address(_)
            | Value::Fd(_)
            | Value::Pid(_)
            | Value::Uid(_)
            | Value::Mode(_)
            | Value::Device(_)
            | Value::Signal(_)
            | Value::WaitStatus(_)
            | Value::Interface(_)
            | Value::Limit(_)
            | Value::One(..)
            | Value::Flags(..)
            | Value::Named(..)
            | Value::To { .. }
    )
}

/// `0`, or hexadecimal digits.
fn push_number(out: &mut Vec<u8>, value: u64) {
    match value {
        0 => out.push(b'0'),
        value => push_hex(out, value),
    }
}

fn push_comment(out: &mut Vec<u8>, comment: &str) {
    out.extend_from_slice(b" /* ");
    out.extend_from_slice(comment.as_bytes());
    out.extend_from_slice(b" */");
}

/// At least three digits.
fn push_octal_padded(out: &mut Vec<u8>, value: u64) {
    let digits = format!("0{value:o}");
    out.extend_from_slice(format!("{digits:0>3}").as_bytes());
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
        if out.len() > start {
            out.push(b'|');
        }
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
        join(out, &format!("{left:#x}"));
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
fn push_signals(out: &mut Vec<u8>, set: u64) {
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
        match signal::name(number) {
            Some(name) => {
                out.extend_from_slice(name.strip_prefix("SIG").unwrap_or(name).as_bytes())
            }
            None => push_decimal(out, number.into()),
        }
    }
    out.push(b']');
}

/// As the macros of wait(2) take it apart.
fn push_wait_status(out: &mut Vec<u8>, status: u32) {
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
