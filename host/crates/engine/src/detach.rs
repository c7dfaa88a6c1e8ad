//! Letting go of everything, without a trace.

use std::time::{Duration, Instant};

use pai_ptrace::wait::{self, Block, Report, Waited, What};
use pai_ptrace::{NewTask, Pid, Resume, Signal, Stop, Stopped, SyscallOp, Tid, kill, own_tid};

use crate::engine::Engine;
use crate::error::{Fatal, unless_gone};
use crate::event::ExitStatus;
use crate::inject::{Place, SI_KERNEL};
use crate::leave_foreign::InCall;
use crate::procfs;
use crate::single::Here;
use crate::task::{After, Held, Offer, State, Task};
use crate::uprobe;

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
        self.end_filtered();
        self.lift_everything();
        if let Err(error) = self.detach_stopped().and_then(|()| self.detach_running()) {
            tracing::warn!(target: "pai::engine", %error, "detach is incomplete");
        }
        self.tasks.clear();
        self.processes.clear();
        self.spaces.clear();
        self.breakpoints.clear();
        self.hooks.clear();
        self.orphans.clear();
        self.running = 0;
    }

    /// From here on nobody comes to a breakpoint any more.
    fn lift_everything(&mut self) {
        let pids: Vec<Pid> = self.processes.keys().copied().collect();
        for pid in pids {
            self.lift_all(pid);
        }
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
                    let Held { stopped, offer } = held;
                    task.state = State::Engaged;
                    self.let_go_of_offer(stopped, offer)?;
                }
                State::Parked(stopped, after) => {
                    task.state = State::Engaged;
                    self.let_go(stopped, after, Place::Interrupt)?;
                }
                State::Running(running) | State::Listening(running, _) => {
                    // A task that is gone reports its exit.
                    task.interrupting = running.interrupt().is_ok();
                    task.state = State::Running(running);
                }
                State::Starting => task.state = State::Starting,
                State::Engaged | State::Dying => {}
            }
        }
        self.let_go_of_orphans()
    }

    /// Lets go of tasks that have stopped for the first time. Whose creator is not known
    /// has to wait while it may be one that runs something for a client.
    fn let_go_of_orphans(&mut self) -> Result<(), Fatal> {
        let foreign = self.any_foreign();
        let known = |tid: &Tid| !foreign || self.tasks.contains_key(tid);
        let orphans: Vec<Tid> = self.orphans.keys().copied().filter(known).collect();
        for tid in orphans {
            if let Some(orphan) = self.orphans.remove(&tid) {
                if !self.tasks.contains_key(&tid) {
                    self.take_in(tid, None);
                }
                self.let_go_of_new(orphan.stopped, orphan.after)?;
            }
        }
        Ok(())
    }

    /// Waits for the rest to stop or end.
    fn detach_running(&mut self) -> Result<(), Fatal> {
        let until = Instant::now() + DETACH_PATIENCE;
        let mut next = Instant::now() + RECLAIM;
        loop {
            self.let_go_of_orphans()?;
            if self.tasks.is_empty() && !self.find_strays() {
                break;
            }
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
                    self.take_in(tid, None);
                }
            }
        }
        !self.tasks.is_empty()
    }

    /// Takes in a task that nobody was told of, to let go of it, or to end it. One with
    /// memory of its own has a copy of its creator's, with breakpoints that are gone
    /// from there.
    fn take_in(&mut self, tid: Tid, creator: Option<Pid>) {
        let pid = procfs::status_id(tid, "Tgid").unwrap_or(tid.as_pid());
        let task = Task::new(pid, State::Starting, self.options);
        self.tasks.insert(tid, task);
        if self.processes.contains_key(&pid) {
            return;
        }
        self.end_if_filtered(pid);
        if pid.leader() != tid {
            return;
        }
        match creator {
            Some(creator) => {
                let space = self.space_of_child(creator, pid, NewTask::Fork);
                self.add_process(pid, Some(creator), 0, false, space);
            }
            None => self.add_orphan(pid, procfs::status_id(tid, "PPid")),
        }
        self.settle_copy(pid);
        self.lift_all(pid);
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
        let first = match stop {
            Stop::Interrupt => Some(After::Resume),
            Stop::GroupStop(signal) => Some(After::Listen(signal)),
            _ => None,
        };
        if !self.tasks.contains_key(&tid) {
            // It comes before its creator's report.
            if let Some(after) = first.filter(|_| self.any_foreign()) {
                self.set_aside(stopped, after);
                return Ok(());
            }
            self.take_in(tid, None);
        }
        if let Some(after) = first
            && let Some(task) = self.tasks.get(&tid)
            && matches!(task.state, State::Starting)
        {
            return self.let_go_of_new(stopped, after);
        }
        if stop == Stop::Exec {
            self.leave_old_program(&stopped)?;
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.state = State::Engaged;
            task.in_call = stop.is_inside_call();
        }
        self.hide_pushed(&stopped)?;
        self.leave_copy(&stopped, stop)?;
        if let Stop::NewTask(_) = stop {
            self.take_in_child(&stopped, stop)?;
        }
        if let Some(foreign) = self.take_foreign(tid) {
            let at = InCall::at(&stopped, stop)?;
            let after = match stop {
                // What else cannot wait the foreign code has raised.
                Stop::SignalDelivery(signal) if signal.stops() => After::Deliver(signal),
                Stop::GroupStop(signal) => After::Listen(signal),
                _ => After::Resume,
            };
            return self.let_go_of_foreign(stopped, after, foreign, at);
        }
        let ours = stop == Stop::SignalDelivery(Signal::TRAP) && self.is_our_trap(&stopped)?;
        let stopped = match ours {
            true => match self.mend_own_trap(stopped)? {
                Some(stopped) => stopped,
                None => return Ok(()),
            },
            false => stopped,
        };
        let mut place = Place::Interrupt;
        let after = match stop {
            Stop::SignalDelivery(_) if ours => After::Resume,
            Stop::SignalDelivery(signal) => {
                if let Some(info) = unless_gone(stopped.siginfo())? {
                    place = Place::Signal(signal, Box::new(info));
                }
                After::Deliver(signal)
            }
            Stop::GroupStop(signal) => {
                place = Place::GroupStop;
                After::Listen(signal)
            }
            Stop::Interrupt => {
                self.repair_eintr(&stopped, None)?;
                After::Resume
            }
            Stop::Syscall => {
                match unless_gone(stopped.syscall_info())?.map(|info| info.op) {
                    Some(SyscallOp::Exit { .. }) => {
                        self.put_back(&stopped)?;
                        self.repair_eintr(&stopped, None)?;
                        if self.has_mask_to_come(tid) {
                            self.settle_mask_of(&stopped)?;
                        }
                    }
                    Some(SyscallOp::Entry { .. }) => return self.pass_entry(stopped),
                    _ => {}
                }
                After::Resume
            }
            _ => After::Resume,
        };
        if stop.is_inside_call() {
            place = match stop {
                Stop::NewTask(NewTask::Vfork) | Stop::Exit => Place::Nowhere("it is on its way"),
                _ => Place::InCall,
            };
        }
        self.let_go(stopped, after, place)
    }

    /// The process has a new program, and one task. What the ones before were made to
    /// do is over: nothing is put back.
    fn leave_old_program(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let leader = stopped.tid();
        let pid = leader.as_pid();
        let Some(message) = unless_gone(stopped.event_message(Stop::Exec))? else {
            return Ok(());
        };
        let former = i32::try_from(message).map_or(leader, Tid::new);
        let former = self.tasks.get(&former);
        let own_mask = former.and_then(Task::own_mask);
        let options = former.map_or(self.options, |task| task.options);
        self.tasks.retain(|_, task| task.pid != pid);
        self.begin_program(stopped, Task::new(pid, State::Engaged, options), own_mask)
    }

    /// The child is traced too, and stops by itself, if it has not been let go already.
    fn take_in_child(&mut self, stopped: &Stopped, stop: Stop) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(child) = unless_gone(stopped.event_message(stop))? else {
            return Ok(());
        };
        let Ok(child @ 1..) = i32::try_from(child) else {
            return Ok(());
        };
        let child = Tid::new(child);
        if self.tasks.contains_key(&child) || !procfs::is_traced_by(child, own_tid()) {
            return Ok(());
        }
        let (blocked, born) = self.blocked_and_born(tid);
        let creator = self.tasks.get(&tid).map(|task| task.pid);
        self.take_in(child, creator);
        if let Some(task) = self.tasks.get_mut(&child) {
            task.trap.born_blocked = blocked;
            if task.pid.leader() == child {
                task.trap.born_in_call = born;
            }
        }
        Ok(())
    }

    /// Lets go of a task at its first stop.
    fn let_go_of_new(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        task.state = State::Engaged;
        let pid = task.pid;
        self.settle_new(&stopped, pid)?;
        if let Some(foreign) = self.take_foreign(tid) {
            return self.let_go_of_foreign(stopped, after, foreign, InCall::Not);
        }
        let place = match after {
            After::Listen(_) => Place::GroupStop,
            _ => Place::Interrupt,
        };
        self.let_go(stopped, after, place)
    }

    /// Lets go of a task that clients were asked about.
    pub(crate) fn let_go_of_offer(&mut self, stopped: Stopped, offer: Offer) -> Result<(), Fatal> {
        let place = self.place_of(&stopped, &offer)?;
        if let Some(addr) = offer.at_site
            && unless_gone(stopped.set_ip(addr))?.is_none()
        {
            return Ok(());
        }
        if let Some(foreign) = self.take_foreign(stopped.tid()) {
            let at = InCall::of(&offer, &place);
            let after = match offer.after {
                After::Listen(signal) => After::Listen(signal),
                _ => After::Resume,
            };
            return self.let_go_of_foreign(stopped, after, foreign, at);
        }
        if matches!(place, Place::Entry) {
            return self.pass_entry(stopped);
        }
        self.let_go(stopped, offer.after, place)
    }

    /// Whether a SIGTRAP comes from a breakpoint that was there until now, or
    /// from a step. The task goes on as if it had not come.
    fn is_our_trap(&mut self, stopped: &Stopped) -> Result<bool, Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(false);
        };
        let pid = task.pid;
        let stepping = std::mem::take(&mut task.trap.stepping);
        let from = task.trap.from_trap.take().filter(|_| stepping);
        let (Some(info), Some(regs)) = (
            unless_gone(stopped.siginfo())?,
            unless_gone(stopped.regs())?,
        ) else {
            return Ok(false);
        };
        if from.is_some_and(|from| uprobe::is_behind(tid, &info, &from, &regs)) {
            return Ok(true);
        }
        if info.code() != SI_KERNEL {
            return Ok((stepping || self.is_watched(tid)) && info.code() > 0);
        }
        let addr = regs.ip().wrapping_sub(1);
        let ours = self.was_site(pid, addr);
        if ours {
            unless_gone(stopped.set_ip(addr))?;
        }
        Ok(ours)
    }

    /// The entry of a call is no place to leave: PTRACE_DETACH marks the task
    /// as if a signal were about (__ptrace_unlink in kernel/ptrace.c), and the
    /// call may fail with EINTR at once. The interrupt behind it is one.
    pub(crate) fn pass_entry(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        self.interrupt_again(&stopped)?;
        self.pass_on(stopped, After::Resume)
    }

    /// Lets go of a task at its next stop, which comes at once, or behind the call with
    /// which it sets its mask.
    fn pass_on(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let how = match self.has_mask_to_come(tid) {
            true => Resume::Syscall,
            false => Resume::Cont,
        };
        if let Some(running) = unless_gone(stopped.resume(how, after.signal()))?
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.state = State::Running(running);
        }
        Ok(())
    }

    pub(crate) fn let_go(
        &mut self,
        stopped: Stopped,
        after: After,
        place: Place,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        // It comes next, if no other interrupt overtakes it too.
        if self.owes_trap(tid) && !matches!(after, After::Listen(_)) {
            return self.pass_on(stopped, after);
        }
        self.put_back(&stopped)?;
        if let Some(pass) = self
            .tasks
            .get_mut(&tid)
            .and_then(|task| task.trap.pass.take())
        {
            unless_gone(stopped.set_ip(pass.addr))?;
        }
        self.clear_debug_registers(&stopped)?;
        let stopped = match place {
            Place::Interrupt | Place::GroupStop => self.take_waiting_trap(stopped)?,
            _ => Some(stopped),
        };
        let Some(stopped) = stopped else {
            return Ok(());
        };
        if self.has_mask_to_come(tid) && !matches!(after, After::Listen(_)) {
            return self.pass_on(stopped, after);
        }
        let Some(stopped) = self.clear_space(stopped, place)? else {
            return Ok(());
        };
        let signal = after.signal();
        if signal.is_some() {
            self.repair_eintr(&stopped, signal)?;
        }
        let detached = unless_gone(stopped.detach(signal))?.is_some();
        if detached {
            self.tasks.remove(&tid);
        }
        Ok(())
    }

    /// The last task of an address space takes with it what is ours there.
    fn clear_space(&mut self, stopped: Stopped, place: Place) -> Here<Stopped> {
        let Some(id) = self
            .tasks
            .get(&stopped.tid())
            .and_then(|task| self.space_id(task.pid).ok())
        else {
            return Ok(Some(stopped));
        };
        if self.tasks_in(id).len() > 1 {
            return Ok(Some(stopped));
        }
        if let Some(space) = self.spaces.get_mut(&id) {
            space.discard_all();
        }
        self.take_out_garbage(stopped, place)
    }

    fn forget(&mut self, tid: Tid, status: ExitStatus) {
        self.tasks.remove(&tid);
        self.orphans.remove(&tid);
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
