//! Memory that clients have in a target.

use pai_ptrace::{Pid, Protection, Tid};

use crate::engine::Engine;
use crate::error::Error;
use crate::memory::PAGE;
use crate::remote_call::{
    MADV_DONTFORK, MAP_PRIVATE_ANONYMOUS, NR_MADVISE, NR_MMAP, NR_MUNMAP, mapped,
};
use crate::space::{Allocation, Space};
use crate::subscription::ClientId;

/// Most bytes of one allocation.
pub const MAX_ALLOCATION: u64 = 1 << 30;
/// Allocations of one client in one address space.
const MOST_ALLOCATIONS: usize = 4096;

const NR_MREMAP: u32 = 25;
const MREMAP_MAYMOVE: u64 = 1;

impl Engine {
    /// Maps memory in the process of a task that this client holds, rounded up
    /// to pages and filled with zeros. It is unmapped when the client frees it,
    /// or is gone, and at the latest when the process is let go; a child that is
    /// forked does not have it.
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`, `Busy`; `Unsupported` at a stop from which
    /// nothing can be run; `Limit`; `Invalid` for no bytes; `Os` with what mmap(2)
    /// said.
    pub fn allocate(
        &mut self,
        client: ClientId,
        tid: Tid,
        len: u64,
        protection: Protection,
    ) -> Result<u64, Error> {
        let (pid, len) = self.check_allocation(client, tid, len)?;
        let allowed = Protection::READ | Protection::WRITE | Protection::EXECUTE;
        let bits = u64::from((protection & allowed).bits());
        let nowhere = u64::MAX;
        let map = (NR_MMAP, [0, len, bits, MAP_PRIVATE_ANONYMOUS, nowhere, 0]);
        let results = self.calls_of_held(client, tid, &[map])?;
        let addr = mapped(&results)?;
        let fork = (NR_MADVISE, [addr, len, MADV_DONTFORK, 0, 0, 0]);
        self.calls_of_held(client, tid, &[fork])?;
        if let Some(space) = self.space_mut(pid) {
            space.allocations.insert(addr, Allocation { len, client });
        }
        Ok(addr)
    }

    fn check_allocation(&self, client: ClientId, tid: Tid, len: u64) -> Result<(Pid, u64), Error> {
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        if len == 0 {
            return Err(Error::Invalid("no bytes are no allocation".to_owned()));
        }
        if len > MAX_ALLOCATION {
            return Err(Error::Limit("allocation-size"));
        }
        let own = |allocation: &&Allocation| allocation.client == client;
        let space = self.space(pid).ok_or(Error::NoSuchProcess(pid))?;
        if space.allocations.values().filter(own).count() >= MOST_ALLOCATIONS {
            return Err(Error::Limit("allocations"));
        }
        Ok((pid, len.next_multiple_of(PAGE)))
    }

    /// Makes an allocation larger or smaller; it may move (mremap(2)).
    ///
    /// # Errors
    /// As [`Engine::allocate`]; `NotFound` for what this client has not
    /// allocated.
    pub fn reallocate(
        &mut self,
        client: ClientId,
        tid: Tid,
        addr: u64,
        len: u64,
    ) -> Result<u64, Error> {
        let (pid, len) = self.check_allocation(client, tid, len)?;
        let old = self.allocation(client, pid, addr)?;
        let call = (NR_MREMAP, [addr, old.len, len, MREMAP_MAYMOVE, 0, 0]);
        let results = self.calls_of_held(client, tid, &[call])?;
        let to = mapped(&results)?;
        if let Some(space) = self.space_mut(pid) {
            space.allocations.remove(&addr);
            space.allocations.insert(to, Allocation { len, client });
        }
        Ok(to)
    }

    /// Unmaps an allocation: at once if this client holds a task of the process,
    /// else when one stops.
    ///
    /// # Errors
    /// `NotFound` for what this client has not allocated.
    pub fn free(&mut self, client: ClientId, pid: Pid, addr: u64) -> Result<(), Error> {
        let allocation = self.allocation(client, pid, addr)?;
        if let Some(space) = self.space_mut(pid) {
            space.allocations.remove(&addr);
        }
        let call = (NR_MUNMAP, [addr, allocation.len, 0, 0, 0, 0]);
        if let Some(tid) = self.held_task_of(client, pid)
            && self.calls_of_held(client, tid, &[call]).is_ok()
        {
            return Ok(());
        }
        if let Some(space) = self.space_mut(pid) {
            space.garbage.push((addr, allocation.len));
        }
        Ok(())
    }

    /// Leaves an allocation to the target, for its life.
    ///
    /// # Errors
    /// `NotFound` for what this client has not allocated.
    pub fn leak(&mut self, client: ClientId, pid: Pid, addr: u64) -> Result<(), Error> {
        self.allocation(client, pid, addr)?;
        if let Some(space) = self.space_mut(pid) {
            space.allocations.remove(&addr);
        }
        Ok(())
    }

    fn allocation(&self, client: ClientId, pid: Pid, addr: u64) -> Result<Allocation, Error> {
        let space = self.space(pid).ok_or(Error::NoSuchProcess(pid))?;
        let found = space.allocations.get(&addr);
        found
            .copied()
            .filter(|a| a.client == client)
            .ok_or_else(|| {
                Error::NotFound(format!(
                    "no memory at {addr:#x} of process {pid} was allocated by this plugin"
                ))
            })
    }

    /// The client is gone, and nobody wants its memory.
    pub(crate) fn abandon_allocations_of(&mut self, client: ClientId) {
        for space in self.spaces.values_mut() {
            space.abandon(client);
        }
    }
}

impl Space {
    /// Nobody wants the memory of this client any more.
    pub(crate) fn abandon(&mut self, client: ClientId) {
        let own = |(addr, allocation): (&u64, &Allocation)| {
            (allocation.client == client).then_some((*addr, allocation.len))
        };
        self.garbage.extend(self.allocations.iter().filter_map(own));
        self.allocations
            .retain(|_, allocation| allocation.client != client);
    }
}
