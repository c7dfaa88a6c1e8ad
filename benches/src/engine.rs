//! The engine with one native client that wants every entry and exit.

use std::cell::RefCell;

use anyhow::{Context, Result};
use pai_engine::{
    Action, Client, ClientId, Diagnostic, Engine, Event, ExitStatus, Fatal, Follow, Served,
    Supervisor, SyscallFilter, SyscallSet, Topic, run,
};
use pai_ptrace::Program;

use crate::counts::Counts;

/// Counts, and lets everything go on.
struct Counting<'a> {
    counts: &'a mut Counts,
    subscribed: bool,
}

impl Client for Counting<'_> {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let mut engine = engine.borrow_mut();
        if !self.subscribed {
            self.subscribed = true;
            let every_call = Topic::Syscalls(SyscallFilter {
                which: SyscallSet::All,
                enter: true,
                exit: true,
                tasks: Vec::new(),
                capture: None,
            });
            engine
                .subscribe(id, every_call)
                .expect("the session has not ended before it starts");
        }
        while let Some(delivery) = engine.take_mail(id) {
            match &delivery.event {
                Event::SyscallEnter(stop) => self.counts.enter(stop.call.nr),
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

/// Runs a program to its end.
///
/// # Errors
/// What ended the session too early.
pub fn trace(program: &Program) -> Result<(Counts, Option<ExitStatus>)> {
    let mut counts = Counts::default();
    let mut engine = Engine::new(Follow::Yes)?;
    let id = engine.add_client("counting")?;
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    let client = Counting {
        counts: &mut counts,
        subscribed: false,
    };
    let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = vec![(id, Box::new(client))];
    run(&engine, &mut clients, &mut Silent).context("the engine")?;
    drop(clients);
    let mut engine = engine.into_inner();
    engine.shut_down();
    counts.signals = engine.stats().signals;
    Ok((counts, engine.root_status()))
}
