//! Who wants to hear of what: the union of all subscriptions as bit masks, so
//! that a stop costs one look-up whatever the number of clients.

use std::collections::BTreeMap;

use pai_ptrace::{Signal, Tid};
use pai_syscalls::decode::Limits;

use crate::error::Error;
use crate::event::SyscallId;
use crate::task::InSyscall;

/// Most clients in one session: the bits of a [`ClientMask`].
pub const MAX_CLIENTS: usize = 64;

/// Position of a client in load order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub(crate) u8);

impl ClientId {
    /// Position in load order, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of clients.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct ClientMask(u64);

impl ClientMask {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, client: ClientId) -> bool {
        self.0 & (1 << client.0) != 0
    }

    pub(crate) fn insert(&mut self, client: ClientId) {
        self.0 |= 1 << client.0;
    }

    pub(crate) fn remove(&mut self, client: ClientId) {
        self.0 &= !(1 << client.0);
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The first in load order.
    pub(crate) fn first(self) -> Option<ClientId> {
        (self.0 != 0).then(|| ClientId((self.0.trailing_zeros() & 63) as u8))
    }

    pub(crate) fn iter(mut self) -> impl Iterator<Item = ClientId> {
        std::iter::from_fn(move || {
            let first = self.first()?;
            self.remove(first);
            Some(first)
        })
    }
}

/// Which system calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SyscallSet {
    /// Every one, also unknown ones.
    All,
    /// These.
    Only(Vec<SyscallId>),
    /// Every one but these.
    Except(Vec<SyscallId>),
}

impl SyscallSet {
    /// The calls of these names, in every ABI that has them.
    ///
    /// # Errors
    /// `NotFound` for a name that no ABI has.
    pub fn ids<S: AsRef<str>>(names: &[S]) -> Result<Vec<SyscallId>, Error> {
        let mut ids = Vec::new();
        for name in names {
            let name = name.as_ref();
            let before = ids.len();
            for abi in [pai_syscalls::abi::X86_64, pai_syscalls::abi::I386] {
                if let Some(nr) = pai_syscalls::number(abi, name) {
                    ids.push(SyscallId { abi, nr });
                }
            }
            if ids.len() == before {
                return Err(Error::NotFound(format!("no system call named {name:?}")));
            }
        }
        Ok(ids)
    }

    /// Of a set in order.
    fn has(&self, call: SyscallId) -> bool {
        match self {
            SyscallSet::All => true,
            SyscallSet::Only(ids) => ids.binary_search(&call).is_ok(),
            SyscallSet::Except(ids) => ids.binary_search(&call).is_err(),
        }
    }
}

/// A wish for system calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyscallFilter {
    /// Which.
    pub which: SyscallSet,
    /// At entry.
    pub enter: bool,
    /// At exit.
    pub exit: bool,
    /// Only of these tasks; empty means all.
    pub tasks: Vec<Tid>,
    /// Capture what their arguments lead to, up to these limits.
    pub capture: Option<Limits>,
}

impl SyscallFilter {
    /// Of all tasks, and no more than the calls themselves.
    pub fn new(which: SyscallSet, enter: bool, exit: bool) -> Self {
        Self {
            which,
            enter,
            exit,
            tasks: Vec::new(),
            capture: None,
        }
    }
}

/// Something to be told about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topic {
    /// System calls.
    Syscalls(SyscallFilter),
    /// Signals; empty means all.
    Signals(Vec<Signal>),
    /// The same without siginfo and the instruction pointer, which are two more requests
    /// for each; they are there all the same when another client wants them.
    SignalNumbers(Vec<Signal>),
    /// Starts and ends of tasks.
    Tasks,
    /// New processes.
    Forks,
    /// Execs.
    Execs,
    /// Group-stops and their ends.
    JobControl,
    /// Stops without an event of their own.
    AllStops,
}

