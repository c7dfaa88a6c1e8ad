//! The buffer between the tracer thread and a client that only watches.
//!
//! The tracer appends flat records; the observer's thread takes them in
//! batches. Waking a thread on another CPU costs several times what a stop
//! costs, so the tracer does it only for an observer that has found nothing to
//! do: one that has work naps for [`NAP`] between two batches, and is woken
//! early only when the buffer fills.
//!
//! An entry is kept aside until its exit comes. Only if something else happens
//! first does it become a record of its own ("unfinished"), which is the rule
//! by which strace breaks its lines.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pai_ptrace::{Pid, Tid};

use crate::clients::Sink;
use crate::event::{End, Event, SyscallId, SyscallStop, Touched};

/// Captured memory that is kept for one observer, bytes.
const MAX_CAPTURED: usize = 16 << 20;

/// How long an observer that has work waits for more: each nap costs two switches of a
/// CPU that the target may be on.
const NAP: Duration = Duration::from_millis(10);

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
    /// How many bytes of [`Batch::captured`] belong to it: those behind what belongs to
    /// the records before.
    pub captured: u32,
}

/// What an observer gets at once.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Batch {
    /// Calls in the order of their exits.
    pub calls: Vec<Record>,
    /// What their arguments lead to, in the encoding of
    /// [`pai_syscalls::decode::Captured`], for observers that want it.
    pub captured: Vec<u8>,
    /// Everything else, each before the call at the index given.
    pub others: Vec<(u32, Event)>,
    /// Lost since the last batch.
    pub lost: u64,
    /// No more will come.
    pub last: bool,
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
    batch: Batch,
    pending: Option<Record>,
    /// What belongs to that.
    pending_captured: Vec<u8>,
    capacity: usize,
    overflow: Overflow,
    /// The observer waits without a nap: it has to be told.
    sleeping: bool,
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

/// The observer's end.
#[derive(Debug)]
pub struct Consumer(Arc<Shared>);

/// Makes a buffer for `capacity` records.
pub fn buffer(capacity: usize, overflow: Overflow) -> (Producer, Consumer) {
    let shared = Arc::new(Shared {
        buffer: Mutex::new(Buffer {
            batch: Batch::default(),
            pending: None,
            pending_captured: Vec::new(),
            capacity,
            overflow,
            sleeping: false,
            closed: false,
        }),
        filled: Condvar::new(),
        emptied: Condvar::new(),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        excuse: None,
    };
    (producer, Consumer(shared))
}

impl Shared {
    /// A panic on the other side leaves plain data: nothing to repair.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn len(&self) -> usize {
        self.batch.calls.len() + self.batch.others.len()
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity || self.batch.captured.len() >= MAX_CAPTURED
    }

    /// A quarter is enough to end a nap.
    fn is_filling(&self) -> bool {
        self.len() >= self.capacity / 4 || self.batch.captured.len() >= MAX_CAPTURED / 4
    }

    fn push(&mut self, record: Record, captured: &[u8]) {
        if self.is_full() {
            self.batch.lost += 1;
        } else {
            let captured_len = u32::try_from(captured.len()).unwrap_or(0);
            self.batch.calls.push(Record {
                captured: captured_len,
                ..record
            });
            let captured = &captured[..captured_len as usize];
            self.batch.captured.extend_from_slice(captured);
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
            && buffer.is_full()
            && !buffer.closed
        {
            let (after, pause) = self
                .shared
                .emptied
                .wait_timeout_while(buffer, most, |b| b.is_full() && !b.closed)
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
        if buffer.sleeping || buffer.is_filling() {
            let tell = std::mem::replace(&mut buffer.sleeping, false);
            drop(buffer);
            if tell {
                self.shared.filled.notify_one();
            }
        }
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
            if buffer.is_full() {
                buffer.batch.lost += 1;
                return;
            }
            let place = u32::try_from(buffer.batch.calls.len()).unwrap_or(u32::MAX);
            buffer.batch.others.push((place, event.clone()));
        });
    }

    /// Never dropped, however full the buffer is.
    fn end(&mut self, end: &End) {
        let mut buffer = self.shared.lock();
        buffer.flush_pending(None);
        let place = u32::try_from(buffer.batch.calls.len()).unwrap_or(u32::MAX);
        buffer.batch.others.push((place, Event::Ended(end.clone())));
        buffer.batch.last = true;
        drop(buffer);
        self.shared.filled.notify_one();
    }
}

