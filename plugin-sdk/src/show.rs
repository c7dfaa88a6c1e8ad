//! What happened, in words for people.

use crate::bindings::pai::plugin::types::ExitStatus;
use crate::names;

/// How a process ended: `exited with 0`, `killed by SIGKILL`.
pub fn ending(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("exited with {code}"),
        ExitStatus::Killed((signal, core)) => {
            let name = names::signal(*signal).unwrap_or_else(|| signal.to_string().into());
            let core = if *core { " (core dumped)" } else { "" };
            format!("killed by {name}{core}")
        }
        ExitStatus::Other(text) => text.clone(),
    }
}

/// Nanoseconds as `1.234 s`.
pub fn seconds(nanos: u64) -> String {
    format!(
        "{}.{:03} s",
        nanos / 1_000_000_000,
        nanos / 1_000_000 % 1000
    )
}

/// A command as one could type it into a shell.
pub fn command_line(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|arg| word(arg)).collect();
    words.join(" ")
}

/// A word for a shell; control characters are escaped so that what the target
/// calls itself cannot play tricks on a terminal.
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(char::is_control) {
        let escaped: String = word
            .chars()
            .map(|c| match c {
                '\n' => "\\n".to_owned(),
                '\t' => "\\t".to_owned(),
                '\'' => "\\'".to_owned(),
                '\\' => "\\\\".to_owned(),
                c if c.is_control() && c.is_ascii() => format!("\\x{:02x}", c as u32),
                c if c.is_control() => format!("\\u{:04x}", c as u32),
                c => c.to_string(),
            })
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (plain, quoted) in [
            ("ls", "ls"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("a\nb", "$'a\\nb'"),
            ("\u{1b}[31m", "$'\\x1b[31m'"),
            ("\u{9b}", "$'\\u009b'"),
        ] {
            assert_eq!(word(plain), quoted);
        }
        assert_eq!(
            command_line(&["sh".into(), "-c".into(), "a; b".into()]),
            "sh -c 'a; b'"
        );
    }

    #[test]
    fn times_are_milliseconds() {
        assert_eq!(seconds(1_234_567_890), "1.234 s");
    }
}
