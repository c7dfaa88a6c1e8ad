//! Tasks at breakpoints: which trap is whose, and how they go past.

use pai_ptrace::{Pid, Piece, Regs, Signal, Stop, Stopped, Tid};
use pai_ptrace::{read_pieces, write_piece};

use crate::displaced::{self, MAX_INSTRUCTION, Memory, Plan, Width, original_ip};
use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::Subject;
use crate::inject::{Place, SI_KERNEL};
use crate::operation::Doing;
use crate::procfs;
use crate::single::Here;
use crate::site::Way;
use crate::space::Space;
use crate::task::{After, Held, Hits, Offer, State};
use crate::trap_state::{InCopy, Mark, Pass};
use crate::uprobe;
use smallvec::SmallVec;

// si_code of SIGTRAP (asm-generic/siginfo.h).
pub(crate) const TRAP_BRKPT: i32 = 1;
pub(crate) const TRAP_TRACE: i32 = 2;
const TRAP_HWBKPT: i32 = 4;
/// That of a step into a handler: no signal, but the number of one (signal_delivered in
/// kernel/signal.c).
const INTO_HANDLER: i32 = 5;

/// What became of a task that was to go past a breakpoint.
pub(crate) enum Past {
    /// Resume it like this.
    Go(Stopped, After),
    /// It has executed the instruction.
    Done(Stopped),
}

