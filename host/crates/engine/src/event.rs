//! What clients are told, and what they answer.

use std::fmt;

use pai_ptrace::{NewTask, Pid, SigInfo, Signal, Tid};

use crate::error::Error;

/// One stop of one task as offered to one client. Never reused; the low half is
/// the task's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StopId(u64);

impl StopId {
    pub(crate) fn new(sequence: u32, tid: Tid) -> Self {
        Self(u64::from(sequence) << 32 | u64::from(tid.get().cast_unsigned()))
    }

    /// The id with this number.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its number.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The task that stopped.
    pub fn tid(self) -> Tid {
        Tid::new((self.0 as u32).cast_signed())
    }
}

impl fmt::Display for StopId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 32, self.tid())
    }
}

/// A number that a client gets for something of its own; never reused.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub(crate) u64);

        impl $name {
            /// The one with this number.
            pub fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            /// Its number.
            pub fn raw(self) -> u64 {
                self.0
            }
        }
    };
}

number!(
    /// A breakpoint or watchpoint.
    BreakpointId
);
number!(
    /// A hook of a function.
    HookId
);
number!(
    /// Something that a client makes a task do.
    OperationId
);

/// A system call as the kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SyscallId {
    /// AUDIT_ARCH_*.
    pub abi: u32,
    /// Number in this ABI.
    pub nr: u32,
}

/// How a process or task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// Exit code.
    Exited(u8),
    /// Terminating signal; true when a core was dumped.
    Killed(Signal, bool),
    /// Vanished when another task of its process called exec.
    Superseded,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Exited(code) => write!(f, "exited with {code}"),
            ExitStatus::Killed(signal, core) => {
                write!(f, "killed by signal {signal}")?;
                if *core {
                    f.write_str(" (core dumped)")?;
                }
                Ok(())
            }
            ExitStatus::Superseded => f.write_str("superseded by exec"),
        }
    }
}

bitflags::bitflags! {
    /// What clients did to a call.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct Touched: u8 {
        /// The call or its result is another.
        const TAMPERED = 1;
        /// Memory that one of its arguments points to was written.
        const POKED = 2;
        /// It was held up on purpose.
        const DELAYED = 4;
    }
}

/// Entry or exit of a system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyscallStop {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// The call.
    pub call: SyscallId,
    /// Raw argument registers.
    pub args: [u64; 6],
    /// Exit only: raw result.
    pub ret: Option<i64>,
    /// Exit only: the kernel restarts the call; `ret` is no result.
    pub restarts: bool,
    /// restart_syscall only: the call that it continues.
    pub continues: Option<u32>,
    /// Exit only: false when the entry was not seen.
    pub entry_seen: bool,
    /// What clients did to it so far.
    pub touched: Touched,
    /// Behind the syscall instruction.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
    /// Exit only: nanoseconds since the entry, 0 when unknown.
    pub took: u64,
}

/// A signal that is about to be delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignalStop {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// Which.
    pub signal: Signal,
    /// The instruction that is executed next; 0 if that is not known.
    pub ip: u64,
    /// The kernel's siginfo, if a client wants it.
    pub info: Option<SigInfo>,
    /// The stack, if a client captures frames, in the encoding of
    /// [`pai_syscalls::decode::stack`].
    pub frames: Vec<u8>,
    /// CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
}

/// Stops without an event of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherStop {
    /// Asked for by the engine, or a SIGCONT was sent to a process that was not
    /// stopped (ptrace_trap_notify in kernel/signal.c).
    Interrupt,
    /// First stop of a new task.
    Start,
    /// A vfork child released its parent.
    VforkDone,
    /// About to end.
    Exit,
}

/// Why the session is over for a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The spawned target, or the last attached process, ended.
    Exited(ExitStatus),
    /// The client or the user detached.
    Detached,
    /// The user asked to stop.
    Interrupted,
    /// The host cannot go on.
    Fatal(String),
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "fields are named as in the other structures")]
pub enum Event {
    /// Before a system call.
    SyscallEnter(SyscallStop),
    /// After a system call.
    SyscallExit(SyscallStop),
    /// Before a signal is delivered.
    Signal(SignalStop),
    /// A new task, in its first stop.
    TaskStarted {
        pid: Pid,
        tid: Tid,
        creator: Option<Tid>,
        at: u64,
    },
    /// A task ended; perhaps one that was killed before its first stop, so that
    /// its start was not told.
    TaskExited {
        pid: Pid,
        tid: Tid,
        status: ExitStatus,
        at: u64,
    },
    /// All tasks of a process ended.
    ProcessExited {
        pid: Pid,
        status: ExitStatus,
        at: u64,
    },
    /// A task made a process.
    Forked {
        pid: Pid,
        tid: Tid,
        child: Pid,
        kind: NewTask,
        followed: bool,
        at: u64,
    },
    /// A process executes another program.
    Execed(Box<Execed>),
    /// A group-stop, or its end.
    JobControl {
        pid: Pid,
        tid: Tid,
        signal: Signal,
        stopped: bool,
        at: u64,
    },
    /// Any other stop.
    Stop {
        pid: Pid,
        tid: Tid,
        status: i32,
        kind: OtherStop,
        at: u64,
    },
    /// A task is about to execute the instruction at a breakpoint, or has touched
    /// watched memory.
    Breakpoint(Hit),
    /// A task has entered a hooked function.
    FunctionEnter(Box<FunctionCall>),
    /// A task has left a hooked function.
    FunctionReturn(Box<FunctionCall>),
    /// An operation that the client started has ended.
    OperationDone(Box<OperationDone>),
    /// The client's timeout passed.
    Timeout,
    /// So many notices were dropped.
    Lost(u64),
    /// The last event.
    Ended(End),
}

