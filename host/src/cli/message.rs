//! What the user is told: one line of what happened, one of what to do.
//!
//! Standard error may be closed, full or gone; nothing here fails because of
//! that.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use nix::errno::Errno;
use pai_host::output::OwnStderr;

use crate::exit::{Code, Exit};

/// Why a command ends before its work is done.
#[derive(Debug)]
pub(crate) enum Halt {
    /// All is said, help for example; the exit status.
    Said(u8),
    /// It failed.
    Failed {
        /// Exit status.
        code: u8,
        /// One line; more only from the command line parser.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
}

impl Halt {
    /// A failure of pai-host or of how it was called.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Halt::Failed {
            code: Code::HOST,
            message: message.into(),
            help: None,
        }
    }

    /// With a line of what to do about it.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        if let Halt::Failed { help, .. } = &mut self {
            *help = Some(text.into());
        }
        self
    }

    /// With another exit status than 125.
    pub(crate) fn code(mut self, status: u8) -> Self {
        if let Halt::Failed { code, .. } = &mut self {
            *code = status;
        }
        self
    }

    /// Says it, and how to end.
    pub(crate) fn report(self) -> Exit {
        match self {
            Halt::Said(code) => Exit::Code(code),
            Halt::Failed {
                code,
                message,
                help,
            } => {
                error(&message, help.as_deref());
                Exit::Code(code)
            }
        }
    }
}

impl From<pai_host::plugin::LoadError> for Halt {
    fn from(error: pai_host::plugin::LoadError) -> Self {
        let halt = Halt::failed(error.to_string());
        match error.help() {
            Some(help) => halt.help(help),
            None => halt,
        }
    }
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Says what failed.
pub(crate) fn error(message: &str, help: Option<&str>) {
    say(ERROR, message, help);
}

/// Says what does not stop anything.
pub(crate) fn warning(message: &str, help: Option<&str>) {
    say(WARNING, message, help);
}

fn say(style: Style, message: &str, help: Option<&str>) {
    let mut text = format!("{style}pai-host:{style:#} {}\n", escape(message.trim_end()));
    if let Some(help) = help {
        text.push_str(&format!("{HELP}help:{HELP:#} {}\n", escape(help)));
    }
    if !has_colours() {
        text = anstream::adapter::strip_str(&text).to_string();
    }
    // In one piece, so that other writers do not get between.
    drop(OwnStderr.write_all(text.as_bytes()));
}

/// Whether standard error shows colours.
pub(crate) fn has_colours() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Plain text to standard error.
pub(crate) fn stderr(text: &str) {
    drop(OwnStderr.write_all(escape(text).as_bytes()));
}

/// What the user asked for, to standard output. Nobody reading on is no error.
///
/// # Errors
/// A full disk, for example.
pub(crate) fn stdout(text: &str) -> Result<(), Halt> {
    write_out(io::stdout().lock(), text)
}

/// The same for text with colours.
///
/// # Errors
/// As [`stdout`].
pub(crate) fn styled_stdout(text: &str) -> Result<(), Halt> {
    write_out(anstream::stdout().lock(), text)
}

fn write_out(mut out: impl Write, text: &str) -> Result<(), Halt> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Halt::failed(format!(
            "cannot write to standard output: {}",
            cause(&error)
        ))),
        _ => Ok(()),
    }
}

/// The words of the system for an error, without its number.
pub(crate) fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Makes text harmless for a terminal: names of files and processes, and texts
/// of plugins, may hold anything.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Lines of columns, each as wide as its widest cell; columns from `right` on
/// are set to the right.
pub(crate) fn table(rows: &[Vec<String>], right: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            if column < right {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("{cell:>width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(escape("a\x1b[2Jb\nc\td\r"), "a\\u{1b}[2Jb\nc\td\\r");
        assert_eq!(escape("grün"), "grün");
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "1000".to_owned()],
            vec!["ü".to_owned()],
        ];
        assert_eq!(table(&rows, 1), "a        1\nlong  1000\nü\n");
        assert_eq!(table(&rows, 2), "a     1\nlong  1000\nü\n");
    }
}
