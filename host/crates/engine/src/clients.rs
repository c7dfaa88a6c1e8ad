//! The clients of a session: their wishes, their mail, and requests from other
//! threads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use pai_ptrace::{Pid, Waker};

use crate::engine::Engine;
use crate::error::{Error, Fatal};
use crate::event::{Delivery, End, Event, SyscallStop};
use crate::stats::ClientStats;
use crate::subscription::{ClientId, ClientMask, MAX_CLIENTS, Subscriptions, Topic};

/// Notices that a client may have waiting; more are dropped and counted. Stops
/// are never dropped: there is at most one per task.
const MAX_NOTICES: usize = 65_536;

/// Where the events of a client go that only watches. Called on the tracer
/// thread: whoever waits there holds up all, and must not wait for that thread's
/// answers ([`Remote::call`]). `captured` is what [`Engine::capture`] has read so far, if
/// the client wanted that.
pub trait Sink: fmt::Debug {
    /// A system call was entered.
    fn enter(&mut self, stop: &SyscallStop, captured: &[u8]);
    /// A system call returned.
    fn exit(&mut self, stop: &SyscallStop, captured: &[u8]);
    /// The task ended, or vanished in an exec, inside this call.
    fn no_return(&mut self, stop: &SyscallStop, captured: &[u8]);
    /// The task was let go inside this call.
    fn detached(&mut self, stop: &SyscallStop, captured: &[u8]);
    /// Anything else.
    fn event(&mut self, event: &Event);
    /// No more will come.
    fn end(&mut self, end: &End);
}

#[derive(Debug)]
pub(crate) struct ClientState {
    pub(crate) name: String,
    /// Set for clients that only watch.
    pub(crate) sink: Option<Box<dyn Sink>>,
    pub(crate) wishes: Subscriptions,
    pub(crate) mail: VecDeque<Delivery>,
    pub(crate) notices: usize,
    pub(crate) lost: u64,
    pub(crate) deadline: Option<Instant>,
    /// Has waited for the first time: nothing more to do before the start.
    pub(crate) ready: bool,
    /// Cannot answer for now; its stops go on without it.
    pub(crate) absent: bool,
    pub(crate) ended: bool,
    /// Processes it does not want to hear of any more.
    pub(crate) left: Vec<Pid>,
    pub(crate) stats: ClientStats,
}

/// A piece of work for the tracer thread.
pub type Command = Box<dyn FnOnce(&mut Engine) + Send>;

/// Reaches the engine from another thread.
#[derive(Clone, Debug)]
pub struct Remote {
    commands: Sender<Command>,
    waker: Waker,
}

impl Remote {
    /// Runs `work` on the tracer thread, between two stops, and waits for its
    /// answer; `None` when the session is over.
    pub fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = channel();
        let command: Command = Box::new(move |engine| {
            // A caller that is gone needs no answer.
            drop(answer.send(work(engine)));
        });
        self.commands.send(command).ok()?;
        self.waker.wake();
        answered.recv().ok()
    }

    /// Makes the engine return [`crate::Turn::Woken`].
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// The engine's waker.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

#[derive(Debug)]
pub(crate) struct Commands {
    sender: Sender<Command>,
    receiver: Receiver<Command>,
}

impl Commands {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }

    pub(crate) fn next(&self) -> Option<Command> {
        self.receiver.try_recv().ok()
    }
}

impl Engine {
    /// Adds a client that takes part. Clients are offered stops in the order
    /// in which they were added.
    ///
    /// # Errors
    /// `TooManyClients`.
    pub fn add_client(&mut self, name: &str) -> Result<ClientId, Fatal> {
        self.add(name, None)
    }

    /// Adds a client that only watches: it never holds a task.
    ///
    /// # Errors
    /// `TooManyClients`.
    pub fn add_observer(&mut self, name: &str, sink: Box<dyn Sink>) -> Result<ClientId, Fatal> {
        self.add(name, Some(sink))
    }

