//! Which system calls stop a task, decided in the kernel (seccomp(2)).
//!
//! A filter is a program of classic BPF that the kernel runs at each call, with
//! `struct seccomp_data` as its input. Ours does
//!
//! ```text
//! match arch {
//!     X86_64 | I386 => match number { wanted => stop, _ => go on },
//!     _ => stop,
//! }
//! ```
//!
//! by a binary search in ranges of numbers. Paths that end in "go on" look at nothing but
//! the number and the architecture, so that the kernel remembers their result by number
//! and does not run the program for them again (`seccomp_cache_prepare` in
//! kernel/seccomp.c). A filter cannot be taken off, and is inherited; one that says "stop"
//! where there is no tracer makes calls fail with ENOSYS.

use libc::{
    BPF_ABS, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W,
    SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, c_int, sock_filter,
};

/// What comes with each stop, so that a filter of somebody else's can be told from it
/// (SECCOMP_RET_DATA).
const MARK: u16 = 0x7061;

/// No longer program is taken (BPF_MAXINSNS in linux/bpf_common.h).
pub(crate) const MAX_LEN: usize = 4096;

/// Offsets in `struct seccomp_data`.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

/// What is done about a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is not looked at.
    Pass,
    /// The task stops.
    Stop,
    /// The task stops if an argument is this: its number, and its lower 32 bits.
    StopIf(u8, Test),
}

impl Verdict {
    /// Whether a task stops at a call with these arguments.
    pub fn stops(self, args: &[u64; 6]) -> bool {
        match self {
            Self::Pass => false,
            Self::Stop => true,
            Self::StopIf(arg, test) => {
                let low = (args[usize::from(arg)] & 0xffff_ffff) as u32;
                match test {
                    Test::Equals(value) => low == value,
                    Test::HasAny(bits) => low & bits != 0,
                }
            }
        }
    }
}

/// Of the lower 32 bits of an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Test {
    /// They are this.
    Equals(u32),
    /// They have one of these bits.
    HasAny(u32),
}

/// Verdicts on the calls of one architecture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdicts {
    /// AUDIT_ARCH_* (linux/audit.h).
    pub arch: u32,
    /// From which number on which verdict holds, in rising order, the first from 0 on.
    pub ranges: Vec<(u32, Verdict)>,
}

impl Verdicts {
    /// On a number.
    pub fn of(&self, nr: u32) -> Verdict {
        let behind = self.ranges.partition_point(|(first, _)| *first <= nr);
        let last = self.ranges[..behind].last();
        last.map_or(Verdict::Pass, |(_, verdict)| *verdict)
    }
}

/// A program for seccomp(2).
#[derive(Clone)]
pub struct Filter {
    program: Vec<sock_filter>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter({} instructions)", self.program.len())
    }
}

impl Filter {
    /// Calls of other architectures stop. `None` if the program would be too long.
    pub fn new(all: &[Verdicts]) -> Option<Self> {
        let mut program = vec![load(ARCH)];
        for verdicts in all {
            let part = search(&verdicts.ranges);
            let skip = u32::try_from(part.len() + 1).ok()?;
            program.extend([
                jump(BPF_JEQ, verdicts.arch, 1, 0),
                jump(BPF_JA, skip, 0, 0),
                load(NR),
            ]);
            program.extend(part);
        }
        program.push(stop());
        (program.len() <= MAX_LEN).then_some(Self { program })
    }

    /// Whether the kernel has filters that stop tasks, and lets us ask for it
    /// (SECCOMP_GET_ACTION_AVAIL in seccomp(2)).
    pub fn is_supported() -> bool {
        let action = SECCOMP_RET_TRACE;
        let request = libc::SECCOMP_GET_ACTION_AVAIL;
        // SAFETY: the kernel reads a number that lives until then.
        unsafe { libc::syscall(libc::SYS_seccomp, request, 0, &raw const action) == 0 }
    }

