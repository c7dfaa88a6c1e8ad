//! Breakpoints of clients, and the `int3` instructions that they share.
//!
//! A *site* is an address at which there is an `int3` in memory, with the byte
//! that belongs there and everybody who wants to know. It stays in memory as
//! long as one of them does, also while tasks go past it (see
//! [`crate::displaced`]), so that no hit is lost.

use std::rc::Rc;

use pai_ptrace::{Pid, Tid};

use crate::condition::{self, Condition};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{BreakpointId, HookId, Subject};
use crate::space::SpaceId;
use crate::subscription::ClientId;

/// Breakpoints, watchpoints and hooks that one client may have.
pub const MAX_BREAKPOINTS: usize = 65_536;

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
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BreakpointOptions {
    /// What it is made of.
    pub kind: BreakpointKind,
    /// Only for this task.
    pub tid: Option<Tid>,
    /// Removes itself with the first hit that is reported.
    pub once: bool,
    /// Hits to let pass before the first that is reported.
    pub skip: u64,
    /// All of these hold, or it is no hit.
    pub when: Vec<Condition>,
}

/// A breakpoint of one client.
#[derive(Debug)]
pub(crate) struct Breakpoint {
    pub(crate) client: ClientId,
    pub(crate) addr: u64,
    pub(crate) kind: BreakpointKind,
    pub(crate) tid: Option<Tid>,
    pub(crate) once: bool,
    pub(crate) skip: u64,
    pub(crate) when: Rc<[Condition]>,
    pub(crate) enabled: bool,
    pub(crate) hits: u64,
}

impl Engine {
    /// Inserts a breakpoint into the process, and all that share its memory; a
    /// child that is forked later has it too, unless it is for one task.
    ///
    /// # Errors
    /// `NoSuchProcess`, `BadAddress` for an unmapped page, `Invalid` for what is
    /// no instruction, for a watchpoint that is not aligned, and for a second
    /// breakpoint of this client at the same place and for the same tasks,
    /// `Unsupported` for shared memory and 32-bit processes, `Limit`; `Invalid` and
    /// `Limit` for conditions, too.
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
        condition::check(&options.when)?;
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
                when: options.when.into(),
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
                return Err(Error::Limit("65536 breakpoints"));
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

    /// How often tasks came to it while it was enabled and its conditions held, also
    /// those hits that were not to be reported.
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
}
