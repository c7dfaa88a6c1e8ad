//! Between the engine's types and those of the contract.

use pai_engine as engine;
use pai_ptrace::{NewTask, Pid, SigInfo, Signal, Tid};
use pai_syscalls::decode::{Descriptors, Limits};

use super::bindings::types::Error;
use super::bindings::{events, memory, observe, tasks, types};

/// Numbers that a plugin gives are ids only if a kernel could have given them.
pub(crate) fn pid(raw: types::Pid) -> Result<Pid, Error> {
    i32::try_from(raw)
        .map(Pid::new)
        .map_err(|_| Error::NoSuchProcess(raw))
}

pub(crate) fn tid(raw: types::Tid) -> Result<Tid, Error> {
    i32::try_from(raw)
        .map(Tid::new)
        .map_err(|_| Error::NoSuchTask(raw))
}

pub(crate) fn signal(raw: u32) -> Result<Signal, Error> {
    i32::try_from(raw)
        .ok()
        .and_then(Signal::new)
        .ok_or_else(|| Error::Invalid(format!("there is no signal {raw}")))
}

const fn raw_pid(pid: Pid) -> types::Pid {
    pid.get().cast_unsigned()
}

const fn raw_tid(tid: Tid) -> types::Tid {
    tid.get().cast_unsigned()
}

const fn raw_signal(signal: Signal) -> u32 {
    signal.get().cast_unsigned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(lines: &[Vec<u8>]) -> Vec<String> {
    lines.iter().map(|line| text(line)).collect()
}

impl From<engine::SyscallId> for types::SyscallId {
    fn from(call: engine::SyscallId) -> Self {
        Self {
            abi: call.abi,
            nr: call.nr,
        }
    }
}

impl From<types::SyscallId> for engine::SyscallId {
    fn from(call: types::SyscallId) -> Self {
        Self {
            abi: call.abi,
            nr: call.nr,
        }
    }
}

impl From<engine::ExitStatus> for types::ExitStatus {
    fn from(status: engine::ExitStatus) -> Self {
        match status {
            engine::ExitStatus::Exited(code) => Self::Exited(code),
            engine::ExitStatus::Killed(signal, core) => Self::Killed((raw_signal(signal), core)),
            engine::ExitStatus::Superseded => Self::Other("superseded".to_owned()),
        }
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::BadAddress { pid, addr, done } => Self::BadAddress(types::Fault {
                pid: raw_pid(pid),
                addr,
                done,
            }),
            engine::Error::NoSuchTask(tid) => Self::NoSuchTask(raw_tid(tid)),
            engine::Error::NoSuchProcess(pid) => Self::NoSuchProcess(raw_pid(pid)),
            engine::Error::NotStopped(tid) => Self::NotStopped(raw_tid(tid)),
            engine::Error::StaleStop(stop) => Self::StaleStop(stop.raw()),
            engine::Error::TargetExited(status) => Self::TargetExited(status.into()),
            engine::Error::NotFound(text) => Self::NotFound(text),
            engine::Error::Invalid(text) => Self::Invalid(text),
            engine::Error::Unsupported(text) => Self::Unsupported(text),
            engine::Error::Busy(tid) => Self::Busy(format!("task {tid} runs an operation")),
            engine::Error::Interrupted => Self::Interrupted,
            engine::Error::Timeout => Self::Timeout,
            engine::Error::Signalled(signal) => Self::Signalled(raw_signal(signal)),
            engine::Error::Limit(what) => Self::Limit(what.to_owned()),
            engine::Error::Os { errno, operation } => Self::Os(types::OsError {
                code: errno.unsigned_abs(),
                operation: operation.to_owned(),
            }),
            other => internal(other.to_string()),
        }
    }
}

/// An inconsistency that was survived; the log has it under the same number.
pub(crate) fn internal(message: String) -> Error {
    let report = report_number();
    tracing::error!(target: "pai::host", report, message, "internal error");
    Error::Internal(types::InternalError { report, message })
}

