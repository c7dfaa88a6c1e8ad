//! Values as JSON: all of a value, also what text leaves out.
//!
//! Every kind of value has one form:
//!
//! | value | JSON |
//! |---|---|
//! | number, descriptor, process, user, port, interface | `3`; `"0x20000000000001"` beyond 2^53, where readers with floating point lose digits |
//! | address | `"0x7ffe12345678"` |
//! | one of a set, signal, limit without end | `{"value":0,"name":"SEEK_SET"}`; the number if it has no name |
//! | flags | `{"value":577,"flags":["O_WRONLY","O_CREAT","O_TRUNC"]}`, with `"rest":64` for bits without a name |
//! | set of signals | `{"value":6,"signals":["SIGINT","SIGQUIT"]}` |
//! | mode of a file | `{"value":33188,"type":"S_IFREG"}`; the number if it has no type |
//! | device | `{"major":8,"minor":1}` |
//! | wait status | `{"value":256,"exited":1}`, `{"value":139,"killed":"SIGSEGV","core":true}`, `{"value":4991,"stopped":"SIGSTOP"}`, `{"value":65535,"continued":true}` |
//! | bytes | `{"text":"..."}` if they are UTF-8 and meant to be text, else `{"hex":"00ff"}`; `"more":true` if they are cut, with `"rest":"e2"` for a character that is cut |
//! | structure | `{"tv_sec":1,"tv_nsec":0}`, with `"more":true` if it goes on |
//! | array | `[1,2]`; `{"items":[1,2],"more":true}` if it goes on, with `"unreadable":"0x..."` if that is not there |
//! | how many there are, of what is not read | `{"count":5}`, with `"more":true` if the end was not found |
//! | before and after the call | `{"before":0,"after":1}` |
//! | something with a comment | `{"value":1700000000,"comment":"2023-11-14T22:13:20+0000"}` |
//! | address of IP | `"127.0.0.1"`, `"::1"` |
//! | something with a title | `{"left":...}` |
//! | another call's notation | `{"call":"makedev","args":[8,1]}` |
//! | text as it is | `"..."` |
//!
//! Fields that have no name of their own are called by their places, `#2`.
//!
//! What a pointer leads to stands for the pointer; of an argument, the address is beside
//! it ([`push_argument`]). An address says that nothing is there, or nothing of
//! interest.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::signal;

use super::read::{Argument, Decoded};
use super::schema::{Look, Set};
use super::value::{Bytes, Field, Fields, Items, Value, file_type, major_minor};

/// Appends a value.
pub fn push(out: &mut String, value: &Value) {
    match value {
        Value::Signed(number) => push_signed(out, *number),
        Value::Unsigned(number) | Value::Hex(number) | Value::Octal(number) => {
            push_number(out, *number);
        }
        Value::Address(addr) => push_text(out, &format!("{addr:#x}")),
        Value::Fd(number) | Value::Pid(number) => push_signed(out, (*number).into()),
        Value::Uid(number) | Value::Interface(number) => push_number(out, (*number).into()),
        Value::Mode(mode) => push_mode(out, *mode),
        Value::Device(device) => {
            let (major, minor) = major_minor(*device);
            out.push_str(&format!("{{\"major\":{major},\"minor\":{minor}}}"));
        }
        Value::Signal(number) => push_named(out, (*number).into(), signal_name(*number)),
        Value::Signals(set) => push_signals(out, *set),
        Value::WaitStatus(status) => push_wait_status(out, *status),
        Value::Limit(limit) => {
            let name = (*limit == u64::MAX).then_some("RLIM64_INFINITY");
            push_named(out, *limit, name);
        }
        Value::One(number, set) => push_named(out, *number, set.name(*number)),
        Value::Flags(bits, set) => push_flags(out, *bits, set),
        Value::Named(number, name) => push_named(out, *number, Some(name)),
        Value::Parts(number, _) => {
            let mut name = Vec::new();
            super::text::Style::default().push(&mut name, value);
            push_named(out, *number, Some(&String::from_utf8_lossy(&name)));
        }
        Value::Bytes(bytes) => push_bytes(out, bytes),
        Value::Struct(fields) | Value::Table(fields) | Value::List(fields) => {
            push_fields(out, fields);
        }
        Value::Descriptors(fds) => push_list(out, fds, |out, fd| push_signed(out, (*fd).into())),
        Value::Titled(title, value) => {
            out.push('{');
            push_text(out, title);
            out.push(':');
            push(out, value);
            out.push('}');
        }
        Value::Array(items) => push_items(out, items),
        Value::Numbers(numbers) => {
            push_list(out, numbers, |out, number| {
                push_number(out, (*number).into())
            });
        }
        Value::To { value, .. } | Value::Told(value, _) => push(out, value),
        Value::Changed { before, after, .. } => {
            out.push_str("{\"before\":");
            push(out, before);
            out.push_str(",\"after\":");
            push(out, after);
            out.push('}');
        }
        Value::Counted { items, count, .. } => {
            if items.items.is_empty() && *count > 0 {
                out.push_str(&format!("{{\"count\":{count}"));
                out.push_str(if items.missing {
                    ",\"more\":true}"
                } else {
                    "}"
                });
            } else {
                push_items(out, items);
            }
        }
        Value::Call(name, args) => push_call(out, name, args),
        Value::Plain(text) => push_text(out, text),
        Value::Comment(value, comment) => {
            out.push_str("{\"value\":");
            push(out, value);
            out.push_str(",\"comment\":");
            push_text(out, comment);
            out.push('}');
        }
    }
}

