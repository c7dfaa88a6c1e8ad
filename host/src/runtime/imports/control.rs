//! `control`: ending things.

use pai_engine::End;
use pai_ptrace::Signal;

use crate::runtime::bindings::control::Host;
use crate::runtime::bindings::types::{Error, Pid, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

impl Host for State {
    fn send_signal(&mut self, tid: Tid, signal: u32) -> Result<(), Error> {
        self.require(Capability::Tamper)?;
        let signal = convert::signal(signal)?;
        if signal == Signal::KILL {
            self.require(Capability::Kill)?;
        }
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, _| engine.send_signal(tid, signal))
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