impl Topic {
    /// With its lists in order and everything once, however a client has put it: they
    /// are looked at for each stop.
    pub(crate) fn in_order(mut self) -> Self {
        if let Topic::Syscalls(filter) = &mut self {
            if let SyscallSet::Only(ids) | SyscallSet::Except(ids) = &mut filter.which {
                ids.sort_unstable();
                ids.dedup();
            }
            filter.tasks.sort_unstable();
            filter.tasks.dedup();
        }
        self
    }
}

/// Which end of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edge {
    Enter,
    Exit,
}

/// Calls with a number from here on have no slot of their own: no ABI that we
/// name goes that far.
pub(crate) const SLOTS: usize = 1024;

#[derive(Debug)]
struct CallMasks {
    /// By number, x86_64 and i386.
    slots: [Vec<ClientMask>; 2],
    /// Everything else: unknown numbers and other ABIs.
    rest: ClientMask,
}

fn slot_of(call: SyscallId) -> Option<(usize, usize)> {
    let table = match call.abi {
        pai_syscalls::abi::X86_64 => 0,
        pai_syscalls::abi::I386 => 1,
        _ => return None,
    };
    let nr = usize::try_from(call.nr).ok()?;
    (nr < SLOTS).then_some((table, nr))
}

impl CallMasks {
    fn new() -> Self {
        let empty = vec![ClientMask::NONE; SLOTS];
        Self {
            slots: [empty.clone(), empty],
            rest: ClientMask::NONE,
        }
    }

    fn get(&self, call: SyscallId) -> ClientMask {
        match slot_of(call) {
            Some((table, nr)) => self.slots[table][nr],
            None => self.rest,
        }
    }

    fn clear(&mut self) {
        for table in &mut self.slots {
            table.fill(ClientMask::NONE);
        }
        self.rest = ClientMask::NONE;
    }

    /// Adds a client; a client with two wishes for one call is wanted by
    /// either, so `Except` takes nothing away again.
    fn add(&mut self, client: ClientId, set: &SyscallSet) {
        match set {
            SyscallSet::Only(ids) => {
                for id in ids {
                    match slot_of(*id) {
                        Some((table, nr)) => self.slots[table][nr].insert(client),
                        None => self.rest.insert(client),
                    }
                }
            }
            SyscallSet::All => self.add_all_but(client, &[]),
            SyscallSet::Except(ids) => self.add_all_but(client, ids),
        }
    }

    fn add_all_but(&mut self, client: ClientId, ids: &[SyscallId]) {
        let mut unwanted = [[false; SLOTS]; 2];
        for (table, nr) in ids.iter().copied().filter_map(slot_of) {
            unwanted[table][nr] = true;
        }
        for (slots, unwanted) in self.slots.iter_mut().zip(unwanted) {
            for (slot, unwanted) in slots.iter_mut().zip(unwanted) {
                if !unwanted {
                    slot.insert(client);
                }
            }
        }
        self.rest.insert(client);
    }
}

/// The wishes of one client.
pub(crate) type Subscriptions = BTreeMap<u64, Topic>;

/// The union of all wishes.
#[derive(Debug)]
pub(crate) struct Table {
    enter: CallMasks,
    exit: CallMasks,
    capture: CallMasks,
    /// The union of what is to be captured.
    pub(crate) limits: Limits,
    /// Clients that capture the stack.
    pub(crate) frames: ClientMask,
    signals: [ClientMask; 65],
    /// Clients that want to know more of some signal than its number.
    pub(crate) siginfo: ClientMask,
    pub(crate) plain: PlainMasks,
    /// Some client wants some system call.
    pub(crate) any_syscall: bool,
    /// Clients whose wishes name tasks, or numbers without a slot: their mask
    /// bit means "perhaps", and [`wants_syscall`] decides.
    pub(crate) picky: ClientMask,
}

