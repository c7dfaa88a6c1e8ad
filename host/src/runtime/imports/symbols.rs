//! `symbols` and `unwind`.

use crate::runtime::bindings::symbols::{Host, Import, Location, Module, Source, Symbol};
use crate::runtime::bindings::types::{Address, Error, Pid, Tid};
use crate::runtime::bindings::unwind;
use crate::runtime::capability::Capability;
use crate::runtime::convert;
use crate::runtime::state::State;

impl State {
    fn about<R>(
        &self,
        pid: Pid,
        ask: impl FnOnce(&mut pai_engine::Engine, pai_ptrace::Pid) -> Result<R, pai_engine::Error>,
    ) -> Result<R, Error> {
        self.require(Capability::MemoryRead)?;
        let pid = convert::pid(pid)?;
        self.on_tracer(|engine, _| ask(engine, pid))
    }
}

impl Host for State {
    fn entry(&mut self, pid: Pid) -> Result<Address, Error> {
        self.about(pid, pai_engine::Engine::entry)
    }

    fn modules(&mut self, pid: Pid) -> Result<Vec<Module>, Error> {
        let modules = self.about(pid, pai_engine::Engine::modules)?;
        Ok(modules.into_iter().map(Into::into).collect())
    }

    fn lookup(&mut self, pid: Pid, name: String) -> Result<Option<Symbol>, Error> {
        let symbol = self.about(pid, |engine, pid| engine.lookup(pid, &name))?;
        Ok(symbol.map(Into::into))
    }

    fn search(
        &mut self,
        pid: Pid,
        pattern: String,
        skip: u32,
        max: u32,
    ) -> Result<Vec<Symbol>, Error> {
        let size = |n| usize::try_from(n).unwrap_or(usize::MAX);
        let symbols = self.about(pid, |engine, pid| {
            engine.search(pid, &pattern, size(skip), size(max))
        })?;
        Ok(symbols.into_iter().map(Into::into).collect())
    }

    fn resolve(&mut self, pid: Pid, addr: Address) -> Result<Option<Location>, Error> {
        let location = self.about(pid, |engine, pid| engine.resolve(pid, addr))?;
        Ok(location.map(|location| Location {
            symbol: location.symbol.into(),
            offset: location.offset,
        }))
    }

    fn locate(&mut self, pid: Pid, addr: Address) -> Result<Vec<Source>, Error> {
        let lines = self.about(pid, |engine, pid| engine.locate(pid, addr))?;
        Ok(lines
            .into_iter()
            .map(|line| Source {
                function: line.function,
                file: line.file,
                line: line.line,
                column: line.column,
            })
            .collect())
    }

    fn got_slot(
        &mut self,
        pid: Pid,
        module: String,
        name: String,
    ) -> Result<Option<Address>, Error> {
        self.about(pid, |engine, pid| engine.got_slot(pid, &module, &name))
    }

    fn imports(&mut self, pid: Pid, module: String) -> Result<Vec<Import>, Error> {
        let imports = self.about(pid, |engine, pid| engine.imports(pid, &module))?;
        Ok(imports
            .into_iter()
            .map(|import| Import {
                name: import.name,
                slot: import.slot,
                is_call: import.is_call,
            })
            .collect())
    }
}

impl unwind::Host for State {
    fn backtrace(&mut self, tid: Tid, max: u32) -> Result<Vec<Address>, Error> {
        self.require(Capability::MemoryRead)?;
        let tid = convert::tid(tid)?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        self.on_tracer(|engine, client| engine.backtrace(client, tid, max))
    }
}

impl From<pai_engine::Module> for Module {
    fn from(module: pai_engine::Module) -> Self {
        Self {
            name: module.name,
            path: module.path,
            base: module.base,
            end: module.end,
            build_id: module.build_id,
            entry: module.entry,
        }
    }
}

const fn kind_name(kind: pai_engine::SymbolKind) -> &'static str {
    use pai_engine::SymbolKind as Kind;

    match kind {
        Kind::Function => "function",
        Kind::Object => "object",
        Kind::Tls => "tls",
        Kind::Ifunc => "ifunc",
        _ => "other",
    }
}

impl From<pai_engine::Symbol> for Symbol {
    fn from(symbol: pai_engine::Symbol) -> Self {
        Self {
            name: symbol.name,
            demangled: symbol.demangled,
            value: symbol.value,
            size: symbol.size,
            kind: kind_name(symbol.kind).to_owned(),
            module: symbol.module,
        }
    }
}
