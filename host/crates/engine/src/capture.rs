//! Reads what the arguments of a call lead to, while the call is stopped.

use pai_ptrace::{MAX_PIECES, Mem, Piece, Stopped, Tid, read_pieces};
use pai_syscalls::decode::schema::Call;
use pai_syscalls::decode::{self, Captured, Descriptors, Limits, Want, When, captured};

use crate::descriptor;
use crate::engine::Engine;
use crate::error::Error;
use crate::event::{Event, StopId, SyscallStop};
use crate::memory::{PAGE, read_all};
use crate::procfs;
use crate::socket::Peers;
use crate::subscription::ClientId;

/// A pointer leads to pointers, and so on: no description needs more rounds.
const MAX_ROUNDS: usize = 8;
/// No more is kept of one call, whatever its arguments say: a buffer as long as
/// [`Limits::MOST_TEXT`], and what leads to it.
const MAX_CAPTURED: usize = Limits::MOST_TEXT + (64 << 10);
/// No more is read at once.
const MAX_AT_ONCE: usize = 256 << 10;

/// After so many captures the memory of a process is kept open,
const BUSY: u32 = 64;
/// unless there are more processes: descriptors are few.
const MAX_OPEN: usize = 200;

/// As a result (asm-generic/errno-base.h).
const EFAULT: i64 = -14;

/// What captures are made with: kept from one to the next, as it is done at each stop.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    asked: Vec<Want>,
    pieces: Vec<Piece>,
    lens: Vec<usize>,
    bytes: Vec<u8>,
    peers: Peers,
}

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
        if unreadable > 0 {
            self.stats.unexpected += unreadable as u64;
            let name = pai_syscalls::name(stop.call.abi, stop.call.nr);
            let tid = stop.tid;
            tracing::debug!(target: "pai::engine", %tid, call = name, unreadable, "no pointers");
        }
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
        if stop.ret == Some(EFAULT) {
            leave_out_protected(stop.tid, captured);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let unreadable = self.capture_with(&mut scratch, stop, call, limits, captured);
        self.scratch = scratch;
        if limits.descriptors != Descriptors::NONE || limits.tasks {
            name_numbers(stop, call, limits, captured, &mut self.scratch.peers);
        }
        unreadable
    }

    fn capture_with(
        &mut self,
        scratch: &mut Scratch,
        stop: &SyscallStop,
        call: &'static Call,
        limits: Limits,
        captured: &mut Vec<u8>,
    ) -> usize {
        let Scratch {
            asked,
            pieces,
            lens,
            bytes: buf,
            ..
        } = scratch;
        let when = side(stop);
        asked.clear();
        let mut unreadable = 0;
        let mut full = false;
        for _ in 0..MAX_ROUNDS {
            let first = asked.len();
            let known = Captured::decode(captured);
            let abi = stop.call.abi;
            decode::wants(call, abi, stop.args, stop.ret, limits, &known, asked);
            let Some(mut new) = asked.get(first..).filter(|new| !new.is_empty()) else {
                break;
            };
            let mut again = false;
            if first > 0 {
                captured::forget_starts(captured, when, new);
            }
            if new.iter().any(|want| want.addr == captured::STACK) {
                captured::encode(captured, when, captured::STACK, &stop.sp.to_le_bytes());
                again = true;
            }
            while !new.is_empty() && !full {
                let (now, later) = new.split_at(at_once(new));
                new = later;
                pieces.clear();
                let in_memory = || now.iter().filter(|want| want.addr != captured::STACK);
                pieces.extend(in_memory().flat_map(in_pages));
                let len = pieces.iter().map(|piece| piece.len).sum();
                if buf.len() < len {
                    buf.resize(len, 0);
                }
                self.read_captured(stop, pieces, &mut buf[..len], lens);
                let (mut at, mut next) = (0, 0);
                for want in in_memory() {
                    let done = readable(want, &pieces[next..], &lens[next..], &mut next);
                    let bytes = &mut buf[at..at + done];
                    at += want.len;
                    self.hide_breakpoints(stop.pid, want.addr, bytes);
                    let end = match want.text {
                        true => memchr::memchr(0, bytes).map(|at| at + 1),
                        false => None,
                    };
                    again |= want.leads || want.text && end.is_none();
                    unreadable += usize::from(bytes.is_empty());
                    let bytes = &bytes[..end.unwrap_or(bytes.len())];
                    full |= !captured::encode_up_to(captured, when, want.addr, bytes, MAX_CAPTURED);
                    if full {
                        break;
                    }
                }
            }
            if !again || full {
                break;
            }
        }
        if full || asked.len() >= decode::MAX_WANTS {
            captured::encode_left_out(captured, when);
        }
        unreadable
    }

    /// As [`read_all`], and quicker for a single piece of a process that makes many
    /// calls: its open memory costs two thirds of process_vm_readv(2), which looks up
    /// the task and its permissions each time. That reads without regard to protection,
    /// see [`leave_out_protected`].
    fn read_captured(
        &mut self,
        stop: &SyscallStop,
        pieces: &[Piece],
        buf: &mut [u8],
        lens: &mut Vec<usize>,
    ) {
        if let [piece] = pieces
            && let Some(mem) = self.busy_memory(stop)
            && let Ok(done) = mem.read(piece.addr, buf)
        {
            lens.clear();
            lens.push(done);
            return;
        }
        read_all(stop.tid, pieces, buf, lens);
    }

    /// The memory of a process, open if that is worth it.
    fn busy_memory(&mut self, stop: &SyscallStop) -> Option<&Mem> {
        let few = self.processes.len() <= MAX_OPEN;
        let process = self.processes.get_mut(&stop.pid)?;
        if process.mem.is_none() {
            process.captures += 1;
            if process.captures > BUSY {
                // Where it cannot be opened, that is not tried each time.
                process.captures = 0;
                process.mem = few.then(|| Mem::open(stop.tid).ok()).flatten();
            }
        }
        process.mem.as_ref()
    }
}

