//! One stop, several clients: each is offered it in turn, then the task goes
//! on.

use pai_ptrace::{Stopped, Tid, monotonic_nanos};
use pai_syscalls::decode::Limits;

use crate::engine::{Diagnostic, Engine};
use crate::error::{Error, Fatal};
use crate::event::{Action, Delivery, Event, StopId, Touched};
use crate::inject::Place;
use crate::procfs;
use crate::single::Here;
use crate::subscription::{ClientId, ClientMask};
use crate::task::{After, Held, Offer, State};

impl Engine {
    /// Holds a task and offers its stop to the clients of the mask, observers
    /// last; without any, the task goes on at once.
    pub(crate) fn offer(
        &mut self,
        stopped: Stopped,
        event: Event,
        mask: ClientMask,
        after: After,
    ) -> Result<(), Fatal> {
        let observers = mask.and(self.observers);
        let left = mask.minus(observers);
        if left.is_empty() || !self.started {
            if self.started {
                self.tell_observers(&stopped, observers, &event);
            }
            return self.told(stopped, &event, after);
        }
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let mut offer = Offer::new(event, after, left);
        offer.observers = observers;
        task.state = State::Held(Held { stopped, offer });
        self.offer_next(tid)
    }

    pub(crate) fn offer_next(&mut self, tid: Tid) -> Result<(), Fatal> {
        loop {
            let Some(held) = self.tasks.get_mut(&tid).and_then(|task| task.held_mut()) else {
                return Ok(());
            };
            let offer = &mut held.offer;
            offer.offered = None;
            let client = if let Some((client, event)) = offer.next.pop() {
                offer.event = event;
                client
            } else if let Some(client) = offer.left.first() {
                offer.left.remove(client);
                client
            } else {
                return self.finish(tid);
            };
            if self.absent.has(client) || self.clients[client.index()].ended {
                continue;
            }
            let stop = StopId::new(self.next_stop, tid);
            self.next_stop = self.next_stop.wrapping_add(1).max(1);
            offer.offered = Some((client, stop));
            offer.since = self.timed.then(monotonic_nanos);
            self.offered_last = Some(tid);
            let event = &offer.event;
            let event = event.without_frames().unwrap_or_else(|| event.clone());
            self.post(
                client,
                Delivery {
                    stop: Some(stop),
                    event,
                },
            );
            return Ok(());
        }
    }

