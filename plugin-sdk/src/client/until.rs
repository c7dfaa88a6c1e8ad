//! Running until something happens, with the task held then.

use super::{Client, calls_topic};
use crate::bindings::pai::plugin::client::Subscription;
use crate::bindings::pai::plugin::events::{Action, Event, SyscallSet, Topic};
use crate::error::{Error, Result};
use crate::names;

impl<S: 'static> Client<S> {
    /// Runs until an event fits; handlers are called meanwhile, also for that
    /// event. If it stopped a task, the task stays stopped for what follows,
    /// and goes on with the next `run_until…` or `loop_until_exit`.
    ///
    /// `None` when the session ended first.
    ///
    /// # Errors
    /// The first error of a handler, or of the host.
    pub fn run_until(&mut self, mut fits: impl FnMut(&Event) -> bool) -> Result<Option<Event>> {
        while self.ended.is_none() {
            let event = self.advance(None)?;
            if fits(&event) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// As [`Client::run_until`], for at most so many nanoseconds without an
    /// event; then the event is [`Event::Timeout`].
    ///
    /// # Errors
    /// As [`Client::run_until`].
    pub fn run_until_timeout(
        &mut self,
        nanos: u64,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Result<Option<Event>> {
        while self.ended.is_none() {
            let event = self.advance(Some(nanos))?;
            if matches!(event, Event::Timeout) || fits(&event) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Runs until a process executes another program.
    ///
    /// # Errors
    /// As [`Client::run_until`].
    pub fn run_until_exec(&mut self) -> Result<Option<Event>> {
        let _wish = Subscription::subscribe_to(Topic::Execs)?;
        self.run_until(|event| matches!(event, Event::Execed(_)))
    }

    /// Runs until a call of this name is entered.
    ///
    /// # Errors
    /// As [`Client::run_until`]; `not-found`.
    pub fn run_until_syscall(&mut self, name: &str) -> Result<Option<Event>> {
        self.run_until_call(name, true)
    }

    /// Runs until a call of this name returns.
    ///
    /// # Errors
    /// As [`Client::run_until`]; `not-found`.
    pub fn run_until_syscall_exit(&mut self, name: &str) -> Result<Option<Event>> {
        self.run_until_call(name, false)
    }

    fn run_until_call(&mut self, name: &str, enter: bool) -> Result<Option<Event>> {
        let ids = names::ids(&[name])?;
        let _wish = Subscription::subscribe_to(calls_topic(SyscallSet::Only(ids.clone()), enter))?;
        self.run_until(|event| match event {
            Event::SyscallEnter(stop) if enter => ids.contains(&stop.call),
            Event::SyscallExit(stop) if !enter => ids.contains(&stop.call),
            _ => false,
        })
    }

    /// Replaces the answer to the stop at which `run_until…` returned.
    ///
    /// # Errors
    /// When no task is held.
    pub fn answer_held(&mut self, action: Action) -> Result<()> {
        let held = self.held;
        match self
            .answers
            .iter_mut()
            .find(|answer| Some(answer.stop) == held)
        {
            Some(answer) => {
                answer.action = action;
                Ok(())
            }
            None => Err(Error::new("no stop is held")),
        }
    }
}
