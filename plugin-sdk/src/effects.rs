//! What system calls do: to mappings, loaded objects, descriptors, and what
//! prctl(2) sets.
//!
//! Each is an exit handler of the calls in question, so the task is held while it
//! runs: a breakpoint in an object that was just mapped is there before anything
//! in it is executed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bindings::pai::plugin::events::SyscallEvent;
use crate::bindings::pai::plugin::memory::Protection;
use crate::bindings::pai::plugin::types::{Pid, Tid};
use crate::client::Client;
use crate::error::Result;
use crate::handlers::{HandlerId, OnExit};
use crate::names;

/// A change of a process's mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingChange {
    /// Process.
    pub pid: Pid,
    /// The task that made the call.
    pub tid: Tid,
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What happened there.
    pub change: Change,
}

/// What happened to a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// mmap(2). With a file, its path and the offset in it.
    Mapped(Protection, Option<(String, u64)>),
    /// munmap(2).
    Unmapped,
    /// mprotect(2).
    Protected(Protection),
    /// mremap(2), from this address and length.
    Moved(u64, u64),
}

/// An object whose code was mapped, or is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleChange {
    /// Process.
    pub pid: Pid,
    /// The task that made the call.
    pub tid: Tid,
    /// Its file.
    pub path: String,
    /// Where its code begins.
    pub code: u64,
    /// First address behind its code.
    pub end: u64,
    /// It is there now.
    pub loaded: bool,
}

/// A descriptor that was opened or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorChange {
    /// Process.
    pub pid: Pid,
    /// The task that made the call.
    pub tid: Tid,
    /// Its number.
    pub fd: i32,
    /// What it refers to, as /proc/PID/fd has it; empty when it was closed and
    /// nobody saw it opened.
    pub path: String,
    /// It is open now.
    pub open: bool,
}

/// A successful prctl(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrctlCall {
    /// Process.
    pub pid: Pid,
    /// The task that made the call.
    pub tid: Tid,
    /// PR_*.
    pub option: u32,
    /// The other arguments.
    pub args: [u64; 4],
    /// Its result.
    pub ret: i64,
    /// For PR_SET_NAME, the name.
    pub name: Option<String>,
}

/// Names in any ABI. The old mmap of i386 has its arguments in memory, and is not
/// among them.
const MAPPERS: &[&str] = &[
    "mmap",
    "mmap2",
    "munmap",
    "mprotect",
    "pkey_mprotect",
    "mremap",
];
const OPENERS: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "socket",
    "accept",
    "accept4",
    "memfd_create",
    "epoll_create1",
    "eventfd2",
    "close",
];

// asm-generic/mman-common.h and linux/mman.h.
const PROT_EXEC: u64 = 4;
const MAP_SHARED: u64 = 1;
const MAP_ANONYMOUS: u64 = 0x20;
const PR_SET_NAME: u32 = 15;
/// TASK_COMM_LEN (linux/sched.h).
const NAME_LEN: usize = 16;
const PAGE: u64 = 4096;

/// The result of a call that did something.
fn done(call: &SyscallEvent) -> Option<u64> {
    let ret = call.ret.filter(|_| !call.restarts)?;
    (!(-4095..0).contains(&ret)).then_some(ret.cast_unsigned())
}

fn protection(bits: u64, shared: bool) -> Protection {
    let mut protection = Protection::empty();
    for (bit, flag) in [
        (1, Protection::READ),
        (2, Protection::WRITE),
        (PROT_EXEC, Protection::EXECUTE),
    ] {
        if bits & bit != 0 {
            protection |= flag;
        }
    }
    if shared {
        protection |= Protection::SHARED;
    }
    protection
}

