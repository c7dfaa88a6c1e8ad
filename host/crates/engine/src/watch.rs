//! Deadlines, and the check for stolen reports.
//!
//! The tracer blocks in wait4 without a timeout. When a report was stolen by
//! another thread of the process, it would block for ever; so from time to time
//! an alarm makes it look. The pause between looks grows while nothing happens:
//! a quiet target costs nothing.

use std::time::{Duration, Instant};

use pai_ptrace::Tid;
use pai_ptrace::wait::was_stolen;

use crate::engine::Engine;
use crate::error::Fatal;
use crate::task::State;

/// First pause. Also how late a stolen report is noticed when nothing else
/// happens.
const SOONEST: Duration = Duration::from_millis(250);
const LATEST: Duration = Duration::from_secs(64);
/// Tasks looked at in one go.
const MOST_TASKS: usize = 64;

#[derive(Debug)]
pub(crate) struct Watch {
    next: Instant,
    pause: Duration,
    /// Stops counted at the last look.
    stops: u64,
    /// Where the last look ended.
    after: Option<Tid>,
    /// Early ends known at the last look.
    early_ends: usize,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            next: Instant::now() + SOONEST,
            pause: SOONEST,
            stops: 0,
            after: None,
            early_ends: 0,
        }
    }
}

impl Engine {
    /// Sets the alarm to the next thing that has a time. Costs no system call
    /// when that has not changed.
    pub(crate) fn set_alarm(&mut self) {
        if self.stats.stops != self.watch.stops && self.watch.pause > SOONEST {
            self.watch.pause = SOONEST;
            self.watch.next = Instant::now() + SOONEST;
        }
        let mut next = self.watch.next;
        for client in &self.clients {
            if let Some(deadline) = client.deadline {
                next = next.min(deadline);
            }
        }
        for (deadline, ..) in &self.deadlines {
            next = next.min(*deadline);
        }
        for (until, _) in &self.delays {
            next = next.min(*until);
        }
        self.alarm.set_deadline(Some(next));
    }

    /// A signal interrupted the wait: a wake (left for the loop), or a time
    /// that has come.
    pub(crate) fn alarm_went(&mut self) -> Result<(), Fatal> {
        if !self.alarm.take_deadline() {
            return Ok(());
        }
        self.expire_clients();
        self.expire_operations();
        self.expire_delays()?;
        let now = Instant::now();
        if now < self.watch.next {
            return Ok(());
        }
        if self.stats.stops == self.watch.stops {
            self.watch.pause = (self.watch.pause * 4).min(LATEST);
        } else {
            self.watch.pause = SOONEST;
        }
        self.watch.stops = self.stats.stops;
        self.watch.next = now + self.watch.pause;
        self.adopt_orphans(true)?;
        self.buried.age();
        // A creator that has not spoken by now never will.
        let old = self.watch.early_ends.min(self.early_ends.len());
        self.early_ends.drain(..old);
        self.watch.early_ends = self.early_ends.len();
        self.look_for_stolen()?;
        // At most one such leader per process.
        if self.running <= self.processes.len() {
            self.release_stuck(true);
        }
        Ok(())
    }

    /// Looks at some of the tasks that we believe to be running.
    fn look_for_stolen(&mut self) -> Result<(), Fatal> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        let mut running: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task.state, State::Running(_)))
            .map(|(tid, _)| *tid)
            .collect();
        running.sort_unstable();
        let first = match self.watch.after {
            Some(after) => running.partition_point(|tid| *tid <= after),
            None => 0,
        };
        running.rotate_left(first);
        running.truncate(MOST_TASKS);
        self.watch.after = running.last().copied();
        for tid in running {
            let task = &self.tasks[&tid];
            if let State::Running(running) = &task.state
                && was_stolen(running, task.pid)
            {
                return Err(Fatal::Stolen { tid });
            }
        }
        Ok(())
    }
}
