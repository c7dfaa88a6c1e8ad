//! The engine with one native client, or with several.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use pai_engine::{
    Action, Client, ClientId, Diagnostic, End, Engine, Event, ExitStatus, Fatal, Follow, Served,
    Sink, Supervisor, SyscallFilter, SyscallId, SyscallSet, SyscallStop, Topic, run,
};
use pai_ptrace::{Pid, Program, monotonic_nanos};

use crate::counts::Counts;
use crate::place;

/// Counts, and lets everything go on.
struct Counting<'a, F> {
    counts: &'a mut Counts,
    /// What it wants, until it has said so.
    topic: Option<Topic>,
    at_entry: F,
}

impl<F: FnMut(&mut Engine, ClientId, &SyscallStop)> Client for Counting<'_, F> {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let mut engine = engine.borrow_mut();
        if let Some(topic) = self.topic.take() {
            engine
                .subscribe(id, topic)
                .expect("the session has not ended before it starts");
        }
        while let Some(delivery) = engine.take_mail(id) {
            match &delivery.event {
                Event::SyscallEnter(stop) => {
                    self.counts.enter(stop.call.nr);
                    (self.at_entry)(&mut engine, id, stop);
                }
                Event::SyscallExit(stop) => self.counts.exit(stop.call.nr),
                Event::Ended(_) => return Ok(Served::Finished),
                _ => {}
            }
            if let Some(stop) = delivery.stop {
                engine
                    .answer(id, stop, Action::Proceed)?
                    .expect("a stop that was just offered can proceed");
            }
        }
        engine.set_waiting(id, None);
        Ok(Served::Waiting)
    }
}

/// Tells nobody anything.
pub(crate) struct Silent;

impl Supervisor for Silent {
    fn woken(&mut self, _: &RefCell<Engine>) {}
    fn diagnostic(&mut self, _: &RefCell<Engine>, _: &Diagnostic) {}
}

/// Both ends, or one, of these calls.
fn calls(which: SyscallSet, enter: bool, exit: bool) -> Topic {
    Topic::Syscalls(SyscallFilter::new(which, enter, exit))
}

/// The call of this name.
fn only(call: &str) -> Result<SyscallSet> {
    let abi = pai_syscalls::abi::X86_64;
    let nr = pai_syscalls::number(abi, call).with_context(|| format!("no call named {call}"))?;
    Ok(SyscallSet::Only(vec![SyscallId { abi, nr }]))
}

/// Runs a program to its end, with a client that wants this for each of these; what each
/// of them counted.
fn trace_with(
    program: &Program,
    topic: &Topic,
    at_entries: Vec<impl FnMut(&mut Engine, ClientId, &SyscallStop)>,
) -> Result<(Vec<Counts>, Option<ExitStatus>)> {
    let mut all = vec![Counts::default(); at_entries.len()];
    let mut engine = Engine::new(Follow::Yes)?;
    let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = Vec::new();
    for (at_entry, counts) in at_entries.into_iter().zip(&mut all) {
        let client = Counting {
            counts,
            topic: Some(topic.clone()),
            at_entry,
        };
        clients.push((engine.add_client("counting")?, Box::new(client)));
    }
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    run(&engine, &mut clients, &mut Silent).context("the engine")?;
    drop(clients);
    let mut engine = engine.into_inner();
    engine.shut_down();
    for counts in &mut all {
        counts.signals = engine.stats().signals;
    }
    Ok((all, engine.root_status()))
}

/// The same with one client.
fn trace_one(
    program: &Program,
    topic: &Topic,
    at_entry: impl FnMut(&mut Engine, ClientId, &SyscallStop),
) -> Result<(Counts, Option<ExitStatus>)> {
    let (mut all, status) = trace_with(program, topic, vec![at_entry])?;
    Ok((all.pop().context("the only client")?, status))
}

/// Runs a program to its end, with a client that wants every entry and exit.
///
/// # Errors
/// What ended the session too early.
pub fn trace(program: &Program) -> Result<(Counts, Option<ExitStatus>)> {
    trace_one(program, &calls(SyscallSet::All, true, true), |_, _, _| {})
}

/// How many entries until the tracer looks where the target is.
const LOOK: u64 = 64;

/// The same, with a tracer that runs where the target did.
///
/// # Errors
/// As [`trace`].
pub fn follow(program: &Program) -> Result<(Counts, Option<ExitStatus>)> {
    let mut entries = 0;
    let topic = calls(SyscallSet::All, true, true);
    trace_one(program, &topic, |_, _, stop| {
        entries += 1;
        if entries % LOOK == 0
            && let Err(error) = place::go_to(stop.tid)
        {
            // The target is measured with what it has; its place is not.
            panic!("the tracer stays where it is: {error:#}");
        }
    })
}

/// The same with so many clients; what each of them counted.
///
/// # Errors
/// As [`trace`].
pub fn trace_for(program: &Program, clients: usize) -> Result<(Vec<Counts>, Option<ExitStatus>)> {
    let nothing = |_: &mut Engine, _: ClientId, _: &SyscallStop| {};
    let topic = calls(SyscallSet::All, true, true);
    trace_with(program, &topic, vec![nothing; clients])
}

/// How paths begin that [`read`] counts: those of `targets/`, not those of the dynamic
/// loader.
const OURS: &[u8] = b"/nonexistent/";

/// Most bytes of a path.
const MAX_PATH: usize = 4096;

