//! Looking at the targets: memory, registers, tasks.

use crate::bindings::pai::plugin::control;
use crate::bindings::pai::plugin::memory::{self, Mapping};
use crate::bindings::pai::plugin::registers;
use crate::bindings::pai::plugin::tasks::{self, Target, Task};
use crate::bindings::pai::plugin::types::{Pid, Tid};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};

/// General registers of one stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Registers {
    names: std::rc::Rc<[String]>,
    general: registers::General,
}

impl Registers {
    /// Instruction pointer.
    pub fn ip(&self) -> u64 {
        self.general.ip
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        self.general.sp
    }

    /// One register by its name, such as `rax`.
    pub fn get(&self, name: &str) -> Option<u64> {
        let at = self.names.iter().position(|n| n == name)?;
        self.general.values.get(at).copied()
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.names.iter().map(String::as_str);
        names.zip(self.general.values.iter().copied())
    }
}

/// Fetched in one call, kept while the task is held.
#[derive(Debug, Default)]
pub(crate) struct RegisterCache {
    names: Option<std::rc::Rc<[String]>>,
    last: Option<(Tid, registers::General)>,
}

impl RegisterCache {
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }
}

macro_rules! numbers {
    ($($read:ident, $write:ident, $type:ty;)*) => {
        $(
            /// A number of this type, in the byte order of the target.
            ///
            /// # Errors
            /// As [`Client::read_bytes`].
            pub fn $read(&self, pid: Pid, addr: u64) -> Result<$type> {
                const SIZE: usize = size_of::<$type>();
                let bytes = self.read_bytes(pid, addr, SIZE)?;
                let bytes: [u8; SIZE] = bytes
                    .try_into()
                    .map_err(|_| Error::new("the host sent too few bytes"))?;
                Ok(<$type>::from_le_bytes(bytes))
            }

            /// Writes a number of this type. Capability `memory-write`.
            ///
            /// # Errors
            /// As [`Client::write_bytes`].
            pub fn $write(&self, pid: Pid, addr: u64, value: $type) -> Result<()> {
                self.write_bytes(pid, addr, &value.to_le_bytes())
            }
        )*
    };
}

/// Bytes of one search in the host.
const SEARCH: u64 = 16 << 20;

