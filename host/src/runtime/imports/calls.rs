//! `calls`: code that targets execute for a plugin.

use std::time::Duration;

use crate::runtime::bindings::calls::{Argument, Host};
use crate::runtime::bindings::types::{Address, Error, Nanos, OpId, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

fn argument(argument: Argument) -> Result<pai_engine::Argument, Error> {
    use pai_engine::Argument as Engine;

    Ok(match argument {
        Argument::Int(value) => Engine::Int(value),
        Argument::Float(value) => Engine::Float(value),
        Argument::Single(value) => Engine::Single(value),
        Argument::Bytes(bytes) => Engine::Bytes(bytes),
        Argument::Other(name) => {
            return Err(Error::Unsupported(format!("the argument {name:?}")));
        }
    })
}

impl Host for State {
    fn call_function(
        &mut self,
        tid: Tid,
        addr: Address,
        args: Vec<Argument>,
        timeout: Option<Nanos>,
    ) -> Result<OpId, Error> {
        self.require(Capability::Inject)?;
        let tid = convert::tid(tid)?;
        let args: Vec<_> = args.into_iter().map(argument).collect::<Result<_, _>>()?;
        let timeout = timeout.map(Duration::from_nanos);
        self.drive().operated.set(true);
        self.on_tracer(|engine, client| engine.start_call(client, tid, addr, &args, timeout))
            .map(pai_engine::OperationId::raw)
    }

    fn call_syscall(
        &mut self,
        tid: Tid,
        nr: u32,
        args: Vec<u64>,
        timeout: Option<Nanos>,
    ) -> Result<OpId, Error> {
        self.require(Capability::Inject)?;
        let tid = convert::tid(tid)?;
        let mut all = [0; 6];
        match all.get_mut(..args.len()) {
            Some(given) => given.copy_from_slice(&args),
            None => {
                return Err(Error::Invalid(format!(
                    "{} arguments for a system call, which takes six",
                    args.len()
                )));
            }
        }
        let timeout = timeout.map(Duration::from_nanos);
        self.drive().operated.set(true);
        self.on_tracer(|engine, client| engine.start_syscall(client, tid, nr, all, timeout))
            .map(pai_engine::OperationId::raw)
    }
}
