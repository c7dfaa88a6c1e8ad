//! Driving the clients of a session.

use std::cell::RefCell;

use pai_ptrace::wait::Block;

use crate::engine::{Diagnostic, Engine, Turn};
use crate::error::Fatal;
use crate::event::End;
use crate::subscription::ClientId;

/// What a client did when it was served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// It waits for its next event.
    Waiting,
    /// It used up its slice and wants to go on.
    Busy,
    /// It is done, or was ended: forget it.
    Finished,
}

/// One client of the trace. A Wasm plugin is one; a closure in a test is
/// another.
pub trait Client {
    /// Called when the client has mail, once before the session starts, and
    /// again after [`Served::Busy`]. It takes mail with [`Engine::take_mail`]
    /// and answers with [`Engine::answer`] until it has nothing more to do.
    /// The engine is not borrowed meanwhile.
    ///
    /// # Errors
    /// What the engine said is fatal.
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal>;
}

/// Who watches over the session for the user.
pub trait Supervisor {
    /// The tracer was woken: look for signals.
    fn woken(&mut self, engine: &RefCell<Engine>);
    /// So many stops there have been so far: for every 32nd, and whenever else there is
    /// something to do.
    fn stopped(&mut self, _stops: u64) {}
    /// Something the user should know of.
    fn diagnostic(&mut self, engine: &RefCell<Engine>, diagnostic: &Diagnostic);
}

/// Serves the clients until no task is left, or none of them.
///
/// # Errors
/// Whatever ends the session for all. The targets are still attached then; see
/// [`Engine::shut_down`].
pub fn run(
    engine: &RefCell<Engine>,
    clients: &mut [(ClientId, Box<dyn Client + '_>)],
    supervisor: &mut dyn Supervisor,
) -> Result<End, Fatal> {
    let mut busy: Vec<ClientId> = Vec::new();
    for index in 0..clients.len() {
        serve(engine, clients, index, &mut busy)?;
    }
    loop {
        // A spawned target has to be started even when nobody is interested, or
        // nobody is left.
        let started = engine.borrow().started || engine.borrow().gate.is_none();
        let may_leave = started && engine.borrow().may_let_go();
        if may_leave && engine.borrow().clients_gone() {
            return Ok(End::Detached);
        }
        let block = if busy.is_empty() {
            Block::Yes
        } else {
            Block::No
        };
        let turn = engine.borrow_mut().turn(block, &busy)?;
        tell(engine, supervisor);
        supervisor.stopped(engine.borrow().stats().stops);
        match turn {
            Turn::Mail(id) => {
                if let Some(index) = clients.iter().position(|(client, _)| *client == id) {
                    serve(engine, clients, index, &mut busy)?;
                } else {
                    engine.borrow_mut().remove_client(id);
                }
            }
            Turn::Woken => supervisor.woken(engine),
            // Told above.
            Turn::News => {}
            Turn::Idle => {
                for id in std::mem::take(&mut busy) {
                    if let Some(index) = clients.iter().position(|(client, _)| *client == id) {
                        serve(engine, clients, index, &mut busy)?;
                    }
                }
            }
            Turn::Over(end) => {
                finish(engine, clients, supervisor, &mut busy)?;
                tell(engine, supervisor);
                return Ok(end);
            }
        }
    }
}

/// Gives every client its last event.
///
/// # Errors
/// As [`run`].
pub fn finish(
    engine: &RefCell<Engine>,
    clients: &mut [(ClientId, Box<dyn Client + '_>)],
    supervisor: &mut dyn Supervisor,
    busy: &mut Vec<ClientId>,
) -> Result<(), Fatal> {
    for index in 0..clients.len() {
        let id = clients[index].0;
        while engine.borrow().has_mail(id) || busy.contains(&id) {
            // There may be much to do, and the user may not want to wait for it.
            supervisor.woken(engine);
            busy.retain(|other| *other != id);
            serve(engine, clients, index, busy)?;
        }
    }
    Ok(())
}

fn serve(
    engine: &RefCell<Engine>,
    clients: &mut [(ClientId, Box<dyn Client + '_>)],
    index: usize,
    busy: &mut Vec<ClientId>,
) -> Result<(), Fatal> {
    let (id, client) = &mut clients[index];
    match client.serve(*id, engine)? {
        Served::Waiting => {}
        Served::Busy => busy.push(*id),
        Served::Finished => engine.borrow_mut().remove_client(*id),
    }
    Ok(())
}

/// Tells what there is to be told.
pub fn tell(engine: &RefCell<Engine>, supervisor: &mut dyn Supervisor) {
    loop {
        let next = engine.borrow_mut().next_diagnostic();
        match next {
            Some(diagnostic) => supervisor.diagnostic(engine, &diagnostic),
            None => return,
        }
    }
}
