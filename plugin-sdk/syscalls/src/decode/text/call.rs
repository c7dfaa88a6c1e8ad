//! A call as one line: name, arguments, result.

use alloc::vec::Vec;

use crate::abi::Abi;
use crate::decode::read::{Argument, Decoded};
use crate::decode::schema::Numbers;
use crate::decode::{Value, When, describe, is_error};
use crate::errno;

use super::{Names, Style, push_decimal, push_hex, push_number};

impl Decoded {
    /// Its name, which is that of the call in it for ipc(2) and socketcall(2).
    pub fn push_name(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.call.name.as_bytes());
    }
}

impl Style<'_> {
    /// Arguments of these places, separated by commas.
    pub fn push_arguments(
        &self,
        out: &mut Vec<u8>,
        decoded: &Decoded,
        which: core::ops::Range<usize>,
    ) {
        let first = which.start;
        let args = decoded.args.get(which).unwrap_or_default();
        for (place, arg) in args.iter().enumerate() {
            if place > 0 {
                out.extend_from_slice(b", ");
            }
            let style = Style {
                when: decoded.when(first + place),
                ..*self
            };
            style.push_argument(out, arg, &arg.value);
        }
    }

    fn push_argument(&self, out: &mut Vec<u8>, arg: &Argument, value: &Value) {
        if arg.named || self.argument_names {
            out.extend_from_slice(arg.name.as_bytes());
            out.push(b'=');
        }
        self.push(out, value);
    }

    /// The arguments that are known when the call is made, and the comma in front of others.
    pub fn push_entry(&self, out: &mut Vec<u8>, decoded: &Decoded) {
        let known = decoded.known_at_entry;
        self.push_arguments(out, decoded, 0..known);
        if known > 0 && known < decoded.args.len() {
            out.extend_from_slice(b", ");
        }
        if let Some((before, _)) = Self::halves(decoded) {
            let style = Style {
                when: When::Enter,
                ..*self
            };
            style.push_argument(out, &decoded.args[known], before);
        }
    }

    /// The others.
    pub fn push_rest(&self, out: &mut Vec<u8>, decoded: &Decoded) {
        let mut known = decoded.known_at_entry;
        if let Some((_, after)) = Self::halves(decoded) {
            if let Some(after) = after {
                out.extend_from_slice(b" => ");
                let style = Style {
                    when: When::Exit,
                    ..*self
                };
                style.push(out, after);
            }
            known += 1;
            if known < decoded.args.len() {
                out.extend_from_slice(b", ");
            }
        }
        self.push_arguments(out, decoded, known..decoded.args.len());
    }

    /// What went in of an argument that is known in halves, and what has come out, if that
    /// is known.
    fn halves(decoded: &Decoded) -> Option<(&Value, Option<&Value>)> {
        let arg = decoded.args.get(decoded.known_at_entry)?;
        match &arg.value {
            _ if !decoded.halved => None,
            Value::Changed { before, after, .. } => Some((before, Some(after))),
            value => Some((value, None)),
        }
    }

    /// `= 3`, `= -1 ENOENT (No such file or directory)`, `= 0x8002 (flags O_RDWR)`.
    pub fn push_result(&self, out: &mut Vec<u8>, decoded: &Decoded, ret: i64) {
        out.extend_from_slice(b"= ");
        match &decoded.ret {
            _ if is_error(ret) => push_error(out, ret),
            Some(value) => {
                let style = Style {
                    when: When::Exit,
                    ..*self
                };
                style.push(out, value);
            }
            None => push_decimal(out, ret),
        }
        if let Some(note) = &decoded.note {
            self.push_note(out, decoded.call.name, note);
        }
    }
}

impl Style<'_> {
    /// ` (flags O_RDWR)`: names are what a note is there for, but for those of parts.
    fn push_note(&self, out: &mut Vec<u8>, call: &str, note: &Value) {
        let raw = self.names == Names::Raw;
        let names = match note {
            Value::Flags(_, set) if set.numbers == Numbers::Parts => self.names,
            Value::Flags(..) if raw && call != "prctl" => self.names,
            Value::Flags(..) | Value::Call(..) if raw => return,
            Value::Flags(..) | Value::One(..) | Value::Named(..) | Value::Signal(_) => {
                Names::Abbrev
            }
            // Those of a file, but not those of a descriptor.
            Value::Titled("flags", flags) if matches!(&**flags, Value::Flags(_, set) if !set.first.is_empty()) => {
                Names::Abbrev
            }
            _ => self.names,
        };
        out.extend_from_slice(b" (");
        match note {
            // The result is its number already.
            Value::Call(name, args) => self.push_as_call(out, name, args),
            // Descriptors are those of poll(2) and select(2), which the arguments have named.
            _ => {
                let style = Style {
                    names,
                    descriptors: None,
                    ..*self
                };
                style.push(out, note);
            }
        }
        out.push(b')');
    }
}

/// The name of a call, or its number.
pub fn push_name(out: &mut Vec<u8>, abi: Abi, number: u32) {
    match crate::name(abi, number) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"syscall_");
            push_hex(out, number.into());
        }
    }
}

/// The arguments that the kernel reads, as numbers; all six of a call that is not
/// known.
pub fn push_raw_arguments(out: &mut Vec<u8>, abi: Abi, number: u32, args: [u64; 6]) {
    let known = crate::argument_count(abi, number).map(usize::from);
    // What no kernel has any more reads nothing: then as many as it had.
    let known = known.or_else(|| Some(describe(abi, number)?.args.len()));
    for (place, arg) in args.into_iter().take(known.unwrap_or(6)).enumerate() {
        if place > 0 {
            out.extend_from_slice(b", ");
        }
        push_number(out, arg);
    }
}

/// `-1 ENOENT (No such file or directory)`
pub fn push_error(out: &mut Vec<u8>, ret: i64) {
    let number = u32::try_from(-ret).unwrap_or_default();
    match (errno::name(number), errno::description(number)) {
        (Some(name), Some(text)) => push_explained(out, b"-1 ", name, text),
        _ if let Some(name) = errno::internal_name(number) => {
            push_explained(out, b"-1 ", name, &alloc::format!("Unknown error {number}"));
        }
        _ => {
            out.extend_from_slice(b"-1 (errno ");
            push_decimal(out, -ret);
            out.push(b')');
        }
    }
}

/// `? ERESTARTSYS (To be restarted if SA_RESTART is set)`: the result of a call that
/// the kernel makes once more.
pub fn push_restart(out: &mut Vec<u8>, ret: i64) {
    let code = u32::try_from(ret.unsigned_abs()).unwrap_or_default();
    let text = match code {
        512 => "To be restarted if SA_RESTART is set",
        513 => "To be restarted",
        514 => "To be restarted if no handler",
        _ => "Interrupted by signal",
    };
    let name = errno::restart_name(code).unwrap_or("ERESTART");
    push_explained(out, b"? ", name, text);
}

fn push_explained(out: &mut Vec<u8>, before: &[u8], name: &str, text: &str) {
    out.extend_from_slice(before);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" (");
    out.extend_from_slice(text.as_bytes());
    out.push(b')');
}
