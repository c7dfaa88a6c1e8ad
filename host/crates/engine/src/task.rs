//! Tasks and processes of a session.

use std::time::{Duration, Instant};

use pai_ptrace::{Maps, Mem, Options, Pid, Regs, Resume, Running, SigInfo, Signal, Stopped, Tid};
use pai_syscalls::decode::When;

use crate::event::{Event, StopId, SyscallId, Touched};
use crate::operation::Operation;
use crate::sigtrap::OwnTrap;
use crate::space::SpaceId;
use crate::subscription::{ClientId, ClientMask};
use crate::trap_state::TrapState;
use smallvec::SmallVec;

/// What a task is doing, as far as the tracer may know.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be allocated for every stop; there are few tasks"
)]
pub(crate) enum State {
    /// Announced by its creator; its first stop has not been seen.
    Starting,
    /// Runs.
    Running(Running),
    /// In a group-stop that we listen to.
    Listening(Running, Signal),
    /// Stopped before the session starts.
    Parked(Stopped, After),
    /// Stopped and on its way through the clients.
    Held(Held),
    /// Stopped, and in the hands of the engine.
    Engaged,
    /// A request said it is gone; its exit report will come.
    Dying,
}

/// A system call that a task is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InSyscall {
    pub(crate) call: SyscallId,
    pub(crate) args: [u64; 6],
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    /// CLOCK_MONOTONIC nanoseconds, 0 when nobody wanted to know.
    pub(crate) at: u64,
    pub(crate) continues: Option<u32>,
    pub(crate) touched: Touched,
}

/// What has to be undone behind a call that a client, or we, rewrote.
#[derive(Clone, Debug)]
pub(crate) struct Rewritten {
    /// The registers before.
    pub(crate) before: Regs,
    /// The arguments since.
    pub(crate) args: [u64; 6],
    pub(crate) compat: bool,
    /// Eight bytes of memory that were changed too, and what was there.
    pub(crate) memory: Option<(u64, u64)>,
    /// The child that it makes was not to be traced (see [`crate::untraced`]).
    pub(crate) untraced: bool,
    /// What it returns, whatever it does.
    pub(crate) result: Option<i64>,
}

impl Rewritten {
    /// Of a call with these arguments from now on.
    pub(crate) fn new(before: Regs, args: [u64; 6], compat: bool) -> Box<Self> {
        Box::new(Self {
            before,
            args,
            compat,
            memory: None,
            untraced: false,
            result: None,
        })
    }
}

/// What was read for a call.
#[derive(Default, Debug)]
pub(crate) struct Memories {
    /// In the encoding of [`pai_syscalls::decode::Captured`].
    pub(crate) bytes: Vec<u8>,
    /// The side of the call up to which they were read.
    pub(crate) upto: Option<When>,
}

impl Memories {
    /// Keeps the allocation.
    pub(crate) fn forget(&mut self) {
        self.bytes.clear();
        self.upto = None;
    }
}

#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) pid: Pid,
    pub(crate) state: State,
    pub(crate) creator: Option<Tid>,
    pub(crate) syscall: Option<InSyscall>,
    /// The call that the kernel will continue with restart_syscall.
    pub(crate) restarting: Option<u32>,
    /// We asked for an interrupt that has not shown yet. Any stop takes its
    /// place (ptrace_stop in kernel/signal.c).
    pub(crate) interrupting: bool,
    /// It took part in a group-stop while foreign code ran in it, and is to stop as
    /// its process has.
    pub(crate) owes_group_stop: bool,
    /// Who asked for the interrupt.
    pub(crate) wanted_by: ClientMask,
    /// The spawned child before its execve: its calls are ours.
    pub(crate) before_exec: bool,
    /// Where the call returns to whose result a client has chosen: an EINTR
    /// there is meant.
    pub(crate) chosen: Option<u64>,
    /// Where it returns to from the call in which the last group-stop found it:
    /// an EINTR there is the stop's (signal(7), "Interruption of system calls
    /// and library functions by stop signals").
    pub(crate) stopped_at: Option<u64>,
    /// The call that it is in, if a client has rewritten it.
    pub(crate) rewritten: Option<Box<Rewritten>>,
    /// What the arguments of its call lead to, if anybody wants to know.
    pub(crate) captured: Memories,
    /// What a client makes it do.
    pub(crate) operation: Option<Box<Operation>>,
    /// It stopped inside a system call, where its registers cannot be replaced.
    /// Kept while a client makes it run.
    pub(crate) in_call: bool,
    /// Its last stop was an entry-stop: a filter may stop it there, too.
    pub(crate) at_entry: bool,
    /// Its registers at the signal-delivery-stop that it is in, unless they have been
    /// changed.
    pub(crate) at_signal: Option<Regs>,
    /// How it was resumed last.
    pub(crate) resumed: Resume,
    /// What came with signals that are about to be delivered with something
    /// else (see [`crate::inject`]).
    pub(crate) displaced_signals: Vec<SigInfo>,
    /// Stops at breakpoints.
    pub(crate) trap: TrapState,
    /// Not to be followed: detach at the first stop.
    pub(crate) unfollowed: bool,
    /// Its end was reported (PTRACE_EVENT_EXIT).
    pub(crate) end_told: bool,
    pub(crate) options: Options,
}

