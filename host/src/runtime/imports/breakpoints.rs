//! `breakpoints`: what a plugin has in the code of its targets.

use pai_engine::{
    BreakpointId, BreakpointKind, BreakpointOptions, Comparison as EngineComparison,
    Condition as EngineCondition, HookId, HookOptions, HookSite as EngineSite,
    Place as EnginePlace,
};
use pai_ptrace::Register;
use wasmtime::component::Resource;

use crate::runtime::bindings::breakpoints::{
    Comparison, Condition, HookOptions as WitHookOptions, Host, HostBreakpoint, HostHook, Kind,
    Options, Place, Site,
};
use crate::runtime::bindings::types::{Address, Error, Pid};
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

/// A breakpoint of the plugin; gone with its handle.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
pub struct Breakpoint {
    id: BreakpointId,
}

/// A hook of the plugin; gone with its handle.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated code re-exports it")]
pub struct Hook {
    id: HookId,
}

impl Host for State {}

fn no_extra(extra: &[(String, String)]) -> Result<(), Error> {
    match extra.first() {
        Some((name, _)) => Err(Error::Unsupported(format!("the option {name:?}"))),
        None => Ok(()),
    }
}

fn breakpoint_options(options: &Options) -> Result<BreakpointOptions, Error> {
    no_extra(&options.extra)?;
    let kind = match &options.kind {
        Kind::Software => BreakpointKind::Software,
        Kind::HardwareExecute => BreakpointKind::HardwareExecute,
        Kind::Write(len) => BreakpointKind::Write(*len),
        Kind::Access(len) => BreakpointKind::Access(*len),
        Kind::Other(name) => {
            return Err(Error::Unsupported(format!("the kind {name:?}")));
        }
    };
    Ok(BreakpointOptions {
        kind,
        tid: options.tid.map(convert::tid).transpose()?,
        once: options.once,
        skip: options.skip,
        when: options
            .when
            .iter()
            .map(condition)
            .collect::<Result<_, _>>()?,
    })
}

fn condition(condition: &Condition) -> Result<EngineCondition, Error> {
    let register = |name: &String| {
        Register::named(name).ok_or_else(|| Error::NotFound(format!("the register {name:?}")))
    };
    let place = match &condition.place {
        Place::Register(name) => EnginePlace::Register(register(name)?),
        Place::Memory((base, offset)) => EnginePlace::Memory {
            base: base.as_ref().map(register).transpose()?,
            offset: *offset,
        },
        Place::Other(name) => return Err(Error::Unsupported(format!("the place {name:?}"))),
    };
    Ok(EngineCondition {
        place,
        len: condition.len,
        mask: condition.mask,
        comparison: match condition.comparison {
            Comparison::Equal => EngineComparison::Equal,
            Comparison::NotEqual => EngineComparison::NotEqual,
            Comparison::Below => EngineComparison::Below,
            Comparison::NotBelow => EngineComparison::NotBelow,
            Comparison::Less => EngineComparison::Less,
            Comparison::NotLess => EngineComparison::NotLess,
        },
        value: condition.value,
    })
}

impl HostBreakpoint for State {
    fn insert(
        &mut self,
        pid: Pid,
        addr: Address,
        options: Options,
    ) -> wasmtime::Result<Result<Resource<Breakpoint>, Error>> {
        let inserted = self.require(Capability::Control).and_then(|()| {
            let pid = convert::pid(pid)?;
            let options = breakpoint_options(&options)?;
            self.on_tracer(|engine, client| engine.insert_breakpoint(client, pid, addr, options))
        });
        match inserted {
            Ok(id) => Ok(Ok(self.table.push(Breakpoint { id })?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn id(&mut self, breakpoint: Resource<Breakpoint>) -> wasmtime::Result<u64> {
        self.enter();
        Ok(self.table.get(&breakpoint)?.id.raw())
    }

    fn hits(&mut self, breakpoint: Resource<Breakpoint>) -> wasmtime::Result<Result<u64, Error>> {
        let id = self.table.get(&breakpoint)?.id;
        Ok(self.on_tracer(|engine, client| engine.breakpoint_hits(client, id)))
    }

    fn set_enabled(
        &mut self,
        breakpoint: Resource<Breakpoint>,
        on: bool,
    ) -> wasmtime::Result<Result<(), Error>> {
        let id = self.table.get(&breakpoint)?.id;
        Ok(self.on_tracer(|engine, client| engine.enable_breakpoint(client, id, on)))
    }

    fn remove(&mut self, breakpoint: Resource<Breakpoint>) -> wasmtime::Result<Result<(), Error>> {
        let id = self.table.get(&breakpoint)?.id;
        Ok(self.on_tracer(|engine, client| engine.remove_breakpoint(client, id)))
    }

    fn drop(&mut self, breakpoint: Resource<Breakpoint>) -> wasmtime::Result<()> {
        let Breakpoint { id } = self.table.delete(breakpoint)?;
        // It may have removed itself.
        drop(self.on_tracer(|engine, client| engine.remove_breakpoint(client, id)));
        Ok(())
    }
}

impl HostHook for State {
    fn insert(
        &mut self,
        pid: Pid,
        site: Site,
        options: WitHookOptions,
    ) -> wasmtime::Result<Result<Resource<Hook>, Error>> {
        let inserted = self.require(Capability::Control).and_then(|()| {
            no_extra(&options.extra)?;
            let pid = convert::pid(pid)?;
            let site = match site {
                Site::Entry(addr) => EngineSite::Entry(addr),
                Site::GotSlot(addr) => EngineSite::GotSlot(addr),
                Site::Other(name) => {
                    return Err(Error::Unsupported(format!("the site {name:?}")));
                }
            };
            let options = HookOptions {
                enter: options.enter,
                leave: options.leave,
                tid: options.tid.map(convert::tid).transpose()?,
            };
            self.on_tracer(|engine, client| engine.insert_hook(client, pid, site, options))
        });
        match inserted {
            Ok(id) => Ok(Ok(self.table.push(Hook { id })?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn id(&mut self, hook: Resource<Hook>) -> wasmtime::Result<u64> {
        self.enter();
        Ok(self.table.get(&hook)?.id.raw())
    }

    fn remove(&mut self, hook: Resource<Hook>) -> wasmtime::Result<Result<(), Error>> {
        let id = self.table.get(&hook)?.id;
        Ok(self.on_tracer(|engine, client| engine.remove_hook(client, id)))
    }

    fn drop(&mut self, hook: Resource<Hook>) -> wasmtime::Result<()> {
        let Hook { id } = self.table.delete(hook)?;
        // It may have been removed by an answer.
        drop(self.on_tracer(|engine, client| engine.remove_hook(client, id)));
        Ok(())
    }
}
