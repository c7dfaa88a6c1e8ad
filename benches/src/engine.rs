//! The engine with native clients that want every entry and exit.

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
    let (mut all, status) = trace_for(program, 1)?;
    Ok((all.pop().context("the only client")?, status))
}

/// The same for so many clients; what each of them counted.
///
/// # Errors
/// As [`trace`].
pub fn trace_for(program: &Program, clients: usize) -> Result<(Vec<Counts>, Option<ExitStatus>)> {
    let mut all = vec![Counts::default(); clients];
    let mut engine = Engine::new(Follow::Yes)?;
    let mut ids = Vec::new();
    for _ in &all {
        ids.push(engine.add_client("counting")?);
    }
    engine.spawn(program)?;
    let engine = RefCell::new(engine);
    let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = Vec::new();
    for (id, counts) in ids.into_iter().zip(&mut all) {
        let client = Counting {
            counts,
            subscribed: false,
        };
        clients.push((id, Box::new(client)));
    }
    run(&engine, &mut clients, &mut Silent).context("the engine")?;
    drop(clients);
    let mut engine = engine.into_inner();
    engine.shut_down();
    for counts in &mut all {
        counts.signals = engine.stats().signals;
    }
    Ok((all, engine.root_status()))
}
