//! The client of a plugin that takes part: its state, its handlers, its loop.

mod on;
mod until;

use std::collections::BTreeMap;
use std::fmt;

use crate::bindings::pai::plugin::client::{Subscription, next};
use crate::bindings::pai::plugin::control;
use crate::bindings::pai::plugin::events::{
    Action, Answer, Delivery, End, Event, OpOutcome, SyscallFilter, SyscallSet, Topic,
};
use crate::bindings::pai::plugin::types::{OpId, StopId};
use crate::error::{Error, ErrorKind, Result};
use crate::handlers::{Callback, Fit, Handler, HandlerId, Picked, Source};
use crate::modules::Batch;
use crate::process::RegisterCache;

/// One client of the trace, with state of any type.
///
/// Handlers are closures that get the client back, so they may read and change
/// the state, ask the host, register other handlers and even run a nested loop
/// (which holds the task that they were called for: capability `control`).
///
/// When several handlers fit one event all are called, in the order of their
/// registration, and the first answer other than `Proceed` counts. Handlers for
/// named calls or signals win over generic ones: those are then not called.
pub struct Client<S = ()> {
    state: S,
    handlers: Vec<Handler<S>>,
    /// Those of breakpoints and hooks, of which there may be thousands.
    instruments: BTreeMap<HandlerId, Handler<S>>,
    /// By the host's number of the breakpoint or hook.
    instrument_of: BTreeMap<u64, HandlerId>,
    next_handler: u64,
    /// Answers for the next `next`.
    answers: Vec<Answer>,
    /// The stop at which `run_until` returned; its answer is in `answers`.
    held: Option<StopId>,
    /// The stop whose handlers run.
    serving: Option<StopId>,
    ended: Option<End>,
    /// Operations that somebody waits for, the innermost last, and how those have
    /// ended that ended before an inner one.
    awaited: Vec<(OpId, Option<OpOutcome>)>,
    pub(crate) registers: RegisterCache,
    /// Where handlers with breakpoints and hooks are noted.
    pub(crate) batch: Option<Batch>,
}

impl<S: fmt::Debug> fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state)
            .field("handlers", &(self.handlers.len() + self.instruments.len()))
            .finish_non_exhaustive()
    }
}