    fn add(&mut self, name: &str, sink: Option<Box<dyn Sink>>) -> Result<ClientId, Fatal> {
        let index = self.clients.len();
        if index >= MAX_CLIENTS {
            return Err(Fatal::TooManyClients);
        }
        let id = ClientId((index & 63) as u8);
        if sink.is_some() {
            self.observers.insert(id);
        }
        self.clients.push(ClientState {
            name: name.to_owned(),
            sink,
            wishes: Subscriptions::new(),
            mail: VecDeque::new(),
            notices: 0,
            lost: 0,
            deadline: None,
            ready: false,
            absent: false,
            ended: false,
            left: Vec::new(),
            stats: ClientStats::default(),
        });
        Ok(id)
    }

    /// Its name, as given.
    pub fn client_name(&self, client: ClientId) -> &str {
        &self.clients[client.index()].name
    }

    /// Reaches this engine from other threads.
    pub fn remote(&self) -> Remote {
        Remote {
            commands: self.commands.sender.clone(),
            waker: self.alarm.waker(),
        }
    }

    /// Adds a wish; returns its number. Takes effect at once: tasks that run
    /// too freely for it are interrupted.
    ///
    /// # Errors
    /// `TargetExited` when the client's session is over.
    pub fn subscribe(&mut self, client: ClientId, topic: Topic) -> Result<u64, Error> {
        if self.clients[client.index()].ended {
            return Err(self.over_error());
        }
        let id = self.next_subscription;
        self.next_subscription += 1;
        let topic = topic.in_order();
        let had_syscalls = self.table.any_syscall;
        self.table.add(client, &topic);
        self.clients[client.index()].wishes.insert(id, topic);
        self.obey_wishes(had_syscalls);
        Ok(id)
    }

    /// Takes a wish back; unknown numbers are ignored.
    pub fn unsubscribe(&mut self, client: ClientId, id: u64) {
        if self.clients[client.index()].wishes.remove(&id).is_some() {
            self.wishes_changed();
        }
    }

    /// Some are fewer.
    fn wishes_changed(&mut self) {
        let had_syscalls = self.table.any_syscall;
        self.table.rebuild(
            self.clients
                .iter()
                .zip(0_u8..)
                .map(|(client, index)| (ClientId(index), &client.wishes)),
        );
        for (client, index) in self.clients.iter().zip(0_u8..) {
            if !client.left.is_empty() {
                self.table.picky.insert(ClientId(index));
            }
        }
        self.obey_wishes(had_syscalls);
    }

    fn obey_wishes(&mut self, had_syscalls: bool) {
        let falls_short = self.filter_falls_short();
        if self.table.any_syscall && (!had_syscalls || falls_short) && self.started {
            self.interrupt_running();
        }
    }

    /// The client waits for its next event, for the first time ready to see
    /// the targets run.
    pub fn set_waiting(&mut self, client: ClientId, deadline: Option<Instant>) {
        let state = &mut self.clients[client.index()];
        state.ready = true;
        state.deadline = deadline;
    }

    /// The targets need not wait for this client before they start; whether they would
    /// have.
    pub fn set_ready(&mut self, client: ClientId) -> bool {
        !std::mem::replace(&mut self.clients[client.index()].ready, true)
    }

    /// While absent, a client's stops go on without it: those it holds are
    /// released, new ones skip it.
    pub fn set_absent(&mut self, client: ClientId, absent: bool) {
        let state = &mut self.clients[client.index()];
        if state.absent == absent {
            return;
        }
        state.absent = absent;
        if absent {
            state.ready = true;
            self.absent.insert(client);
            self.release_stops(client);
        } else {
            self.absent.remove(client);
        }
    }

    /// The next event of a client, if there is one.
    pub fn take_mail(&mut self, client: ClientId) -> Option<Delivery> {
        let state = &mut self.clients[client.index()];
        if state.lost > 0 && state.mail.front().is_none_or(|d| d.stop.is_none()) {
            let lost = std::mem::take(&mut state.lost);
            return Some(Delivery {
                stop: None,
                event: Event::Lost(lost),
            });
        }
        let delivery = state.mail.pop_front();
        if let Some(delivery) = &delivery {
            state.deadline = None;
            if delivery.stop.is_none() {
                state.notices -= 1;
            }
        }
        if state.mail.is_empty() {
            self.with_mail.remove(client);
        }
        delivery
    }

