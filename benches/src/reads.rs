//! The engine with one native client that reads the path of every openat.

use std::cell::RefCell;

use anyhow::{Context, Result};
use pai_engine::{
    Action, Client, ClientId, Engine, Event, ExitStatus, Fatal, Follow, Served, SyscallFilter,
    SyscallSet, Topic, run,
};
use pai_ptrace::Program;

use crate::engine::Silent;

/// How paths begin that count: those of `targets/`, not those of the dynamic loader.
const OURS: &[u8] = b"/nonexistent/";

/// Most bytes of a path.
const MAX_PATH: usize = 4096;

/// Reads, and lets everything go on.
struct Reading<'a> {
    hits: &'a mut u64,
    subscribed: bool,
}

impl Reading<'_> {
    fn subscribe(&mut self, id: ClientId, engine: &mut Engine) {
        if self.subscribed {
            return;
        }
        self.subscribed = true;
        let calls = SyscallSet::ids(&["openat"]).expect("there is openat");
        let entries = Topic::Syscalls(SyscallFilter {
            which: SyscallSet::Only(calls),
            enter: true,
            exit: false,
            tasks: Vec::new(),
            capture: None,
        });
        engine
            .subscribe(id, entries)
            .expect("the session has not ended before it starts");
    }
}

impl Client for Reading<'_> {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let mut engine = engine.borrow_mut();
        self.subscribe(id, &mut engine);
        while let Some(delivery) = engine.take_mail(id) {
            match &delivery.event {
                Event::SyscallEnter(stop) => {
                    // A path that cannot be read is not counted.
                    if let Ok(path) = engine.read_c_string(stop.pid, stop.args[1], MAX_PATH) {
                        *self.hits += u64::from(path.starts_with(OURS));
                    }
                }
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

/// Runs a program to its end; how many paths of ours it named.
///
/// # Errors
/// What ended the session too early.
pub fn trace(program: &Program) -> Result<(u64, Option<ExitStatus>)> {
    let mut hits = 0;
    let mut engine = Engine::new(Follow::Yes)?;
    let id = engine.add_client("reading")?;
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    let client = Reading {
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
