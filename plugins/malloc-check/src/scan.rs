//! Reads the memory of a process that is about to end.

use pai_plugin::{Client, Pid, Result};

use crate::State;
use crate::heap::Heap;
use crate::reach::{self, Graph, Memory};
use crate::roots;

/// Most bytes of one process that are looked through.
const MOST: u64 = 1 << 30;
/// Bytes of a root that are read at once.
const PIECE: u64 = 1 << 20;
/// After so many bytes others get their turn: the time of a plugin between two events
/// is limited.
const TURN: u64 = 16 << 20;

/// What a process had in use at its end.
pub(crate) struct Seen {
    /// By block, in the order of their addresses.
    pub(crate) states: Vec<reach::State>,
    /// Bytes that could not be looked at, or were too many.
    pub(crate) unread: u64,
}

/// Registers of a task at its end.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    pub(crate) sp: u64,
    pub(crate) values: Vec<u64>,
}

/// Tells the blocks that a process can reach from those that it cannot. One of its tasks
/// has to be held. `ended`: registers of its tasks; `allocators`: modules with
/// allocators.
pub(crate) fn scan(
    client: &mut Client<State>,
    pid: Pid,
    heap: &Heap,
    ended: &[Registers],
    allocators: &[std::ops::Range<u64>],
) -> Result<Seen> {
    let blocks = heap.blocks().map(|(addr, block)| (addr, block.size));
    let mut graph = Graph::new(blocks.collect());
    for registers in ended {
        let bytes = registers
            .values
            .iter()
            .flat_map(|value| value.to_le_bytes());
        graph.root(0, &bytes.collect::<Vec<_>>(), false);
    }
    let maps = client.maps(pid)?;
    let stacks: Vec<u64> = ended.iter().map(|registers| registers.sp).collect();
    let mut reader = Reader {
        client,
        pid,
        done: 0,
        turn: 0,
        unread: 0,
    };
    for root in roots::find(&maps, heap.used(), &stacks, allocators) {
        let mut at = root.range.start;
        while at < root.range.end {
            let len = PIECE.min(root.range.end - at);
            let range = (at, u32::try_from(len).unwrap_or(u32::MAX));
            for bytes in reader.read(&[range])? {
                graph.root(at, &bytes, root.allocators);
            }
            at += len;
        }
        // Before larger roots, for which there may be no time.
        graph.follow(&mut reader)?;
    }
    // What only registers lead to.
    graph.follow(&mut reader)?;
    graph.finish(&mut reader)?;
    Ok(Seen {
        states: graph.states,
        unread: reader.unread,
    })
}

struct Reader<'a> {
    client: &'a mut Client<State>,
    pid: Pid,
    /// Bytes that were asked for.
    done: u64,
    /// Of these since others had their turn.
    turn: u64,
    unread: u64,
}

impl Memory for Reader<'_> {
    type Error = pai_plugin::Error;

    fn read(&mut self, ranges: &[(u64, u32)]) -> Result<Vec<Vec<u8>>> {
        let bytes: u64 = ranges.iter().map(|(_, len)| u64::from(*len)).sum();
        self.done += bytes;
        self.turn += bytes;
        if self.done > MOST {
            self.unread += bytes;
            return Ok(vec![Vec::new(); ranges.len()]);
        }
        if self.turn > TURN {
            self.turn = 0;
            take_turns(self.client)?;
        }
        let mut pieces = Vec::with_capacity(ranges.len());
        let results = self.client.read_many(self.pid, ranges)?;
        for (result, (addr, len)) in results.into_iter().zip(ranges) {
            let piece = match result {
                Ok(bytes) => bytes,
                // A page of it is not there: a file has become shorter.
                Err(_) => self
                    .client
                    .read_some(self.pid, *addr, *len as usize)
                    .unwrap_or_default(),
            };
            self.unread += u64::from(*len) - piece.len() as u64;
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

/// Serves what has happened elsewhere, and asks for more time by that.
pub(crate) fn take_turns(client: &mut Client<State>) -> Result<()> {
    // Another process may end meanwhile, but not in ever deeper calls.
    if std::mem::replace(&mut client.data_mut().busy, true) {
        return Ok(());
    }
    let served = client.run_until_timeout(0, |_| true);
    client.data_mut().busy = false;
    served.map(drop)
}
