//! Bytes in quotes. Nothing of a target reaches a terminal unescaped.

use alloc::vec::Vec;

use super::{Hex, push_hex};

pub(super) fn push_quoted(out: &mut Vec<u8>, data: &[u8], hex: Hex) {
    let hex = match hex {
        Hex::No => false,
        Hex::Odd => !data.iter().all(|byte| is_plain(*byte)),
        Hex::All => true,
    };
    out.push(b'"');
    if hex {
        for byte in data {
            push_hex_escape(out, *byte);
        }
    } else {
        push_escaped(out, data, &[]);
    }
    out.push(b'"');
}

/// Text without quotes around it, in which these bytes are escaped too.
pub fn push_escaped(out: &mut Vec<u8>, data: &[u8], also: &[u8]) {
    for (index, byte) in data.iter().enumerate() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x0b => out.extend_from_slice(b"\\v"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' if !also.contains(byte) => out.push(*byte),
            _ => {
                let next = data.get(index + 1);
                let full = next.is_some_and(|next| matches!(next, b'0'..=b'7'));
                push_octal_escape(out, *byte, full);
            }
        }
    }
}

/// `[0x12, 00]`
pub(super) fn push_each(out: &mut Vec<u8>, data: &[u8], more: bool) {
    out.push(b'[');
    for (index, byte) in data.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        match byte {
            0 => out.extend_from_slice(b"00"),
            byte => push_hex(out, (*byte).into()),
        }
    }
    if more {
        if !data.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"...");
    }
    out.push(b']');
}

/// `12:34:00`
pub(super) fn push_colons(out: &mut Vec<u8>, data: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (index, byte) in data.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn push_hex_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

/// As few digits as are clear, or three.
fn push_octal_escape(out: &mut Vec<u8>, byte: u8, full: bool) {
    out.push(b'\\');
    let digits = [byte >> 6, byte >> 3 & 7, byte & 7];
    let first = match digits {
        _ if full => 0,
        [0, 0, _] => 2,
        [0, ..] => 1,
        _ => 0,
    };
    out.extend(digits[first..].iter().map(|digit| b'0' + digit));
}
