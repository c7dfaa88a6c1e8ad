//! Signal dispositions of this process, and what a spawned target inherits.
//!
//! exec(2) resets handlers but keeps ignored signals ignored. A target must get
//! what the tracer was given, so what this crate or Rust's runtime ignores is
//! remembered and undone in the child.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Op, Signal};

/// Signals that are ignored by us and were not when the process started.
static IGNORED_BY_US: AtomicU64 = AtomicU64::new(0);

/// Rust's runtime ignores SIGPIPE before `main`, so what the process was given
/// must be looked at before that.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = remember_sigpipe;

extern "C" fn remember_sigpipe() {
    let pipe = Signal::from_kernel(libc::SIGPIPE);
    if !is_ignored(pipe) {
        IGNORED_BY_US.fetch_or(pipe.bit(), Ordering::Relaxed);
    }
}

/// Signals that were blocked when the process started, and are not any more.
static UNBLOCKED_BY_US: AtomicU64 = AtomicU64::new(0);

/// Lets the calling thread get this signal, whatever mask it was started with.
pub(crate) fn unblock(signal: Signal) {
    // SAFETY: a plain structure; all-zero is the empty set.
    let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: the set is a live local.
    unsafe { libc::sigaddset(&raw mut set, signal.get()) };
    // SAFETY: both sets are live locals.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, &raw mut before) };
    // SAFETY: the set was filled in above.
    if unsafe { libc::sigismember(&raw const before, signal.get()) } == 1 {
        UNBLOCKED_BY_US.fetch_or(signal.bit(), Ordering::Relaxed);
    }
}

/// Adds to a mask what we have unblocked: a target gets the mask that we were
/// given.
pub(crate) fn block_again(set: &mut libc::sigset_t) {
    let mut bits = UNBLOCKED_BY_US.load(Ordering::Relaxed);
    while bits != 0 {
        let number = bits.trailing_zeros().cast_signed() + 1;
        // SAFETY: the set is live.
        unsafe { libc::sigaddset(set, number) };
        bits &= bits - 1;
    }
}

fn action_of(signal: Signal) -> libc::sigaction {
    // SAFETY: a plain structure; all-zero is a value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is a live local.
    unsafe { libc::sigaction(signal.get(), std::ptr::null(), &raw mut action) };
    action
}

pub(crate) fn is_ignored(signal: Signal) -> bool {
    action_of(signal).sa_sigaction == libc::SIG_IGN
}

fn install(signal: Signal, handler: usize, flags: c_int) -> Result<(), Error> {
    // SAFETY: a plain structure; all-zero is a value of it.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // No SA_RESTART: a blocking wait must return.
    action.sa_flags = flags;
    // SAFETY: `action` is a live local, and every handler that this crate
    // installs keeps to async-signal-safe calls.
    let result = unsafe { libc::sigaction(signal.get(), &raw const action, std::ptr::null_mut()) };
    if result == -1 {
        return Err(Error::last(Op::SigAction, None));
    }
    Ok(())
}

pub(crate) fn catch_with(signal: Signal, handler: extern "C" fn(c_int)) -> Result<(), Error> {
    install(signal, handler as *const () as usize, 0)
}

pub(crate) fn catch_with_info(
    signal: Signal,
    handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void),
) -> Result<(), Error> {
    install(signal, handler as *const () as usize, libc::SA_SIGINFO)
}

pub(crate) fn ignore(signal: Signal) -> Result<(), Error> {
    if !is_ignored(signal) {
        IGNORED_BY_US.fetch_or(signal.bit(), Ordering::Relaxed);
        install(signal, libc::SIG_IGN, 0)?;
    }
    Ok(())
}

/// Gives a signal that we ignore its default action again.
pub(crate) fn restore(signal: Signal) -> Result<(), Error> {
    let before = IGNORED_BY_US.fetch_and(!signal.bit(), Ordering::Relaxed);
    if before & signal.bit() != 0 {
        install(signal, libc::SIG_DFL, 0)?;
    }
    Ok(())
}

/// Undoes in a forked child what we ignore and it should not.
///
/// # Safety
/// Only between fork and exec: async-signal-safe.
pub(crate) unsafe fn restore_in_child() {
    let mut ignored = IGNORED_BY_US.load(Ordering::Relaxed);
    while ignored != 0 {
        let number = ignored.trailing_zeros().cast_signed() + 1;
        // SAFETY: takes numbers; async-signal-safe.
        unsafe { libc::signal(number, libc::SIG_DFL) };
        ignored &= ignored - 1;
    }
}