impl Consumer {
    /// Sets how much is kept, and what happens beyond.
    pub fn configure(&self, capacity: usize, overflow: Overflow) {
        let mut buffer = self.0.lock();
        buffer.capacity = capacity;
        buffer.overflow = overflow;
    }

    /// Waits for at least one record, or `max_wait`; takes at most `max`.
    pub fn next_batch(&self, max: usize, max_wait: Duration) -> Batch {
        let deadline = Instant::now().checked_add(max_wait);
        let mut napped = false;
        let mut buffer = self.0.lock();
        loop {
            if napped && buffer.len() == 0 {
                buffer.flush_pending(None);
            }
            if buffer.batch.last || buffer.is_filling() || (napped && buffer.len() > 0) {
                break;
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let idle = buffer.len() == 0 && buffer.pending.is_none();
            buffer.sleeping = idle;
            let pause = match (idle, left) {
                (true, Some(left)) => Some(left),
                (true, None) => None,
                (false, Some(left)) => Some(left.min(NAP)),
                (false, None) => Some(NAP),
            };
            napped = !idle;
            buffer = match pause {
                Some(pause) => {
                    self.0
                        .filled
                        .wait_timeout(buffer, pause)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .0
                    .filled
                    .wait(buffer)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
        buffer.sleeping = false;
        let batch = buffer.take(max);
        drop(buffer);
        self.0.emptied.notify_one();
        batch
    }
}

impl Buffer {
    fn take(&mut self, max: usize) -> Batch {
        if self.len() <= max {
            return std::mem::take(&mut self.batch);
        }
        // Take calls up to the first event, or events up to the next call, so
        // that the order is kept whatever the mixture.
        let mut calls = max.min(self.batch.calls.len());
        let mut others = 0;
        for (place, _) in &self.batch.others {
            let before = usize::try_from(*place).unwrap_or(usize::MAX);
            if before + others >= max {
                calls = calls.min(max - others);
                break;
            }
            others += 1;
            calls = calls.min(max - others);
        }
        let cut = u32::try_from(calls).unwrap_or(u32::MAX);
        let rest_calls = self.batch.calls.split_off(calls);
        let taken_bytes: usize = self.batch.calls.iter().map(|r| r.captured as usize).sum();
        let rest_captured = self.batch.captured.split_off(taken_bytes);
        let mut rest_others = self.batch.others.split_off(others);
        for (place, _) in &mut rest_others {
            *place = place.saturating_sub(cut);
        }
        let rest = Batch {
            calls: rest_calls,
            captured: rest_captured,
            others: rest_others,
            lost: 0,
            last: self.batch.last,
        };
        let mut taken = std::mem::replace(&mut self.batch, rest);
        taken.last = false;
        taken
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.emptied.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(tid: i32, nr: u32, ret: Option<i64>) -> SyscallStop {
        SyscallStop {
            pid: Pid::new(1),
            tid: Tid::new(tid),
            call: SyscallId { abi: 1, nr },
            args: [0; 6],
            ret,
            restarts: false,
            continues: None,
            entry_seen: true,
            touched: Touched::default(),
            ip: 0,
            sp: 0,
            at: 10,
            took: 0,
        }
    }

    fn shape(batch: &Batch) -> Vec<(i32, u32, RecordFlags)> {
        batch
            .calls
            .iter()
            .map(|r| (r.tid.get(), r.call.nr, r.flags))
            .collect()
    }

    const DONE: RecordFlags = RecordFlags::empty();

    #[test]
    fn an_entry_is_a_record_only_when_something_comes_in_between() {
        let (mut producer, consumer) = buffer(64, Overflow::Drop);
        producer.enter(&stop(1, 7, None), &[]);
        producer.exit(&stop(1, 7, Some(0)), &[]);
        producer.enter(&stop(1, 8, None), &[]);
        producer.enter(&stop(2, 9, None), &[]);
        producer.exit(&stop(2, 9, Some(0)), &[]);
        producer.exit(&stop(1, 8, Some(0)), &[]);
        producer.enter(&stop(1, 231, None), &[]);
        producer.no_return(&stop(1, 231, None), &[]);
        producer.end(&End::Detached);
        let batch = consumer.next_batch(100, Duration::ZERO);
        assert_eq!(
            shape(&batch),
            [
                (1, 7, DONE),
                (1, 8, RecordFlags::UNFINISHED),
                (2, 9, DONE),
                (1, 8, DONE),
                (1, 231, RecordFlags::NO_RETURN),
            ]
        );
        assert!(batch.last);
    }

    #[test]
    fn a_blocked_call_shows_when_nothing_else_happens() {
        let (mut producer, consumer) = buffer(64, Overflow::Drop);
        producer.enter(&stop(1, 0, None), &[]);
        let batch = consumer.next_batch(100, Duration::from_secs(60));
        assert_eq!(shape(&batch), [(1, 0, RecordFlags::UNFINISHED)]);
        producer.exit(&stop(1, 0, Some(3)), &[]);
        let batch = consumer.next_batch(100, Duration::from_secs(60));
        assert_eq!(shape(&batch), [(1, 0, DONE)]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let (mut producer, consumer) = buffer(3, Overflow::Drop);
        for nr in 0..10 {
            producer.exit(&stop(1, nr, Some(0)), &[]);
        }
        let batch = consumer.next_batch(100, Duration::ZERO);
        assert_eq!((batch.calls.len(), batch.lost), (3, 7));
        producer.exit(&stop(1, 11, Some(0)), &[]);
        let batch = consumer.next_batch(100, Duration::from_secs(60));
        assert_eq!((batch.calls.len(), batch.lost), (1, 0));
    }

    #[test]
    fn blocking_gives_up_at_its_limit() {
        let (mut producer, consumer) = buffer(1, Overflow::Block(Duration::from_millis(1)));
        producer.exit(&stop(1, 1, Some(0)), &[]);
        producer.exit(&stop(1, 2, Some(0)), &[]);
        assert_eq!(consumer.next_batch(9, Duration::ZERO).lost, 1);
    }

    #[test]
    fn blocking_goes_on_while_there_is_an_excuse() {
        let (mut producer, consumer) = buffer(1, Overflow::Block(Duration::from_millis(1)));
        let asked = std::rc::Rc::new(std::cell::Cell::new(0));
        let times = std::rc::Rc::clone(&asked);
        producer.excuse_while(move || {
            times.set(times.get() + 1);
            times.get() < 5
        });
        producer.exit(&stop(1, 1, Some(0)), &[]);
        assert_eq!(asked.get(), 0);
        producer.exit(&stop(1, 2, Some(0)), &[]);
        assert_eq!(asked.get(), 5);
        assert_eq!(consumer.next_batch(9, Duration::ZERO).lost, 1);
    }

    #[test]
    fn batches_of_any_size_keep_the_order() {
        for max in 1..12 {
            let (mut producer, consumer) = buffer(64, Overflow::Drop);
            let mut expected = Vec::new();
            for n in 0..5_u32 {
                producer.event(&Event::Lost(u64::from(n)));
                expected.push(format!("e{n}"));
                producer.exit(&stop(1, n, Some(0)), &[]);
                producer.exit(&stop(1, n, Some(0)), &[]);
                expected.extend([format!("c{n}"), format!("c{n}")]);
            }
            producer.end(&End::Detached);
            expected.push("end".into());
            let mut seen = Vec::new();
            loop {
                let batch = consumer.next_batch(max, Duration::from_secs(60));
                assert!(batch.calls.len() + batch.others.len() <= max);
                let mut others = batch.others.iter().peekable();
                for place in 0..=batch.calls.len() {
                    while let Some((_, event)) = others.next_if(|(at, _)| *at as usize == place) {
                        seen.push(match event {
                            Event::Lost(n) => format!("e{n}"),
                            _ => "end".into(),
                        });
                    }
                    if let Some(call) = batch.calls.get(place) {
                        seen.push(format!("c{}", call.call.nr));
                    }
                }
                assert_eq!(others.next(), None);
                if batch.last {
                    break;
                }
            }
            assert_eq!(seen, expected, "batches of {max}");
        }
    }

    #[test]
    fn an_observer_on_another_thread_gets_everything() {
        let (mut producer, consumer) = buffer(100_000, Overflow::Drop);
        let observer = std::thread::spawn(move || {
            let mut calls = 0;
            loop {
                let batch = consumer.next_batch(1024, Duration::from_secs(60));
                assert_eq!(batch.lost, 0);
                calls += batch.calls.len();
                if batch.last {
                    return calls;
                }
            }
        });
        for nr in 0..50_000 {
            producer.enter(&stop(1, nr, None), &[]);
            producer.exit(&stop(1, nr, Some(0)), &[]);
        }
        producer.end(&End::Detached);
        // Entries may show as records of their own when the observer is quick.
        assert!(observer.join().unwrap() >= 50_000);
    }
}
