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
