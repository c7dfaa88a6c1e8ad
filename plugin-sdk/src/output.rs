//! What the user of the plugin sees.

use std::cell::RefCell;
use std::fmt;

use crate::bindings::pai::plugin::types::{self, Tid};
use crate::bindings::pai::plugin::{log, output};
use crate::error::Result;

/// Bytes that the host takes at once.
const PIECE: usize = 1 << 20;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

#[doc(hidden)]
pub fn print_args(args: fmt::Arguments<'_>, newline: bool) {
    LINE.with_borrow_mut(|line| {
        line.clear();
        // Writing to a string fails only if a Display implementation does.
        if fmt::write(line, args).is_err() {
            line.push_str("(formatting failed)");
        }
        if newline {
            line.push('\n');
        }
        print(line);
    });
}

/// Prints text. What cannot be written (a closed pipe, a full disk) is the
/// host's business to report.
pub fn print(text: &str) {
    in_pieces(text, output::print);
}

/// Prints text about a task to a file of its own, which is wanted if [`separate`] says
/// so.
pub fn print_to(task: Tid, text: &str) {
    in_pieces(text, |piece| output::print_to(task, piece));
}

/// True when each task is to have a file of its own.
pub fn separate() -> bool {
    output::separate()
}

fn in_pieces(text: &str, print: impl Fn(&str) -> std::result::Result<(), types::Error>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        if let Err(error) = print(piece) {
            log::write(log::Level::Warn, &format!("not printed: {error:?}"));
        }
        rest = after;
    }
}

/// One structured record, a JSON object: a line with `--json`, else ignored.
///
/// # Errors
/// `invalid` when it is not one JSON object.
pub fn emit(kind: &str, json: &str) -> Result<()> {
    Ok(output::emit(kind, json)?)
}

/// True with `--json`.
pub fn structured() -> bool {
    output::structured()
}

/// Appends a JSON string, quoted and escaped.
pub fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    let digit = (c as u32 >> shift) & 0xf;
                    out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Panics go to the host's log; the trap that follows ends the plugin.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        log::write(log::Level::Error, &info.to_string());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        let mut out = String::new();
        push_json_string(&mut out, "a\"b\\\n\u{1}é");
        assert_eq!(out, "\"a\\\"b\\\\\\n\\u0001é\"");
    }
}