/// Appends `{"name":"filename","raw":"0x7ffe12345678","value":{"text":"/etc/passwd"}}`.
pub fn push_argument(out: &mut String, arg: &Argument) {
    out.push_str("{\"name\":");
    push_text(out, arg.name);
    out.push_str(&format!(",\"raw\":\"{:#x}\",\"value\":", arg.raw));
    push(out, &arg.value);
    out.push('}');
}

/// Appends the arguments of a call as an array.
pub fn push_arguments(out: &mut String, decoded: &Decoded) {
    push_list(out, &decoded.args, push_argument);
}

/// Appends a call as an object with the keys `syscall`, `args`, and, if there are such,
/// `result` and `note`.
pub fn push_decoded(out: &mut String, decoded: &Decoded) {
    out.push_str("{\"syscall\":");
    push_text(out, decoded.call.name);
    out.push_str(",\"args\":");
    push_arguments(out, decoded);
    for (key, value) in [("result", &decoded.ret), ("note", &decoded.note)] {
        if let Some(value) = value {
            out.push_str(&format!(",\"{key}\":"));
            push(out, value);
        }
    }
    out.push('}');
}

/// Appends a text, quoted and escaped.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Up to here every whole number is a double.
const EXACT: u64 = 1 << 53;

fn push_number(out: &mut String, number: u64) {
    out.push_str(&match number {
        0..=EXACT => number.to_string(),
        _ => format!("\"{number:#x}\""),
    });
}

fn push_signed(out: &mut String, number: i64) {
    if number < 0 {
        let magnitude = number.unsigned_abs();
        out.push_str(&match magnitude {
            0..=EXACT => format!("-{magnitude}"),
            _ => format!("\"-{magnitude:#x}\""),
        });
    } else {
        push_number(out, number.unsigned_abs());
    }
}

/// A list of texts, or of anything else.
fn push_list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

fn push_named(out: &mut String, number: u64, name: Option<&str>) {
    let Some(name) = name else {
        return push_number(out, number);
    };
    out.push_str("{\"value\":");
    push_number(out, number);
    out.push_str(",\"name\":");
    push_text(out, name);
    out.push('}');
}

fn push_flags(out: &mut String, bits: u64, set: &Set) {
    let (names, rest) = set.split(bits);
    out.push_str("{\"value\":");
    push_number(out, bits);
    out.push_str(",\"flags\":");
    push_list(out, names, push_text);
    if rest != 0 {
        out.push_str(",\"rest\":");
        push_number(out, rest);
    }
    out.push('}');
}

fn push_mode(out: &mut String, mode: u32) {
    let Some(name) = file_type(mode) else {
        return push_number(out, mode.into());
    };
    out.push_str(&format!("{{\"value\":{mode},\"type\":\"{name}\"}}"));
}

fn signal_name(number: u32) -> Option<&'static str> {
    signal::name(number).filter(|_| number != 0)
}

