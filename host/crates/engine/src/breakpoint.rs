//! Breakpoints of clients, and the `int3` instructions that they share.
//!
//! A *site* is an address at which there is an `int3` in memory, with the byte
//! that belongs there and everybody who wants to know. It stays in memory as
//! long as one of them does, also while tasks go past it (see
//! [`crate::displaced`]), so that no hit is lost.

use std::borrow::Cow;

use pai_ptrace::{Pid, Regs, Tid};

use crate::displaced::{self, MAX_INSTRUCTION, Plan, Width};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{BreakpointId, HookId, Subject};
use crate::hook::Called;
use crate::memory::{Mapping, Protection};
use crate::operation::Frame;
use crate::space::SpaceId;
use crate::subscription::ClientId;
use crate::symbols::{Location, SymbolKind};

/// Breakpoints, watchpoints and hooks that one client may have.
pub const MAX_BREAKPOINTS: usize = 65_536;

pub(crate) const INT3: u8 = 0xcc;

/// What a breakpoint is made of.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum BreakpointKind {
    /// An `int3` in memory.
    #[default]
    Software,
    /// A debug register, on an instruction.
    HardwareExecute,
    /// A debug register, on so many bytes that are written.
    Write(u8),
    /// A debug register, on so many bytes that are written or read.
    Access(u8),
}

/// What a breakpoint is to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BreakpointOptions {
    /// What it is made of.
    pub kind: BreakpointKind,
    /// Only for this task.
    pub tid: Option<Tid>,
    /// Removes itself with the first hit that is reported.
    pub once: bool,
    /// Hits to let pass before the first that is reported.
    pub skip: u64,
}

/// A breakpoint of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breakpoint {
    pub(crate) client: ClientId,
    pub(crate) addr: u64,
    pub(crate) kind: BreakpointKind,
    pub(crate) tid: Option<Tid>,
    pub(crate) once: bool,
    pub(crate) skip: u64,
    pub(crate) enabled: bool,
    pub(crate) hits: u64,
}

/// See the module.
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
    pub(crate) plan: Plan,
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

/// What a task has to do with breakpoints.
#[derive(Default, Debug)]
pub(crate) struct TrapState {
    /// It stands at a breakpoint that has been told, and goes past it next.
    pub(crate) pass: Option<Box<Pass>>,
    /// It was sent through the copy of an instruction.
    pub(crate) copy: Option<InCopy>,
    /// It came back from a copy with the instruction not executed, and will hit
    /// the breakpoint again.
    pub(crate) mark: Option<Box<Mark>>,
    /// It is in the system call of the instruction at this breakpoint.
    pub(crate) call_at: Option<u64>,
    /// It was resumed for one instruction.
    pub(crate) stepping: bool,
    /// It blocks SIGTRAP (see [`crate::sigtrap`]).
    pub(crate) blocks: bool,
    /// It has executed it, and has touched watched memory with it: that is told
    /// first.
    pub(crate) stepped: bool,
    /// Which debug registers it has (see [`crate::watchpoint`]).
    pub(crate) debug_version: u64,
    /// Its next trap by an `int3` of ours is its own.
    pub(crate) own: bool,
    /// Calls of hooked functions that have not returned.
    pub(crate) frames: Vec<Called>,
    /// It has come to where a function returns that was called for a client.
    pub(crate) arrived: bool,
    /// It was born in such a function, and returns to where its creator does, who
    /// alone has something there.
    pub(crate) born_in_call: Option<Box<BornInCall>>,
}

/// A child of a function that was called for a client.
#[derive(Clone, Debug)]
pub(crate) struct BornInCall {
    pub(crate) return_at: u64,
    pub(crate) frame: Frame,
}

/// A task at a breakpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) addr: u64,
    /// Its registers, the instruction pointer at the breakpoint.
    pub(crate) regs: Regs,
    /// They have been changed.
    pub(crate) dirty: bool,
    /// The function there is not to be executed and returns this.
    pub(crate) early: Option<i64>,
}

