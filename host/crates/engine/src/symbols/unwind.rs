//! Who called whom.

use pai_ptrace::{Pid, Regs, Tid};
use pai_symbols::Registers;

use crate::engine::Engine;
use crate::error::Error;
use crate::subscription::ClientId;
use crate::symbols::modules::is_in;
use crate::symbols::within_limits;

/// Most frames of one backtrace.
pub const MAX_FRAMES: usize = 4096;

/// The code segment of 64-bit code (__USER_CS, arch/x86/include/asm/segment.h).
const USER_CS: u64 = 0x33;
/// Bytes of the stack that are read at once.
const STEP: usize = 1024;

/// In the order of [`Registers`].
const NAMES: [&str; 17] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip",
];

/// One frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// What is executed next in it.
    pub(crate) ip: u64,
    /// Its stack pointer.
    pub(crate) sp: u64,
    /// That is behind a call; otherwise it was interrupted.
    pub(crate) after_call: bool,
}

impl Engine {
    /// Where a task that this client holds is, and where the functions that it
    /// is in will return to, innermost first: at most `max` addresses, or
    /// [`MAX_FRAMES`]. The first is the instruction that is executed next.
    /// Behind a signal's frame follows the instruction that was interrupted;
    /// all others follow a call, so that names and lines of the call are those
    /// of the byte before.
    ///
    /// Frames are found with .eh_frame, and with frame pointers in code that
    /// has none, which includes all 32-bit code. It ends where the caller
    /// cannot be found, or is no code: the list may be shorter than the truth.
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`.
    pub fn backtrace(&mut self, client: ClientId, tid: Tid, max: usize) -> Result<Vec<u64>, Error> {
        let regs = self.registers(client, tid)?;
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        let frames = self.walk_stack(pid, &regs, max.min(MAX_FRAMES))?;
        Ok(frames.into_iter().map(|frame| frame.ip).collect())
    }

    /// As [`Engine::backtrace`], from these registers, with the stack pointer of
    /// each frame: right above where the return address of its callee is.
    pub(crate) fn frames(
        &mut self,
        pid: Pid,
        regs: &Regs,
        max: usize,
    ) -> Result<Vec<(u64, u64)>, Error> {
        let frames = self.walk_stack(pid, regs, max)?;
        Ok(frames.into_iter().map(|f| (f.ip, f.sp)).collect())
    }

    /// As [`Engine::backtrace`], from these registers.
    pub(crate) fn walk_stack(
        &mut self,
        pid: Pid,
        regs: &Regs,
        max: usize,
    ) -> Result<Vec<Found>, Error> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut fresh = self.ensure_modules(pid)?;
        loop {
            if let Some(frames) = self.walk(pid, regs, max, fresh)? {
                return Ok(frames);
            }
            self.refresh_modules(pid)?;
            fresh = true;
        }
    }

    /// The frames by the list of modules as it is. `None` when that is not `fresh`
    /// and may be wrong: an address is in no module, or in one that is not there
    /// any more.
    fn walk(
        &mut self,
        pid: Pid,
        regs: &Regs,
        max: usize,
        fresh: bool,
    ) -> Result<Option<Vec<Found>>, Error> {
        let modules = self.loaded(pid)?;
        within_limits(&modules)?;
        let code = self.loaded_code(pid);
        let (mem, _) = self.mem(pid)?;
        let mut checked = Vec::new();
        // The module that an address is in, and whether that is known for sure.
        let mut module_at = |addr: u64| {
            let found = modules.iter().position(|m| (m.base..m.end).contains(&addr));
            let sure = fresh
                || found.is_some_and(|at| {
                    let known = checked.contains(&at) || modules[at].is_in(mem);
                    checked.push(at);
                    known
                });
            sure.then(|| found.map(|at| &modules[at]))
        };
        let mut stack = Stack {
            read: |addr, bytes: &mut [u8]| mem.read(addr, bytes).unwrap_or(0),
            start: 0,
            bytes: Vec::new(),
        };
        let wide = regs.get("cs") == Some(USER_CS);
        let mut registers = from_task(regs);
        let mut frames = vec![Found {
            ip: regs.ip(),
            sp: regs.sp(),
            after_call: false,
        }];
        // Whether this frame was interrupted rather than left by a call.
        let mut interrupted = true;
        let Some(mut module) = module_at(regs.ip()) else {
            return Ok(None);
        };
        while frames.len() < max {
            let (Some(ip), Some(sp)) = (registers.ip(), registers.sp()) else {
                break;
            };
            let at = if interrupted { ip } else { ip.wrapping_sub(1) };
            let described = module
                .map(|module| (module, at.wrapping_sub(module.bias)))
                .filter(|(module, vaddr)| wide && module.object.is_described(*vaddr));
            let caller = match described {
                Some((module, vaddr)) => {
                    let read = &mut |addr| stack.word(addr, 8);
                    module.object.unwind(vaddr, module.bias, &registers, read)
                }
                None if frames.len() == 1 && !is_in(&code, ip) => {
                    after_bad_call(&registers, wide, &mut stack)
                }
                None => by_frame_pointer(&registers, wide, &mut stack),
            };
            let Some((caller, signal)) = caller else {
                break;
            };
            let (Some(next), Some(next_sp)) = (caller.ip(), caller.sp()) else {
                break;
            };
            // A signal's handler may have a stack of its own, which can be
            // anywhere; otherwise callers are further up. Where it is, a function
            // may have taken its return address off the stack, as vfork does.
            let is_up = next_sp > sp || interrupted && next_sp == sp;
            if !signal && !is_up {
                break;
            }
            let call = if signal { next } else { next.wrapping_sub(1) };
            module = match module_at(call) {
                Some(module) => module,
                None => return Ok(None),
            };
            // Code that jumped to a bad address was interrupted there.
            if !is_in(&code, call) && !signal {
                break;
            }
            frames.push(Found {
                ip: next,
                sp: next_sp,
                after_call: !signal,
            });
            registers = caller;
            interrupted = signal;
        }
        Ok(Some(frames))
    }
}

fn from_task(regs: &Regs) -> Registers {
    Registers(NAMES.map(|name| regs.get(name)))
}

/// A call of something that is no code: it has pushed its return address, and
/// nothing has happened since.
fn after_bad_call<R: FnMut(u64, &mut [u8]) -> usize>(
    registers: &Registers,
    wide: bool,
    stack: &mut Stack<R>,
) -> Option<(Registers, bool)> {
    let word = if wide { 8 } else { 4 };
    let sp = registers.sp()?;
    let mut caller = *registers;
    let next = Registers::with(stack.word(sp, word)?, sp.checked_add(word)?, registers.fp());
    // All others are as they were.
    for (register, known) in caller.0.iter_mut().zip(next.0) {
        *register = known.or(*register);
    }
    Some((caller, false))
}

/// Code that keeps a frame pointer has pushed its caller's, right below its
/// return address.
fn by_frame_pointer<R: FnMut(u64, &mut [u8]) -> usize>(
    registers: &Registers,
    wide: bool,
    stack: &mut Stack<R>,
) -> Option<(Registers, bool)> {
    let word = if wide { 8 } else { 4 };
    let fp = registers.fp()?;
    if fp < registers.sp()? || fp % word != 0 {
        return None;
    }
    let ip = stack.word(fp.checked_add(word)?, word)?;
    let caller = Registers::with(ip, fp.checked_add(2 * word)?, stack.word(fp, word));
    Some((caller, false))
}

/// Memory, a piece at a time: frames lie next to each other.
struct Stack<R> {
    read: R,
    start: u64,
    bytes: Vec<u8>,
}

impl<R: FnMut(u64, &mut [u8]) -> usize> Stack<R> {
    fn word(&mut self, addr: u64, len: u64) -> Option<u64> {
        let len = usize::try_from(len).ok()?;
        if self.known(addr, len).is_none() {
            self.bytes.resize(STEP, 0);
            let done = (self.read)(addr, &mut self.bytes);
            self.bytes.truncate(done);
            self.start = addr;
        }
        let mut word = [0; 8];
        word[..len].copy_from_slice(self.known(addr, len)?);
        Some(u64::from_le_bytes(word))
    }

    fn known(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(addr.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }
}
