//! One plugin in one session, as seen from outside its store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capability::Grants;
use super::drive::Flags;
use crate::output::{Notes, Sink};
use crate::session::{Limits, PluginFailure};

/// How much of a plugin's last words is kept, for the case that they explain
/// its death.
const LAST_WORDS: usize = 2048;

/// What the host knows of a running plugin, over threads.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its name, with a number when it runs several times.
    pub(crate) name: String,
    pub(crate) grants: Grants,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) sink: Sink,
    pub(crate) notes: Notes,
    pub(crate) flags: Arc<Flags>,
    pub(crate) totals: Totals,
    last_words: Mutex<String>,
    failure: Mutex<Option<PluginFailure>>,
}

/// What it used. Written when it ends, but for the output.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) wasm_nanos: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
}

impl Seat {
    pub(crate) fn new(
        name: String,
        grants: Grants,
        options: Vec<(String, String)>,
        limits: Limits,
        (sink, notes): (Sink, Notes),
        flags: Arc<Flags>,
    ) -> Self {
        Self {
            name,
            grants,
            options,
            limits,
            sink,
            notes,
            flags,
            totals: Totals::default(),
            last_words: Mutex::new(String::new()),
            failure: Mutex::new(None),
        }
    }

    /// Text for the user; waits for room in the output.
    pub(crate) fn print(&self, text: &str) {
        self.count(self.sink.print(text));
    }

    /// Counts what it wrote.
    pub(crate) fn count(&self, bytes: usize) {
        self.totals
            .output_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Remembers what may be the message of a panic.
    pub(crate) fn said(&self, line: &str) {
        let mut words = lock(&self.last_words);
        words.push_str(line);
        words.push('\n');
        let excess = words.len().saturating_sub(LAST_WORDS);
        if excess > 0 {
            let cut = words.ceil_char_boundary(excess);
            words.drain(..cut);
        }
    }

    pub(crate) fn last_words(&self) -> String {
        lock(&self.last_words).clone()
    }

    pub(crate) fn failed(&self, failure: PluginFailure) {
        *lock(&self.failure) = Some(failure);
    }

    pub(crate) fn take_failure(&self) -> Option<PluginFailure> {
        lock(&self.failure).take()
    }
}

/// A panic elsewhere leaves plain data: nothing to repair.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
