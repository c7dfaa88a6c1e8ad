//! Births, execs and deaths of tasks.

use pai_ptrace::{NewTask, Pid, Signal, Stop, Stopped, Tid, monotonic_nanos, own_tid};

use crate::attach::Follow;
use crate::clients::Sink;
use crate::engine::Engine;
use crate::error::{Error, Fatal, unless_gone};
use crate::event::{Event, Execed, ExitStatus, OtherStop, SyscallStop};
use crate::procfs;
use crate::sigtrap::OwnTrap;
use crate::space::{Space, SpaceId};
use crate::subscription::Edge;
use crate::task::{After, InSyscall, Memories, Process, State, Task};

impl Engine {
    pub(crate) fn add_process(
        &mut self,
        pid: Pid,
        parent: Option<Pid>,
        abi: u32,
        attached: bool,
        space: SpaceId,
    ) {
        let sequence = self.next_process;
        self.next_process += 1;
        self.stats.processes += 1;
        // A child begins with its parent's actions.
        let parent_process = parent.and_then(|parent| self.processes.get(&parent));
        let own_trap = parent_process.map(|parent| parent.own_trap);
        let own_trap = own_trap.unwrap_or_default();
        let own_filter = parent_process.is_some_and(|parent| parent.own_filter);
        self.processes.insert(
            pid,
            Process {
                pid,
                parent,
                attached,
                abi,
                mem: None,
                maps: None,
                captures: 0,
                space,
                own_trap,
                own_filter,
                sequence,
            },
        );
    }

    pub(crate) fn add_task(&mut self, tid: Tid, task: Task) {
        self.stats.tasks += 1;
        if let Some(seen) = &self.seen {
            seen.add(tid);
        }
        self.tasks.insert(tid, task);
    }

