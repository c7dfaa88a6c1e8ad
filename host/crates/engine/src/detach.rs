//! Letting go of everything, without a trace.

use std::time::{Duration, Instant};

use pai_ptrace::wait::{self, Block, Report, Waited, What};
use pai_ptrace::{Pid, Resume, Signal, Stop, Stopped, SyscallOp, Tid, kill, own_tid};

use crate::engine::Engine;
use crate::error::{Fatal, unless_gone};
use crate::event::{Event, ExitStatus};
use crate::procfs;
use crate::task::{After, State, Task};

/// How long a task may take to stop for its detach. The kernel lets go of the
/// rest when the tracer thread ends.
const DETACH_PATIENCE: Duration = Duration::from_secs(5);

/// How long a report is waited for before it may have been stolen.
const RECLAIM: Duration = Duration::from_millis(50);

impl Engine {
    /// Detaches from every task. What is stopped goes on as if nobody had
    /// traced it: pending signals are delivered, group-stops stay, interrupted
    /// calls restart.
    ///
    /// Never fails: what cannot be detached is left to the kernel, which does
    /// it when the tracer thread ends (a running task is not disturbed by
    /// that).
    pub fn shut_down(&mut self) {
        if !self.started {
            self.kill_before_exec();
        }
        self.started = true;
        if let Err(error) = self.detach_stopped().and_then(|()| self.detach_running()) {
            tracing::warn!(target: "pai::engine", %error, "detach is incomplete");
        }
        self.tasks.clear();
        self.processes.clear();
        self.orphans.clear();
        self.running = 0;
    }

    /// A spawned child whose gate was not opened has nothing to go on with.
    fn kill_before_exec(&mut self) {
        let child = self.tasks.iter().find(|(_, task)| task.before_exec);
        if let Some((tid, _)) = child
            && let Err(error) = kill(tid.as_pid(), Signal::KILL)
        {
            tracing::debug!(target: "pai::engine", %error, "the target is gone already");
        }
    }

    fn detach_stopped(&mut self) -> Result<(), Fatal> {
        // First, because a task that has stopped must not be interrupted.
        while let Some(report) = self.queue.pop_front() {
            self.let_go_of_report(report)?;
        }
        let tids: Vec<Tid> = self.tasks.keys().copied().collect();
        for tid in tids {
            let Some(task) = self.tasks.get_mut(&tid) else {
                continue;
            };
            match std::mem::replace(&mut task.state, State::Dying) {
                State::Held(held) => {
                    let held = *held;
                    match held.event {
                        Event::SyscallEnter(_) => self.pass_entry(held.stopped)?,
                        _ => self.let_go(held.stopped, held.after)?,
                    }
                }
                State::Parked(stopped, after) => self.let_go(stopped, after)?,
                State::Running(running) | State::Listening(running, _) => {
                    // A task that is gone reports its exit.
                    task.interrupting = running.interrupt().is_ok();
                    task.state = State::Running(running);
                }
                State::Starting => task.state = State::Starting,
                State::Dying => {}
            }
        }
        let orphans: Vec<Tid> = self.orphans.keys().copied().collect();
        for tid in orphans {
            if let Some(orphan) = self.orphans.remove(&tid) {
                self.let_go(orphan.stopped, After::Resume)?;
            }
        }
        Ok(())
    }

    /// Waits for the rest to stop or end.
    fn detach_running(&mut self) -> Result<(), Fatal> {
        let until = Instant::now() + DETACH_PATIENCE;
        let mut next = Instant::now() + RECLAIM;
        while !self.tasks.is_empty() || self.find_strays() {
            self.alarm.set_deadline(Some(next.min(until)));
            match wait::any(Block::Yes)? {
                Waited::Report(report) => self.let_go_of_report(report)?,
                Waited::Nothing => {}
                Waited::NoTasks => break,
                Waited::Interrupted => {
                    let now = Instant::now();
                    if now >= until {
                        let left: Vec<_> = self.tasks.keys().collect();
                        tracing::warn!(target: "pai::engine", ?left, "did not stop for the detach");
                        break;
                    }
                    // Nothing but the time matters now.
                    self.alarm.take_wake();
                    if now >= next {
                        self.reclaim_stolen()?;
                        next = now + RECLAIM;
                    }
                }
            }
        }
        self.alarm.set_deadline(None);
        Ok(())
    }

    /// Serves the stops whose reports somebody else took.
    fn reclaim_stolen(&mut self) -> Result<(), Fatal> {
        let tids: Vec<Tid> = self.tasks.keys().copied().collect();
        for tid in tids {
            let Some(task) = self.tasks.get_mut(&tid) else {
                continue;
            };
            match std::mem::replace(&mut task.state, State::Dying) {
                State::Running(running) => match wait::reclaim(running, task.pid) {
                    Ok(report) => self.let_go_of_report(report)?,
                    Err(running) => task.state = State::Running(running),
                },
                other => task.state = other,
            }
        }
        Ok(())
    }

