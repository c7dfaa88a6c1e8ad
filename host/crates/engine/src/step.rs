//! Single steps of a task, for a client.
//!
//! The task executes its own code, so everything makes the events that it always
//! makes: a system call that is stepped has its entry and its exit.

use std::ops::Range;

use pai_ptrace::{Pid, Regs, Resume, Stopped, Tid};

use crate::displaced::{MAX_INSTRUCTION, StepKind, Width, step_kind};
use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::{OperationId, Outcome, Subject};
use crate::operation::{Doing, Operation};
use crate::procfs;
use crate::restart::restarts;
use crate::single::Here;
use crate::task::After;
use crate::trap::Past;
use crate::trap_state::{Mark, Pass};

/// How far a task is stepped. An instruction that repeats itself (`rep movsb`)
/// is a step each time round; a system call is one; entering a signal handler is
/// one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// At most so many steps.
    pub most: u64,
    /// Until its instruction pointer is here.
    pub until: Option<u64>,
    /// Until its instruction pointer is not here.
    pub out_of: Option<Range<u64>>,
    /// A call is one step: what is called runs at full speed.
    pub over_calls: bool,
}

impl Step {
    /// So many steps.
    pub fn count(most: u64) -> Self {
        Self {
            most,
            until: None,
            out_of: None,
            over_calls: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.most == 0 {
            return Err(Error::Invalid("no step is none".to_owned()));
        }
        if self.out_of.as_ref().is_some_and(Range::is_empty) {
            return Err(Error::Invalid("the range is empty".to_owned()));
        }
        Ok(())
    }

    fn is_done(&self, ip: u64) -> bool {
        self.until == Some(ip)
            || self
                .out_of
                .as_ref()
                .is_some_and(|range| !range.contains(&ip))
    }
}

/// Steps that a task is doing.
#[derive(Debug)]
pub(crate) struct Stepping {
    how: Step,
    left: u64,
    now: Now,
}

/// What the current step is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Now {
    Plain,
    /// In a system call.
    Entered,
    /// Behind it.
    Exited,
    /// We have executed the instruction for the task, which stops before its next.
    Made,
    /// A called function runs; it returns to this address, with the stack
    /// pointer above this.
    Called {
        back: u64,
        sp: u64,
    },
    /// It has returned.
    Back,
}

impl Stepping {
    /// Whether it waits for a called function to return.
    pub(crate) fn is_over_call(&self) -> bool {
        matches!(self.now, Now::Called { .. })
    }

    pub(crate) fn new(how: Step, at_entry: bool) -> Self {
        Self {
            left: how.most,
            how,
            now: if at_entry { Now::Entered } else { Now::Plain },
        }
    }
}

impl Engine {
    fn stepping(&mut self, tid: Tid) -> Option<(OperationId, &mut Stepping)> {
        let operation = self.tasks.get_mut(&tid)?.operation.as_mut()?;
        match &mut operation.doing {
            Doing::Step(stepping) => Some((operation.id, stepping)),
            _ => None,
        }
    }

    /// A stepped task enters a system call or is behind it.
    pub(crate) fn step_in_call(&mut self, tid: Tid, entered: bool) {
        if let Some((_, stepping)) = self.stepping(tid) {
            stepping.now = match (entered, stepping.now) {
                // A call that a called function makes is no step.
                (_, Now::Called { .. }) => stepping.now,
                (true, _) => Now::Entered,
                (false, Now::Entered) => Now::Exited,
                (false, other) => other,
            };
        }
    }

    /// A task has come to where the function returns that a step was to go over.
    pub(crate) fn step_is_back(&mut self, tid: Tid, regs: &Regs) -> bool {
        match self.stepping(tid) {
            Some((_, stepping)) => match stepping.now {
                Now::Called { back, sp } if back == regs.ip() && regs.sp() > sp => {
                    stepping.now = Now::Back;
                    true
                }
                _ => false,
            },
            None => false,
        }
    }