/// An instruction that a task was to execute and has not: the hit was told, and
/// comes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) addr: u64,
    sp: u64,
    /// Its registers, unless the kernel changes them before the task comes back.
    regs: Option<Regs>,
    /// A handler runs first. It may repair what the instruction is about, and it
    /// may never return.
    pub(crate) handler: bool,
    /// It has returned to here.
    pub(crate) returned: bool,
}

impl Mark {
    /// For a task that has these registers.
    pub(crate) fn new(regs: &Regs) -> Self {
        Self {
            addr: regs.ip(),
            sp: regs.sp(),
            regs: Some(*regs),
            handler: false,
            returned: false,
        }
    }

    /// For a system call that restarts.
    pub(crate) fn of_call(addr: u64, sp: u64) -> Self {
        Self {
            addr,
            sp,
            regs: None,
            handler: false,
            returned: false,
        }
    }

    /// Whether a hit with these registers is the one that was told.
    pub(crate) fn is_about(&self, regs: &Regs) -> bool {
        let here = self.addr == regs.ip() && self.sp == regs.sp();
        let unchanged = || self.regs.is_none_or(|before| before.same_state(regs));
        here && if self.handler {
            self.returned
        } else {
            unchanged()
        }
    }

    /// The handler has to be watched.
    pub(crate) fn waits(&self) -> bool {
        self.handler && !self.returned
    }
}

/// A task in the copy of an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InCopy {
    pub(crate) addr: u64,
    pub(crate) slot: u64,
    pub(crate) len: u8,
    /// It enters the kernel.
    pub(crate) is_call: bool,
    /// Behind that entry the task is to be here.
    pub(crate) next: Option<u64>,
}

impl Engine {
    /// Inserts a breakpoint into the process, and all that share its memory; a
    /// child that is forked later has it too, unless it is for one task.
    ///
    /// # Errors
    /// `NoSuchProcess`, `BadAddress` for an unmapped page, `Invalid` for what is
    /// no instruction, for a watchpoint that is not aligned, and for a second
    /// breakpoint of this client at the same place and for the same tasks,
    /// `Unsupported` for shared memory and 32-bit processes, `Limit`.
    pub fn insert_breakpoint(
        &mut self,
        client: ClientId,
        pid: Pid,
        addr: u64,
        options: BreakpointOptions,
    ) -> Result<BreakpointId, Error> {
        let space = self.space_id(pid)?;
        if let Some(tid) = options.tid
            && self.tasks.get(&tid).is_none_or(|task| task.pid != pid)
        {
            return Err(Error::NoSuchTask(tid));
        }
        let twice = self.at(space, addr, options.kind).into_iter().any(|id| {
            let other = self.breakpoints.get(&id);
            other.is_some_and(|other| other.client == client && other.tid == options.tid)
        });
        if twice {
            return Err(Error::Invalid(format!(
                "there is a breakpoint of this plugin at {addr:#x} already"
            )));
        }
        self.check_limit(client)?;
        self.learn_own_trap(client, pid);
        let id = BreakpointId(self.next_number());
        match options.kind {
            BreakpointKind::Software => self.add_owner(pid, addr, Subject::Breakpoint(id))?,
            kind => self.insert_watch(pid, addr, kind, id)?,
        }
        self.breakpoints.insert(
            id,
            Breakpoint {
                client,
                addr,
                kind: options.kind,
                tid: options.tid,
                once: options.once,
                skip: options.skip,
                enabled: true,
                hits: 0,
            },
        );
        Ok(id)
    }

    pub(crate) fn check_limit(&self, client: ClientId) -> Result<(), Error> {
        let own = |breakpoint: &&Breakpoint| breakpoint.client == client;
        let all = self.breakpoints.len() + self.hooks.len();
        if all >= MAX_BREAKPOINTS {
            let hooks = self.hooks.values().filter(|hook| hook.client == client);
            let own = self.breakpoints.values().filter(own).count() + hooks.count();
            if own >= MAX_BREAKPOINTS {
                return Err(Error::Limit("breakpoints"));
            }
        }
        Ok(())
    }

