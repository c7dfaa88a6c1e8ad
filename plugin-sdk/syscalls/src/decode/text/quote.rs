//! Bytes in quotes. Nothing of a target reaches a terminal unescaped.

use alloc::vec::Vec;

use super::{Hex, push_hex};

pub(super) fn push_quoted(out: &mut Vec<u8>, data: &[u8], hex: Hex) {
    let all = match hex {
        Hex::No | Hex::Escapes => false,
        Hex::Odd => !data.iter().all(|byte| is_plain(*byte)),
        Hex::All => true,
    };
    out.reserve(data.len() + 2);
    out.push(b'"');
    if all {
        for byte in data {
            push_hex_escape(out, *byte);
        }
    } else {
        push_escapes(out, data, &[], hex == Hex::Escapes);
    }
    out.push(b'"');
}

/// A name between angles, which it must not end early.
pub(super) fn push_path(out: &mut Vec<u8>, data: &[u8], hex: Hex) {
    match hex {
        Hex::Odd if data.iter().all(|byte| is_plain(*byte)) => {
            push_escapes(out, data, b"<>", false)
        }
        Hex::Odd | Hex::All => data.iter().for_each(|byte| push_hex_escape(out, *byte)),
        Hex::No | Hex::Escapes => push_escapes(out, data, b"<>", hex == Hex::Escapes),
    }
}

/// Text without quotes around it, in which these bytes are escaped too.
pub fn push_escaped(out: &mut Vec<u8>, data: &[u8], also: &[u8]) {
    push_escapes(out, data, also, false);
}

fn push_escapes(out: &mut Vec<u8>, data: &[u8], also: &[u8], hex: bool) {
    let mut rest = data;
    while let Some((byte, after)) = rest.split_first() {
        let how = |byte: u8| match HOW[usize::from(byte)] {
            AS_IT_IS if also.contains(&byte) => OCTAL,
            how => how,
        };
        match how(*byte) {
            // Most of it goes in one piece.
            AS_IT_IS => {
                let plain = |byte: &&u8| how(**byte) == AS_IT_IS;
                let (piece, after) = rest.split_at(rest.iter().take_while(plain).count());
                out.extend_from_slice(piece);
                rest = after;
                continue;
            }
            OCTAL if hex => push_hex_escape(out, *byte),
            OCTAL => push_octal_escape(out, *byte, matches!(after, [b'0'..=b'7', ..])),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = after;
    }
}

const AS_IT_IS: u8 = 0;
const OCTAL: u8 = 1;

/// For each byte one of those, or the letter behind a backslash.
static HOW: [u8; 256] = {
    let mut how = [OCTAL; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        how[byte as usize] = AS_IT_IS;
        byte += 1;
    }
    how[b'\n' as usize] = b'n';
    how[b'\t' as usize] = b't';
    how[b'\r' as usize] = b'r';
    how[0x0b] = b'v';
    how[0x0c] = b'f';
    how[b'"' as usize] = b'"';
    how[b'\\' as usize] = b'\\';
    how
};

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
    let all = [
        b'\\',
        b'0' + (byte >> 6),
        b'0' + (byte >> 3 & 7),
        b'0' + (byte & 7),
    ];
    match byte {
        0..8 if !full => out.extend_from_slice(&[b'\\', all[3]]),
        0..64 if !full => out.extend_from_slice(&[b'\\', all[2], all[3]]),
        _ => out.extend_from_slice(&all),
    }
}
