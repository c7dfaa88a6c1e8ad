//! `registers`: of tasks that the plugin holds.

use pai_ptrace::Regs;

use crate::runtime::bindings::registers::{General, Host};
use crate::runtime::bindings::types::{Error, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

fn no_register(name: &str) -> Error {
    Error::NotFound(format!("no register named {name:?}"))
}

impl State {
    fn registers_of(&self, raw: Tid) -> Result<Regs, Error> {
        let tid = convert::tid(raw)?;
        self.on_tracer(|engine, client| engine.registers(client, tid))
    }
}

impl Host for State {
    fn names(&mut self, tid: Tid) -> Result<Vec<String>, Error> {
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, _| engine.task(tid).map(drop))?;
        Ok(Regs::NAMES.iter().map(|name| (*name).to_owned()).collect())
    }

    fn get_all(&mut self, tid: Tid) -> Result<General, Error> {
        let regs = self.registers_of(tid)?;
        Ok(General {
            ip: regs.ip(),
            sp: regs.sp(),
            values: regs.values().to_vec(),
        })
    }

    fn get(&mut self, tid: Tid, name: String) -> Result<u64, Error> {
        let regs = self.registers_of(tid)?;
        regs.get(&name).ok_or_else(|| no_register(&name))
    }

    fn set(&mut self, tid: Tid, name: String, value: u64) -> Result<(), Error> {
        self.require(Capability::RegistersWrite)?;
        let mut regs = self.registers_of(tid)?;
        if !regs.set(&name, value) {
            return Err(no_register(&name));
        }
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.set_registers(client, tid, regs))
    }

    fn set_all(&mut self, tid: Tid, values: Vec<u64>) -> Result<(), Error> {
        self.require(Capability::RegistersWrite)?;
        let values: &[u64; Regs::COUNT] = values.as_slice().try_into().map_err(|_| {
            Error::Invalid(format!(
                "{} values for {} registers",
                values.len(),
                Regs::COUNT
            ))
        })?;
        let mut regs = self.registers_of(tid)?;
        regs.set_values(values);
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.set_registers(client, tid, regs))
    }

    fn get_set(&mut self, tid: Tid, note: u32) -> Result<Vec<u8>, Error> {
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.register_set(client, tid, note))
    }

    fn set_set(&mut self, tid: Tid, note: u32, bytes: Vec<u8>) -> Result<(), Error> {
        self.require(Capability::RegistersWrite)?;
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.set_register_set(client, tid, note, &bytes))
    }

    fn get_vector(&mut self, tid: Tid, name: String) -> Result<Vec<u8>, Error> {
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.vector(client, tid, &name))
    }

    fn set_vector(&mut self, tid: Tid, name: String, bytes: Vec<u8>) -> Result<(), Error> {
        self.require(Capability::RegistersWrite)?;
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.set_vector(client, tid, &name, &bytes))
    }
}
