//! Hooks of slots of global offset tables.
//!
//! The slot gets the address of a *stub*, an `int3` of ours; a task that comes
//! there goes on at the function that the slot named. What a program has read
//! from a slot it may keep, so a stub stays for good: when nobody is interested
//! any more it becomes a jump to the function.

use pai_ptrace::{Area, Pid, Protection, Tid};

use crate::engine::Engine;
use crate::error::Error;
use crate::event::HookId;
use crate::memory::PAGE;
use crate::remote_call::{MAP_PRIVATE_ANONYMOUS, NR_MMAP, mapped};
use crate::site::INT3;
use crate::space::Space;
use crate::subscription::ClientId;

const STUB_SIZE: u64 = 16;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    slot: u64,
    /// What was in it: not yet `target`, if it is filled in at the first call.
    before: u64,
    target: u64,
    pub(crate) hooks: Vec<HookId>,
}

/// A page of stubs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StubPage {
    end: u64,
    next: u64,
}

impl Stub {
    /// `jmp *(%rip)`, and the address behind it.
    fn jump(&self) -> [u8; 14] {
        let mut code = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        code[6..].copy_from_slice(&self.target.to_le_bytes());
        code
    }

    /// The jump, with an `int3` over it.
    fn code(&self) -> [u8; 14] {
        let mut code = self.jump();
        code[0] = INT3;
        code
    }
}

impl Space {
    /// Where the stub at an address leads.
    pub(crate) fn stub_target(&self, addr: u64) -> Option<u64> {
        Some(self.stubs.get(&addr)?.target)
    }

    pub(crate) fn stub_hooks(&self, addr: u64) -> Vec<HookId> {
        self.stubs
            .get(&addr)
            .map_or_else(Vec::new, |stub| stub.hooks.clone())
    }
}

impl Engine {
    /// Puts a stub into a slot.
    pub(crate) fn hook_slot(
        &mut self,
        client: ClientId,
        pid: Pid,
        slot: u64,
        id: HookId,
    ) -> Result<(), Error> {
        let space = self.space_mut(pid).ok_or(Error::NoSuchProcess(pid))?;
        if let Some(stub) = space.stubs.values_mut().find(|stub| stub.slot == slot) {
            stub.hooks.push(id);
            return Ok(());
        }
        let (before, target) = self.slot_target(pid, slot)?;
        let addr = self.new_stub(client, pid)?;
        let stub = Stub {
            slot,
            before,
            target,
            hooks: vec![id],
        };
        self.write_raw(pid, addr, &stub.code())?;
        self.write(pid, slot, &addr.to_le_bytes())?;
        if let Some(space) = self.space_mut(pid) {
            space.stubs.insert(addr, stub);
        }
        Ok(())
    }

    /// What a slot holds, and what it leads to, or will when it is bound: a lazy one
    /// holds the address of a piece of code of its own module until its first call
    /// (ld.so(8), LD_BIND_NOW).
    fn slot_target(&mut self, pid: Pid, slot: u64) -> Result<(u64, u64), Error> {
        let now = self.word_at(pid, slot);
        let now = now.ok_or_else(|| self.bad_address(pid, slot, 0))?;
        let modules = self.modules(pid)?;
        let own = modules.iter().find(|m| (m.base..m.end).contains(&slot));
        let Some(own) = own else {
            return Err(Error::Invalid(format!(
                "{slot:#x} of process {pid} is in no module's global offset table"
            )));
        };
        let inside = (own.base..own.end).contains(&now);
        let imports = self.imports(pid, &own.name)?;
        let import = imports.into_iter().find(|import| import.slot == slot);
        let Some(import) = import else {
            return Err(Error::Invalid(format!(
                "{slot:#x} of process {pid} is no slot of {}",
                own.name
            )));
        };
        let target = if inside {
            let symbol = self.lookup(pid, &import.name)?;
            symbol.map_or(now, |symbol| symbol.value)
        } else {
            now
        };
        if !self.is_code(pid, target)? {
            return Err(Error::Invalid(format!(
                "{} is no function: there is no code at {target:#x}",
                import.name
            )));
        }
        Ok((now, target))
    }

    /// Room for a stub, in a page that a task of the process maps if there is
    /// none. A fork copies it, unlike our other pages.
    fn new_stub(&mut self, client: ClientId, pid: Pid) -> Result<u64, Error> {
        const READ_AND_EXECUTE: u64 = 1 | 4;
        let space = self.space_mut(pid).ok_or(Error::NoSuchProcess(pid))?;
        let with_room = |page: &&mut StubPage| page.next + STUB_SIZE <= page.end;
        if let Some(page) = space.stub_pages.iter_mut().find(with_room) {
            let addr = page.next;
            page.next += STUB_SIZE;
            return Ok(addr);
        }
        let tid = self
            .held_task_of(client, pid)
            .ok_or(Error::NotStopped(pid.leader()))?;
        let flags = MAP_PRIVATE_ANONYMOUS;
        let args = [0, PAGE, READ_AND_EXECUTE, flags, u64::MAX, 0];
        let results = self.calls_of_held(client, tid, &[(NR_MMAP, args)])?;
        let base = mapped(&results)?;
        let page = StubPage {
            end: base + PAGE,
            next: base + STUB_SIZE,
        };
        if let Some(space) = self.space_mut(pid) {
            space.stub_pages.push(page);
        }
        Ok(base)
    }

