//! Tasks whose creator has not told us of them, and perhaps never will.

use std::collections::VecDeque;

use pai_ptrace::{Pid, Stop, Stopped, Tid};

use crate::attach::Follow;
use crate::engine::Engine;
use crate::error::{Fatal, unless_gone};
use crate::procfs;
use crate::site::INT3;
use crate::space::Space;
use crate::task::{After, State, Task};

/// First stop of a task whose creator has not told us about it yet. The two
/// reports come in either order (ptrace(2), PTRACE_O_TRACECLONE).
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) stopped: Stopped,
    /// A thread may be born into a group-stop.
    pub(crate) after: After,
    /// The watch has seen it once.
    pub(crate) old: bool,
}

/// Address spaces that are gone.
#[derive(Default, Debug)]
pub(crate) struct Buried {
    /// Newest last.
    spaces: VecDeque<Space>,
    /// Of these, so many were there at the last look of the watch.
    old: usize,
}

/// Most of them that are kept.
const MOST_BURIED: usize = 64;

impl Buried {
    /// Keeps a space of which a child may have a copy.
    pub(crate) fn add(&mut self, space: Space) {
        if self.spaces.len() >= MOST_BURIED {
            self.spaces.pop_front();
            self.old = self.old.saturating_sub(1);
        }
        self.spaces.push_back(space);
    }

    /// Forgets what was there at the last look: a child has stopped by now.
    pub(crate) fn age(&mut self) {
        self.spaces.drain(..self.old.min(self.spaces.len()));
        self.old = self.spaces.len();
    }
}

impl Engine {
    /// Serves the first stop of a task that came before its creator's report.
    pub(crate) fn release_orphan(&mut self, child: Tid) -> Result<(), Fatal> {
        match self.orphans.remove(&child) {
            Some(orphan) => self.on_first_stop(orphan.stopped, orphan.after),
            None => Ok(()),
        }
    }

    /// A stop of a task that we do not know: the first one of a child whose
    /// creator has not reported yet, or the last words of one that another
    /// task's exec made us forget.
    pub(crate) fn on_unknown(&mut self, stopped: Stopped, stop: Stop) -> Result<(), Fatal> {
        let (after, signal) = match stop {
            Stop::Interrupt => (Some(After::Resume), None),
            Stop::GroupStop(signal) => (Some(After::Listen(signal)), None),
            Stop::SignalDelivery(signal) => (None, Some(signal)),
            _ => (None, None),
        };
        if let Some(after) = after {
            self.set_aside(stopped, after);
            return Ok(());
        }
        unless_gone(stopped.resume(pai_ptrace::Resume::Cont, signal))?;
        Ok(())
    }

    /// Keeps a task stopped that has not been told of.
    pub(crate) fn set_aside(&mut self, stopped: Stopped, after: After) {
        let tid = stopped.tid();
        let orphan = Orphan {
            stopped,
            after,
            old: false,
        };
        self.orphans.insert(tid, orphan);
    }

    /// Takes in children whose creator died before it could report them: at
    /// once when its whole process is gone, else when the watch comes by for
    /// the second time.
    pub(crate) fn adopt_orphans(&mut self, watch: bool) -> Result<(), Fatal> {
        let mut adopted = Vec::new();
        for (tid, orphan) in &mut self.orphans {
            if self.tasks.contains_key(tid) {
                continue;
            }
            let own = procfs::status_id(*tid, "Tgid").filter(|pid| pid.leader() != *tid);
            let creator = own.or_else(|| procfs::status_id(*tid, "PPid"));
            let dead = creator.is_none_or(|pid| !self.processes.contains_key(&pid));
            if dead || (watch && orphan.old) {
                adopted.push(*tid);
            }
            orphan.old |= watch;
        }
        for tid in adopted {
            let pid = procfs::status_id(tid, "Tgid").unwrap_or(tid.as_pid());
            let parent = procfs::status_id(tid, "PPid");
            let mut task = Task::new(pid, State::Starting, self.options);
            let left = self.follow == Follow::No || parent.is_some_and(|p| self.is_unfollowed(p));
            task.unfollowed = left && pid == tid.as_pid();
            self.add_task(tid, task);
            if !self.processes.contains_key(&pid) {
                self.add_orphan(pid, parent);
            }
            self.release_orphan(tid)?;
        }
        Ok(())
    }

    /// Takes in a process that nobody has told us of. Its creator was killed before
    /// it could (ptrace_stop in kernel/signal.c stops nobody who is about to die), or
    /// another thread of the creator's has executed a program. Who it was, nobody can
    /// say any more; but the memory is a copy of its own, with all our breakpoints.
    pub(crate) fn add_orphan(&mut self, pid: Pid, parent: Option<Pid>) {
        let space = self.space_of_attached(pid);
        self.add_process(pid, parent, 0, false, space);
        self.learn_abi(pid);
        if self.is_shared(space) {
            return;
        }
        let mut buried = std::mem::take(&mut self.buried);
        let places = |space: &Space| space.places_of_ours();
        let found = buried.spaces.iter().rev().find(|space| {
            let (all, places) = places(space);
            self.has_int3(pid, all, &places)
        });
        let copy = found.map(Space::copy).or_else(|| {
            let of_parent = self.space(parent?)?;
            let (all, places) = places(of_parent);
            let copy = of_parent.copy();
            self.has_int3(pid, all, &places).then_some(copy)
        });
        std::mem::swap(&mut self.buried, &mut buried);
        if let (Some(copy), Some(space)) = (copy, self.space_mut(pid)) {
            *space = copy;
        }
    }

    /// Whether there is an `int3` in all, or some, of these places.
    fn has_int3(&mut self, pid: Pid, all: bool, places: &[u64]) -> bool {
        let mut found = places
            .iter()
            .map(|addr| self.byte_at(pid, *addr) == Some(INT3));
        if all {
            found.all(|found| found)
        } else {
            found.any(|found| found)
        }
    }
}

impl Space {
    /// Where a copy has an `int3` of ours: everywhere there, or only in some places,
    /// because they were taken away.
    fn places_of_ours(&self) -> (bool, Vec<u64>) {
        let places = self.sites.keys().chain(self.stubs.keys());
        let places: Vec<u64> = places.copied().collect();
        if places.is_empty() {
            return (false, self.removed.keys().copied().collect());
        }
        (true, places)
    }
}