    pub(crate) fn post(&mut self, client: ClientId, delivery: Delivery) {
        let state = &mut self.clients[client.index()];
        if state.ended {
            return;
        }
        if delivery.stop.is_none() {
            if state.notices >= MAX_NOTICES && !matches!(delivery.event, Event::Ended(_)) {
                state.lost += 1;
                state.stats.lost += 1;
                return;
            }
            state.notices += 1;
            state.stats.notices += 1;
        } else {
            state.stats.stops += 1;
        }
        state.mail.push_back(delivery);
        self.with_mail.insert(client);
    }

    /// Sends a notice to every client of the mask.
    pub(crate) fn notify(&mut self, mask: ClientMask, pid: Option<Pid>, event: &Event) {
        for client in mask.iter() {
            let state = &mut self.clients[client.index()];
            if state.ended || pid.is_some_and(|pid| state.left.contains(&pid)) {
                continue;
            }
            if let Some(sink) = &mut state.sink {
                state.stats.notices += 1;
                sink.event(event);
            } else {
                self.post(
                    client,
                    Delivery {
                        stop: None,
                        event: event.clone(),
                    },
                );
            }
        }
    }

    /// Ends the session of one client: its wishes and stops go, and it gets
    /// its last event.
    pub fn end_client(&mut self, client: ClientId, end: End) {
        if self.clients[client.index()].ended {
            return;
        }
        self.remove_wishes(client);
        let state = &mut self.clients[client.index()];
        if let Some(sink) = &mut state.sink {
            sink.end(&end);
            state.stats.notices += 1;
        } else {
            self.post(
                client,
                Delivery {
                    stop: None,
                    event: Event::Ended(end),
                },
            );
        }
        self.clients[client.index()].ended = true;
    }

    /// A client that has failed is about to be removed. If the targets have not been let
    /// run they are not: who was to keep them from something is not there.
    pub fn note_failure(&mut self) {
        self.failed_early |= !self.started;
    }

    /// Forgets a client that is gone: nothing is delivered to it any more and
    /// everything it held goes on.
    pub fn remove_client(&mut self, client: ClientId) {
        self.remove_wishes(client);
        let state = &mut self.clients[client.index()];
        state.ended = true;
        state.ready = true;
        state.deadline = None;
        state.mail.clear();
        state.notices = 0;
        state.sink = None;
        self.with_mail.remove(client);
        self.observers.remove(client);
        self.gone.insert(client);
        if self.clients_gone() {
            self.cut_delays();
        }
    }

    fn remove_wishes(&mut self, client: ClientId) {
        self.clients[client.index()].wishes.clear();
        self.wishes_changed();
        self.remove_subjects_of(client);
        self.abandon_allocations_of(client);
        self.release_stops(client);
    }

    /// Ends tracing of one process for one client: what it has in its memory and
    /// what it makes its tasks do ends too.
    ///
    /// # Errors
    /// `NoSuchProcess`.
    pub fn leave_process(&mut self, client: ClientId, pid: Pid) -> Result<(), Error> {
        if !self.processes.contains_key(&pid) {
            return Err(Error::NoSuchProcess(pid));
        }
        let state = &mut self.clients[client.index()];
        if !state.left.contains(&pid) {
            state.left.push(pid);
        }
        self.table.picky.insert(client);
        self.leave_memory(client, pid);
        self.cancel_operations_of(client, Some(pid));
        Ok(())
    }

    /// Whether there were clients and all of them are gone.
    pub fn clients_gone(&self) -> bool {
        !self.clients.is_empty() && self.gone.len() == self.clients.len()
    }

    /// Whether its session is over: no event will come but those it has.
    pub fn has_ended(&self, client: ClientId) -> bool {
        self.clients[client.index()].ended
    }

    /// Whether an event waits for it.
    pub fn has_mail(&self, client: ClientId) -> bool {
        self.with_mail.has(client)
    }

    /// What a client got so far.
    pub fn client_stats(&self, client: ClientId) -> ClientStats {
        self.clients[client.index()].stats
    }

    pub(crate) fn all_clients(&self) -> ClientMask {
        let mut mask = ClientMask::NONE;
        for (client, index) in self.clients.iter().zip(0_u8..) {
            if !client.ended {
                mask.insert(ClientId(index));
            }
        }
        mask
    }
}
