//! The buffer between the tracer thread and a client that only watches.
//!
//! The tracer appends flat records; the observer's thread takes them in
//! batches. Waking a thread on another CPU costs several times what a stop
//! costs, so the tracer does it only for an observer that has found nothing to
//! do: one that has work naps between two batches, and is woken
//! early only when the buffer fills.
//!
//! An entry is kept aside until its exit comes. Only if something else happens
//! first does it become a record of its own ("unfinished"), which is the rule
//! by which strace breaks its lines.

mod consumer;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pai_ptrace::{Pid, Tid};

use crate::clients::Sink;
use crate::event::{End, Event, Execed, SignalStop, SyscallId, SyscallStop, Touched};

pub use consumer::{Batch, Consumer};

/// Captured memory, and texts of events, that are kept for one observer, bytes.
const MAX_BYTES: usize = 16 << 20;

bitflags::bitflags! {
    /// What is special about a record.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct RecordFlags: u8 {
        /// The exit has not been seen yet.
        const UNFINISHED = 1;
        /// The exit will never be seen.
        const NO_RETURN = 2;
        /// The entry was not seen.
        const NO_ENTRY = 4;
        /// The kernel restarts the call.
        const RESTARTS = 8;
        /// A client changed the call or its result.
        const TAMPERED = 16;
        /// A client wrote to memory that an argument points to.
        const POKED = 32;
        /// A client held it up on purpose.
        const DELAYED = 64;
        /// The task was let go inside it: nobody sees how it ends.
        const DETACHED = 128;
    }
}

/// One system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// The call.
    pub call: SyscallId,
    /// Raw arguments.
    pub args: [u64; 6],
    /// Raw result; 0 while there is none.
    pub ret: i64,
    /// Behind the syscall instruction.
    pub ip: u64,
    /// Entry time, CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
    /// Exit minus entry time.
    pub took: u64,
    /// What is special.
    pub flags: RecordFlags,
    /// How many bytes of what was captured belong to it: those behind what belongs to
    /// the records before.
    pub captured: u32,
}

/// What is kept for an observer.
#[derive(Default, Debug)]
struct Kept {
    /// Calls in the order of their exits.
    calls: Vec<Record>,
    /// What their arguments lead to.
    captured: Vec<u8>,
    /// Everything else, each before the call at the index given.
    others: Vec<(u32, Event)>,
    /// How many bytes those have beside themselves.
    weight: usize,
    /// Lost since the last batch.
    lost: u64,
    /// No more will come.
    last: bool,
}

/// What the tracer does when the buffer is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// Drops what is new, and counts it.
    Drop,
    /// Waits this long, then drops from then on.
    Block(Duration),
}

#[derive(Debug)]
struct Buffer {
    kept: Kept,
    pending: Option<Record>,
    /// What belongs to that.
    pending_captured: Vec<u8>,
    capacity: usize,
    overflow: Overflow,
    /// The observer waits without a nap: it has to be told.
    sleeping: bool,
    /// It naps: it has to be told when the buffer fills.
    napping: bool,
    /// The observer waits for the tracer, which must not wait for it.
    asking: bool,
    /// The observer is gone.
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    emptied: Condvar,
}

/// Whether there is a reason outside of the observer why it takes nothing.
type Excuse = Box<dyn Fn() -> bool>;

/// The tracer's end.
pub struct Producer {
    shared: Arc<Shared>,
    excuse: Option<Excuse>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Producer").field(&self.shared).finish()
    }
}

/// Makes a buffer for `capacity` records.
pub fn buffer(capacity: usize, overflow: Overflow) -> (Producer, Consumer) {
    let shared = Arc::new(Shared {
        buffer: Mutex::new(Buffer {
            kept: Kept::default(),
            pending: None,
            pending_captured: Vec::new(),
            capacity,
            overflow,
            sleeping: false,
            napping: false,
            asking: false,
            closed: false,
        }),
        filled: Condvar::new(),
        emptied: Condvar::new(),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        excuse: None,
    };
    (producer, Consumer::new(shared))
}

impl Shared {
    /// A panic on the other side leaves plain data: nothing to repair.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn len(&self) -> usize {
        self.kept.calls.len() + self.kept.others.len()
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity || self.bytes() >= MAX_BYTES
    }

    fn bytes(&self) -> usize {
        self.kept.captured.len() + self.kept.weight
    }

    /// What comes now is dropped. While the observer asks for something it is not, where
    /// nothing is to be lost: its answer is the next that the tracer sees to.
    fn drops(&self) -> bool {
        self.is_full() && !(self.asking && self.overflow != Overflow::Drop)
    }

    /// A quarter is enough to end a nap.
    fn is_filling(&self) -> bool {
        self.len() >= self.capacity / 4 || self.bytes() >= MAX_BYTES / 4
    }

    fn makes_wait(&self) -> bool {
        self.is_full() && !self.closed && !self.asking
    }

    fn push(&mut self, record: Record, captured: &[u8]) {
        if self.drops() {
            self.kept.lost += 1;
        } else {
            let captured_len = u32::try_from(captured.len()).unwrap_or(0);
            self.kept.calls.push(Record {
                captured: captured_len,
                ..record
            });
            let captured = &captured[..captured_len as usize];
            self.kept.captured.extend_from_slice(captured);
        }
    }

    /// Shows the kept entry, unless it is this task's own.
    fn flush_pending(&mut self, not: Option<Tid>) {
        if let Some(pending) = self.pending
            && not != Some(pending.tid)
        {
            self.pending = None;
            let captured = std::mem::take(&mut self.pending_captured);
            self.push(pending, &captured);
            self.pending_captured = captured;
        }
    }
}

