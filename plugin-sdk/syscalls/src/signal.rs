//! Signals: names, and the reasons that siginfo gives.
//!
//! Numbers are the kernel's (asm-generic/signal.h and its x86 twin agree), so
//! real-time signals start at 32. The C library keeps the first two or three for
//! itself and calls 34 or 35 `SIGRTMIN` (signal(7), "Real-time signals"); a
//! tracer sees those two as well and needs names for them.

use core::fmt;

/// Names indexed by number, as strace(1) prints them.
pub(crate) static NAMES: [&str; 65] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
    "SIGRTMIN",
    "SIGRT_1",
    "SIGRT_2",
    "SIGRT_3",
    "SIGRT_4",
    "SIGRT_5",
    "SIGRT_6",
    "SIGRT_7",
    "SIGRT_8",
    "SIGRT_9",
    "SIGRT_10",
    "SIGRT_11",
    "SIGRT_12",
    "SIGRT_13",
    "SIGRT_14",
    "SIGRT_15",
    "SIGRT_16",
    "SIGRT_17",
    "SIGRT_18",
    "SIGRT_19",
    "SIGRT_20",
    "SIGRT_21",
    "SIGRT_22",
    "SIGRT_23",
    "SIGRT_24",
    "SIGRT_25",
    "SIGRT_26",
    "SIGRT_27",
    "SIGRT_28",
    "SIGRT_29",
    "SIGRT_30",
    "SIGRT_31",
    "SIGRT_32",
];

/// Second names of a number (asm-generic/signal.h; `SIGCLD` is from signal(7)).
static ALIASES: [(&str, u32); 3] = [("IOT", 6), ("CLD", 17), ("POLL", 29)];

/// The name of a signal: `SIGHUP` for 1, `SIGRT_2` for the real-time signal 34.
#[must_use]
pub fn name(signal: u32) -> Option<&'static str> {
    let name = *NAMES.get(usize::try_from(signal).ok()?)?;
    (!name.is_empty()).then_some(name)
}

/// The number of a signal by its name, with or without `SIG`.
///
/// Understands what [`Name`] prints, that is `SIGRTMIN` for 32 and `SIGRT_2` for
/// 34, and the aliases `SIGIOT`, `SIGCLD` and `SIGPOLL`. The shell's
/// `SIGRTMIN+2` is refused, because there it counts from the C library's first
/// real-time signal. Numbers are not names.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    (1..)
        .zip(&NAMES[1..])
        .find_map(|(signal, known)| (known.strip_prefix("SIG") == Some(short)).then_some(signal))
        .or_else(|| {
            let alias = ALIASES.iter().find(|alias| alias.0 == short)?;
            Some(alias.1)
        })
}

/// Prints any signal number the way strace(1) does.
///
/// Standard signals by name, real-time ones as `SIGRTMIN` (32) and `SIGRT_1` to
/// `SIGRT_32` (33 to 64), anything else as a plain number.
///
/// ```
/// use pai_syscalls::signal::Name;
///
/// assert_eq!(format!("{}", Name(11)), "SIGSEGV");
/// assert_eq!(format!("{}", Name(34)), "SIGRT_2");
/// assert_eq!(format!("{}", Name(65)), "65");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(pub u32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match name(self.0) {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// The name of a signal's `si_code`: why it was sent.
///
/// Codes that are zero, negative or `SI_KERNEL` mean the same for every signal,
/// the others depend on it. A signal without codes of its own may carry those of
/// `SIGIO`, because `F_SETSIG` lets a program choose the signal (fcntl(2),
/// asm-generic/siginfo.h). `None` for the codes of ptrace(2) event stops, which
/// hold the event's number.
#[must_use]
pub const fn code_name(signal: u32, code: i32) -> Option<&'static str> {
    let name = match code {
        0 => "SI_USER",
        0x80 => "SI_KERNEL",
        -1 => "SI_QUEUE",
        -2 => "SI_TIMER",
        -3 => "SI_MESGQ",
        -4 => "SI_ASYNCIO",
        -5 => "SI_SIGIO",
        -6 => "SI_TKILL",
        -7 => "SI_DETHREAD",
        -60 => "SI_ASYNCNL",
        1.. => return specific_code_name(signal, code),
        _ => return None,
    };
    Some(name)
}

