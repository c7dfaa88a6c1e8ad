//! Whose memory is whose: processes may share it (vfork(2), CLONE_VM), and one's blocks
//! are the other's then.

use std::collections::BTreeMap;
use std::ops::Range;

use pai_plugin::{Client, ErrorKind, Pid, Result, Tid};

use crate::State;
use crate::heap::Heap;
use crate::scan::Registers;

/// Memory whose blocks are known.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) heap: Heap,
    /// Modules that have allocators.
    pub(crate) allocators: Vec<Range<u64>>,
    /// Modules of the C library.
    pub(crate) library: Vec<Range<u64>>,
    /// Registers of tasks that have ended since the last allocation: the process ends,
    /// perhaps, and these were its last.
    pub(crate) ended: Vec<Registers>,
}

impl Memory {
    pub(crate) fn new(whole: bool) -> Self {
        Self {
            heap: Heap::new(whole),
            ..Self::default()
        }
    }

    /// What a child begins with.
    fn fork(&self) -> Self {
        Self {
            heap: self.heap.fork(),
            allocators: self.allocators.clone(),
            library: self.library.clone(),
            ended: Vec::new(),
        }
    }
}

/// The memory of each process.
#[derive(Default)]
pub(crate) struct Memories {
    /// By process, the number of its memory.
    numbers: BTreeMap<Pid, u64>,
    memories: BTreeMap<u64, Memory>,
    next: u64,
}

impl Memories {
    /// A process has memory of its own from now on.
    pub(crate) fn begin(&mut self, pid: Pid, memory: Memory) {
        // That of the program before is gone, unless others have it too.
        self.leave(pid);
        self.numbers.insert(pid, self.next);
        self.memories.insert(self.next, memory);
        self.next += 1;
    }

    pub(crate) fn get(&self, pid: Pid) -> Option<&Memory> {
        self.memories.get(self.numbers.get(&pid)?)
    }

    pub(crate) fn get_mut(&mut self, pid: Pid) -> &mut Memory {
        let number = *self.numbers.entry(pid).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        });
        self.memories.entry(number).or_default()
    }

    /// A process has made another one.
    pub(crate) fn fork(&mut self, pid: Pid, child: Pid, shares: bool) {
        let Some(number) = self.numbers.get(&pid).copied() else {
            return;
        };
        if shares {
            self.leave(child);
            self.numbers.insert(child, number);
        } else if let Some(memory) = self.memories.get(&number) {
            let copy = memory.fork();
            self.begin(child, copy);
        }
    }

    /// Whether several processes have the memory of this one.
    pub(crate) fn is_shared(&self, pid: Pid) -> bool {
        let number = self.numbers.get(&pid);
        number.is_some_and(|number| self.numbers.values().filter(|n| *n == number).count() > 1)
    }

    /// A process ends, and its memory with it, unless others have it too.
    pub(crate) fn leave(&mut self, pid: Pid) -> Option<Memory> {
        let number = self.numbers.remove(&pid)?;
        if self.numbers.values().any(|other| *other == number) {
            return None;
        }
        self.memories.remove(&number)
    }

    /// Those that have not ended, each with one of its processes.
    pub(crate) fn into_rest(mut self) -> impl Iterator<Item = (Pid, Memory)> {
        let numbers = self.numbers.into_iter();
        numbers.filter_map(move |(pid, number)| Some((pid, self.memories.remove(&number)?)))
    }
}

// Numbers of the 64-bit ABI, and a flag (linux/sched.h).
const NR_CLONE: u64 = 56;
const NR_FORK: u64 = 57;
const NR_VFORK: u64 = 58;
const NR_CLONE3: u64 = 435;
const CLONE_VM: u64 = 0x100;

/// Whether the child that a task is making shares its memory. The kernel's kind of the
/// event does not tell: it is that of the exit signal, and "vfork" if the parent waits.
pub(crate) fn is_sharing(
    client: &mut Client<State>,
    pid: Pid,
    tid: Tid,
    kind: &str,
) -> Result<bool> {
    let by_kind = kind == "vfork";
    let registers = match client.registers(tid) {
        Ok(registers) => registers,
        // It was killed meanwhile.
        Err(error) if matches!(error.kind(), ErrorKind::NoSuchTask(_)) => return Ok(by_kind),
        Err(error) => return Err(error),
    };
    let first = registers.get("rdi").unwrap_or_default();
    let flags = match registers.get("orig_rax") {
        Some(NR_VFORK) => CLONE_VM,
        Some(NR_FORK) => 0,
        Some(NR_CLONE) => first,
        // The first field of struct clone_args.
        Some(NR_CLONE3) => match client.read_u64(pid, first) {
            Ok(flags) => flags,
            // Another task has changed the mappings meanwhile, or it was killed.
            Err(_) => return Ok(by_kind),
        },
        _ => return Ok(by_kind),
    };
    Ok(flags & CLONE_VM != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(memories: &Memories, pid: Pid) -> usize {
        memories.get(pid).map_or(0, |m| m.heap.blocks().count())
    }

    #[test]
    fn the_last_process_takes_memory_along() {
        let mut memories = Memories::default();
        memories.begin(1, Memory::new(true));
        memories.fork(1, 2, true);
        assert!(memories.is_shared(1) && memories.is_shared(2));
        let stack = [1].into();
        memories.get_mut(2).heap.add(16, 8, stack);
        assert_eq!(blocks(&memories, 1), 1);
        // The first ends before the other.
        assert!(memories.leave(1).is_none());
        assert!(!memories.is_shared(2));
        let last = memories.leave(2).expect("the last");
        assert!(last.heap.has_own());
        assert!(memories.leave(2).is_none());
    }

    #[test]
    fn an_exec_has_new_memory_and_a_fork_a_copy() {
        let mut memories = Memories::default();
        memories.begin(1, Memory::new(true));
        memories.get_mut(1).heap.add(16, 8, [1].into());
        memories.fork(1, 2, true);
        memories.begin(2, Memory::new(true));
        assert_eq!((blocks(&memories, 1), blocks(&memories, 2)), (1, 0));
        memories.fork(1, 3, false);
        memories.get_mut(3).heap.add(32, 8, [1].into());
        assert_eq!((blocks(&memories, 1), blocks(&memories, 3)), (1, 2));
        let rest: Vec<Pid> = memories.into_rest().map(|(pid, _)| pid).collect();
        assert_eq!(rest, [1, 2, 3]);
    }
}