/// Topics that have no filter.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct PlainMasks {
    pub(crate) tasks: ClientMask,
    pub(crate) forks: ClientMask,
    pub(crate) execs: ClientMask,
    pub(crate) job_control: ClientMask,
    pub(crate) all_stops: ClientMask,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            enter: CallMasks::new(),
            exit: CallMasks::new(),
            capture: CallMasks::new(),
            limits: Limits::NONE,
            frames: ClientMask::NONE,
            signals: [ClientMask::NONE; 65],
            siginfo: ClientMask::NONE,
            plain: PlainMasks::default(),
            any_syscall: false,
            picky: ClientMask::NONE,
        }
    }

    /// Makes the table anew from all clients' wishes.
    pub(crate) fn rebuild<'a>(
        &mut self,
        clients: impl Iterator<Item = (ClientId, &'a Subscriptions)>,
    ) {
        self.enter.clear();
        self.exit.clear();
        self.capture.clear();
        self.limits = Limits::NONE;
        self.frames = ClientMask::NONE;
        self.signals.fill(ClientMask::NONE);
        self.siginfo = ClientMask::NONE;
        self.plain = PlainMasks::default();
        self.any_syscall = false;
        self.picky = ClientMask::NONE;
        for (client, wishes) in clients {
            for topic in wishes.values() {
                self.add(client, topic);
            }
        }
    }

    /// Adds a wish. What there is of others stays.
    pub(crate) fn add(&mut self, client: ClientId, topic: &Topic) {
        match topic {
            Topic::Syscalls(filter) => {
                self.any_syscall |= filter.enter || filter.exit;
                if filter.enter {
                    self.enter.add(client, &filter.which);
                }
                if filter.exit {
                    self.exit.add(client, &filter.which);
                }
                if let Some(limits) = filter.capture {
                    self.capture.add(client, &filter.which);
                    self.limits = self.limits.or(limits);
                    if limits.frames > 0 {
                        self.frames.insert(client);
                    }
                }
                let odd = |ids: &[SyscallId]| ids.iter().any(|id| slot_of(*id).is_none());
                let outside = match &filter.which {
                    SyscallSet::All => false,
                    SyscallSet::Only(ids) | SyscallSet::Except(ids) => odd(ids),
                };
                if outside || !filter.tasks.is_empty() {
                    self.picky.insert(client);
                }
            }
            Topic::Signals(signals) => {
                self.siginfo.insert(client);
                self.add_signals(client, signals);
            }
            Topic::SignalNumbers(signals) => self.add_signals(client, signals),
            Topic::Tasks => self.plain.tasks.insert(client),
            Topic::Forks => self.plain.forks.insert(client),
            Topic::Execs => self.plain.execs.insert(client),
            Topic::JobControl => self.plain.job_control.insert(client),
            Topic::AllStops => self.plain.all_stops.insert(client),
        }
    }

    fn add_signals(&mut self, client: ClientId, signals: &[Signal]) {
        if signals.is_empty() {
            for mask in &mut self.signals {
                mask.insert(client);
            }
        }
        for signal in signals {
            if let Some(mask) = self.signal_slot(*signal) {
                mask.insert(client);
            }
        }
    }

    fn signal_slot(&mut self, signal: Signal) -> Option<&mut ClientMask> {
        self.signals.get_mut(usize::try_from(signal.get()).ok()?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> ClientMask {
        usize::try_from(signal.get())
            .ok()
            .and_then(|n| self.signals.get(n))
            .copied()
            .unwrap_or_default()
    }

    /// Whether some client wants, or perhaps wants, this call.
    pub(crate) fn wants(&self, call: SyscallId) -> bool {
        !self.enter.get(call).or(self.exit.get(call)).is_empty()
    }

    /// The same of calls that have no slot.
    pub(crate) fn wants_rest(&self) -> bool {
        !self.enter.rest.or(self.exit.rest).is_empty()
    }

    /// The same of both ends of every call.
    pub(crate) fn wants_all(&self) -> bool {
        let all = |masks: &CallMasks| {
            let mut slots = masks.slots.iter().flatten();
            slots.all(|mask| !mask.is_empty())
        };
        all(&self.exit)
    }

    /// The same of the exit of a call that was entered.
    pub(crate) fn wants_exit(&self, entered: &InSyscall) -> bool {
        let wants = |nr| {
            let call = SyscallId { nr, ..entered.call };
            !self.exit.get(call).is_empty()
        };
        wants(entered.call.nr) || entered.continues.is_some_and(wants)
    }

    /// Clients that want to know what the arguments of this call lead to.
    pub(crate) fn captures(&self, call: SyscallId) -> ClientMask {
        self.capture.get(call)
    }

    /// Clients that want, or perhaps want, this end of this call.
    pub(crate) fn syscall(&self, call: SyscallId, edge: Edge) -> ClientMask {
        match edge {
            Edge::Enter => self.enter.get(call),
            Edge::Exit => self.exit.get(call),
        }
    }
}

/// The full check, for picky clients.
pub(crate) fn wants_syscall(wishes: &Subscriptions, call: SyscallId, edge: Edge, tid: Tid) -> bool {
    wishes.values().any(|topic| match topic {
        Topic::Syscalls(filter) => {
            let edge = match edge {
                Edge::Enter => filter.enter,
                Edge::Exit => filter.exit,
            };
            edge && filter.which.has(call)
                && (filter.tasks.is_empty() || filter.tasks.binary_search(&tid).is_ok())
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClientId = ClientId(0);
    const B: ClientId = ClientId(5);

    fn call(nr: u32) -> SyscallId {
        SyscallId {
            abi: pai_syscalls::abi::X86_64,
            nr,
        }
    }

    fn filter(which: SyscallSet, enter: bool, exit: bool) -> Topic {
        Topic::Syscalls(SyscallFilter::new(which, enter, exit))
    }

    fn table(wishes: &[(ClientId, Topic)]) -> Table {
        let mut table = Table::new();
        let subs: Vec<(ClientId, Subscriptions)> = wishes
            .iter()
            .map(|(c, t)| (*c, Subscriptions::from([(1, t.clone())])))
            .collect();
        table.rebuild(subs.iter().map(|(c, s)| (*c, s)));
        // Twice: nothing may be left over.
        table.rebuild(subs.iter().map(|(c, s)| (*c, s)));
        table
    }

    #[test]
    fn masks_are_the_union() {
        let ids = SyscallSet::ids(&["openat"]).unwrap();
        let table = table(&[
            (A, filter(SyscallSet::Only(ids.clone()), true, false)),
            (B, filter(SyscallSet::All, true, true)),
        ]);
        let masks = |nr, edge| table.syscall(call(nr), edge).iter().collect::<Vec<_>>();
        assert_eq!(masks(257, Edge::Enter), [A, B]);
        assert_eq!(masks(257, Edge::Exit), [B]);
        assert_eq!(masks(0, Edge::Enter), [B]);
        assert_eq!(masks(999_999, Edge::Enter), [B]);
        assert!(table.any_syscall);
        assert!(table.picky.is_empty());
    }

    #[test]
    fn except_takes_only_its_own_away() {
        let ids = SyscallSet::ids(&["read"]).unwrap();
        let table = table(&[(A, filter(SyscallSet::Except(ids), false, true))]);
        assert!(table.syscall(call(0), Edge::Exit).is_empty());
        assert!(table.syscall(call(1), Edge::Exit).has(A));
        assert!(table.syscall(call(1), Edge::Enter).is_empty());
    }

    #[test]
    fn unknown_names_are_refused() {
        assert!(matches!(
            SyscallSet::ids(&["opneat"]),
            Err(Error::NotFound(text)) if text.contains("opneat")
        ));
    }

    #[test]
    fn empty_signal_list_means_all() {
        let table = table(&[(A, Topic::Signals(Vec::new()))]);
        for n in 1..=64 {
            assert!(table.signal(Signal::new(n).unwrap()).has(A));
        }
    }
}