impl<S: 'static> Client<S> {
    /// A client with this state.
    pub fn new(state: S) -> Self {
        Self {
            state,
            handlers: Vec::new(),
            instruments: BTreeMap::new(),
            instrument_of: BTreeMap::new(),
            next_handler: 1,
            answers: Vec::new(),
            held: None,
            serving: None,
            ended: None,
            awaited: Vec::new(),
            registers: RegisterCache::default(),
            batch: None,
        }
    }

    /// The state.
    pub fn data(&self) -> &S {
        &self.state
    }

    /// The state.
    pub fn data_mut(&mut self) -> &mut S {
        &mut self.state
    }

    pub(crate) fn wish(topic: Topic) -> Result<Subscription> {
        Subscription::subscribe_to(topic)
    }

    fn add(&mut self, callback: Callback<S>, topic: Option<Topic>) -> Result<HandlerId> {
        let source = match topic {
            Some(topic) => Source::Wish {
                _wish: Subscription::subscribe_to(topic)?,
            },
            None => Source::Nothing,
        };
        Ok(self.add_handler(callback, source))
    }

    pub(crate) fn add_handler(&mut self, callback: Callback<S>, source: Source) -> HandlerId {
        let id = HandlerId(self.next_handler);
        self.next_handler += 1;
        if let (Some(batch), Source::Breakpoint(_) | Source::Hook { .. }) = (&self.batch, &source) {
            batch.borrow_mut().push(id);
        }
        let instrument = callback.instrument();
        let handler = Handler {
            id,
            callback,
            source,
        };
        match instrument {
            Some(number) => {
                self.instruments.insert(id, handler);
                self.instrument_of.insert(number, id);
            }
            None => self.handlers.push(handler),
        }
        id
    }

    pub(crate) fn source_of(&self, id: HandlerId) -> Option<&Source> {
        let handler = self.instruments.get(&id);
        let handler = handler.or_else(|| self.handlers.iter().find(|handler| handler.id == id));
        handler.map(|handler| &handler.source)
    }

    /// Takes a handler back; unknown ones are ignored.
    pub fn remove(&mut self, id: HandlerId) {
        match self.instruments.remove(&id) {
            Some(handler) => {
                if let Some(number) = handler.callback.instrument() {
                    self.instrument_of.remove(&number);
                }
            }
            None => self.handlers.retain(|handler| handler.id != id),
        }
    }

    /// How the session ended, once it has.
    pub fn ended(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// Sends the answers, waits for one event, calls its handlers.
    fn advance(&mut self, timeout: Option<u64>) -> Result<Event> {
        self.held = None;
        self.registers.forget();
        let delivery = loop {
            match next(&self.answers, timeout).map_err(Error::from) {
                Ok(delivery) => {
                    self.answers.clear();
                    break delivery;
                }
                // Its task was killed meanwhile: nothing was lost.
                Err(error) if error.is_stale() => self.answers.clear(),
                Err(error) => {
                    self.keep_refused(&error);
                    return Err(error);
                }
            }
        };
        let Delivery { stop, event } = delivery;
        if let Event::Ended(end) = &event {
            self.ended = Some(end.clone());
        }
        let outer = std::mem::replace(&mut self.serving, stop);
        let action = self.call_handlers(&event);
        self.serving = outer;
        if let Some(stop) = stop {
            let action = match &action {
                Ok(action) => action.clone(),
                Err(_) => Action::Proceed,
            };
            self.answers.push(Answer { stop, action });
            self.held = Some(stop);
        }
        action.map(|_| event)
    }

    /// The stop that code of the plugin now looks at.
    #[cfg(feature = "syscalls")]
    pub(crate) fn serving(&self) -> Option<StopId> {
        self.serving.or(self.held)
    }

    /// Waits for the end of an operation; other events are served meanwhile, and
    /// what this plugin holds stays held.
    pub(crate) fn finish(&mut self, op: OpId) -> Result<OpOutcome> {
        let answers = std::mem::take(&mut self.answers);
        let held = self.held.take();
        self.awaited.push((op, None));
        let outcome = self.await_last();
        self.awaited.pop();
        self.answers.splice(0..0, answers);
        self.held = held;
        self.registers.forget();
        match outcome? {
            OpOutcome::Failed(error) => Err(error.into()),
            outcome => Ok(outcome),
        }
    }

    /// Serves events until the innermost operation that is awaited has ended.
    fn await_last(&mut self) -> Result<OpOutcome> {
        let mut failed = None;
        loop {
            let Some((op, outcome)) = self.awaited.last_mut() else {
                return Err(Error::new("no operation is awaited"));
            };
            let op = *op;
            if let Some(outcome) = outcome.take() {
                return failed.map_or(Ok(outcome), Err);
            }
            if let Some(end) = &self.ended {
                let error = Error::new(format!("the session is over: {end:?}"));
                return Err(failed.unwrap_or(error));
            }
            match self.advance(None) {
                Ok(Event::OpDone(done)) => {
                    // A handler that was called meanwhile may wait for one of its
                    // own, while an outer one ends.
                    if let Some((_, outcome)) = self.awaited.iter_mut().find(|a| a.0 == done.op) {
                        *outcome = Some(done.outcome);
                    }
                }
                Ok(_) => {}
                Err(error) if error.is_ended() => return Err(error),
                Err(error) => {
                    if failed.is_none() {
                        failed = Some(error);
                        // It still ends, and then the task can go on.
                        drop(control::cancel(op));
                    }
                }
            }
        }
    }

    /// A refused answer leaves its task held. Which one it was is not said, so
    /// all are sent again, as `proceed`: what was accepted is stale by then.
    /// Without the capability `control` none was looked at.
    fn keep_refused(&mut self, error: &Error) {
        match error.kind() {
            ErrorKind::Denied(capability) if capability == "control" => {}
            ErrorKind::Denied(_) | ErrorKind::Invalid(_) | ErrorKind::Unsupported(_) => {
                for answer in &mut self.answers {
                    answer.action = Action::Proceed;
                }
            }
            _ => self.answers.clear(),
        }
    }

    fn call_handlers(&mut self, event: &Event) -> Result<Action> {
        let fit = |handler: &Handler<S>| handler.callback.fits(event);
        if let Some(number) = instrument(event) {
            let id = self.instrument_of.get(&number);
            let found = id.and_then(|id| self.instruments.get(id));
            let found = found.filter(|handler| fit(handler) == Fit::Specific);
            return match found.map(|handler| (handler.id, handler.callback.pick())) {
                Some(found) => self.call_one(found, event),
                None => Ok(Action::Proceed),
            };
        }
        let best = self.handlers.iter().map(fit).fold(Fit::No, |best, fit| {
            if best == Fit::Specific || fit == Fit::No {
                best
            } else {
                fit
            }
        });
        if best == Fit::No {
            return Ok(Action::Proceed);
        }
        let mut rest = self.handlers.iter().filter(|handler| fit(handler) == best);
        // Nearly always there is one, and nothing needs to be allocated.
        let (Some(first), second) = (rest.next(), rest.next()) else {
            return Ok(Action::Proceed);
        };
        let first = (first.id, first.callback.pick());
        let Some(second) = second else {
            return self.call_one(first, event);
        };
        let mut picked = vec![first, (second.id, second.callback.pick())];
        picked.extend(rest.map(|handler| (handler.id, handler.callback.pick())));
        let mut action = Action::Proceed;
        for one in picked {
            // An earlier handler may have removed it.
            if !self.handlers.iter().any(|handler| handler.id == one.0) {
                continue;
            }
            let answer = self.call_one(one, event)?;
            if action == Action::Proceed {
                action = answer;
            }
        }
        Ok(action)
    }

    fn call_one(&mut self, picked: (HandlerId, Picked<S>), event: &Event) -> Result<Action> {
        let (id, handler) = picked;
        let verdict = handler.call(self, event)?;
        if verdict.remove {
            self.remove(id);
        }
        Ok(verdict.action)
    }

    /// Runs until the session ends; gives the state back.
    ///
    /// # Errors
    /// As [`Client::run_until`].
    pub fn loop_until_exit(mut self) -> Result<(End, S)> {
        loop {
            if let Some(end) = self.ended {
                return Ok((end, self.state));
            }
            self.advance(None)?;
        }
    }
}

impl Subscription {
    fn subscribe_to(topic: Topic) -> Result<Self> {
        Self::subscribe(&topic).map_err(Error::from)
    }
}

fn calls_topic(which: SyscallSet, enter: bool) -> Topic {
    Topic::Syscalls(SyscallFilter {
        which,
        enter,
        exit: !enter,
        tasks: Vec::new(),
        capture: None,
        extra: Vec::new(),
    })
}

/// The number of the breakpoint or hook that an event is about.
fn instrument(event: &Event) -> Option<u64> {
    match event {
        Event::Breakpoint(hit) => Some(hit.breakpoint),
        Event::FunctionEnter(call) | Event::FunctionReturn(call) => Some(call.hook),
        _ => None,
    }
}