/// Runs a program to its end, with a client that reads the path of every openat; how many
/// paths of ours it named.
///
/// # Errors
/// What ended the session too early.
pub fn read(program: &Program) -> Result<(u64, Option<ExitStatus>)> {
    let mut hits = 0;
    let topic = calls(only("openat")?, true, false);
    let (_, status) = trace_one(program, &topic, |engine, _, stop| {
        // A path that cannot be read is not counted.
        if let Ok(path) = engine.read_c_string(stop.pid, stop.args[1], MAX_PATH) {
            hits += u64::from(path.starts_with(OURS));
        }
    })?;
    Ok((hits, status))
}

/// Bytes of one read.
const LEN: usize = 8;

/// Asks the engine once; whether the answer is right.
type Question = fn(&mut Engine, ClientId, &SyscallStop) -> bool;

/// Runs a program to its end, with a client that wants the entries of one call, and
/// at each of them asks so often for what a plugin's import of this name asks for; how
/// often the answer was right.
///
/// # Errors
/// What ended the session too early; no such call, or no such import.
pub fn ask(
    program: &Program,
    call: &str,
    import: &str,
    times: u64,
) -> Result<(Counts, u64, Option<ExitStatus>)> {
    let question: Question = match import {
        "clock" => |_, _, _| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.is_ok_and(|now| now.as_nanos() > u128::from(monotonic_nanos()))
        },
        "registers" => |engine, id, stop| {
            let registers = engine.registers(id, stop.tid);
            registers.is_ok_and(|registers| registers.ip() == stop.ip)
        },
        "memory" => |engine, _, stop| {
            let bytes = engine.read(stop.pid, stop.ip, LEN);
            bytes.is_ok_and(|bytes| bytes.len() == LEN)
        },
        _ => bail!("no import named {import}"),
    };
    let mut answers = 0;
    let topic = calls(only(call)?, true, false);
    let (counts, status) = trace_one(program, &topic, |engine, id, stop| {
        for _ in 0..times {
            answers += u64::from(question(engine, id, stop));
        }
    })?;
    Ok((counts, answers, status))
}

/// How memory is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Bytes of a piece.
    pub len: usize,
    /// So many, [`APART`] bytes apart.
    pub pieces: u64,
    /// How often.
    pub times: u64,
}

/// How far apart pieces of memory are that are read.
const APART: u64 = 1 << 13;

/// Runs `targets/membuf.c` to its end, with a client that reads its buffer where it waits;
/// how many bytes were right, and how long all that took.
///
/// # Errors
/// What ended the session too early.
pub fn read_memory(
    program: &Program,
    how: Reading,
) -> Result<(usize, Duration, Option<ExitStatus>)> {
    let mut outcome = None;
    let topic = calls(only("read")?, true, false);
    let (_, status) = trace_one(program, &topic, |engine, _, stop| {
        // The dynamic loader reads, too, but not from standard input.
        if stop.args[0] == 0 && outcome.is_none() {
            outcome = Some(read_pieces(engine, stop.pid, how));
        }
    })?;
    let (right, took) = outcome.context("it did not read standard input")??;
    Ok((right, took, status))
}

fn read_pieces(engine: &mut Engine, pid: Pid, how: Reading) -> Result<(usize, Duration)> {
    let symbol = engine.lookup(pid, "bench_buf")?;
    let from = symbol.context("it has no bench_buf")?.value;
    let requests: Vec<(u64, usize)> = (0..how.pieces)
        .map(|piece| (from + piece * APART, how.len))
        .collect();
    let mut read = Vec::new();
    let start = Instant::now();
    for _ in 0..how.times {
        read = match how.pieces {
            1 => vec![Ok(engine.read(pid, from, how.len)?)],
            _ => engine.read_many(pid, &requests)?,
        };
    }
    let took = start.elapsed();
    let mut right = 0;
    for (piece, bytes) in (0..).zip(read) {
        let expected = |at: u64| ((piece * APART + at) * 31 + 7) as u8;
        let is_right = |(at, byte): &(u64, &u8)| **byte == expected(*at);
        right += (0..).zip(&bytes?).filter(is_right).count();
    }
    Ok((right, took))
}

/// Counts what an observer is told of.
#[derive(Debug)]
struct CountingSink(Rc<RefCell<Counts>>);

impl CountingSink {
    fn count(&self, stop: &SyscallStop) {
        self.0.borrow_mut().exit(stop.call.nr);
    }
}

impl Sink for CountingSink {
    fn enter(&mut self, _: &SyscallStop, _: &[u8]) {}
    fn exit(&mut self, stop: &SyscallStop, _: &[u8]) {
        self.count(stop);
    }
    fn no_return(&mut self, stop: &SyscallStop, _: &[u8]) {
        self.count(stop);
    }
    fn detached(&mut self, stop: &SyscallStop, _: &[u8]) {
        self.count(stop);
    }
    fn event(&mut self, _: &Event) {}
    fn end(&mut self, _: &End) {}
}

/// Runs a program to its end, with a client that only watches, and is told of every
/// exit on the tracer's thread.
///
/// # Errors
/// What ended the session too early.
pub fn watch(program: &Program) -> Result<(Counts, Option<ExitStatus>)> {
    let counts = Rc::new(RefCell::new(Counts::default()));
    let mut engine = Engine::new(Follow::Yes)?;
    let sink = CountingSink(Rc::clone(&counts));
    let id = engine.add_observer("counting", Box::new(sink))?;
    engine.subscribe(id, calls(SyscallSet::All, false, true))?;
    engine.set_waiting(id, None);
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    run(&engine, &mut [], &mut Silent).context("the engine")?;
    let mut engine = engine.into_inner();
    engine.shut_down();
    let counts = counts.borrow().clone();
    Ok((counts, engine.root_status()))
}
