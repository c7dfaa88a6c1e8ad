//! Becoming the tracer: of a new child, or of running processes.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use pai_ptrace::wait::Block;
use pai_ptrace::{Options, Pid, Program, Tid, seize, spawn};

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

impl Engine {
    /// Starts a program under trace. It executes nothing of its own before
    /// every client is ready.
    ///
    /// # Errors
    /// `Spawn`; an execve that fails ends the session later, with `Exec`.
    pub fn spawn(&mut self, program: &Program) -> Result<Pid, Fatal> {
        self.options |= Options::EXITKILL;
        let path = String::from_utf8_lossy(program.path.as_bytes()).into_owned();
        let spawned = spawn(program, self.options).map_err(|source| Fatal::Spawn {
            path: path.clone(),
            source,
        })?;
        let (stopped, gate) = spawned.into_parts();
        let tid = stopped.tid();
        let pid = tid.as_pid();
        self.root = Some(pid);
        self.root_path = path;
        self.gate = Some(gate);
        let mut task = Task::new(pid, State::Parked(stopped, After::Resume), self.options);
        task.before_exec = true;
        self.add_process(pid, None, pai_syscalls::abi::X86_64, false);
        self.add_task(tid, task);
        Ok(pid)
    }

    /// Attaches to processes with all their threads, and stops them until
    /// every client is ready. All or none.
    ///
    /// # Errors
    /// `NoProcess`, `Attach`; whatever was attached to before runs on.
    pub fn attach(&mut self, pids: &[Pid]) -> Result<(), Fatal> {
        for pid in pids {
            if let Err(error) = self.seize_process(*pid) {
                self.shut_down();
                return Err(error);
            }
        }
        if let [pid] = pids {
            self.root = Some(*pid);
        }
        self.await_stops()
    }

    /// Seizes every task; new ones that appear meanwhile come by
    /// PTRACE_O_TRACECLONE or are found by the next pass.
    fn seize_process(&mut self, pid: Pid) -> Result<(), Fatal> {
        if procfs::tasks(pid).is_empty() {
            return Err(Fatal::NoProcess { pid });
        }
        let abi = pai_syscalls::abi::X86_64;
        self.add_process(pid, procfs::status_id(pid.leader(), "PPid"), abi, true);
        loop {
            let mut found = false;
            for tid in procfs::tasks(pid) {
                if !self.tasks.contains_key(&tid) {
                    found |= self.seize_task(pid, tid)?;
                }
            }
            if !found {
                break;
            }
        }
        if self.tasks.values().any(|task| task.pid == pid) {
            Ok(())
        } else {
            self.processes.remove(&pid);
            Err(Fatal::NoProcess { pid })
        }
    }

    /// False when the task had vanished, or is traced by us already because
    /// its creator is.
    fn seize_task(&mut self, pid: Pid, tid: Tid) -> Result<bool, Fatal> {
        let running = match seize(tid, self.options) {
            Ok(running) => running,
            Err(error) if error.is_gone() => return Ok(false),
            Err(source) => {
                if procfs::is_traced_by(tid, pai_ptrace::own_tid()) {
                    return Ok(false);
                }
                // A zombie cannot be seized, and needs not be.
                let zombie = procfs::status_field(tid, "State")
                    .is_none_or(|state| state.starts_with(['Z', 'X']));
                if zombie {
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
    })
}