    fn owned(&self, client: ClientId, id: BreakpointId) -> Result<&Breakpoint, Error> {
        let breakpoint = self.breakpoints.get(&id);
        breakpoint
            .filter(|breakpoint| breakpoint.client == client)
            .ok_or_else(|| Error::NotFound(format!("there is no breakpoint {}", id.raw())))
    }

    /// Takes a breakpoint away. A hit that was reported stays one.
    ///
    /// # Errors
    /// `NotFound` for one that this client does not have (any more).
    pub fn remove_breakpoint(&mut self, client: ClientId, id: BreakpointId) -> Result<(), Error> {
        self.owned(client, id)?;
        self.remove_subject(Subject::Breakpoint(id));
        Ok(())
    }

    /// How often tasks came to it while it was enabled, also those hits that
    /// were not to be reported.
    ///
    /// # Errors
    /// As [`Engine::remove_breakpoint`].
    pub fn breakpoint_hits(&self, client: ClientId, id: BreakpointId) -> Result<u64, Error> {
        Ok(self.owned(client, id)?.hits)
    }

    /// Switches a breakpoint off or on. One that is off costs a task that comes
    /// by the same, and is not counted.
    ///
    /// # Errors
    /// As [`Engine::remove_breakpoint`].
    pub fn enable_breakpoint(
        &mut self,
        client: ClientId,
        id: BreakpointId,
        on: bool,
    ) -> Result<(), Error> {
        self.owned(client, id)?;
        if let Some(breakpoint) = self.breakpoints.get_mut(&id) {
            breakpoint.enabled = on;
        }
        Ok(())
    }

    /// The breakpoints of this kind at an address.
    fn at(&self, space: SpaceId, addr: u64, kind: BreakpointKind) -> Vec<BreakpointId> {
        let Some(space) = self.spaces.get(&space) else {
            return Vec::new();
        };
        if kind != BreakpointKind::Software {
            return space.watches.at(addr, kind);
        }
        let owners = space.sites.get(&addr).map_or(&[][..], |site| &site.owners);
        let ids = owners.iter().filter_map(|owner| match owner {
            Subject::Breakpoint(id) => Some(*id),
            _ => None,
        });
        ids.collect()
    }

