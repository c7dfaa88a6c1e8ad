//! The guests are in `examples/`, one component each; see the comment at the
//! head of each. What they share is here.

use pai_plugin::{ExitStatus, SyscallEvent, names};

/// The name of a call.
pub fn name(call: &SyscallEvent) -> String {
    names::syscall(call.call).map_or_else(|| format!("syscall_{:#x}", call.call.nr), Into::into)
}

/// An exit status in few characters.
pub fn status(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("exit {code}"),
        ExitStatus::Killed((signal, _)) => format!("signal {signal}"),
        ExitStatus::Other(text) => text.clone(),
    }
}

/// What a fixture tells in a refused `getpriority`: a code and five numbers
/// (tests/fixtures/probe.h).
pub fn told(call: &SyscallEvent) -> Option<(u64, [u64; 5])> {
    let (code, a, b, c, d, e) = call.args;
    (0x1000..0x2000)
        .contains(&code)
        .then_some((code, [a, b, c, d, e]))
}

/// The value of an option as a number, also in hexadecimal.
pub fn number(name: &str) -> Option<u64> {
    let text = pai_plugin::options::get(name)?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
