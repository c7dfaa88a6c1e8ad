//! What the user is told.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use pai_plugin::json::Object;
use pai_plugin::output::{emit, structured};
use pai_plugin::{Client, ErrorKind, Pid, Result};

use crate::State;
use crate::heap::{Bad, Block, Heap, Stack};
use crate::reach;
use crate::scan::{Seen, take_turns};

/// A number of blocks and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Total {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

impl Total {
    fn add(&mut self, other: Total) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let blocks = counted(self.blocks, "block");
        write!(f, "{blocks}, {}", counted(self.bytes, "byte"))
    }
}

/// A number of things.
fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// What was in use when processes ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Processes that were looked at, and others.
    pub(crate) seen: u64,
    pub(crate) unseen: u64,
    pub(crate) lost: Total,
    pub(crate) indirect: Total,
    pub(crate) reachable: Total,
    /// Of processes that nobody could look at.
    pub(crate) unknown: Total,
}

impl Totals {
    fn of(&mut self, state: reach::State) -> &mut Total {
        match state {
            reach::State::Lost => &mut self.lost,
            reach::State::Indirect => &mut self.indirect,
            reach::State::Reachable => &mut self.reachable,
            reach::State::Unknown => &mut self.unknown,
        }
    }

    pub(crate) fn add(&mut self, other: &Totals) {
        self.seen += other.seen;
        self.unseen += other.unseen;
        self.lost.add(other.lost);
        self.indirect.add(other.indirect);
        self.reachable.add(other.reachable);
        self.unknown.add(other.unknown);
    }

    fn is_zero(&self) -> bool {
        let all = [self.lost, self.indirect, self.reachable, self.unknown];
        all.iter().all(|total| total.blocks == 0)
    }

    fn numbers(&self, object: Object) -> Object {
        let totals = [
            ("lost_blocks", "lost_bytes", self.lost),
            ("indirect_blocks", "indirect_bytes", self.indirect),
            ("reachable_blocks", "reachable_bytes", self.reachable),
            ("unknown_blocks", "unknown_bytes", self.unknown),
        ];
        let numbers = |object: Object, (blocks, bytes, total): (&str, &str, Total)| {
            object
                .number(blocks, total.blocks)
                .number(bytes, total.bytes)
        };
        totals.into_iter().fold(object, numbers)
    }
}

/// Names of addresses of one process, each asked for once.
struct Places {
    pid: Pid,
    known: BTreeMap<u64, Rc<str>>,
}

/// Names that are asked for before others get their turn.
const TURN: usize = 200;

impl Places {
    fn new(pid: Pid) -> Self {
        Self {
            pid,
            known: BTreeMap::new(),
        }
    }

    fn texts(&mut self, client: &mut Client<State>, stack: &[u64]) -> Result<Vec<Rc<str>>> {
        let mut texts = Vec::with_capacity(stack.len());
        for addr in stack {
            if let Some(text) = self.known.get(addr) {
                texts.push(Rc::clone(text));
                continue;
            }
            if self.known.len() % TURN == TURN - 1 {
                take_turns(client)?;
            }
            let text = place(client, self.pid, *addr)?;
            self.known.insert(*addr, Rc::clone(&text));
            texts.push(text);
        }
        Ok(texts)
    }

    fn lines(&mut self, client: &mut Client<State>, stack: &[u64]) -> Result<String> {
        let texts = self.texts(client, stack)?;
        Ok(texts.iter().map(|text| format!("    {text}\n")).collect())
    }
}

/// The function that an address to return to is in, and the line of the call.
fn place(client: &Client<State>, pid: Pid, addr: u64) -> Result<Rc<str>> {
    let call = addr.saturating_sub(1);
    let mut text = match unless_gone(client.resolve(pid, call))?.flatten() {
        Some(at) if !at.symbol.name.is_empty() => {
            let name = at.symbol.demangled.as_ref().unwrap_or(&at.symbol.name);
            format!("{name}+{:#x}", at.offset + 1)
        }
        _ => format!("{addr:#x}"),
    };
    let line = unless_gone(client.locate(pid, call))?;
    let line = line.and_then(|lines| lines.into_iter().next());
    if let Some((file, line)) = line.and_then(|source| Some((source.file?, source.line?))) {
        text.push_str(&format!(" ({file}:{line})"));
    }
    Ok(Rc::from(text))
}

/// A process may be killed while it is looked at, and its debug information may be
/// damaged.
pub(crate) fn unless_gone<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::NoSuchProcess(_) | ErrorKind::Invalid(_) | ErrorKind::Limit(_) => Ok(None),
            _ => Err(error),
        },
    }
}

