//! How this program ends.

use std::process::ExitCode;

use pai_engine::ExitStatus;
use pai_host::session::Outcome;
use pai_ptrace::Signal;

/// The exit statuses of pai-host.
///
/// `run` otherwise ends as its target did: with the same exit status, or killed
/// by the same signal. `attach` ends with [`Code::SUCCESS`] when the trace is
/// over, whatever became of the processes.
pub(crate) enum Code {}

impl Code {
    /// Nothing went wrong.
    pub(crate) const SUCCESS: u8 = 0;
    /// `doctor`: something that tracing needs is missing.
    pub(crate) const UNFIT: u8 = 1;
    /// With `--strict`: a plugin failed, or output of one was lost.
    pub(crate) const STRICT: u8 = 120;
    /// pai-host itself failed or was called wrongly; every plugin failed, or one before the
    /// target ran.
    pub(crate) const HOST: u8 = 125;
    /// The command was found and cannot be executed.
    pub(crate) const CANNOT_EXECUTE: u8 = 126;
    /// The command was not found.
    pub(crate) const NOT_FOUND: u8 = 127;
}

/// The same for the help texts.
pub(crate) const HELP: &str = "\
Exit status:
  that of COMMAND; if a signal killed it, the same signal
  0    attach: the trace is over
  120  with --strict: a plugin failed, or output was lost
  125  pai-host failed or was called wrongly; every plugin failed, or one before the start
  126  COMMAND cannot be executed
  127  COMMAND was not found";

/// How this process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Code(u8),
    /// By this signal.
    Signal(Signal),
}

/// Whose end counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The program's that was started.
    Target,
    /// Only ours: the processes ran before and may run on.
    Ours,
}

impl Exit {
    /// After a session.
    pub(crate) fn after(outcome: &Outcome, whose: Whose, strict: bool) -> Self {
        // Nobody has seen anything of a target that was not let run.
        if let (Whose::Target, Some(signal), false) = (whose, outcome.interrupted, outcome.started)
        {
            return Exit::Signal(signal);
        }
        let failed = outcome.failures.len();
        if failed > 0 && (failed >= outcome.plugins || !outcome.started) {
            return Exit::Code(Code::HOST);
        }
        if strict && (failed > 0 || outcome.output_error.is_some()) {
            return Exit::Code(Code::STRICT);
        }
        match (whose, outcome.status) {
            (Whose::Target, Some(ExitStatus::Exited(code))) => Exit::Code(code),
            (Whose::Target, Some(ExitStatus::Killed(signal, _))) => Exit::Signal(signal),
            // A target that nobody saw end was let go on request.
            (Whose::Target, Some(ExitStatus::Superseded) | None) | (Whose::Ours, _) => {
                Exit::Code(Code::SUCCESS)
            }
        }
    }

    /// Ends like this: returns only when not by a signal.
    pub(crate) fn leave(self) -> ExitCode {
        match self {
            Exit::Code(code) => ExitCode::from(code),
            Exit::Signal(signal) => {
                pai_ptrace::die_by(signal);
                // Blocked, or we are pid 1 of a container: what shells say.
                ExitCode::from(self.shell_code())
            }
        }
    }

    /// The status as a shell shows it.
    fn shell_code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => u8::try_from(128 + signal.get()).unwrap_or(u8::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use pai_host::session::{PluginFailure, SessionStats};

    use super::*;

    fn outcome(status: Option<ExitStatus>, failures: usize) -> Outcome {
        let failure = PluginFailure {
            name: "demo".into(),
            message: "trap".into(),
            backtrace: None,
        };
        Outcome {
            status,
            started: true,
            interrupted: None,
            failures: vec![failure; failures],
            plugins: 2,
            output_error: None,
            stats: SessionStats::default(),
        }
    }

    const SEVEN: Option<ExitStatus> = Some(ExitStatus::Exited(7));

    #[test]
    fn the_target_decides() {
        let after = |status| Exit::after(&outcome(status, 0), Whose::Target, true);
        assert_eq!(after(SEVEN), Exit::Code(7));
        let killed = ExitStatus::Killed(Signal::TERM, false);
        assert_eq!(after(Some(killed)), Exit::Signal(Signal::TERM));
        assert_eq!(after(None), Exit::Code(0));
        assert_eq!(
            Exit::after(&outcome(SEVEN, 0), Whose::Ours, true),
            Exit::Code(0)
        );
    }

    #[test]
    fn failed_plugins_decide_when_asked_or_when_none_is_left() {
        let after =
            |failures, strict| Exit::after(&outcome(SEVEN, failures), Whose::Target, strict);
        assert_eq!(after(1, false), Exit::Code(7));
        assert_eq!(after(1, true), Exit::Code(120));
        assert_eq!(after(2, false), Exit::Code(125));
        assert_eq!(after(2, true), Exit::Code(125));
        let mut refused = outcome(None, 1);
        refused.started = false;
        assert_eq!(Exit::after(&refused, Whose::Target, false), Exit::Code(125));
        let mut lost = outcome(SEVEN, 0);
        lost.output_error = Some("disk full".into());
        assert_eq!(Exit::after(&lost, Whose::Target, false), Exit::Code(7));
        assert_eq!(Exit::after(&lost, Whose::Target, true), Exit::Code(120));
    }

    #[test]
    fn signals_have_the_numbers_of_shells() {
        let real_time = Signal::new(64).unwrap();
        assert_eq!(Exit::Signal(Signal::KILL).shell_code(), 137);
        assert_eq!(Exit::Signal(real_time).shell_code(), 192);
    }
}