/// Why the session cannot go on. The user is told too, at its end.
fn fatal(message: String) -> types::InternalError {
    let report = report_number();
    tracing::debug!(target: "pai::host", report, message, "fatal");
    types::InternalError { report, message }
}

/// The time tells reports apart, also those of two sessions in one log.
fn report_number() -> u64 {
    pai_ptrace::monotonic_nanos()
}

/// What calls say after the session's end.
pub(crate) fn over(end: Option<&engine::End>) -> Error {
    Error::TargetExited(match end {
        Some(engine::End::Exited(status)) => (*status).into(),
        Some(engine::End::Detached) => types::ExitStatus::Other("detached".to_owned()),
        Some(engine::End::Interrupted) => types::ExitStatus::Other("interrupted".to_owned()),
        Some(engine::End::Fatal(_)) | None => types::ExitStatus::Other("over".to_owned()),
    })
}

/// What a plugin wants to hear of, in the engine's words.
pub(crate) fn topic(topic: events::Topic) -> Result<engine::Topic, Error> {
    Ok(match topic {
        events::Topic::Syscalls(filter) => engine::Topic::Syscalls(syscall_filter(filter)?),
        events::Topic::Signals(numbers) => engine::Topic::Signals(signals(numbers)?),
        events::Topic::SignalNumbers(numbers) => engine::Topic::SignalNumbers(signals(numbers)?),
        events::Topic::Tasks => engine::Topic::Tasks,
        events::Topic::Forks => engine::Topic::Forks,
        events::Topic::Execs => engine::Topic::Execs,
        events::Topic::JobControl => engine::Topic::JobControl,
        events::Topic::AllStops => engine::Topic::AllStops,
        events::Topic::Other(name) => {
            return Err(Error::Unsupported(format!("the topic {name:?}")));
        }
    })
}

/// Lists are looked through at every stop, and kept by the host.
const MOST_ITEMS: usize = 4096;

fn bounded(items: usize) -> Result<(), Error> {
    if items > MOST_ITEMS {
        return Err(Error::Limit("list-size".to_owned()));
    }
    Ok(())
}

fn signals(numbers: Vec<u32>) -> Result<Vec<Signal>, Error> {
    bounded(numbers.len())?;
    numbers.into_iter().map(signal).collect()
}

fn syscall_filter(filter: events::SyscallFilter) -> Result<engine::SyscallFilter, Error> {
    use engine::SyscallSet;
    use events::SyscallSet as Wanted;

    if let Some((name, _)) = filter.extra.first() {
        return Err(Error::Unsupported(format!("the filter option {name:?}")));
    }
    bounded(filter.tasks.len())?;
    bounded(match &filter.which {
        Wanted::Names(names) | Wanted::Except(names) => names.len(),
        Wanted::Only(ids) => ids.len(),
        Wanted::All | Wanted::Other(_) => 0,
    })?;
    let which = match filter.which {
        Wanted::All => SyscallSet::All,
        Wanted::Names(names) => SyscallSet::Only(SyscallSet::ids(&names)?),
        Wanted::Only(ids) => SyscallSet::Only(ids.into_iter().map(Into::into).collect()),
        Wanted::Except(names) => SyscallSet::Except(SyscallSet::ids(&names)?),
        Wanted::Other(name) => return Err(Error::Unsupported(format!("the set {name:?}"))),
    };
    let tasks: Result<_, _> = filter.tasks.into_iter().map(tid).collect();
    Ok(engine::SyscallFilter {
        which,
        enter: filter.enter,
        exit: filter.exit,
        tasks: tasks?,
        capture: filter.capture.map(limits).transpose()?,
    })
}

