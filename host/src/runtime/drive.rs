//! Between a plugin's fiber and whoever polls it.
//!
//! While the future of `run` lives it owns the store, so neither side can reach
//! the other's data; what both need is here. All of it stays on one thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pai_engine::{Delivery, End, Event, Fatal, StopId};
use pai_ptrace::{monotonic_nanos, thread_cpu_time};
use wasmtime::UpdateDeadline;

use super::limits::Refusal;
use super::seat::Seat;

/// Why a fiber gave up the thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// It did not, or did it where nobody knows how to go on.
    None,
    /// In `client.next`, for mail.
    Next,
    /// In WASI, for a time; see [`Drive::wake_at`].
    Asleep,
    /// It computes, and others get their turn.
    Slice,
}

/// What all plugins of a session and its host share, over threads.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// No event will come any more.
    over: AtomicBool,
    /// The user does not want to wait for plugins.
    give_up: AtomicBool,
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Flags {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Release);
        self.notify();
    }

    pub(crate) fn given_up(&self) -> bool {
        self.give_up.load(Ordering::Acquire)
    }

    pub(crate) fn give_up(&self) {
        self.give_up.store(true, Ordering::Release);
        self.notify();
    }

    /// Wakes everybody in [`Flags::wait`].
    pub(crate) fn notify(&self) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        *changes += 1;
        self.changed.notify_all();
    }

    /// Waits until `done`, which is looked at after every change, or until
    /// `deadline`.
    pub(crate) fn wait(&self, deadline: Option<Instant>, mut done: impl FnMut() -> bool) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        while !done() {
            changes = match deadline {
                None => self
                    .changed
                    .wait(changes)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    self.changed
                        .wait_timeout(changes, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

/// A plugin computed too long without asking for its next event.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "it computed for more than {0:?} without asking for its next event \
     (--limit time=TIME allows more)"
)]
pub(crate) struct OverTime(pub(crate) Duration);

/// The user did not want to wait for it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it was ended by the user")]
pub(crate) struct GivenUp;

/// The session cannot go on; why is in [`Drive::fatal`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the session cannot go on")]
pub(crate) struct SessionFailed;

/// See the module.
pub(crate) struct Drive {
    pub(crate) flags: Arc<Flags>,
    pub(crate) pause: Cell<Pause>,
    /// For the `next` that waits.
    pub(crate) mail: Cell<Option<Delivery>>,
    /// Came while the plugin slept.
    pub(crate) backlog: RefCell<VecDeque<Delivery>>,
    /// The stop that was delivered last, while it is not answered. Older ones
    /// are there only with the capability to hold them, and need no look.
    pub(crate) held: Cell<Option<StopId>>,
    /// The plugin has made tasks run: a stop may have waited for that.
    pub(crate) operated: Cell<bool>,
    /// When a sleeper wants to be polled again; `None` is never.
    pub(crate) wake_at: Cell<Option<Instant>>,
    /// Its last event, once it was delivered.
    pub(crate) end: RefCell<Option<End>>,
    /// What the engine said when a request was fatal for the session.
    pub(crate) fatal: Cell<Option<Fatal>>,
    pub(crate) refused: Rc<Cell<Option<Refusal>>>,
    /// Host calls.
    pub(crate) calls: Cell<u64>,
    /// Time in the plugin's code, if it is measured; `next`, which resumes tasks, is not
    /// counted.
    pub(crate) nanos: Cell<u64>,
    timed: bool,
    /// Since when it is there; 0 while it is not.
    inside: Cell<u64>,
    budget: Budget,
}

/// CPU time since the last delivery. Reading it is a system call, so that is
/// done by ticks only: the first tick after a delivery starts the count.
#[derive(Debug)]
struct Budget {
    limit: Duration,
    fresh: Cell<bool>,
    used: Cell<Duration>,
    since: Cell<Duration>,
}

impl Drive {
    pub(crate) fn new(seat: &Seat) -> Self {
        Self {
            flags: Arc::clone(&seat.flags),
            pause: Cell::new(Pause::None),
            mail: Cell::new(None),
            backlog: RefCell::new(VecDeque::new()),
            held: Cell::new(None),
            operated: Cell::new(false),
            wake_at: Cell::new(None),
            end: RefCell::new(None),
            fatal: Cell::new(None),
            refused: Rc::new(Cell::new(None)),
            calls: Cell::new(0),
            nanos: Cell::new(0),
            timed: seat.timed,
            inside: Cell::new(0),
            budget: Budget {
                limit: seat.limits.time,
                fresh: Cell::new(true),
                used: Cell::new(Duration::ZERO),
                since: Cell::new(Duration::ZERO),
            },
        }
    }

    /// The plugin got an event: its time starts anew.
    pub(crate) fn refresh(&self) {
        self.budget.fresh.set(true);
    }

    /// It goes on after others had the thread.
    pub(crate) fn resume(&self) {
        self.pause.set(Pause::None);
        self.wake_at.set(None);
        self.budget.since.set(thread_cpu_time());
    }

    /// The epoch advanced while it computed.
    pub(crate) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        if self.flags.given_up() {
            return Err(GivenUp.into());
        }
        let budget = &self.budget;
        let now = thread_cpu_time();
        let since = budget.since.replace(now);
        if budget.fresh.replace(false) {
            budget.used.set(Duration::ZERO);
            return Ok(UpdateDeadline::Continue(1));
        }
        let used = budget.used.get() + now.saturating_sub(since);
        budget.used.set(used);
        if used > budget.limit {
            return Err(OverTime(budget.limit).into());
        }
        self.pause.set(Pause::Slice);
        Ok(UpdateDeadline::Yield(1))
    }

    /// Whether a sleep until then is over. If not, it is noted.
    pub(crate) fn slept(&self, until: Option<Instant>) -> bool {
        // Nobody sleeps longer than the session, whose end may still wait behind what
        // came before it.
        let backlog = self.backlog.borrow();
        let last = backlog.back().map(|delivery| &delivery.event);
        if self.flags.is_over()
            || self.end.borrow().is_some()
            || matches!(last, Some(Event::Ended(_)))
        {
            return true;
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return true;
        }
        let first = match (self.wake_at.get(), until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.wake_at.set(first);
        self.pause.set(Pause::Asleep);
        false
    }

    /// The plugin's code runs from here on.
    pub(crate) fn go_inside(&self) {
        if self.timed {
            self.inside.set(monotonic_nanos());
        }
    }

    /// It does not from here on.
    pub(crate) fn come_outside(&self) {
        let since = self.inside.replace(0);
        if since != 0 {
            let time = monotonic_nanos() - since;
            self.nanos.set(self.nanos.get() + time);
        }
    }

    pub(crate) fn count_call(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}
