//! A process that executes what the test writes into it, one instruction at a
//! time.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut};

use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid as NixPid;
use pai_engine::displaced::Memory;
use pai_ptrace::wait::{self, Block, Waited, What};
use pai_ptrace::{Mem, Options, Program, Regs, Resume, Stop, Stopped, SyscallOp, Tid, spawn};

use crate::fixtures;

/// The call by which the fixture tells its addresses.
const GETPRIORITY: u64 = 140;
const TOLD: u64 = 0x1240;

/// Trap and resume flag: a step leaves traces of itself in them.
pub const STEP_FLAGS: u64 = 1 << 8 | 1 << 16;

/// A thread of `code_pages`, stopped.
#[derive(Debug)]
pub struct Puppet {
    /// Taken out while it runs.
    stopped: Option<Stopped>,
    tid: Tid,
    mem: Mem,
    /// An area of memory below 2 GiB.
    pub low: u64,
    /// One where mappings usually are.
    pub high: u64,
    /// Size of an area.
    pub size: u64,
    /// Its registers at the first stop: a start for others.
    pub regs: Regs,
}

/// Why it stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signal {
    /// Its number.
    pub number: i32,
    /// si_code.
    pub code: i32,
    /// si_addr, where there is one.
    pub address: Option<u64>,
}

impl Puppet {
    /// Starts it, and takes it over when it has told its addresses.
    pub fn start() -> Self {
        let path = CString::new(fixtures::CODE_PAGES).expect("no NUL in it");
        let program = Program {
            argv: vec![path.clone()],
            path,
            env: Vec::new(),
            cwd: None,
            stdio: [None, None, None],
            user: None,
        };
        let options = Options::SYSGOOD | Options::EXITKILL | Options::EXEC;
        let spawned = spawn(&program, options).expect("it can be started");
        let (mut stopped, mut gate) = spawned.into_parts();
        gate.open(None).expect("it waits");
        let tid = stopped.tid();
        loop {
            let (next, what) = go_on(stopped, Resume::Syscall);
            stopped = next;
            assert!(
                matches!(what, Stop::Syscall | Stop::Exec | Stop::Interrupt),
                "{what:?}"
            );
            let regs = stopped.regs().expect("it is stopped");
            let [which, low, high, size, ..] = regs.syscall_args(false);
            let told = regs.syscall_nr().cast_unsigned() == GETPRIORITY && which == TOLD;
            let exit = what == Stop::Syscall
                && stopped
                    .syscall_info()
                    .is_ok_and(|info| matches!(info.op, SyscallOp::Exit { .. }));
            if !(told && exit) {
                continue;
            }
            let mut regs = regs;
            // Out of the call: nothing is to be started over.
            regs.set_syscall_nr(-1);
            return Self {
                stopped: Some(stopped),
                tid,
                mem: Mem::open(tid).expect("it is alive"),
                low,
                high,
                size,
                regs,
            };
        }
    }

    fn stopped(&self) -> &Stopped {
        self.stopped.as_ref().expect("it is stopped")
    }

    /// Its registers.
    pub fn regs(&self) -> Regs {
        self.stopped().regs().expect("it is stopped")
    }

    /// Sets them.
    pub fn set_regs(&self, regs: &Regs) {
        self.stopped().set_regs(regs).expect("proper values");
    }

    /// x87, vector and further registers.
    pub fn extended_state(&self) -> Vec<u8> {
        self.stopped().extended_state().expect("it is stopped")
    }

    /// Sets them.
    pub fn set_extended_state(&self, state: &[u8]) {
        self.stopped()
            .set_extended_state(state)
            .expect("what it was");
    }

    /// Writes memory.
    pub fn write(&self, addr: u64, bytes: &[u8]) {
        let written = self.mem.write(addr, bytes).expect("it is alive");
        assert_eq!(written, bytes.len());
    }

    /// Reads memory.
    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        assert_eq!(self.mem.read(addr, &mut bytes).expect("it is alive"), len);
        bytes
    }

    /// Lets it run to its next stop.
    pub fn go_on(&mut self, how: Resume) -> Stop {
        let stopped = self.stopped.take().expect("it is stopped");
        let (stopped, what) = go_on(stopped, how);
        self.stopped = Some(stopped);
        what
    }

    /// Lets it run to its next signal, which is never delivered.
    pub fn run(&mut self, how: Resume) -> Signal {
        let what = self.go_on(how);
        assert!(matches!(what, Stop::SignalDelivery(_)), "{what:?}");
        let info = self.stopped().siginfo().expect("a signal");
        Signal {
            number: info.signal(),
            code: info.code(),
            address: info.address(),
        }
    }
}

fn go_on(stopped: Stopped, how: Resume) -> (Stopped, Stop) {
    let tid = stopped.tid();
    stopped.resume(how, None).expect("it is alive");
    match wait::one(tid, Block::Yes) {
        Ok(Waited::Report(report)) => match report.what {
            What::Stopped(stopped, what) => (stopped, what),
            ended => panic!("it has ended: {ended:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// With its own rights.
impl Memory for Puppet {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        let len = bytes.len();
        let Ok(base) = usize::try_from(addr) else {
            return false;
        };
        let pid = NixPid::from_raw(self.tid.get());
        let mut local = [IoSliceMut::new(bytes)];
        process_vm_readv(pid, &mut local, &[RemoteIoVec { base, len }]) == Ok(len)
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let len = bytes.len();
        let Ok(base) = usize::try_from(addr) else {
            return false;
        };
        let pid = NixPid::from_raw(self.tid.get());
        let local = [IoSlice::new(bytes)];
        process_vm_writev(pid, &local, &[RemoteIoVec { base, len }]) == Ok(len)
    }
}

/// Numbers that look random and are always the same (splitmix64).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// That many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.draw().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
