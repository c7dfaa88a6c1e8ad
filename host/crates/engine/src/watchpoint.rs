//! Breakpoints and watchpoints in the debug registers of the processor.
//!
//! There are four in each task (Intel SDM volume 3, 18.2). A thread does not
//! inherit those of its creator (copy_thread in arch/x86/kernel/process.c), so
//! each task has a note of which set it was given last, and gets the current one
//! before it goes on.

use std::rc::Rc;

use pai_ptrace::{DEBUG_ADDRESSES, Pid, Regs, Stopped, Tid, monotonic_nanos};

use crate::breakpoint::BreakpointKind;
use crate::engine::Engine;
use crate::error::{Error, Fatal, unless_gone};
use crate::event::{BreakpointId, Event, Hit, Subject};
use crate::space::SpaceId;
use crate::subscription::ClientId;
use crate::task::{Hits, State};

/// What one debug register watches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Watch {
    addr: u64,
    kind: BreakpointKind,
    owners: Vec<BreakpointId>,
    /// The version from which on the register is for this.
    since: u64,
}

/// The debug registers of an address space.
#[derive(Clone, Default, Debug)]
pub(crate) struct Watches {
    slots: [Option<Watch>; DEBUG_ADDRESSES],
    /// Changes with each change of the slots; 0 before the first.
    pub(crate) version: u64,
}

/// Status register: which address was hit (Intel SDM volume 3, 18.2.3).
const STATUS: usize = 6;
/// Control register (18.2.4).
const CONTROL: usize = 7;

impl BreakpointKind {
    /// R/W and LEN of the control register; the length in bytes.
    fn control(self) -> Option<(u64, u64, u64)> {
        let (access, bytes) = match self {
            BreakpointKind::Software => return None,
            BreakpointKind::HardwareExecute => (0b00, 1),
            BreakpointKind::Write(bytes) => (0b01, bytes),
            BreakpointKind::Access(bytes) => (0b11, bytes),
        };
        let len = match bytes {
            1 => 0b00,
            2 => 0b01,
            4 => 0b11,
            8 => 0b10,
            _ => return None,
        };
        Some((access, len, u64::from(bytes)))
    }
}

impl Watches {
    fn control(&self) -> u64 {
        let mut control = 0;
        for (index, slot) in self.slots.iter().enumerate() {
            let Some((access, len, _)) = slot.as_ref().and_then(|slot| slot.kind.control()) else {
                continue;
            };
            control |= 1 << (2 * index) | (access | len << 2) << (16 + 4 * index);
        }
        control
    }

