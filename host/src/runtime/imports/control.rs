//! `control`: running, stopping and ending.

use std::time::Duration;

use pai_engine::{End, OperationId, Step};
use pai_ptrace::Signal;

use crate::runtime::bindings::control::{Host, StepOptions};
use crate::runtime::bindings::types::{Error, Nanos, OpId, Pid, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

impl Host for State {
    fn step(&mut self, tid: Tid, how: StepOptions, timeout: Option<Nanos>) -> Result<OpId, Error> {
        self.require(Capability::Control)?;
        if let Some((name, _)) = how.extra.first() {
            return Err(Error::Unsupported(format!("the option {name:?}")));
        }
        let tid = convert::tid(tid)?;
        let step = Step {
            most: how.most,
            until: how.until,
            out_of: how.out_of.map(|(start, end)| start..end),
            over_calls: how.over_calls,
        };
        let timeout = timeout.map(Duration::from_nanos);
        self.on_tracer(|engine, client| engine.start_step(client, tid, step, timeout))
            .map(OperationId::raw)
    }

    fn interrupt(&mut self, tid: Tid) -> Result<(), Error> {
        self.require(Capability::Control)?;
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.interrupt(client, tid))
    }

    fn cancel(&mut self, op: OpId) -> Result<(), Error> {
        let id = OperationId::from_raw(op);
        self.on_tracer(|engine, client| engine.cancel(client, id))
    }

    fn send_signal(&mut self, tid: Tid, signal: u32) -> Result<(), Error> {
        self.require(Capability::Tamper)?;
        let signal = convert::signal(signal)?;
        if signal == Signal::KILL {
            self.require(Capability::Kill)?;
        }
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, _| engine.send_signal(tid, signal))
    }

    fn raise(&mut self, tid: Tid, signal: u32) -> Result<(), Error> {
        self.require(Capability::Tamper)?;
        let signal = convert::signal(signal)?;
        if signal == Signal::KILL {
            self.require(Capability::Kill)?;
        }
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.raise(client, tid, signal))
    }

    fn delay(&mut self, tid: Tid, by: Nanos) -> Result<(), Error> {
        self.require(Capability::Control)?;
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.delay(client, tid, Duration::from_nanos(by)))
    }

    fn detach_process(&mut self, pid: Pid) -> Result<(), Error> {
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, client| engine.leave_process(client, pid))
    }

    fn detach(&mut self) -> Result<(), Error> {
        self.on_tracer(|engine, client| {
            engine.end_client(client, End::Detached);
            Ok(())
        })
    }

    fn kill(&mut self, pid: Pid) -> Result<(), Error> {
        self.require(Capability::Kill)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| engine.kill_process(pid))
    }
}