/// Codes whose meaning depends on the signal (asm-generic/siginfo.h, without
/// those reserved for ia64).
const fn specific_code_name(signal: u32, code: i32) -> Option<&'static str> {
    const ILL: u32 = 4;
    const TRAP: u32 = 5;
    const BUS: u32 = 7;
    const FPE: u32 = 8;
    const SEGV: u32 = 11;
    const CHLD: u32 = 17;
    const SYS: u32 = 31;
    let name = match (signal, code) {
        (ILL, 1) => "ILL_ILLOPC",
        (ILL, 2) => "ILL_ILLOPN",
        (ILL, 3) => "ILL_ILLADR",
        (ILL, 4) => "ILL_ILLTRP",
        (ILL, 5) => "ILL_PRVOPC",
        (ILL, 6) => "ILL_PRVREG",
        (ILL, 7) => "ILL_COPROC",
        (ILL, 8) => "ILL_BADSTK",
        (ILL, 9) => "ILL_BADIADDR",
        (TRAP, 1) => "TRAP_BRKPT",
        (TRAP, 2) => "TRAP_TRACE",
        (TRAP, 3) => "TRAP_BRANCH",
        (TRAP, 4) => "TRAP_HWBKPT",
        (TRAP, 5) => "TRAP_UNK",
        (TRAP, 6) => "TRAP_PERF",
        (BUS, 1) => "BUS_ADRALN",
        (BUS, 2) => "BUS_ADRERR",
        (BUS, 3) => "BUS_OBJERR",
        (BUS, 4) => "BUS_MCEERR_AR",
        (BUS, 5) => "BUS_MCEERR_AO",
        (FPE, 1) => "FPE_INTDIV",
        (FPE, 2) => "FPE_INTOVF",
        (FPE, 3) => "FPE_FLTDIV",
        (FPE, 4) => "FPE_FLTOVF",
        (FPE, 5) => "FPE_FLTUND",
        (FPE, 6) => "FPE_FLTRES",
        (FPE, 7) => "FPE_FLTINV",
        (FPE, 8) => "FPE_FLTSUB",
        (FPE, 14) => "FPE_FLTUNK",
        (FPE, 15) => "FPE_CONDTRAP",
        (SEGV, 1) => "SEGV_MAPERR",
        (SEGV, 2) => "SEGV_ACCERR",
        (SEGV, 3) => "SEGV_BNDERR",
        (SEGV, 4) => "SEGV_PKUERR",
        (SEGV, 5) => "SEGV_ACCADI",
        (SEGV, 6) => "SEGV_ADIDERR",
        (SEGV, 7) => "SEGV_ADIPERR",
        (SEGV, 8) => "SEGV_MTEAERR",
        (SEGV, 9) => "SEGV_MTESERR",
        (CHLD, 1) => "CLD_EXITED",
        (CHLD, 2) => "CLD_KILLED",
        (CHLD, 3) => "CLD_DUMPED",
        (CHLD, 4) => "CLD_TRAPPED",
        (CHLD, 5) => "CLD_STOPPED",
        (CHLD, 6) => "CLD_CONTINUED",
        (SYS, 1) => "SYS_SECCOMP",
        (SYS, 2) => "SYS_USER_DISPATCH",
        (ILL | TRAP | BUS | FPE | SEGV | CHLD | SYS, _) => return None,
        (1..=64, 1) => "POLL_IN",
        (1..=64, 2) => "POLL_OUT",
        (1..=64, 3) => "POLL_MSG",
        (1..=64, 4) => "POLL_ERR",
        (1..=64, 5) => "POLL_PRI",
        (1..=64, 6) => "POLL_HUP",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::{Name, code_name, name, number};
    use std::string::ToString;

    #[test]
    fn standard_names_are_those_of_the_headers() {
        for (signal, expected) in [
            (1, "SIGHUP"),
            (2, "SIGINT"),
            (5, "SIGTRAP"),
            (6, "SIGABRT"),
            (9, "SIGKILL"),
            (11, "SIGSEGV"),
            (15, "SIGTERM"),
            (16, "SIGSTKFLT"),
            (17, "SIGCHLD"),
            (18, "SIGCONT"),
            (19, "SIGSTOP"),
            (28, "SIGWINCH"),
            (29, "SIGIO"),
            (30, "SIGPWR"),
            (31, "SIGSYS"),
        ] {
            assert_eq!(name(signal), Some(expected));
        }
        for unnamed in [0, 65, u32::MAX] {
            assert_eq!(name(unnamed), None, "{unnamed}");
        }
    }

    /// What strace 6.1 prints for the argument of tgkill(2).
    #[test]
    fn prints_every_number_like_strace() {
        assert_eq!(Name(0).to_string(), "0");
        assert_eq!(Name(1).to_string(), "SIGHUP");
        assert_eq!(Name(31).to_string(), "SIGSYS");
        assert_eq!(Name(32).to_string(), "SIGRTMIN");
        for signal in 33..=64 {
            let expected = std::format!("SIGRT_{}", signal - 32);
            assert_eq!(Name(signal).to_string(), expected);
        }
        assert_eq!(Name(65).to_string(), "65");
        assert_eq!(Name(u32::MAX).to_string(), "4294967295");
        assert_eq!(std::format!("[{:>8}]", Name(1)), "[  SIGHUP]");
        assert_eq!(std::format!("[{:>8}]", Name(99)), "[      99]");
    }

    #[test]
    fn numbers_come_from_every_printed_name() {
        for signal in 1..=64 {
            let printed = Name(signal).to_string();
            assert_eq!(number(&printed), Some(signal), "{printed}");
            let short = printed.strip_prefix("SIG").expect("all are names");
            assert_eq!(number(short), Some(signal), "{short}");
        }
        assert_eq!(number("SIGPOLL"), Some(29));
        assert_eq!(number("IOT"), Some(6));
        for unknown in [
            "",
            "SIG",
            "SIGSIGHUP",
            "sighup",
            "1",
            "SIGRT_0",
            "RT_33",
            "RTMIN+2",
            "RTMAX",
            "SIGRT_01",
        ] {
            assert_eq!(number(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn codes_depend_on_the_signal() {
        assert_eq!(code_name(11, 1), Some("SEGV_MAPERR"));
        assert_eq!(code_name(17, 1), Some("CLD_EXITED"));
        assert_eq!(code_name(5, 1), Some("TRAP_BRKPT"));
        assert_eq!(code_name(4, 1), Some("ILL_ILLOPC"));
        assert_eq!(code_name(8, 1), Some("FPE_INTDIV"));
        assert_eq!(code_name(7, 2), Some("BUS_ADRERR"));
        assert_eq!(code_name(31, 1), Some("SYS_SECCOMP"));
        assert_eq!(code_name(29, 1), Some("POLL_IN"));
        assert_eq!(code_name(40, 6), Some("POLL_HUP"));
    }

    #[test]
    fn codes_that_any_signal_may_have() {
        for signal in [1, 5, 11, 34] {
            assert_eq!(code_name(signal, 0), Some("SI_USER"));
            assert_eq!(code_name(signal, 0x80), Some("SI_KERNEL"));
            assert_eq!(code_name(signal, -1), Some("SI_QUEUE"));
            assert_eq!(code_name(signal, -2), Some("SI_TIMER"));
            assert_eq!(code_name(signal, -6), Some("SI_TKILL"));
        }
    }

    #[test]
    fn unknown_codes_have_no_name() {
        let exec_event = (4 << 8) | 5;
        for (signal, code) in [
            (5, exec_event),
            (5, 7),
            (8, 9),
            (11, 10),
            (31, 3),
            (29, 7),
            (65, 1),
            (0, 1),
            (11, -8),
            (11, i32::MAX),
            (11, i32::MIN),
        ] {
            assert_eq!(code_name(signal, code), None, "{signal} {code}");
        }
    }
}