    /// Who watches just this.
    pub(crate) fn at(&self, addr: u64, kind: BreakpointKind) -> Vec<BreakpointId> {
        let same = |watch: &&Watch| watch.addr == addr && watch.kind == kind;
        let watch = self.slots.iter().flatten().find(same);
        watch.map_or_else(Vec::new, |watch| watch.owners.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    /// The bits of the status register that tell of what is watched since this version.
    fn newer_than(&self, version: u64) -> u64 {
        let newer = |slot: &&Option<Watch>| slot.as_ref().is_some_and(|s| s.since > version);
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| newer(slot))
            .fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// Takes owners away; true when that frees a register.
    fn keep_owners(&mut self, keep: impl Fn(BreakpointId) -> bool) -> bool {
        let before = self.version;
        for slot in &mut self.slots {
            let Some(watch) = slot else { continue };
            watch.owners.retain(|owner| keep(*owner));
            if watch.owners.is_empty() {
                *slot = None;
                self.version += 1;
            }
        }
        self.version != before
    }
}

impl Engine {
    /// Puts a breakpoint into a debug register of every task of the space.
    pub(crate) fn insert_watch(
        &mut self,
        pid: Pid,
        addr: u64,
        kind: BreakpointKind,
        id: BreakpointId,
    ) -> Result<(), Error> {
        let Some((_, _, bytes)) = kind.control() else {
            return Err(Error::Invalid(
                "a watchpoint is 1, 2, 4 or 8 bytes wide".to_owned(),
            ));
        };
        if !addr.is_multiple_of(bytes) {
            return Err(Error::Invalid(format!(
                "{addr:#x} is no multiple of {bytes}, the width of the watchpoint"
            )));
        }
        match self.area_at(pid, addr)? {
            None => return Err(self.bad_address(pid, addr, 0)),
            Some(area) if kind == BreakpointKind::HardwareExecute && !area.is_executable() => {
                return Err(Error::Invalid(format!(
                    "{addr:#x} of process {pid} is data: nothing is executed there"
                )));
            }
            Some(_) => {}
        }
        let space = self.space_mut(pid).ok_or(Error::NoSuchProcess(pid))?;
        let watches = &mut space.watches;
        let same = |slot: &&mut Watch| slot.addr == addr && slot.kind == kind;
        if let Some(slot) = watches.slots.iter_mut().flatten().find(same) {
            slot.owners.push(id);
            return Ok(());
        }
        let free = watches.slots.iter_mut().find(|slot| slot.is_none());
        let Some(free) = free else {
            return Err(Error::Limit("4 hardware breakpoints and watchpoints"));
        };
        watches.version += 1;
        *free = Some(Watch {
            addr,
            kind,
            owners: vec![id],
            since: watches.version,
        });
        let space = self.space_id(pid)?;
        self.reload_debug_registers(space);
        Ok(())
    }

    /// Frees the debug registers that nobody uses without this one.
    pub(crate) fn remove_watch(&mut self, id: BreakpointId) {
        let mut changed = Vec::new();
        for (space_id, space) in &mut self.spaces {
            if space.watches.keep_owners(|owner| owner != id) {
                changed.push(*space_id);
            }
        }
        for space in changed {
            self.reload_debug_registers(space);
        }
    }

    /// Frees the debug registers of a space that nobody uses without this client.
    pub(crate) fn leave_watches(&mut self, client: ClientId, id: SpaceId) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let breakpoints = &self.breakpoints;
        let foreign = |owner| breakpoints.get(&owner).is_some_and(|b| b.client != client);
        if space.watches.keep_owners(foreign) {
            self.reload_debug_registers(id);
        }
    }

    /// Makes all tasks of a space stop once; they get the registers when they go
    /// on.
    fn reload_debug_registers(&mut self, space: SpaceId) {
        for tid in self.tasks_in(space) {
            let Some(task) = self.tasks.get_mut(&tid) else {
                continue;
            };
            if let State::Running(running) | State::Listening(running, _) = &task.state
                && !task.interrupting
            {
                // One that is gone needs none.
                task.interrupting = running.interrupt().is_ok();
            }
        }
    }

    /// Gives a stopped task the debug registers of its address space; false when
    /// it is gone.
    pub(crate) fn load_debug_registers(&mut self, stopped: &Stopped) -> Result<bool, Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(true);
        };
        let (pid, has) = (task.pid, task.trap.debug_version);
        let Some(watches) = self.space(pid).map(|space| &space.watches) else {
            return Ok(true);
        };
        if watches.version == has {
            return Ok(true);
        }
        let version = watches.version;
        let control = watches.control();
        let newer = watches.newer_than(has);
        let mut requests = vec![(CONTROL, 0)];
        for (index, slot) in watches.slots.iter().enumerate() {
            requests.push((index, slot.as_ref().map_or(0, |slot| slot.addr)));
        }
        requests.push((CONTROL, control));
        if has != 0 {
            // A trap of what was there before may still be to come, and a step that no
            // debug exception comes with leaves the register as it is.
            let Some(status) = unless_gone(stopped.debug_register(STATUS))? else {
                return Ok(false);
            };
            if status & newer != 0 {
                unless_gone(stopped.set_debug_register(STATUS, status & !newer))?;
            }
        }
        for (number, value) in requests {
            match stopped.set_debug_register(number, value) {
                Ok(()) => {}
                Err(error) if error.is_gone() => return Ok(false),
                // Somebody else uses them up (perf_event_open(2)).
                Err(error) => {
                    tracing::warn!(target: "pai::engine", %tid, %error, "not watched");
                    break;
                }
            }
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.trap.debug_version = version;
        }
        Ok(true)
    }

    /// Takes the debug registers from a task that is let go.
    pub(crate) fn clear_debug_registers(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        if std::mem::take(&mut task.trap.debug_version) != 0 {
            unless_gone(stopped.set_debug_register(CONTROL, 0))?;
        }
        Ok(())
    }

    /// Which watches of its space a task has hit since it was asked last.
    pub(crate) fn watches_hit(&mut self, stopped: &Stopped, regs: &Regs) -> Result<Hits, Fatal> {
        let tid = stopped.tid();
        let task = self.tasks.get(&tid);
        let Some((pid, has)) = task.map(|task| (task.pid, task.trap.debug_version)) else {
            return Ok(Hits::new());
        };
        if self.space(pid).is_none_or(|space| space.watches.is_empty()) {
            return Ok(Hits::new());
        }
        let Some(status) = unless_gone(stopped.debug_register(STATUS))? else {
            return Ok(Hits::new());
        };
        unless_gone(stopped.set_debug_register(STATUS, 0))?;
        let Some(space) = self.space(pid) else {
            return Ok(Hits::new());
        };
        // The task may have been given others before what there is now.
        let status = status & !space.watches.newer_than(has);
        let mut hit = Vec::new();
        for (index, slot) in space.watches.slots.iter().enumerate() {
            if let Some(watch) = slot
                && status & 1 << index != 0
            {
                let data = (watch.kind != BreakpointKind::HardwareExecute).then_some(watch.addr);
                hit.extend(watch.owners.iter().map(|owner| (*owner, data)));
            }
        }
        let mut events = Hits::new();
        self.report_hits(pid, tid, regs, hit, &mut events);
        events.sort_by_key(|(client, _)| *client);
        Ok(events)
    }

    /// Reports hits, each with the address of the data that was touched, and
    /// removes breakpoints that were to be hit once.
    pub(crate) fn report_hits(
        &mut self,
        pid: Pid,
        tid: Tid,
        regs: &Regs,
        hits: impl IntoIterator<Item = (BreakpointId, Option<u64>)>,
        events: &mut Hits,
    ) {
        for (id, data) in hits {
            let Some((client, once)) = self.count_hit(id, pid, tid, regs) else {
                continue;
            };
            let hit = Hit {
                pid,
                tid,
                breakpoint: id,
                addr: regs.ip(),
                data,
                at: monotonic_nanos(),
            };
            events.push((client, Event::Breakpoint(hit)));
            if once {
                self.remove_subject(Subject::Breakpoint(id));
            }
        }
    }

    /// Counts a hit; whose it is, if it is to be reported, and whether it is the only
    /// one.
    fn count_hit(
        &mut self,
        id: BreakpointId,
        pid: Pid,
        tid: Tid,
        regs: &Regs,
    ) -> Option<(ClientId, bool)> {
        let breakpoint = self.breakpoints.get(&id)?;
        let client = &self.clients[breakpoint.client.index()];
        if !breakpoint.enabled
            || breakpoint.tid.is_some_and(|only| only != tid)
            || client.left.contains(&pid)
        {
            return None;
        }
        if !breakpoint.when.is_empty() {
            let when = Rc::clone(&breakpoint.when);
            if !when.iter().all(|when| self.holds(pid, regs, when)) {
                return None;
            }
        }
        let breakpoint = self.breakpoints.get_mut(&id)?;
        breakpoint.hits += 1;
        if breakpoint.skip > 0 {
            breakpoint.skip -= 1;
            return None;
        }
        Some((breakpoint.client, breakpoint.once))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_register() {
        let mut watches = Watches::default();
        assert_eq!(watches.control(), 0);
        let watch = |kind| {
            Some(Watch {
                addr: 0x1000,
                kind,
                owners: Vec::new(),
                since: 1,
            })
        };
        watches.slots[0] = watch(BreakpointKind::Write(4));
        assert_eq!(watches.control(), 0x000d_0001);
        watches.slots[3] = watch(BreakpointKind::HardwareExecute);
        assert_eq!(watches.control(), 0x000d_0041);
        watches.slots[1] = watch(BreakpointKind::Access(8));
        assert_eq!(watches.control(), 0x00bd_0045);
        assert_eq!(BreakpointKind::Write(3).control(), None);
    }
}
