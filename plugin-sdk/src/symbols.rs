//! Names and addresses, and call stacks.

use crate::bindings::pai::plugin::symbols::{self, Import, Location, Module, Source, Symbol};
use crate::bindings::pai::plugin::types::{Pid, Tid};
use crate::bindings::pai::plugin::unwind;
use crate::client::Client;
use crate::error::{ErrorKind, Result};

/// Symbols fetched in one call.
const AT_ONCE: u32 = 4096;

/// All of these need the capability `memory-read`.
impl<S: 'static> Client<S> {
    /// Entry point of the executable.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn entry(&self, pid: Pid) -> Result<u64> {
        Ok(symbols::entry(pid)?)
    }

    /// The executable and what is loaded, in load order.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn modules(&self, pid: Pid) -> Result<Vec<Module>> {
        Ok(symbols::modules(pid)?)
    }

    /// The symbol of this name, which may be `MODULE!NAME`.
    ///
    /// # Errors
    /// `no-such-process`, `invalid`.
    pub fn lookup(&self, pid: Pid, name: &str) -> Result<Option<Symbol>> {
        Ok(symbols::lookup(pid, name)?)
    }

    /// The address of the symbol of this name.
    ///
    /// # Errors
    /// `not-found`.
    pub fn address_of(&self, pid: Pid, name: &str) -> Result<u64> {
        match self.lookup(pid, name)? {
            Some(symbol) => Ok(symbol.value),
            None => {
                let text = format!("no symbol {name:?} in process {pid}");
                Err(ErrorKind::NotFound(text).into())
            }
        }
    }

    /// All symbols whose names match a shell pattern, `MODULE!PATTERN` too.
    ///
    /// # Errors
    /// `no-such-process`, `invalid`.
    pub fn search(&self, pid: Pid, pattern: &str) -> Result<Vec<Symbol>> {
        let mut all = Vec::new();
        loop {
            let skip = u32::try_from(all.len()).unwrap_or(u32::MAX);
            let some = symbols::search(pid, pattern, skip, AT_ONCE)?;
            let full = some.len() == AT_ONCE as usize;
            all.extend(some);
            if !full {
                return Ok(all);
            }
        }
    }

    /// The symbol that an address is in, or the nearest below it.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn resolve(&self, pid: Pid, addr: u64) -> Result<Option<Location>> {
        Ok(symbols::resolve(pid, addr)?)
    }

    /// Functions and lines of source at an address, inlined ones first.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn locate(&self, pid: Pid, addr: u64) -> Result<Vec<Source>> {
        Ok(symbols::locate(pid, addr)?)
    }

    /// The slot of the global offset table through which a module reaches a name.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn got_slot(&self, pid: Pid, module: &str, name: &str) -> Result<Option<u64>> {
        Ok(symbols::got_slot(pid, module, name)?)
    }

    /// All names that a module gets from others.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn imports(&self, pid: Pid, module: &str) -> Result<Vec<Import>> {
        Ok(symbols::imports(pid, module)?)
    }

    /// Instruction addresses of a held task's call stack, innermost first.
    ///
    /// # Errors
    /// `not-stopped`.
    pub fn backtrace(&self, tid: Tid, max: u32) -> Result<Vec<u64>> {
        Ok(unwind::backtrace(tid, max)?)
    }
}
