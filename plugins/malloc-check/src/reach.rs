//! Which blocks a process can still reach.
//!
//! As memcheck and LeakSanitizer do it: every aligned word of the roots, and of
//! what is reached, that looks like an address in a block is a pointer to it.

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Nothing points to it but what is lost with it, in a circle.
    Lost,
    /// Only blocks that are lost point to it.
    Indirect,
    /// The roots lead to it.
    Reachable,
    /// Nobody has come by yet.
    Unknown,
}

/// Bytes of blocks that are asked for at once.
const BATCH: u64 = 1 << 20;
/// Blocks that are asked for at once.
const MOST_AT_ONCE: usize = 1024;
/// Pointers between lost blocks that are kept.
const MOST_EDGES: usize = 1 << 20;

/// Memory that is read piece by piece.
pub(crate) trait Memory {
    type Error;
    /// What could be read of each range: address and length.
    fn read(&mut self, ranges: &[(u64, u32)]) -> Result<Vec<Vec<u8>>, Self::Error>;
}

/// The blocks of a process, ascending, and how they hang together.
pub(crate) struct Graph {
    /// Address and size.
    blocks: Vec<(u64, u64)>,
    pub(crate) states: Vec<State>,
    /// Reached, and not read.
    work: Vec<usize>,
}

impl Graph {
    pub(crate) fn new(blocks: Vec<(u64, u64)>) -> Self {
        Self {
            states: vec![State::Unknown; blocks.len()],
            blocks,
            work: Vec::new(),
        }
    }

    /// The block that an address is in. One of no bytes has its first address.
    fn at(&self, addr: u64) -> Option<usize> {
        let (first, (last, size)) = (self.blocks.first()?.0, *self.blocks.last()?);
        // Most words are no pointers.
        if addr < first || addr > last.saturating_add(size) {
            return None;
        }
        let behind = self.blocks.partition_point(|(start, _)| *start <= addr);
        let at = behind.checked_sub(1)?;
        let (start, size) = self.blocks[at];
        (addr - start < size.max(1)).then_some(at)
    }

    /// Whether an address in a block is what glibc's malloc knows the piece behind it
    /// by: its lists of free pieces, and the end of its memory. A piece begins 16
    /// bytes before what a program gets, of which the first eight may still belong to
    /// the block before (malloc/malloc.c, "struct malloc_chunk").
    fn is_allocators(&self, at: usize, addr: u64) -> bool {
        let (start, size) = self.blocks[at];
        let piece = (size.saturating_add(8).next_multiple_of(16)).max(32);
        addr - start == piece - 16
    }

    /// Memory that the program can reach. With `allocators`, the allocator keeps its
    /// own data there, too.
    pub(crate) fn root(&mut self, addr: u64, bytes: &[u8], allocators: bool) {
        for word in words(addr, bytes) {
            if let Some(at) = self.at(word)
                && !(allocators && self.is_allocators(at, word))
            {
                self.reach(at);
            }
        }
    }

    fn reach(&mut self, at: usize) {
        if self.states[at] == State::Unknown {
            self.states[at] = State::Reachable;
            self.work.push(at);
        }
    }

    /// Follows the pointers in what is reached.
    pub(crate) fn follow<M: Memory>(&mut self, memory: &mut M) -> Result<(), M::Error> {
        while !self.work.is_empty() {
            let from = self.work.len().saturating_sub(MOST_AT_ONCE);
            let some = self.work.split_off(from);
            self.each_word(&some, memory, |graph, _, word| {
                if let Some(at) = graph.at(word) {
                    graph.reach(at);
                }
            })?;
        }
        Ok(())
    }

    /// Tells what is lost from what is lost with it.
    pub(crate) fn finish<M: Memory>(&mut self, memory: &mut M) -> Result<(), M::Error> {
        let left: Vec<usize> = (0..self.blocks.len())
            .filter(|at| self.states[*at] == State::Unknown)
            .collect();
        let mut edges = Vec::new();
        for some in left.chunks(MOST_AT_ONCE) {
            self.each_word(some, memory, |graph, from, word| {
                if let Some(to) = graph.at(word)
                    && to != from
                    && edges.len() < MOST_EDGES
                {
                    edges.push((from, to));
                }
            })?;
        }
        edges.sort_unstable();
        for start in left {
            if self.states[start] != State::Unknown {
                continue;
            }
            self.states[start] = State::Lost;
            let mut open = vec![start];
            while let Some(from) = open.pop() {
                let first = edges.partition_point(|edge| *edge < (from, 0));
                for (_, to) in edges[first..].iter().take_while(|edge| edge.0 == from) {
                    match self.states[*to] {
                        State::Unknown => open.push(*to),
                        // Found before what points to it.
                        State::Lost if *to != start => {}
                        _ => continue,
                    }
                    self.states[*to] = State::Indirect;
                }
            }
        }
        Ok(())
    }

