//! Reports of tasks, as the kernel gives them.

use pai_ptrace::Tid;
use pai_ptrace::wait::{self, Block, Report, Waited};

use crate::engine::Engine;
use crate::error::Fatal;

/// With more running tasks than this the kernel's search for one that has stopped is
/// what a wait costs: it looks at each (do_wait in kernel/exit.c).
const MANY: usize = 16;
/// So often in a row only those are asked that have reported last.
const MOST_ASKED: u32 = 16;
/// So often in a row one report is enough where there are no more as a rule.
const MOST_SINGLE: u32 = 8;

/// How reports of many tasks are looked for.
#[derive(Default, Debug)]
pub(crate) struct Rounds {
    /// Who has reported last.
    recent: Vec<Tid>,
    asked: u32,
    single: u32,
}

impl Engine {
    /// Takes the reports there are; waits for one if asked to.
    ///
    /// All pending reports are taken before the first is served, so that a
    /// task that stops all the time does not starve the others. With a single
    /// task running there is nobody to starve, and no second wait is made. With many
    /// it is nearly so: a task is served after at most so many rounds of others as the
    /// constants above say.
    pub(crate) fn collect(&mut self, block: Block) -> Result<(), Fatal> {
        // A client that computes holds what it holds; see `release_stuck`.
        if block == Block::Yes && self.alarm.has_rung() {
            self.alarm_went()?;
            if !self.with_mail.is_empty() {
                return Ok(());
            }
        }
        if self.running > MANY && self.ask_recent()? {
            return Ok(());
        }
        let mut block = block;
        if block == Block::Yes {
            if self.running == 0 && self.release_stuck(false) {
                return Ok(());
            }
            self.set_alarm();
        }
        loop {
            match wait::any(block)? {
                Waited::Report(report) => {
                    self.take_report(report);
                    if self.running == 0 || self.is_enough() {
                        break;
                    }
                    block = Block::No;
                }
                Waited::Nothing => {
                    self.rounds.single = match self.queue.len() {
                        0 | 1 => MOST_SINGLE,
                        _ => 0,
                    };
                    break;
                }
                Waited::Interrupted => return self.alarm_went(),
                Waited::NoTasks => return self.no_tasks_left(),
            }
        }
        self.note_recent();
        Ok(())
    }

    fn take_report(&mut self, report: Report) {
        if self.tasks.contains_key(&report.tid) {
            self.running = self.running.saturating_sub(1);
        }
        self.queue.push_back(report);
    }

    /// One report, where looking for more has found none of late.
    fn is_enough(&mut self) -> bool {
        if self.running <= MANY || self.rounds.single == 0 {
            return false;
        }
        self.rounds.single -= 1;
        true
    }

    /// Asks those that have reported last, which the kernel need not search for;
    /// whether there is a report.
    fn ask_recent(&mut self) -> Result<bool, Fatal> {
        if self.rounds.asked == MOST_ASKED {
            self.rounds.asked = 0;
            return Ok(false);
        }
        self.rounds.asked += 1;
        let recent = std::mem::take(&mut self.rounds.recent);
        for tid in &recent {
            // Of one that is gone there is no report.
            if let Waited::Report(report) = wait::one(*tid, Block::No)? {
                self.take_report(report);
            }
        }
        self.rounds.recent = recent;
        if self.queue.is_empty() {
            return Ok(false);
        }
        self.note_recent();
        Ok(true)
    }

    fn note_recent(&mut self) {
        self.rounds.recent.clear();
        if self.running + self.queue.len() > MANY {
            let reported = self.queue.iter().map(|report| report.tid);
            self.rounds.recent.extend(reported);
        }
    }

    /// wait4 says that this thread has no tracee left. Either their exits are
    /// queued, or somebody else took them.
    fn no_tasks_left(&mut self) -> Result<(), Fatal> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        match self.tasks.keys().next() {
            Some(tid) => Err(Fatal::Stolen { tid: *tid }),
            None => {
                self.orphans.clear();
                Ok(())
            }
        }
    }
}
