//! Values as strace(1) writes them.

use alloc::format;
use alloc::vec::Vec;

use super::captured::{Captured, When};
use super::schema::Look;
use super::value::{Bytes, Fields, Items, Value};

mod call;
mod descriptor;
mod macros;
mod named;
mod number;
mod quote;

use named::{push_comment, push_number, push_octal_padded, push_signals, push_wait_status};

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

/// Says more about a task: `<...>`.
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
    /// Knows what descriptors refer to (`-y`).
    pub descriptors: Option<Captured<'a>>,
    /// At which end of the call.
    pub when: When,
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
            Value::Signals(set) => push_signals(out, *set, self.names),
            Value::WaitStatus(status) => push_wait_status(out, *status),
            Value::Interface(index) => self.push_interface(out, *index),
            Value::Limit(limit) => self.push_limit(out, *limit),
            Value::One(value, set) => self.push_one(out, *value, set),
            Value::Flags(bits, set) => self.push_flags(out, *bits, set),
            Value::Named(number, name) => self.push_named(out, name, number.cast_signed()),
            Value::Parts(_, parts) => {
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.push(b'|');
                    }
                    self.push(out, part);
                }
            }
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
            Value::Call(name, args) => self.push_call(out, name, args),
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
                // What is told of termios is no place, as it is of others.
                let raw = self.names == Names::Raw && !told.starts_with("0x");
                if self.verbose || raw {
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
        let entry = Style {
            when: When::Enter,
            ..*self
        };
        entry.push(&mut one, before);
        let exit = Style {
            when: When::Exit,
            ..*self
        };
        exit.push(&mut other, after);
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
            Look::Colons => return self.push_colons(out, data),
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

    /// An address of a network card.
    fn push_colons(&self, out: &mut Vec<u8>, data: &[u8]) {
        if self.names != Names::Abbrev {
            quote::push_quoted(out, data, Hex::All);
        }
        match self.names {
            Names::Abbrev => quote::push_colons(out, data),
            Names::Raw => {}
            Names::Verbose => {
                out.extend_from_slice(b" /* ");
                quote::push_colons(out, data);
                out.extend_from_slice(b" */");
            }
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
        let known = self.descriptors.as_ref();
        if let Some(found) = known.and_then(|known| known.descriptor(fd, self.when)) {
            self.push_descriptor(out, &found);
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
            | Value::Parts(..)
            | Value::Named(..)
            | Value::To { .. }
    )
}
