//! The engine and its loop.

use std::collections::VecDeque;
use std::time::Instant;

use pai_ptrace::wait::{Block, Report};
use pai_ptrace::{Alarm, Gate, Options, Pid, Signal, Tid};
use rustc_hash::FxHashMap;

use crate::attach::Follow;
use crate::breakpoint::Breakpoint;
use crate::capture::Scratch;
use crate::clients::{ClientState, Commands};
use crate::collect::Rounds;
use crate::error::{Error, Fatal};
use crate::event::{BreakpointId, Delivery, End, Event, ExitStatus, HookId, OperationId};
use crate::files::Files;
use crate::filter::Filtering;
use crate::hook::Hook;
use crate::orphans::{Buried, Orphan};
use crate::seen::SeenTasks;
use crate::space::{Space, SpaceId};
use crate::stats::Stats;
use crate::subscription::{ClientId, ClientMask, Table};
use crate::symbols::Symbols;
use crate::task::{Process, State, Task};
use crate::watch::Watch;

/// So many stops are news.
const NEWS: u64 = 32;
/// Commands of other threads in a row: others want something, too.
const MOST_COMMANDS: usize = 64;

/// One trace. Belongs to the thread that made it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) tasks: FxHashMap<Tid, Task>,
    pub(crate) processes: FxHashMap<Pid, Process>,
    /// First stops of tasks whose creator has not told us about them yet.
    pub(crate) orphans: FxHashMap<Tid, Orphan>,
    /// Ends of tasks that we did not know: of children whose creator has not
    /// told us about them yet, or of nobody that we care for.
    pub(crate) early_ends: Vec<Report>,
    /// Reports that were taken and wait for their turn.
    pub(crate) queue: VecDeque<Report>,
    pub(crate) rounds: Rounds,
    /// Tasks that may report without being resumed first.
    pub(crate) running: usize,

    pub(crate) clients: Vec<ClientState>,
    pub(crate) table: Table,
    pub(crate) observers: ClientMask,
    pub(crate) absent: ClientMask,
    pub(crate) gone: ClientMask,
    pub(crate) with_mail: ClientMask,
    pub(crate) next_subscription: u64,
    pub(crate) next_stop: u32,
    pub(crate) next_process: u64,
    pub(crate) spaces: FxHashMap<SpaceId, Space>,
    pub(crate) next_space: u32,
    /// Of what children that we have not been told of may have copies.
    pub(crate) buried: Buried,
    pub(crate) breakpoints: FxHashMap<BreakpointId, Breakpoint>,
    pub(crate) hooks: FxHashMap<HookId, Hook>,
    /// When operations have to end, and of which tasks.
    pub(crate) deadlines: Vec<(Instant, Tid, OperationId)>,
    /// When tasks that are held up go on.
    pub(crate) delays: Vec<(Instant, Tid)>,
    /// The last number of a breakpoint, hook or operation.
    pub(crate) last_number: u64,

    pub(crate) options: Options,
    pub(crate) follow: Follow,
    /// The spawned target's process, or the only attached one.
    pub(crate) root: Option<Pid>,
    pub(crate) root_path: String,
    pub(crate) root_status: Option<ExitStatus>,
    pub(crate) gate: Option<Gate>,
    pub(crate) started: bool,
    /// The supervisor hears again of how many stops there were when there are so many.
    pub(crate) news_at: u64,
    /// A client failed before the targets were let run.
    pub(crate) failed_early: bool,
    pub(crate) over: Option<End>,
    /// See [`Engine::set_timed`].
    pub(crate) timed: bool,
    /// See [`Engine::set_detach_on_exec`].
    pub(crate) detach_on_exec: bool,
    /// Calls that nobody wants do not stop.
    pub(crate) filtering: Filtering,
    /// The task whose stop was offered last.
    pub(crate) offered_last: Option<Tid>,
    /// What went wrong where it could not be returned; ends the next turn.
    pub(crate) failure: Option<Fatal>,

    pub(crate) alarm: Alarm,
    pub(crate) watch: Watch,
    pub(crate) commands: Commands,
    /// Other threads were just heard.
    heard: bool,
    pub(crate) diagnostics: VecDeque<Diagnostic>,
    pub(crate) stats: Stats,
    pub(crate) symbols: Symbols,
    pub(crate) scratch: Scratch,
    pub(crate) files: Files,
    pub(crate) seen: Option<SeenTasks>,
}

