//! Text that was written by strangers, made fit for a terminal or a log.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// What a plugin emitted is not one JSON object.
#[derive(Debug, thiserror::Error)]
#[error("not one JSON object: {0}")]
pub struct NotAnObject(String);

/// Shows control characters other than newline and tab as escapes, so that text
/// cannot move the cursor, ring the bell or set the title of a terminal.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    let controls = |c: char| c.is_control() && c != '\n' && c != '\t';
    // Most text has none, and is passed on as it is.
    let Some(first) = text.find(controls) else {
        return Cow::Borrowed(text);
    };
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(&text[..first]);
    for c in text[first..].chars() {
        if controls(c) {
            escaped.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

/// Checks that this is one JSON object, and puts it on one line.
pub(super) fn json_object(json: &str) -> Result<Cow<'_, str>, NotAnObject> {
    let json = json.trim_matches([' ', '\t', '\n', '\r']);
    if !json.starts_with('{') {
        return Err(NotAnObject("it does not begin with a brace".to_owned()));
    }
    serde_json::from_str::<IgnoredAny>(json).map_err(|error| NotAnObject(error.to_string()))?;
    if json.contains(['\n', '\r']) {
        // Strings cannot contain them unescaped, so they are white space.
        return Ok(Cow::Owned(json.replace(['\n', '\r'], " ")));
    }
    Ok(Cow::Borrowed(json))
}

/// One line of structured output; `data` is a JSON object.
pub(super) fn json_line(plugin: Option<&str>, kind: &str, data: &str, terminal: bool) -> String {
    let mut line = String::with_capacity(data.len() + kind.len() + 64);
    line.push_str("{\"v\":1,\"plugin\":");
    match plugin {
        Some(name) => push_quoted(&mut line, name),
        None => line.push_str("null"),
    }
    line.push_str(",\"kind\":");
    push_quoted(&mut line, kind);
    line.push_str(",\"data\":");
    line.push_str(data);
    line.push('}');
    if terminal && line.contains(char::is_control) {
        line = escape_in_json(&line);
    }
    line.push('\n');
    line
}

fn push_quoted(line: &mut String, text: &str) {
    // Strings always have a JSON form.
    line.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Control characters that JSON allows in strings (DEL and U+0080 to U+009F)
/// as JSON escapes.
fn escape_in_json(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if c.is_control() && c != '\t' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_safe() {
        assert!(matches!(escape("plain\ttext ü\n"), Cow::Borrowed(_)));
        assert_eq!(escape("a\x1b[2Jb\r\x07"), "a\\x1b[2Jb\\x0d\\x07");
        assert_eq!(escape("\u{9b}31m\u{7f}"), "\\x9b31m\\x7f");
        assert_eq!(escape("\0\n"), "\\x00\n");
    }

    #[test]
    fn objects_are_told_from_everything_else() {
        for good in ["{}", " {\"a\": [1, {\"b\": null}]} \n", "{\"\u{9b}\":1}"] {
            assert!(json_object(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "1",
            "[{}]",
            "{",
            "{}{}",
            "{} x",
            "{a:1}",
            "{\"a\":\"\n\"}",
            "{\"a\":1,}",
            "null",
        ] {
            assert!(json_object(bad).is_err(), "{bad}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        drop(json_object(&deep));
    }

    #[test]
    fn lines_are_json_whatever_is_in_them() {
        let line = json_line(Some("x"), "a\"\n\u{9b}", "{\"b\":\"\u{9b}\u{7f}\"}", true);
        assert!(!line.trim_end().contains(char::is_control));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["kind"], "a\"\n\u{9b}");
        assert_eq!(value["data"]["b"], "\u{9b}\u{7f}");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