fn descriptors(wanted: events::Descriptors) -> Descriptors {
    Descriptors {
        paths: wanted.contains(events::Descriptors::PATHS),
        sockets: wanted.contains(events::Descriptors::SOCKETS),
        devices: wanted.contains(events::Descriptors::DEVICES),
        processes: wanted.contains(events::Descriptors::PROCESSES),
    }
}

/// How much a plugin may have captured of one call.
pub(crate) fn limits(limits: events::CaptureLimits) -> Result<Limits, Error> {
    const MOST_FRAMES: u32 = 4096;
    let (text, items) = (limits.text as usize, limits.items as usize);
    let few = text <= Limits::MOST_TEXT && items <= Limits::MOST_ITEMS;
    if !few || limits.frames > MOST_FRAMES {
        return Err(Error::Limit("capture".to_owned()));
    }
    Ok(Limits {
        text,
        items,
        descriptors: descriptors(limits.descriptors),
        frames: limits.frames as usize,
        tasks: limits.tasks,
        brief: false,
    })
}

fn syscall_event(stop: &engine::SyscallStop) -> events::SyscallEvent {
    events::SyscallEvent {
        pid: raw_pid(stop.pid),
        tid: raw_tid(stop.tid),
        call: stop.call.into(),
        args: stop.args.into(),
        ret: stop.ret,
        restarts: stop.restarts,
        continues: stop.continues,
        entry_seen: stop.entry_seen,
        ip: stop.ip,
        at: stop.at,
        took: stop.took,
    }
}

fn signal_stop(stop: &engine::SignalStop) -> events::SignalStop {
    let info = stop.info.as_ref();
    events::SignalStop {
        pid: raw_pid(stop.pid),
        tid: raw_tid(stop.tid),
        signal: raw_signal(stop.signal),
        code: info.map_or(0, SigInfo::code),
        addr: info.and_then(SigInfo::address).unwrap_or(0),
        sender: info.and_then(SigInfo::sender).map_or(0, i32::cast_unsigned),
        ip: stop.ip,
        info: info.map_or_else(Vec::new, |info| info.to_bytes().to_vec()),
        frames: stop.frames.clone(),
        at: stop.at,
    }
}

fn exec_info(exec: &engine::Execed) -> events::ExecInfo {
    events::ExecInfo {
        pid: raw_pid(exec.pid),
        former_tid: raw_tid(exec.former),
        path: text(&exec.path),
        argv: texts(&exec.argv),
        abi: exec.abi,
        at: exec.at,
    }
}

fn function_event(call: &engine::FunctionCall) -> events::FunctionEvent {
    events::FunctionEvent {
        pid: raw_pid(call.pid),
        tid: raw_tid(call.tid),
        hook: call.hook.raw(),
        function: call.function,
        call: call.call,
        caller: call.caller,
        depth: call.depth,
        ret: call.ret,
        at: call.at,
    }
}

fn op_result(done: engine::OperationDone) -> events::OpResult {
    use engine::Outcome as O;
    use events::OpOutcome as W;
    events::OpResult {
        op: done.operation.raw(),
        pid: raw_pid(done.pid),
        tid: raw_tid(done.tid),
        outcome: match done.outcome {
            Ok(O::Stepped(ip)) => W::Stepped(ip),
            Ok(O::Called { int, float }) => W::Called(events::CallResult {
                int: int[0],
                int2: int[1],
                float: f64::from_bits(float),
            }),
            Ok(O::Syscalled(ret)) => W::Syscalled(ret),
            Err(error) => W::Failed(error.into()),
        },
    }
}

fn end(end: engine::End) -> events::End {
    match end {
        engine::End::Exited(status) => events::End::Exited(status.into()),
        engine::End::Detached => events::End::Detached,
        engine::End::Interrupted => events::End::Interrupted,
        engine::End::Fatal(message) => events::End::Fatal(fatal(message)),
    }
}

const fn kind_name(kind: NewTask) -> &'static str {
    match kind {
        NewTask::Fork => "fork",
        NewTask::Vfork => "vfork",
        NewTask::Clone => "clone",
    }
}

