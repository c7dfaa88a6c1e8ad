//! Plugins as running components: one engine, a clock.

mod bindings;
mod capability;
mod convert;
mod drive;
mod failure;
mod guest;
mod imports;
mod limits;
mod observer;
mod participant;
mod seat;
mod state;
mod ticker;
mod wasi;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel};

use crate::cache::Cache;
use crate::plugin::Plugin;

pub(crate) use capability::Grants;
pub(crate) use drive::Flags;
pub(crate) use observer::{Observer, Parts};
pub(crate) use participant::Participant;
pub(crate) use seat::Seat;
use state::State;
pub(crate) use ticker::Clock;
use ticker::Ticker;

/// Of a fiber; host functions run on it too.
const FIBER_STACK: usize = 2 << 20;
/// What a guest may use of it. Rust's own stack is in its memory.
const WASM_STACK: usize = 512 << 10;

/// A plugin that is compiled and linked: what can be refused before it runs was
/// not.
pub(crate) type Loaded = bindings::Component<State>;

/// See the module.
pub(crate) struct Runtime {
    engine: Engine,
    cache: Cache,
    ticker: Ticker,
}

/// A plugin that cannot be run here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadFailure {
    /// The compiler refuses it.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// It imports what there is not, or exports no `run`.
    #[error("it does not fit this pai-host: {0}")]
    Link(String),
}

impl Runtime {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let ticker = Ticker::new(engine.clone())?;
        Ok(Self {
            cache: Cache::open(),
            ticker,
            engine,
        })
    }

    /// Compiles and links a plugin; none of its code is executed.
    pub(crate) fn load(&self, plugin: &Plugin) -> Result<Loaded, LoadFailure> {
        let component = self
            .cache
            .component(&self.engine, plugin)
            .map_err(|error| LoadFailure::Compile(format!("{error:#}")))?;
        imports::linker(&self.engine, plugin.world, &plugin.imports)
            .and_then(|linker| linker.instantiate_pre(&component))
            .and_then(Loaded::new)
            .map_err(|error| LoadFailure::Link(format!("{error:#}")))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.ticker.clock()
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // On, it makes every call several times as dear.
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .async_stack_size(FIBER_STACK)
        .max_wasm_stack(WASM_STACK);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::World;

    #[test]
    fn everything_can_be_linked() {
        let engine = Engine::new(&config()).unwrap();
        for world in [World::Plugin, World::Observer] {
            for wasi in ["random/insecure-seed@0.2.6", "cli/stdout@0.2.6"] {
                imports::linker(&engine, world, &[format!("wasi:{wasi}")]).unwrap();
            }
        }
    }
}
