//! Letting go of tasks that run something for a client, and of children that were born
//! in that: they go on where the target was interrupted.

use pai_ptrace::{NewTask, Resume, Stop, Stopped, Tid};

use crate::births::BornInCall;
use crate::engine::Engine;
use crate::error::{Fatal, set_regs, unless_gone};
use crate::event::Event;
use crate::inject::Place;
use crate::operation::Operation;
use crate::task::{After, Offer, State, Task};

/// What a task has to be taken out of.
#[derive(Debug)]
pub(crate) enum Foreign {
    /// What it does for a client.
    Operation(Box<Operation>),
    /// The function that it was born in.
    Birth(Box<BornInCall>),
}

/// Where in a call of the kernel a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum InCall {
    Not,
    /// About to make it.
    Entry,
    /// It waits for its vfork child.
    Vfork,
    /// On its way out of it.
    Inside,
}

impl InCall {
    pub(crate) fn at(stopped: &Stopped, stop: Stop) -> Result<Self, Fatal> {
        Ok(match stop {
            Stop::NewTask(NewTask::Vfork) => Self::Vfork,
            Stop::Syscall | Stop::Seccomp => {
                let info = unless_gone(stopped.syscall_info())?;
                match info.is_some_and(|info| info.is_entry()) {
                    true => Self::Entry,
                    false => Self::Not,
                }
            }
            _ if stop.is_inside_call() => Self::Inside,
            _ => Self::Not,
        })
    }

    pub(crate) fn of(offer: &Offer, place: &Place) -> Self {
        match (place, &offer.event) {
            (Place::Entry, _) => Self::Entry,
            (
                Place::Nowhere(_),
                Event::Forked {
                    kind: NewTask::Vfork,
                    ..
                },
            ) => Self::Vfork,
            (Place::InCall | Place::Nowhere(_), _) => Self::Inside,
            _ => Self::Not,
        }
    }
}

impl Engine {
    /// Whether a task runs something for a client, in which it may make children.
    pub(crate) fn any_foreign(&self) -> bool {
        self.tasks.values().any(Task::runs_foreign_code)
    }

    /// What this task has to be taken out of. A child that shares the memory of its
    /// creator has its stack too, and goes on in the function.
    pub(crate) fn take_foreign(&mut self, tid: Tid) -> Option<Foreign> {
        let task = self.tasks.get_mut(&tid)?;
        let pid = task.pid;
        // What a task does in steps is its own.
        let operation = task.operation.take();
        if let Some(operation) = operation.filter(|operation| operation.is_foreign()) {
            return Some(Foreign::Operation(operation));
        }
        let born = task.trap.born_in_call.take()?;
        let shared = self.space_id(pid).is_ok_and(|space| self.is_shared(space));
        (!shared).then_some(Foreign::Birth(born))
    }

    pub(crate) fn let_go_of_foreign(
        &mut self,
        stopped: Stopped,
        after: After,
        foreign: Foreign,
        at: InCall,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let (stopped, after) = match at {
            InCall::Not => (stopped, after),
            InCall::Vfork => return self.await_vfork_child(stopped, foreign),
            InCall::Entry | InCall::Inside => {
                if at == InCall::Entry {
                    // It might never return from it.
                    let Some(mut regs) = unless_gone(stopped.regs())? else {
                        return Ok(());
                    };
                    regs.set_syscall_nr(-1);
                    if unless_gone(set_regs(&stopped, &regs))?.is_none() {
                        return Ok(());
                    }
                }
                match self.run_to_exit_of_call(stopped)? {
                    Some(stopped) => (stopped, After::Resume),
                    None => return Ok(()),
                }
            }
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.in_call = false;
        }
        match foreign {
            Foreign::Operation(operation) => {
                match self.put_back_foreign(stopped, after, *operation, true)? {
                    Some((stopped, offer)) => self.let_go_of_offer(stopped, offer),
                    None => Ok(()),
                }
            }
            Foreign::Birth(born) => self.let_go_of_birth(stopped, after, *born),
        }
    }

    /// The child goes first; the exit of the call comes by itself then. Nobody could end
    /// the wait (wait_for_vfork_done in kernel/fork.c).
    fn await_vfork_child(&mut self, stopped: Stopped, foreign: Foreign) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let running = unless_gone(stopped.resume(Resume::Syscall, None))?;
        if let (Some(running), Some(task)) = (running, self.tasks.get_mut(&tid)) {
            match foreign {
                Foreign::Operation(operation) => task.operation = Some(operation),
                Foreign::Birth(born) => task.trap.born_in_call = Some(born),
            }
            task.state = State::Running(running);
        }
        Ok(())
    }

    /// Lets go of a child in the function that it was born in.
    fn let_go_of_birth(
        &mut self,
        stopped: Stopped,
        after: After,
        born: BornInCall,
    ) -> Result<(), Fatal> {
        if let Some(task) = self.tasks.get_mut(&stopped.tid()) {
            task.trap.born_blocked = None;
        }
        let Some((vectors, saved)) = born.of_function() else {
            return self.let_go(stopped, after, Place::Interrupt);
        };
        let entered = saved.is_of_an_entry();
        let Some((stopped, left)) = self.take_out(stopped, after, saved, Some(&vectors), true)?
        else {
            return Ok(());
        };
        match (left, after) {
            (true, After::Listen(_)) => self.let_go(stopped, after, Place::GroupStop),
            (true, After::Deliver(_)) => self.let_go(stopped, after, Place::User),
            (false, _) if entered => self.pass_entry(stopped),
            _ => self.let_go(stopped, After::Resume, Place::Interrupt),
        }
    }
}