impl Task {
    pub(crate) fn new(pid: Pid, state: State, options: Options) -> Self {
        Self {
            pid,
            state,
            creator: None,
            syscall: None,
            restarting: None,
            interrupting: false,
            owes_group_stop: false,
            wanted_by: ClientMask::NONE,
            before_exec: false,
            chosen: None,
            stopped_at: None,
            rewritten: None,
            captured: Memories::default(),
            operation: None,
            in_call: false,
            at_entry: false,
            at_signal: None,
            resumed: Resume::Cont,
            displaced_signals: Vec::new(),
            trap: TrapState::default(),
            unfollowed: false,
            end_told: false,
            options,
        }
    }

    /// May report without being resumed first.
    pub(crate) fn is_out(&self) -> bool {
        match self.state {
            State::Starting | State::Running(_) | State::Listening(..) | State::Dying => true,
            State::Parked(..) | State::Held(_) | State::Engaged => false,
        }
    }

    pub(crate) fn held(&self) -> Option<&Held> {
        match &self.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }

    pub(crate) fn held_mut(&mut self) -> Option<&mut Held> {
        match &mut self.state {
            State::Held(held) => Some(held),
            _ => None,
        }
    }
}

/// How a held task goes on when nobody says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum After {
    Resume,
    Deliver(Signal),
    Listen(Signal),
}

impl After {
    /// What it is resumed with.
    pub(crate) fn signal(self) -> Option<Signal> {
        match self {
            After::Deliver(signal) => Some(signal),
            After::Resume | After::Listen(_) => None,
        }
    }
}

/// What a trap means, to each client in its turn. As a rule there is one.
pub(crate) type Hits = SmallVec<[(ClientId, Event); 1]>;

/// A stopped task, and its stop on its way through the clients that want it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) stopped: Stopped,
    pub(crate) offer: Offer,
}

/// What clients are asked about a stop. While a client makes the task run for it
/// the offer waits (see [`crate::operation`]).
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) event: Event,
    pub(crate) after: After,
    /// Clients that have not been offered it yet.
    pub(crate) left: ClientMask,
    /// Where every offer has an event of its own: those to come, the last one first.
    pub(crate) next: Hits,
    /// Who has it now.
    pub(crate) offered: Option<(ClientId, StopId)>,
    /// Since when, CLOCK_MONOTONIC nanoseconds, if that is measured.
    pub(crate) since: Option<u64>,
    /// Observers to tell when all have answered.
    pub(crate) observers: ClientMask,
    pub(crate) change: Change,
    pub(crate) regs: Option<Regs>,
    pub(crate) regs_dirty: bool,
    /// At this breakpoint, which is passed when the task goes on.
    pub(crate) at_site: Option<u64>,
    /// The stop was inside a system call, and the task had to be taken to its
    /// exit: that is told next.
    pub(crate) at_exit: bool,
    /// The task has gone on since, for a client: it is not where the event says.
    pub(crate) moved: bool,
    /// All have answered, and it goes on then.
    pub(crate) until: Option<Instant>,
}

impl Offer {
    pub(crate) fn new(event: Event, after: After, left: ClientMask) -> Self {
        Self {
            event,
            after,
            left,
            next: Hits::new(),
            offered: None,
            since: None,
            observers: ClientMask::NONE,
            change: Change::default(),
            regs: None,
            regs_dirty: false,
            at_site: None,
            at_exit: false,
            moved: false,
            until: None,
        }
    }

    /// Of what a trap means, to each client in its turn; `None` if it means nothing
    /// to anybody.
    pub(crate) fn of_hits(mut events: Hits, regs: Regs) -> Option<Self> {
        let (_, first) = events.first()?;
        let mut offer = Self::new(first.clone(), After::Resume, ClientMask::NONE);
        events.reverse();
        offer.next = events;
        offer.regs = Some(regs);
        Some(offer)
    }

    /// The task goes on before everybody has answered.
    pub(crate) fn set_moved(&mut self) {
        self.moved = true;
        self.regs = None;
        self.regs_dirty = false;
        self.at_site = None;
        self.at_exit = false;
        self.after = After::Resume;
    }
}

/// What the clients so far decided.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Change {
    /// A skip or a replaced result, and who said so.
    pub(crate) result: Option<(ClientId, i64)>,
    pub(crate) rewritten: Option<ClientId>,
    /// What is executed instead of a call that is skipped.
    pub(crate) stand_in: Option<u32>,
    /// What a hooked function is to return instead of being executed.
    pub(crate) early: Option<(ClientId, i64)>,
    /// Another signal, or none.
    pub(crate) signal: Option<(ClientId, Option<Signal>)>,
    pub(crate) kill: bool,
    /// A signal that the kernel sends it when it goes on.
    pub(crate) raised: Option<Signal>,
    /// How much later it goes on.
    pub(crate) delay: Duration,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Option<Pid>,
    /// Attached to by the user; false when spawned or born in the session.
    pub(crate) attached: bool,
    pub(crate) abi: u32,
    /// Memory, opened when first asked for; closed by exec.
    pub(crate) mem: Option<Mem>,
    /// Its mappings, in the same way.
    pub(crate) maps: Option<Maps>,
    /// How often it was read for what calls mean.
    pub(crate) captures: u32,
    /// What is known of that memory, which others may share.
    pub(crate) space: SpaceId,
    /// Its own SIGTRAP.
    pub(crate) own_trap: OwnTrap,
    /// It has a filter of its own for its calls, or had a parent that has.
    pub(crate) own_filter: bool,
    /// Order of appearance.
    pub(crate) sequence: u64,
}