    /// A task of the process that this client holds, and that no operation runs
    /// in.
    pub(crate) fn held_task_of(&self, client: ClientId, pid: Pid) -> Option<Tid> {
        let held = self.tasks.iter().find(|(_, task)| {
            task.pid == pid
                && task.operation.is_none()
                && task.held().is_some_and(|held| held.offer.is_with(client))
        });
        held.map(|(tid, _)| *tid)
    }

    /// Takes a hook off a slot.
    pub(crate) fn unhook_slot(&mut self, slot: u64, id: HookId) {
        let mut unused = Vec::new();
        for (space_id, space) in &mut self.spaces {
            for (addr, stub) in &mut space.stubs {
                if stub.slot == slot {
                    stub.hooks.retain(|hook| *hook != id);
                    if stub.hooks.is_empty() {
                        unused.push((*space_id, *addr));
                    }
                }
            }
        }
        for (space_id, addr) in unused {
            let pid = self.process_in(space_id);
            let stub = self
                .spaces
                .get_mut(&space_id)
                .and_then(|space| space.stubs.remove(&addr));
            if let (Some(pid), Some(stub)) = (pid, stub) {
                self.retire(pid, addr, &stub);
            }
        }
    }

    /// All stubs of a process's memory become jumps.
    pub(crate) fn retire_stubs(&mut self, pid: Pid) {
        let stubs = self
            .space_mut(pid)
            .map(|space| std::mem::take(&mut space.stubs))
            .unwrap_or_default();
        for (addr, stub) in stubs {
            self.retire(pid, addr, &stub);
        }
    }

    /// A child has copies of its parent's stubs, from the moment of its fork: a hook may
    /// have come since. Those that lead to no hook of its own go. What is no stub there, or
    /// a slot that leads elsewhere, is the program's own.
    pub(crate) fn settle_stubs(&mut self, pid: Pid) {
        let stubs = self
            .space_mut(pid)
            .map(|space| std::mem::take(&mut space.stubs))
            .unwrap_or_default();
        let mut near = None;
        for (addr, mut stub) in stubs {
            stub.hooks.retain(|id| {
                let hook = self.hooks.get(id);
                hook.is_some_and(|hook| hook.options.tid.is_none())
            });
            if stub.hooks.is_empty() {
                self.retire(pid, addr, &stub);
                continue;
            }
            let there = self.there_for(pid, addr, &stub, &mut near);
            if there == There::Other {
                // Its page was mapped after the fork, or unmapped before.
                tracing::debug!(target: "pai::engine", %pid, "no stub in a child");
                continue;
            }
            let now = self.word_at(pid, stub.slot);
            let is_unhooked = now.is_some_and(|now| now == stub.before || now == stub.target);
            let placed = self
                .write_raw(pid, addr, &stub.code())
                .and_then(|()| match is_unhooked {
                    true => self.write_raw(pid, stub.slot, &addr.to_le_bytes()),
                    false => Ok(()),
                });
            if let Err(error) = placed {
                tracing::debug!(target: "pai::engine", %pid, %error, "no stub in a child");
                continue;
            }
            if let Some(space) = self.space_mut(pid) {
                space.stubs.insert(addr, stub);
            }
        }
    }

    /// A stub becomes a jump, and its slot what it was.
    pub(crate) fn retire(&mut self, pid: Pid, addr: u64, stub: &Stub) {
        // Its page may be gone, and something else be there.
        if self.there_for(pid, addr, stub, &mut None) == There::Stub {
            if let Err(error) = self.write_raw(pid, addr, &stub.jump()) {
                tracing::debug!(target: "pai::engine", %pid, %error, "a stub stays");
                return;
            }
            // A task may have hit it already, and a child may have a copy of it.
            if let Some(space) = self.space_mut(pid) {
                space.removed.insert(addr, stub.jump()[0]);
            }
        }
        // Its module may be gone, and others may have the slot.
        if self.word_at(pid, stub.slot) == Some(addr)
            && let Err(error) = self.write_raw(pid, stub.slot, &stub.target.to_le_bytes())
        {
            tracing::debug!(target: "pai::engine", %pid, %error, "a slot stays");
        }
    }

    /// What is where a stub belongs. `near`: where the one before was.
    fn there_for(&mut self, pid: Pid, addr: u64, stub: &Stub, near: &mut Option<Area>) -> There {
        let mut now = [0; 14];
        if self.read_raw(pid, addr, &mut now) != Ok(now.len()) {
            return There::Other;
        }
        let area = self.area_near(pid, addr, near);
        let Some(area) = area.filter(Area::is_executable) else {
            return There::Other;
        };
        match now {
            _ if now == stub.code() || now == stub.jump() => There::Stub,
            // As our page is at first, and the program cannot have written there.
            _ if now == [0; 14] && !area.protection.contains(Protection::WRITE) => There::Room,
            _ => There::Other,
        }
    }
}

/// What is where a stub belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum There {
    /// It, or the jump that it becomes.
    Stub,
    /// Nothing yet.
    Room,
    /// Something of the program's.
    Other,
}
