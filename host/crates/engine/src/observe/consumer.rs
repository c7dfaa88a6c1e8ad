//! The observer's end of the buffer.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Kept, Overflow, Record, Shared};
use crate::event::Event;

/// How long an observer that has work waits for more: each nap costs two switches of a
/// CPU that the target may be on.
const NAP: Duration = Duration::from_millis(10);

/// The observer's end.
#[derive(Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
    /// What was taken out of the buffer.
    taken: Kept,
    /// How much of that has been given: calls, bytes, everything else.
    given: Given,
}

/// A place in what was taken.
#[derive(Clone, Copy, Default, Debug)]
struct Given {
    calls: usize,
    captured: usize,
    others: usize,
}

/// What an observer gets at once.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Calls in the order of their exits.
    pub calls: &'a [Record],
    /// What their arguments lead to, in the encoding of
    /// [`pai_syscalls::decode::Captured`], for observers that want it.
    pub captured: &'a [u8],
    others: &'a [(u32, Event)],
    /// The index of the first call.
    first: u32,
    /// Lost since the last batch.
    pub lost: u64,
    /// No more will come.
    pub last: bool,
}

impl<'a> Batch<'a> {
    /// Everything else, in order, each before the call at the index given.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (u32, &'a Event)> + use<'a> {
        let first = self.first;
        let others = self.others.iter();
        others.map(move |(place, event)| (place.saturating_sub(first), event))
    }
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            taken: Kept::default(),
            given: Given::default(),
        }
    }

    /// Sets how much is kept, and what happens beyond.
    pub fn configure(&self, capacity: usize, overflow: Overflow) {
        let mut buffer = self.shared.lock();
        buffer.capacity = capacity;
        buffer.overflow = overflow;
    }

    /// At most `max` records: what is left of those that were taken, or else what there
    /// is after waiting for at least one, or `max_wait`.
    pub fn next_batch(&mut self, max: usize, max_wait: Duration) -> Batch<'_> {
        let left = self.taken.calls.len() - self.given.calls;
        if left + self.taken.others.len() - self.given.others == 0 {
            self.take(max_wait);
        }
        self.give(max)
    }

    /// Does what waits for the tracer, which does not wait for room in the buffer
    /// meanwhile. What it keeps beyond is little: it answers before it looks at more.
    pub fn while_asking<R>(&self, ask: impl FnOnce() -> R) -> R {
        self.shared.lock().asking = true;
        self.shared.emptied.notify_one();
        let answer = ask();
        self.shared.lock().asking = false;
        answer
    }

    /// Takes all that there is.
    fn take(&mut self, max_wait: Duration) {
        // The room that it has is used again.
        self.taken.calls.clear();
        self.taken.captured.clear();
        self.taken.others.clear();
        self.taken.weight = 0;
        self.taken.lost = 0;
        self.given = Given::default();
        let deadline = Instant::now().checked_add(max_wait);
        let mut napped = false;
        let mut buffer = self.shared.lock();
        loop {
            if napped && buffer.len() == 0 {
                buffer.flush_pending(None);
            }
            if buffer.kept.last || buffer.is_filling() || (napped && buffer.len() > 0) {
                break;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let idle = buffer.len() == 0 && buffer.pending.is_none();
            buffer.sleeping = idle;
            buffer.napping = !idle;
            let pause = match (idle, left) {
                (true, left) => left,
                (false, Some(left)) => Some(left.min(NAP)),
                (false, None) => Some(NAP),
            };
            napped = !idle;
            let filled = &self.shared.filled;
            buffer = match pause {
                Some(pause) => {
                    filled
                        .wait_timeout(buffer, pause)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => filled.wait(buffer).unwrap_or_else(PoisonError::into_inner),
            };
        }
        buffer.sleeping = false;
        buffer.napping = false;
        std::mem::swap(&mut buffer.kept, &mut self.taken);
        drop(buffer);
        self.shared.emptied.notify_one();
    }

    fn give(&mut self, max: usize) -> Batch<'_> {
        let from = self.given;
        // Up to the first event, or events up to the next call, so that the order is
        // kept whatever the mixture.
        let mut calls = max.min(self.taken.calls.len() - from.calls);
        let mut others = 0;
        for (place, _) in &self.taken.others[from.others..] {
            let before = usize::try_from(*place).unwrap_or(usize::MAX);
            let before = before.saturating_sub(from.calls);
            if before + others >= max {
                // It has to wait, and what comes behind it does, too.
                break;
            }
            others += 1;
            calls = calls.min(max - others);
        }
        let records = &self.taken.calls[from.calls..from.calls + calls];
        let bytes: usize = records.iter().map(|r| r.captured as usize).sum();
        let to = Given {
            calls: from.calls + calls,
            captured: from.captured + bytes,
            others: from.others + others,
        };
        self.given = to;
        let is_all = to.calls == self.taken.calls.len() && to.others == self.taken.others.len();
        Batch {
            calls: records,
            captured: &self.taken.captured[from.captured..to.captured],
            others: &self.taken.others[from.others..to.others],
            first: u32::try_from(from.calls).unwrap_or(u32::MAX),
            lost: std::mem::take(&mut self.taken.lost),
            last: self.taken.last && is_all,
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.emptied.notify_one();
    }
}