    /// The trap behind a single step.
    pub(crate) fn stepped(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        let tid = stopped.tid();
        if self.stepping(tid).is_none() {
            // The operation was given up in between.
            return self.go_on(stopped, After::Resume);
        }
        self.count_step(stopped, After::Resume)
    }

    /// One step is done; more, or the end.
    fn count_step(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(regs) = unless_gone(stopped.regs())? else {
            return self.dying(tid);
        };
        let Some((_, stepping)) = self.stepping(tid) else {
            return self.go_on(stopped, after);
        };
        stepping.now = Now::Plain;
        stepping.left -= 1;
        let over = stepping.left == 0 || stepping.how.is_done(regs.ip());
        if over {
            self.end_steps(stopped, after, Ok(Outcome::Stepped(regs.ip())))
        } else {
            self.go_on(stopped, after)
        }
    }

    /// Before a step of a task that has these registers and executes this next. The
    /// flags that it pushes have the trap flag of the step in them (enable_single_step
    /// in arch/x86/kernel/step.c).
    pub(crate) fn note_pushed(&mut self, tid: Tid, kind: Option<StepKind>, regs: &Regs) {
        if let Some(task) = self.tasks.get_mut(&tid)
            && let Some(StepKind::Pushf { size }) = kind
            && !regs.has_trap_flag()
        {
            task.trap.pushed = Some(regs.sp().wrapping_sub(u64::from(size)));
        }
    }

    /// At the first stop behind such a step, be it the step's own or one that has
    /// overtaken that: the flags on the stack are those that the program has.
    pub(crate) fn hide_pushed(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        let pid = task.pid;
        let Some(pushed) = task.trap.pushed.take() else {
            return Ok(());
        };
        let Some(regs) = unless_gone(stopped.regs())? else {
            return Ok(());
        };
        // The second byte has the trap flag as its lowest bit.
        let at = pushed.wrapping_add(1);
        let mut byte = [0];
        // Elsewhere the instruction has not been executed.
        if regs.sp() != pushed || self.read_raw(pid, at, &mut byte) != Ok(1) {
            return Ok(());
        }
        if let Err(error) = self.write_raw(pid, at, &[byte[0] & !1]) {
            tracing::debug!(target: "pai::engine", %pid, %error, "a trap flag stays behind");
        }
        Ok(())
    }

    /// Pops the flags for a task, unless the trap flag is among them. A step of
    /// that instruction would make the kernel take the step's trap flag for the
    /// program's own from then on (enable_single_step in
    /// arch/x86/kernel/step.c).
    fn pop_flags(&mut self, pid: Pid, regs: Regs) -> Option<Regs> {
        const POPFQ: u8 = 0x9d;
        let mut regs = regs;
        let mut code = [0];
        self.read_raw(pid, regs.ip(), &mut code).ok()?;
        self.hide_breakpoints(pid, regs.ip(), &mut code);
        let popped = self.word_at(pid, regs.sp())?;
        if code != [POPFQ] || !regs.is_64_bit() || !regs.pop_flags(popped) {
            return None;
        }
        regs.set_sp(regs.sp().wrapping_add(8));
        regs.set_ip(regs.ip().wrapping_add(1));
        Some(regs)
    }

