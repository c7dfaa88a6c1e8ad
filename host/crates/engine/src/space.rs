//! Address spaces: what clients have put into one, whoever shares it.

use std::collections::BTreeMap;

use pai_ptrace::{NewTask, Pid, Tid, share_memory};
use rustc_hash::FxHashMap;

use crate::displaced::SLOT_SIZE;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Subject;
use crate::got::{Stub, StubPage};
use crate::memory::{Mapping, PAGE};
use crate::site::Site;
use crate::subscription::ClientId;
use crate::task::Process;
use crate::watchpoint::Watches;

/// One address space of the session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SpaceId(pub(crate) u32);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Breakpoints by address.
    pub(crate) sites: BTreeMap<u64, Site>,
    /// Original bytes where breakpoints were once. A child that was being made
    /// meanwhile has a copy of them.
    pub(crate) removed: FxHashMap<u64, u8>,
    /// Code of ours.
    pub(crate) pads: Vec<Pad>,
    /// Slots whose breakpoint is gone. A task may be in one still.
    pub(crate) free_slots: Vec<u64>,
    /// What is in the debug registers of its tasks.
    pub(crate) watches: Watches,
    /// Stubs of hooked slots, by address.
    pub(crate) stubs: BTreeMap<u64, Stub>,
    pub(crate) stub_pages: Vec<StubPage>,
    /// Memory of clients, by address.
    pub(crate) allocations: BTreeMap<u64, Allocation>,
    /// Memory that nobody wants any more, to be unmapped as soon as a task can.
    pub(crate) garbage: Vec<(u64, u64)>,
    /// A `syscall` instruction of the target's own.
    pub(crate) syscall_at: Option<u64>,
    /// The functions that may jump out of frames have breakpoints.
    pub(crate) jumpers_watched: bool,
}

/// Memory that a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocation {
    pub(crate) len: u64,
    pub(crate) client: ClientId,
}

/// Executable pages that hold our code: first a system call and a place to
/// return to, then slots for copied instructions.
#[derive(Debug)]
pub(crate) struct Pad {
    pub(crate) base: u64,
    pub(crate) len: u64,
    /// Where the next slot is.
    next: u64,
}

/// What a pad begins with: `syscall; int3`, an `int3` at which called functions arrive,
/// and `int 0x80; int3`.
const PAD_HEAD: [u8; 9] = [0x0f, 0x05, 0xcc, 0xcc, 0xcc, 0xcc, 0xcd, 0x80, 0xcc];

/// How far code may be from what it refers to, with room for the pad itself and
/// for what the instruction refers to beside it.
const REACH: u64 = 1 << 30;
/// The lowest address that can be mapped (vm.mmap_min_addr is not above it).
const LOWEST: u64 = 64 << 10;
/// Where user space ends on x86_64 without LA57 (Documentation/arch/x86/
/// x86_64/mm.rst).
const HIGHEST: u64 = (1 << 47) - (1 << 20);
/// The stack and the heap grow; neither is to run into a pad.
const STACK_ROOM: u64 = 1 << 28;
const HEAP_ROOM: u64 = 1 << 30;

impl Pad {
    /// The address of a `syscall` instruction.
    pub(crate) fn syscall_at(&self) -> u64 {
        self.base
    }

    /// The address to which called functions return.
    pub(crate) fn return_at(&self) -> u64 {
        self.base + 4
    }

    /// The address of an `int 0x80` instruction.
    pub(crate) fn int80_at(&self) -> u64 {
        self.base + 6
    }

    fn has_room_near(&self, addr: u64) -> bool {
        self.next + SLOT_SIZE as u64 <= self.base + self.len && self.base.abs_diff(addr) < REACH
    }
}

impl Space {
    /// Whether there is anything of ours in it.
    pub(crate) fn is_touched(&self) -> bool {
        !self.sites.is_empty()
            || !self.removed.is_empty()
            || !self.pads.is_empty()
            || !self.stubs.is_empty()
            || self.watches.version != 0
    }

    /// What a copy of it (fork) begins with: breakpoints are copied, our pages
    /// are not (MADV_DONTFORK).
    pub(crate) fn copy(&self) -> Self {
        Self {
            sites: self
                .sites
                .iter()
                .map(|(addr, site)| (*addr, site.copy()))
                .collect(),
            removed: self.removed.clone(),
            watches: self.watches.clone(),
            stubs: self.stubs.clone(),
            syscall_at: self.syscall_at,
            jumpers_watched: self.jumpers_watched,
            ..Self::default()
        }
    }

