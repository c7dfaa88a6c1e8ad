//! Calls of functions in a held task.

use std::time::Duration;

use pai_ptrace::{Pid, Regs, Stopped, Tid};

use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::{OperationId, Outcome};
use crate::inject::Saved;
use crate::operation::Doing;
use crate::subscription::ClientId;
use crate::task::After;

/// Most arguments of a call.
pub const MAX_ARGUMENTS: usize = 256;
/// Most bytes that are placed for a call.
pub const MAX_PLACED: usize = 64 << 10;

/// What is passed to a function, by the System V convention.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    /// An integer or a pointer.
    Int(u64),
    /// A double.
    Float(f64),
    /// A float.
    Single(f32),
    /// Bytes that are on the stack during the call: their address.
    Bytes(Vec<u8>),
}

/// What is to be put back when a called function returns.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) saved: Saved,
    pub(crate) vectors: Vec<u8>,
}

/// Bits 0 and 1 of XSTATE_BV: what is not in its initial state (Intel SDM volume
/// 1, 13.4.2).
const X87: u64 = 1 << 0;
const SSE: u64 = 1 << 1;
/// Where XSTATE_BV, MXCSR and XMM0 are in an XSAVE area.
const XSTATE_BV: usize = 512;
const MXCSR: usize = 24;
const XMM0: usize = 160;
/// MXCSR as programs start with it: all exceptions masked, rounding to nearest
/// (System V AMD64 ABI, 3.4.1).
const MXCSR_AT_START: u32 = 0x1f80;
/// NT_PRFPREG (linux/elf.h): an FXSAVE area.
const NT_PRFPREG: u32 = 2;
/// The red zone below the stack pointer (System V AMD64 ABI, 3.2.2).
const RED_ZONE: u64 = 128;

impl Engine {
    /// Calls a function in a held task. All its registers are put back when the
    /// function returns, and what the kernel had in mind for it happens then.
    ///
    /// # Errors
    /// `NotStopped`, `Busy`, `NoSuchTask`; `Invalid` for an address that is no
    /// code; `Unsupported` at a stop from which nothing can be run; `BadAddress`
    /// when the stack cannot be written; `Limit`.
    pub fn start_call(
        &mut self,
        client: ClientId,
        tid: Tid,
        function: u64,
        args: &[Argument],
        timeout: Option<Duration>,
    ) -> Result<OperationId, Error> {
        let placed: usize = args.iter().map(Argument::placed).sum();
        if args.len() > MAX_ARGUMENTS || placed > MAX_PLACED {
            return Err(Error::Limit("call-arguments"));
        }
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        self.check_function(pid, function)?;
        let (stopped, offer, mut saved) = self.begin_foreign(client, tid)?;
        let prepared = self.call_frame(stopped, pid, &mut saved, function, args);
        let prepared = self.keep_fatal(prepared, tid)?;
        let Some((stopped, frame)) = prepared else {
            return Err(Error::NoSuchTask(tid));
        };
        let frame = match frame {
            Ok(vectors) => Frame { saved, vectors },
            Err(error) => {
                self.back_to_offer(stopped, saved, offer)?;
                return Err(error);
            }
        };
        let id = self.attach_operation(client, tid, offer, Doing::Call(Box::new(frame)), timeout);
        let gone_on = self.go_on(stopped, After::Resume);
        self.keep_fatal(gone_on, tid)?;
        Ok(id)
    }

    fn check_function(&mut self, pid: Pid, function: u64) -> Result<(), Error> {
        match self.area_at(pid, function)? {
            Some(area) if area.is_executable() => Ok(()),
            _ => Err(Error::Invalid(format!(
                "there is no code at {function:#x} of process {pid}"
            ))),
        }
    }