    /// Whether a stop with this data is due to it.
    pub fn is_own(data: u32) -> bool {
        data == u32::from(MARK)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let instruction = |i: &sock_filter| {
            let mut bytes = [0; 8];
            bytes[..2].copy_from_slice(&i.code.to_ne_bytes());
            bytes[2..4].copy_from_slice(&[i.jt, i.jf]);
            bytes[4..].copy_from_slice(&i.k.to_ne_bytes());
            bytes
        };
        self.program.iter().flat_map(instruction).collect()
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

/// Behind the next instruction, `yes` or `no` more are left out; JA leaves out `k`.
fn jump(test: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, k, yes, no)
}

fn stop() -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_TRACE | u32::from(MARK), 0, 0)
}

fn pass() -> sock_filter {
    instruction(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Codes have 16 bits (linux/filter.h).
    let code = (code & 0xffff) as u16;
    sock_filter { code, jt, jf, k }
}

/// Finds the range of the number that was loaded.
fn search(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let Some((first, _)) = upper.first().filter(|_| !lower.is_empty()) else {
        return match ranges.first() {
            Some((_, verdict)) => leaf(*verdict),
            None => vec![pass()],
        };
    };
    let (lower, upper) = (search(lower), search(upper));
    let mut program = match u8::try_from(lower.len()) {
        Ok(skip) => vec![jump(BPF_JGE, *first, skip, 0)],
        // Conditional jumps do not go that far.
        Err(_) => {
            let skip = u32::try_from(lower.len()).unwrap_or(u32::MAX);
            vec![jump(BPF_JGE, *first, 0, 1), jump(BPF_JA, skip, 0, 0)]
        }
    };
    program.extend(lower);
    program.extend(upper);
    program
}

fn leaf(verdict: Verdict) -> Vec<sock_filter> {
    match verdict {
        Verdict::Pass => vec![pass()],
        Verdict::Stop => vec![stop()],
        Verdict::StopIf(arg, test) => {
            let (test, k) = match test {
                Test::Equals(value) => (BPF_JEQ, value),
                Test::HasAny(bits) => (BPF_JSET, bits),
            };
            let low = ARGS + 8 * u32::from(arg);
            vec![load(low), jump(test, k, 0, 1), stop(), pass()]
        }
    }
}

/// Installs a filter in the calling thread, and with it no_new_privs where there is no
/// other right to (CAP_SYS_ADMIN).
///
/// # Errors
/// The errno of seccomp(2).
///
/// # Safety
/// The calling thread must be one that may be filtered: only async-signal-safe calls are
/// made.
pub(crate) unsafe fn install(program: &[sock_filter]) -> Result<(), c_int> {
    let whole = libc::sock_fprog {
        // No longer than MAX_LEN.
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program, which lives until then.
    let set = || unsafe {
        let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const whole)
    };
    let done = match set() {
        0 => true,
        // SAFETY: takes numbers.
        _ => unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && set() == 0 },
    };
    match done {
        true => Ok(()),
        // SAFETY: the errno of this thread.
        false => Err(unsafe { *libc::__errno_location() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: u32 = 0xc000_003e;
    const I386: u32 = 0x4000_0003;

    /// As the kernel runs it (bpf_prog_run, for what our programs have). Returns also
    /// whether an argument was looked at.
    fn run(filter: &Filter, arch: u32, nr: u32, args: [u64; 6]) -> (u32, bool) {
        let word = |offset: u32| match offset {
            NR => nr,
            ARCH => arch,
            _ => {
                let arg = args[((offset - ARGS) / 8) as usize];
                (if offset.is_multiple_of(8) {
                    arg
                } else {
                    arg >> 32
                }) as u32
            }
        };
        let (mut at, mut a, mut looked) = (0, 0, false);
        loop {
            let i = &filter.program[at];
            at += 1;
            let code = u32::from(i.code);
            let jump = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
            match code {
                _ if code == BPF_LD | BPF_W | BPF_ABS => {
                    a = word(i.k);
                    looked |= i.k >= ARGS;
                }
                _ if code == BPF_RET | BPF_K => return (i.k, looked),
                _ if code == BPF_JMP | BPF_JA | BPF_K => at += i.k as usize,
                _ if code == BPF_JMP | BPF_JEQ | BPF_K => at += jump(a == i.k),
                _ if code == BPF_JMP | BPF_JGE | BPF_K => at += jump(a >= i.k),
                _ if code == BPF_JMP | BPF_JSET | BPF_K => at += jump(a & i.k != 0),
                _ => panic!("an instruction that is not made here: {code:#x}"),
            }
        }
    }

    /// Every number of every architecture, with arguments on both sides of each test.
    fn check(all: &[Verdicts]) -> usize {
        const TRACE: u32 = SECCOMP_RET_TRACE | MARK as u32;
        let filter = Filter::new(all).expect("short enough");
        let odd = [1024, 0x3fff_ffff, 0x4000_0000, 0x4000_0001, u32::MAX];
        for verdicts in all {
            for nr in (0..1030).chain(odd) {
                for arg in [0, 1, 22, 22 | 1 << 32, 0x80_0000, 0x80_0001, u64::MAX] {
                    let (result, looked) = run(&filter, verdicts.arch, nr, [arg; 6]);
                    let low = (arg & 0xffff_ffff) as u32;
                    let (stops, looks) = match verdicts.of(nr) {
                        Verdict::Pass => (false, false),
                        Verdict::Stop => (true, false),
                        Verdict::StopIf(_, Test::Equals(value)) => (low == value, true),
                        Verdict::StopIf(_, Test::HasAny(bits)) => (low & bits != 0, true),
                    };
                    assert_eq!(verdicts.of(nr).stops(&[arg; 6]), stops);
                    let wanted = if stops { TRACE } else { SECCOMP_RET_ALLOW };
                    assert_eq!(result, wanted, "{:#x} {nr} {arg:#x}", verdicts.arch);
                    // Or the kernel cannot remember it.
                    assert_eq!(looked, looks, "{:#x} {nr}", verdicts.arch);
                }
            }
        }
        assert_eq!(run(&filter, 0xc000_00b7, 0, [0; 6]), (TRACE, false));
        filter.program.len()
    }

    fn verdicts(arch: u32, verdict: impl Fn(u32) -> Verdict) -> Verdicts {
        let mut ranges = vec![(0, verdict(0))];
        for nr in (1..1024).chain([0x4000_0000]) {
            if ranges.last().is_some_and(|(_, last)| *last != verdict(nr)) {
                ranges.push((nr, verdict(nr)));
            }
        }
        Verdicts { arch, ranges }
    }

    #[test]
    fn every_number_has_its_verdict() {
        let some = |nr| match nr {
            0x4000_0000.. | 2 | 257 => Verdict::Stop,
            157 => Verdict::StopIf(0, Test::Equals(22)),
            56 => Verdict::StopIf(0, Test::HasAny(0x80_0000)),
            _ => Verdict::Pass,
        };
        let len = check(&[verdicts(X86_64, some), verdicts(I386, |_| Verdict::Pass)]);
        assert!(len < 40, "{len}");
        check(&[verdicts(X86_64, |_| Verdict::Stop), verdicts(I386, some)]);
    }

    /// Jumps over more than 255 instructions.
    #[test]
    fn long_programs_jump_far() {
        let third = |nr: u32| match nr % 3 {
            0 => Verdict::Stop,
            _ => Verdict::Pass,
        };
        let len = check(&[verdicts(X86_64, third), verdicts(I386, |_| Verdict::Stop)]);
        assert!(len > 1000, "{len}");
    }

    #[test]
    fn programs_that_the_kernel_does_not_take_are_not_made() {
        let second = |nr: u32| match nr % 2 {
            0 => Verdict::Stop,
            _ => Verdict::StopIf(0, Test::Equals(1)),
        };
        let all = [verdicts(X86_64, second), verdicts(I386, second)];
        assert!(Filter::new(&all).is_none());
    }
}
