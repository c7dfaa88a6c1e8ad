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

/// For the world `plugin`.
pub(crate) fn for_plugins(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = for_all(engine)?;
    let l = &mut linker;
    wit::client::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::memory::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::registers::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::breakpoints::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::calls::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::symbols::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::unwind::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::control::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    Ok(linker)
}

/// For the world `observer`: nothing here changes or stops a target.
pub(crate) fn for_observers(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = for_all(engine)?;
    wit::observe::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

fn for_all(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let l = &mut linker;
    wasi::add_to_linker(l)?;
    wit::types::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::events::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::log::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::output::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::config::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::syscalls::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::clock::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    wit::tasks::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    Ok(linker)
}
