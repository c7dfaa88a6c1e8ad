//! Breakpoints, watchpoints, function hooks, steps, and calls in the target.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::bindings::pai::plugin::breakpoints::{
    Breakpoint, Condition, Hook, HookOptions, Kind, Options, Site,
};
use crate::bindings::pai::plugin::calls::{self, Argument};
use crate::bindings::pai::plugin::control::{self, StepOptions};
use crate::bindings::pai::plugin::events::{
    BreakpointHit, CallResult, Event, FunctionEvent, OpOutcome, Topic,
};
use crate::bindings::pai::plugin::types::{Pid, Tid};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::handlers::{
    CallFn, Callback, HandlerId, OnBreakpoint, OnCall, OnReturn, ReturnFn, Source,
};

/// How a breakpoint behaves. [`BreakpointOptions::default`] is one in memory that
/// reports every hit of every task.
#[derive(Clone, Debug)]
pub struct BreakpointOptions {
    /// What it is made of.
    pub kind: Kind,
    /// Only this task.
    pub tid: Option<Tid>,
    /// Removes itself with the first hit that is reported.
    pub once: bool,
    /// Hits to let pass before the first that is reported.
    pub skip: u64,
    /// All of these hold, or it is no hit; at most 16. The host looks at them.
    pub when: Vec<Condition>,
}

impl Default for BreakpointOptions {
    fn default() -> Self {
        Self {
            kind: Kind::Software,
            tid: None,
            once: false,
            skip: 0,
            when: Vec::new(),
        }
    }
}

impl BreakpointOptions {
    /// Hit behind an instruction that writes one of `len` bytes.
    pub fn on_write(len: u8) -> Self {
        Self {
            kind: Kind::Write(len),
            ..Self::default()
        }
    }

    /// Hit behind an instruction that writes or reads one of `len` bytes.
    pub fn on_access(len: u8) -> Self {
        Self {
            kind: Kind::Access(len),
            ..Self::default()
        }
    }

    /// Only when this holds, too: `BreakpointOptions::default().when(argument(0).equals(3))`.
    #[must_use]
    pub fn when(mut self, condition: Condition) -> Self {
        self.when.push(condition);
        self
    }

    fn insert(self, pid: Pid, addr: u64) -> Result<Breakpoint> {
        let options = Options {
            kind: self.kind,
            tid: self.tid,
            once: self.once,
            skip: self.skip,
            when: self.when,
            extra: Vec::new(),
        };
        Ok(Breakpoint::insert(pid, addr, &options)?)
    }
}

/// How far a task is stepped.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// Until the instruction pointer is here.
    pub until: Option<u64>,
    /// Until it is outside of this range.
    pub out_of: Option<Range<u64>>,
    /// What is called runs at full speed and is one step.
    pub over_calls: bool,
}