    /// Answers a stop that was offered to this client. An action that does not
    /// fit leaves it held.
    ///
    /// # Errors
    /// Inner: `StaleStop`, `Invalid`, `Busy` while the task runs for a client.
    /// Outer: what ends the session.
    pub fn answer(
        &mut self,
        client: ClientId,
        stop: StopId,
        action: Action,
    ) -> Result<Result<(), Error>, Fatal> {
        let tid = stop.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Err(Error::StaleStop(stop)));
        };
        let pid = task.pid;
        let suspended = task.operation.as_ref().map(|operation| &operation.offer);
        if suspended.is_some_and(|offer| offer.offered == Some((client, stop))) {
            return Ok(Err(Error::Busy(tid)));
        }
        let Some(held) = task.held_mut() else {
            return Ok(Err(Error::StaleStop(stop)));
        };
        let offer = &mut held.offer;
        if offer.offered != Some((client, stop)) {
            return Ok(Err(Error::StaleStop(stop)));
        }
        let clash = match offer.change(client, action) {
            Ok(clash) => clash,
            Err(error) => return Ok(Err(error)),
        };
        let subject = offer.event.subject();
        let stats = &mut self.clients[client.index()].stats;
        if let Some(since) = offer.since {
            let time = monotonic_nanos().saturating_sub(since);
            stats.held_total += time;
            stats.held_longest = stats.held_longest.max(time);
        }
        if let Some(first) = clash {
            self.stats.clashes += 1;
            self.diagnostics.push_back(Diagnostic::Clash {
                first,
                second: client,
                tid,
            });
        }
        match action {
            Action::Detach => {
                // The process exists: one of its tasks is held.
                if let Err(error) = self.leave_process(client, pid) {
                    tracing::debug!(target: "pai::engine", %pid, %error, "nothing to leave");
                }
            }
            Action::Remove => {
                if let Some(subject) = subject {
                    self.remove_subject(subject);
                }
            }
            _ => {}
        }
        self.offer_next(tid)?;
        Ok(Ok(()))
    }

    /// All have answered: carry out what they decided, and tell observers.
    fn finish(&mut self, tid: Tid) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let State::Held(mut held) = std::mem::replace(&mut task.state, State::Engaged) else {
            return Ok(());
        };
        if !self.carry_out(&mut held)? {
            return Ok(());
        }
        let offer = &held.offer;
        self.tell_observers(&held.stopped, offer.observers, &offer.event);
        if offer.change.delay.is_zero() {
            self.leave_stop(held)
        } else {
            self.wait_out(held);
            Ok(())
        }
    }

    /// Observers have been told, too: the task goes on.
    pub(crate) fn leave_stop(&mut self, held: Held) -> Result<(), Fatal> {
        let Held { stopped, offer } = held;
        let tid = stopped.tid();
        let chosen = offer.chosen();
        let Offer {
            event,
            mut after,
            change,
            at_site,
            at_exit,
            moved,
            ..
        } = offer;
        let place = match &event {
            _ if at_exit || moved => None,
            _ if at_site.is_some() => Some(Place::User),
            Event::SyscallExit(_) if chosen.is_none() => Some(Place::Interrupt),
            _ => None,
        };
        let swept = match place {
            Some(place) => self.sweep(stopped, place)?,
            None => Some(stopped),
        };
        let Some(stopped) = swept else {
            return Ok(());
        };
        let mut stopped = stopped;
        if let Some(signal) = change.raised.filter(|_| !moved) {
            let Some(there) = self.at_entry_stop(stopped, signal)? else {
                return Ok(());
            };
            stopped = there;
            after = After::Deliver(signal);
        }
        if at_exit {
            self.told_at_exit(stopped, &event)?;
        } else {
            self.told(stopped, &event, after)?;
        }
        if chosen.is_some()
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.chosen = chosen;
        }
        Ok(())
    }

    /// Unmaps what clients have left behind, at a stop from which that is little
    /// trouble.
    fn sweep(&mut self, stopped: Stopped, place: Place) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(Some(stopped));
        };
        let garbage = self.space(task.pid).is_some_and(|s| !s.garbage.is_empty());
        if !garbage || task.operation.is_some() || self.is_refused_calls(tid) {
            return Ok(Some(stopped));
        }
        self.take_out_garbage(stopped, place)
    }

    /// As [`Engine::told`], of a stop inside a system call whose exit the task
    /// has reached already.
    fn told_at_exit(&mut self, stopped: Stopped, event: &Event) -> Result<(), Fatal> {
        self.on_syscall(stopped, false)?;
        match event {
            Event::Forked { child, .. } => self.release_orphan(child.leader()),
            _ => Ok(()),
        }
    }

    /// Everybody has heard of a stop: the task goes on, and the child whose
    /// first stop waited for the news of its birth.
    fn told(&mut self, stopped: Stopped, event: &Event, after: After) -> Result<(), Fatal> {
        match (event, after) {
            (Event::SyscallEnter(_), _) => {
                self.keep_child(&stopped)?;
                self.go_on(stopped, after)
            }
            // Born into a group-stop: that is told next.
            (Event::TaskStarted { .. }, After::Listen(signal)) if self.started => {
                self.tell_group_stop(stopped, signal)
            }
            (
                Event::Forked {
                    child,
                    followed: false,
                    ..
                },
                _,
            ) => {
                self.release_orphan(child.leader())?;
                self.await_leaver(child.leader())?;
                self.go_on(stopped, after)
            }
            (Event::Forked { child, .. }, _) => {
                self.go_on(stopped, after)?;
                self.release_orphan(child.leader())
            }
            _ => self.go_on(stopped, after),
        }
    }

    fn tell_observers(&mut self, stopped: &Stopped, observers: ClientMask, event: &Event) {
        let mut captured = Vec::new();
        let mut wanted = ClientMask::NONE;
        if let Event::SyscallEnter(stop) | Event::SyscallExit(stop) = event {
            wanted = self.table.captures(stop.call);
            if !wanted.is_empty() {
                captured = self.captured_at(stop, Some(stopped), Limits::NONE);
            }
        }
        let bare = event.without_frames();
        for client in observers.iter() {
            let state = &mut self.clients[client.index()];
            let Some(sink) = &mut state.sink else {
                continue;
            };
            state.stats.notices += 1;
            let captured: &[u8] = match wanted.has(client) {
                true => &captured,
                false => &[],
            };
            match event {
                Event::SyscallEnter(stop) => sink.enter(stop, captured),
                Event::SyscallExit(stop) => sink.exit(stop, captured),
                other => match &bare {
                    Some(bare) if !self.table.frames.has(client) => sink.event(bare),
                    _ => sink.event(other),
                },
            }
        }
        if !wanted.is_empty()
            && let Some(tid) = event.tid()
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.captured.bytes = captured;
        }
    }

    /// Lets everything go on that this client holds or would be offered.
    pub(crate) fn release_stops(&mut self, client: ClientId) {
        let state = &mut self.clients[client.index()];
        state.mail.retain(|delivery| delivery.stop.is_none());
        if state.mail.is_empty() {
            self.with_mail.remove(client);
        }
        let mut released = Vec::new();
        for (tid, task) in &mut self.tasks {
            if let Some(held) = task.held_mut() {
                held.offer.leave_out(client);
                if held.offer.is_with(client) {
                    released.push(*tid);
                }
            }
            if let Some(operation) = &mut task.operation {
                operation.offer.leave_out(client);
                // It may end before the client has: the task waits for nobody then.
                if operation.offer.is_with(client) {
                    operation.offer.offered = None;
                }
            }
        }
        self.cancel_operations_of(client, None);
        for tid in released {
            if let Err(error) = self.offer_next(tid) {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Nothing runs, every task is held, and its holder waits for something
    /// else: that would never end. Releases the stops and says so; false when
    /// this is not the case.
    ///
    /// With `zombies`, leaders that have ended and only wait for their threads
    /// are looked for, and do not count.
    pub(crate) fn release_stuck(&mut self, zombies: bool) -> bool {
        if !self.started || self.clients.iter().any(|client| client.deadline.is_some()) {
            return false;
        }
        // A timeout that has passed is mail, too.
        if !self.with_mail.is_empty() {
            return false;
        }
        let mut holders = ClientMask::NONE;
        for (tid, task) in &self.tasks {
            match task.held().and_then(|held| held.offer.offered) {
                Some((client, _)) => holders.insert(client),
                // Waits for its creator's fork to be told.
                None if self.orphans.contains_key(tid) => {}
                None if zombies && *tid == task.pid.leader() && procfs::is_zombie(*tid) => {}
                None => return false,
            }
        }
        for client in holders.iter() {
            self.diagnostics.push_back(Diagnostic::Stuck(client));
            self.release_stops(client);
        }
        !holders.is_empty()
    }
}

impl Offer {
    /// Whether this client has it now.
    pub(crate) fn is_with(&self, client: ClientId) -> bool {
        self.offered.is_some_and(|(holder, _)| holder == client)
    }

    /// Does not offer it to this client any more.
    fn leave_out(&mut self, client: ClientId) {
        self.left.remove(client);
        self.next.retain(|(next, _)| *next != client);
    }

    /// Notes an answer; returns whom it clashes with.
    fn change(&mut self, client: ClientId, action: Action) -> Result<Option<ClientId>, Error> {
        let always = [
            Action::Proceed,
            Action::Detach,
            Action::Kill,
            Action::Remove,
        ];
        if self.moved && !always.contains(&action) {
            return Err(Error::Invalid(format!(
                "{} comes too late: the task has gone on",
                action.name()
            )));
        }
        let change = &mut self.change;
        let mut set_result = |value| match change.result {
            Some((first, _)) => Some(first),
            None => {
                change.result = Some((client, value));
                None
            }
        };
        match (action, &mut self.event) {
            (Action::Proceed | Action::Detach, _) => Ok(None),
            (Action::Kill, _) => {
                change.kill = true;
                Ok(None)
            }
            (Action::Skip(value), Event::SyscallEnter(_)) => Ok(set_result(value)),
            (Action::StandIn { nr, ret }, Event::SyscallEnter(stop)) => {
                if !is_pure(stop.call.abi, nr) {
                    return Err(Error::Invalid(format!(
                        "call {nr} is none that does nothing"
                    )));
                }
                let clash = set_result(ret);
                if clash.is_none() {
                    change.stand_in = Some(nr);
                }
                Ok(clash)
            }
            (Action::SetReturn(value), Event::SyscallExit(stop)) => {
                let clash = set_result(value);
                if clash.is_none() {
                    stop.ret = Some(value);
                    stop.restarts = false;
                    stop.touched |= Touched::TAMPERED;
                }
                Ok(clash)
            }
            (Action::Rewrite { nr, args }, Event::SyscallEnter(stop)) => {
                change.rewritten = Some(client);
                stop.call.nr = nr;
                stop.args = match stop.call.abi {
                    // Of more the kernel takes no notice (SC_IA32_REGS_TO_ARGS in
                    // asm/syscall_wrapper.h), and registers do not have it.
                    pai_syscalls::abi::I386 => args.map(|arg| arg & 0xffff_ffff),
                    _ => args,
                };
                stop.touched |= Touched::TAMPERED;
                Ok(None)
            }
            (Action::Deliver(signal), Event::Signal(_)) => match change.signal {
                Some((first, _)) => Ok(Some(first)),
                None => {
                    change.signal = Some((client, signal));
                    Ok(None)
                }
            },
            (
                Action::Remove,
                Event::Breakpoint(_) | Event::FunctionEnter(_) | Event::FunctionReturn(_),
            ) => Ok(None),
            (Action::ReturnEarly(value), Event::FunctionEnter(_)) => match change.early {
                Some((first, _)) => Ok(Some(first)),
                None => {
                    change.early = Some((client, value));
                    Ok(None)
                }
            },
            (Action::SetReturn(value), Event::FunctionReturn(_)) => {
                let clash = set_result(value);
                if clash.is_none() {
                    self.show_return(value);
                }
                Ok(clash)
            }
            (action, event) => Err(Error::Invalid(format!(
                "{} does not fit {}",
                action.name(),
                event.name()
            ))),
        }
    }

    /// At a hooked function's return: those to come see this result.
    fn show_return(&mut self, value: i64) {
        if let Some(regs) = &mut self.regs {
            regs.set_result(value);
            self.regs_dirty = true;
        }
        for (_, event) in &mut self.next {
            if let Event::FunctionReturn(call) = event
                && call.ret.is_some()
            {
                call.ret = Some(value.cast_unsigned());
            }
        }
    }
}

/// Whether a call has no effect: it only tells who the task is.
fn is_pure(abi: u32, nr: u32) -> bool {
    let name = pai_syscalls::name(abi, nr);
    let pure = pai_syscalls::class("pure").unwrap_or_default();
    name.is_some_and(|name| pure.contains(&name))
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Proceed => "proceed",
            Action::Rewrite { .. } => "rewrite-syscall",
            Action::Skip(_) => "skip-syscall",
            Action::StandIn { .. } => "stand-in",
            Action::SetReturn(_) => "set-return",
            Action::Deliver(_) => "deliver",
            Action::Detach => "detach",
            Action::Kill => "kill",
            Action::Remove => "remove",
            Action::ReturnEarly(_) => "return-early",
        }
    }
}

impl Event {
    /// Its name in the plugin interface.
    pub fn name(&self) -> &'static str {
        match self {
            Event::SyscallEnter(_) => "syscall-enter",
            Event::SyscallExit(_) => "syscall-exit",
            Event::Signal(_) => "signal",
            Event::TaskStarted { .. } => "task-started",
            Event::TaskExited { .. } => "task-exited",
            Event::ProcessExited { .. } => "process-exited",
            Event::Forked { .. } => "forked",
            Event::Execed(_) => "execed",
            Event::JobControl { .. } => "job-control",
            Event::Stop { .. } => "stop",
            Event::Breakpoint(_) => "breakpoint",
            Event::FunctionEnter(_) => "function-enter",
            Event::FunctionReturn(_) => "function-return",
            Event::OperationDone(_) => "op-done",
            Event::Timeout => "timeout",
            Event::Lost(_) => "lost",
            Event::Ended(_) => "ended",
        }
    }
}