    /// Takes a slot near `addr` if a pad has one.
    pub(crate) fn take_slot(&mut self, addr: u64, in_use: impl Fn(u64) -> bool) -> Option<u64> {
        let free = |slot: &u64| slot.abs_diff(addr) < REACH && !in_use(*slot);
        if let Some(index) = self.free_slots.iter().position(free) {
            return Some(self.free_slots.swap_remove(index));
        }
        let pad = self.pads.iter_mut().find(|pad| pad.has_room_near(addr))?;
        let slot = pad.next;
        pad.next += SLOT_SIZE as u64;
        Some(slot)
    }

    /// All that is ours is to be unmapped.
    pub(crate) fn discard_all(&mut self) {
        let pads = self.pads.drain(..).map(|pad| (pad.base, pad.len));
        self.garbage.extend(pads);
        let allocations = std::mem::take(&mut self.allocations);
        let memory = allocations.into_iter().map(|(addr, a)| (addr, a.len));
        self.garbage.extend(memory);
    }

    /// How large the next pad is: more pads, larger pads.
    pub(crate) fn next_pad_len(&self) -> u64 {
        PAGE << (2 * self.pads.len()).min(8)
    }

    pub(crate) fn add_pad(&mut self, base: u64, len: u64) -> [u8; 9] {
        self.pads.push(Pad {
            base,
            len,
            next: base + SLOT_SIZE as u64,
        });
        PAD_HEAD
    }
}

/// Where `len` bytes near `addr` are free: the nearest place below it, and above it
/// only if there is none. A heap that is not there yet begins above the program, and
/// a stack grows down.
pub(crate) fn room_near(maps: &[Mapping], addr: u64, len: u64) -> Option<u64> {
    let mut below: Option<u64> = None;
    let mut above: Option<u64> = None;
    let mut consider = |start: u64| {
        if start.abs_diff(addr) >= REACH {
            return;
        }
        // Ascending: the last one below and the first one above are the nearest.
        if start < addr {
            below = Some(start);
        } else {
            above.get_or_insert(start);
        }
    };
    let mut from = LOWEST;
    for mapping in maps.iter().filter(|mapping| mapping.start < HIGHEST) {
        let to = match mapping.name.as_str() {
            "[stack]" => mapping.start.saturating_sub(STACK_ROOM),
            _ => mapping.start,
        };
        if from.saturating_add(len) <= to {
            consider(from);
            consider(to - len);
        }
        from = from.max(match mapping.name.as_str() {
            "[heap]" => mapping.end.saturating_add(HEAP_ROOM),
            _ => mapping.end,
        });
    }
    if from.saturating_add(len) <= HIGHEST {
        consider(from);
    }
    below.or(above)
}

impl Engine {
    /// Takes away what a client has in the memory of a process that it has left,
    /// unless it shares that memory with one that it has not left.
    pub(crate) fn leave_memory(&mut self, client: ClientId, pid: Pid) {
        let Ok(id) = self.space_id(pid) else { return };
        let left = &self.clients[client.index()].left;
        let here = |process: &&Process| process.space == id && !left.contains(&process.pid);
        if self.processes.values().any(|process| here(&process)) {
            return;
        }
        let own = |owner: &Subject| match owner {
            Subject::Breakpoint(id) => self.breakpoints.get(id).is_some_and(|b| b.client == client),
            Subject::Hook(id) => self.hooks.get(id).is_some_and(|hook| hook.client == client),
            Subject::Operation(_) | Subject::Returns | Subject::Jumper => false,
        };
        let Some(space) = self.spaces.get_mut(&id) else {
            return;
        };
        for site in space.sites.values_mut() {
            site.owners.retain(|owner| !own(owner));
        }
        let mut retired = Vec::new();
        for (addr, stub) in &mut space.stubs {
            stub.hooks.retain(|hook| !own(&Subject::Hook(*hook)));
            if stub.hooks.is_empty() {
                retired.push(*addr);
            }
        }
        let retired: Vec<(u64, Stub)> = retired
            .into_iter()
            .filter_map(|addr| Some((addr, space.stubs.remove(&addr)?)))
            .collect();
        // Without a hook nobody waits for a return.
        let hooked = |site: &Site| site.owners.iter().any(|o| matches!(o, Subject::Hook(_)));
        if space.stubs.is_empty() && !space.sites.values().any(hooked) {
            for site in space.sites.values_mut() {
                site.owners
                    .retain(|owner| !matches!(owner, Subject::Returns | Subject::Jumper));
            }
            space.jumpers_watched = false;
        }
        let unused = |(addr, site): (&u64, &Site)| site.owners.is_empty().then_some(*addr);
        let unused: Vec<u64> = space.sites.iter().filter_map(unused).collect();
        space.abandon(client);
        for addr in unused {
            self.lift(id, addr);
        }
        for (addr, stub) in retired {
            self.retire(pid, addr, &stub);
        }
        self.leave_watches(client, id);
    }

