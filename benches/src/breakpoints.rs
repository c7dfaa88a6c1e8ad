//! The engine with one native client that has a breakpoint on a function.

use std::cell::RefCell;

use anyhow::{Context, Result};
use pai_engine::{
    Action, BreakpointOptions, Client, ClientId, Engine, Event, ExitStatus, Fatal, Follow, Served,
    Topic, run,
};
use pai_ptrace::{Pid, Program};

use crate::engine::Silent;

/// Counts, and lets everything go on.
struct Counting<'a> {
    function: &'a str,
    hits: &'a mut u64,
    subscribed: bool,
}

impl Counting<'_> {
    /// A function that is not there is not hit, which the count shows.
    fn insert(&self, id: ClientId, engine: &mut Engine, pid: Pid) {
        if let Ok(Some(symbol)) = engine.lookup(pid, self.function) {
            engine
                .insert_breakpoint(id, pid, symbol.value, BreakpointOptions::default())
                .expect("a function is code");
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
                Event::Breakpoint(_) => *self.hits += 1,
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

/// Runs a program to its end; how often it called the function.
///
/// # Errors
/// What ended the session too early.
pub fn trace(program: &Program, function: &str) -> Result<(u64, Option<ExitStatus>)> {
    let mut hits = 0;
    let mut engine = Engine::new(Follow::Yes)?;
    let id = engine.add_client("counting")?;
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    let client = Counting {
        function,
        hits: &mut hits,
        subscribed: false,
    };
    let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = vec![(id, Box::new(client))];
    run(&engine, &mut clients, &mut Silent).context("the engine")?;
    drop(clients);
    let mut engine = engine.into_inner();
    engine.shut_down();
    Ok((hits, engine.root_status()))
}
