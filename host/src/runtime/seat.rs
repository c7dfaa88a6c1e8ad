//! One plugin in one session, as seen from outside its store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::Level;

use super::capability::Grants;
use super::drive::Flags;
use crate::output::{Notes, Sink, escape};
use crate::session::{Limits, PluginFailure};

/// How much of a panic's message is kept.
const MOST_WORDS: usize = 2048;

/// What the host knows of a running plugin, over threads.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its name, with a number when it runs several times.
    pub(crate) name: String,
    pub(crate) grants: Grants,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) limits: Limits,
    /// Whether the time that it takes is measured.
    pub(crate) timed: bool,
    pub(crate) sink: Sink,
    pub(crate) notes: Notes,
    pub(crate) flags: Arc<Flags>,
    pub(crate) totals: Totals,
    last_words: Mutex<LastWords>,
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
        timed: bool,
        (sink, notes): (Sink, Notes),
        flags: Arc<Flags>,
    ) -> Self {
        Self {
            name,
            grants,
            options,
            limits,
            timed,
            sink,
            notes,
            flags,
            totals: Totals::default(),
            last_words: Mutex::new(LastWords::default()),
            failure: Mutex::new(None),
        }
    }

    /// Text for the user; waits for room in the output.
    pub(crate) fn print(&self, task: Option<u32>, text: &str) {
        self.count(self.sink.print(task, text));
    }

    /// Counts what it wrote.
    pub(crate) fn count(&self, bytes: usize) {
        self.totals
            .output_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A line for the host's log. Errors and warnings are remembered, for they
    /// may be the message of a panic; that is shown when the plugin has failed,
    /// and not twice.
    pub(crate) fn log(&self, level: Level, line: &str) {
        let line = escape(line);
        let mut level = level;
        if level <= Level::WARN {
            let mut words = lock(&self.last_words);
            if words.said(&line) {
                level = Level::DEBUG;
            }
        }
        let plugin = self.name.as_str();
        match level {
            Level::TRACE => tracing::trace!(target: "pai::plugin", plugin, "{line}"),
            Level::DEBUG => tracing::debug!(target: "pai::plugin", plugin, "{line}"),
            Level::INFO => tracing::info!(target: "pai::plugin", plugin, "{line}"),
            Level::WARN => tracing::warn!(target: "pai::plugin", plugin, "{line}"),
            _ => tracing::error!(target: "pai::plugin", plugin, "{line}"),
        }
    }

    /// What the plugin said in its panic, if it did panic.
    pub(crate) fn panic_message(&self) -> Option<String> {
        lock(&self.last_words).panic_message()
    }

    pub(crate) fn failed(&self, failure: PluginFailure) {
        *lock(&self.failure) = Some(failure);
    }

    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    pub(crate) fn take_failure(&self) -> Option<PluginFailure> {
        lock(&self.failure).take()
    }
}

/// A panic in the making: Rust's hook, or the SDK's, prints where and why, and
/// then the plugin aborts.
#[derive(Debug, Default)]
struct LastWords(String);

impl LastWords {
    const MARK: &str = "panicked at ";

    /// Whether this belongs to a panic.
    fn said(&mut self, text: &str) -> bool {
        if let Some(start) = text.find(Self::MARK) {
            self.0.clear();
            self.0.push_str(&text[start..]);
        } else if self.0.is_empty() {
            return false;
        } else {
            self.0.push('\n');
            self.0.push_str(text);
        }
        self.0.truncate(self.0.floor_char_boundary(MOST_WORDS));
        true
    }

    fn panic_message(&self) -> Option<String> {
        let lines: Vec<&str> = self
            .0
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("note: "))
            .collect();
        (!lines.is_empty()).then(|| lines.join(" "))
    }
}

/// A panic elsewhere leaves plain data: nothing to repair.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::LastWords;

    #[test]
    fn panics_are_told_from_other_words() {
        let mut words = LastWords::default();
        assert!(!words.said("starting"));
        assert_eq!(words.panic_message(), None);
        for line in [
            "thread '<unnamed>' (1) panicked at src/lib.rs:9:5:",
            "boom",
            "  left: 1",
            "note: run with `RUST_BACKTRACE=1`",
        ] {
            assert!(words.said(line));
        }
        assert_eq!(
            words.panic_message().unwrap(),
            "panicked at src/lib.rs:9:5: boom left: 1"
        );
        assert!(words.said("panicked at x: another\nline"));
        assert!(words.said(&"ü".repeat(9999)));
        let message = words.panic_message().unwrap();
        assert!(message.starts_with("panicked at x: another line ü"));
        assert!(message.len() <= super::MOST_WORDS);
    }
}
