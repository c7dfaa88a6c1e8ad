//! Function hooks: entries and returns of functions, paired.
//!
//! An entry is a breakpoint on the first instruction. It notes the frame: where
//! it returns to, and the stack pointer. A breakpoint where it returns to tells of
//! the return when the stack pointer is that of the frame. The return address
//! itself is left alone, so that whoever walks the stack finds it, and a shadow
//! stack would not notice.
//!
//! A frame may be left without a return, by a jump or an exception. That is
//! noticed when the task is seen above it on the same stack; a jump back to the
//! very same place is told from a tail call by the functions that do such jumps.

use pai_ptrace::{Pid, Regs, Tid, monotonic_nanos};

use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, FunctionCall, HookId, Subject};
use crate::subscription::{ClientId, ClientMask};
use crate::symbols::MAX_FRAMES;
use crate::task::Hits;

/// Where a function is hooked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HookSite {
    /// At its first instruction.
    Entry(u64),
    /// At a slot of a global offset table: calls through it.
    GotSlot(u64),
}

/// What a hook is to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HookOptions {
    /// Entries.
    pub enter: bool,
    /// Returns.
    pub leave: bool,
    /// Only of this task.
    pub tid: Option<Tid>,
}

/// A hook of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    pub(crate) client: ClientId,
    pub(crate) site: HookSite,
    pub(crate) options: HookOptions,
}

/// A call of a hooked function that has not returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called {
    hook: HookId,
    client: ClientId,
    call: u64,
    function: u64,
    /// The stack pointer at the entry: the return address is there.
    sp: u64,
    caller: u64,
    depth: u32,
    /// A function was called since that may jump out of frames.
    doubtful: bool,
}

/// Calls of one task that are kept: a program that never returns must not fill
/// the host's memory.
const MOST_CALLS: usize = 65_536;

/// What jumps out of frames: longjmp(3) by its names in glibc and musl, and the
/// unwinder's entry (Itanium C++ ABI, 1.3).
const JUMPERS: &[&str] = &[
    "longjmp",
    "_longjmp",
    "siglongjmp",
    "__longjmp_chk",
    "_Unwind_RaiseException",
    "_Unwind_ForcedUnwind",
    "_Unwind_Resume",
];

impl Engine {
    /// Hooks a function in the process, and all that share its memory.
    ///
    /// # Errors
    /// As [`Engine::insert_breakpoint`]; `Invalid` for a hook that reports
    /// nothing.
    pub fn insert_hook(
        &mut self,
        client: ClientId,
        pid: Pid,
        site: HookSite,
        options: HookOptions,
    ) -> Result<HookId, Error> {
        if !options.enter && !options.leave {
            return Err(Error::Invalid("the hook reports nothing".to_owned()));
        }
        self.space_id(pid)?;
        if let Some(tid) = options.tid
            && self.tasks.get(&tid).is_none_or(|task| task.pid != pid)
        {
            return Err(Error::NoSuchTask(tid));
        }
        self.check_limit(client)?;
        self.learn_own_trap(client, pid);
        let id = HookId(self.next_number());
        match site {
            HookSite::Entry(addr) => self.add_owner(pid, addr, Subject::Hook(id))?,
            HookSite::GotSlot(slot) => self.hook_slot(client, pid, slot, id)?,
        }
        // What has been loaded since may jump, too.
        if let Some(space) = self.space_mut(pid) {
            space.jumpers_watched = false;
        }
        let hook = Hook {
            client,
            site,
            options,
        };
        self.hooks.insert(id, hook);
        Ok(id)
    }

    /// Takes a hook away. Calls that have not returned are not told of any more.
    ///
    /// # Errors
    /// `NotFound` for one that this client does not have (any more).
    pub fn remove_hook(&mut self, client: ClientId, id: HookId) -> Result<(), Error> {
        let own = self
            .hooks
            .get(&id)
            .is_some_and(|hook| hook.client == client);
        if !own {
            return Err(Error::NotFound(format!("there is no hook {}", id.raw())));
        }
        self.remove_subject(Subject::Hook(id));
        Ok(())
    }