/// A mistake, as it happens.
pub(crate) fn complain(
    client: &mut Client<State>,
    pid: Pid,
    addr: u64,
    bad: &Bad,
    at: &[u64],
) -> Result<()> {
    client.data_mut().errors += 1;
    let what = match bad {
        Bad::Twice(_) => "freed twice",
        Bad::NoBlock => "freed, and no block begins there",
        Bad::Unknown => "freed, and was never allocated",
    };
    let before = match bad {
        Bad::Twice(before) => Some(before),
        Bad::NoBlock | Bad::Unknown => None,
    };
    let mut places = Places::new(pid);
    if structured() {
        let mut json = Object::new()
            .number("pid", pid)
            .number("addr", addr)
            .text("what", what)
            .texts("stack", places.texts(client, at)?);
        if let Some(before) = before {
            json = json
                .number("size", before.size)
                .texts("freed", places.texts(client, &before.freed)?)
                .texts("allocated", places.texts(client, &before.allocated)?);
        }
        return emit("error", &json.end());
    }
    let lines = places.lines(client, at)?;
    pai_plugin::print!("{pid}: {addr:#x} is {what}\n{lines}");
    if let Some(before) = before {
        let lines = places.lines(client, &before.freed)?;
        pai_plugin::print!("  it was freed before\n{lines}");
        let lines = places.lines(client, &before.allocated)?;
        pai_plugin::print!("  its {} bytes were allocated\n{lines}", before.size);
    }
    Ok(())
}

/// Blocks that were allocated at one place and are in one state; what is lost first,
/// and the most bytes.
fn grouped<'a>(
    blocks: impl Iterator<Item = (&'a Block, reach::State)>,
) -> Vec<(reach::State, Stack, Total)> {
    let mut groups: BTreeMap<(reach::State, &Stack), Total> = BTreeMap::new();
    for (block, state) in blocks.filter(|(block, _)| block.own) {
        let group = groups.entry((state, &block.stack)).or_default();
        group.add(Total {
            blocks: 1,
            bytes: block.size,
        });
    }
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|((state, stack), total)| (state, Rc::clone(stack), total))
        .collect();
    groups.sort_by_key(|(state, _, total)| (*state, Reverse(total.bytes)));
    groups
}

/// What a process had in use at its end.
pub(crate) fn tell(client: &mut Client<State>, pid: Pid, heap: &Heap, seen: &Seen) -> Result<()> {
    let blocks = heap.blocks().map(|(_, block)| block);
    let groups = grouped(blocks.zip(seen.states.iter().copied()));
    let mut totals = Totals {
        seen: 1,
        ..Totals::default()
    };
    let mut places = Places::new(pid);
    for (state, stack, total) in &groups {
        totals.of(*state).add(*total);
        let what = match state {
            reach::State::Lost => "definitely lost",
            reach::State::Indirect => "indirectly lost",
            reach::State::Reachable if client.data().list_reachable => "still reachable",
            reach::State::Reachable | reach::State::Unknown => continue,
        };
        if structured() {
            let json = Object::new()
                .number("pid", pid)
                .text("what", what)
                .number("blocks", total.blocks)
                .number("bytes", total.bytes)
                .texts("stack", places.texts(client, stack)?);
            emit("leak", &json.end())?;
        } else {
            let lines = places.lines(client, stack)?;
            pai_plugin::print!("{pid}: {total} are {what}\n{lines}");
        }
    }
    summary(client.data_mut(), pid, &totals, seen.unread)
}

/// What was in use in a process that nobody could look at: it was killed, or goes on
/// without being traced.
pub(crate) fn tell_unknown(state: &mut State, pid: Pid, heap: &Heap) -> Result<()> {
    let mut totals = Totals {
        unseen: 1,
        ..Totals::default()
    };
    for (_, block) in heap.blocks().filter(|(_, block)| block.own) {
        totals.unknown.add(Total {
            blocks: 1,
            bytes: block.size,
        });
    }
    summary(state, pid, &totals, 0)?;
    if !structured() && totals.unknown.blocks > 0 {
        let since = if heap.is_whole() {
            ""
        } else {
            " that were allocated since the attach"
        };
        let unknown = totals.unknown;
        pai_plugin::println!(
            "{pid}: {unknown}{since} were in use, and its memory was not looked at"
        );
    }
    Ok(())
}

fn summary(state: &mut State, pid: Pid, totals: &Totals, unread: u64) -> Result<()> {
    state.totals.add(totals);
    if totals.is_zero() {
        return Ok(());
    }
    if structured() {
        let json = totals.numbers(Object::new().number("pid", pid));
        return emit("summary", &json.number("unread_bytes", unread).end());
    }
    let Totals {
        lost,
        indirect,
        reachable,
        unseen,
        ..
    } = totals;
    if *unseen > 0 {
        return Ok(());
    }
    pai_plugin::println!(
        "{pid}: definitely lost: {lost}; indirectly lost: {indirect}; still reachable: {reachable}"
    );
    if unread > 0 {
        pai_plugin::println!(
            "{pid}: {} were not looked at: what is lost may be reachable from there",
            counted(unread, "byte")
        );
    }
    Ok(())
}

/// The last line.
pub(crate) fn total(errors: u64, totals: &Totals) -> Result<()> {
    if structured() {
        let json = totals.numbers(Object::new().number("errors", errors));
        return emit("total", &json.end());
    }
    let mut lost = totals.lost;
    lost.add(totals.indirect);
    pai_plugin::print!("{}", counted(errors, "error"));
    // Of what nobody has looked at nothing is said.
    if totals.seen > 0 || totals.unseen == 0 {
        let reachable = totals.reachable;
        pai_plugin::print!("; {lost} are lost; {reachable} are still reachable");
    }
    if totals.unknown.blocks > 0 || totals.seen == 0 && totals.unseen > 0 {
        let unknown = totals.unknown;
        pai_plugin::print!("; {unknown} were in use, and not looked at");
    }
    pai_plugin::println!();
    Ok(())
}
