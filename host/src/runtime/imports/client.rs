//! `client`: the one loop of a plugin that takes part.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use pai_engine::{Engine, Event, StopId};
use pai_ptrace::Signal;
use wasmtime::component::Resource;

use crate::runtime::bindings::client::{Host, HostSubscription};
use crate::runtime::bindings::events::{Action, Answer, Delivery, Topic};
use crate::runtime::bindings::types::Error;
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::drive::{Drive, Pause, SessionFailed};
use crate::runtime::state::{Local, Place, State};

/// Wishes of one plugin: each change costs the engine a look at all of them.
pub(super) const MOST_SUBSCRIPTIONS: usize = 256;

/// A wish of the plugin; gone with its handle.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
pub struct Subscription {
    id: u64,
}

impl HostSubscription for State {
    fn subscribe(
        &mut self,
        topic: Topic,
    ) -> wasmtime::Result<Result<Resource<Subscription>, Error>> {
        if self.subscriptions >= MOST_SUBSCRIPTIONS {
            return Ok(Err(Error::Limit("subscriptions".to_owned())));
        }
        let id = self
            .topic(topic)
            .and_then(|topic| self.on_tracer(|engine, client| engine.subscribe(client, topic)));
        match id {
            Ok(id) => {
                self.subscriptions += 1;
                Ok(Ok(self.table.push(Subscription { id })?))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn id(&mut self, subscription: Resource<Subscription>) -> wasmtime::Result<u64> {
        self.enter();
        Ok(self.table.get(&subscription)?.id)
    }

    fn drop(&mut self, subscription: Resource<Subscription>) -> wasmtime::Result<()> {
        let Subscription { id } = self.table.delete(subscription)?;
        self.subscriptions -= 1;
        let done = self.on_tracer(|engine, client| {
            engine.unsubscribe(client, id);
            Ok(())
        });
        // Nobody is left to be told.
        drop(done);
        Ok(())
    }
}

/// What the first half of `next` came to.
enum Begun {
    Done(Result<Delivery, Error>),
    Wait,
}

impl Host for State {
    async fn next(
        &mut self,
        done: Vec<Answer>,
        timeout: Option<u64>,
    ) -> wasmtime::Result<Result<Delivery, Error>> {
        match self.begin_next(&done, timeout)? {
            Begun::Done(result) => Ok(result),
            Begun::Wait => {
                // The first poll follows at once, and nothing can have come.
                let mut polled = false;
                let delivery = poll_fn(move |_| {
                    if !std::mem::replace(&mut polled, true) {
                        return Poll::Pending;
                    }
                    let drive = self.drive();
                    match drive.mail.take() {
                        Some(delivery) => Poll::Ready(deliver(drive, delivery)),
                        None => Poll::Pending,
                    }
                })
                .await;
                Ok(Ok(delivery))
            }
        }
    }
}

impl State {
    /// Answers, and looks for mail that is there already.
    fn begin_next(&self, done: &[Answer], timeout: Option<u64>) -> wasmtime::Result<Begun> {
        let local = self.enter();
        let drive = &*local.drive;
        drive.come_outside();
        let Place::Tracer(engine) = &local.place else {
            // Not linked for observers.
            let error = convert::internal("an observer asked for deliveries".into());
            return Ok(Begun::Done(Err(error)));
        };
        let result = self.answer_all(&mut engine.borrow_mut(), local, done)?;
        let result = result.and_then(|()| next_mail(&mut engine.borrow_mut(), local, timeout));
        Ok(match result {
            Ok(None) => Begun::Wait,
            Ok(Some(delivery)) => {
                drive.go_inside();
                Begun::Done(Ok(delivery))
            }
            Err(error) => {
                drive.go_inside();
                Begun::Done(Err(error))
            }
        })
    }

    /// Carries out all answers, or none when that would hold a task without
    /// the capability for it. The first refusal is returned.
    fn answer_all(
        &self,
        engine: &mut Engine,
        local: &Local,
        done: &[Answer],
    ) -> wasmtime::Result<Result<(), Error>> {
        let answered = |stop: StopId| done.iter().any(|answer| answer.stop == stop.raw());
        let last = local.drive.held.get();
        let keeps_last =
            last.is_some_and(|stop| !answered(stop) && !engine.runs_for(local.client, stop));
        // Only behind an operation can there be others without the capability.
        let keeps_others =
            local.drive.operated.get() && engine.stops_of(local.client).any(|s| !answered(s));
        if (keeps_last || keeps_others)
            && let Err(denied) = self.require(Capability::Control)
        {
            return Ok(Err(denied));
        }
        let mut result = Ok(());
        for answer in done {
            result = result.and(self.answer(engine, local, answer)?);
        }
        Ok(result)
    }

    /// Carries out one answer. Refused ones leave the stop as it is.
    fn answer(
        &self,
        engine: &mut Engine,
        local: &Local,
        answer: &Answer,
    ) -> wasmtime::Result<Result<(), Error>> {
        let action = match self.action(&answer.action) {
            Ok(action) => action,
            Err(error) => return Ok(Err(error)),
        };
        let stop = StopId::from_raw(answer.stop);
        let answered = match engine.answer(local.client, stop, action) {
            Ok(answered) => answered,
            Err(fatal) => {
                local.drive.fatal.set(Some(fatal));
                return Err(SessionFailed.into());
            }
        };
        let gone = matches!(answered, Ok(()) | Err(pai_engine::Error::StaleStop(_)));
        if gone && local.drive.held.get() == Some(stop) {
            local.drive.held.set(None);
        }
        Ok(answered.map_err(Into::into))
    }

    /// Checks what an action needs, and puts it into the engine's words.
    fn action(&self, action: &Action) -> Result<pai_engine::Action, Error> {
        use pai_engine::Action as Engine;

        Ok(match action {
            Action::Proceed => Engine::Proceed,
            Action::Detach => Engine::Detach,
            Action::Kill => {
                self.require(Capability::Kill)?;
                Engine::Kill
            }
            Action::RewriteSyscall(rewrite) => {
                self.require(Capability::Tamper)?;
                Engine::Rewrite {
                    nr: rewrite.nr,
                    args: rewrite.args.into(),
                }
            }
            Action::SkipSyscall(value) => {
                self.require(Capability::Tamper)?;
                Engine::Skip(*value)
            }
            Action::StandIn(stand_in) => {
                self.require(Capability::Tamper)?;
                Engine::StandIn {
                    nr: stand_in.nr,
                    ret: stand_in.ret,
                }
            }
            Action::SetReturn(value) => {
                self.require(Capability::Tamper)?;
                Engine::SetReturn(*value)
            }
            Action::Deliver(signal) => {
                self.require(Capability::Tamper)?;
                Engine::Deliver(self.replacement(*signal)?)
            }
            Action::ReturnEarly(value) => {
                self.require(Capability::Tamper)?;
                Engine::ReturnEarly(*value)
            }
            Action::Remove => Engine::Remove,
            Action::Other((name, _)) => {
                return Err(Error::Unsupported(format!("the action {name:?}")));
            }
        })
    }

    /// The signal to deliver; 0 is none.
    fn replacement(&self, raw: u32) -> Result<Option<Signal>, Error> {
        if raw == 0 {
            return Ok(None);
        }
        let signal = convert::signal(raw)?;
        if signal == Signal::KILL {
            self.require(Capability::Kill)?;
        }
        Ok(Some(signal))
    }
}

/// An event that is there; `None` when the plugin has to wait for one.
fn next_mail(
    engine: &mut Engine,
    local: &Local,
    timeout: Option<u64>,
) -> Result<Option<Delivery>, Error> {
    let drive = &*local.drive;
    if let Some(end) = &*drive.end.borrow() {
        return Err(convert::over(Some(end)));
    }
    let kept = drive.backlog.borrow_mut().pop_front();
    if kept.is_some() {
        return Ok(kept.map(|delivery| deliver(drive, delivery)));
    }
    if engine.has_mail(local.client) {
        let mail = engine.take_mail(local.client);
        if mail.is_some() {
            return Ok(mail.map(|delivery| deliver(drive, delivery)));
        }
    }
    let deadline =
        timeout.and_then(|nanos| Instant::now().checked_add(Duration::from_nanos(nanos)));
    engine.set_waiting(local.client, deadline);
    drive.pause.set(Pause::Next);
    Ok(None)
}

/// The plugin gets an event, and time to deal with it.
fn deliver(drive: &Drive, delivery: pai_engine::Delivery) -> Delivery {
    drive.refresh();
    drive.pause.set(Pause::None);
    drive.held.set(delivery.stop);
    if let Event::Ended(end) = &delivery.event {
        *drive.end.borrow_mut() = Some(end.clone());
    }
    delivery.into()
}
