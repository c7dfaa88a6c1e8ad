//! Waking the tracer thread out of a blocking wait.
//!
//! wait4(2) takes no timeout, no descriptor and no signal mask, so a wake is a
//! signal that interrupts it. A signal that comes just before the wait would
//! be lost; therefore the wake is a POSIX timer that fires, and fires again
//! every [`NUDGE`] until the tracer has noticed. Nothing polls while there is
//! nothing to tell.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use crate::disposition::{catch_with, unblock};
use crate::{Error, Op, Signal};

/// How often a wake is repeated until it is noticed: the longest that one can
/// be missed.
const NUDGE: Duration = Duration::from_millis(5);

thread_local! {
    /// A wake or a deadline of this thread has come, in a wait or outside of one.
    static RANG: AtomicBool = const { AtomicBool::new(false) };
}

/// Async-signal-safe: the flag is made with its thread, and nothing is dropped.
extern "C" fn ring(_: c_int) {
    RANG.with(|rang| rang.store(true, Ordering::Relaxed));
}

/// The signal that carries wakes: the last real-time one but one, which
/// libraries leave alone.
fn wake_signal() -> c_int {
    libc::SIGRTMAX() - 1
}

/// Timer and flag of one tracer thread.
#[derive(Debug)]
pub struct Alarm {
    timer: Arc<Timer>,
    deadline: Option<Instant>,
}

/// Wakes the thread of an [`Alarm`] from any thread.
#[derive(Clone, Debug)]
pub struct Waker(pub(crate) Arc<Timer>);

#[derive(Debug)]
pub(crate) struct Timer {
    id: AtomicPtr<libc::c_void>,
    woken: AtomicBool,
}

impl Alarm {
    /// Makes the calling thread wakeable.
    ///
    /// # Errors
    /// EAGAIN when the user has too many timers.
    pub fn new() -> Result<Self, Error> {
        catch_with(Signal::from_kernel(wake_signal()), ring)?;
        unblock(Signal::from_kernel(wake_signal()));
        // SAFETY: a plain structure; all-zero is a value of it.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = wake_signal();
        // SAFETY: no arguments.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to live locals.
        let result =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if result == -1 {
            return Err(Error::last(Op::Timer, None));
        }
        let timer = Arc::new(Timer {
            id: AtomicPtr::new(id),
            woken: AtomicBool::new(false),
        });
        Ok(Self {
            timer,
            deadline: None,
        })
    }

    /// A handle for other threads and for signal handlers.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.timer))
    }

    /// When to wake even if nobody calls; `None` never.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        if self.deadline != deadline {
            self.deadline = deadline;
            self.arm();
        }
    }

    /// Whether somebody called [`Waker::wake`] since the last time; quick when
    /// not.
    pub fn take_wake(&mut self) -> bool {
        if !self.timer.woken.load(Ordering::Relaxed) {
            return false;
        }
        self.timer.woken.swap(false, Ordering::AcqRel);
        self.arm();
        true
    }

    /// Whether a wake or the deadline has come since the last time; quick. Says so also
    /// of those that interrupted no wait, as when there is always something to report.
    pub fn has_rung(&self) -> bool {
        RANG.with(|rang| rang.load(Ordering::Relaxed) && rang.swap(false, Ordering::Relaxed))
    }

    /// Whether the deadline has passed; it is then forgotten.
    pub fn take_deadline(&mut self) -> bool {
        let passed = self.deadline.is_some_and(|at| at <= Instant::now());
        if passed {
            self.deadline = None;
            self.arm();
        }
        passed
    }

    /// Sets the timer to the deadline. A wake that comes in between has set its
    /// flag first, and is looked at before the next wait.
    fn arm(&self) {
        let first = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        self.timer.set(first);
        if self.timer.woken.load(Ordering::Acquire) {
            self.timer.set(Some(Duration::ZERO));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.timer.delete();
    }
}

impl Waker {
    /// Makes the tracer return from its wait, now or within [`NUDGE`].
    /// Async-signal-safe.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Timer {
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.set(Some(Duration::ZERO));
        }
    }

    fn set(&self, first: Option<Duration>) {
        let id = self.id.load(Ordering::Acquire);
        if id == DELETED {
            return;
        }
        let value = match first {
            // Zero would disarm it.
            Some(after) => after.max(Duration::from_nanos(1)),
            None => Duration::ZERO,
        };
        let spec = libc::itimerspec {
            it_interval: timespec(NUDGE),
            it_value: timespec(value),
        };
        // SAFETY: the timer exists until `delete`, which is not called while
        // a tracer is in use; the structure is a live local. timer_settime is
        // async-signal-safe (signal-safety(7)).
        unsafe { libc::timer_settime(id, 0, &raw const spec, std::ptr::null_mut()) };
    }

    fn delete(&self) {
        let id = self.id.swap(DELETED, Ordering::AcqRel);
        if id != DELETED {
            // SAFETY: the id was made by timer_create and is given up here.
            unsafe { libc::timer_delete(id) };
        }
    }
}

/// Marks a deleted timer; glibc's ids are small numbers or heap pointers.
const DELETED: *mut libc::c_void = usize::MAX as *mut libc::c_void;

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// CPU time that the calling thread has used (CLOCK_THREAD_CPUTIME_ID).
pub fn thread_cpu_time() -> Duration {
    let mut now = timespec(Duration::ZERO);
    // SAFETY: the structure is a live local.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// CLOCK_MONOTONIC in nanoseconds: a vDSO call.
pub fn monotonic_nanos() -> u64 {
    let mut now = timespec(Duration::ZERO);
    // SAFETY: the structure is a live local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_shows_to_a_thread_that_never_waits() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!alarm.has_rung());
        let limit = Instant::now() + Duration::from_secs(60);
        for _ in 0..3 {
            alarm.set_deadline(Some(Instant::now() + Duration::from_millis(1)));
            while !alarm.has_rung() {
                assert!(Instant::now() < limit);
                std::hint::spin_loop();
            }
            assert!(alarm.take_deadline());
            assert!(!alarm.take_deadline());
        }
    }
}