    /// A space of its own for a new process or program.
    pub(crate) fn new_space(&mut self) -> SpaceId {
        self.add_space(Space::default())
    }

    fn add_space(&mut self, space: Space) -> SpaceId {
        let id = SpaceId(self.next_space);
        self.next_space += 1;
        self.spaces.insert(id, space);
        id
    }

    /// The space of a child: its creator's, or a copy of it.
    pub(crate) fn space_of_child(&mut self, parent: Pid, child: Pid, kind: NewTask) -> SpaceId {
        let Some(of_parent) = self.processes.get(&parent).map(|process| process.space) else {
            return self.new_space();
        };
        let shared = share_memory(parent, child).unwrap_or(kind == NewTask::Vfork);
        if shared {
            return of_parent;
        }
        let copy = self.spaces.get(&of_parent).map(Space::copy);
        self.add_space(copy.unwrap_or_default())
    }

    /// The space of a process that was there before us: it may share it with
    /// another that we have attached to.
    pub(crate) fn space_of_attached(&mut self, pid: Pid) -> SpaceId {
        let mut others = self.processes.values();
        match others.find(|other| share_memory(other.pid, pid) == Some(true)) {
            Some(other) => other.space,
            None => self.new_space(),
        }
    }

    /// Forgets a space that no process has any more.
    pub(crate) fn drop_space(&mut self, id: SpaceId) {
        if !self.processes.values().any(|process| process.space == id)
            && let Some(space) = self.spaces.remove(&id)
            && space.is_touched()
        {
            self.buried.add(space);
        }
    }

    /// Whether several processes have this space (CLONE_VM).
    pub(crate) fn is_shared(&self, id: SpaceId) -> bool {
        let here = |process: &&Process| process.space == id;
        self.processes.values().filter(here).count() > 1
    }

    pub(crate) fn space_id(&self, pid: Pid) -> Result<SpaceId, Error> {
        let process = self.processes.get(&pid);
        Ok(process.ok_or(Error::NoSuchProcess(pid))?.space)
    }

    pub(crate) fn space(&self, pid: Pid) -> Option<&Space> {
        self.spaces.get(&self.processes.get(&pid)?.space)
    }

    pub(crate) fn space_mut(&mut self, pid: Pid) -> Option<&mut Space> {
        self.spaces.get_mut(&self.processes.get(&pid)?.space)
    }

    /// A process that has this space.
    pub(crate) fn process_in(&self, id: SpaceId) -> Option<Pid> {
        let mut processes = self.processes.values();
        processes
            .find(|process| process.space == id && self.live_task(process.pid).is_some())
            .map(|process| process.pid)
    }

    /// Tasks of all processes that have this space.
    pub(crate) fn tasks_in(&self, id: SpaceId) -> Vec<Tid> {
        let in_space = |pid: Pid| self.processes.get(&pid).is_some_and(|p| p.space == id);
        self.tasks
            .iter()
            .filter(|(_, task)| in_space(task.pid))
            .map(|(tid, _)| *tid)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pai_ptrace::Protection;

    fn mapping(start: u64, end: u64, name: &str) -> Mapping {
        Mapping {
            start,
            end,
            protection: Protection::READ,
            offset: 0,
            device: 0,
            inode: 0,
            name: name.to_owned(),
        }
    }

    #[test]
    fn room_is_found_where_nothing_grows() {
        let maps = [
            mapping(0x5555_5555_4000, 0x5555_5555_8000, "/bin/x"),
            mapping(0x5555_5555_8000, 0x5555_5557_9000, "[heap]"),
            mapping(0x7fff_f7c0_0000, 0x7fff_f7de_0000, "libc"),
            mapping(0x7fff_f7fd_0000, 0x7fff_f7ff_f000, "ld.so"),
            mapping(0x7fff_fffd_e000, 0x7fff_ffff_f000, "[stack]"),
        ];
        let near = |addr| room_near(&maps, addr, 0x1000);
        assert_eq!(near(0x5555_5555_4100), Some(0x5555_5555_3000));
        assert_eq!(near(0x7fff_f7c0_1000), Some(0x7fff_f7bf_f000));
        assert_eq!(near(0x7fff_f7fd_1000), Some(0x7fff_f7fc_f000));
        // Below a program at a fixed address.
        let fixed = [mapping(0x40_0000, 0x40_2000, "/bin/y")];
        assert_eq!(room_near(&fixed, 0x40_1000, 0x1000), Some(0x3f_f000));
        // Nothing is left.
        let full = [mapping(LOWEST, HIGHEST, "all")];
        assert_eq!(room_near(&full, 0x40_1000, 0x1000), None);
    }
}