/// What the loop came to.
#[derive(Debug)]
pub enum Turn {
    /// This client has mail.
    Mail(ClientId),
    /// Somebody woke the tracer: a signal, or work from another thread (done).
    Woken,
    /// The user should know of something: [`Engine::next_diagnostic`]; or there were some
    /// stops more.
    News,
    /// Nothing to do without waiting.
    Idle,
    /// No task is left.
    Over(End),
}

/// Something that the user should know of.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Diagnostic {
    /// Two clients answered one stop in ways that cannot both be had; the
    /// second was not heard.
    Clash {
        /// Who was heard.
        first: ClientId,
        /// Who was not.
        second: ClientId,
        /// The task.
        tid: Tid,
    },
    /// A client held every task and waited for something else to happen; its
    /// stops were released.
    Stuck(ClientId),
    /// The spawned target was stopped.
    TargetStopped {
        /// Its process.
        pid: Pid,
        /// By this signal.
        signal: Signal,
    },
    /// A process was killed at the end of the trace: its calls are filtered, and fail
    /// without a tracer.
    Killed(Pid),
}

/// Also when the thread panics, the targets go on as if nobody had traced them.
impl Drop for Engine {
    fn drop(&mut self) {
        if !self.tasks.is_empty() || !self.orphans.is_empty() {
            self.shut_down();
        }
    }
}

impl Engine {
    /// An engine for the calling thread.
    ///
    /// # Errors
    /// When no timer can be had.
    pub fn new(follow: Follow) -> Result<Self, Fatal> {
        Ok(Self {
            tasks: FxHashMap::default(),
            processes: FxHashMap::default(),
            orphans: FxHashMap::default(),
            early_ends: Vec::new(),
            queue: VecDeque::new(),
            rounds: Rounds::default(),
            running: 0,
            clients: Vec::new(),
            table: Table::new(),
            observers: ClientMask::NONE,
            absent: ClientMask::NONE,
            gone: ClientMask::NONE,
            with_mail: ClientMask::NONE,
            next_subscription: 1,
            next_stop: 1,
            next_process: 0,
            spaces: FxHashMap::default(),
            next_space: 0,
            buried: Buried::default(),
            breakpoints: FxHashMap::default(),
            hooks: FxHashMap::default(),
            deadlines: Vec::new(),
            delays: Vec::new(),
            last_number: 0,
            options: Options::SYSGOOD
                | Options::EXEC
                | Options::CLONE
                | Options::FORK
                | Options::VFORK,
            follow,
            root: None,
            root_path: String::new(),
            root_status: None,
            gate: None,
            started: false,
            failed_early: false,
            news_at: NEWS,
            over: None,
            timed: false,
            detach_on_exec: false,
            filtering: Filtering::Allowed,
            offered_last: None,
            failure: None,
            alarm: Alarm::new()?,
            watch: Watch::new(),
            commands: Commands::new(),
            heard: false,
            diagnostics: VecDeque::new(),
            stats: Stats::default(),
            symbols: Symbols::new(),
            scratch: Scratch::default(),
            files: Files::new(),
            seen: None,
        })
    }

