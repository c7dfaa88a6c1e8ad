//! Looking at the targets: memory, registers, tasks.

use crate::bindings::pai::plugin::control;
use crate::bindings::pai::plugin::memory::{self, Mapping, Protection};
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

    /// A register of the extended state, such as `xmm0`, `ymm0`, `k1`, `st0`,
    /// `mxcsr`, in its byte order.
    ///
    /// # Errors
    /// `not-found`, `not-stopped`.
    pub fn vector(&self, tid: Tid, name: &str) -> Result<Vec<u8>> {
        Ok(registers::get_vector(tid, name)?)
    }

    /// Changes one. Capability `registers-write`.
    ///
    /// # Errors
    /// As [`Client::vector`]; `invalid` for another size.
    pub fn set_vector(&self, tid: Tid, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(registers::set_vector(tid, name, bytes)?)
    }

    /// A whole register set by its NT_* number, as the kernel lays it out.
    ///
    /// # Errors
    /// `not-found`, `not-stopped`.
    pub fn register_set(&self, tid: Tid, note: u32) -> Result<Vec<u8>> {
        Ok(registers::get_set(tid, note)?)
    }

    /// Replaces one. Capability `registers-write`.
    ///
    /// # Errors
    /// As [`Client::register_set`].
    pub fn set_register_set(&self, tid: Tid, note: u32, bytes: &[u8]) -> Result<()> {
        Ok(registers::set_set(tid, note, bytes)?)
    }

    /// Memory in the process of a held task, filled with zeros. It is unmapped when
    /// the value is dropped. Capability `inject`.
    ///
    /// # Errors
    /// `not-stopped`, `unsupported` at a stop from which nothing can be run,
    /// `limit`.
    pub fn allocate(&self, tid: Tid, len: u64, protection: Protection) -> Result<Allocation> {
        let pid = self.task(tid)?.pid;
        let addr = memory::allocate(tid, len, protection)?;
        Ok(Allocation { pid, addr, len })
    }

    /// Memory that holds these bytes. Capability `memory-write` besides.
    ///
    /// # Errors
    /// As [`Client::allocate`].
    pub fn place_bytes(&self, tid: Tid, bytes: &[u8]) -> Result<Allocation> {
        let protection = Protection::READ | Protection::WRITE;
        let memory = self.allocate(tid, (bytes.len() as u64).max(1), protection)?;
        self.write_bytes(memory.pid, memory.addr, bytes)?;
        Ok(memory)
    }

    /// Memory that holds this text and a NUL.
    ///
    /// # Errors
    /// As [`Client::place_bytes`].
    pub fn place_string(&self, tid: Tid, text: &str) -> Result<Allocation> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.place_bytes(tid, &bytes)
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

    /// Has the kernel send a signal to a task whose call this plugin holds, when the
    /// task goes on. Capability `tamper`.
    ///
    /// # Errors
    /// `not-stopped`; `invalid` at another stop.
    pub fn raise(&self, tid: Tid, signal: u32) -> Result<()> {
        Ok(control::raise(tid, signal)?)
    }

    /// Lets a task whose call this plugin holds go on so many nanoseconds later than it
    /// would; others go on meanwhile. Capability `control`.
    ///
    /// # Errors
    /// As [`Client::raise`]; `limit` above 2^32 seconds.
    pub fn delay(&self, tid: Tid, nanos: u64) -> Result<()> {
        Ok(control::delay(tid, nanos)?)
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

/// Memory of the plugin's in a target.
#[derive(Debug)]
pub struct Allocation {
    pid: Pid,
    addr: u64,
    len: u64,
}

impl Allocation {
    /// Whose memory it is in.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Where it begins.
    pub fn addr(&self) -> u64 {
        self.addr
    }

    /// Bytes that were asked for.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: no bytes are no allocation.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Makes it larger or smaller, in a held task of its process; it may move.
    ///
    /// # Errors
    /// As [`Client::allocate`].
    pub fn resize(&mut self, tid: Tid, len: u64) -> Result<()> {
        self.addr = memory::reallocate(tid, self.addr, len)?;
        self.len = len;
        Ok(())
    }

    /// Leaves it to the target for good.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn leak(self) -> Result<u64> {
        let addr = self.addr;
        memory::leak(self.pid, addr)?;
        std::mem::forget(self);
        Ok(addr)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // With its process gone it is, too.
        drop(memory::free(self.pid, self.addr));
    }
}

fn length(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| Error::from(ErrorKind::Limit("read-size".to_owned())))
}
