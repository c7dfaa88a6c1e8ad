//! The stack of a stopped task with names, for those who look at it later.

use std::rc::Rc;

use pai_ptrace::{Pid, Stopped};
use pai_syscalls::decode::captured::{self, FRAMES};
use pai_syscalls::decode::{Captured, When, stack};

use super::unwind::Found;
use crate::capture::side;
use crate::dispatch::{is_exec, is_exit};
use crate::engine::Engine;
use crate::event::SyscallStop;
use crate::memory::Mapping;
use crate::symbols::modules::Loaded;

/// Most bytes of one stack.
const MOST: usize = 64 << 10;

impl Engine {
    /// The frames of a task in the encoding of [`stack`], at most `max` of them.
    /// Nothing if it cannot be looked at.
    pub(crate) fn named_frames(&mut self, pid: Pid, stopped: &Stopped, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let Ok(regs) = stopped.regs() else {
            return out;
        };
        let frames = match self.walk_stack(pid, &regs, max) {
            Ok(frames) => frames,
            Err(error) => {
                tracing::debug!(target: "pai::engine", %pid, %error, "no stack");
                return out;
            }
        };
        let modules = self.loaded(pid).unwrap_or_default();
        let maps = self.listed_maps(pid);
        for frame in &frames {
            push(&mut out, frame, &modules, maps);
            if out.len() > MOST {
                break;
            }
        }
        out
    }

    /// Adds the frames of a task to what is known of its call: at its entry where there
    /// may be no exit, or another program there, and at the exit of all others.
    pub(crate) fn keep_frames(
        &mut self,
        stop: &SyscallStop,
        stopped: &Stopped,
        max: usize,
        bytes: &mut Vec<u8>,
    ) {
        // The stack before the first exec is our own.
        let ours = self
            .tasks
            .get(&stop.tid)
            .is_none_or(|task| task.before_exec);
        let early = (is_exec(stop.call) || is_exit(stop.call)) && !ours;
        let when = side(stop);
        let now = early || when == When::Exit;
        if now && Captured::decode(bytes).frames().is_none() {
            let frames = self.named_frames(stop.pid, stopped, max);
            captured::encode(bytes, when, FRAMES, &frames);
        }
    }
}

fn push(out: &mut Vec<u8>, frame: &Found, modules: &[Rc<Loaded>], maps: &[Mapping]) {
    let addr = frame.ip;
    let mapping = maps.iter().find(|m| (m.start..m.end).contains(&addr));
    let module = modules.iter().find(|m| (m.base..m.end).contains(&addr));
    let named = module.and_then(|module| {
        let vaddr = addr.wrapping_sub(module.bias);
        // The function that is returned to may end with the call.
        let call = vaddr.wrapping_sub(1);
        let of_call = frame.after_call.then(|| module.object.at(call));
        let of_call = of_call.flatten().filter(|place| {
            let end = place.value.saturating_add(place.size);
            (place.value..end).contains(&call)
        });
        let place = of_call.or_else(|| module.object.at(vaddr))?;
        let in_source = pai_symbols::demangle(&place.name);
        let name = in_source.map_or(place.name, String::into_bytes);
        Some((vaddr.wrapping_sub(place.value), name))
    });
    let (offset, symbol) = named.unwrap_or_default();
    let (in_file, file) = match mapping {
        Some(mapping) => (
            addr - mapping.start + mapping.offset,
            mapping.name.as_bytes(),
        ),
        None => (addr, &[][..]),
    };
    stack::encode(
        out,
        &stack::Frame {
            addr,
            in_file,
            offset,
            file,
            symbol: &symbol,
        },
    );
}