    /// Forgets a hook, and with the last one the places of return.
    pub(crate) fn forget_hook(&mut self, id: HookId) {
        let Some(hook) = self.hooks.remove(&id) else {
            return;
        };
        match hook.site {
            HookSite::Entry(addr) => self.remove_owner(addr, Subject::Hook(id)),
            HookSite::GotSlot(slot) => self.unhook_slot(slot, id),
        }
        for task in self.tasks.values_mut() {
            task.trap.frames.retain(|frame| frame.hook != id);
        }
        if !self.hooks.values().any(|hook| hook.options.leave) {
            self.remove_owner_everywhere(Subject::Returns);
            self.remove_owner_everywhere(Subject::Jumper);
            for space in self.spaces.values_mut() {
                space.jumpers_watched = false;
            }
        }
    }

    /// A task has entered a hooked function: who is told what.
    pub(crate) fn enter_function(
        &mut self,
        pid: Pid,
        tid: Tid,
        regs: &Regs,
        hooks: &[HookId],
        events: &mut Hits,
    ) {
        let sp = regs.sp();
        let mut word = [0; 8];
        if self.read_raw(pid, sp, &mut word) != Ok(word.len()) {
            return;
        }
        let caller = u64::from_le_bytes(word);
        self.leave_frames_below(pid, tid, regs, sp, Some(caller), events);
        for id in hooks {
            let Some(hook) = self.hooks.get(id).copied() else {
                continue;
            };
            let left = &self.clients[hook.client.index()].left;
            if hook.options.tid.is_some_and(|only| only != tid) || left.contains(&pid) {
                continue;
            }
            let call = self.next_number();
            let Some(task) = self.tasks.get_mut(&tid) else {
                return;
            };
            let frames = &mut task.trap.frames;
            let own = |frame: &&Called| frame.client == hook.client;
            let depth = u32::try_from(frames.iter().filter(own).count()).unwrap_or(u32::MAX);
            let called = Called {
                hook: *id,
                client: hook.client,
                call,
                function: regs.ip(),
                sp,
                caller,
                depth,
                doubtful: false,
            };
            if hook.options.leave
                && frames.len() < MOST_CALLS
                && self.watch_return(pid, caller)
                && let Some(task) = self.tasks.get_mut(&tid)
            {
                task.trap.frames.push(called);
            }
            if hook.options.enter {
                let event = Event::FunctionEnter(Box::new(called.event(pid, tid, None)));
                events.push((hook.client, event));
            }
        }
    }

    /// Sees to it that a return to there is noticed.
    fn watch_return(&mut self, pid: Pid, caller: u64) -> bool {
        let Some(space) = self.space(pid) else {
            return false;
        };
        // Functions that are called for a client return to a pad.
        if space.pads.iter().any(|pad| pad.return_at() == caller) {
            return true;
        }
        let known = space.sites.get(&caller);
        if known.is_some_and(|site| site.owners.contains(&Subject::Returns)) {
            return true;
        }
        match self.add_owner(pid, caller, Subject::Returns) {
            Ok(()) => {
                self.watch_jumpers(pid);
                true
            }
            Err(error) => {
                tracing::debug!(target: "pai::engine", %pid, %error, "a return is not seen");
                false
            }
        }
    }

    /// Watches the functions that may jump out of frames.
    fn watch_jumpers(&mut self, pid: Pid) {
        let watched = self.space(pid).is_some_and(|space| space.jumpers_watched);
        if watched {
            return;
        }
        if let Some(space) = self.space_mut(pid) {
            space.jumpers_watched = true;
        }
        for name in JUMPERS {
            // Without symbols, or without these functions: nothing to watch.
            let Ok(Some(symbol)) = self.lookup(pid, name) else {
                continue;
            };
            let site = self
                .space(pid)
                .and_then(|space| space.sites.get(&symbol.value));
            if site.is_some_and(|site| site.owners.contains(&Subject::Jumper)) {
                continue;
            }
            if let Err(error) = self.add_owner(pid, symbol.value, Subject::Jumper) {
                tracing::debug!(target: "pai::engine", %pid, name, %error, "jumps are not seen");
            }
        }
    }

