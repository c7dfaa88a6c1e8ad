//! Why a plugin failed, in words for its user.

use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::limits::Refusal;
use super::seat::Seat;
use crate::output::escape;
use crate::session::PluginFailure;

/// What ended a plugin.
#[derive(Debug)]
pub(crate) enum Cause {
    /// `run` returned this error.
    Returned(String),
    /// A trap, or an error of an import.
    Trapped(wasmtime::Error),
    /// It waits for something that nobody here provides.
    Stranded,
    /// An import of ours panicked.
    HostPanicked,
}

/// The status that the guest asked WASI to exit with.
pub(crate) fn exit_code(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

pub(crate) fn explain(seat: &Seat, refused: Option<Refusal>, cause: Cause) -> PluginFailure {
    let name = seat.name.clone();
    let (message, backtrace) = match cause {
        Cause::Returned(text) if text.trim().is_empty() => {
            ("it returned an error without a text".to_owned(), None)
        }
        Cause::Returned(text) => (text, None),
        Cause::Stranded => (
            "it waits in WASI for something that never comes; \
             to wait for a time, use the timeout of client.next"
                .to_owned(),
            None,
        ),
        Cause::HostPanicked => (
            "an error in pai-host, please report it with the lines above".to_owned(),
            None,
        ),
        Cause::Trapped(error) => {
            let message = trap_message(seat, refused, &error);
            let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames);
            (message, backtrace)
        }
    };
    PluginFailure {
        name,
        message: escape(&message).into_owned(),
        backtrace,
    }
}

fn trap_message(seat: &Seat, refused: Option<Refusal>, error: &wasmtime::Error) -> String {
    if let Some(code) = exit_code(error) {
        return format!("it exited with status {code}");
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return error.root_cause().to_string();
    };
    match (trap, refused) {
        // An allocation that fails is followed by an abort, at once or when it
        // unwraps. Trap codes do not tell.
        (Trap::UnreachableCodeReached, Some(Refusal::Memory)) => {
            format!("memory limit of {} reached", size(seat.limits.memory))
        }
        (Trap::UnreachableCodeReached, Some(Refusal::Table)) => "table limit reached".to_owned(),
        (Trap::UnreachableCodeReached, None) => {
            panic_message(&seat.last_words()).unwrap_or_else(|| "it aborted".to_owned())
        }
        (Trap::MemoryOutOfBounds, _) => {
            // Rust puts the stack at the bottom of the memory.
            "memory access out of bounds; perhaps its stack overflowed".to_owned()
        }
        (Trap::StackOverflow, _) => "stack overflow".to_owned(),
        (trap, _) => trap.to_string(),
    }
}

/// The message of the last panic: what Rust's own hook or the SDK's printed.
fn panic_message(words: &str) -> Option<String> {
    let start = words.rfind("panicked at ")?;
    let lines = words[start..]
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("note: "));
    let mut message = String::new();
    for line in lines {
        if !message.is_empty() {
            message.push(' ');
        }
        message.push_str(line.trim_end());
    }
    Some(message)
}

fn size(bytes: usize) -> String {
    match bytes {
        whole if whole >= 1 << 20 && whole % (1 << 20) == 0 => format!("{} MiB", whole >> 20),
        other => format!("{} KiB", other >> 10),
    }
}

/// The functions of a backtrace, innermost first, one per line.
fn frames(backtrace: &WasmBacktrace) -> String {
    let text = backtrace.to_string();
    let mut frames = String::new();
    // The first line says what it is. The others are `N: ADDRESS - NAME`.
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        if !frames.is_empty() {
            frames.push('\n');
        }
        frames.push_str(&escape(line.trim()));
    }
    frames
}

/// Tells the user at once: the session goes on without it.
pub(crate) fn tell(seat: &Seat, failure: &PluginFailure) {
    let mut text = format!("plugin {} failed: {}", failure.name, failure.message);
    for line in failure.backtrace.iter().flat_map(|frames| frames.lines()) {
        text.push_str("\n    ");
        text.push_str(line);
    }
    seat.notes.must(Some(&failure.name), &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_found_among_other_words() {
        let words = "starting\n\nthread '<unnamed>' (1) panicked at src/lib.rs:9:5:\nboom\n\
                     second line\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(
            panic_message(words).unwrap(),
            "panicked at src/lib.rs:9:5: boom second line"
        );
        assert_eq!(panic_message("nothing of that kind"), None);
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size((1 << 20) + (512 << 10)), "1536 KiB");
        assert_eq!(size(64 << 10), "64 KiB");
    }
}