/// A signal as its name only; its number if it has none.
fn push_signal(out: &mut String, number: u32) {
    match signal_name(number) {
        Some(name) => push_text(out, name),
        None => push_number(out, number.into()),
    }
}

fn push_signals(out: &mut String, set: u64) {
    out.push_str("{\"value\":");
    push_number(out, set);
    out.push_str(",\"signals\":");
    let members = (1..=64).filter(|number| set >> (number - 1) & 1 != 0);
    push_list(out, members, push_signal);
    out.push('}');
}

/// As the macros of wait(2) take it apart.
fn push_wait_status(out: &mut String, status: u32) {
    out.push_str(&format!("{{\"value\":{status},"));
    let code = status >> 8 & 0xff;
    if status == 0xffff {
        out.push_str("\"continued\":true");
    } else if status & 0xff == 0x7f {
        out.push_str("\"stopped\":");
        push_signal(out, code & 0x7f);
    } else if status & 0x7f == 0 {
        out.push_str(&format!("\"exited\":{code}"));
    } else {
        out.push_str("\"killed\":");
        push_signal(out, status & 0x7f);
        out.push_str(&format!(",\"core\":{}", status & 0x80 != 0));
    }
    out.push('}');
}

fn push_bytes(out: &mut String, bytes: &Bytes) {
    let (text, rest) = match core::str::from_utf8(&bytes.data) {
        _ if matches!(bytes.look, Look::Hex | Look::Each | Look::Colons) => (None, &[][..]),
        Ok(text) => (Some(text), &[][..]),
        // A character that is not finished, where there are more bytes.
        Err(error) if bytes.more && error.error_len().is_none() => {
            let (text, rest) = bytes.data.split_at(error.valid_up_to());
            (core::str::from_utf8(text).ok(), rest)
        }
        Err(_) => (None, &[][..]),
    };
    match text {
        Some(text) => {
            out.push_str("{\"text\":");
            push_text(out, text);
        }
        None => {
            out.push_str("{\"hex\":");
            push_digits(out, &bytes.data);
        }
    }
    if !rest.is_empty() {
        out.push_str(",\"rest\":");
        push_digits(out, rest);
    }
    if bytes.more {
        out.push_str(",\"more\":true");
    }
    out.push('}');
}

fn push_digits(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    out.push('"');
}

/// A field without a name, or with one that was there, is called by its place.
fn push_fields(out: &mut String, fields: &Fields) {
    out.push('{');
    for (place, field) in fields.fields.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        let name = name_of(field);
        let earlier = &fields.fields[..place];
        if name.is_empty() || earlier.iter().any(|other| name_of(other) == name) {
            out.push_str(&format!("\"#{place}\""));
        } else {
            push_text(out, name);
        }
        out.push(':');
        push(out, &field.value);
    }
    if fields.more {
        if !fields.fields.is_empty() {
            out.push(',');
        }
        out.push_str("\"more\":true");
    }
    out.push('}');
}

/// A call that fills a field says which: `inet_pton(AF_INET6, "::1", &sin6_addr)`.
fn name_of(field: &Field) -> &str {
    if let ("", Value::Call(_, args)) = (field.name, &field.value)
        && let Some(Value::Plain(target)) = args.last()
    {
        return target.strip_prefix('&').unwrap_or(target);
    }
    field.name
}

fn push_items(out: &mut String, items: &Items) {
    let Some(next) = items.more else {
        return push_list(out, &items.items, push);
    };
    out.push_str("{\"items\":");
    push_list(out, &items.items, push);
    out.push_str(",\"more\":true");
    if items.missing {
        out.push_str(&format!(",\"unreadable\":\"{next:#x}\""));
    }
    out.push('}');
}

/// A number in network byte order is that number, an address of IP its text.
fn push_call(out: &mut String, name: &str, args: &[Value]) {
    match (name, args) {
        ("htons" | "htonl", [only]) => return push(out, only),
        ("inet_addr", [Value::Bytes(text)]) | ("inet_pton", [_, Value::Bytes(text), _]) => {
            return push_text(out, &String::from_utf8_lossy(&text.data));
        }
        _ => {}
    }
    out.push_str("{\"call\":");
    push_text(out, name);
    out.push_str(",\"args\":");
    push_list(out, args, push);
    out.push('}');
}

#[cfg(test)]
mod tests;