impl<S: 'static> Client<S> {
    /// Exactly `len` bytes. Capability `memory-read`.
    ///
    /// # Errors
    /// `bad-address`, `no-such-process`, `limit` above 16 MiB.
    pub fn read_bytes(&self, pid: Pid, addr: u64, len: usize) -> Result<Vec<u8>> {
        Ok(memory::read(pid, addr, length(len)?)?)
    }

    /// Up to `len` bytes: those before the first unreadable page.
    ///
    /// # Errors
    /// As [`Client::read_bytes`].
    pub fn read_some(&self, pid: Pid, addr: u64, len: usize) -> Result<Vec<u8>> {
        Ok(memory::read_some(pid, addr, length(len)?)?)
    }

    /// Many reads in one call, one result for each.
    ///
    /// # Errors
    /// `no-such-process`, `limit`; what fails singly fails in its own result.
    pub fn read_many(&self, pid: Pid, requests: &[(u64, u32)]) -> Result<Vec<Result<Vec<u8>>>> {
        let results = memory::read_many(pid, requests)?;
        Ok(results
            .into_iter()
            .map(|result| result.map_err(Error::from))
            .collect())
    }

    /// Bytes up to and without the next NUL; `max` of them when there is none.
    ///
    /// # Errors
    /// As [`Client::read_bytes`].
    pub fn read_c_string(&self, pid: Pid, addr: u64, max: usize) -> Result<Vec<u8>> {
        Ok(memory::read_c_string(pid, addr, length(max)?)?)
    }

    /// Writes all of `bytes`, into pages that the target itself may only read,
    /// too. Capability `memory-write`.
    ///
    /// # Errors
    /// `bad-address`, with what was written before it; `no-such-process`, `limit`
    /// above 16 MiB.
    pub fn write_bytes(&self, pid: Pid, addr: u64, bytes: &[u8]) -> Result<()> {
        Ok(memory::write(pid, addr, bytes)?)
    }

    numbers! {
        read_u8, write_u8, u8;
        read_u16, write_u16, u16;
        read_u32, write_u32, u32;
        read_u64, write_u64, u64;
        read_u128, write_u128, u128;
        read_i8, write_i8, i8;
        read_i16, write_i16, i16;
        read_i32, write_i32, i32;
        read_i64, write_i64, i64;
        read_i128, write_i128, i128;
        read_f32, write_f32, f32;
        read_f64, write_f64, f64;
    }

    /// The first `max` addresses in a range at which `pattern` stands as a
    /// whole, ascending. Pages that cannot be read are passed over.
    ///
    /// # Errors
    /// `no-such-process`; `limit` for a pattern above 4 KiB; `invalid` for an
    /// empty one.
    pub fn find(
        &self,
        pid: Pid,
        range: std::ops::Range<u64>,
        pattern: &[u8],
        max: u32,
    ) -> Result<Vec<u64>> {
        let mut found = Vec::new();
        let mut start = range.start;
        while start < range.end && found.len() < max as usize {
            let len = SEARCH.min(range.end - start);
            let left = max - u32::try_from(found.len()).unwrap_or(max);
            let len32 = u32::try_from(len).unwrap_or(u32::MAX);
            found.extend(memory::find(pid, start, len32, pattern, left)?);
            if start + len == range.end {
                break;
            }
            // One that lies across the border is whole in the next part.
            start += len + 1 - (pattern.len() as u64).clamp(1, len);
        }
        Ok(found)
    }

    /// Mappings of a process, ascending.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn maps(&self, pid: Pid) -> Result<Vec<Mapping>> {
        Ok(memory::maps(pid)?)
    }

    /// General registers of a task that this plugin holds; read once per stop.
    ///
    /// # Errors
    /// `not-stopped`, `no-such-task`.
    pub fn registers(&mut self, tid: Tid) -> Result<Registers> {
        let names = match &self.registers.names {
            Some(names) => names.clone(),
            None => {
                let names: std::rc::Rc<[String]> = registers::names(tid)?.into();
                self.registers.names = Some(names.clone());
                names
            }
        };
        let general = match &self.registers.last {
            Some((of, general)) if *of == tid => general.clone(),
            _ => {
                let general = registers::get_all(tid)?;
                self.registers.last = Some((tid, general.clone()));
                general
            }
        };
        Ok(Registers { names, general })
    }

    /// Changes one register. Capability `registers-write`.
    ///
    /// # Errors
    /// `not-found`, `not-stopped`.
    pub fn set_register(&mut self, tid: Tid, name: &str, value: u64) -> Result<()> {
        self.registers.forget();
        Ok(registers::set(tid, name, value)?)
    }

    /// Traced processes, oldest first.
    ///
    /// # Errors
    /// When the session is over.
    pub fn targets(&self) -> Result<Vec<Target>> {
        Ok(tasks::targets()?)
    }

    /// Tasks of one process, or of all.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn tasks(&self, pid: Option<Pid>) -> Result<Vec<Task>> {
        Ok(tasks::list(pid)?)
    }

    /// One task.
    ///
    /// # Errors
    /// `no-such-task`.
    pub fn task(&self, tid: Tid) -> Result<Task> {
        Ok(tasks::get(tid)?)
    }

    /// Sends a signal to a task. Capability `tamper`.
    ///
    /// # Errors
    /// `no-such-task`.
    pub fn send_signal(&self, tid: Tid, signal: u32) -> Result<()> {
        Ok(control::send_signal(tid, signal)?)
    }

    /// Stops tracing one process.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn detach_process(&self, pid: Pid) -> Result<()> {
        Ok(control::detach_process(pid)?)
    }

    /// Ends the session for this plugin; its last event follows.
    ///
    /// # Errors
    /// When it is over already.
    pub fn detach(&self) -> Result<()> {
        Ok(control::detach()?)
    }

    /// Kills a process. Capability `kill`.
    ///
    /// # Errors
    /// `no-such-process`.
    pub fn kill(&self, pid: Pid) -> Result<()> {
        Ok(control::kill(pid)?)
    }
}

fn length(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::from(ErrorKind::Limit("read-size".to_owned())))
}