const fn stop_name(kind: engine::OtherStop) -> &'static str {
    match kind {
        engine::OtherStop::Interrupt => "interrupt",
        engine::OtherStop::Start => "start",
        engine::OtherStop::VforkDone => "vfork-done",
        engine::OtherStop::Exit => "exit",
    }
}

impl From<engine::Event> for events::Event {
    fn from(event: engine::Event) -> Self {
        use engine::Event as E;
        match event {
            E::SyscallEnter(stop) => Self::SyscallEnter(syscall_event(&stop)),
            E::SyscallExit(stop) => Self::SyscallExit(syscall_event(&stop)),
            E::Signal(stop) => Self::Signal(signal_stop(&stop)),
            E::TaskStarted {
                pid,
                tid,
                creator,
                at,
            } => Self::TaskStarted(events::TaskStart {
                pid: raw_pid(pid),
                tid: raw_tid(tid),
                creator: creator.map_or(0, raw_tid),
                at,
            }),
            E::TaskExited {
                pid,
                tid,
                status,
                at,
            } => Self::TaskExited(events::TaskEnd {
                pid: raw_pid(pid),
                tid: raw_tid(tid),
                status: status.into(),
                at,
            }),
            E::ProcessExited { pid, status, at } => Self::ProcessExited(events::ProcessEnd {
                pid: raw_pid(pid),
                status: status.into(),
                at,
            }),
            E::Forked {
                pid,
                tid,
                child,
                kind,
                followed,
                at,
            } => Self::Forked(events::ForkInfo {
                pid: raw_pid(pid),
                tid: raw_tid(tid),
                child: raw_pid(child),
                kind: kind_name(kind).to_owned(),
                followed,
                at,
            }),
            E::Execed(exec) => Self::Execed(exec_info(&exec)),
            E::JobControl {
                pid,
                tid,
                signal,
                stopped,
                at,
            } => Self::JobControl(events::JobEvent {
                pid: raw_pid(pid),
                tid: raw_tid(tid),
                signal: raw_signal(signal),
                stopped,
                at,
            }),
            E::Stop {
                pid,
                tid,
                status,
                kind,
                at,
            } => Self::Stop(events::OtherStop {
                pid: raw_pid(pid),
                tid: raw_tid(tid),
                status: status.cast_unsigned(),
                name: stop_name(kind).to_owned(),
                at,
            }),
            E::Breakpoint(hit) => Self::Breakpoint(events::BreakpointHit {
                pid: raw_pid(hit.pid),
                tid: raw_tid(hit.tid),
                breakpoint: hit.breakpoint.raw(),
                addr: hit.addr,
                data: hit.data,
                at: hit.at,
            }),
            E::FunctionEnter(call) => Self::FunctionEnter(function_event(&call)),
            E::FunctionReturn(call) => Self::FunctionReturn(function_event(&call)),
            E::OperationDone(done) => Self::OpDone(op_result(*done)),
            E::Timeout => Self::Timeout,
            E::Lost(count) => Self::Lost(count),
            E::Ended(last) => Self::Ended(end(last)),
        }
    }
}

impl From<engine::Delivery> for events::Delivery {
    fn from(delivery: engine::Delivery) -> Self {
        Self {
            stop: delivery.stop.map(engine::StopId::raw),
            event: delivery.event.into(),
        }
    }
}

impl From<engine::TargetInfo> for tasks::Target {
    fn from(target: engine::TargetInfo) -> Self {
        Self {
            pid: raw_pid(target.pid),
            abi: target.abi,
            exe: text(&target.exe),
            argv: texts(&target.argv),
            attached: target.attached,
            parent: target.parent.map_or(0, raw_pid),
            page_size: PAGE_SIZE,
        }
    }
}

/// x86_64 has no other base page size.
const PAGE_SIZE: u32 = 4096;

