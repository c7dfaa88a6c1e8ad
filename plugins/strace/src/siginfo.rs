//! A signal's siginfo_t as text (sigaction(2), asm-generic/siginfo.h).

use std::fmt::Write;

use pai_plugin::SignalStop;
use pai_syscalls::signal::{Name, code_name};

const ILL: u32 = 4;
const TRAP: u32 = 5;
const BUS: u32 = 7;
const FPE: u32 = 8;
const SEGV: u32 = 11;
const CHLD: u32 = 17;
const IO: u32 = 29;
const SYS: u32 = 31;

const SI_USER: i32 = 0;
const SI_KERNEL: i32 = 0x80;
const SI_QUEUE: i32 = -1;
const SI_TIMER: i32 = -2;
const SI_MESGQ: i32 = -3;
const SI_TKILL: i32 = -6;
const CLD_EXITED: i32 = 1;

/// The name of `si_code`, or its number.
pub(crate) fn code(signal: u32, code: i32) -> String {
    code_name(signal, code).map_or_else(|| format!("{code:#x}"), Into::into)
}

/// `{si_signo=SIGUSR1, si_code=SI_USER, si_pid=7, si_uid=0}`.
pub(crate) fn describe(stop: &SignalStop) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    if write(&mut text, stop).is_err() {
        text.push_str("...");
    }
    text
}

fn write(out: &mut String, stop: &SignalStop) -> std::fmt::Result {
    let info = Info(&stop.info);
    let (signal, number) = (Name(stop.signal), stop.signal);
    write!(
        out,
        "{{si_signo={signal}, si_code={}",
        code(number, stop.code)
    )?;
    match stop.code {
        SI_USER | SI_TKILL => info.sender(out)?,
        SI_QUEUE | SI_MESGQ => {
            info.sender(out)?;
            info.value(out)?;
        }
        SI_TIMER => {
            write!(
                out,
                ", si_timerid={}, si_overrun={}",
                info.i32(16),
                info.i32(20)
            )?;
            info.value(out)?;
        }
        SI_KERNEL if number != SEGV => {}
        _ => match number {
            ILL | TRAP | BUS | FPE | SEGV => {
                write!(out, ", si_addr={}", Pointer(info.u64(16)))?;
            }
            CHLD => info.child(out, stop.code)?,
            IO => write!(out, ", si_band={}, si_fd={}", info.u64(16), info.i32(24))?,
            SYS => {
                write!(out, ", si_call_addr={}", Pointer(info.u64(16)))?;
                let (nr, abi) = (info.u32(24), info.u32(28));
                match pai_syscalls::name(abi, nr) {
                    Some(name) => write!(out, ", si_syscall=__NR_{name}")?,
                    None => write!(out, ", si_syscall={nr:#x}")?,
                }
                match pai_syscalls::abi::name(abi) {
                    Some(name) => {
                        write!(out, ", si_arch=AUDIT_ARCH_{}", name.to_uppercase())?;
                    }
                    None => write!(out, ", si_arch={abi:#x}")?,
                }
            }
            _ if stop.code < 0 => info.sender(out)?,
            _ => {}
        },
    }
    out.push('}');
    Ok(())
}

/// A siginfo_t of a 64-bit kernel. What is missing reads as zero.
struct Info<'a>(&'a [u8]);

impl Info<'_> {
    fn u32(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|b| b.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    fn i32(&self, at: usize) -> i32 {
        self.u32(at).cast_signed()
    }

    fn u64(&self, at: usize) -> u64 {
        let bytes = self.0.get(at..at + 8).and_then(|b| b.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    }

    fn sender(&self, out: &mut String) -> std::fmt::Result {
        write!(out, ", si_pid={}, si_uid={}", self.u32(16), self.u32(20))
    }

    /// A union: shown both as a number and as a pointer.
    fn value(&self, out: &mut String) -> std::fmt::Result {
        let pointer = Pointer(self.u64(24));
        write!(out, ", si_int={}, si_ptr={pointer}", self.i32(24))
    }

    fn child(&self, out: &mut String, code: i32) -> std::fmt::Result {
        self.sender(out)?;
        match code {
            CLD_EXITED => write!(out, ", si_status={}", self.i32(24))?,
            _ => write!(out, ", si_status={}", Name(self.u32(24)))?,
        }
        let (user, system) = (Ticks(self.u64(32)), Ticks(self.u64(40)));
        write!(out, ", si_utime={user}, si_stime={system}")
    }
}

struct Pointer(u64);

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("NULL"),
            addr => write!(f, "{addr:#x}"),
        }
    }
}

/// Clock ticks: a hundred a second for user space, on every machine (times(2)).
struct Ticks(u64);

impl std::fmt::Display for Ticks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            n => write!(f, "{n} /* {}.{:02} s */", n / 100, n % 100),
        }
    }
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
            info,
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
                "{si_signo=SIGUSR2, si_code=SI_TIMER, si_timerid=1, si_overrun=2, si_int=0, si_ptr=NULL}",
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
            assert_eq!(describe(&stop(signal, code, words)), text);
        }
    }

    #[test]
    fn a_short_siginfo_is_no_panic() {
        let mut short = stop(17, 1, &[]);
        short.info.truncate(3);
        assert!(describe(&short).starts_with("{si_signo=SIGCHLD"));
    }
}