impl Producer {
    /// While `excuse` is true, the limit of [`Overflow::Block`] does not count:
    /// the observer waits for somebody else.
    pub fn excuse_while(&mut self, excuse: impl Fn() -> bool + 'static) {
        self.excuse = Some(Box::new(excuse));
    }

    /// Waits for room, if it should.
    fn make_room<'a>(&'a self, buffer: MutexGuard<'a, Buffer>) -> MutexGuard<'a, Buffer> {
        let mut buffer = buffer;
        while let Overflow::Block(most) = buffer.overflow
            && buffer.makes_wait()
        {
            let (after, pause) = self
                .shared
                .emptied
                .wait_timeout_while(buffer, most, |buffer| buffer.makes_wait())
                .unwrap_or_else(PoisonError::into_inner);
            buffer = after;
            if pause.timed_out() && !self.excuse.as_ref().is_some_and(|excuse| excuse()) {
                // Once is enough: the tracer is not slowed down for ever.
                buffer.overflow = Overflow::Drop;
            }
        }
        buffer
    }

    /// A call of which no exit is seen.
    fn end_call(&mut self, stop: &SyscallStop, how: RecordFlags, captured: &[u8]) {
        let ended = record(stop, how);
        self.with(|buffer| {
            buffer.flush_pending(Some(ended.tid));
            buffer.pending = None;
            buffer.push(ended, captured);
        });
    }

    fn with(&self, work: impl FnOnce(&mut Buffer)) {
        let mut buffer = self.make_room(self.shared.lock());
        if buffer.closed {
            return;
        }
        work(&mut buffer);
        if buffer.sleeping || buffer.napping && buffer.is_filling() {
            buffer.sleeping = false;
            buffer.napping = false;
            drop(buffer);
            self.shared.filled.notify_one();
        }
    }
}

/// What an event has on the heap, about.
fn weight(event: &Event) -> usize {
    match event {
        Event::Execed(exec) => {
            let arguments = exec
                .argv
                .iter()
                .map(|text| size_of::<Vec<u8>>() + text.len());
            size_of::<Execed>() + exec.path.len() + arguments.sum::<usize>()
        }
        Event::Signal(stop) => size_of::<SignalStop>() + stop.frames.len(),
        _ => 0,
    }
}

fn record(stop: &SyscallStop, flags: RecordFlags) -> Record {
    let mut flags = flags;
    for (touched, flag) in [
        (Touched::TAMPERED, RecordFlags::TAMPERED),
        (Touched::POKED, RecordFlags::POKED),
        (Touched::DELAYED, RecordFlags::DELAYED),
    ] {
        flags.set(flag, stop.touched.contains(touched));
    }
    Record {
        pid: stop.pid,
        tid: stop.tid,
        call: stop.call,
        args: stop.args,
        ret: stop.ret.unwrap_or(0),
        ip: stop.ip,
        at: stop.at.saturating_sub(stop.took),
        took: stop.took,
        flags,
        captured: 0,
    }
}

impl Sink for Producer {
    fn enter(&mut self, stop: &SyscallStop, captured: &[u8]) {
        let entered = record(stop, RecordFlags::UNFINISHED);
        self.with(|buffer| {
            buffer.flush_pending(None);
            buffer.pending = Some(entered);
            buffer.pending_captured.clear();
            buffer.pending_captured.extend_from_slice(captured);
        });
    }

    fn exit(&mut self, stop: &SyscallStop, captured: &[u8]) {
        let mut flags = RecordFlags::empty();
        flags.set(RecordFlags::RESTARTS, stop.restarts);
        flags.set(RecordFlags::NO_ENTRY, !stop.entry_seen);
        let done = record(stop, flags);
        self.with(|buffer| {
            buffer.flush_pending(Some(done.tid));
            buffer.pending = None;
            buffer.push(done, captured);
        });
    }

    fn no_return(&mut self, stop: &SyscallStop, captured: &[u8]) {
        self.end_call(stop, RecordFlags::NO_RETURN, captured);
    }

    fn detached(&mut self, stop: &SyscallStop, captured: &[u8]) {
        self.end_call(stop, RecordFlags::DETACHED, captured);
    }

    fn event(&mut self, event: &Event) {
        self.with(|buffer| {
            buffer.flush_pending(event.tid());
            if buffer.drops() {
                buffer.kept.lost += 1;
                return;
            }
            let place = u32::try_from(buffer.kept.calls.len()).unwrap_or(u32::MAX);
            buffer.kept.weight += weight(event);
            buffer.kept.others.push((place, event.clone()));
        });
    }

    /// Never dropped, however full the buffer is.
    fn end(&mut self, end: &End) {
        let mut buffer = self.shared.lock();
        buffer.flush_pending(None);
        let place = u32::try_from(buffer.kept.calls.len()).unwrap_or(u32::MAX);
        buffer.kept.others.push((place, Event::Ended(end.clone())));
        buffer.kept.last = true;
        drop(buffer);
        self.shared.filled.notify_one();
    }
}

#[cfg(test)]
mod tests;
