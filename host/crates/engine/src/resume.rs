//! How a stopped task goes on.

use pai_ptrace::{Options, Resume, Signal, Stopped, Tid};

use crate::engine::Engine;
use crate::error::{Fatal, unless_gone};
use crate::operation::Doing;
use crate::procfs;
use crate::task::{After, State};
use crate::trap::Past;

impl Engine {
    /// Lets a stopped task go on; before the session starts it waits.
    pub(crate) fn go_on(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        if let (true, After::Deliver(signal)) = (self.started, after) {
            let task = self.tasks.get_mut(&tid);
            let known = task.and_then(|task| task.at_signal.take());
            match known {
                Some(regs) => self.repair_eintr_of(&stopped, regs, Some(signal))?,
                None => self.repair_eintr(&stopped, Some(signal))?,
            };
        }
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        if !self.started {
            task.state = State::Parked(stopped, after);
            return Ok(());
        }
        if task.operation.is_some() {
            return self.operation_goes_on(stopped, after);
        }
        self.run_past(stopped, after)
    }

    /// Resumes a task, past the breakpoint that it stands at.
    pub(crate) fn run_past(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        let Some(pass) = task.trap.pass.take() else {
            return self.resume(stopped, after);
        };
        match self.go_past(stopped, pass)? {
            Some(Past::Go(stopped, after)) => self.resume(stopped, after),
            Some(Past::Done(stopped)) => self.resume(stopped, after),
            None => Ok(()),
        }
    }

    /// Resumes a task as far as the wishes of all clients need.
    pub(crate) fn resume(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get(&stopped.tid()) else {
            return Ok(());
        };
        let how = match task.operation.as_ref().map(|operation| &operation.doing) {
            // To where it can be cut off.
            Some(Doing::Call(_)) if task.in_call => Resume::Syscall,
            Some(Doing::Call(_)) => Resume::Cont,
            Some(Doing::Syscall { .. }) => Resume::Syscall,
            _ => self.to_next_call(task),
        };
        self.resume_as(stopped, after, how)
    }

    /// Resumes a task like this.
    pub(crate) fn resume_as(
        &mut self,
        stopped: Stopped,
        after: After,
        how: Resume,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let mut options = self.wanted_options();
        let owes_step = self.owes_step(tid);
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        // Its entry is where it leaves the copy.
        let calls = task.trap.copy.is_some_and(|copy| copy.is_call);
        if let (Some(mark), After::Deliver(signal)) = (&mut task.trap.mark, after) {
            mark.handler |= procfs::signals(tid).has_handler(signal);
        }
        let waits = task.trap.mark.as_ref().is_some_and(|mark| mark.waits())
            || task.trap.born_blocked.is_some();
        let how = match how {
            _ if calls => Resume::Syscall,
            Resume::Cont if waits || task.trap.blocks || task.trap.call_at.is_some() => {
                Resume::Syscall
            }
            how => how,
        };
        task.resumed = how;
        if how == Resume::Cont && task.operation.is_none() {
            task.runs_unseen();
        }
        task.trap.stepping = how == Resume::Step || owes_step;
        if how == Resume::Step {
            let mask = unless_gone(stopped.signal_mask())?;
            task.trap.blocks = mask.is_some_and(|mask| mask & Signal::TRAP.bit() != 0);
        }
        if task
            .operation
            .as_ref()
            .is_some_and(|operation| operation.waits_in_code())
        {
            // It stops at its end, before others can know of that.
            options |= Options::EXIT;
        }
        let watched = task.trap.debug_version;
        // What suspends a filter is taken back where it was set.
        let options = options | task.options & Options::SUSPEND_SECCOMP;
        if task.options != options {
            if unless_gone(stopped.set_options(options))?.is_none() {
                return self.dying(tid);
            }
            task.options = options;
        }
        let pid = task.pid;
        let version = self.space(pid).map_or(0, |space| space.watches.version);
        if version != watched && !self.load_debug_registers(&stopped)? {
            return self.dying(tid);
        }
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let resumed = match after {
            After::Resume => stopped.resume(how, None),
            After::Deliver(signal) => stopped.resume(how, Some(signal)),
            After::Listen(signal) => match stopped.listen() {
                Ok(running) => {
                    task.state = State::Listening(running, signal);
                    self.running += 1;
                    return Ok(());
                }
                Err((_, error)) if error.is_gone() => return self.dying(tid),
                // EIO: SIGCONT ended the group-stop meanwhile.
                Err((stopped, _)) => stopped.resume(how, None),
            },
        };
        match unless_gone(resumed)? {
            Some(running) => {
                task.state = State::Running(running);
                self.running += 1;
                Ok(())
            }
            None => self.dying(tid),
        }
    }

    pub(crate) fn unpark(&mut self, tid: Tid) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        match std::mem::replace(&mut task.state, State::Engaged) {
            // What came before the clients were ready.
            State::Parked(stopped, After::Deliver(signal)) => self.on_signal(stopped, signal, None),
            State::Parked(stopped, After::Listen(signal)) => self.on_group_stop(stopped, signal),
            State::Parked(stopped, After::Resume) => self.go_on(stopped, After::Resume),
            other => {
                task.state = other;
                Ok(())
            }
        }
    }

    /// A request said that the task is gone: its exit report comes by itself
    /// (ptrace(2), "Death under ptrace").
    pub(crate) fn dying(&mut self, tid: Tid) -> Result<(), Fatal> {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.state = State::Dying;
            self.running += 1;
        }
        Ok(())
    }

    /// The options that the wishes of all clients need.
    pub(crate) fn wanted_options(&self) -> Options {
        let plain = &self.table.plain;
        let mut options = self.options;
        if !plain.all_stops.is_empty() {
            options |= Options::VFORK_DONE | Options::EXIT;
        } else if !plain.tasks.is_empty() {
            options |= Options::EXIT;
        }
        options
    }

    /// Stops every running task once, so that a new wish takes hold.
    pub(crate) fn interrupt_running(&mut self) {
        for (tid, task) in &mut self.tasks {
            if let State::Running(running) = &task.state
                && !task.interrupting
            {
                match running.interrupt() {
                    Ok(()) => task.interrupting = true,
                    Err(error) => {
                        tracing::debug!(target: "pai::engine", %tid, %error, "not interrupted");
                    }
                }
            }
        }
    }
}