    /// Ends an operation that steps.
    pub(crate) fn end_steps(
        &mut self,
        stopped: Stopped,
        after: After,
        outcome: Result<Outcome, Error>,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(stopped) = self.stay_at_breakpoint(stopped)? else {
            return Ok(());
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let Some(mut operation) = task.operation.take() else {
            return self.go_on(stopped, after);
        };
        self.forget_way_back(&operation);
        let outcome = match operation.cancel.take() {
            Some(cancel) => Err(cancel),
            None => outcome,
        };
        operation.offer.after = after;
        let done = (operation.id, operation.client);
        self.end_operation(stopped, operation.offer, done, outcome)
    }

    /// A task that was to go past a breakpoint stays in front of it, with the
    /// registers that it would go on with. That hit has been told.
    fn stay_at_breakpoint(&mut self, stopped: Stopped) -> Here<Stopped> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(Some(stopped));
        };
        let Some(pass) = task.trap.pass.take() else {
            return Ok(Some(stopped));
        };
        let Pass { addr, regs, .. } = pass;
        let past = if pass.early.is_some() {
            self.go_past(stopped, pass)?
        } else {
            if regs.ip() == addr {
                task.trap.mark = Some(Box::new(Mark::of_place(addr, regs.sp())));
            }
            self.write_ip(stopped, &regs, pass.dirty, regs.ip())?
        };
        Ok(past.map(|past| match past {
            Past::Go(stopped, _) | Past::Done(stopped) => stopped,
        }))
    }

    /// Nobody waits any more for the return of a function that is stepped over.
    pub(crate) fn forget_way_back(&mut self, operation: &Operation) {
        if let Doing::Step(Stepping {
            now: Now::Called { back, .. },
            ..
        }) = operation.doing
        {
            self.remove_owner(back, Subject::Operation(operation.id));
        }
    }

    /// Starts the next step, or goes on with this one behind a stop in its
    /// middle.
    pub(crate) fn step_on(&mut self, stopped: Stopped, after: After) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        let pass = task.trap.pass.take();
        let stepped = std::mem::take(&mut task.trap.stepped);
        let Some((_, stepping)) = self.stepping(tid) else {
            return self.resume(stopped, after);
        };
        if stepped {
            return self.count_step(stopped, after);
        }
        match stepping.now {
            Now::Entered => return self.resume_as(stopped, after, Resume::Syscall),
            Now::Exited | Now::Made => return self.count_step(stopped, after),
            Now::Back => {
                // At the breakpoint behind the call: not executed yet.
                if let Some(pass) = pass {
                    if unless_gone(stopped.set_ip(pass.addr))?.is_none() {
                        return self.dying(tid);
                    }
                    let others = self
                        .space(pid)
                        .is_some_and(|s| s.sites.contains_key(&pass.addr));
                    if others && let Some(task) = self.tasks.get_mut(&tid) {
                        task.trap.pass = Some(pass);
                    }
                }
                return self.count_step(stopped, after);
            }
            Now::Called { .. } => {
                if let (Some(pass), Some(task)) = (pass, self.tasks.get_mut(&tid)) {
                    task.trap.pass = Some(pass);
                }
                return self.run_past(stopped, after);
            }
            Now::Plain => {}
        }
        let ignored = after
            .signal()
            .is_some_and(|signal| procfs::signals(tid).ignored() & signal.bit() != 0);
        if after != After::Resume && !ignored {
            stepping.now = Now::Plain;
            let Some(regs) = unless_gone(stopped.regs())? else {
                return self.dying(tid);
            };
            self.note_trap_behind_signal(tid, pid, &regs);
            // A signal is delivered first: the step ends in its handler.
            return self.resume_as(stopped, after, Resume::Step);
        }
        let pass = match pass {
            // Not to be executed: that it returns is the step.
            Some(pass) if pass.early.is_some() => {
                return match self.go_past(stopped, pass)? {
                    Some(Past::Go(stopped, after)) => self.count_step(stopped, after),
                    Some(Past::Done(stopped)) => self.count_step(stopped, After::Resume),
                    None => Ok(()),
                };
            }
            pass => pass,
        };
        let regs = match &pass {
            Some(pass) => pass.regs,
            None => match unless_gone(stopped.regs())? {
                Some(regs) => regs,
                None => return self.dying(tid),
            },
        };
        let kind = if regs.syscall_nr() >= 0 && restarts(regs.result()) {
            // It goes back to its call first.
            Some(StepKind::Syscall)
        } else {
            self.next_instruction(pid, &regs)
        };
        if kind == Some(StepKind::Popf)
            && let Some(regs) = self.pop_flags(pid, regs)
        {
            if unless_gone(set_regs(&stopped, &regs))?.is_none() {
                return self.dying(tid);
            }
            return self.step_was_made(stopped);
        }
        let over = self
            .stepping(tid)
            .is_some_and(|(_, stepping)| stepping.how.over_calls);
        if let (Some(StepKind::Call { next }), true) = (kind, over) {
            return self.step_over_call(stopped, pid, regs, next, pass);
        }
        self.note_trap(tid, kind, &regs);
        let Some(pass) = pass else {
            let how = match kind {
                // Its exit is the end of the step. With PTRACE_SINGLESTEP the
                // trap flag would show in r11.
                Some(StepKind::Syscall) => Resume::Syscall,
                _ => Resume::Step,
            };
            self.note_pushed(tid, kind, &regs);
            return self.resume_as(stopped, after, how);
        };
        match self.go_past(stopped, pass)? {
            Some(Past::Go(stopped, after)) => {
                self.note_pushed(tid, kind, &regs);
                self.resume_as(stopped, after, Resume::Step)
            }
            Some(Past::Done(stopped)) => self.count_step(stopped, After::Resume),
            None => Ok(()),
        }
    }

    /// Behind a step that we made for the task: the next one is made in its turn,
    /// behind those of others and of whoever wants to end it.
    fn step_was_made(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        let tid = stopped.tid();
        if let Some((_, stepping)) = self.stepping(tid) {
            stepping.now = Now::Made;
        }
        if unless_gone(stopped.interrupt())?.is_none() {
            return self.dying(tid);
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.interrupting = true;
        }
        self.resume_as(stopped, After::Resume, Resume::Cont)
    }

    /// Whether the stop is the one behind such a step.
    pub(crate) fn is_made(&mut self, tid: Tid) -> bool {
        self.stepping(tid)
            .is_some_and(|(_, stepping)| stepping.now == Now::Made)
    }

    /// What the task executes next.
    pub(crate) fn next_instruction(&mut self, pid: Pid, regs: &Regs) -> Option<StepKind> {
        let mut bytes = [0; MAX_INSTRUCTION];
        let done = self.read_raw(pid, regs.ip(), &mut bytes).ok()?;
        let bytes = &mut bytes[..done];
        self.hide_breakpoints(pid, regs.ip(), bytes);
        let width = if regs.is_64_bit() {
            Width::Bits64
        } else {
            Width::Bits32
        };
        step_kind(bytes, regs.ip(), width).ok()
    }

    /// Lets the task run to where the call returns.
    fn step_over_call(
        &mut self,
        stopped: Stopped,
        pid: Pid,
        regs: Regs,
        next: u64,
        pass: Option<Pass>,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some((id, stepping)) = self.stepping(tid) else {
            return self.resume(stopped, After::Resume);
        };
        // The return address will be below this.
        let sp = regs.sp().wrapping_sub(8);
        stepping.now = Now::Called { back: next, sp };
        if let Err(error) = self.add_owner(pid, next, Subject::Operation(id)) {
            if let Some((_, stepping)) = self.stepping(tid) {
                stepping.now = Now::Plain;
            }
            return self.end_steps(stopped, After::Resume, Err(error));
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.trap.pass = pass;
        }
        self.run_past(stopped, After::Resume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_steps_end() {
        let mut step = Step::count(3);
        assert!(step.check().is_ok());
        assert!(!step.is_done(5));
        step.until = Some(5);
        assert!(step.is_done(5) && !step.is_done(6));
        step.out_of = Some(4..8);
        assert!(step.is_done(8) && !step.is_done(4) && !step.is_done(7));
        step.out_of = Some(4..4);
        assert!(step.check().is_err());
        assert!(Step::count(0).check().is_err());
    }
}
