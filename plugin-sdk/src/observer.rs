//! The client of a plugin that only watches.

use std::fmt;

use crate::bindings::pai::plugin::events::{
    CaptureLimits, End, Event, SyscallFilter, SyscallSet, Topic,
};
use crate::bindings::pai::plugin::observe::{self, Batch};
use crate::bindings::pai::plugin::tasks::{self, Target, Task};
use crate::bindings::pai::plugin::types::Pid;
use crate::error::Result;
use crate::record::SyscallRecord;

pub use crate::bindings::pai::plugin::observe::Overflow;

/// How long to wait for the next record, nanoseconds: an hour. Nothing is gained
/// from waking up in between.
const MAX_WAIT: u64 = 3_600_000_000_000;
/// Records per batch.
const BATCH: u32 = 4096;
/// Records that the host keeps.
const CAPACITY: u32 = 65_536;

/// A system call, and what its arguments lead to if the topic asks for that.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The call.
    pub record: &'a SyscallRecord,
    /// Encoded memory: see [`crate::decode`].
    pub captured: &'a [u8],
}

impl std::ops::Deref for Call<'_> {
    type Target = SyscallRecord;

    fn deref(&self) -> &SyscallRecord {
        self.record
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A system call.
    Call(Call<'a>),
    /// Anything else.
    Event(&'a Event),
    /// So many records were lost before this batch.
    Lost(u64),
    /// The end of a batch: a good place to print what was collected.
    Flush,
}

/// Watches the trace; the targets do not wait for it, unless it asks for
/// [`Overflow::Block`].
pub struct Observer {
    topics: Vec<Topic>,
    capacity: u32,
    overflow: Overflow,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer")
            .field("topics", &self.topics.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer {
    /// One that watches nothing yet.
    pub fn new() -> Self {
        Self {
            topics: Vec::new(),
            capacity: CAPACITY,
            overflow: Overflow::Drop,
        }
    }

    /// Every system call when it returns. With `entries` also a record of its
    /// own for a call that something else interrupts.
    #[must_use]
    pub fn syscalls(self, entries: bool) -> Self {
        self.topic(Topic::Syscalls(SyscallFilter {
            which: SyscallSet::All,
            enter: entries,
            exit: true,
            tasks: Vec::new(),
            capture: None,
            extra: Vec::new(),
        }))
    }

    /// These calls when they return, with what their arguments lead to up to these
    /// limits.
    #[must_use]
    pub fn calls<'a>(
        self,
        names: impl IntoIterator<Item = &'a str>,
        capture: Option<CaptureLimits>,
    ) -> Self {
        self.topic(Topic::Syscalls(SyscallFilter {
            which: SyscallSet::Names(names.into_iter().map(str::to_owned).collect()),
            enter: false,
            exit: true,
            tasks: Vec::new(),
            capture,
            extra: Vec::new(),
        }))
    }

    /// This, too.
    #[must_use]
    pub fn topic(mut self, topic: Topic) -> Self {
        self.topics.push(topic);
        self
    }

    /// How many records the host keeps, 64 to 1048576.
    #[must_use]
    pub fn capacity(mut self, records: u32) -> Self {
        self.capacity = records;
        self
    }

    /// What happens to those that do not fit.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Traced processes, oldest first.
    ///
    /// # Errors
    /// When the session is over.
    pub fn targets() -> Result<Vec<Target>> {
        Ok(tasks::targets()?)
    }

    /// Tasks of one process, or of all.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn tasks(pid: Option<Pid>) -> Result<Vec<Task>> {
        Ok(tasks::list(pid)?)
    }

    /// What a descriptor refers to, as /proc/PID/fd has it: a path, `socket:[…]`,
    /// `pipe:[…]`. The target may have gone on since the record that one looks at: this
    /// is for descriptors that are there from the start. Capability `memory-read`.
    ///
    /// # Errors
    /// `not-found` when it is not open, `no-such-process`.
    pub fn descriptor(pid: Pid, fd: i32) -> Result<Vec<u8>> {
        Ok(tasks::descriptor(pid, fd)?)
    }

    /// Watches until the session ends, in order.
    ///
    /// # Errors
    /// The first error of `watch`, or of the host.
    pub fn run(self, mut watch: impl FnMut(Item<'_>) -> Result<()>) -> Result<Option<End>> {
        observe::open(&self.topics, self.capacity, &self.overflow)?;
        loop {
            let batch = observe::next_batch(BATCH, MAX_WAIT)?;
            if batch.lost > 0 {
                watch(Item::Lost(batch.lost))?;
            }
            let end = replay(&batch, &mut watch)?;
            watch(Item::Flush)?;
            if batch.last {
                return Ok(end);
            }
        }
    }
}

/// Calls and events of one batch in their common order.
fn replay(batch: &Batch, watch: &mut impl FnMut(Item<'_>) -> Result<()>) -> Result<Option<End>> {
    let mut others = batch.others.iter().peekable();
    let mut end = None;
    let mut captured = batch.captured.as_slice();
    for (place, record) in (0_u32..).zip(SyscallRecord::all_of(&batch.syscalls)) {
        let of_call;
        let len = usize::try_from(record.captured).unwrap_or(usize::MAX);
        (of_call, captured) = captured.split_at(len.min(captured.len()));
        let call = Call {
            record: &record,
            captured: of_call,
        };
        while let Some((_, event)) = others.next_if(|(at, _)| *at <= place) {
            watch(Item::Event(event))?;
        }
        watch(Item::Call(call))?;
    }
    for (_, event) in others {
        if let Event::Ended(why) = event {
            end = Some(why.clone());
        }
        watch(Item::Event(event))?;
    }
    Ok(end)
}