/// An exec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execed {
    /// Process.
    pub pid: Pid,
    /// The task that called, by its id before.
    pub former: Tid,
    /// From /proc/PID/exe.
    pub path: Vec<u8>,
    /// From /proc/PID/cmdline.
    pub argv: Vec<Vec<u8>>,
    /// AUDIT_ARCH_* of the new program.
    pub abi: u32,
    /// CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
}

/// A breakpoint that was hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// Which breakpoint of the client's.
    pub breakpoint: BreakpointId,
    /// The instruction that is about to be executed; behind the one that has
    /// touched watched memory.
    pub addr: u64,
    /// What was touched, of a watchpoint.
    pub data: Option<u64>,
    /// CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
}

/// A call of a hooked function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionCall {
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// Which hook of the client's.
    pub hook: HookId,
    /// The function.
    pub function: u64,
    /// The same number at entry and return.
    pub call: u64,
    /// Where it returns to.
    pub caller: u64,
    /// How many hooked calls of this client are around it in this task.
    pub depth: u32,
    /// Return only: the result register, unless the frame was left otherwise.
    pub ret: Option<u64>,
    /// CLOCK_MONOTONIC nanoseconds.
    pub at: u64,
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperationDone {
    /// Which.
    pub operation: OperationId,
    /// Process.
    pub pid: Pid,
    /// Task.
    pub tid: Tid,
    /// With what.
    pub outcome: Result<Outcome, Error>,
}

/// What an operation came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// New instruction pointer.
    Stepped(u64),
    /// The function returned.
    Called {
        /// First and second integer result register.
        int: [u64; 2],
        /// First vector result register, low half.
        float: u64,
    },
    /// Raw result of the system call.
    Syscalled(i64),
}

/// What to do with a stopped task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Go on as if nobody had looked.
    Proceed,
    /// At entry: execute this call instead.
    Rewrite {
        /// Number.
        nr: u32,
        /// Arguments.
        args: [u64; 6],
    },
    /// At entry: do not execute it, return this.
    Skip(i64),
    /// As `Skip`, with a call that does nothing executed in its place: what looks at
    /// calls in the target, such as a filter (seccomp(2)), sees that one.
    StandIn {
        /// Its number: one of the class `pure`.
        nr: u32,
        /// What is returned.
        ret: i64,
    },
    /// At exit, or at a hooked function's return: replace the result.
    SetReturn(i64),
    /// At a signal: deliver this one, or none.
    Deliver(Option<Signal>),
    /// Stop tracing this process for this client.
    Detach,
    /// Kill the process.
    Kill,
    /// At a breakpoint or a hooked function: take it away, then go on.
    Remove,
    /// At the entry of a hooked function: return this at once.
    ReturnEarly(i64),
}

/// One event for one client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The task stays stopped until this is answered; `None` for notices.
    pub stop: Option<StopId>,
    /// What happened.
    pub event: Event,
}

impl Event {
    /// The task it is about, where there is one.
    pub fn tid(&self) -> Option<Tid> {
        match self {
            Event::SyscallEnter(stop) | Event::SyscallExit(stop) => Some(stop.tid),
            Event::Signal(stop) => Some(stop.tid),
            Event::TaskStarted { tid, .. }
            | Event::TaskExited { tid, .. }
            | Event::Forked { tid, .. }
            | Event::JobControl { tid, .. }
            | Event::Stop { tid, .. } => Some(*tid),
            Event::Breakpoint(hit) => Some(hit.tid),
            Event::FunctionEnter(call) | Event::FunctionReturn(call) => Some(call.tid),
            Event::OperationDone(done) => Some(done.tid),
            Event::Execed(exec) => Some(exec.pid.leader()),
            Event::ProcessExited { pid, .. } => Some(pid.leader()),
            Event::Timeout | Event::Lost(_) | Event::Ended(_) => None,
        }
    }

    /// For who has not asked for the stack; `None` where there is none.
    pub(crate) fn without_frames(&self) -> Option<Self> {
        match self {
            Event::Signal(stop) if !stop.frames.is_empty() => Some(Event::Signal(SignalStop {
                frames: Vec::new(),
                ..*stop
            })),
            _ => None,
        }
    }

    /// What of the client's own has reported.
    pub(crate) fn subject(&self) -> Option<Subject> {
        match self {
            Event::Breakpoint(hit) => Some(Subject::Breakpoint(hit.breakpoint)),
            Event::FunctionEnter(call) | Event::FunctionReturn(call) => {
                Some(Subject::Hook(call.hook))
            }
            _ => None,
        }
    }
}

/// What a client has put into a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Breakpoint(BreakpointId),
    Hook(HookId),
    /// A step over a call, which returns here.
    Operation(OperationId),
    /// Hooked functions return here.
    Returns,
    /// The function may jump out of frames of hooked ones.
    Jumper,
}
