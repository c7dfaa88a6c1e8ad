//! What clients may ask and do about tasks besides answering stops.

use pai_ptrace::{Pid, Regs, Signal, Stopped, Tid, kill, tgkill, vectors};

use crate::engine::Engine;
use crate::error::Error;
use crate::event::StopId;
use crate::subscription::ClientId;
use crate::task::{State, Task};
use crate::{descriptor, procfs};

/// A traced process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetInfo {
    /// Its id.
    pub pid: Pid,
    /// AUDIT_ARCH_* of its program, 0 when unknown.
    pub abi: u32,
    /// From /proc/PID/exe.
    pub exe: Vec<u8>,
    /// From /proc/PID/cmdline.
    pub argv: Vec<Vec<u8>>,
    /// Attached to, not spawned or born in the session.
    pub attached: bool,
    /// Who made it, when known.
    pub parent: Option<Pid>,
}

/// What a task does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    /// Runs, or is about to.
    Running,
    /// In a ptrace-stop or a group-stop.
    Stopped,
    /// Has ended; its report is on the way.
    Exited,
}

/// A traced task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskInfo {
    /// Its id.
    pub tid: Tid,
    /// Its process.
    pub pid: Pid,
    /// /proc/PID/task/TID/comm.
    pub name: String,
    /// What it does.
    pub state: TaskState,
}

impl Engine {
    /// Finds out AUDIT_ARCH_* of the program of a process that nobody has told us of; 0 if
    /// that cannot be. A leader that has ended has no file any more.
    pub(crate) fn learn_abi(&mut self, pid: Pid) {
        let tid = self.task_with_memory(pid).ok();
        if let Some(process) = self.processes.get_mut(&pid) {
            process.abi = tid.and_then(procfs::abi).unwrap_or(0);
        }
    }

    /// Traced processes, oldest first.
    pub fn targets(&self) -> Vec<TargetInfo> {
        let mut processes: Vec<_> = self.processes.values().collect();
        processes.sort_unstable_by_key(|process| process.sequence);
        processes
            .into_iter()
            .map(|process| {
                let tid = self
                    .task_with_memory(process.pid)
                    .unwrap_or_else(|_| process.pid.leader());
                TargetInfo {
                    pid: process.pid,
                    abi: process.abi,
                    exe: procfs::exe(tid),
                    argv: procfs::argv(tid),
                    attached: process.attached,
                    parent: process.parent,
                }
            })
            .collect()
    }

