//! The data of a plugin's store: what its imports act on.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pai_engine::observe::Consumer;
use pai_engine::{ClientId, Engine, Remote};
use send_wrapper::SendWrapper;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::bindings::types::Error;
use super::capability::Capability;
use super::convert;
use super::drive::Drive;
use super::limits::Limiter;
use super::seat::Seat;
use super::ticker::Clock;
use super::wasi::{self, Stdio};

/// Resources of all kinds that a plugin may have open: as many breakpoints and hooks as
/// the engine gives it, and some more.
const RESOURCES: usize = pai_engine::MAX_BREAKPOINTS + 4096;

/// See the module. One type for both worlds: which imports can be called is
/// decided by the linker.
pub(crate) struct State {
    pub(crate) seat: Arc<Seat>,
    /// Checked once per host call: what is inside stays on one thread.
    local: SendWrapper<Local>,
    pub(crate) limiter: Limiter,
    pub(crate) table: ResourceTable,
    pub(crate) subscriptions: usize,
    pub(crate) stdio: Stdio,
    /// Made when it is first used.
    wasi: Option<WasiCtx>,
}

/// What belongs to the plugin's thread.
pub(crate) struct Local {
    pub(crate) drive: Rc<Drive>,
    pub(crate) client: ClientId,
    pub(crate) place: Place,
}

/// Where a plugin runs.
pub(crate) enum Place {
    /// On the tracer thread, beside the engine.
    Tracer(Rc<RefCell<Engine>>),
    /// On a thread of its own.
    Apart(Observing),
}

/// An observer's connections.
pub(crate) struct Observing {
    pub(crate) remote: Remote,
    pub(crate) consumer: Consumer,
    pub(crate) clock: Clock,
    pub(crate) stage: Stage,
}

/// How far an observer has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    Opened,
    /// It has asked for records, so the targets may run.
    Ready,
}

impl State {
    pub(crate) fn new(seat: Arc<Seat>, local: Local) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let refused = Rc::clone(&local.drive.refused);
        Self {
            limiter: Limiter::new(seat.limits.memory, refused),
            stdio: Stdio::new(&seat),
            seat,
            local: SendWrapper::new(local),
            table,
            subscriptions: 0,
            wasi: None,
        }
    }

    /// What belongs to this thread. Every host call passes here.
    pub(crate) fn enter(&self) -> &Local {
        let local = &*self.local;
        local.drive.count_call();
        local
    }

    pub(crate) fn drive(&self) -> &Rc<Drive> {
        &self.local.drive
    }

    pub(crate) fn local_mut(&mut self) -> &mut Local {
        &mut self.local
    }

    /// The one check of capabilities.
    pub(crate) fn require(&self, capability: Capability) -> Result<(), Error> {
        if self.seat.grants.has(capability) {
            Ok(())
        } else {
            Err(Error::Denied(capability.name().to_owned()))
        }
    }

    /// Asks the engine on behalf of a plugin that takes part.
    pub(crate) fn on_tracer<R>(
        &self,
        work: impl FnOnce(&mut Engine, ClientId) -> Result<R, pai_engine::Error>,
    ) -> Result<R, Error> {
        let local = self.enter();
        match &local.place {
            Place::Tracer(engine) => Ok(work(&mut engine.borrow_mut(), local.client)?),
            // Not linked for observers.
            Place::Apart(_) => Err(convert::internal("an observer asked the tracer".into())),
        }
    }

    /// Asks the engine on behalf of a plugin of either world.
    pub(crate) fn anywhere<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine, ClientId) -> Result<R, pai_engine::Error> + Send + 'static,
    ) -> Result<R, Error> {
        let local = self.enter();
        let client = local.client;
        match &local.place {
            Place::Tracer(engine) => Ok(work(&mut engine.borrow_mut(), client)?),
            Place::Apart(apart) => {
                let ask = || apart.remote.call(move |engine| work(engine, client));
                match apart.consumer.while_asking(ask) {
                    Some(result) => Ok(result?),
                    None => Err(convert::over(local.drive.end.borrow().as_ref())),
                }
            }
        }
    }

    /// Tells the engine what is of no use any more when the session is over: the end of
    /// that is among an observer's records.
    pub(crate) fn while_it_lasts(
        &self,
        work: impl FnOnce(&mut Engine, ClientId) -> Result<(), pai_engine::Error> + Send + 'static,
    ) -> Result<(), Error> {
        let told = self.anywhere(|engine, client| match engine.has_ended(client) {
            true => Ok(()),
            false => work(engine, client),
        });
        match told {
            Err(_) if self.drive().flags.is_over() => Ok(()),
            told => told,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: self.wasi.get_or_insert_with(wasi::closed),
            table: &mut self.table,
        }
    }
}