impl<S: 'static> Client<S> {
    /// What a descriptor refers to, as /proc/PID/fd has it: a path,
    /// "socket:[…]", "pipe:[…]". Capability `memory-read`.
    ///
    /// # Errors
    /// `not-found` when it is not open, `no-such-process`.
    pub fn descriptor(&self, pid: Pid, fd: i32) -> Result<String> {
        let path = crate::bindings::pai::plugin::tasks::descriptor(pid, fd)?;
        Ok(String::from_utf8_lossy(&path).into_owned())
    }

    fn change_of(&self, call: &SyscallEvent) -> Option<MappingChange> {
        let result = done(call)?;
        let (a, b, c, d, e, f) = call.args;
        let name = names::syscall(call.call)?;
        let (start, len, change) = match &*name {
            "mmap" | "mmap2" => {
                let fd = e as u32 as i32;
                let unit = if name == "mmap2" { PAGE } else { 1 };
                let file = (d & MAP_ANONYMOUS == 0)
                    .then(|| self.descriptor(call.pid, fd).ok())
                    .flatten()
                    .map(|path| (path, f * unit));
                (
                    result,
                    b,
                    Change::Mapped(protection(c, d & MAP_SHARED != 0), file),
                )
            }
            "munmap" => (a, b, Change::Unmapped),
            "mprotect" | "pkey_mprotect" => (a, b, Change::Protected(protection(c, false))),
            "mremap" => (result, c, Change::Moved(a, b)),
            _ => return None,
        };
        Some(MappingChange {
            pid: call.pid,
            tid: call.tid,
            start,
            end: start.saturating_add(len.next_multiple_of(PAGE)),
            change,
        })
    }

    /// Behind each call that changes a process's mappings. Capability
    /// `memory-read`.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_mapping(
        &mut self,
        handler: impl Fn(&mut Self, &MappingChange) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        self.on_exit_of(MAPPERS, move |client, call| match client.change_of(call) {
            Some(change) => handler(client, &change),
            None => Ok(OnExit::Proceed),
        })
    }

    /// Whenever code of a file is mapped (dlopen(3), and the dynamic loader at the
    /// start) or unmapped. Capability `memory-read`.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_module(
        &mut self,
        handler: impl Fn(&mut Self, &ModuleChange) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        let loaded: RefCell<BTreeMap<(Pid, u64), ModuleChange>> = RefCell::default();
        self.on_mapping(move |client, change| {
            let MappingChange {
                pid,
                tid,
                start,
                end,
                ..
            } = *change;
            let module = match &change.change {
                Change::Mapped(protection, Some((path, _)))
                    if protection.contains(Protection::EXECUTE) =>
                {
                    let module = ModuleChange {
                        pid,
                        tid,
                        path: path.clone(),
                        code: start,
                        end,
                        loaded: true,
                    };
                    loaded.borrow_mut().insert((pid, start), module.clone());
                    module
                }
                Change::Unmapped => {
                    let gone = {
                        let mut loaded = loaded.borrow_mut();
                        let inside = loaded.range((pid, start)..(pid, end)).next();
                        let key = inside.map(|(key, _)| *key);
                        key.and_then(|key| loaded.remove(&key))
                    };
                    match gone {
                        Some(module) => ModuleChange {
                            tid,
                            loaded: false,
                            ..module
                        },
                        None => return Ok(OnExit::Proceed),
                    }
                }
                _ => return Ok(OnExit::Proceed),
            };
            handler(client, &module)
        })
    }

    /// Whenever a descriptor is opened, duplicated or closed by a call for that.
    /// Those that the kernel closes at an exec, and those that come in messages,
    /// are not told of. Capability `memory-read`.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_descriptor(
        &mut self,
        handler: impl Fn(&mut Self, &DescriptorChange) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        let open: Rc<RefCell<BTreeMap<(Pid, i32), String>>> = Rc::default();
        self.on_exit_of(OPENERS, move |client, call| {
            let Some(result) = done(call) else {
                return Ok(OnExit::Proceed);
            };
            let closes = names::syscall(call.call).is_some_and(|name| name == "close");
            let number = if closes { call.args.0 } else { result };
            let fd = number as u32 as i32;
            let key = (call.pid, fd);
            let path = if closes {
                open.borrow_mut().remove(&key).unwrap_or_default()
            } else {
                let path = client.descriptor(call.pid, fd).unwrap_or_default();
                open.borrow_mut().insert(key, path.clone());
                path
            };
            let change = DescriptorChange {
                pid: call.pid,
                tid: call.tid,
                fd,
                path,
                open: !closes,
            };
            handler(client, &change)
        })
    }

    /// Behind each successful prctl(2). Capability `memory-read` for names.
    ///
    /// # Errors
    /// When the session is over.
    pub fn on_prctl(
        &mut self,
        handler: impl Fn(&mut Self, &PrctlCall) -> Result<OnExit> + 'static,
    ) -> Result<HandlerId> {
        self.on_exit_of(&["prctl"], move |client, call| {
            let Some(result) = done(call) else {
                return Ok(OnExit::Proceed);
            };
            let (option, a, b, c, d, _) = call.args;
            let option = option as u32;
            let name = (option == PR_SET_NAME)
                .then(|| client.read_c_string(call.pid, a, NAME_LEN).ok())
                .flatten()
                .map(|name| String::from_utf8_lossy(&name).into_owned());
            let prctl = PrctlCall {
                pid: call.pid,
                tid: call.tid,
                option,
                args: [a, b, c, d],
                ret: result.cast_signed(),
                name,
            };
            handler(client, &prctl)
        })
    }
}
