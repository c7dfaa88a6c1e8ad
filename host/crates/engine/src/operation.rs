//! What clients make a held task do: step, call a function, make a system call.
//!
//! The offer that the client holds waits meanwhile. Nobody else is told of what
//! the task does for the client, but breakpoints are hit as always, and what it
//! executes of its own accord (in steps) makes the events that it always makes.

use std::time::{Duration, Instant};

use pai_ptrace::{Pid, Signal, Stopped, Tid};

use crate::call::Frame;
use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::{Delivery, Event, OperationDone, OperationId, Outcome, StopId};
use crate::inject::{Place, Saved};
use crate::procfs;
use crate::restart::restarts;
use crate::step::Stepping;
use crate::subscription::ClientId;
use crate::task::{After, Held, Offer, State, Task};

/// See the module.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) client: ClientId,
    /// Waits.
    pub(crate) offer: Offer,
    /// It is to end with this.
    pub(crate) cancel: Option<Error>,
    pub(crate) doing: Doing,
}

#[derive(Debug)]
pub(crate) enum Doing {
    Step(Stepping),
    Call(Box<Frame>),
    Syscall {
        saved: Box<Saved>,
        nr: u32,
        args: [u64; 6],
        entered: bool,
    },
}

impl Operation {
    /// Whether it has put something into the target's code, for the task to come to.
    pub(crate) fn waits_in_code(&self) -> bool {
        matches!(&self.doing, Doing::Step(stepping) if stepping.is_over_call())
    }
}

impl Engine {
    /// Starts an operation of a task that this client holds, and that no
    /// operation runs in.
    fn begin(&mut self, client: ClientId, tid: Tid) -> Result<(Pid, Stopped, Offer), Error> {
        let task = self.tasks.get_mut(&tid).ok_or(Error::NoSuchTask(tid))?;
        if task.operation.is_some() {
            return Err(Error::Busy(tid));
        }
        match std::mem::replace(&mut task.state, State::Engaged) {
            State::Held(held) if held.offer.is_with(client) => {
                let Held { stopped, offer } = held;
                Ok((task.pid, stopped, offer))
            }
            state => {
                task.state = state;
                Err(Error::NotStopped(tid))
            }
        }
    }

    /// The other way round: nothing was started.
    fn give_back(&mut self, stopped: Stopped, offer: Offer) {
        if let Some(task) = self.tasks.get_mut(&stopped.tid()) {
            task.state = State::Held(Held { stopped, offer });
        }
    }

    /// What is fatal for the session is told by its next turn.
    pub(crate) fn keep_fatal<T>(&mut self, result: Result<T, Fatal>, tid: Tid) -> Result<T, Error> {
        result.map_err(|fatal| {
            self.failure.get_or_insert(fatal);
            Error::NoSuchTask(tid)
        })
    }

    pub(crate) fn attach_operation(
        &mut self,
        client: ClientId,
        tid: Tid,
        offer: Offer,
        doing: Doing,
        timeout: Option<Duration>,
    ) -> OperationId {
        let id = OperationId(self.next_number());
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        if let Some(deadline) = deadline {
            self.deadlines.push((deadline, tid, id));
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            // A step of one before that was given up.
            task.trap.stepped = false;
            task.operation = Some(Box::new(Operation {
                id,
                client,
                offer,
                cancel: None,
                doing,
            }));
        }
        id
    }

