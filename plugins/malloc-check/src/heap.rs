//! What a process has allocated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use crate::ranges::Ranges;

/// Return addresses, innermost first.
pub(crate) type Stack = Rc<[u64]>;

/// Each stack once: most blocks are allocated from few places.
#[derive(Default)]
pub(crate) struct Stacks {
    known: BTreeSet<Stack>,
    /// When there are so many, those that no block has any more are dropped.
    prune_at: usize,
}

impl Stacks {
    const FEW: usize = 4096;

    pub(crate) fn one(&mut self, addrs: &[u64]) -> Stack {
        if let Some(stack) = self.known.get(addrs) {
            return Rc::clone(stack);
        }
        if self.known.len() >= self.prune_at.max(Self::FEW) {
            self.known.retain(|stack| Rc::strong_count(stack) > 1);
            self.prune_at = self.known.len() * 2;
        }
        let stack = Stack::from(addrs);
        self.known.insert(Rc::clone(&stack));
        stack
    }
}

/// A block that is in use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) size: u64,
    pub(crate) stack: Stack,
    /// Allocated by this process and not by the one that it was forked from.
    pub(crate) own: bool,
}

/// A block that was freed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Freed {
    pub(crate) size: u64,
    /// Who has allocated it.
    pub(crate) allocated: Stack,
    /// Who has freed it.
    pub(crate) freed: Stack,
    /// Its place in the history.
    number: u64,
}

/// What is wrong with an address that is freed.
#[derive(Debug, PartialEq)]
pub(crate) enum Bad {
    /// It was freed before.
    Twice(Freed),
    /// It is in memory that was allocated at some time, but no block begins there.
    NoBlock,
    /// Nobody has allocated it.
    Unknown,
}

/// Freed blocks that are remembered: a program that goes on for ever must not
/// fill the plugin's memory.
const MOST_FREED: usize = 20_000;

/// From this size on blocks may be mappings of their own, which are unmapped when
/// they are freed (M_MMAP_THRESHOLD, mallopt(3), which may grow and be set lower).
const MAY_BE_MAPPED: u64 = 64 << 10;

/// The blocks of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heap {
    live: BTreeMap<u64, Block>,
    freed: BTreeMap<u64, Freed>,
    /// Addresses that were freed, in order.
    history: VecDeque<(u64, u64)>,
    frees: u64,
    /// Memory that is, or was, in a block.
    used: Ranges,
    /// Its life was seen from the start: what is not here was never allocated.
    whole: bool,
}

impl Heap {
    pub(crate) fn new(whole: bool) -> Self {
        Self {
            whole,
            ..Self::default()
        }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What a child begins with.
    pub(crate) fn fork(&self) -> Self {
        let mut copy = self.clone();
        for block in copy.live.values_mut() {
            block.own = false;
        }
        copy
    }

    pub(crate) fn add(&mut self, addr: u64, size: u64, stack: Stack) {
        self.freed.remove(&addr);
        self.used.add(addr, addr.saturating_add(size.max(1)));
        let own = true;
        self.live.insert(addr, Block { size, stack, own });
    }

    /// A block that moved to nowhere is where it was.
    pub(crate) fn put_back(&mut self, addr: u64, block: Block) {
        self.live.insert(addr, block);
    }

    /// Takes a block out that is freed, or moved. `Err` when that is a mistake.
    pub(crate) fn take(&mut self, addr: u64) -> Result<Option<Block>, Bad> {
        if let Some(block) = self.live.remove(&addr) {
            return Ok(Some(block));
        }
        match self.freed.get(&addr) {
            Some(before) => Err(Bad::Twice(before.clone())),
            None if !self.whole => Ok(None),
            None if self.used.contains(addr) => Err(Bad::NoBlock),
            None => Err(Bad::Unknown),
        }
    }

    /// Remembers who has freed a block that was taken out.
    pub(crate) fn note_free(&mut self, addr: u64, block: Block, by: Stack) {
        if block.size >= MAY_BE_MAPPED {
            self.used.remove(addr, addr.saturating_add(block.size));
        }
        // Another task may have it already.
        if self.live.contains_key(&addr) {
            return;
        }
        let number = self.frees;
        self.frees += 1;
        let freed = Freed {
            size: block.size,
            allocated: block.stack,
            freed: by,
            number,
        };
        self.freed.insert(addr, freed);
        self.history.push_back((addr, number));
        if self.history.len() > MOST_FREED
            && let Some((addr, number)) = self.history.pop_front()
            && self.freed.get(&addr).is_some_and(|f| f.number == number)
        {
            self.freed.remove(&addr);
        }
    }

    /// Blocks in use, by address.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.live.iter().map(|(addr, block)| (*addr, block))
    }

    /// Whether this process has blocks in use that are its own.
    pub(crate) fn has_own(&self) -> bool {
        self.live.values().any(|block| block.own)
    }

    /// Memory that is, or was, in a block.
    pub(crate) fn used(&self) -> &Ranges {
        &self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(addr: u64) -> Stack {
        Rc::from([addr])
    }

    #[test]
    fn each_block_is_freed_once() {
        let mut heap = Heap::new(true);
        heap.add(16, 8, stack(1));
        let block = heap.take(16).unwrap().unwrap();
        heap.note_free(16, block, stack(2));
        let Err(Bad::Twice(before)) = heap.take(16) else {
            panic!("it was freed");
        };
        assert_eq!((before.size, before.freed), (8, stack(2)));
        assert_eq!(before.allocated, stack(1));
        heap.add(16, 9, stack(4));
        assert_eq!(heap.take(20), Err(Bad::NoBlock));
        assert!(heap.take(16).is_ok());
        assert_eq!(heap.take(320), Err(Bad::Unknown));
        assert_eq!(Heap::new(false).take(32), Ok(None));
    }

    #[test]
    fn the_history_is_bounded() {
        let mut heap = Heap::new(true);
        for number in 0..MOST_FREED as u64 + 2 {
            let addr = 0x1000 + number * 32;
            heap.add(addr, 24, stack(1));
            let block = heap.take(addr).unwrap().unwrap();
            heap.note_free(addr, block, stack(2));
        }
        assert_eq!(heap.freed.len(), MOST_FREED);
        assert_eq!(heap.take(0x1000), Err(Bad::NoBlock));
        assert!(matches!(heap.take(0x1040), Err(Bad::Twice(_))));
    }

    #[test]
    fn a_child_has_no_blocks_of_its_own() {
        let mut heap = Heap::new(true);
        heap.add(16, 8, stack(1));
        assert!(heap.has_own());
        let mut child = heap.fork();
        assert!(!child.has_own());
        assert_eq!(child.blocks().count(), 1);
        child.add(64, 1, stack(3));
        assert!(child.has_own());
    }

    #[test]
    fn stacks_are_kept_once() {
        let mut stacks = Stacks::default();
        let one = stacks.one(&[1, 2]);
        assert!(Rc::ptr_eq(&one, &stacks.one(&[1, 2])));
        for addr in 0..Stacks::FEW as u64 {
            stacks.one(&[addr]);
        }
        assert!(stacks.known.len() <= 2, "{}", stacks.known.len());
        assert!(stacks.known.contains(&one));
    }
}
