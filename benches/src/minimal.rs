//! The least that a tracer of every entry and exit can do with `pai-ptrace`: the
//! same steps as the C loop in `floors/`.

use pai_engine::ExitStatus;
use pai_ptrace::wait::{self, Block, Waited, What};
use pai_ptrace::{Error, Options, Program, Resume, Running, Stop, Stopped, SyscallOp, Tid, spawn};

use crate::counts::Counts;

/// Runs a program to its end.
///
/// # Errors
/// What the kernel refused.
pub fn trace(program: &Program) -> Result<(Counts, Option<ExitStatus>), Error> {
    let options = Options::SYSGOOD
        | Options::EXEC
        | Options::CLONE
        | Options::FORK
        | Options::VFORK
        | Options::EXITKILL;
    let (stopped, mut gate) = spawn(program, options)?.into_parts();
    let mut run = Run {
        root: stopped.tid(),
        counts: Counts::default(),
        started: false,
        inside: Vec::new(),
        status: None,
    };
    gate.open(None)?;
    unless_gone(stopped.resume(Resume::Syscall, None))?;
    loop {
        match wait::any(Block::Yes)? {
            Waited::Report(report) => match report.what {
                What::Stopped(stopped, stop) => run.on_stop(stopped, stop)?,
                What::Exited(code) => run.on_end(report.tid, ExitStatus::Exited(code)),
                What::Killed(signal, core) => {
                    run.on_end(report.tid, ExitStatus::Killed(signal, core));
                }
            },
            Waited::NoTasks => return Ok((run.counts, run.status)),
            Waited::Interrupted | Waited::Nothing => {}
        }
    }
}

struct Run {
    root: Tid,
    counts: Counts,
    /// The first execve was entered: what comes before is not the program's.
    started: bool,
    /// Which call each task is in. A handful of tasks: a list is quickest.
    inside: Vec<(Tid, u32)>,
    status: Option<ExitStatus>,
}

impl Run {
    fn on_stop(&mut self, stopped: Stopped, stop: Stop) -> Result<(), Error> {
        let signal = match stop {
            Stop::Syscall => {
                self.on_syscall(&stopped)?;
                None
            }
            Stop::SignalDelivery(signal) => {
                self.counts.signals += 1;
                Some(signal)
            }
            Stop::GroupStop(_) => {
                return match stopped.listen() {
                    Ok(_) => Ok(()),
                    Err((stopped, _)) => unless_gone(stopped.resume(Resume::Syscall, None)),
                };
            }
            _ => None,
        };
        unless_gone(stopped.resume(Resume::Syscall, signal))
    }

    fn on_syscall(&mut self, stopped: &Stopped) -> Result<(), Error> {
        let info = match stopped.syscall_info() {
            Ok(info) => info,
            Err(error) if error.is_gone() => return Ok(()),
            Err(error) => return Err(error),
        };
        let tid = stopped.tid();
        match info.op {
            SyscallOp::Entry { nr, .. } => {
                // Numbers are 32 bits wide.
                let nr = nr as u32;
                self.started = self.started || is_execve(nr);
                if self.started {
                    self.counts.enter(nr);
                    match self.inside.iter_mut().find(|(task, _)| *task == tid) {
                        Some((_, call)) => *call = nr,
                        None => self.inside.push((tid, nr)),
                    }
                }
            }
            SyscallOp::Exit { .. } if self.started => {
                if let Some((_, nr)) = self.inside.iter().find(|(task, _)| *task == tid) {
                    self.counts.exit(*nr);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_end(&mut self, tid: Tid, status: ExitStatus) {
        if tid == self.root {
            self.status = Some(status);
        }
    }
}

fn is_execve(nr: u32) -> bool {
    pai_syscalls::number(pai_syscalls::abi::X86_64, "execve") == Some(nr)
}

/// A task that is gone reports its exit by itself.
fn unless_gone(resumed: Result<Running, Error>) -> Result<(), Error> {
    match resumed {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(()),
    }
}