    pub(crate) fn on_new_task(&mut self, stopped: Stopped, kind: NewTask) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(message) = unless_gone(stopped.event_message(Stop::NewTask(kind)))? else {
            return self.dying(tid);
        };
        // 0 when the child is not visible in our pid namespace.
        let child = match i32::try_from(message) {
            Ok(number) if number > 0 => Tid::new(number),
            _ => return self.go_on(stopped, After::Resume),
        };
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(());
        };
        let (pid, options) = (task.pid, task.options);
        let rewritten = task.rewritten.clone();
        let frames = task.trap.frames.clone();
        let (blocked, born) = self.blocked_and_born(tid);
        let thread = kind == NewTask::Clone && procfs::is_task_of(pid, child);
        let child_pid = if thread { pid } else { child.as_pid() };
        let untraced = rewritten.as_ref().is_some_and(|call| call.untraced);
        let escapes = untraced || self.is_unfollowed(pid);
        let followed = thread || self.follow == Follow::Yes && !escapes;
        // Its report may have been taken already: its first stop, or all of
        // its short life.
        if let Some(at) = self.early_ends.iter().position(|end| end.tid == child) {
            self.queue.push_back(self.early_ends.remove(at));
        }
        let reported = self.orphans.contains_key(&child)
            || self.queue.iter().any(|report| report.tid == child);
        // Adopted meanwhile, and let go.
        let left = !followed && !reported && !procfs::is_traced_by(child, own_tid());
        if !self.tasks.contains_key(&child) && !left {
            let mut task = Task::new(child_pid, State::Starting, options);
            task.creator = Some(tid);
            // It begins with a copy of the registers.
            task.rewritten = rewritten;
            task.unfollowed = !followed;
            task.trap.born_blocked = blocked;
            self.add_task(child, task);
            self.running += usize::from(!reported);
            if !thread {
                // It returns from the functions that its creator is in.
                if let Some(task) = self.tasks.get_mut(&child) {
                    task.trap.frames = frames;
                    task.trap.born_in_call = born;
                }
                let abi = self.processes.get(&pid).map_or(0, |process| process.abi);
                let space = self.space_of_child(pid, child_pid, kind);
                self.add_process(child_pid, Some(pid), abi, false, space);
            }
        }
        if thread {
            self.go_on(stopped, After::Resume)?;
            return self.release_orphan(child);
        }
        let event = Event::Forked {
            pid,
            tid,
            child: child_pid,
            kind,
            followed,
            at: monotonic_nanos(),
        };
        let mask = self.mask_for(self.table.plain.forks, pid);
        self.offer(stopped, event, mask, After::Resume)
    }

    /// The first stop of a task that its creator told us about.
    pub(crate) fn on_first_stop(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(());
        };
        let (pid, creator) = (task.pid, task.creator);
        // Clients hear of the fork before they hear of the child.
        let being_told = creator
            .and_then(|creator| self.tasks.get(&creator)?.held())
            .is_some_and(
                |held| matches!(held.offer.event, Event::Forked { child, .. } if child == pid),
            );
        if being_told {
            self.set_aside(stopped, after);
            return Ok(());
        }
        let unfollowed = task.unfollowed;
        self.settle_new(&stopped, pid)?;
        if unfollowed {
            return self.let_child_leave(stopped, after);
        }
        let event = Event::TaskStarted {
            pid,
            tid,
            creator,
            at: monotonic_nanos(),
        };
        let mask = self.mask_for(self.table.plain.tasks, pid);
        self.offer(stopped, event, mask, after)
    }

    /// A new task is as its creator was, and what is not for it goes.
    pub(crate) fn settle_new(&mut self, stopped: &Stopped, pid: Pid) -> Result<(), Fatal> {
        self.put_back(stopped)?;
        if stopped.tid() == pid.leader() {
            self.settle_copy(pid);
        }
        self.settle_birth(stopped)
    }

    /// Whether nobody is told of a process although we trace it.
    pub(crate) fn is_unfollowed(&self, pid: Pid) -> bool {
        let leader = self.tasks.get(&pid.leader());
        leader.is_some_and(|task| task.unfollowed)
    }

    /// A child that is not to be followed is let go at its first stop, without
    /// our breakpoints. One that shares its creator's memory has to stay as long as
    /// they are there, and one that was born in a function that its creator was made
    /// to call, until it is out of that; nobody is told of it.
    pub(crate) fn let_child_leave(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let pid = tid.as_pid();
        let shared = self.space_id(pid).is_ok_and(|space| self.is_shared(space));
        let borrows = shared && self.space(pid).is_some_and(Space::is_touched);
        let task = self.tasks.get(&tid);
        let returns = task.is_some_and(|task| task.trap.born_in_call.is_some());
        if borrows || returns || self.is_filtered() {
            for client in self.all_clients().iter() {
                if let Err(error) = self.leave_process(client, pid) {
                    tracing::debug!(target: "pai::engine", %pid, %error, "nothing to leave");
                }
            }
            return self.go_on(stopped, after);
        }
        self.lift_all(pid);
        unless_gone(stopped.detach(None))?;
        self.tasks.remove(&tid);
        self.forget_process(pid);
        Ok(())
    }

    fn forget_process(&mut self, pid: Pid) {
        if let Some(process) = self.processes.remove(&pid) {
            self.drop_space(process.space);
        }
        self.symbols.forget(pid);
    }

    /// A new program was loaded. The report carries the leader's id, whoever
    /// called; every other task of the process is gone, some without an exit
    /// report (ptrace(2), "execve(2) under ptrace").
    pub(crate) fn on_exec(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        let leader = stopped.tid();
        let pid = leader.as_pid();
        let Some(message) = unless_gone(stopped.event_message(Stop::Exec))? else {
            return self.dying(leader);
        };
        let former = i32::try_from(message).map_or(leader, Tid::new);
        let at = monotonic_nanos();

        let mut syscall = None;
        let mut captured = Memories::default();
        let mut options = self.options;
        let mut own_mask = None;
        let mut first = false;
        let vanished: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(tid, task)| task.pid == pid && **tid != leader)
            .map(|(tid, _)| *tid)
            .collect();
        if let Some(task) = self.tasks.get_mut(&former) {
            syscall = task.syscall.take();
            captured = std::mem::take(&mut task.captured);
            options = task.options;
            own_mask = task.own_mask();
            first = task.before_exec;
        }
        for tid in vanished {
            self.orphans.remove(&tid);
            if let Some(mut task) = self.tasks.remove(&tid) {
                self.fail_operation(tid, &mut task, Error::NoSuchTask(tid));
                // No report will come of it.
                self.running -= usize::from(task.is_out()).min(self.running);
                self.end_task(tid, &task, ExitStatus::Superseded, at);
                self.let_child_go_on(&task)?;
            }
        }
        let mut unfollowed = false;
        if let Some(mut task) = self.tasks.remove(&leader) {
            unfollowed = task.unfollowed;
            self.fail_operation(leader, &mut task, Error::Interrupted);
            if former != leader {
                // Its call never returns; its id lives on.
                self.end_call(leader, &task);
                self.let_child_go_on(&task)?;
            }
        }
        let mut task = Task::new(pid, State::Dying, options);
        task.syscall = syscall;
        task.captured = captured;
        task.unfollowed = unfollowed;
        self.begin_program(&stopped, task, own_mask)?;
        self.confirm_filter(leader);
        let let_go = self.detach_on_exec && !first;
        if let_go && let Some(task) = self.tasks.remove(&leader) {
            self.leave_call(leader, &task, |sink, stop, captured| {
                sink.detached(stop, captured);
            });
        }
        // One that is not followed shared its creator's memory until now. A filter it
        // keeps.
        if unfollowed && !self.is_filtered() || let_go {
            unless_gone(stopped.detach(None))?;
            self.tasks.remove(&leader);
            self.forget_process(pid);
            return Ok(());
        }
        let mask = self.mask_for(self.table.plain.execs, pid);
        if mask.is_empty() {
            return self.go_on(stopped, After::Resume);
        }
        let event = Event::Execed(Box::new(Execed {
            pid,
            former,
            path: procfs::exe(leader),
            argv: procfs::argv(leader),
            abi: self.processes.get(&pid).map_or(0, |process| process.abi),
            at,
        }));
        self.offer(stopped, event, mask, After::Resume)
    }

    /// Takes over a process whose program is a new one, in a new address space, with
    /// its one task. What was blocked for a function that has executed it would be for
    /// good: the task's own mask is that of before.
    pub(crate) fn begin_program(
        &mut self,
        stopped: &Stopped,
        task: Task,
        own_mask: Option<u64>,
    ) -> Result<(), Fatal> {
        let pid = task.pid;
        self.tasks.insert(stopped.tid(), task);
        if let Some(own) = own_mask {
            self.unblock(stopped, own)?;
        }
        self.restore_filter(stopped)?;
        let abi = stopped.syscall_info().map_or(0, |info| info.arch);
        let space = self.new_space();
        self.symbols.forget(pid);
        match self.processes.get_mut(&pid) {
            Some(process) => {
                process.mem = None;
                process.maps = None;
                process.abi = abi;
                process.own_trap = OwnTrap::default();
                let old = std::mem::replace(&mut process.space, space);
                self.drop_space(old);
            }
            None => self.add_process(pid, None, abi, false, space),
        }
        Ok(())
    }

    /// PTRACE_EVENT_EXIT: the end is certain, the registers are still there.
    /// A leader that ends before its threads is reported only here until the
    /// last of them has ended.
    pub(crate) fn on_exit_event(&mut self, stopped: Stopped, status: i32) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(message) = unless_gone(stopped.event_message(Stop::Exit))? else {
            return self.dying(tid);
        };
        let end = decode_end(message);
        let Some(mut task) = self.tasks.remove(&tid) else {
            return Ok(());
        };
        // It may have been killed while clients had it.
        self.let_child_go_on(&task)?;
        self.fail_operation(tid, &mut task, Error::NoSuchTask(tid));
        self.end_task(tid, &task, end, monotonic_nanos());
        task.end_told = true;
        task.syscall = None;
        self.tasks.insert(tid, task);
        self.on_other(stopped, status, OtherStop::Exit)
    }

    /// A task was reaped. The leader is reaped last, and its end is the end of
    /// the process. One that had ended before we attached is not ours: then it
    /// is the end of the last thread.
    pub(crate) fn task_ended(&mut self, tid: Tid, status: ExitStatus) -> Result<(), Fatal> {
        self.orphans.remove(&tid);
        let Some(mut task) = self.tasks.remove(&tid) else {
            return Ok(());
        };
        self.let_child_go_on(&task)?;
        self.fail_operation(tid, &mut task, Error::NoSuchTask(tid));
        let pid = task.pid;
        let at = monotonic_nanos();
        if !task.end_told {
            self.end_task(tid, &task, status, at);
        }
        if tid == pid.leader() || !self.tasks.values().any(|task| task.pid == pid) {
            self.forget_process(pid);
            if self.root == Some(pid) {
                self.root_status = Some(status);
                if task.before_exec {
                    self.check_exec_failure()?;
                }
            }
            let event = Event::ProcessExited { pid, status, at };
            self.notify(self.all_clients(), Some(pid), &event);
            for client in &mut self.clients {
                client.left.retain(|left| *left != pid);
            }
        }
        if !self.orphans.is_empty() {
            self.adopt_orphans(false)?;
        }
        Ok(())
    }

    /// The task died while clients were told of its fork: its child waits no
    /// longer.
    fn let_child_go_on(&mut self, task: &Task) -> Result<(), Fatal> {
        match task.held().map(|held| &held.offer.event) {
            Some(Event::Forked { child, .. }) => self.release_orphan(child.leader()),
            _ => Ok(()),
        }
    }

    /// The child ended before its execve succeeded: say why.
    fn check_exec_failure(&mut self) -> Result<(), Fatal> {
        let errno = self.gate.as_mut().and_then(pai_ptrace::Gate::failure);
        match errno {
            Some(errno) => Err(Fatal::Exec {
                path: self.root_path.clone(),
                errno,
            }),
            None => Ok(()),
        }
    }

    fn end_task(&mut self, tid: Tid, task: &Task, status: ExitStatus, at: u64) {
        self.end_call(tid, task);
        self.end_frames(task.pid, tid, &task.trap.frames);
        let event = Event::TaskExited {
            pid: task.pid,
            tid,
            status,
            at,
        };
        self.notify(self.table.plain.tasks, Some(task.pid), &event);
    }

    /// Observers hear of a call that will not return.
    fn end_call(&mut self, tid: Tid, task: &Task) {
        self.leave_call(tid, task, |sink, stop, captured| {
            sink.no_return(stop, captured)
        });
    }

    fn leave_call(
        &mut self,
        tid: Tid,
        task: &Task,
        tell: impl Fn(&mut dyn Sink, &SyscallStop, &[u8]),
    ) {
        let Some(InSyscall {
            call,
            args,
            ip,
            sp,
            at,
            continues,
            touched,
        }) = task.syscall
        else {
            return;
        };
        let mask = |edge| self.table.syscall(call, edge);
        let mask = mask(Edge::Enter).or(mask(Edge::Exit)).and(self.observers);
        let stop = SyscallStop {
            pid: task.pid,
            tid,
            call,
            args,
            ret: None,
            restarts: false,
            continues,
            entry_seen: true,
            touched,
            ip,
            sp,
            at,
            took: 0,
        };
        let wanted = self.table.captures(call);
        for client in mask.iter() {
            let captured: &[u8] = match wanted.has(client) {
                true => &task.captured.bytes,
                false => &[],
            };
            if let Some(sink) = &mut self.clients[client.index()].sink {
                tell(sink.as_mut(), &stop, captured);
            }
        }
    }
}

/// PTRACE_EVENT_EXIT's message is a wait status.
fn decode_end(message: u64) -> ExitStatus {
    let low = message & 0x7f;
    match Signal::new(i32::try_from(low).unwrap_or(0)) {
        Some(signal) => ExitStatus::Killed(signal, message & 0x80 != 0),
        None => ExitStatus::Exited((message >> 8 & 0xff) as u8),
    }
}
