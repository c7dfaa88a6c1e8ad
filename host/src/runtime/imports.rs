//! The imports of plugins, one file per interface.

mod basics;
pub(crate) mod breakpoints;
mod calls;
pub(crate) mod client;
mod control;
mod memory;
mod observe;
mod registers;
mod symbols;
mod tasks;

use wasmtime::component::{HasSelf, Linker};

use super::bindings as wit;
use super::state::State;
use super::wasi;
use crate::plugin::World;

/// What a plugin of this world may call. Of WASI there is what it imports.
pub(crate) fn linker(
    engine: &wasmtime::Engine,
    world: World,
    imports: &[String],
) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasi::add_to_linker(l, imports)?;
    wit::types::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::events::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::log::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::output::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::config::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::syscalls::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::tasks::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    match world {
        World::Plugin => {
            wit::client::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::memory::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::registers::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::breakpoints::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::calls::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::symbols::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::unwind::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
            wit::control::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
        }
        // Nothing that changes or stops a target.
        World::Observer => wit::observe::add_to_linker::<State, HasSelf<State>>(l, |state| state)?,
    }
    Ok(linker)
}