    /// Reads blocks, and hands each word on with the block that it is in.
    fn each_word<M: Memory>(
        &mut self,
        some: &[usize],
        memory: &mut M,
        mut take: impl FnMut(&mut Self, usize, u64),
    ) -> Result<(), M::Error> {
        let mut ranges = Vec::new();
        let mut owners = Vec::new();
        let mut bytes = 0;
        let parts = some.iter().rev().flat_map(|at| {
            let (start, size) = self.blocks[*at];
            let parts = (0..size).step_by(BATCH as usize);
            parts.map(move |from| (*at, start + from, (size - from).min(BATCH)))
        });
        let mut parts: Vec<_> = parts.collect();
        while let Some((at, addr, len)) = parts.pop() {
            ranges.push((addr, u32::try_from(len).unwrap_or(u32::MAX)));
            owners.push(at);
            bytes += len;
            let next = parts.last().map_or(BATCH, |(_, _, len)| *len);
            if bytes + next <= BATCH && !parts.is_empty() {
                continue;
            }
            let pieces = memory.read(&ranges)?;
            for ((piece, (addr, _)), at) in pieces.iter().zip(&ranges).zip(&owners) {
                for word in words(*addr, piece) {
                    take(self, *at, word);
                }
            }
            ranges.clear();
            owners.clear();
            bytes = 0;
        }
        Ok(())
    }
}

/// The aligned words of memory that begins at an address.
fn words(addr: u64, bytes: &[u8]) -> impl Iterator<Item = u64> {
    let skip = (addr.next_multiple_of(8) - addr) as usize;
    let (words, _) = bytes.get(skip..).unwrap_or_default().as_chunks();
    words.iter().map(|word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Indirect, Lost, Reachable};

    /// Words at addresses; everything else is zero.
    struct Words(Vec<(u64, u64)>);

    impl Memory for Words {
        type Error = std::convert::Infallible;

        fn read(&mut self, ranges: &[(u64, u32)]) -> Result<Vec<Vec<u8>>, Self::Error> {
            let one = |(addr, len): &(u64, u32)| {
                let mut bytes = vec![0; *len as usize];
                for (at, word) in &self.0 {
                    if (*addr..*addr + u64::from(*len)).contains(at) {
                        let at = (at - addr) as usize;
                        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
                    }
                }
                bytes
            };
            Ok(ranges.iter().map(one).collect())
        }
    }

    fn states(blocks: &[(u64, u64)], roots: &[u64], words: &[(u64, u64)]) -> Vec<State> {
        let mut graph = Graph::new(blocks.to_vec());
        let bytes: Vec<u8> = roots.iter().flat_map(|word| word.to_le_bytes()).collect();
        graph.root(0x10, &bytes, false);
        let mut memory = Words(words.to_vec());
        let Ok(()) = graph.follow(&mut memory);
        let Ok(()) = graph.finish(&mut memory);
        graph.states
    }

    #[test]
    fn pointers_to_anywhere_in_a_block_count() {
        let blocks = [(0x1000, 24), (0x1020, 24), (0x1040, 0), (0x1050, 16)];
        assert_eq!(
            states(&blocks, &[0x1000, 0x1037, 0x1040, 0x1060], &[]),
            [Reachable, Reachable, Reachable, Lost]
        );
    }

    #[test]
    fn chains_are_followed() {
        let blocks = [(0x1000, 16), (0x2000, 3 << 20), (0x80_0000, 16)];
        let words = [(0x1008, 0x2010), (0x2000 + (2 << 20), 0x80_0000)];
        assert_eq!(
            states(&blocks, &[0x1000], &words),
            [Reachable, Reachable, Reachable]
        );
        assert_eq!(states(&blocks, &[], &words), [Lost, Indirect, Indirect]);
    }

    #[test]
    fn what_is_lost_takes_others_along() {
        // The second points to the first, the third and fourth to each other.
        let blocks = [(0x1000, 16), (0x1020, 16), (0x1040, 16), (0x1060, 16)];
        let words = [(0x1020, 0x1000), (0x1040, 0x1060), (0x1060, 0x1040)];
        assert_eq!(
            states(&blocks, &[], &words),
            [Indirect, Lost, Lost, Indirect]
        );
        // To itself.
        assert_eq!(states(&blocks[..1], &[], &[(0x1008, 0x1000)]), [Lost]);
    }

    #[test]
    fn the_allocator_s_own_pointers_do_not_count() {
        // The piece behind a block of 24 bytes begins in its last eight.
        let mut graph = Graph::new(vec![(0x1010, 24), (0x1050, 40)]);
        let own: Vec<u8> = [0x1020_u64, 0x1070]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        graph.root(0, &own, true);
        assert_eq!(graph.states, [State::Unknown; 2]);
        graph.root(0, &own, false);
        assert_eq!(graph.states, [Reachable; 2]);
    }

    #[test]
    fn words_are_aligned() {
        let bytes: Vec<u8> = (0..24).collect();
        let first = |addr| {
            words(addr, &bytes)
                .map(|word| word & 0xff)
                .collect::<Vec<_>>()
        };
        assert_eq!(first(8), [0, 8, 16]);
        assert_eq!(first(9), [7, 15]);
        assert_eq!(words(1, &bytes[..3]).count(), 0);
    }
}
