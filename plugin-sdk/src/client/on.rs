//! Handlers of calls, signals and notices.

use std::rc::Rc;

use super::{Client, calls_topic};
use crate::bindings::pai::plugin::events::{Event, SignalStop, SyscallEvent, SyscallSet, Topic};
use crate::bindings::pai::plugin::types::SyscallId;
use crate::error::Result;
use crate::handlers::{Callback, Calls, HandlerId, Notice, OnEnter, OnExit, OnNotice, OnSignal};
use crate::names;

impl<S: 'static> Client<S> {
    /// Before every system call.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_syscall_enter(
        &mut self,
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnEnter> + 'static,
    ) -> Result<HandlerId> {
        let topic = calls_topic(SyscallSet::All, true);
        self.add(Callback::Enter(Calls::All, Rc::new(handler)), Some(topic))
    }

    /// After every system call.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_syscall_exit(
        &mut self,
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        let topic = calls_topic(SyscallSet::All, false);
        self.add(Callback::Exit(Calls::All, Rc::new(handler)), Some(topic))
    }

    /// Before the system calls of these names, in every ABI that has them.
    ///
    /// # Errors
    /// `not-found` for a name that no ABI has.
    pub fn on_enter_of(
        &mut self,
        names: &[&str],
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnEnter> + 'static,
    ) -> Result<HandlerId> {
        self.on_enter_of_ids(names::ids(names)?, handler)
    }

    /// Before these system calls.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_enter_of_ids(
        &mut self,
        ids: Vec<SyscallId>,
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnEnter> + 'static,
    ) -> Result<HandlerId> {
        let topic = calls_topic(SyscallSet::Only(ids.clone()), true);
        self.add(
            Callback::Enter(Calls::Only(ids), Rc::new(handler)),
            Some(topic),
        )
    }

    /// After the system calls of these names.
    ///
    /// # Errors
    /// As [`Client::on_enter_of`].
    pub fn on_exit_of(
        &mut self,
        names: &[&str],
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        self.on_exit_of_ids(names::ids(names)?, handler)
    }

    /// After these system calls.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_exit_of_ids(
        &mut self,
        ids: Vec<SyscallId>,
        handler: impl Fn(&mut Self, &SyscallEvent) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        let topic = calls_topic(SyscallSet::Only(ids.clone()), false);
        self.add(
            Callback::Exit(Calls::Only(ids), Rc::new(handler)),
            Some(topic),
        )
    }

    /// Before these signals are delivered; no numbers means all.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_signal(
        &mut self,
        signals: &[u32],
        handler: impl Fn(&mut Self, &SignalStop) -> Result<OnSignal> + 'static,
    ) -> Result<HandlerId> {
        self.on_signal_of(Topic::Signals(signals.to_vec()), signals, handler)
    }

    /// As [`Client::on_signal`] for handlers that only need to know which signal it is,
    /// which is quicker: all else of the stop, where it came from for example, may be
    /// missing.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_signal_number(
        &mut self,
        signals: &[u32],
        handler: impl Fn(&mut Self, &SignalStop) -> Result<OnSignal> + 'static,
    ) -> Result<HandlerId> {
        self.on_signal_of(Topic::SignalNumbers(signals.to_vec()), signals, handler)
    }

    fn on_signal_of(
        &mut self,
        topic: Topic,
        signals: &[u32],
        handler: impl Fn(&mut Self, &SignalStop) -> Result<OnSignal> + 'static,
    ) -> Result<HandlerId> {
        let callback = Callback::Signal(signals.to_vec(), Rc::new(handler));
        self.add(callback, Some(topic))
    }

    fn on_notice(
        &mut self,
        notice: Notice,
        topic: Option<Topic>,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.add(Callback::Notice(notice, Rc::new(handler)), topic)
    }

    /// A new task is about to run: [`Event::TaskStarted`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_task_started(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::TaskStarted, Some(Topic::Tasks), handler)
    }

    /// A task ended: [`Event::TaskExited`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_task_exited(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::TaskExited, Some(Topic::Tasks), handler)
    }

    /// A process ended: [`Event::ProcessExited`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_process_exited(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::ProcessExited, None, handler)
    }

    /// A process was made: [`Event::Forked`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_fork(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::Fork, Some(Topic::Forks), handler)
    }

    /// A process executes another program: [`Event::Execed`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_exec(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::Exec, Some(Topic::Execs), handler)
    }

    /// A process was stopped by a signal, or continued: [`Event::JobControl`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_job_control(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::JobControl, Some(Topic::JobControl), handler)
    }

    /// Stops without an event of their own: [`Event::Stop`].
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_stop(
        &mut self,
        handler: impl Fn(&mut Self, &Event) -> Result<OnNotice> + 'static,
    ) -> Result<HandlerId> {
        self.on_notice(Notice::Stop, Some(Topic::AllStops), handler)
    }
}