impl From<engine::TaskInfo> for tasks::Task {
    fn from(task: engine::TaskInfo) -> Self {
        Self {
            tid: raw_tid(task.tid),
            pid: raw_pid(task.pid),
            name: task.name,
            state: match task.state {
                engine::TaskState::Running => tasks::State::Running,
                engine::TaskState::Stopped => tasks::State::Stopped,
                engine::TaskState::Exited => tasks::State::Exited,
            },
        }
    }
}

const PROTECTIONS: [(engine::Protection, memory::Protection); 4] = [
    (engine::Protection::READ, memory::Protection::READ),
    (engine::Protection::WRITE, memory::Protection::WRITE),
    (engine::Protection::EXECUTE, memory::Protection::EXECUTE),
    (engine::Protection::SHARED, memory::Protection::SHARED),
];

/// What memory is to allow.
pub(crate) fn protection(wanted: memory::Protection) -> engine::Protection {
    let mut protection = engine::Protection::empty();
    for (ours, theirs) in PROTECTIONS {
        if wanted.contains(theirs) {
            protection |= ours;
        }
    }
    protection
}

impl From<engine::Mapping> for memory::Mapping {
    fn from(mapping: engine::Mapping) -> Self {
        let mut protection = memory::Protection::empty();
        for (ours, theirs) in PROTECTIONS {
            if mapping.protection.contains(ours) {
                protection |= theirs;
            }
        }
        Self {
            start: mapping.start,
            end: mapping.end,
            protection,
            offset: mapping.offset,
            device: mapping.device,
            inode: mapping.inode,
            name: mapping.name,
        }
    }
}

impl From<engine::observe::Batch<'_>> for observe::Batch {
    fn from(batch: engine::observe::Batch<'_>) -> Self {
        let mut syscalls = Vec::with_capacity(batch.calls.len() * 13);
        for call in batch.calls {
            let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
            syscalls.push(pair(raw_pid(call.pid), raw_tid(call.tid)));
            syscalls.push(pair(call.call.abi, call.call.nr));
            syscalls.extend(call.args);
            syscalls.extend([call.ret.cast_unsigned(), call.ip, call.at, call.took]);
            syscalls.push(pair(u32::from(call.flags.bits()), call.captured));
        }
        Self {
            syscalls,
            captured: batch.captured.to_vec(),
            others: batch
                .others()
                .map(|(place, event)| (place, event.clone().into()))
                .collect(),
            lost: batch.lost,
            last: batch.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_no_ids_are_refused() {
        assert!(pid(7).is_ok_and(|pid| pid.get() == 7));
        assert!(matches!(pid(u32::MAX), Err(Error::NoSuchProcess(u32::MAX))));
        assert!(matches!(tid(1 << 31), Err(Error::NoSuchTask(_))));
        assert!(signal(64).is_ok());
        for raw in [0, 65, u32::MAX] {
            assert!(matches!(signal(raw), Err(Error::Invalid(_))), "{raw}");
        }
    }

    #[test]
    fn what_is_newer_than_us_is_named() {
        let unknown = topic(events::Topic::Other("breakpoints".into()));
        assert!(matches!(unknown, Err(Error::Unsupported(name)) if name.contains("breakpoints")));
        let filter = events::SyscallFilter {
            which: events::SyscallSet::Names(vec!["opneat".into()]),
            enter: true,
            exit: false,
            tasks: Vec::new(),
            capture: None,
            extra: Vec::new(),
        };
        let typo = topic(events::Topic::Syscalls(filter.clone()));
        assert!(matches!(typo, Err(Error::NotFound(name)) if name.contains("opneat")));
        let extra = events::SyscallFilter {
            which: events::SyscallSet::All,
            extra: vec![("detail".into(), "full".into())],
            ..filter
        };
        let extra = topic(events::Topic::Syscalls(extra));
        assert!(matches!(extra, Err(Error::Unsupported(name)) if name.contains("detail")));
    }
}
