//! Reads what the arguments of a call lead to, while the call is stopped.

use pai_ptrace::{MAX_PIECES, Piece, Stopped, Tid};
use pai_syscalls::decode::schema::Call;
use pai_syscalls::decode::{self, Captured, Descriptors, Limits, Want, When, captured};

use crate::descriptor;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, StopId, SyscallStop};
use crate::memory::{PAGE, read_all};
use crate::procfs;
use crate::subscription::ClientId;

/// A pointer leads to pointers, and so on: no description needs more rounds.
const MAX_ROUNDS: usize = 8;
/// No more is kept of one call, whatever its arguments say.
const MAX_CAPTURED: usize = 256 << 10;

impl Engine {
    /// What is known of a call at this stop, read now if it has not been. The stack only
    /// with the task itself.
    pub(crate) fn captured_at(
        &mut self,
        stop: &SyscallStop,
        stopped: Option<&Stopped>,
        limits: Limits,
    ) -> Vec<u8> {
        let Some(task) = self.tasks.get_mut(&stop.tid) else {
            return Vec::new();
        };
        let now = side(stop);
        let mut bytes = std::mem::take(&mut task.captured.bytes);
        let upto = task.captured.upto.replace(now);
        let limits = limits.or(self.table.limits);
        let mut unreadable = 0;
        if upto.is_none() {
            // At the exit it is late, but mostly not too late.
            let entered = SyscallStop { ret: None, ..*stop };
            unreadable += self.capture(&entered, limits, &mut bytes);
        }
        if upto < Some(now) && now == When::Exit {
            unreadable += self.capture(stop, limits, &mut bytes);
        }
        if limits.frames > 0
            && let Some(stopped) = stopped
        {
            self.keep_frames(stop, stopped, limits.frames, &mut bytes);
        }
        self.stats.unexpected += unreadable as u64;
        bytes
    }

    /// As [`Engine::captured_at`], for when the call returns.
    pub(crate) fn keep_captured(&mut self, stop: &SyscallStop, stopped: &Stopped) {
        let bytes = self.captured_at(stop, Some(stopped), Limits::NONE);
        if let Some(task) = self.tasks.get_mut(&stop.tid) {
            task.captured.bytes = bytes;
        }
    }

    /// What the arguments of a call lead to that this client holds, in the encoding of
    /// [`Captured`]: what went in, read at the entry if that was asked for
    /// ([`SyscallFilter::capture`]) or held, and now otherwise; and at the exit what came
    /// out. Up to `limits`, or more if others want more.
    ///
    /// # Errors
    /// `StaleStop`; `Invalid` for a stop that is not one of a call.
    ///
    /// [`SyscallFilter::capture`]: crate::SyscallFilter::capture
    pub fn captured(
        &mut self,
        client: ClientId,
        stop: StopId,
        limits: Limits,
    ) -> Result<Vec<u8>, Error> {
        let task = self.tasks.get(&stop.tid()).ok_or(Error::StaleStop(stop))?;
        let offer = match (task.held(), &task.operation) {
            (Some(held), _) => &held.offer,
            (None, Some(operation)) => &operation.offer,
            (None, None) => return Err(Error::StaleStop(stop)),
        };
        if offer.offered != Some((client, stop)) {
            return Err(Error::StaleStop(stop));
        }
        let (Event::SyscallEnter(call) | Event::SyscallExit(call)) = &offer.event else {
            let what = offer.event.name();
            return Err(Error::Invalid(format!("{what} is no system call")));
        };
        let call = *call;
        let bytes = self.captured_at(&call, None, limits);
        if let Some(task) = self.tasks.get_mut(&call.tid) {
            task.captured.bytes.clone_from(&bytes);
        }
        Ok(bytes)
    }

