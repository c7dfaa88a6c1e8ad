//! Signals that the tracer itself gets.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::disposition;
use crate::wake::Timer;
use crate::{Error, Signal, Waker};

/// A signal that this process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which.
    pub signal: Signal,
    /// Sent by the kernel (a key at the terminal, a hang-up) and not by a
    /// process: everybody in the foreground group got it too.
    pub from_kernel: bool,
}

/// Signals caught for the tracer, with who sent them.
#[derive(Debug)]
pub struct SignalTrap(());

static CAUGHT_FROM_KERNEL: AtomicU64 = AtomicU64::new(0);
static CAUGHT_FROM_PROCESS: AtomicU64 = AtomicU64::new(0);
static TRAP_TIMER: AtomicPtr<Timer> = AtomicPtr::new(std::ptr::null_mut());

impl SignalTrap {
    /// Catches these signals from now on and wakes the tracer for each. One
    /// trap per process; a second takes over the first.
    ///
    /// # Errors
    /// EINVAL for a signal that cannot be caught.
    pub fn install(waker: &Waker, signals: &[Signal]) -> Result<Self, Error> {
        // Leaked on purpose, a few bytes per trap: a handler may run at any
        // time, also after the trap was dropped.
        let timer = Arc::into_raw(Arc::clone(&waker.0)).cast_mut();
        TRAP_TIMER.store(timer, Ordering::Release);
        for signal in signals {
            // Whoever started us with it ignored (nohup, a background job of
            // sh) means it.
            if !disposition::is_ignored(*signal) {
                disposition::catch_with_info(*signal, catch)?;
                disposition::unblock(*signal);
            }
        }
        Ok(Self(()))
    }

    /// Ignores these signals from now on. A spawned target gets them with
    /// their default action.
    ///
    /// # Errors
    /// EINVAL for a signal that cannot be ignored.
    pub fn ignore(signals: &[Signal]) -> Result<(), Error> {
        for signal in signals {
            disposition::ignore(*signal)?;
        }
        Ok(())
    }

    /// Takes [`SignalTrap::ignore`] back.
    ///
    /// # Errors
    /// Never in practice.
    pub fn restore(signals: &[Signal]) -> Result<(), Error> {
        for signal in signals {
            disposition::restore(*signal)?;
        }
        Ok(())
    }

    /// Whether a signal was caught and not yet taken.
    pub fn is_pending() -> bool {
        [&CAUGHT_FROM_KERNEL, &CAUGHT_FROM_PROCESS]
            .iter()
            .any(|set| set.load(Ordering::Relaxed) != 0)
    }

    /// The next caught signal, lowest number first. Several of one kind count
    /// as one.
    pub fn take(&self) -> Option<Caught> {
        for (set, from_kernel) in [(&CAUGHT_FROM_KERNEL, true), (&CAUGHT_FROM_PROCESS, false)] {
            let caught = set.load(Ordering::Relaxed);
            if caught != 0 {
                let number = caught.trailing_zeros().cast_signed() + 1;
                let signal = Signal::from_kernel(number);
                set.fetch_and(!signal.bit(), Ordering::AcqRel);
                return Some(Caught {
                    signal,
                    from_kernel,
                });
            }
        }
        None
    }
}

/// Async-signal-safe: atomics and timer_settime; errno is put back.
extern "C" fn catch(number: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: errno is thread-local and always there.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let from_kernel = unsafe { (*info).si_code } > 0;
    let set = if from_kernel {
        &CAUGHT_FROM_KERNEL
    } else {
        &CAUGHT_FROM_PROCESS
    };
    set.fetch_or(Signal::from_kernel(number).bit(), Ordering::AcqRel);
    let timer = TRAP_TIMER.load(Ordering::Acquire);
    // SAFETY: set to a leaked Arc before this handler was installed.
    if let Some(timer) = unsafe { timer.as_ref() } {
        timer.wake();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Ends this process by `signal`, as if nobody had caught it and without a core
/// of ours; returns only if that is impossible.
pub fn die_by(signal: Signal) {
    let no_core = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is a live local.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core) };
    // SAFETY: puts the default action back; takes numbers.
    unsafe { libc::signal(signal.get(), libc::SIG_DFL) };
    // SAFETY: a plain structure of integers; all-zero is the empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a live local.
    unsafe { libc::sigaddset(&raw mut set, signal.get()) };
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
    // SAFETY: takes a number.
    unsafe { libc::raise(signal.get()) };
}

/// Stops this process (SIGSTOP to itself) until somebody continues it.
///
/// # Errors
/// Never in practice.
pub fn stop_self() -> Result<(), Error> {
    // SAFETY: no arguments.
    let pid = crate::Pid::new(unsafe { libc::getpid() });
    crate::kill(pid, Signal::STOP)
}