    /// Adds an owner to the site at an address, which is made if there is none.
    pub(crate) fn add_owner(&mut self, pid: Pid, addr: u64, owner: Subject) -> Result<(), Error> {
        let known = self
            .space_mut(pid)
            .ok_or(Error::NoSuchProcess(pid))?
            .sites
            .get_mut(&addr);
        if let Some(site) = known {
            site.owners.push(owner);
            return Ok(());
        }
        if self
            .processes
            .get(&pid)
            .is_some_and(|p| p.abi == pai_syscalls::abi::I386)
        {
            return Err(Error::Unsupported(format!(
                "process {pid} runs a 32-bit program: there are no breakpoints for these yet"
            )));
        }
        let maps = self.maps(pid)?;
        self.check_place(&maps, pid, addr)?;
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
                owners: vec![owner],
                way: None,
            };
            space.sites.insert(addr, site);
        }
        Ok(())
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

    fn check_place(&mut self, maps: &[Mapping], pid: Pid, addr: u64) -> Result<(), Error> {
        let Some(mapping) = mapping_of(maps, addr) else {
            return Err(self.bad_address(pid, addr, 0));
        };
        if !mapping.is_code() {
            return Err(Error::Invalid(format!(
                "{addr:#x} of process {pid} is data: {} is not executable",
                if mapping.name.is_empty() {
                    "its mapping"
                } else {
                    &mapping.name
                }
            )));
        }
        if mapping.protection.contains(Protection::SHARED) {
            return Err(Error::Unsupported(format!(
                "{addr:#x} of process {pid} is in memory that others share ({}): \
                 a breakpoint would be in theirs too",
                mapping.name
            )));
        }
        Ok(())
    }

    /// Takes something of a client's away, wherever it is.
    pub(crate) fn remove_subject(&mut self, subject: Subject) {
        match subject {
            Subject::Breakpoint(id) => match self.breakpoints.remove(&id) {
                Some(Breakpoint {
                    kind: BreakpointKind::Software,
                    addr,
                    ..
                }) => self.remove_owner(addr, subject),
                Some(_) => self.remove_watch(id),
                None => {}
            },
            Subject::Hook(id) => self.forget_hook(id),
            Subject::Operation(_) | Subject::Returns | Subject::Jumper => {}
        }
    }

    /// Takes all of a client's away.
    pub(crate) fn remove_subjects_of(&mut self, client: ClientId) {
        let own: Vec<BreakpointId> = self
            .breakpoints
            .iter()
            .filter(|(_, breakpoint)| breakpoint.client == client)
            .map(|(id, _)| *id)
            .collect();
        for id in own {
            self.remove_subject(Subject::Breakpoint(id));
        }
        let own: Vec<HookId> = self
            .hooks
            .iter()
            .filter(|(_, hook)| hook.client == client)
            .map(|(id, _)| *id)
            .collect();
        for id in own {
            self.forget_hook(id);
        }
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
        self.restore_byte(pid, addr, site.original);
    }

    /// Writes a byte over an `int3`. What has been mapped there since is left
    /// alone: it is no code any more, or has another byte.
    fn restore_byte(&mut self, pid: Pid, addr: u64, original: u8) {
        let mut now = [0];
        let there = self.read_raw(pid, addr, &mut now);
        if there != Ok(1) || now != [INT3] {
            return;
        }
        let maps = self.maps(pid).unwrap_or_default();
        if !mapping_of(&maps, addr).is_some_and(Mapping::is_code) {
            return;
        }
        if let Err(error) = self.write_raw(pid, addr, &[original]) {
            tracing::debug!(target: "pai::engine", %pid, %error, "a breakpoint stays behind");
        }
    }

    /// Puts the original bytes back everywhere in a process's memory. The
    /// sites stay known when `keep` says so: the memory of a child that is let
    /// go is not its parent's.
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
        for (addr, original) in bytes {
            self.restore_byte(pid, addr, original);
        }
    }

    /// Whether there was a breakpoint that a task may have hit before it was
    /// taken away: where an `int3` of the target's own is, it is still.
    pub(crate) fn was_site(&mut self, pid: Pid, addr: u64) -> bool {
        let known = self
            .space(pid)
            .is_some_and(|space| space.removed.contains_key(&addr));
        let mut now = [0];
        known && self.read_raw(pid, addr, &mut now) == Ok(1) && now != [INT3]
    }

    /// A child's memory is a copy from the moment of its fork: breakpoints that
    /// came or went since come and go there too. Those for one task of its
    /// parent's are not for it.
    pub(crate) fn settle_copy(&mut self, pid: Pid) {
        let Ok(id) = self.space_id(pid) else { return };
        let shared = self
            .processes
            .values()
            .filter(|process| process.space == id);
        if shared.count() > 1 {
            return;
        }
        self.retire_stubs(pid);
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
        for (addr, original) in lifted {
            self.restore_byte(pid, addr, original);
        }
        for (addr, original) in placed {
            let mut now = [0];
            if self.read_raw(pid, addr, &mut now) == Ok(1)
                && now == [original]
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
        &self,
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
            site.way = None;
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

/// The mapping that an address is in.
pub(crate) fn mapping_of(maps: &[Mapping], addr: u64) -> Option<&Mapping> {
    let after = maps.partition_point(|mapping| mapping.start <= addr);
    maps[..after].last().filter(|mapping| addr < mapping.end)
}
