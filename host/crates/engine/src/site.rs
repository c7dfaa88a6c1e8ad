//! Places in a target's memory where there is an `int3` of ours.

use std::borrow::Cow;
use std::rc::Rc;

use pai_ptrace::{Area, Pid, Protection};

use crate::displaced::{self, MAX_INSTRUCTION, Plan, Width};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Subject;
use crate::files::mapping_of;
use crate::space::SpaceId;
use crate::symbols::{Location, SymbolKind};

pub(crate) const INT3: u8 = 0xcc;

/// One of them.
#[derive(Debug)]
pub(crate) struct Site {
    /// What belongs there.
    pub(crate) original: u8,
    pub(crate) owners: Vec<Subject>,
    /// How a task goes past it, once one had to.
    pub(crate) way: Option<Way>,
}

/// How tasks go past a site.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) plan: Rc<Plan>,
    /// Where the copy is, for a plan that has one.
    pub(crate) slot: Option<u64>,
}

impl Site {
    /// For a copy of the address space, which has no slots.
    pub(crate) fn copy(&self) -> Self {
        Self {
            original: self.original,
            owners: self.owners.clone(),
            way: None,
        }
    }
}

impl Engine {
    /// Adds an owner to the site at an address, which is made if there is none.
    pub(crate) fn add_owner(&mut self, pid: Pid, addr: u64, owner: Subject) -> Result<(), Error> {
        // What was there may have been unmapped, and something else be there now.
        let in_place = self.byte_at(pid, addr) == Some(INT3);
        let space = self.space_mut(pid).ok_or(Error::NoSuchProcess(pid))?;
        let mut owners = match space.sites.get_mut(&addr) {
            Some(site) if in_place => {
                site.owners.push(owner);
                return Ok(());
            }
            Some(site) => site.owners.clone(),
            None => Vec::new(),
        };
        owners.push(owner);
        self.check_program(pid)?;
        self.check_place(pid, addr)?;
        let mut code = [0; MAX_INSTRUCTION];
        let done = self.read_raw(pid, addr, &mut code)?;
        let code = &mut code[..done];
        let Some(original) = code.first().copied() else {
            return Err(self.bad_address(pid, addr, 0));
        };
        self.hide_breakpoints(pid, addr, code);
        if displaced::instruction_len(code, addr, Width::Bits64).is_err() {
            return Err(Error::Invalid(format!(
                "there is no instruction at {addr:#x} of process {pid}"
            )));
        }
        if matches!(owner, Subject::Breakpoint(_) | Subject::Hook(_)) {
            self.check_boundary(pid, addr)?;
        }
        self.write_raw(pid, addr, &[INT3])?;
        if let Some(space) = self.space_mut(pid) {
            space.removed.remove(&addr);
            let site = Site {
                original,
                owners,
                way: None,
            };
            let gone = space.sites.insert(addr, site);
            let slot = gone.and_then(|gone| gone.way?.slot);
            space.free_slots.extend(slot);
        }
        Ok(())
    }

    /// Instructions are those of 64-bit code.
    fn check_program(&self, pid: Pid) -> Result<(), Error> {
        match self.processes.get(&pid).map(|process| process.abi) {
            Some(pai_syscalls::abi::I386) => Err(Error::Unsupported(format!(
                "process {pid} runs a 32-bit program: there are no breakpoints for these yet"
            ))),
            Some(0) => Err(Error::Unsupported(format!(
                "process {pid} runs a program whose file cannot be read: whether its code is \
                 64-bit code is not known"
            ))),
            _ => Ok(()),
        }
    }