/// From a call that found memory that it may not use, as far as that was read here. The
/// kernel looks at protection, and so does process_vm_readv(2).
fn leave_out_protected(tid: Tid, captured: &mut Vec<u8>) {
    captured::cut(captured, When::Enter, |addr, bytes| {
        let mut again = vec![0; bytes.len()];
        let len = bytes.len();
        // Gone: what was known stays.
        read_pieces(tid, &[Piece { addr, len }], &mut again).unwrap_or(len)
    });
}

/// How many of these are read at once.
fn at_once(wants: &[Want]) -> usize {
    let mut len = 0;
    let fits = |want: &&Want| {
        len += want.len;
        len <= MAX_AT_ONCE
    };
    let most = &wants[..wants.len().min(MAX_PIECES / 2)];
    most.iter().take_while(fits).count().max(1)
}

/// Text may end before the page that its length leads into, and the kernel gives up at
/// the first piece that it cannot read whole.
fn in_pages(want: &Want) -> impl Iterator<Item = Piece> {
    let in_page = usize::try_from(PAGE - want.addr % PAGE).unwrap_or(want.len);
    let first = want.len.min(in_page);
    let more = want.len - first;
    let first = Piece {
        addr: want.addr,
        len: first,
    };
    let second = Piece {
        addr: want.addr.saturating_add(first.len as u64),
        len: more,
    };
    std::iter::once(first).chain((more > 0).then_some(second))
}

/// How much there is of what was wanted, from its pieces, which are the first; adds
/// their number.
fn readable(want: &Want, pieces: &[Piece], lens: &[usize], number: &mut usize) -> usize {
    let (mut known, mut len, mut whole) = (0, 0, true);
    for (piece, done) in pieces.iter().zip(lens) {
        if len >= want.len {
            break;
        }
        if whole {
            known += done;
        }
        whole &= *done == piece.len;
        len += piece.len;
        *number += 1;
    }
    known
}

pub(crate) fn side(stop: &SyscallStop) -> When {
    match stop.ret {
        None => When::Enter,
        Some(_) => When::Exit,
    }
}

/// Says what the descriptors and tasks of a call are, as far as that is wanted. One that
/// cannot be looked at, such as one that is not open, is left out.
fn name_numbers(
    stop: &SyscallStop,
    call: &'static Call,
    limits: Limits,
    captured: &mut Vec<u8>,
    peers: &mut Peers,
) {
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
    if limits.descriptors != Descriptors::NONE {
        for fd in mentioned.descriptors {
            if let Some(of) = descriptor::describe(stop.tid, fd, limits.descriptors, peers) {
                captured::encode_descriptor(captured, side(stop), fd, &of);
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
