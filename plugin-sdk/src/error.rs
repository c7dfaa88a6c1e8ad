//! What can go wrong, and what it is called.

use std::fmt;

pub use crate::bindings::pai::plugin::types::Error as ErrorKind;
use crate::bindings::pai::plugin::types::{Error as Wit, ExitStatus};
use crate::manifest::Capability;

/// `std::result::Result` with [`Error`] filled in.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call failed.
///
/// [`kind`](Error::kind) tells what to do about it; the `Display` text is for
/// humans. Returning one from the plugin's main function shows that text to the
/// user.
///
/// ```
/// use pai_plugin::{Error, ErrorKind};
///
/// let error = Error::from(ErrorKind::NoSuchTask(17));
/// assert_eq!(error.to_string(), "no task 17 in this session");
/// assert_eq!(Error::new("no input").to_string(), "no input");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Error(ErrorKind);

impl Error {
    /// An error of the plugin's own.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Wit::Other((String::new(), text.into())))
    }

    /// Which error it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0
    }

    /// True when a stop's task is gone, or the stop was answered for us.
    pub fn is_stale(&self) -> bool {
        matches!(self.0, Wit::StaleStop(_))
    }

    /// True when the task or the process is gone, or not held any more.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.0,
            Wit::StaleStop(_) | Wit::NoSuchTask(_) | Wit::NotStopped(_) | Wit::NoSuchProcess(_)
        )
    }

    /// True when the session is over and nothing more can be asked.
    pub fn is_ended(&self) -> bool {
        matches!(self.0, Wit::TargetExited(_))
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Wit::BadAddress(fault) => write!(
                f,
                "address {:#x} of process {} cannot be accessed",
                fault.addr, fault.pid
            ),
            Wit::NoSuchTask(tid) => write!(f, "no task {tid} in this session"),
            Wit::NoSuchProcess(pid) => write!(f, "no process {pid} in this session"),
            Wit::NotStopped(tid) => write!(f, "task {tid} is not held by this plugin"),
            Wit::StaleStop(stop) => {
                write!(f, "stop {stop} was answered before or its task is gone")
            }
            Wit::TargetExited(status) => write!(f, "the session is over: target {status}"),
            Wit::NotFound(what) => write!(f, "not found: {what}"),
            Wit::Invalid(why) => write!(f, "invalid: {why}"),
            Wit::Denied(capability) => match Capability::of(capability) {
                Some(known) => write!(
                    f,
                    "the plugin does not want the capability {capability}: \
                     add {known:?}(\"why\") to `wants` in plugin!"
                ),
                None => write!(f, "the plugin does not want the capability {capability}"),
            },
            Wit::Unsupported(what) => write!(f, "not supported: {what}"),
            Wit::Busy(what) => write!(f, "busy: {what}"),
            Wit::Interrupted => f.write_str("interrupted"),
            Wit::Timeout => f.write_str("timed out"),
            Wit::Signalled(signal) => write!(f, "what was called died of signal {signal}"),
            Wit::Limit(which) => write!(f, "limit reached: {which}"),
            Wit::Os(os) => write!(f, "{} failed with errno {}", os.operation, os.code),
            Wit::Internal(bug) => write!(
                f,
                "internal error of the host (report {}): {}",
                bug.report, bug.message
            ),
            Wit::Other((code, text)) if code.is_empty() => f.write_str(text),
            Wit::Other((code, text)) => write!(f, "{code}: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Killed((signal, false)) => write!(f, "killed by signal {signal}"),
            Self::Killed((signal, true)) => write!(f, "killed by signal {signal} (core dumped)"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::pai::plugin::types::{Fault, OsError};

    #[test]
    fn texts_are_lower_case_fragments() {
        let fault = Fault {
            pid: 7,
            addr: 0x10,
            done: 0,
        };
        for (kind, text) in [
            (
                Wit::BadAddress(fault),
                "address 0x10 of process 7 cannot be accessed",
            ),
            (
                Wit::Denied("memory-read".into()),
                "the plugin does not want the capability memory-read: \
                 add MemoryRead(\"why\") to `wants` in plugin!",
            ),
            (
                Wit::Denied("new".into()),
                "the plugin does not want the capability new",
            ),
            (
                Wit::TargetExited(ExitStatus::Killed((11, true))),
                "the session is over: target killed by signal 11 (core dumped)",
            ),
            (
                Wit::Os(OsError {
                    code: 3,
                    operation: "PTRACE_GETREGS".into(),
                }),
                "PTRACE_GETREGS failed with errno 3",
            ),
            (Wit::Other(("E1".into(), "odd".into())), "E1: odd"),
        ] {
            assert_eq!(Error::from(kind).to_string(), text);
        }
    }
}
