//! Who called whom, as strace shows it.

use pai_plugin::decode::stack::{Frame, decode};
use pai_plugin::json::Object;

/// A line for each frame.
pub(crate) fn push(out: &mut Vec<u8>, frames: &[u8]) {
    for frame in decode(frames) {
        out.extend_from_slice(b" > ");
        if !frame.file.is_empty() {
            push_name(out, frame.file);
            out.push(b'(');
            if !frame.symbol.is_empty() {
                push_name(out, frame.symbol);
                out.extend_from_slice(format!("+{:#x}", frame.offset).as_bytes());
            }
            out.extend_from_slice(b") ");
        }
        out.extend_from_slice(format!("[{:#x}]\n", frame.in_file).as_bytes());
    }
}

/// As they are in the target, but for what could end the line or reach a terminal.
fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    let text = String::from_utf8_lossy(name);
    for letter in text.chars() {
        match letter {
            letter if letter.is_control() => out.extend(letter.escape_default().map(|c| c as u8)),
            letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The same as an array of objects.
pub(crate) fn json(frames: &[u8]) -> String {
    let mut out = String::from("[");
    for frame in decode(frames) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&object(&frame));
    }
    out.push(']');
    out
}

fn object(frame: &Frame<'_>) -> String {
    let mut object = Object::new().text("addr", &format!("{:#x}", frame.addr));
    if !frame.file.is_empty() {
        object = object
            .text("file", &String::from_utf8_lossy(frame.file))
            .text("in_file", &format!("{:#x}", frame.in_file));
    }
    if !frame.symbol.is_empty() {
        object = object
            .text("function", &String::from_utf8_lossy(frame.symbol))
            .number("offset", frame.offset);
    }
    object.end()
}

#[cfg(test)]
mod tests {
    use pai_plugin::decode::stack::encode;

    use super::*;

    #[test]
    fn a_frame_is_a_line() {
        let known = Frame {
            addr: 0x7f00_0000_1234,
            in_file: 0x1234,
            offset: 16,
            file: b"/lib/libc.so.6",
            symbol: b"read",
        };
        let nameless = Frame {
            symbol: b"",
            file: b"/a\nb",
            ..known
        };
        let nowhere = Frame {
            file: b"",
            symbol: b"",
            in_file: 0x7000,
            ..known
        };
        let mut frames = Vec::new();
        for frame in [known, nameless, nowhere] {
            encode(&mut frames, &frame);
        }
        let mut out = Vec::new();
        push(&mut out, &frames);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            " > /lib/libc.so.6(read+0x10) [0x1234]\n > /a\\nb() [0x1234]\n > [0x7000]\n"
        );
        assert_eq!(
            json(&frames),
            r#"[{"addr":"0x7f0000001234","file":"/lib/libc.so.6","in_file":"0x1234","function":"read","offset":16},{"addr":"0x7f0000001234","file":"/a\nb","in_file":"0x1234"},{"addr":"0x7f0000001234"}]"#
        );
    }
}
