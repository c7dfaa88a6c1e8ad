//! System calls as observers get them.

use crate::bindings::pai::plugin::types::{Pid, SyscallId, Tid};

/// Numbers of a call in `observe.batch.syscalls`.
const NUMBERS: usize = 13;

bitflags::bitflags! {
    /// What is special about a record.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct RecordFlags: u32 {
        /// The entry was seen, the exit not yet; the record with the result follows.
        const UNFINISHED = 1;
        /// The task ended, or vanished in another task's exec, inside this call.
        const NO_RETURN = 2;
        /// The entry was not seen: attached in the middle. Arguments may be wrong.
        const NO_ENTRY = 4;
        /// The kernel will restart the call; the result is none.
        const RESTARTS = 8;
        /// A plugin changed the call or its result.
        const TAMPERED = 16;
        /// A plugin wrote to memory that an argument points to, while it held the call.
        const POKED = 32;
        /// A plugin held it up.
        const DELAYED = 64;
        /// The task was let go inside this call; nothing more comes of it.
        const DETACHED = 128;
        /// Whatever a newer host says.
        const _ = !0;
    }
}

/// A system call.
#[derive(Clone, Copy, Debug)]
pub struct SyscallRecord {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// The call.
    pub call: SyscallId,
    /// First argument.
    pub a0: u64,
    /// Second argument.
    pub a1: u64,
    /// Third argument.
    pub a2: u64,
    /// Fourth argument.
    pub a3: u64,
    /// Fifth argument.
    pub a4: u64,
    /// Sixth argument.
    pub a5: u64,
    /// Raw result, negative errno on failure; 0 while unfinished.
    pub ret: i64,
    /// Address of the instruction after the call.
    pub ip: u64,
    /// Entry time, CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
    /// Exit time minus entry time, nanoseconds.
    pub took: u64,
    /// What is special.
    pub record_flags: RecordFlags,
    /// How many bytes of what was captured belong to it.
    pub captured: u32,
}

impl SyscallRecord {
    /// Those that `observe.batch.syscalls` holds, for a plugin that asks for batches itself.
    pub fn all_of(numbers: &[u64]) -> impl ExactSizeIterator<Item = Self> {
        numbers.chunks_exact(NUMBERS).map(|numbers| {
            let low = |at: usize| numbers[at] as u32;
            let high = |at: usize| (numbers[at] >> 32) as u32;
            Self {
                pid: low(0),
                tid: high(0),
                call: SyscallId {
                    abi: low(1),
                    nr: high(1),
                },
                a0: numbers[2],
                a1: numbers[3],
                a2: numbers[4],
                a3: numbers[5],
                a4: numbers[6],
                a5: numbers[7],
                ret: numbers[8].cast_signed(),
                ip: numbers[9],
                at: numbers[10],
                took: numbers[11],
                record_flags: RecordFlags::from_bits_retain(low(12)),
                captured: high(12),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_places() {
        let mut numbers: Vec<u64> = (0..13).map(|n| n << 32 | (n + 100)).collect();
        numbers.extend([0; 13]);
        // What is no whole call is none.
        numbers.push(7);
        let records: Vec<_> = SyscallRecord::all_of(&numbers).collect();
        assert_eq!(records.len(), 2);
        let record = records[0];
        assert_eq!((record.pid, record.tid), (100, 0));
        assert_eq!((record.call.abi, record.call.nr), (101, 1));
        assert_eq!(record.a0, 2 << 32 | 102);
        assert_eq!(record.a5, 7 << 32 | 107);
        assert_eq!(record.ret, 8 << 32 | 108);
        assert_eq!((record.ip, record.at), (9 << 32 | 109, 10 << 32 | 110));
        assert_eq!(record.took, 11 << 32 | 111);
        assert_eq!(record.record_flags.bits(), 112);
        assert_eq!(record.captured, 12);
    }
}