    /// Reads the memory that a call takes, at its entry, or that it has returned, at
    /// its exit, and appends it in the encoding of [`Captured`]. At the exit,
    /// `captured` has to hold what was read at the entry.
    ///
    /// All pieces that are known to be wanted are read in one process_vm_readv(2). What
    /// cannot be read is left out. Returns how many pieces that were.
    pub fn capture(&mut self, stop: &SyscallStop, limits: Limits, captured: &mut Vec<u8>) -> usize {
        let Some(call) = decode::describe(stop.call.abi, stop.call.nr) else {
            return 0;
        };
        let when = side(stop);
        let mut asked = Vec::new();
        let mut unreadable = 0;
        for _ in 0..MAX_ROUNDS {
            let first = asked.len();
            let known = Captured::decode(captured);
            let abi = stop.call.abi;
            decode::wants(call, abi, stop.args, stop.ret, limits, &known, &mut asked);
            drop(known);
            let Some(new) = asked.get(first..).filter(|new| !new.is_empty()) else {
                break;
            };
            let mut again = false;
            let stack = new.iter().any(|want| want.addr == captured::STACK);
            if let Some(top) = stack.then(|| stack_pointer(stop)).flatten() {
                captured::encode(captured, when, captured::STACK, &top.to_le_bytes());
                again = true;
            }
            for chunk in new.chunks(MAX_PIECES / 2) {
                self.read_wants(stop, chunk, |want, bytes| {
                    let end = match want.text {
                        true => bytes.iter().position(|byte| *byte == 0).map(|at| at + 1),
                        false => None,
                    };
                    again |= want.leads || want.text && end.is_none();
                    unreadable += usize::from(bytes.is_empty() && want.addr != captured::STACK);
                    let bytes = &bytes[..end.unwrap_or(bytes.len())];
                    if captured.len() + bytes.len() <= MAX_CAPTURED {
                        captured::encode(captured, when, want.addr, bytes);
                    }
                });
            }
            if !again {
                break;
            }
        }
        if limits.descriptors != Descriptors::NONE || limits.tasks {
            name_numbers(stop, call, limits, captured);
        }
        unreadable
    }

    /// Hands out as much of each as can be read.
    fn read_wants(
        &mut self,
        stop: &SyscallStop,
        wants: &[Want],
        mut each: impl FnMut(&Want, &[u8]),
    ) {
        // Text may end before the page that its length leads into, and the kernel
        // gives up at the first piece that it cannot read whole.
        let mut pieces = Vec::with_capacity(wants.len() * 2);
        for want in wants {
            let in_page = usize::try_from(PAGE - want.addr % PAGE).unwrap_or(want.len);
            let first = want.len.min(in_page);
            pieces.push(Piece {
                addr: want.addr,
                len: first,
            });
            if want.len > first {
                pieces.push(Piece {
                    addr: want.addr.saturating_add(first as u64),
                    len: want.len - first,
                });
            }
        }
        let mut buf = vec![0; pieces.iter().map(|piece| piece.len).sum()];
        let lens = read_all(stop.tid, &pieces, &mut buf);
        let (mut at, mut next) = (0, 0);
        for want in wants {
            let mut known = 0;
            let mut whole = true;
            let mut len = 0;
            while len < want.len {
                let (Some(piece), Some(done)) = (pieces.get(next), lens.get(next)) else {
                    break;
                };
                if whole {
                    known += done;
                }
                whole &= *done == piece.len;
                len += piece.len;
                next += 1;
            }
            let bytes = &mut buf[at..at + known];
            self.hide_breakpoints(stop.pid, want.addr, bytes);
            each(want, bytes);
            at += want.len;
        }
    }
}

/// Of a task that has made a call: the last but one of what procfs(5) says of it.
fn stack_pointer(stop: &SyscallStop) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/syscall", stop.tid)).ok()?;
    let digits = text.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
    u64::from_str_radix(digits, 16).ok()
}

pub(crate) fn side(stop: &SyscallStop) -> When {
    match stop.ret {
        None => When::Enter,
        Some(_) => When::Exit,
    }
}

/// Says what the descriptors and tasks of a call are, as far as that is wanted. One that
/// cannot be looked at, such as one that is not open, is left out.
fn name_numbers(stop: &SyscallStop, call: &'static Call, limits: Limits, captured: &mut Vec<u8>) {
    let mut mentioned = decode::Mentioned::default();
    let known = Captured::decode(captured);
    let abi = stop.call.abi;
    decode::mentioned(
        call,
        abi,
        stop.args,
        stop.ret,
        limits,
        &known,
        &mut mentioned,
    );
    drop(known);
    if limits.descriptors != Descriptors::NONE {
        for fd in mentioned.descriptors {
            if let Some(name) = descriptor::name(stop.tid, fd, limits.descriptors) {
                captured::encode_descriptor(captured, side(stop), fd, &name);
            }
        }
    }
    if limits.tasks {
        for task in [stop.tid.get()].into_iter().chain(mentioned.tasks) {
            if let Some(name) = procfs::comm(Tid::new(task)) {
                captured::encode_task(captured, side(stop), task, name.as_bytes());
            }
        }
    }
}