    /// In the middle of an instruction a breakpoint would change what that does.
    /// Where instructions begin is known from the function's beginning, if that
    /// is.
    fn check_boundary(&mut self, pid: Pid, addr: u64) -> Result<(), Error> {
        /// Of a longer function it is not looked at.
        const MOST: u64 = 64 << 10;
        let Ok(Some(location)) = self.resolve(pid, addr) else {
            return Ok(());
        };
        let Location { symbol, offset } = location;
        let inside = symbol.kind == SymbolKind::Function && offset < symbol.size.min(MOST);
        if offset == 0 || !inside {
            return Ok(());
        }
        let len = usize::try_from(offset).unwrap_or(0) + MAX_INSTRUCTION;
        let Ok(code) = self.read_some(pid, symbol.value, len) else {
            return Ok(());
        };
        if displaced::boundary(&code, symbol.value, addr, Width::Bits64) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "{addr:#x} of process {pid} is in the middle of an instruction of {}",
            symbol.name
        )))
    }

    fn check_place(&mut self, pid: Pid, addr: u64) -> Result<(), Error> {
        let Some(area) = self.area_at(pid, addr)? else {
            return Err(self.bad_address(pid, addr, 0));
        };
        let is_code = area.is_executable();
        if is_code && !area.protection.contains(Protection::SHARED) {
            return Ok(());
        }
        let maps = self.maps(pid)?;
        let name = match mapping_of(&maps, addr) {
            Some(mapping) if !mapping.name.is_empty() => &mapping.name,
            _ => "its mapping",
        };
        Err(if is_code {
            Error::Unsupported(format!(
                "{addr:#x} of process {pid} is in memory that others share ({name}): \
                 a breakpoint would be in theirs too"
            ))
        } else {
            Error::Invalid(format!(
                "{addr:#x} of process {pid} is data: {name} is not executable"
            ))
        })
    }

    /// Takes an owner away from every place.
    pub(crate) fn remove_owner_everywhere(&mut self, owner: Subject) {
        let sites = self.spaces.values().flat_map(|space| &space.sites);
        let places: Vec<u64> = sites
            .filter(|(_, site)| site.owners.contains(&owner))
            .map(|(addr, _)| *addr)
            .collect();
        for addr in places {
            self.remove_owner(addr, owner);
        }
    }

    pub(crate) fn remove_owner(&mut self, addr: u64, owner: Subject) {
        let mut unused = Vec::new();
        for (id, space) in &mut self.spaces {
            if let Some(site) = space.sites.get_mut(&addr) {
                site.owners.retain(|other| *other != owner);
                if site.owners.is_empty() {
                    unused.push(*id);
                }
            }
        }
        for id in unused {
            self.lift(id, addr);
        }
    }

    /// Puts the original byte back, if there still is our `int3`.
    pub(crate) fn lift(&mut self, id: SpaceId, addr: u64) {
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let Some(site) = space.sites.remove(&addr) else {
            return;
        };
        space.removed.insert(addr, site.original);
        space.free_slots.extend(site.way.and_then(|way| way.slot));
        let Some(pid) = self.process_in(id) else {
            return;
        };
        self.restore_byte(pid, addr, site.original, &mut None);
    }

    /// Writes a byte over an `int3`. What has been mapped there since is left
    /// alone: it is no code any more, or has another byte. `near`: where the place
    /// before was.
    fn restore_byte(&mut self, pid: Pid, addr: u64, original: u8, near: &mut Option<Area>) {
        if self.byte_at(pid, addr) != Some(INT3) {
            return;
        }
        let area = self.area_near(pid, addr, near);
        if !area.is_some_and(|area| area.is_executable()) {
            return;
        }
        if let Err(error) = self.write_raw(pid, addr, &[original]) {
            tracing::debug!(target: "pai::engine", %pid, %error, "a breakpoint stays behind");
        }
    }

    /// Puts the original bytes back everywhere in a process's memory.
    pub(crate) fn lift_all(&mut self, pid: Pid) {
        self.retire_stubs(pid);
        let Ok(id) = self.space_id(pid) else { return };
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let sites = std::mem::take(&mut space.sites);
        let bytes: Vec<(u64, u8)> = sites.iter().map(|(addr, s)| (*addr, s.original)).collect();
        for (addr, original) in &bytes {
            space.removed.insert(*addr, *original);
        }
        let mut near = None;
        for (addr, original) in bytes {
            self.restore_byte(pid, addr, original, &mut near);
        }
    }

    /// Whether there was a breakpoint that a task may have hit before it was
    /// taken away: where an `int3` of the target's own is, it is still.
    pub(crate) fn was_site(&mut self, pid: Pid, addr: u64) -> bool {
        let known = self
            .space(pid)
            .is_some_and(|space| space.removed.contains_key(&addr));
        known && self.byte_at(pid, addr).is_some_and(|now| now != INT3)
    }

    /// The byte that is in memory now, ours or not.
    pub(crate) fn byte_at(&mut self, pid: Pid, addr: u64) -> Option<u8> {
        let mut now = [0];
        (self.read_raw(pid, addr, &mut now) == Ok(1)).then_some(now[0])
    }

    /// A child's memory is a copy from the moment of its fork: breakpoints that
    /// came or went since come and go there too. Those for one task of its
    /// parent's are not for it.
    pub(crate) fn settle_copy(&mut self, pid: Pid) {
        let Ok(id) = self.space_id(pid) else { return };
        if self.is_shared(id) {
            return;
        }
        self.settle_stubs(pid);
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        let foreign = |owner: &Subject| match owner {
            Subject::Breakpoint(id) => self.breakpoints.get(id).is_none_or(|b| b.tid.is_some()),
            Subject::Hook(id) => self.hooks.get(id).is_none_or(|h| h.options.tid.is_some()),
            Subject::Operation(_) => true,
            Subject::Returns | Subject::Jumper => false,
        };
        let mut lifted: Vec<(u64, u8)> = space.removed.iter().map(|(a, o)| (*a, *o)).collect();
        let mut placed = Vec::new();
        space.sites.retain(|addr, site| {
            site.owners.retain(|owner| !foreign(owner));
            let keep = !site.owners.is_empty();
            if keep {
                placed.push((*addr, site.original));
            } else {
                lifted.push((*addr, site.original));
            }
            keep
        });
        let mut near = None;
        for (addr, original) in lifted {
            self.restore_byte(pid, addr, original, &mut near);
        }
        for (addr, original) in placed {
            if self.byte_at(pid, addr) == Some(original)
                && let Err(error) = self.write_raw(pid, addr, &[INT3])
            {
                tracing::debug!(target: "pai::engine", %pid, %error, "a breakpoint is lost");
            }
        }
    }

    /// Shows what belongs there in bytes that were read from `addr` on.
    pub(crate) fn hide_breakpoints(&self, pid: Pid, addr: u64, bytes: &mut [u8]) {
        let Some(space) = self.space(pid).filter(|space| !space.sites.is_empty()) else {
            return;
        };
        let end = addr.saturating_add(bytes.len() as u64);
        for (at, site) in space.sites.range(addr..end) {
            let at = usize::try_from(at - addr).unwrap_or(usize::MAX);
            // Something else may have been mapped there since.
            if let Some(byte) = bytes.get_mut(at)
                && *byte == INT3
            {
                *byte = site.original;
            }
        }
    }

    /// Before a write: takes the bytes that belong under breakpoints out of
    /// those to be written, so that the breakpoints stay.
    pub(crate) fn keep_breakpoints(
        &mut self,
        pid: Pid,
        addr: u64,
        bytes: &mut Cow<'_, [u8]>,
    ) -> Vec<(u64, u8)> {
        let Some(space) = self.space(pid).filter(|space| !space.sites.is_empty()) else {
            return Vec::new();
        };
        let end = addr.saturating_add(bytes.len() as u64);
        let sites: Vec<u64> = space.sites.range(addr..end).map(|(at, _)| *at).collect();
        let mut hidden = Vec::new();
        for at in sites {
            if self.byte_at(pid, at) != Some(INT3) {
                continue;
            }
            let index = usize::try_from(at - addr).unwrap_or(usize::MAX);
            if let Some(byte) = bytes.to_mut().get_mut(index) {
                hidden.push((at, std::mem::replace(byte, INT3)));
            }
        }
        hidden
    }

    /// After a write of `done` bytes at `addr`: notes what belongs under the
    /// breakpoints now.
    pub(crate) fn write_under_breakpoints(
        &mut self,
        pid: Pid,
        addr: u64,
        done: usize,
        hidden: Vec<(u64, u8)>,
    ) {
        let end = addr.saturating_add(done as u64);
        let Some(space) = self.space_mut(pid) else {
            return;
        };
        // An instruction may begin before what was written.
        let first = addr.saturating_sub(MAX_INSTRUCTION as u64);
        for (_, site) in space.sites.range_mut(first..end) {
            let slot = site.way.take().and_then(|way| way.slot);
            space.free_slots.extend(slot);
        }
        for (at, byte) in hidden {
            if at < end
                && let Some(site) = space.sites.get_mut(&at)
            {
                site.original = byte;
            }
        }
    }
}
