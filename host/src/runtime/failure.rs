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
            let size = size(seat.limits.memory);
            format!("memory limit of {size} reached (--limit memory=SIZE allows more)")
        }
        (Trap::UnreachableCodeReached, Some(Refusal::Table)) => "table limit reached".to_owned(),
        (Trap::UnreachableCodeReached, None) => seat
            .panic_message()
            .unwrap_or_else(|| "it aborted".to_owned()),
        (Trap::MemoryOutOfBounds, _) => {
            // Rust puts the stack at the bottom of the memory.
            "memory access out of bounds; perhaps its stack overflowed".to_owned()
        }
        (Trap::StackOverflow, _) => "stack overflow".to_owned(),
        (trap, _) => trap.to_string(),
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        whole if whole >= 1 << 20 && whole % (1 << 20) == 0 => format!("{} MiB", whole >> 20),
        other => format!("{} KiB", other >> 10),
    }
}

/// The functions of a backtrace, innermost first, one per line.
fn frames(backtrace: &WasmBacktrace) -> String {
    // Only the whole backtrace can be printed with readable names: a line that
    // says what it is, then `N: ADDRESS - MODULE!FUNCTION` for each frame.
    let text = backtrace.to_string();
    let names: Vec<String> = text.lines().skip(1).filter_map(function).collect();
    let own = names.iter().position(|name| !is_machinery(name));
    let mut lines: Vec<String> = Vec::new();
    let mut repeated = 0;
    for pair in names[own.unwrap_or(0)..].windows(2) {
        if pair[0] == pair[1] {
            repeated += 1;
            continue;
        }
        lines.push(times(&pair[0], std::mem::take(&mut repeated)));
    }
    lines.extend(names.last().map(|last| times(last, repeated)));
    lines.join("\n")
}

fn times(name: &str, repeated: usize) -> String {
    match repeated {
        0 => name.to_owned(),
        more => format!("{name} (and {more} more)"),
    }
}

/// The name in one line of a backtrace, without what only linkers need.
fn function(line: &str) -> Option<String> {
    let (_, place) = line.split_once(" - ")?;
    let name = place.split_once('!').map_or(place, |(_, name)| name);
    let name = match name.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && is_hex(hash) => name,
        _ => name,
    };
    // Crates with their hashes: `std[d123b7a1a2ed1472]::process`.
    let mut short = String::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        short.push_str(before);
        match after.split_once(']') {
            Some((hash, behind)) if is_hex(hash) => rest = behind,
            _ => {
                short.push('[');
                rest = after;
            }
        }
    }
    short.push_str(rest);
    Some(escape(short.trim()).into_owned())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What Rust runs between a panic, or an allocation that failed, and the trap.
fn is_machinery(name: &str) -> bool {
    const FIRST: [&str; 5] = ["std::", "core::panicking", "alloc::", "__rustc::", "abort"];
    FIRST.iter().any(|first| name.starts_with(first))
}

/// Tells the user at once: the session goes on without it.
pub(crate) fn tell(seat: &Seat, failure: &PluginFailure) {
    let mut text = format!("plugin {} failed: {}", failure.name, failure.message);
    for line in failure.backtrace.iter().flat_map(|frames| frames.lines()) {
        text.push_str("\n    in ");
        text.push_str(line);
    }
    seat.notes.must(Some(&failure.name), &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_readable() {
        for (line, name) in [
            (
                "    0:   0x1f4f - x.wasm!demo::run::{{closure}}::h5a9efb5c628fa3cd",
                "demo::run::{{closure}}",
            ),
            (
                "   12: 0x1 - x.wasm!std[d123b7a1a2ed1472]::f::<core[12ab]::g, [u8; 4]>",
                "std::f::<core::g, [u8; 4]>",
            ),
            ("  1: 0x2 - run", "run"),
            ("  1: 0x2 - x!a[", "a["),
        ] {
            assert_eq!(function(line).as_deref(), Some(name), "{line}");
        }
        assert_eq!(function("nothing"), None);
        assert!(is_machinery("core::panicking::panic_fmt"));
        assert!(!is_machinery("core::slice::sort"));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size((1 << 20) + (512 << 10)), "1536 KiB");
        assert_eq!(size(64 << 10), "64 KiB");
    }
}
