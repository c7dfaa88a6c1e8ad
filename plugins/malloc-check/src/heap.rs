//! What a process has allocated.

use std::collections::BTreeMap;
use std::rc::Rc;

/// Return addresses, innermost first.
pub(crate) type Stack = Rc<[u64]>;

/// A block that is in use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) size: u64,
    pub(crate) stack: Stack,
    /// Allocated by this process and not by the one that it was forked from.
    own: bool,
}

/// What is wrong with an address that is freed.
#[derive(Debug, PartialEq)]
pub(crate) enum Bad {
    /// It was freed before, from there.
    Twice(Stack),
    /// Nobody has allocated it.
    Unknown,
}

/// Freed blocks that are remembered: a program that goes on for ever must not
/// fill the plugin's memory.
const MOST_FREED: usize = 20_000;

/// The blocks of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heap {
    live: BTreeMap<u64, Block>,
    freed: BTreeMap<u64, Stack>,
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
        let own = true;
        self.live.insert(addr, Block { size, stack, own });
    }

    /// A block that moved to nowhere is where it was.
    pub(crate) fn put_back(&mut self, addr: u64, block: Block) {
        self.freed.remove(&addr);
        self.live.insert(addr, block);
    }

    /// Takes a block out. `Err` when that is a mistake.
    pub(crate) fn free(&mut self, addr: u64, stack: Stack) -> Result<Option<Block>, Bad> {
        if let Some(block) = self.live.remove(&addr) {
            if self.freed.len() >= MOST_FREED {
                self.freed.clear();
            }
            self.freed.insert(addr, stack);
            return Ok(Some(block));
        }
        match self.freed.get(&addr) {
            Some(before) => Err(Bad::Twice(Rc::clone(before))),
            None if self.whole => Err(Bad::Unknown),
            None => Ok(None),
        }
    }

    /// Blocks and bytes that were not freed, by where they were allocated; the
    /// most bytes first.
    pub(crate) fn leaks(&self) -> Vec<(Stack, u64, u64)> {
        let mut by_stack: BTreeMap<&Stack, (u64, u64)> = BTreeMap::new();
        for block in self.live.values().filter(|block| block.own) {
            let (blocks, bytes) = by_stack.entry(&block.stack).or_default();
            *blocks += 1;
            *bytes += block.size;
        }
        let mut leaks: Vec<_> = by_stack
            .into_iter()
            .map(|(stack, (blocks, bytes))| (Rc::clone(stack), blocks, bytes))
            .collect();
        leaks.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        leaks
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
        assert!(heap.free(16, stack(2)).unwrap().is_some());
        assert_eq!(heap.free(16, stack(3)), Err(Bad::Twice(stack(2))));
        heap.add(16, 9, stack(4));
        assert!(heap.free(16, stack(5)).is_ok());
        assert_eq!(heap.free(32, stack(6)), Err(Bad::Unknown));
        assert_eq!(Heap::new(false).free(32, stack(6)), Ok(None));
    }

    #[test]
    fn leaks_are_added_up_and_the_parent_s_are_its_own() {
        let mut heap = Heap::new(true);
        heap.add(16, 8, stack(1));
        heap.add(32, 8, stack(1));
        heap.add(48, 100, stack(2));
        let leaks = [(stack(2), 1, 100), (stack(1), 2, 16)];
        assert_eq!(heap.leaks(), leaks);
        let mut child = heap.fork();
        assert_eq!(child.leaks(), []);
        child.add(64, 1, stack(3));
        assert_eq!(child.leaks(), [(stack(3), 1, 1)]);
    }
}
