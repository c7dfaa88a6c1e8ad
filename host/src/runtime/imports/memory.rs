//! `memory`: capabilities `memory-read` and `memory-write`.

use crate::runtime::bindings::events::CaptureLimits;
use crate::runtime::bindings::memory::{Host, Mapping, Protection};
use crate::runtime::bindings::types::{Address, Error, Pid, StopId, Tid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

const fn size(len: u32) -> usize {
    // 32 bits fit: this runs on 64-bit machines only.
    len as usize
}

impl Host for State {
    fn read(&mut self, pid: Pid, addr: Address, len: u32) -> Result<Vec<u8>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| engine.read(pid, addr, size(len)))
    }

    fn read_some(&mut self, pid: Pid, addr: Address, len: u32) -> Result<Vec<u8>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| engine.read_some(pid, addr, size(len)))
    }

    fn read_many(
        &mut self,
        pid: Pid,
        requests: Vec<(Address, u32)>,
    ) -> Result<Vec<Result<Vec<u8>, Error>>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        let requests: Vec<(u64, usize)> = requests
            .into_iter()
            .map(|(addr, len)| (addr, size(len)))
            .collect();
        let results = self.on_tracer(|engine, _| engine.read_many(pid, &requests))?;
        Ok(results
            .into_iter()
            .map(|result| result.map_err(Into::into))
            .collect())
    }

    fn read_c_string(&mut self, pid: Pid, addr: Address, max: u32) -> Result<Vec<u8>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| engine.read_c_string(pid, addr, size(max)))
    }

    fn captured(&mut self, stop: StopId, limits: CaptureLimits) -> Result<Vec<u8>, Error> {
        self.require(Capability::MemoryRead)?;
        let limits = convert::limits(limits)?;
        let stop = pai_engine::StopId::from_raw(stop);
        self.on_tracer(|engine, client| engine.captured(client, stop, limits))
    }

    fn write(&mut self, pid: Pid, addr: Address, bytes: Vec<u8>) -> Result<(), Error> {
        self.require(Capability::MemoryWrite)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, client| engine.write_for(client, pid, addr, &bytes))
    }

    fn find(
        &mut self,
        pid: Pid,
        addr: Address,
        len: u32,
        pattern: Vec<u8>,
        max: u32,
    ) -> Result<Vec<Address>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| engine.find(pid, addr, size(len), &pattern, size(max)))
    }

    fn maps(&mut self, pid: Pid) -> Result<Vec<Mapping>, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        let maps = self.on_tracer(|engine, _| engine.maps(pid))?;
        Ok(maps.into_iter().map(Into::into).collect())
    }

    fn allocate(&mut self, tid: Tid, len: u64, protection: Protection) -> Result<Address, Error> {
        self.require(Capability::Inject)?;
        let tid = convert::tid(tid)?;
        let protection = convert::protection(protection);
        self.on_tracer(|engine, client| engine.allocate(client, tid, len, protection))
    }

    fn reallocate(&mut self, tid: Tid, addr: Address, len: u64) -> Result<Address, Error> {
        self.require(Capability::Inject)?;
        let tid = convert::tid(tid)?;
        self.on_tracer(|engine, client| engine.reallocate(client, tid, addr, len))
    }

    fn free(&mut self, pid: Pid, addr: Address) -> Result<(), Error> {
        self.require(Capability::Inject)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, client| engine.free(client, pid, addr))
    }

    fn leak(&mut self, pid: Pid, addr: Address) -> Result<(), Error> {
        self.require(Capability::Inject)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, client| engine.leak(client, pid, addr))
    }
}