    /// Looks for tasks that are ours although nobody has told us of them: new
    /// ones whose creator asked for CLONE_PTRACE and CLONE_UNTRACED, or was
    /// killed before it could report. They are about to stop, and would stay
    /// stopped.
    fn find_strays(&mut self) -> bool {
        if wait::any_left() {
            for tid in procfs::traced_by(own_tid()) {
                if !self.tasks.contains_key(&tid) {
                    let task = Task::new(tid.as_pid(), State::Starting, self.options);
                    self.tasks.insert(tid, task);
                }
            }
        }
        !self.tasks.is_empty()
    }

    fn let_go_of_report(&mut self, report: Report) -> Result<(), Fatal> {
        let tid = report.tid;
        let (stopped, stop) = match report.what {
            What::Exited(code) => {
                self.forget(tid, ExitStatus::Exited(code));
                return Ok(());
            }
            What::Killed(signal, core) => {
                self.forget(tid, ExitStatus::Killed(signal, core));
                return Ok(());
            }
            What::Stopped(stopped, stop) => (stopped, stop),
        };
        let after = match stop {
            Stop::SignalDelivery(signal) => After::Deliver(signal),
            Stop::Interrupt => {
                self.repair_eintr(&stopped, None)?;
                After::Resume
            }
            Stop::Syscall => {
                match unless_gone(stopped.syscall_info())?.map(|info| info.op) {
                    Some(SyscallOp::Exit { .. }) => {
                        self.put_back(&stopped)?;
                        self.repair_eintr(&stopped, None)?;
                    }
                    Some(SyscallOp::Entry { .. }) => return self.pass_entry(stopped),
                    _ => {}
                }
                After::Resume
            }
            Stop::NewTask(kind) => {
                // The child is traced too, and stops by itself, if it has not
                // been let go already.
                if let Some(child) = unless_gone(stopped.event_message(Stop::NewTask(kind)))?
                    && let Ok(child @ 1..) = i32::try_from(child)
                    && !self.tasks.contains_key(&Tid::new(child))
                    && procfs::is_traced_by(Tid::new(child), own_tid())
                {
                    let task = Task::new(Pid::new(child), State::Starting, self.options);
                    self.tasks.insert(Tid::new(child), task);
                }
                After::Resume
            }
            Stop::Exec => {
                let pid = tid.as_pid();
                self.tasks.retain(|_, task| task.pid != pid);
                After::Resume
            }
            _ => After::Resume,
        };
        self.let_go(stopped, after)
    }

    /// The entry of a call is no place to leave: PTRACE_DETACH marks the task
    /// as if a signal were about (__ptrace_unlink in kernel/ptrace.c), and the
    /// call may fail with EINTR at once. The interrupt behind it is one.
    fn pass_entry(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        self.interrupt_again(&stopped)?;
        let tid = stopped.tid();
        if let Some(running) = unless_gone(stopped.resume(Resume::Cont, None))?
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.state = State::Running(running);
        }
        Ok(())
    }

    fn let_go(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        self.put_back(&stopped)?;
        let signal = match after {
            After::Deliver(signal) => Some(signal),
            After::Resume | After::Listen(_) => None,
        };
        if signal.is_some() {
            self.repair_eintr(&stopped, signal)?;
        }
        let detached = unless_gone(stopped.detach(signal))?.is_some();
        if detached {
            self.tasks.remove(&tid);
        }
        Ok(())
    }

    fn forget(&mut self, tid: Tid, status: ExitStatus) {
        self.tasks.remove(&tid);
        if self.root.map(Pid::leader) == Some(tid) {
            self.root_status = Some(status);
        }
    }

    /// Waits for the end of a spawned target that is not traced any more.
    /// `interrupted` is called whenever a signal of ours comes in between.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn await_root(
        &mut self,
        mut interrupted: impl FnMut(Pid),
    ) -> Result<Option<ExitStatus>, Fatal> {
        let Some(root) = self.root.filter(|_| self.gate.is_some()) else {
            return Ok(None);
        };
        while self.root_status.is_none() {
            match wait::one(root.leader(), Block::Yes)? {
                Waited::Report(report) => match report.what {
                    What::Exited(code) => self.root_status = Some(ExitStatus::Exited(code)),
                    What::Killed(signal, core) => {
                        self.root_status = Some(ExitStatus::Killed(signal, core));
                    }
                    What::Stopped(..) => {}
                },
                Waited::Interrupted => {
                    self.alarm.take_wake();
                    interrupted(root);
                }
                Waited::Nothing => {}
                Waited::NoTasks => break,
            }
        }
        Ok(self.root_status)
    }
}
