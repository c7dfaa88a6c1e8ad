//! A signal's siginfo_t as text (sigaction(2), asm-generic/siginfo.h).

use pai_plugin::SignalStop;
use pai_plugin::decode::siginfo;
use pai_plugin::decode::text::Style;
use pai_syscalls::abi::X86_64;
use pai_syscalls::signal::code_name;

/// The name of `si_code`, or its number.
pub(crate) fn code(signal: u32, code: i32) -> String {
    code_name(signal, code).map_or_else(|| format!("{code:#x}"), Into::into)
}

/// `{si_signo=SIGUSR1, si_code=SI_USER, si_pid=7, si_uid=0}`. The tracer gets it as the
/// 64-bit kernel has it, whatever the target is.
pub(crate) fn describe(stop: &SignalStop, style: &Style<'_>) -> String {
    let mut text = Vec::new();
    style.push(&mut text, &siginfo(&stop.info, X86_64));
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A siginfo_t whose union holds these 32-bit words.
    pub(crate) fn stop(signal: u32, code: i32, words: &[u32]) -> SignalStop {
        let mut info = Vec::new();
        for word in [signal, 0, code.cast_unsigned(), 0].iter().chain(words) {
            info.extend_from_slice(&word.to_le_bytes());
        }
        info.resize(128, 0);
        SignalStop {
            pid: 7,
            tid: 7,
            signal,
            code,
            addr: 0,
            sender: 0,
            ip: 0,
            info,
            frames: Vec::new(),
            at: 0,
        }
    }

    #[test]
    fn each_kind_shows_its_own_fields() {
        for (signal, code, words, text) in [
            (
                10,
                0,
                &[21421, 0][..],
                "{si_signo=SIGUSR1, si_code=SI_USER, si_pid=21421, si_uid=0}",
            ),
            (
                36,
                -1,
                &[5, 1000, 42, 0],
                "{si_signo=SIGRT_4, si_code=SI_QUEUE, si_pid=5, si_uid=1000, si_int=42, si_ptr=0x2a}",
            ),
            (
                12,
                -2,
                &[1, 2],
                "{si_signo=SIGUSR2, si_code=SI_TIMER, si_timerid=0x1, si_overrun=2, si_int=0, si_ptr=NULL}",
            ),
            (14, 0x80, &[], "{si_signo=SIGALRM, si_code=SI_KERNEL}"),
            (
                11,
                1,
                &[8, 0],
                "{si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x8}",
            ),
            (
                11,
                0x80,
                &[],
                "{si_signo=SIGSEGV, si_code=SI_KERNEL, si_addr=NULL}",
            ),
            (
                17,
                1,
                &[9, 0, 3, 0, 0, 0, 1, 0],
                "{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9, si_uid=0, si_status=3, si_utime=0, si_stime=1 /* 0.01 s */}",
            ),
            (
                17,
                5,
                &[9, 0, 19],
                "{si_signo=SIGCHLD, si_code=CLD_STOPPED, si_pid=9, si_uid=0, si_status=SIGSTOP, si_utime=0, si_stime=0}",
            ),
            (
                31,
                1,
                &[0x1000, 0, 39, 0xC000_003E],
                "{si_signo=SIGSYS, si_code=SYS_SECCOMP, si_call_addr=0x1000, si_syscall=__NR_getpid, si_arch=AUDIT_ARCH_X86_64}",
            ),
        ] {
            assert_eq!(
                describe(&stop(signal, code, words), &Style::default()),
                text
            );
        }
    }

    #[test]
    fn a_short_siginfo_is_no_panic() {
        let mut short = stop(17, 1, &[]);
        short.info.truncate(3);
        assert!(describe(&short, &Style::default()).starts_with("{si_signo=SIGCHLD"));
    }
}