    /// Makes a held task execute instructions.
    ///
    /// # Errors
    /// `NotStopped`, `Busy`, `NoSuchTask`; `Invalid` for a stop at which there is
    /// nothing to step.
    pub fn start_step(
        &mut self,
        client: ClientId,
        tid: Tid,
        how: crate::step::Step,
        timeout: Option<Duration>,
    ) -> Result<OperationId, Error> {
        how.check()?;
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        self.learn_own_trap(client, pid);
        let (_, stopped, offer) = self.begin(client, tid)?;
        let place = self.place_of(&stopped, &offer);
        let at_entry = matches!(self.keep_fatal(place, tid)?, Place::Entry);
        // Others have decided before: it goes on as they want it.
        let mut held = Held { stopped, offer };
        let carried_out = self.carry_out(&mut held);
        if !self.keep_fatal(carried_out, tid)? {
            return Err(Error::NoSuchTask(tid));
        }
        let Held { stopped, mut offer } = held;
        let (mut after, chosen) = (offer.after, offer.chosen());
        let mut stopped = stopped;
        if let Some(signal) = offer.change.raised.filter(|_| !offer.moved) {
            let there = self.at_entry_stop(stopped, signal);
            let there = self.keep_fatal(there, tid)?;
            stopped = there.ok_or(Error::NoSuchTask(tid))?;
            after = After::Deliver(signal);
        }
        if at_entry {
            let kept = self.keep_child(&stopped);
            self.keep_fatal(kept, tid)?;
        }
        if chosen.is_some()
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.chosen = chosen;
        }
        offer.set_carried_out();
        offer.set_moved();
        let doing = Doing::Step(Stepping::new(how, at_entry));
        let id = self.attach_operation(client, tid, offer, doing, timeout);
        let gone_on = self.go_on(stopped, after);
        self.keep_fatal(gone_on, tid)?;
        Ok(id)
    }

    /// Makes a held task make a system call of the 64-bit ABI. A child that it makes
    /// (fork) goes on like the task itself.
    ///
    /// # Errors
    /// `NotStopped`, `Busy`, `NoSuchTask`; `Unsupported` at a stop from which
    /// nothing can be run, and for a call whose child would share memory (vfork, a
    /// thread) or not be traced.
    pub fn start_syscall(
        &mut self,
        client: ClientId,
        tid: Tid,
        nr: u32,
        args: [u64; 6],
        timeout: Option<Duration>,
    ) -> Result<OperationId, Error> {
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        self.check_birth(pid, nr, &args)?;
        let (stopped, offer, saved) = self.begin_foreign(client, tid)?;
        let saved = Box::new(saved);
        if let Err(error) = self.set_up_syscall(&stopped, &saved, nr, args) {
            self.back_to_offer(stopped, *saved, offer)?;
            return Err(error);
        }
        let doing = Doing::Syscall {
            saved,
            nr,
            args,
            entered: false,
        };
        let id = self.attach_operation(client, tid, offer, doing, timeout);
        let gone_on = self.go_on(stopped, After::Resume);
        self.keep_fatal(gone_on, tid)?;
        Ok(id)
    }

    fn set_up_syscall(
        &mut self,
        stopped: &Stopped,
        saved: &Saved,
        nr: u32,
        args: [u64; 6],
    ) -> Result<(), Error> {
        let tid = stopped.tid();
        let mut regs = saved.regs;
        regs.set_syscall(nr, &args);
        regs.set_ip(self.syscall_instruction(tid)?);
        set_regs(stopped, &regs).map_err(|error| Error::from_ptrace(error, tid))
    }

    /// Runs system calls in a held task and waits for them: only for those that
    /// never block.
    pub(crate) fn calls_of_held(
        &mut self,
        client: ClientId,
        tid: Tid,
        calls: &[(u32, [u64; 6])],
    ) -> Result<Vec<i64>, Error> {
        let (stopped, offer, mut saved) = self.begin_foreign(client, tid)?;
        let done = self.run_calls(stopped, &mut saved, calls);
        let Some((stopped, results)) = self.keep_fatal(done, tid)? else {
            return Err(Error::NoSuchTask(tid));
        };
        self.back_to_offer(stopped, saved, offer)?;
        Ok(results)
    }

    /// Takes a held task to where foreign code can run.
    pub(crate) fn begin_foreign(
        &mut self,
        client: ClientId,
        tid: Tid,
    ) -> Result<(Stopped, Offer, Saved), Error> {
        let (_, stopped, mut offer) = self.begin(client, tid)?;
        let place = self.place_of(&stopped, &offer);
        let place = self.keep_fatal(place, tid)?;
        let in_call = matches!(place, Place::InCall);
        let changed = (offer.regs_dirty || offer.at_site.is_some())
            .then_some(offer.regs)
            .flatten();
        let prepared = self.prepare(stopped, place, changed);
        match self.keep_fatal(prepared, tid)? {
            Some(Ok((stopped, saved))) => {
                if in_call {
                    offer.at_exit = true;
                    offer.regs = None;
                }
                Ok((stopped, offer, saved))
            }
            Some(Err((stopped, error))) => {
                self.give_back(stopped, offer);
                Err(error)
            }
            None => Err(Error::NoSuchTask(tid)),
        }
    }

    pub(crate) fn back_to_offer(
        &mut self,
        stopped: Stopped,
        saved: Saved,
        offer: Offer,
    ) -> Result<(), Error> {
        let tid = stopped.tid();
        let restored = self.restore(stopped, saved);
        match self.keep_fatal(restored, tid)? {
            Some(stopped) => {
                self.give_back(stopped, offer);
                Ok(())
            }
            None => Err(Error::NoSuchTask(tid)),
        }
    }

    /// A syscall stop of a task that runs foreign code: of the call that a client
    /// makes, or on the way past a breakpoint.
    pub(crate) fn on_foreign_syscall(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(operation) = self.tasks.get_mut(&tid).and_then(|t| t.operation.as_mut()) else {
            return self.go_on(stopped, After::Resume);
        };
        let Doing::Syscall {
            saved,
            nr,
            args,
            entered,
        } = &mut operation.doing
        else {
            return self.go_on(stopped, After::Resume);
        };
        if !*entered {
            *entered = true;
            return self.resume(stopped, After::Resume);
        }
        let Some(regs) = unless_gone(stopped.regs())? else {
            return self.dying(tid);
        };
        // A stop of ours has interrupted it: again.
        if restarts(regs.result()) && operation.cancel.is_none() {
            *entered = false;
            let (saved, nr, args) = (saved.clone(), *nr, *args);
            if self.set_up_syscall(&stopped, &saved, nr, args).is_ok() {
                return self.resume(stopped, After::Resume);
            }
        }
        self.end_foreign(
            stopped,
            After::Resume,
            Ok(Outcome::Syscalled(regs.result())),
        )
    }

    /// A signal that cannot wait, in code that runs for a client. What would end
    /// the target ends the operation instead; the rest comes back.
    pub(crate) fn on_foreign_signal(
        &mut self,
        stopped: Stopped,
        signal: Signal,
    ) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let foreign = self.tasks.get(&tid).is_some_and(Task::runs_foreign_code);
        if !foreign || !signal.ends_by_default() || !procfs::signals(tid).is_default(signal) {
            return Ok(Some(stopped));
        }
        self.end_foreign(stopped, After::Resume, Err(Error::Signalled(signal)))?;
        Ok(None)
    }

    /// Ends a call, wherever the task is: everything is put back.
    pub(crate) fn end_foreign(
        &mut self,
        stopped: Stopped,
        after: After,
        outcome: Result<Outcome, Error>,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(mut operation) = self.tasks.get_mut(&tid).and_then(|t| t.operation.take()) else {
            return self.go_on(stopped, After::Resume);
        };
        let outcome = match operation.cancel.take() {
            Some(cancel) => Err(cancel),
            None => outcome,
        };
        let done = (operation.id, operation.client);
        match self.put_back_foreign(stopped, after, *operation, outcome.is_err())? {
            Some((stopped, offer)) => self.end_operation(stopped, offer, done, outcome),
            None => {
                self.tell_done(tid, done, Err(Error::NoSuchTask(tid)));
                Ok(())
            }
        }
    }

    /// Takes a task out of foreign code and back to the stop that it came from.
    pub(crate) fn put_back_foreign(
        &mut self,
        stopped: Stopped,
        after: After,
        operation: Operation,
        failed: bool,
    ) -> crate::single::Here<(Stopped, Offer)> {
        let Operation {
            mut offer, doing, ..
        } = operation;
        if let Some(task) = self.tasks.get_mut(&stopped.tid()) {
            task.state = State::Engaged;
            task.trap.pass = None;
        }
        let (saved, vectors) = match doing {
            Doing::Step(_) => return Ok(Some((stopped, offer))),
            Doing::Syscall { saved, .. } => (*saved, None),
            Doing::Call(frame) => (frame.saved, Some(frame.vectors)),
        };
        let vectors = vectors.as_deref();
        let out = self.take_out(stopped, after, saved, vectors, failed)?;
        Ok(out.map(|(stopped, left)| {
            if left {
                offer.set_moved();
                offer.after = after;
            }
            (stopped, offer)
        }))
    }

    /// The operation is over, and the offer goes on.
    pub(crate) fn end_operation(
        &mut self,
        stopped: Stopped,
        offer: Offer,
        done: (OperationId, ClientId),
        outcome: Result<Outcome, Error>,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let (_, client) = done;
        let waits = offer.is_with(client) && !self.clients[client.index()].ended;
        self.give_back(stopped, offer);
        self.tell_done(tid, done, outcome);
        if waits && !self.absent.has(client) {
            Ok(())
        } else {
            self.offer_next(tid)
        }
    }

    fn tell_done(
        &mut self,
        tid: Tid,
        (operation, client): (OperationId, ClientId),
        outcome: Result<Outcome, Error>,
    ) {
        self.deadlines.retain(|(_, _, id)| *id != operation);
        let pid = self.tasks.get(&tid).map_or(tid.as_pid(), |task| task.pid);
        let event = Event::OperationDone(Box::new(OperationDone {
            operation,
            pid,
            tid,
            outcome,
        }));
        self.post(client, Delivery { stop: None, event });
    }

    /// The task is gone, and with it what it was doing.
    pub(crate) fn fail_operation(&mut self, tid: Tid, task: &mut Task, error: Error) {
        if let Some(operation) = task.operation.take() {
            self.forget_way_back(&operation);
            self.tell_done(tid, (operation.id, operation.client), Err(error));
        }
    }

    /// Gives an operation up. It ends with `Interrupted`, soon.
    ///
    /// # Errors
    /// `NotFound` when it has ended.
    pub fn cancel(&mut self, client: ClientId, id: OperationId) -> Result<(), Error> {
        let found = self.tasks.iter().find(|(_, task)| {
            let operation = task.operation.as_ref();
            operation.is_some_and(|operation| operation.id == id && operation.client == client)
        });
        let tid = *found
            .ok_or_else(|| Error::NotFound(format!("no operation {} is going on", id.raw())))?
            .0;
        self.cut_off(tid, Error::Interrupted);
        Ok(())
    }

    /// Whether the task of a stop that this client holds runs for it.
    pub fn runs_for(&self, client: ClientId, stop: StopId) -> bool {
        let operation = self
            .tasks
            .get(&stop.tid())
            .and_then(|task| task.operation.as_ref());
        operation.is_some_and(|operation| operation.offer.offered == Some((client, stop)))
    }

    /// All of a client's that is leaving, or leaves this process.
    pub(crate) fn cancel_operations_of(&mut self, client: ClientId, of: Option<Pid>) {
        let own: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(_, task)| of.is_none_or(|pid| task.pid == pid))
            .filter(|(_, task)| {
                let operation = task.operation.as_ref();
                operation.is_some_and(|operation| operation.client == client)
            })
            .map(|(tid, _)| *tid)
            .collect();
        for tid in own {
            self.cut_off(tid, Error::Interrupted);
        }
    }

    /// Ends an operation at the task's next stop, and sees to it that there is
    /// one.
    fn cut_off(&mut self, tid: Tid, error: Error) {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        if let Some(operation) = &mut task.operation {
            operation.cancel.get_or_insert(error);
        }
        // A stopped process stops once more.
        if let State::Running(running) | State::Listening(running, _) = &task.state
            && !task.interrupting
            && running.interrupt().is_ok()
        {
            task.interrupting = true;
        }
    }

    /// Operations whose time is over.
    pub(crate) fn expire_operations(&mut self) {
        let now = Instant::now();
        let due: Vec<Tid> = self
            .deadlines
            .iter()
            .filter(|(deadline, ..)| *deadline <= now)
            .map(|(_, tid, _)| *tid)
            .collect();
        self.deadlines.retain(|(deadline, ..)| *deadline > now);
        for tid in due {
            self.cut_off(tid, Error::Timeout);
        }
    }

    /// A task that runs for a client goes on.
    pub(crate) fn operation_goes_on(
        &mut self,
        stopped: Stopped,
        after: After,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let in_call = task.in_call;
        if std::mem::take(&mut task.trap.arrived) {
            let Some(pass) = task.trap.pass.take() else {
                return Ok(());
            };
            return match self.returned(stopped, pass.regs)? {
                Some(stopped) => self.resume(stopped, after),
                None => Ok(()),
            };
        }
        let Some(operation) = &mut task.operation else {
            return self.resume(stopped, after);
        };
        let steps = matches!(operation.doing, Doing::Step(_));
        if let Some(cancel) = operation.cancel.clone() {
            if steps {
                return self.end_steps(stopped, after, Err(cancel));
            }
            // Inside a call of the kernel registers cannot be put back.
            if !in_call {
                return self.end_foreign(stopped, after, Err(cancel));
            }
        }
        if steps {
            self.step_on(stopped, after)
        } else {
            self.run_past(stopped, after)
        }
    }
}

impl Operation {
    /// Whether what the task executes is not its own.
    pub(crate) fn is_foreign(&self) -> bool {
        !matches!(self.doing, Doing::Step(_))
    }
}

impl Task {
    /// Whether what it executes is not its own.
    pub(crate) fn runs_foreign_code(&self) -> bool {
        let operation = self.operation.as_ref();
        operation.is_some_and(|operation| operation.is_foreign())
    }

    /// The signals that it blocked before foreign code ran in it, or in the task
    /// that made it meanwhile.
    pub(crate) fn own_mask(&self) -> Option<u64> {
        let born = self.trap.born_in_call.as_ref();
        match self.operation.as_ref().map(|operation| &operation.doing) {
            Some(Doing::Call(frame)) => Some(frame.saved.mask),
            Some(Doing::Syscall { saved, .. }) => Some(saved.mask),
            _ => born.map(|born| born.own_mask()).or(self.trap.born_blocked),
        }
    }
}
