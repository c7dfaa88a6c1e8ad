//! The engine with one native client that has breakpoints on functions.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pai_engine::{
    Action, BreakpointOptions, Client, ClientId, Engine, Event, ExitStatus, Fatal, Follow, Served,
    Topic, run,
};
use pai_ptrace::{Pid, Program};

use crate::engine::Silent;

/// How far apart the functions are, where there are several (`targets/functions.c`).
pub const APART: u64 = 16;

/// What came of a run.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen {
    /// How often the functions were called.
    pub hits: u64,
    /// How long it took to insert the breakpoints.
    pub inserting: Duration,
}

/// Counts, and lets everything go on.
struct Counting<'a> {
    function: &'a str,
    /// Breakpoints on it and on the functions behind it.
    count: u64,
    seen: &'a mut Seen,
    subscribed: bool,
}

impl Counting<'_> {
    /// A function that is not there is not hit, which the count shows.
    fn insert(&mut self, id: ClientId, engine: &mut Engine, pid: Pid) {
        if let Ok(Some(symbol)) = engine.lookup(pid, self.function) {
            let start = Instant::now();
            for number in 0..self.count {
                let addr = symbol.value + number * APART;
                engine
                    .insert_breakpoint(id, pid, addr, BreakpointOptions::default())
                    .expect("a function is code");
            }
            self.seen.inserting += start.elapsed();
        }
    }
}

impl Client for Counting<'_> {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let mut engine = engine.borrow_mut();
        if !self.subscribed {
            self.subscribed = true;
            engine
                .subscribe(id, Topic::Execs)
                .expect("the session has not ended before it starts");
        }
        while let Some(delivery) = engine.take_mail(id) {
            match &delivery.event {
                Event::Execed(exec) => self.insert(id, &mut engine, exec.pid),
                Event::Breakpoint(_) => self.seen.hits += 1,
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

/// Runs a program to its end, with breakpoints on so many functions from this one on.
///
/// # Errors
/// What ended the session too early.
pub fn trace(program: &Program, function: &str, count: u64) -> Result<(Seen, Option<ExitStatus>)> {
    let mut seen = Seen::default();
    let mut engine = Engine::new(Follow::Yes)?;
    let id = engine.add_client("counting")?;
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    let client = Counting {
        function,
        count,
        seen: &mut seen,
        subscribed: false,
    };
    let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = vec![(id, Box::new(client))];
    run(&engine, &mut clients, &mut Silent).context("the engine")?;
    drop(clients);
    let mut engine = engine.into_inner();
    engine.shut_down();
    Ok((seen, engine.root_status()))
}
