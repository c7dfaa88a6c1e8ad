//! Signal numbers.

use std::fmt;

/// A signal by number, real-time ones included.
///
/// A plain number on purpose: `nix::sys::signal::Signal` has no real-time
/// signals, so a tracer built on it loses them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// SIGINT.
    pub const INT: Self = Self(libc::SIGINT);
    /// SIGQUIT.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// SIGTERM.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGTRAP.
    pub const TRAP: Self = Self(libc::SIGTRAP);
    /// SIGCONT.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// SIGSTOP.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// SIGTSTP.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// SIGTTIN.
    pub const TTIN: Self = Self(libc::SIGTTIN);
    /// SIGTTOU.
    pub const TTOU: Self = Self(libc::SIGTTOU);

    /// The signal with this number, 1 to 64 (signal(7); `_NSIG` in the kernel's
    /// asm/signal.h).
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 && number <= 64 {
            Some(Self(number))
        } else {
            None
        }
    }

    pub(crate) const fn from_kernel(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Its bit in a kernel signal mask (/proc/PID/status `Sig*` lines).
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// Whether its si_addr is that of an instruction: SIGILL, SIGTRAP, SIGFPE
    /// (sigaction(2)).
    pub const fn is_about_an_instruction(self) -> bool {
        matches!(self.0, libc::SIGILL | libc::SIGTRAP | libc::SIGFPE)
    }

    /// Whether it ends a process that has no handler for it (signal(7), "Standard
    /// signals"): neither ignored, nor a stop or SIGCONT.
    pub const fn ends_by_default(self) -> bool {
        !self.stops()
            && !matches!(
                self.0,
                libc::SIGCHLD | libc::SIGCONT | libc::SIGURG | libc::SIGWINCH
            )
    }

    /// SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU: what a group-stop can carry
    /// (ptrace(2), "Group-stop").
    pub const fn stops(self) -> bool {
        matches!(
            self.0,
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({})", self.0)
    }
}
