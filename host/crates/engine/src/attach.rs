//! Becoming the tracer: of a new child, or of running processes.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pai_ptrace::wait::Block;
use pai_ptrace::{Kind, Op, Options, Pid, Program, Tid, own_tid, seize, spawn};

use crate::engine::Engine;
use crate::error::Fatal;
use crate::procfs;
use crate::task::{After, State, Task};

/// Whether processes that the targets make are traced too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// They are.
    Yes,
    /// Only threads are; new processes are let go at their first stop.
    No,
}

/// How long an attach waits for all tasks to stop. One that sleeps
/// uninterruptibly stops later, and is picked up then.
const ATTACH_PATIENCE: Duration = Duration::from_secs(1);

/// Each of two processes that trace each other waits for the other for ever.
const EDEADLK: i32 = 35;

impl Engine {
    /// Starts a program under trace. It executes nothing of its own before
    /// every client is ready.
    ///
    /// # Errors
    /// `Spawn`; an execve that fails ends the session later, with `Exec`.
    pub fn spawn(&mut self, program: &Program) -> Result<Pid, Fatal> {
        self.options |= Options::EXITKILL;
        let path = String::from_utf8_lossy(program.path.as_bytes()).into_owned();
        let spawned = spawn(program, self.options).map_err(|source| match source {
            // It was ours, and nobody but us is to wait for it.
            pai_ptrace::Error {
                op: Op::Wait,
                tid: Some(tid),
                ..
            } => Fatal::Stolen { tid },
            source => Fatal::Spawn {
                path: path.clone(),
                source,
            },
        })?;
        let (stopped, gate) = spawned.into_parts();
        let tid = stopped.tid();
        let pid = tid.as_pid();
        self.root = Some(pid);
        self.root_path = path;
        self.gate = Some(gate);
        let mut task = Task::new(pid, State::Parked(stopped, After::Resume), self.options);
        task.before_exec = true;
        let space = self.new_space();
        self.add_process(pid, None, pai_syscalls::abi::X86_64, false, space);
        self.add_task(tid, task);
        Ok(pid)
    }

    /// Attaches to processes with all their threads, and stops them until
    /// every client is ready. All or none.
    ///
    /// # Errors
    /// `NoProcess`, `Attach`; whatever was attached to before runs on.
    pub fn attach(&mut self, pids: &[Pid]) -> Result<(), Fatal> {
        if let [pid] = pids {
            self.root = Some(*pid);
        }
        let attached = self.seize_processes(pids);
        if attached.is_err() {
            self.shut_down();
        }
        attached
    }

    fn seize_processes(&mut self, pids: &[Pid]) -> Result<(), Fatal> {
        for pid in pids {
            self.seize_process(*pid)?;
        }
        self.await_stops()?;
        // A task that was seized in the middle of a clone has made a thread
        // that is not traced, and that no listing has shown before the task
        // stopped.
        loop {
            let mut found = false;
            for pid in pids {
                found |= self.seize_tasks(*pid)?;
            }
            if !found {
                return Ok(());
            }
            self.await_stops()?;
        }
    }

    fn seize_process(&mut self, pid: Pid) -> Result<(), Fatal> {
        if procfs::tasks(pid).is_empty() {
            return Err(Fatal::NoProcess { pid });
        }
        if procfs::traces(pid, own_tid()) {
            let tid = pid.leader();
            let source = pai_ptrace::Error {
                op: Op::Seize,
                tid: Some(tid),
                kind: Kind::Errno(EDEADLK),
            };
            return Err(Fatal::Attach { pid, tid, source });
        }
        let parent = procfs::status_id(pid.leader(), "PPid");
        let space = self.space_of_attached(pid);
        self.add_process(pid, parent, 0, true, space);
        self.seize_tasks(pid)?;
        // From here on, an exec is reported.
        self.learn_abi(pid);
        if self.tasks.values().any(|task| task.pid == pid) {
            Ok(())
        } else {
            self.processes.remove(&pid);
            Err(Fatal::NoProcess { pid })
        }
    }

    /// Seizes every task; new ones that appear meanwhile come by
    /// PTRACE_O_TRACECLONE or are found by the next pass. False when there was
    /// none to seize.
    fn seize_tasks(&mut self, pid: Pid) -> Result<bool, Fatal> {
        let mut any = false;
        loop {
            let mut found = false;
            let tids = procfs::tasks(pid);
            for tid in &tids {
                if !self.tasks.contains_key(tid) {
                    found |= self.seize_task(pid, *tid)?;
                }
            }
            any |= found;
            if !found && procfs::task_count(pid).is_none_or(|count| count == tids.len()) {
                return Ok(any);
            }
        }
    }

    /// False when the task had vanished, or is traced by us already because
    /// its creator is.
    fn seize_task(&mut self, pid: Pid, tid: Tid) -> Result<bool, Fatal> {
        let running = match seize(tid, self.options) {
            Ok(running) => running,
            Err(error) if error.is_gone() => return Ok(false),
            Err(source) => {
                if procfs::is_traced_by(tid, own_tid()) {
                    return Ok(false);
                }
                // A zombie cannot be seized, and needs not be.
                if procfs::has_ended(tid) {
                    return Ok(false);
                }
                return Err(Fatal::Attach { pid, tid, source });
            }
        };
        let stops = running.interrupt().is_ok();
        let mut task = Task::new(pid, State::Running(running), self.options);
        task.interrupting = stops;
        self.add_task(tid, task);
        self.running += 1;
        Ok(true)
    }

    /// Takes the first stops of attached tasks.
    fn await_stops(&mut self) -> Result<(), Fatal> {
        let until = Instant::now() + ATTACH_PATIENCE;
        while self.running > 0 && Instant::now() < until {
            self.alarm.set_deadline(Some(until));
            self.collect(Block::Yes)?;
            while let Some(report) = self.queue.pop_front() {
                self.dispatch(report)?;
            }
        }
        Ok(())
    }

    /// What the executable of an exec'ed or spawned target is called, for
    /// messages.
    pub fn root_path(&self) -> &Path {
        Path::new(&self.root_path)
    }
}

/// A program as it is given to execve(2).
///
/// # Errors
/// When a string has a NUL byte inside.
pub fn program(
    path: &Path,
    argv: impl IntoIterator<Item = Vec<u8>>,
    env: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Program, std::ffi::NulError> {
    Ok(Program {
        path: CString::new(path.as_os_str().as_bytes())?,
        argv: argv
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()?,
        env: env
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()?,
        cwd: None,
        stdio: [None, None, None],
        user: None,
    })
}