    /// A task has come to where functions return: whose frames are these?
    pub(crate) fn leave_functions(&mut self, pid: Pid, tid: Tid, regs: &Regs, events: &mut Hits) {
        let sp = regs.sp().wrapping_sub(8);
        let at = regs.ip();
        let Some(task) = self.tasks.get(&tid) else {
            return;
        };
        let is_it = |frame: &Called| frame.sp == sp && frame.caller == at;
        if !task.trap.frames.iter().any(is_it) {
            return;
        }
        self.leave_frames_below(pid, tid, regs, sp, None, events);
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        let mut returned = Vec::new();
        task.trap.frames.retain(|frame| {
            let here = is_it(frame);
            if here {
                returned.push(*frame);
            }
            !here
        });
        let [result, _] = regs.results();
        for frame in returned.into_iter().rev() {
            let event = frame.event(pid, tid, Some(result));
            events.push((frame.client, Event::FunctionReturn(Box::new(event))));
        }
    }

    /// The task is at `sp`: frames below it on the same stack were left without a
    /// return. With `caller`, a function is being entered there, and frames at
    /// the same place are of functions that it was called by at their end, unless
    /// they return to elsewhere or a jump came in between.
    fn leave_frames_below(
        &mut self,
        pid: Pid,
        tid: Tid,
        regs: &Regs,
        sp: u64,
        caller: Option<u64>,
        events: &mut Hits,
    ) {
        let Some(task) = self.tasks.get(&tid) else {
            return;
        };
        let stale_here = |frame: &Called| {
            caller.is_some_and(|to| frame.sp == sp && (frame.doubtful || frame.caller != to))
        };
        let frames = &task.trap.frames;
        if !frames
            .iter()
            .any(|frame| frame.sp < sp || stale_here(frame))
        {
            return;
        }
        let stack = self.area_at(pid, sp).ok().flatten();
        let stack = stack.map(|area| area.start..area.end);
        // A handler may have its own stack anywhere, also above what it has
        // interrupted and in the same mapping: frames among its callers are
        // open.
        let callers = self.frames(pid, regs, MAX_FRAMES).unwrap_or_default();
        let is_open = |frame: &Called| {
            let mut above = callers.iter().map(|(_, above)| above.wrapping_sub(8));
            frame.sp != sp && above.any(|at| at == frame.sp)
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        let mut left = Vec::new();
        task.trap.frames.retain(|frame| {
            // Another stack may be below this one: of a coroutine, or the one
            // that a handler on its own stack has interrupted.
            let same = stack
                .as_ref()
                .is_some_and(|stack| stack.contains(&frame.sp));
            let stale = same && (stale_here(frame) || frame.sp < sp && !is_open(frame));
            if stale {
                left.push(*frame);
            }
            !stale
        });
        for frame in left.into_iter().rev() {
            let event = frame.event(pid, tid, None);
            events.push((frame.client, Event::FunctionReturn(Box::new(event))));
        }
    }

    /// A task is about to jump out of frames, perhaps.
    pub(crate) fn doubt_frames(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            for frame in &mut task.trap.frames {
                frame.doubtful = true;
            }
        }
    }

    /// A task has ended: its frames were left.
    pub(crate) fn end_frames(&mut self, pid: Pid, tid: Tid, frames: &[Called]) {
        for frame in frames.iter().rev() {
            let mut mask = ClientMask::NONE;
            mask.insert(frame.client);
            let event = Event::FunctionReturn(Box::new(frame.event(pid, tid, None)));
            self.notify(mask, Some(pid), &event);
        }
    }
}

impl Called {
    fn event(&self, pid: Pid, tid: Tid, ret: Option<u64>) -> FunctionCall {
        FunctionCall {
            pid,
            tid,
            hook: self.hook,
            function: self.function,
            call: self.call,
            caller: self.caller,
            depth: self.depth,
            ret,
            at: monotonic_nanos(),
        }
    }
}