    /// Sets a prepared task up for a call; returns its vector registers as they
    /// were.
    fn call_frame(
        &mut self,
        stopped: Stopped,
        pid: Pid,
        saved: &mut Saved,
        function: u64,
        args: &[Argument],
    ) -> crate::single::Here<(Stopped, Result<Vec<u8>, Error>)> {
        let tid = stopped.tid();
        let mut stopped = stopped;
        if self.space(pid).is_some_and(|space| space.pads.is_empty()) {
            match self.make_pad(stopped, saved, pid, function)? {
                Some((there, Ok(()))) => stopped = there,
                Some((there, Err(error))) => return Ok(Some((there, Err(error)))),
                None => return Ok(None),
            }
        }
        let Some(return_at) = self
            .space(pid)
            .and_then(|space| space.pads.first())
            .map(|pad| pad.return_at())
        else {
            let error = Error::Internal("there is no place to return to".to_owned());
            return Ok(Some((stopped, Err(error))));
        };
        let Some(vectors) = unless_gone(stopped.extended_state())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let layout = Layout::of(args, saved.regs.sp(), return_at);
        if let Err(error) = self.write_raw(pid, layout.sp, &layout.stack) {
            return Ok(Some((stopped, Err(error))));
        }
        let mut now = vectors.clone();
        layout.fill_vectors(&mut now);
        let mut regs = saved.regs;
        regs.set_call(function, &layout.ints, layout.vectors.len() as u8);
        regs.set_sp(layout.sp);
        let set = stopped
            .set_extended_state(&now)
            .and_then(|()| set_regs(&stopped, &regs));
        if unless_gone(set)?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some((stopped, Ok(vectors))))
    }

    /// A task has arrived where called functions return to.
    pub(crate) fn returned(
        &mut self,
        stopped: Stopped,
        regs: Regs,
    ) -> Result<Option<Stopped>, Fatal> {
        let tid = stopped.tid();
        let called = self.tasks.get(&tid).is_some_and(|task| {
            let operation = task.operation.as_ref();
            operation.is_some_and(|operation| matches!(operation.doing, Doing::Call(_)))
        });
        if !called {
            return Ok(Some(stopped));
        }
        let Some(fpu) = unless_gone(stopped.regset(NT_PRFPREG))? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let outcome = Outcome::Called {
            int: regs.results(),
            float: word_at(&fpu, XMM0),
        };
        self.end_foreign(stopped, After::Resume, Ok(outcome))?;
        Ok(None)
    }

    /// Whether the task has left the frame that it was called from.
    pub(crate) fn has_left(&mut self, stopped: &Stopped, saved: &Saved) -> Result<bool, Fatal> {
        let Some(regs) = unless_gone(stopped.regs())? else {
            return Ok(false);
        };
        let before = saved.regs.sp();
        if regs.sp() <= before {
            return Ok(false);
        }
        let pid = self.tasks.get(&stopped.tid()).map(|task| task.pid);
        let stack = pid.and_then(|pid| self.area_at(pid, before).ok().flatten());
        // Another stack may be above this one.
        Ok(stack.is_some_and(|stack| regs.sp() < stack.end))
    }
}

/// Where the arguments of a call go.
struct Layout {
    ints: [u64; 6],
    vectors: Vec<u64>,
    /// The stack pointer at the entry of the function.
    sp: u64,
    /// What is on the stack from there on.
    stack: Vec<u8>,
}

