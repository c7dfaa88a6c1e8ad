//! Handlers: what they are called for, and what they may answer.

use std::rc::Rc;

use crate::Result;
use crate::bindings::pai::plugin::breakpoints::{Breakpoint, Hook};
use crate::bindings::pai::plugin::client::Subscription;
use crate::bindings::pai::plugin::events::{
    Action, BreakpointHit, Event, FunctionEvent, SignalStop, SyscallEvent, SyscallRewrite,
    SyscallStandIn,
};
use crate::bindings::pai::plugin::types::SyscallId;
use crate::client::Client;

/// A registered handler; see [`Client::remove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerId(pub(crate) u64);

/// Answer to the entry of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnter {
    /// Go on as if nobody had looked.
    Proceed,
    /// Go on, and do not call this handler again.
    Remove,
    /// Execute this call instead. Capability `tamper`.
    Rewrite {
        /// Number in the ABI of the call.
        nr: u32,
        /// Arguments.
        args: [u64; 6],
    },
    /// Do not execute it, return this (a failure is a negative errno).
    /// Capability `tamper`.
    Skip(i64),
    /// As `Skip`, with this call executed in its place, which only tells who the task
    /// is, such as getpid(2): what looks at calls in the target sees that one.
    /// Capability `tamper`.
    StandIn {
        /// Number in the ABI of the call.
        nr: u32,
        /// What is returned.
        ret: i64,
    },
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to the exit of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExit {
    /// Go on as if nobody had looked.
    Proceed,
    /// Go on, and do not call this handler again.
    Remove,
    /// Replace the result. Capability `tamper`.
    SetReturn(i64),
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// Deliver it.
    Proceed,
    /// Deliver it, and do not call this handler again.
    Remove,
    /// Deliver this one instead; 0 swallows it. Capability `tamper`.
    Deliver(u32),
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to a breakpoint or watchpoint that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreakpoint {
    /// Go on; it stays.
    Keep,
    /// Go on without it.
    Remove,
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to the entry of a hooked function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCall {
    /// Execute it.
    Proceed,
    /// Execute it, and take the hook away.
    Remove,
    /// Do not execute it, return this. Capability `tamper`.
    Return(i64),
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to the return of a hooked function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReturn {
    /// Go on.
    Proceed,
    /// Go on, and take the hook away.
    Remove,
    /// Replace the result. Capability `tamper`.
    SetReturn(i64),
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// Answer to any other event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNotice {
    /// Go on.
    Proceed,
    /// Go on, and do not call this handler again.
    Remove,
    /// Stop tracing this process.
    Detach,
    /// Kill the process. Capability `kill`.
    Kill,
}

/// What the host is told, and whether the handler goes.
pub(crate) struct Verdict {
    pub(crate) action: Action,
    pub(crate) remove: bool,
}

impl Verdict {
    const PROCEED: Self = Self::of(Action::Proceed);
    const REMOVE: Self = Self {
        action: Action::Proceed,
        remove: true,
    };

    const fn of(action: Action) -> Self {
        Self {
            action,
            remove: false,
        }
    }
}

impl From<OnEnter> for Verdict {
    fn from(answer: OnEnter) -> Self {
        match answer {
            OnEnter::Proceed => Self::PROCEED,
            OnEnter::Remove => Self::REMOVE,
            OnEnter::Rewrite { nr, args } => {
                let args = args.into();
                Self::of(Action::RewriteSyscall(SyscallRewrite { nr, args }))
            }
            OnEnter::Skip(value) => Self::of(Action::SkipSyscall(value)),
            OnEnter::StandIn { nr, ret } => Self::of(Action::StandIn(SyscallStandIn { nr, ret })),
            OnEnter::Detach => Self::of(Action::Detach),
            OnEnter::Kill => Self::of(Action::Kill),
        }
    }
}

impl From<OnExit> for Verdict {
    fn from(answer: OnExit) -> Self {
        match answer {
            OnExit::Proceed => Self::PROCEED,
            OnExit::Remove => Self::REMOVE,
            OnExit::SetReturn(value) => Self::of(Action::SetReturn(value)),
            OnExit::Detach => Self::of(Action::Detach),
            OnExit::Kill => Self::of(Action::Kill),
        }
    }
}

impl From<OnSignal> for Verdict {
    fn from(answer: OnSignal) -> Self {
        match answer {
            OnSignal::Proceed => Self::PROCEED,
            OnSignal::Remove => Self::REMOVE,
            OnSignal::Deliver(signal) => Self::of(Action::Deliver(signal)),
            OnSignal::Detach => Self::of(Action::Detach),
            OnSignal::Kill => Self::of(Action::Kill),
        }
    }
}

/// The host takes it away; the handler goes too.
const REMOVED: Verdict = Verdict {
    action: Action::Remove,
    remove: true,
};

impl From<OnBreakpoint> for Verdict {
    fn from(answer: OnBreakpoint) -> Self {
        match answer {
            OnBreakpoint::Keep => Self::PROCEED,
            OnBreakpoint::Remove => REMOVED,
            OnBreakpoint::Detach => Self::of(Action::Detach),
            OnBreakpoint::Kill => Self::of(Action::Kill),
        }
    }
}

impl From<OnCall> for Verdict {
    fn from(answer: OnCall) -> Self {
        match answer {
            OnCall::Proceed => Self::PROCEED,
            OnCall::Remove => REMOVED,
            OnCall::Return(value) => Self::of(Action::ReturnEarly(value)),
            OnCall::Detach => Self::of(Action::Detach),
            OnCall::Kill => Self::of(Action::Kill),
        }
    }
}

impl From<OnReturn> for Verdict {
    fn from(answer: OnReturn) -> Self {
        match answer {
            OnReturn::Proceed => Self::PROCEED,
            OnReturn::Remove => REMOVED,
            OnReturn::SetReturn(value) => Self::of(Action::SetReturn(value)),
            OnReturn::Detach => Self::of(Action::Detach),
            OnReturn::Kill => Self::of(Action::Kill),
        }
    }
}

impl From<OnNotice> for Verdict {
    fn from(answer: OnNotice) -> Self {
        match answer {
            OnNotice::Proceed => Self::PROCEED,
            OnNotice::Remove => Self::REMOVE,
            OnNotice::Detach => Self::of(Action::Detach),
            OnNotice::Kill => Self::of(Action::Kill),
        }
    }
}

/// Which calls a syscall handler is for.
pub(crate) enum Calls {
    All,
    Only(Vec<SyscallId>),
}

impl Calls {
    fn has(&self, call: &SyscallEvent) -> bool {
        match self {
            Calls::All => true,
            Calls::Only(ids) => ids.iter().any(|id| {
                id.abi == call.call.abi && (id.nr == call.call.nr || call.continues == Some(id.nr))
            }),
        }
    }
}

/// Which events, other than system calls and signals, a handler is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    TaskStarted,
    TaskExited,
    ProcessExited,
    Fork,
    Exec,
    JobControl,
    Stop,
}

impl Notice {
    fn is(self, event: &Event) -> bool {
        match event {
            Event::TaskStarted(_) => self == Notice::TaskStarted,
            Event::TaskExited(_) => self == Notice::TaskExited,
            Event::ProcessExited(_) => self == Notice::ProcessExited,
            Event::Forked(_) => self == Notice::Fork,
            Event::Execed(_) => self == Notice::Exec,
            Event::JobControl(_) => self == Notice::JobControl,
            Event::Stop(_) => self == Notice::Stop,
            _ => false,
        }
    }
}

pub(crate) type EnterFn<S> = dyn Fn(&mut Client<S>, &SyscallEvent) -> Result<OnEnter>;
pub(crate) type ExitFn<S> = dyn Fn(&mut Client<S>, &SyscallEvent) -> Result<OnExit>;
pub(crate) type SignalFn<S> = dyn Fn(&mut Client<S>, &SignalStop) -> Result<OnSignal>;
pub(crate) type BreakpointFn<S> = dyn Fn(&mut Client<S>, &BreakpointHit) -> Result<OnBreakpoint>;
pub(crate) type CallFn<S> = dyn Fn(&mut Client<S>, &FunctionEvent) -> Result<OnCall>;
pub(crate) type ReturnFn<S> = dyn Fn(&mut Client<S>, &FunctionEvent) -> Result<OnReturn>;
pub(crate) type NoticeFn<S> = dyn Fn(&mut Client<S>, &Event) -> Result<OnNotice>;

pub(crate) enum Callback<S> {
    Enter(Calls, Rc<EnterFn<S>>),
    Exit(Calls, Rc<ExitFn<S>>),
    Signal(Vec<u32>, Rc<SignalFn<S>>),
    Notice(Notice, Rc<NoticeFn<S>>),
    Breakpoint(u64, Rc<BreakpointFn<S>>),
    Function(u64, Option<Rc<CallFn<S>>>, Option<Rc<ReturnFn<S>>>),
}

impl<S> Callback<S> {
    /// How well it fits an event: not at all, as a generic handler, or as one
    /// for just this.
    pub(crate) fn fits(&self, event: &Event) -> Fit {
        let call = |calls: &Calls, call: &SyscallEvent| match calls {
            Calls::All => Fit::Generic,
            only if only.has(call) => Fit::Specific,
            Calls::Only(_) => Fit::No,
        };
        match (self, event) {
            (Callback::Enter(calls, _), Event::SyscallEnter(stop)) => call(calls, stop),
            (Callback::Exit(calls, _), Event::SyscallExit(stop)) => call(calls, stop),
            (Callback::Signal(set, _), Event::Signal(_)) if set.is_empty() => Fit::Generic,
            (Callback::Signal(set, _), Event::Signal(stop)) if set.contains(&stop.signal) => {
                Fit::Specific
            }
            (Callback::Notice(notice, _), event) if notice.is(event) => Fit::Generic,
            (Callback::Breakpoint(id, _), Event::Breakpoint(hit)) if *id == hit.breakpoint => {
                Fit::Specific
            }
            (
                Callback::Function(id, ..),
                Event::FunctionEnter(call) | Event::FunctionReturn(call),
            ) if *id == call.hook => Fit::Specific,
            _ => Fit::No,
        }
    }

    /// The host's number of its breakpoint or hook.
    pub(crate) fn instrument(&self) -> Option<u64> {
        match self {
            Callback::Breakpoint(number, _) | Callback::Function(number, ..) => Some(*number),
            _ => None,
        }
    }

    /// The handler alone, to be called while the table may change.
    pub(crate) fn pick(&self) -> Picked<S> {
        match self {
            Callback::Enter(_, call) => Picked::Enter(Rc::clone(call)),
            Callback::Exit(_, call) => Picked::Exit(Rc::clone(call)),
            Callback::Signal(_, call) => Picked::Signal(Rc::clone(call)),
            Callback::Notice(_, call) => Picked::Notice(Rc::clone(call)),
            Callback::Breakpoint(_, call) => Picked::Breakpoint(Rc::clone(call)),
            Callback::Function(_, enter, leave) => Picked::Function(enter.clone(), leave.clone()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    No,
    Generic,
    Specific,
}

pub(crate) enum Picked<S> {
    Enter(Rc<EnterFn<S>>),
    Exit(Rc<ExitFn<S>>),
    Signal(Rc<SignalFn<S>>),
    Notice(Rc<NoticeFn<S>>),
    Breakpoint(Rc<BreakpointFn<S>>),
    Function(Option<Rc<CallFn<S>>>, Option<Rc<ReturnFn<S>>>),
}

impl<S> Picked<S> {
    pub(crate) fn call(&self, client: &mut Client<S>, event: &Event) -> Result<Verdict> {
        match (self, event) {
            (Picked::Enter(call), Event::SyscallEnter(stop)) => call(client, stop).map(Into::into),
            (Picked::Exit(call), Event::SyscallExit(stop)) => call(client, stop).map(Into::into),
            (Picked::Signal(call), Event::Signal(stop)) => call(client, stop).map(Into::into),
            (Picked::Breakpoint(call), Event::Breakpoint(hit)) => call(client, hit).map(Into::into),
            (Picked::Function(Some(call), _), Event::FunctionEnter(function)) => {
                call(client, function).map(Into::into)
            }
            (Picked::Function(_, Some(call)), Event::FunctionReturn(function)) => {
                call(client, function).map(Into::into)
            }
            (Picked::Notice(call), event) => call(client, event).map(Into::into),
            _ => Ok(Verdict::PROCEED),
        }
    }
}

pub(crate) struct Handler<S> {
    pub(crate) id: HandlerId,
    pub(crate) callback: Callback<S>,
    /// Dropped with the handler, which ends what makes the events.
    pub(crate) source: Source,
}

/// What makes the events of a handler.
pub(crate) enum Source {
    /// They come unasked.
    Nothing,
    Wish {
        _wish: Subscription,
    },
    Breakpoint(Breakpoint),
    Hook {
        _hook: Hook,
    },
}