    /// Tasks of one process, or of all, by id.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn tasks(&self, pid: Option<Pid>) -> Result<Vec<TaskInfo>, Error> {
        if let Some(pid) = pid
            && !self.processes.contains_key(&pid)
        {
            return Err(Error::NoSuchProcess(pid));
        }
        let mut tids: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(_, task)| pid.is_none_or(|pid| task.pid == pid))
            .map(|(tid, _)| *tid)
            .collect();
        tids.sort_unstable();
        tids.into_iter().map(|tid| self.task(tid)).collect()
    }

    /// One task.
    ///
    /// # Errors
    /// `NoSuchTask`.
    pub fn task(&self, tid: Tid) -> Result<TaskInfo, Error> {
        let task = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?;
        let state = match task.state {
            _ if task.end_told => TaskState::Exited,
            State::Starting | State::Running(_) => TaskState::Running,
            State::Listening(..) | State::Parked(..) | State::Held(_) | State::Engaged => {
                TaskState::Stopped
            }
            State::Dying => TaskState::Exited,
        };
        Ok(TaskInfo {
            tid,
            pid: task.pid,
            name: procfs::comm(tid).unwrap_or_default(),
            state,
        })
    }

    /// A task through which the process's memory can be reached: the files of
    /// a leader that has ended before its threads are empty.
    pub(crate) fn live_task(&self, pid: Pid) -> Option<Tid> {
        let leader = pid.leader();
        let alive = |tid: &Tid| {
            self.tasks.get(tid).is_some_and(|task| {
                task.pid == pid && !task.end_told && !matches!(task.state, State::Dying)
            })
        };
        // As a rule it is asked for by whoever holds a task of it.
        if let Some(tid) = self.offered_last
            && alive(&tid)
            && self
                .tasks
                .get(&tid)
                .is_some_and(|task| task.held().is_some())
        {
            return Some(tid);
        }
        let single = || self.tasks.values().filter(|task| task.pid == pid).count() == 1;
        if alive(&leader) && (single() || !procfs::has_ended(leader)) {
            return Some(leader);
        }
        self.tasks
            .keys()
            .filter(|tid| alive(tid))
            .copied()
            .find(|tid| !procfs::has_ended(*tid))
    }

    /// As [`Engine::live_task`], or one that is held where it is about to end: until
    /// it goes on, memory and files are there (do_exit in kernel/exit.c).
    pub(crate) fn task_with_memory(&self, pid: Pid) -> Result<Tid, Error> {
        let held = |task: &Task| task.pid == pid && matches!(task.state, State::Held(_));
        let held = || self.tasks.iter().find(|(_, task)| held(task));
        let task = self.live_task(pid).or_else(|| held().map(|(tid, _)| *tid));
        task.ok_or(Error::NoSuchProcess(pid))
    }

    /// Registers of a task that this client holds; read once per stop.
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`.
    pub fn registers(&mut self, client: ClientId, tid: Tid) -> Result<Regs, Error> {
        let task = self.tasks.get_mut(&tid).ok_or(Error::NoSuchTask(tid))?;
        let held = task
            .held_mut()
            .filter(|held| held.offer.is_with(client))
            .ok_or(Error::NotStopped(tid))?;
        match held.offer.regs {
            Some(regs) => Ok(regs),
            None => {
                let regs = held
                    .stopped
                    .regs()
                    .map_err(|e| Error::from_ptrace(e, tid))?;
                held.offer.regs = Some(regs);
                Ok(regs)
            }
        }
    }

    /// Changes the registers of a task that this client holds; written once,
    /// when it goes on.
    ///
    /// # Errors
    /// As [`Engine::registers`]; `Invalid` for a new value that the kernel refuses.
    pub fn set_registers(&mut self, client: ClientId, tid: Tid, regs: Regs) -> Result<(), Error> {
        let before = self.registers(client, tid)?;
        if let Some(name) = regs.refused(&before) {
            return Err(Error::Invalid(format!(
                "the kernel does not take this value for {name}"
            )));
        }
        if let Some(held) = self.tasks.get_mut(&tid).and_then(|task| task.held_mut()) {
            held.offer.regs = Some(regs);
            held.offer.regs_dirty = true;
        }
        Ok(())
    }

    /// What a descriptor of a process refers to.
    ///
    /// # Errors
    /// `NoSuchProcess`; `NotFound` when it is not open.
    pub fn descriptor(&self, pid: Pid, fd: i32) -> Result<Vec<u8>, Error> {
        let tid = self.task_with_memory(pid)?;
        descriptor::path(tid, fd)
            .ok_or_else(|| Error::NotFound(format!("process {pid} has no descriptor {fd}")))
    }

    fn held_by(&self, client: ClientId, tid: Tid) -> Result<&Stopped, Error> {
        let task = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?;
        let held = task.held().filter(|held| held.offer.is_with(client));
        Ok(&held.ok_or(Error::NotStopped(tid))?.stopped)
    }

    /// A register set of a task that this client holds, by its NT_* number. Not the
    /// general registers: where a client may find the task, and what it wants of it, is
    /// not always what the kernel has yet.
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`; `NotFound` when there is no such set; `Unsupported`
    /// for the general registers.
    pub fn register_set(&self, client: ClientId, tid: Tid, note: u32) -> Result<Vec<u8>, Error> {
        let stopped = self.held_by(client, tid)?;
        is_apart(note)?;
        stopped.regset(note).map_err(|e| no_set(e, tid, note))
    }

    /// Replaces a register set; written at once.
    ///
    /// # Errors
    /// As [`Engine::register_set`]; `Os` for values that the kernel refuses.
    pub fn set_register_set(
        &self,
        client: ClientId,
        tid: Tid,
        note: u32,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let stopped = self.held_by(client, tid)?;
        is_apart(note)?;
        stopped
            .set_regset(note, bytes)
            .map_err(|e| no_set(e, tid, note))
    }

    /// One register of the extended state, by name (see
    /// [`pai_ptrace::vectors`]).
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`, `NotFound`.
    pub fn vector(&self, client: ClientId, tid: Tid, name: &str) -> Result<Vec<u8>, Error> {
        let stopped = self.held_by(client, tid)?;
        let state = stopped
            .extended_state()
            .map_err(|e| Error::from_ptrace(e, tid))?;
        vectors::vector(&state, name).ok_or_else(|| no_vector(name))
    }

    /// Sets one register of the extended state.
    ///
    /// # Errors
    /// As [`Engine::vector`]; `Invalid` for another size.
    pub fn set_vector(
        &self,
        client: ClientId,
        tid: Tid,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let stopped = self.held_by(client, tid)?;
        let ptrace = |e| Error::from_ptrace(e, tid);
        let mut state = stopped.extended_state().map_err(ptrace)?;
        let now = vectors::vector(&state, name).ok_or_else(|| no_vector(name))?;
        if !vectors::set_vector(&mut state, name, bytes) {
            return Err(Error::Invalid(format!(
                "{} bytes for {name}, which has {}",
                bytes.len(),
                now.len()
            )));
        }
        stopped.set_extended_state(&state).map_err(ptrace)
    }

    /// Asks a task to stop for this client, which gets the event
    /// [`crate::OtherStop::Interrupt`].
    ///
    /// # Errors
    /// `NoSuchTask`.
    pub fn interrupt(&mut self, client: ClientId, tid: Tid) -> Result<(), Error> {
        let task = self.tasks.get_mut(&tid).ok_or(Error::NoSuchTask(tid))?;
        let asked = match &task.state {
            State::Running(running) | State::Listening(running, _) => running.interrupt(),
            State::Held(held) => held.stopped.interrupt(),
            // It stops soon, or will be interrupted when it goes on.
            State::Parked(stopped, _) => stopped.interrupt(),
            State::Starting | State::Engaged => Ok(()),
            State::Dying => return Err(Error::NoSuchTask(tid)),
        };
        asked.map_err(|e| Error::from_ptrace(e, tid))?;
        task.wanted_by.insert(client);
        task.interrupting = true;
        Ok(())
    }

    /// Sends a signal to one task of the session.
    ///
    /// # Errors
    /// `NoSuchTask`, `Os`.
    pub fn send_signal(&mut self, tid: Tid, signal: Signal) -> Result<(), Error> {
        let task = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?;
        tgkill(task.pid, tid, signal.get()).map_err(|e| Error::from_ptrace(e, tid))
    }

    /// Kills a process of the session.
    ///
    /// # Errors
    /// `NoSuchProcess`, `Os`.
    pub fn kill_process(&mut self, pid: Pid) -> Result<(), Error> {
        if !self.processes.contains_key(&pid) {
            return Err(Error::NoSuchProcess(pid));
        }
        kill(pid, Signal::KILL).map_err(|e| Error::from_ptrace(e, pid.leader()))
    }

    /// The stops that this client has not answered, and can.
    pub fn stops_of(&self, client: ClientId) -> impl Iterator<Item = StopId> {
        self.tasks
            .values()
            .filter_map(|task| task.held()?.offer.offered)
            .filter(move |(holder, _)| *holder == client)
            .map(|(_, stop)| stop)
    }
}

fn no_vector(name: &str) -> Error {
    Error::NotFound(format!("no vector register named {name:?}"))
}

/// NT_PRSTATUS (linux/elf.h) is what the engine keeps itself.
fn is_apart(note: u32) -> Result<(), Error> {
    const NT_PRSTATUS: u32 = 1;
    match note {
        NT_PRSTATUS => Err(Error::Unsupported(
            "the general registers are not read and written as a set".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// EINVAL and ENODEV mean that there is no such set (ptrace(2),
/// PTRACE_GETREGSET).
fn no_set(error: pai_ptrace::Error, tid: Tid, note: u32) -> Error {
    const ENODEV: i32 = 19;
    const EINVAL: i32 = 22;
    match error.errno() {
        ENODEV | EINVAL => Error::NotFound(format!("no register set {note:#x}")),
        _ => Error::from_ptrace(error, tid),
    }
}
