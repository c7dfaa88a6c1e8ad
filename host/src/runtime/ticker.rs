//! The clock that interrupts Wasm code.
//!
//! Compiled code compares the engine's epoch with its deadline at loops and
//! calls. A thread advances the epoch every [`TICK`], but only while some
//! plugin executes: while all wait it is parked and costs nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// How long a plugin computes before others get their turn.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Added by each start of a plugin, above the count of those that execute.
const ONE_START: u64 = 1 << 32;

#[derive(Debug)]
struct Shared {
    /// How many plugins execute (low half), and how many starts there were
    /// (high half): one atomic operation on either side of a poll.
    activity: AtomicU64,
    parked: AtomicBool,
    stop: AtomicBool,
}

/// The thread's owner; it ends with it.
#[derive(Debug)]
pub(crate) struct Ticker {
    clock: Clock,
    thread: Option<JoinHandle<()>>,
}

/// Says when plugins execute.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    shared: Arc<Shared>,
    ticker: Thread,
}

/// While it lives, time runs.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Clock);

impl Ticker {
    pub(crate) fn new(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            activity: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let thread = thread::Builder::new().name("pai-ticker".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(&engine)
        })?;
        Ok(Self {
            clock: Clock {
                shared,
                ticker: thread.thread().clone(),
            },
            thread: Some(thread),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.clock.shared.stop.store(true, Ordering::SeqCst);
        self.clock.ticker.unpark();
        if let Some(thread) = self.thread.take() {
            // It has nothing that could panic.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut before = self.activity.load(Ordering::SeqCst);
        while !self.stop.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            let now = self.activity.load(Ordering::SeqCst);
            if now == before && now.is_multiple_of(ONE_START) {
                self.rest(now);
            }
            before = now;
        }
    }

    /// Nothing executed during the last tick: waits until something does.
    fn rest(&self, seen: u64) {
        // Whoever starts changes `activity` first and looks at `parked` then;
        // here it is the other way round, so one of the two notices.
        self.parked.store(true, Ordering::SeqCst);
        while self.activity.load(Ordering::SeqCst) == seen && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }
}

impl Clock {
    /// A plugin executes from now on.
    pub(crate) fn start(&self) -> Running<'_> {
        self.go_on();
        Running(self)
    }

    /// As [`Clock::start`], for what [`Clock::pause`] interrupted.
    pub(crate) fn go_on(&self) {
        self.shared
            .activity
            .fetch_add(ONE_START + 1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst) {
            self.ticker.unpark();
        }
    }

    /// The plugin that executes is going to wait inside the host.
    pub(crate) fn pause(&self) {
        self.shared.activity.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.pause();
    }
}
