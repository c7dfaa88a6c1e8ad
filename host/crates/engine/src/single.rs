//! Waiting for one task, out of turn: for one that is about to stop.

use std::time::{Duration, Instant};

use pai_ptrace::wait::{self, Block, Report, Waited, What, was_stolen};
use pai_ptrace::{Running, Stop, Stopped, Tid};

use crate::engine::Engine;
use crate::error::{Fatal, unless_gone};
use crate::procfs;
use crate::task::State;

/// How long the task may take before it is looked whether its report was stolen.
const LOOK: Duration = Duration::from_millis(250);

/// A task that was resumed: stopped, or on its way out, which the loop sees.
pub(crate) type Here<T> = Result<Option<T>, Fatal>;

impl Engine {
    /// The next stop of a task that was just resumed; `None` when it ends, of
    /// which the loop will be told.
    pub(crate) fn next_stop(&mut self, running: Running) -> Here<(Stopped, Stop)> {
        let next = self.next_report(running)?;
        Ok(next.map(|(stopped, stop, _)| (stopped, stop)))
    }

    /// The same, with the status as the kernel gave it.
    pub(crate) fn next_report(&mut self, running: Running) -> Here<(Stopped, Stop, i32)> {
        let tid = running.tid();
        let pid = self.tasks.get(&tid).map_or(tid.as_pid(), |task| task.pid);
        let mut look_at = Instant::now() + LOOK;
        loop {
            self.alarm.set_deadline(Some(look_at));
            let report = match wait::one(tid, Block::Yes)? {
                Waited::Report(report) => report,
                Waited::Interrupted | Waited::Nothing => {
                    if Instant::now() >= look_at {
                        look_at += LOOK;
                        if was_stolen(&running, pid) {
                            return Err(Fatal::Stolen { tid });
                        }
                    }
                    continue;
                }
                // Another task's exec has made it vanish.
                Waited::NoTasks => {
                    self.dying(tid)?;
                    return Ok(None);
                }
            };
            let Report { status, .. } = report;
            match report.what {
                What::Stopped(stopped, stop) if !matches!(stop, Stop::Exit | Stop::Exec) => {
                    self.stats.stops += 1;
                    return Ok(Some((stopped, stop, status)));
                }
                _ => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.state = State::Dying;
                    }
                    self.queue.push_front(report);
                    return Ok(None);
                }
            }
        }
    }

    /// Stops a task that may be executing code of the target. One that sleeps in
    /// the kernel will stop before it gets back to that.
    pub(crate) fn stop_now(&mut self, tid: Tid) -> Result<(), Fatal> {
        const PAUSE: Duration = Duration::from_millis(2);
        if self.queue.iter().any(|report| report.tid == tid) {
            return Ok(());
        }
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let State::Running(running) = &task.state else {
            return Ok(());
        };
        if unless_gone(running.interrupt())?.is_none() {
            return Ok(());
        }
        task.interrupting = true;
        loop {
            self.alarm.set_deadline(Some(Instant::now() + PAUSE));
            match wait::one(tid, Block::Yes)? {
                Waited::Report(report) => {
                    self.running = self.running.saturating_sub(1);
                    self.queue.push_back(report);
                    return Ok(());
                }
                Waited::NoTasks => return Ok(()),
                Waited::Interrupted | Waited::Nothing => {
                    if !procfs::is_on_cpu(tid) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives the loop a stop that was taken out of turn.
    pub(crate) fn serve_later(&mut self, stopped: Stopped, stop: Stop, status: i32) {
        let tid = stopped.tid();
        self.queue.push_front(Report {
            tid,
            status,
            what: What::Stopped(stopped, stop),
        });
    }

    /// Serves the first stop of a child that is not to be followed, so that it is
    /// let go before its creator goes on: that one may want to trace it itself.
    pub(crate) fn await_leaver(&mut self, child: Tid) -> Result<(), Fatal> {
        let starts = |engine: &Self| {
            let task = engine.tasks.get(&child);
            task.is_some_and(|task| matches!(task.state, State::Starting))
        };
        let until = Instant::now() + LOOK;
        while starts(self) {
            if let Some(at) = self.queue.iter().position(|report| report.tid == child)
                && let Some(report) = self.queue.remove(at)
            {
                self.dispatch(report)?;
                continue;
            }
            self.alarm.set_deadline(Some(until));
            match wait::one(child, Block::Yes)? {
                Waited::Report(report) => {
                    self.running = self.running.saturating_sub(1);
                    self.dispatch(report)?;
                }
                Waited::Interrupted | Waited::Nothing if Instant::now() < until => {}
                // The loop will see to it.
                _ => break,
            }
        }
        Ok(())
    }
}