impl<S: 'static> Client<S> {
    /// At each hit of a breakpoint on an instruction. Capability `control`.
    ///
    /// # Errors
    /// `bad-address`, `invalid` for what is no instruction, `no-such-process`.
    pub fn on_breakpoint(
        &mut self,
        pid: Pid,
        addr: u64,
        handler: impl Fn(&mut Self, &BreakpointHit) -> Result<OnBreakpoint> + 'static,
    ) -> Result<HandlerId> {
        self.on_breakpoint_with(pid, addr, BreakpointOptions::default(), handler)
    }

    /// As [`Client::on_breakpoint`], also for watchpoints.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`]; `limit` when debug registers are used up.
    pub fn on_breakpoint_with(
        &mut self,
        pid: Pid,
        addr: u64,
        options: BreakpointOptions,
        handler: impl Fn(&mut Self, &BreakpointHit) -> Result<OnBreakpoint> + 'static,
    ) -> Result<HandlerId> {
        let breakpoint = options.insert(pid, addr)?;
        let callback = Callback::Breakpoint(breakpoint.id(), Rc::new(handler));
        Ok(self.add_handler(callback, Source::Breakpoint(breakpoint)))
    }

    fn breakpoint_of(&self, id: HandlerId) -> Result<&Breakpoint> {
        match self.source_of(id) {
            Some(Source::Breakpoint(breakpoint)) => Ok(breakpoint),
            _ => Err(Error::new("the handler has no breakpoint")),
        }
    }

    /// How often tasks came by a handler's breakpoint, reported or not.
    ///
    /// # Errors
    /// When it has none any more.
    pub fn hits(&self, id: HandlerId) -> Result<u64> {
        Ok(self.breakpoint_of(id)?.hits()?)
    }

    /// Switches a handler's breakpoint off or on.
    ///
    /// # Errors
    /// When it has none any more.
    pub fn set_enabled(&self, id: HandlerId, on: bool) -> Result<()> {
        Ok(self.breakpoint_of(id)?.set_enabled(on)?)
    }

    /// At each entry of a function, which is at this address. Capability
    /// `control`.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`].
    pub fn on_call(
        &mut self,
        pid: Pid,
        function: u64,
        handler: impl Fn(&mut Self, &FunctionEvent) -> Result<OnCall> + 'static,
    ) -> Result<HandlerId> {
        self.hook(pid, Site::Entry(function), Some(Rc::new(handler)), None)
    }

    /// At each return of a function.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`].
    pub fn on_return(
        &mut self,
        pid: Pid,
        function: u64,
        handler: impl Fn(&mut Self, &FunctionEvent) -> Result<OnReturn> + 'static,
    ) -> Result<HandlerId> {
        self.hook(pid, Site::Entry(function), None, Some(Rc::new(handler)))
    }

    /// At each entry and return of a function.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`].
    pub fn on_function(
        &mut self,
        pid: Pid,
        function: u64,
        enter: impl Fn(&mut Self, &FunctionEvent) -> Result<OnCall> + 'static,
        leave: impl Fn(&mut Self, &FunctionEvent) -> Result<OnReturn> + 'static,
    ) -> Result<HandlerId> {
        let site = Site::Entry(function);
        self.hook(pid, site, Some(Rc::new(enter)), Some(Rc::new(leave)))
    }

    /// At each call through a slot of a global offset table (see
    /// [`Client::got_slot`]), and its return. A task of the process has to be
    /// held. Capabilities `control` and, for the first slot of a process,
    /// `inject`.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`]; `invalid` for what is no slot,
    /// `not-stopped`.
    pub fn on_slot(
        &mut self,
        pid: Pid,
        slot: u64,
        enter: impl Fn(&mut Self, &FunctionEvent) -> Result<OnCall> + 'static,
        leave: impl Fn(&mut Self, &FunctionEvent) -> Result<OnReturn> + 'static,
    ) -> Result<HandlerId> {
        let site = Site::GotSlot(slot);
        self.hook(pid, site, Some(Rc::new(enter)), Some(Rc::new(leave)))
    }

    pub(crate) fn hook_entry(
        &mut self,
        pid: Pid,
        function: u64,
        enter: Rc<CallFn<S>>,
        leave: Rc<ReturnFn<S>>,
    ) -> Result<HandlerId> {
        self.hook(pid, Site::Entry(function), Some(enter), Some(leave))
    }

    fn hook(
        &mut self,
        pid: Pid,
        site: Site,
        enter: Option<Rc<CallFn<S>>>,
        leave: Option<Rc<ReturnFn<S>>>,
    ) -> Result<HandlerId> {
        let options = HookOptions {
            enter: enter.is_some(),
            leave: leave.is_some(),
            tid: None,
            extra: Vec::new(),
        };
        let hook = Hook::insert(pid, &site, &options)?;
        let callback = Callback::Function(hook.id(), enter, leave);
        Ok(self.add_handler(callback, Source::Hook { _hook: hook }))
    }

    /// An integer argument of the function that a task is entering, from 0, by
    /// the System V convention: six in registers, the rest on the stack.
    /// Capability `memory-read` for the latter.
    ///
    /// # Errors
    /// `not-stopped`, `bad-address`.
    pub fn argument(&mut self, call: &FunctionEvent, index: usize) -> Result<u64> {
        const REGISTERS: [&str; 6] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];
        let regs = self.registers(call.tid)?;
        match REGISTERS.get(index) {
            Some(name) => regs
                .get(name)
                .ok_or_else(|| Error::new(format!("no register {name}"))),
            None => {
                // Above the return address.
                let at = regs.sp() + 8 + 8 * (index as u64 - 6);
                self.read_u64(call.pid, at)
            }
        }
    }

    /// Replaces an integer argument. Capabilities `registers-write`,
    /// `memory-write`.
    ///
    /// # Errors
    /// As [`Client::argument`].
    pub fn set_argument(&mut self, call: &FunctionEvent, index: usize, value: u64) -> Result<()> {
        const REGISTERS: [&str; 6] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];
        match REGISTERS.get(index) {
            Some(name) => self.set_register(call.tid, name, value),
            None => {
                let sp = self.registers(call.tid)?.sp();
                self.write_u64(call.pid, sp + 8 + 8 * (index as u64 - 6), value)
            }
        }
    }

    /// A floating-point argument, from 0: the first eight are in registers.
    ///
    /// # Errors
    /// As [`Client::argument`].
    pub fn float_argument(&self, call: &FunctionEvent, index: usize) -> Result<f64> {
        let bytes = self.vector(call.tid, &format!("xmm{index}"))?;
        let low = bytes.first_chunk().ok_or("the host sent too few bytes")?;
        Ok(f64::from_le_bytes(*low))
    }

    /// Runs until a task comes to this address; it is held then. `None` when the
    /// session ended first. Capability `control`.
    ///
    /// # Errors
    /// As [`Client::on_breakpoint`] and [`Client::run_until`].
    pub fn run_until_addr(&mut self, pid: Pid, addr: u64) -> Result<Option<BreakpointHit>> {
        let options = BreakpointOptions {
            once: true,
            ..BreakpointOptions::default()
        };
        let breakpoint = options.insert(pid, addr)?;
        let id = breakpoint.id();
        let event = self
            .run_until(|event| matches!(event, Event::Breakpoint(hit) if hit.breakpoint == id))?;
        Ok(match event {
            Some(Event::Breakpoint(hit)) => Some(hit),
            _ => None,
        })
    }

    /// Runs until a task enters the function of this name, which may be
    /// `MODULE!NAME`. Capability `memory-read` besides.
    ///
    /// # Errors
    /// `not-found`; as [`Client::run_until_addr`].
    pub fn run_until_symbol(&mut self, pid: Pid, name: &str) -> Result<Option<BreakpointHit>> {
        let addr = self.address_of(pid, name)?;
        self.run_until_addr(pid, addr)
    }

    /// Runs until a program is executed and has come to its entry point: all
    /// libraries that it was linked with are loaded. Capability `memory-read`
    /// besides.
    ///
    /// # Errors
    /// As [`Client::run_until_addr`].
    pub fn run_until_entry(&mut self) -> Result<Option<BreakpointHit>> {
        let Some(Event::Execed(exec)) = self.run_until_exec()? else {
            return Ok(None);
        };
        let entry = self.entry(exec.pid)?;
        self.run_until_addr(exec.pid, entry)
    }

    /// Runs until one of these signals is about to be delivered; no numbers means
    /// any. The task is held then.
    ///
    /// # Errors
    /// As [`Client::run_until`].
    pub fn run_until_signal(&mut self, signals: &[u32]) -> Result<Option<Event>> {
        let _wish = Self::wish(Topic::Signals(signals.to_vec()))?;
        let wanted = signals.to_vec();
        self.run_until(move |event| match event {
            Event::Signal(stop) => wanted.is_empty() || wanted.contains(&stop.signal),
            _ => false,
        })
    }

    /// Stops a task, wherever it is, and holds it. `None` when it or the session
    /// ended first. Capability `control`.
    ///
    /// # Errors
    /// `no-such-task`.
    pub fn run_until_stop(&mut self, tid: Tid) -> Result<Option<Event>> {
        let _wish = Self::wish(Topic::Tasks)?;
        self.interrupt(tid)?;
        let event = self.run_until(|event| match event {
            Event::Stop(stop) => stop.tid == tid && stop.name == "interrupt",
            Event::TaskExited(end) => end.tid == tid,
            _ => false,
        })?;
        Ok(event.filter(|event| matches!(event, Event::Stop(_))))
    }

    /// Steps a held task by so many instructions; returns where it is then. Other
    /// events are served meanwhile. Capability `control`.
    ///
    /// # Errors
    /// `not-stopped`, `busy`; `no-such-task` when the task ends while it is stepped.
    pub fn step(&mut self, tid: Tid, count: u64) -> Result<u64> {
        self.step_with(tid, count, Steps::default())
    }

    /// Steps a held task, by at most so many instructions.
    ///
    /// # Errors
    /// As [`Client::step`].
    pub fn step_with(&mut self, tid: Tid, most: u64, how: Steps) -> Result<u64> {
        let options = StepOptions {
            most,
            until: how.until,
            out_of: how.out_of.map(|range| (range.start, range.end)),
            over_calls: how.over_calls,
            extra: Vec::new(),
        };
        let op = control::step(tid, &options, None)?;
        match self.finish(op)? {
            OpOutcome::Stepped(ip) => Ok(ip),
            other => Err(unexpected(&other)),
        }
    }

    /// Steps a held task one instruction at a time, and calls `each` with where it
    /// is after each, until that returns false.
    ///
    /// # Errors
    /// As [`Client::step`], so `no-such-task` when the task ends before; the first error
    /// of `each`.
    pub fn step_each(
        &mut self,
        tid: Tid,
        mut each: impl FnMut(&mut Self, u64) -> Result<bool>,
    ) -> Result<()> {
        loop {
            let ip = self.step(tid, 1)?;
            if !each(self, ip)? {
                return Ok(());
            }
        }
    }

    /// Asks a task to stop: [`Event::Stop`] follows, with the name "interrupt".
    /// Capability `control`.
    ///
    /// # Errors
    /// `no-such-task`.
    pub fn interrupt(&self, tid: Tid) -> Result<()> {
        Ok(control::interrupt(tid)?)
    }

    /// Calls a function in a held task, and waits for its result; other events
    /// are served meanwhile. Capability `inject`.
    ///
    /// # Errors
    /// `invalid` for what is no code, `signalled` when it crashed, `unsupported`
    /// at a stop from which nothing can be run.
    pub fn call(&mut self, tid: Tid, function: u64, args: &[Argument]) -> Result<CallResult> {
        self.call_for(tid, function, args, None)
    }

    /// As [`Client::call`]; given up after this time, with `timeout`.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call_for(
        &mut self,
        tid: Tid,
        function: u64,
        args: &[Argument],
        timeout: Option<Duration>,
    ) -> Result<CallResult> {
        let op = calls::call_function(tid, function, args, timeout.map(nanos))?;
        match self.finish(op)? {
            OpOutcome::Called(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a system call of the 64-bit ABI in a held task; returns its raw
    /// result, negative errno on failure. Capability `inject`.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn syscall(&mut self, tid: Tid, nr: u32, args: &[u64]) -> Result<i64> {
        self.syscall_for(tid, nr, args, None)
    }

    /// As [`Client::syscall`]; given up after this time, with `timeout`.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn syscall_for(
        &mut self,
        tid: Tid,
        nr: u32,
        args: &[u64],
        timeout: Option<Duration>,
    ) -> Result<i64> {
        let op = calls::call_syscall(tid, nr, args, timeout.map(nanos))?;
        match self.finish(op)? {
            OpOutcome::Syscalled(result) => Ok(result),
            other => Err(unexpected(&other)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn unexpected(outcome: &OpOutcome) -> Error {
    Error::new(format!("the host sent {outcome:?}"))
}
