//! Which tasks there have been in a session.

use std::sync::{Arc, Mutex, PoisonError};

use pai_ptrace::Tid;
use rustc_hash::FxHashSet;

use crate::engine::Engine;

/// The numbers of all tasks of a session, over threads and beyond its end.
#[derive(Clone, Debug, Default)]
pub struct SeenTasks(Arc<Mutex<FxHashSet<Tid>>>);

impl SeenTasks {
    pub(crate) fn add(&self, tid: Tid) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(tid);
    }

    /// Whether there has been a task with this number.
    pub fn has(&self, tid: Tid) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.contains(&tid)
    }
}

impl Engine {
    /// Notes in there which tasks there are from now on.
    pub fn note_tasks(&mut self, seen: SeenTasks) {
        self.seen = Some(seen);
    }
}