impl Engine {
    /// A SIGTRAP that is ours is served; `None` then. A stop of the target's own
    /// comes back. `known`: the task's registers, if they were read.
    pub(crate) fn on_trap(
        &mut self,
        stopped: Stopped,
        known: Option<Regs>,
    ) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Some(stopped));
        };
        let pid = task.pid;
        let own = std::mem::take(&mut task.trap.own);
        let stepping = std::mem::take(&mut task.trap.stepping);
        let from = task.trap.from_trap.take().filter(|_| stepping);
        let touched = self.space(pid).is_some_and(|space| space.is_touched());
        if own || !(touched || stepping) {
            return Ok(Some(stopped));
        }
        let Some(info) = unless_gone(stopped.siginfo())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let code = match info.code() {
            INTO_HANDLER if stepping => TRAP_TRACE,
            code => code,
        };
        let known_code = matches!(code, SI_KERNEL | TRAP_BRKPT | TRAP_TRACE | TRAP_HWBKPT);
        if !known_code && from.is_none() {
            return Ok(Some(stopped));
        }
        let regs = match known {
            Some(regs) => Some(regs),
            None => unless_gone(stopped.regs())?,
        };
        let Some(regs) = regs else {
            self.dying(tid)?;
            return Ok(None);
        };
        match code {
            SI_KERNEL => self.on_int3(stopped, regs),
            _ if known_code => self.on_debug_trap(stopped, regs, stepping, code),
            _ if from.is_some_and(|from| uprobe::is_behind(tid, &info, &from, &regs)) => {
                self.on_debug_trap(stopped, regs, stepping, TRAP_TRACE)
            }
            _ => Ok(Some(stopped)),
        }
    }

    /// Whether the trap of a task's last step is still to come: an interrupt
    /// overtakes it (get_signal in kernel/signal.c).
    pub(crate) fn owes_step(&self, tid: Tid) -> bool {
        let task = self.tasks.get(&tid);
        task.is_some_and(|task| task.trap.stepping) && has_trap(tid)
    }

    /// The same for any trap that may be ours.
    pub(crate) fn owes_trap(&self, tid: Tid) -> bool {
        let Some(task) = self.tasks.get(&tid) else {
            return false;
        };
        let touched = self.space(task.pid).is_some_and(Space::is_touched);
        (touched || task.trap.stepping) && has_trap(tid)
    }

    /// A step that is done, or watched memory that was touched, or both.
    fn on_debug_trap(
        &mut self,
        stopped: Stopped,
        regs: Regs,
        stepping: bool,
        code: i32,
    ) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let events = self.watches_hit(&stopped, &regs)?;
        let watched = code == TRAP_HWBKPT;
        let ours = stepping || watched && self.is_watched(tid);
        let stopped = if ours {
            match self.mend_own_trap(stopped)? {
                Some(stopped) => stopped,
                None => return Ok(None),
            }
        } else {
            stopped
        };
        let Some(mut offer) = Offer::of_hits(events, regs) else {
            return match (stepping, ours) {
                (true, _) => self.stepped(stopped).map(|()| None),
                // Hit for nobody, or no longer.
                (false, true) => self.go_on(stopped, After::Resume).map(|()| None),
                (false, false) => Ok(Some(stopped)),
            };
        };
        if !ours && code == TRAP_TRACE {
            // The program steps itself, and the kernel has one signal for both
            // (get_si_code in arch/x86/include/asm/traps.h).
            offer.after = After::Deliver(Signal::TRAP);
            self.own_trap_is_due(tid);
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            let operation = task.operation.as_ref().map(|operation| &operation.doing);
            task.trap.stepped = stepping && matches!(operation, Some(Doing::Step(_)));
            task.state = State::Held(Held { stopped, offer });
        }
        self.offer_next(tid)?;
        Ok(None)
    }

    /// Whether a trap may be that of a debug register.
    pub(crate) fn is_watched(&self, tid: Tid) -> bool {
        self.tasks
            .get(&tid)
            .is_some_and(|task| task.trap.debug_version != 0)
    }

    /// What the kernel sends of itself: behind an `int3`, as a rule.
    fn on_int3(&mut self, stopped: Stopped, mut regs: Regs) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let Some(pid) = self.tasks.get(&tid).map(|task| task.pid) else {
            return Ok(Some(stopped));
        };
        let addr = regs.ip().wrapping_sub(1);
        let Some(space) = self.space(pid) else {
            return Ok(Some(stopped));
        };
        if space.sites.contains_key(&addr) {
            regs.set_ip(addr);
            return match self.mend_own_trap(stopped)? {
                Some(stopped) => self.hit(stopped, regs, addr).map(|()| None),
                None => Ok(None),
            };
        }
        if space.pads.iter().any(|pad| pad.return_at() == addr) {
            regs.set_ip(addr);
            let mut events = Hits::new();
            self.leave_functions(pid, tid, &regs, &mut events);
            if events.is_empty() {
                return self.returned(stopped, regs);
            }
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.trap.arrived = true;
            }
            return self.hold_at(stopped, addr, regs, events).map(|()| None);
        }
        if let Some(target) = space.stub_target(addr) {
            let hooks = space.stub_hooks(addr);
            regs.set_ip(target);
            let mut events = Hits::new();
            self.enter_function(pid, tid, &regs, &hooks, &mut events);
            return self.hold_at(stopped, addr, regs, events).map(|()| None);
        }
        // It went between the trap and now.
        if self.was_site(pid, addr) {
            if unless_gone(stopped.set_ip(addr))?.is_none() {
                self.dying(tid)?;
                return Ok(None);
            }
            self.go_on(stopped, After::Resume)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// A task has come to a breakpoint: everybody is told who wants to know.
    fn hit(&mut self, stopped: Stopped, regs: Regs, addr: u64) -> Result<(), Fatal> {
        let tid = stopped.tid();
        self.stats.breakpoints += 1;
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        // A handler may come here first, or to another place.
        let mark = task.trap.mark.take_if(|mark| mark.is_over(&regs));
        let told = mark.is_some_and(|mark| mark.is_about(&regs));
        let mut events = Hits::new();
        if self.step_is_back(tid, &regs)
            && let Some(operation) = self
                .tasks
                .get(&tid)
                .and_then(|task| task.operation.as_ref())
        {
            let owner = Subject::Operation(operation.id);
            self.remove_owner(addr, owner);
        }
        if !told {
            self.events_at(pid, tid, &regs, &mut events);
        }
        self.hold_at(stopped, addr, regs, events)
    }

    /// Offers what a hit means; the task goes past the place afterwards.
    fn hold_at(
        &mut self,
        stopped: Stopped,
        addr: u64,
        regs: Regs,
        events: Hits,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(mut offer) = Offer::of_hits(events, regs) else {
            if let Some(task) = self.tasks.get_mut(&tid) {
                task.trap.pass = Some(Pass {
                    addr,
                    regs,
                    dirty: false,
                    early: None,
                });
            }
            return self.go_on(stopped, After::Resume);
        };
        offer.at_site = Some(addr);
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        task.state = State::Held(Held { stopped, offer });
        self.offer_next(tid)
    }

    /// What a hit means, to whom, in load order.
    fn events_at(&mut self, pid: Pid, tid: Tid, regs: &Regs, events: &mut Hits) {
        let addr = regs.ip();
        let Ok(space) = self.space_id(pid) else {
            return;
        };
        let Some(site) = self
            .spaces
            .get(&space)
            .and_then(|space| space.sites.get(&addr))
        else {
            return;
        };
        let mut hits: SmallVec<[_; 2]> = SmallVec::new();
        let mut hooks: SmallVec<[_; 2]> = SmallVec::new();
        let mut returns = false;
        let mut jumps = false;
        for owner in &site.owners {
            match owner {
                Subject::Breakpoint(id) => hits.push((*id, None)),
                Subject::Hook(id) => hooks.push(*id),
                Subject::Returns => returns = true,
                Subject::Jumper => jumps = true,
                Subject::Operation(_) => {}
            }
        }
        self.report_hits(pid, tid, regs, hits, events);
        if returns {
            self.leave_functions(pid, tid, regs, events);
        }
        if jumps {
            self.doubt_frames(tid);
        }
        if !hooks.is_empty() {
            self.enter_function(pid, tid, regs, &hooks, events);
        }
        events.sort_by_key(|(client, _)| *client);
    }

    /// At the first stop of a task that was sent through a copy: its instruction
    /// pointer is never left in there. Executed means behind the instruction;
    /// not executed means on it, with a mark so that the next hit is known to be
    /// the same one. Its registers, as they are then.
    pub(crate) fn leave_copy(
        &mut self,
        stopped: &Stopped,
        stop: Stop,
    ) -> Result<Option<Regs>, Fatal> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(None);
        };
        let Some(copy) = task.trap.copy.take() else {
            return Ok(None);
        };
        let Some(mut regs) = unless_gone(stopped.regs())? else {
            return Ok(None);
        };
        if copy.is_call && stop == Stop::Syscall {
            task.trap.call_at = Some(copy.addr);
            if let Some(next) = copy.next {
                match copy.in_rcx {
                    true => regs.set_syscall_return(next),
                    false => regs.set_ip(next),
                }
                unless_gone(set_regs(stopped, &regs))?;
            }
            return Ok(Some(regs));
        }
        let Some(ip) = original_ip(regs.ip(), copy.slot, copy.addr, copy.len) else {
            return Ok(Some(regs));
        };
        regs.set_ip(ip);
        if ip == copy.addr {
            task.trap.mark = Some(Box::new(Mark::new(&regs)));
        }
        if unless_gone(stopped.set_ip(ip))?.is_none() {
            return Ok(None);
        }
        // Of these the address is that of the instruction.
        if let Stop::SignalDelivery(signal) = stop
            && signal.is_about_an_instruction()
            && let Some(mut info) = unless_gone(stopped.siginfo())?
            && info.address() == Some(copy.slot)
        {
            info.set_address(copy.addr);
            unless_gone(stopped.set_siginfo(&info))?;
        }
        Ok(Some(regs))
    }

    /// Lets a task go past the breakpoint that it stands at. Its registers are
    /// written if they have to be.
    pub(crate) fn go_past(&mut self, stopped: Stopped, pass: Pass) -> Here<Past> {
        let tid = stopped.tid();
        let Pass { addr, mut regs, .. } = pass;
        let Some(pid) = self.tasks.get(&tid).map(|task| task.pid) else {
            return Ok(None);
        };
        if let Some(value) = pass.early {
            return self.return_early(stopped, pid, regs, value);
        }
        let known = self
            .space(pid)
            .and_then(|space| space.sites.get(&addr))
            .filter(|_| regs.ip() == addr)
            .map(|site| site.way.clone());
        let way = match known {
            // It is gone, or a client has sent the task elsewhere.
            None => return self.write_ip(stopped, &regs, pass.dirty, regs.ip()),
            Some(Some(way)) => way,
            Some(None) => {
                let (there, way) = match self.find_way(stopped, pid, &regs, addr)? {
                    Some(found) => found,
                    None => return Ok(None),
                };
                // What was in the way made the kernel forget nothing.
                return match way {
                    Ok(way) => self.go_this_way(there, pid, pass, way),
                    Err(error) => {
                        tracing::debug!(target: "pai::engine", %pid, %error, "no way past a breakpoint but in place");
                        self.step_in_place(there, pid, &regs, addr)
                    }
                };
            }
        };
        regs.set_ip(addr);
        self.go_this_way(stopped, pid, pass, way)
    }

    fn go_this_way(&mut self, stopped: Stopped, pid: Pid, pass: Pass, way: Way) -> Here<Past> {
        let tid = stopped.tid();
        let Pass {
            addr,
            mut regs,
            dirty,
            ..
        } = pass;
        if !regs.is_64_bit() || regs.has_trap_flag() {
            return self.step_in_place(stopped, pid, &regs, addr);
        }
        match (&*way.plan, way.slot) {
            (plan @ (Plan::Copy { .. } | Plan::SystemCall { .. }), Some(slot)) => {
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.trap.copy = Some(InCopy::of(plan, addr, slot));
                }
                self.write_ip(stopped, &regs, dirty, slot)
            }
            (Plan::Emulate(emulation), _) => {
                let mut memory = TaskMemory(tid);
                match displaced::emulate(emulation, &mut regs, &mut memory) {
                    Ok(()) => {
                        if unless_gone(set_regs(&stopped, &regs))?.is_none() {
                            self.dying(tid)?;
                            return Ok(None);
                        }
                        Ok(Some(Past::Done(stopped)))
                    }
                    Err(_) => self.step_in_place(stopped, pid, &regs, addr),
                }
            }
            (Plan::Trap { len }, _) => {
                let behind = addr.wrapping_add(u64::from(*len));
                let signal = After::Deliver(Signal::TRAP);
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.trap.own = true;
                }
                Ok(match self.write_ip(stopped, &regs, dirty, behind)? {
                    Some(Past::Go(stopped, _)) => Some(Past::Go(stopped, signal)),
                    other => other,
                })
            }
            _ => self.step_in_place(stopped, pid, &regs, addr),
        }
    }

    pub(crate) fn write_ip(
        &mut self,
        stopped: Stopped,
        regs: &Regs,
        dirty: bool,
        ip: u64,
    ) -> Here<Past> {
        let written = if dirty {
            let mut regs = *regs;
            regs.set_ip(ip);
            set_regs(&stopped, &regs)
        } else {
            stopped.set_ip(ip)
        };
        if unless_gone(written)?.is_none() {
            self.dying(stopped.tid())?;
            return Ok(None);
        }
        Ok(Some(Past::Go(stopped, After::Resume)))
    }

    /// The function at the breakpoint is left as it was entered.
    fn return_early(&mut self, stopped: Stopped, pid: Pid, regs: Regs, value: i64) -> Here<Past> {
        let mut regs = regs;
        let mut to = [0; 8];
        if self.read_raw(pid, regs.sp(), &mut to) == Ok(to.len()) {
            regs.set_result(value);
            regs.set_sp(regs.sp().wrapping_add(8));
            regs.set_ip(u64::from_le_bytes(to));
        }
        self.write_ip(stopped, &regs, true, regs.ip())
    }

    /// Plans how tasks go past a breakpoint, and writes the copy.
    fn find_way(
        &mut self,
        stopped: Stopped,
        pid: Pid,
        regs: &Regs,
        addr: u64,
    ) -> Here<(Stopped, Result<Way, Error>)> {
        let mut bytes = [0; MAX_INSTRUCTION];
        let done = match self.read_raw(pid, addr, &mut bytes) {
            Ok(done) => done,
            Err(error) => return Ok(Some((stopped, Err(error)))),
        };
        let bytes = &mut bytes[..done];
        self.hide_breakpoints(pid, addr, bytes);
        // Branches need no slot, and no pad.
        let first = displaced::plan(bytes, addr, addr, Width::Bits64);
        let needs_slot = first.as_ref().is_ok_and(|plan| plan.code().is_some());
        let (stopped, slot) = if needs_slot {
            match self.slot_near(stopped, pid, regs, addr)? {
                Some((stopped, Ok(slot))) => (stopped, Some(slot)),
                Some((stopped, Err(error))) => return Ok(Some((stopped, Err(error)))),
                None => return Ok(None),
            }
        } else {
            (stopped, None)
        };
        let way = displaced::plan(bytes, addr, slot.unwrap_or(addr), Width::Bits64)
            .map_err(|error| Error::Invalid(error.to_string()))
            .and_then(|plan| {
                if let (Some(code), Some(slot)) = (plan.code(), slot) {
                    self.write_raw(pid, slot, code)?;
                }
                Ok(Way {
                    plan: plan.into(),
                    slot,
                })
            });
        if let Ok(way) = &way
            && let Some(site) = self
                .space_mut(pid)
                .and_then(|space| space.sites.get_mut(&addr))
        {
            site.way = Some(way.clone());
        }
        Ok(Some((stopped, way)))
    }

    fn slot_near(
        &mut self,
        stopped: Stopped,
        pid: Pid,
        regs: &Regs,
        addr: u64,
    ) -> Here<(Stopped, Result<u64, Error>)> {
        if let Some(slot) = self.take_slot(pid, addr) {
            return Ok(Some((stopped, Ok(slot))));
        }
        let (stopped, mut saved) = match self.prepare(stopped, Place::User, Some(*regs))? {
            Some(Ok(prepared)) => prepared,
            Some(Err((stopped, error))) => return Ok(Some((stopped, Err(error)))),
            None => return Ok(None),
        };
        let Some((stopped, made)) = self.make_pad(stopped, &mut saved, pid, addr)? else {
            return Ok(None);
        };
        let slot = made.and_then(|()| {
            self.take_slot(pid, addr)
                .ok_or_else(|| Error::Internal("a new pad has no slot".to_owned()))
        });
        let stopped = self.restore(stopped, saved)?;
        Ok(stopped.map(|stopped| (stopped, slot)))
    }

    fn take_slot(&mut self, pid: Pid, addr: u64) -> Option<u64> {
        let id = self.space_id(pid).ok()?;
        let busy: Vec<u64> = self
            .tasks
            .values()
            .filter_map(|task| Some(task.trap.copy?.slot))
            .collect();
        let space = self.spaces.get_mut(&id)?;
        space.take_slot(addr, |slot| busy.contains(&slot))
    }
}

/// Whether a SIGTRAP is about to be delivered to a task.
fn has_trap(tid: Tid) -> bool {
    procfs::signals(tid).deliverable() & Signal::TRAP.bit() != 0
}

/// Memory as the task itself may access it.
struct TaskMemory(Tid);

impl Memory for TaskMemory {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        let piece = Piece {
            addr,
            len: bytes.len(),
        };
        let len = bytes.len();
        read_pieces(self.0, &[piece], bytes).is_ok_and(|done| done == len)
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        write_piece(self.0, addr, bytes).is_ok_and(|done| done == bytes.len())
    }
}