    /// Goes on until a client that is not in `busy` has mail.
    ///
    /// # Errors
    /// Whatever ends the session for all; the targets are detached by
    /// [`Engine::shut_down`].
    pub fn turn(&mut self, block: Block, busy: &[ClientId]) -> Result<Turn, Fatal> {
        let mut skip = ClientMask::NONE;
        for client in busy {
            skip.insert(*client);
        }
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if let Some(client) = self.with_mail.minus(skip).first() {
                return Ok(Turn::Mail(client));
            }
            if !self.diagnostics.is_empty() || self.stats.stops >= self.news_at {
                self.news_at = self.stats.stops + NEWS;
                return Ok(Turn::News);
            }
            // First what has been reported: a signal for a target that is known to have
            // ended is not for the target.
            if let Some(report) = self.queue.pop_front() {
                self.dispatch(report)?;
                continue;
            }
            // Whoever wakes us all the time is not heard alone.
            let heard = std::mem::take(&mut self.heard);
            if !heard && self.alarm.take_wake() {
                self.heard = true;
                self.serve_commands();
                return Ok(Turn::Woken);
            }
            if !self.started
                && let Some(end) = &self.over
            {
                return Ok(Turn::Over(end.clone()));
            }
            if !self.started && self.clients.iter().all(|client| client.ready) {
                if self.failed_early {
                    self.end_all(&End::Detached);
                    return Ok(Turn::Over(End::Detached));
                }
                self.start()?;
                continue;
            }
            if self.tasks.is_empty() && self.orphans.is_empty() {
                return Ok(Turn::Over(self.finish_session()));
            }
            let block = if heard { Block::No } else { block };
            self.collect(block)?;
            if self.queue.is_empty() && block == Block::No && !heard {
                return Ok(Turn::Idle);
            }
        }
    }

    /// What other threads ask for.
    fn serve_commands(&mut self) {
        for _ in 0..MOST_COMMANDS {
            match self.commands.next() {
                Some(command) => command(self),
                None => return,
            }
        }
        self.alarm.waker().wake();
    }

    /// All tasks are gone: every client gets its last event.
    fn finish_session(&mut self) -> End {
        let end = match &self.over {
            Some(end) => end.clone(),
            // The root may run on.
            None if self.detach_on_exec && self.root_status.is_none() => End::Detached,
            None => {
                let status = self.root_status.unwrap_or(ExitStatus::Exited(0));
                End::Exited(status)
            }
        };
        self.end_all(&end);
        end
    }

    /// From now on processes that execute another program are let go when they do. The
    /// first program of a spawned one is the one that is traced. Observers that want the
    /// call hear of it ([`crate::Sink::detached`]); nothing more comes of the process.
    pub fn set_detach_on_exec(&mut self, detach: bool) {
        self.detach_on_exec = detach;
    }

    /// From now on it is measured how long clients hold tasks
    /// ([`crate::ClientStats::held_total`]): two looks at the clock for each.
    pub fn set_timed(&mut self, timed: bool) {
        self.timed = timed;
    }

    /// Ends the session for every client.
    pub fn end_all(&mut self, end: &End) {
        if self.over.is_none() {
            self.over = Some(end.clone());
        }
        for client in self.all_clients().iter() {
            self.end_client(client, end.clone());
        }
    }

    /// Lets the targets run, once every client has waited for its first event.
    fn start(&mut self) -> Result<(), Fatal> {
        self.started = true;
        let filter = match self.gate {
            Some(_) => self.make_filter(),
            None => None,
        };
        if let Some(gate) = &mut self.gate {
            // A child that was killed meanwhile reports its exit.
            if let Err(error) = gate.open(filter.as_ref()) {
                tracing::debug!(target: "pai::engine", %error, "the target is gone before its start");
            }
        }
        let parked: Vec<Tid> = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task.state, State::Parked(..)))
            .map(|(tid, _)| *tid)
            .collect();
        for tid in parked {
            self.unpark(tid)?;
        }
        Ok(())
    }

    /// Whether the targets run.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// What the user should know of, oldest first.
    pub fn next_diagnostic(&mut self) -> Option<Diagnostic> {
        self.diagnostics.pop_front()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The spawned target, or the only attached process.
    pub fn root(&self) -> Option<Pid> {
        self.root
    }

    /// How the root ended, once it has.
    pub fn root_status(&self) -> Option<ExitStatus> {
        self.root_status
    }

    /// A number for something that a client makes.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn over_error(&self) -> Error {
        Error::TargetExited(self.root_status.unwrap_or(ExitStatus::Exited(0)))
    }

    /// A client's timeouts that have passed.
    pub(crate) fn expire_clients(&mut self) {
        let now = std::time::Instant::now();
        let expired: Vec<ClientId> = self
            .clients
            .iter()
            .zip(0_u8..)
            .filter(|(client, _)| client.deadline.is_some_and(|at| at <= now))
            .map(|(_, index)| ClientId(index))
            .collect();
        for client in expired {
            self.clients[client.index()].deadline = None;
            self.post(
                client,
                Delivery {
                    stop: None,
                    event: Event::Timeout,
                },
            );
        }
    }
}