impl Layout {
    /// System V AMD64 ABI, 3.2.3: six integers in registers, eight vectors, the
    /// rest on the stack in order; the stack is aligned to 16 bytes before the
    /// return address is pushed.
    fn of(args: &[Argument], sp: u64, return_at: u64) -> Self {
        let mut below = sp.wrapping_sub(RED_ZONE) & !15;
        let top = below;
        let mut placed: Vec<(u64, &[u8])> = Vec::new();
        let mut ints = Vec::new();
        let mut vectors = Vec::new();
        let mut rest = Vec::new();
        for arg in args {
            let (word, is_int) = match arg {
                Argument::Int(value) => (*value, true),
                Argument::Float(value) => (value.to_bits(), false),
                Argument::Single(value) => (u64::from(value.to_bits()), false),
                Argument::Bytes(bytes) => {
                    below = below.wrapping_sub(bytes.len() as u64) & !15;
                    placed.push((below, bytes));
                    (below, true)
                }
            };
            if is_int && ints.len() < 6 {
                ints.push(word);
            } else if !is_int && vectors.len() < 8 {
                vectors.push(word);
            } else {
                rest.push(word);
            }
        }
        let args_at = below.wrapping_sub(8 * rest.len() as u64) & !15;
        let sp = args_at.wrapping_sub(8);
        let mut stack = vec![0; usize::try_from(top.wrapping_sub(sp)).unwrap_or(0)];
        let mut put = |at: u64, bytes: &[u8]| {
            let from = usize::try_from(at.wrapping_sub(sp)).unwrap_or(usize::MAX);
            if let Some(there) = from
                .checked_add(bytes.len())
                .and_then(|to| stack.get_mut(from..to))
            {
                there.copy_from_slice(bytes);
            }
        };
        put(sp, &return_at.to_le_bytes());
        for (index, word) in rest.iter().enumerate() {
            put(args_at + 8 * index as u64, &word.to_le_bytes());
        }
        for (at, bytes) in placed {
            put(at, bytes);
        }
        let mut registers = [0; 6];
        registers[..ints.len()].copy_from_slice(&ints);
        Self {
            ints: registers,
            vectors,
            sp,
            stack,
        }
    }

    /// Puts the vector arguments into an XSAVE area. x87 begins afresh, as its
    /// registers may all be in use, and so does MXCSR, which the interrupted code
    /// may have set for itself.
    fn fill_vectors(&self, area: &mut [u8]) {
        let in_use = word_at(area, XSTATE_BV) & !X87 | SSE;
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(there) = area.get_mut(at..at + bytes.len()) {
                there.copy_from_slice(bytes);
            }
        };
        put(XSTATE_BV, &in_use.to_le_bytes());
        put(MXCSR, &MXCSR_AT_START.to_le_bytes());
        for (index, word) in self.vectors.iter().enumerate() {
            put(XMM0 + 16 * index, &u128::from(*word).to_le_bytes());
        }
    }
}

impl Argument {
    fn placed(&self) -> usize {
        match self {
            Argument::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

fn word_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(there) = bytes.get(at..at + 8) {
        word.copy_from_slice(there);
    }
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_go_where_the_convention_says() {
        let args: Vec<Argument> = (1..=8)
            .map(Argument::Int)
            .chain([
                Argument::Float(0.5),
                Argument::Single(1.5),
                Argument::Bytes(b"text\0".to_vec()),
            ])
            .collect();
        let layout = Layout::of(&args, 0x7000_0000_1238, 0xabcd);
        assert_eq!(layout.ints, [1, 2, 3, 4, 5, 6]);
        let single = u64::from(1.5_f32.to_bits());
        assert_eq!(layout.vectors, [0.5_f64.to_bits(), single]);
        // Below the red zone, and aligned before the return address is pushed.
        assert_eq!((layout.sp + 8) % 16, 0);
        assert!(layout.sp + layout.stack.len() as u64 <= 0x7000_0000_1238 - 128);
        assert_eq!(word_at(&layout.stack, 0), 0xabcd);
        assert_eq!(word_at(&layout.stack, 8), 7);
        assert_eq!(word_at(&layout.stack, 16), 8);
        // The third on the stack is the address of the text.
        let at = word_at(&layout.stack, 24);
        let from = usize::try_from(at - layout.sp).unwrap();
        assert_eq!(&layout.stack[from..from + 5], b"text\0");
    }

    #[test]
    fn vector_arguments_leave_the_rest_alone() {
        let args = [Argument::Float(2.0)];
        let layout = Layout::of(&args, 0x1000, 0);
        let mut area = vec![0xff; 832];
        area[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&7_u64.to_le_bytes());
        layout.fill_vectors(&mut area);
        assert_eq!(word_at(&area, XSTATE_BV), 6);
        assert_eq!(word_at(&area, XMM0), 2.0_f64.to_bits());
        assert_eq!(word_at(&area, XMM0 + 8), 0);
        assert_eq!(word_at(&area, XMM0 + 16), u64::MAX);
    }
}
