//! Between the engine's types and the plugin interface's.

use pai_engine as engine;
use pai_ptrace::{NewTask, Pid, Signal, Tid};

use super::bindings::pai::plugin::events as wit;
use super::bindings::pai::plugin::types;

pub(crate) fn raw_pid(pid: Pid) -> u32 {
    pid.get().cast_unsigned()
}

pub(crate) fn raw_tid(tid: Tid) -> u32 {
    tid.get().cast_unsigned()
}

/// Ids come from plugins: any number may.
pub(crate) fn pid(raw: types::Pid) -> Pid {
    Pid::new(raw.cast_signed())
}

pub(crate) fn tid(raw: types::Tid) -> Tid {
    Tid::new(raw.cast_signed())
}

fn raw_signal(signal: Signal) -> u32 {
    signal.get().cast_unsigned()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn status(status: engine::ExitStatus) -> types::ExitStatus {
    match status {
        engine::ExitStatus::Exited(code) => types::ExitStatus::Exited(code),
        engine::ExitStatus::Killed(signal, core) => {
            types::ExitStatus::Killed((raw_signal(signal), core))
        }
        engine::ExitStatus::Superseded => types::ExitStatus::Other("superseded".to_owned()),
    }
}

pub(crate) fn error(error: engine::Error) -> types::Error {
    use engine::Error as E;
    match error {
        E::BadAddress { pid, addr, done } => types::Error::BadAddress(types::Fault {
            pid: raw_pid(pid),
            addr,
            done,
        }),
        E::NoSuchTask(tid) => types::Error::NoSuchTask(raw_tid(tid)),
        E::NoSuchProcess(pid) => types::Error::NoSuchProcess(raw_pid(pid)),
        E::NotStopped(tid) => types::Error::NotStopped(raw_tid(tid)),
        E::StaleStop(stop) => types::Error::StaleStop(stop.raw()),
        E::TargetExited(end) => types::Error::TargetExited(status(end)),
        E::NotFound(what) => types::Error::NotFound(what),
        E::Invalid(why) => types::Error::Invalid(why),
        E::Unsupported(what) => types::Error::Unsupported(what),
        E::Limit(which) => types::Error::Limit(which.to_owned()),
        E::Os { errno, operation } => types::Error::Os(types::OsError {
            code: errno.unsigned_abs(),
            operation: operation.to_owned(),
        }),
        other => internal(other.to_string()),
    }
}

/// A failure that nobody foresaw, numbered so that the log can be found.
pub(crate) fn internal(message: String) -> types::Error {
    use std::sync::atomic::{AtomicU64, Ordering};
    static REPORTS: AtomicU64 = AtomicU64::new(1);
    let report = REPORTS.fetch_add(1, Ordering::Relaxed);
    tracing::error!(target: "pai::host", report, "{message}");
    types::Error::Internal(types::InternalError { report, message })
}

fn syscall(stop: &engine::SyscallStop) -> wit::SyscallEvent {
    let [a, b, c, d, e, f] = stop.args;
    wit::SyscallEvent {
        pid: raw_pid(stop.pid),
        tid: raw_tid(stop.tid),
        call: types::SyscallId {
            abi: stop.call.abi,
            nr: stop.call.nr,
        },
        args: (a, b, c, d, e, f),
        ret: stop.ret,
        restarts: stop.restarts,
        continues: stop.continues,
        entry_seen: stop.entry_seen,
        ip: stop.ip,
        at: stop.at,
        took: stop.took,
    }
}

pub(crate) fn end(end: &engine::End) -> wit::End {
    match end {
        engine::End::Exited(how) => wit::End::Exited(status(*how)),
        engine::End::Detached => wit::End::Detached,
        engine::End::Interrupted => wit::End::Interrupted,
        engine::End::Fatal(message) => wit::End::Fatal(types::InternalError {
            report: 0,
            message: message.clone(),
        }),
    }
}

pub(crate) fn event(event: &engine::Event) -> wit::Event {
    use engine::Event as E;
    match event {
        E::SyscallEnter(stop) => wit::Event::SyscallEnter(syscall(stop)),
        E::SyscallExit(stop) => wit::Event::SyscallExit(syscall(stop)),
        E::Signal(stop) => wit::Event::Signal(wit::SignalStop {
            pid: raw_pid(stop.pid),
            tid: raw_tid(stop.tid),
            signal: raw_signal(stop.signal),
            code: stop.info.code(),
            addr: stop.info.address().unwrap_or(0),
            sender: stop.info.sender().map_or(0, i32::cast_unsigned),
            info: stop.info.as_bytes().to_vec(),
            at: stop.at,
        }),
        E::TaskStarted {
            pid,
            tid,
            creator,
            at,
        } => wit::Event::TaskStarted(wit::TaskStart {
            pid: raw_pid(*pid),
            tid: raw_tid(*tid),
            creator: creator.map_or(0, raw_tid),
            at: *at,
        }),
        E::TaskExited {
            pid,
            tid,
            status: how,
            at,
        } => wit::Event::TaskExited(wit::TaskEnd {
            pid: raw_pid(*pid),
            tid: raw_tid(*tid),
            status: status(*how),
            at: *at,
        }),
        E::ProcessExited {
            pid,
            status: how,
            at,
        } => wit::Event::ProcessExited(wit::ProcessEnd {
            pid: raw_pid(*pid),
            status: status(*how),
            at: *at,
        }),
        E::Forked {
            pid,
            tid,
            child,
            kind,
            followed,
            at,
        } => wit::Event::Forked(wit::ForkInfo {
            pid: raw_pid(*pid),
            tid: raw_tid(*tid),
            child: raw_pid(*child),
            kind: fork_kind(*kind).to_owned(),
            followed: *followed,
            at: *at,
        }),
        E::Execed(exec) => wit::Event::Execed(wit::ExecInfo {
            pid: raw_pid(exec.pid),
            former_tid: raw_tid(exec.former),
            path: text(&exec.path),
            argv: exec.argv.iter().map(|arg| text(arg)).collect(),
            abi: exec.abi,
            at: exec.at,
        }),
        E::JobControl {
            pid,
            tid,
            signal,
            stopped,
            at,
        } => wit::Event::JobControl(wit::JobEvent {
            pid: raw_pid(*pid),
            tid: raw_tid(*tid),
            signal: raw_signal(*signal),
            stopped: *stopped,
            at: *at,
        }),
        E::Stop {
            pid,
            tid,
            status,
            kind,
            at,
        } => wit::Event::Stop(wit::OtherStop {
            pid: raw_pid(*pid),
            tid: raw_tid(*tid),
            status: status.cast_unsigned(),
            name: stop_name(*kind).to_owned(),
            at: *at,
        }),
        E::Timeout => wit::Event::Timeout,
        E::Lost(n) => wit::Event::Lost(*n),
        E::Ended(why) => wit::Event::Ended(end(why)),
    }
}

fn fork_kind(kind: NewTask) -> &'static str {
    match kind {
        NewTask::Fork => "fork",
        NewTask::Vfork => "vfork",
        NewTask::Clone => "clone",
    }
}

fn stop_name(kind: engine::OtherStop) -> &'static str {
    match kind {
        engine::OtherStop::Interrupt => "interrupt",
        engine::OtherStop::Start => "start",
        engine::OtherStop::VforkDone => "vfork-done",
        engine::OtherStop::Exit => "exit",
    }
}

fn signal(number: u32) -> Result<Signal, types::Error> {
    i32::try_from(number)
        .ok()
        .and_then(Signal::new)
        .ok_or_else(|| types::Error::Invalid(format!("{number} is no signal (1 to 64)")))
}

pub(crate) fn signal_number(number: u32) -> Result<Signal, types::Error> {
    signal(number)
}

pub(crate) fn topic(topic: wit::Topic) -> Result<engine::Topic, types::Error> {
    Ok(match topic {
        wit::Topic::Syscalls(filter) => engine::Topic::Syscalls(syscall_filter(filter)?),
        wit::Topic::Signals(numbers) => {
            engine::Topic::Signals(numbers.into_iter().map(signal).collect::<Result<_, _>>()?)
        }
        wit::Topic::Tasks => engine::Topic::Tasks,
        wit::Topic::Forks => engine::Topic::Forks,
        wit::Topic::Execs => engine::Topic::Execs,
        wit::Topic::JobControl => engine::Topic::JobControl,
        wit::Topic::AllStops => engine::Topic::AllStops,
        wit::Topic::Other(name) => {
            return Err(types::Error::Unsupported(format!("topic {name:?}")));
        }
    })
}

fn syscall_filter(filter: wit::SyscallFilter) -> Result<engine::SyscallFilter, types::Error> {
    use engine::SyscallSet;
    if let Some((name, _)) = filter.extra.first() {
        return Err(types::Error::Unsupported(format!("filter option {name:?}")));
    }
    let which = match filter.which {
        wit::SyscallSet::All => SyscallSet::All,
        wit::SyscallSet::Names(names) => SyscallSet::Only(SyscallSet::ids(&names).map_err(error)?),
        wit::SyscallSet::Except(names) => {
            SyscallSet::Except(SyscallSet::ids(&names).map_err(error)?)
        }
        wit::SyscallSet::Only(ids) => SyscallSet::Only(
            ids.into_iter()
                .map(|id| engine::SyscallId {
                    abi: id.abi,
                    nr: id.nr,
                })
                .collect(),
        ),
        wit::SyscallSet::Other(name) => {
            return Err(types::Error::Unsupported(format!("syscall set {name:?}")));
        }
    };
    Ok(engine::SyscallFilter {
        which,
        enter: filter.enter,
        exit: filter.exit,
        tasks: filter.tasks.into_iter().map(tid).collect(),
    })
}

pub(crate) fn action(action: &wit::Action) -> Result<engine::Action, types::Error> {
    Ok(match action {
        wit::Action::Proceed => engine::Action::Proceed,
        wit::Action::RewriteSyscall(to) => {
            let (a, b, c, d, e, f) = to.args;
            engine::Action::Rewrite {
                nr: to.nr,
                args: [a, b, c, d, e, f],
            }
        }
        wit::Action::SkipSyscall(value) => engine::Action::Skip(*value),
        wit::Action::SetReturn(value) => engine::Action::SetReturn(*value),
        wit::Action::Deliver(0) => engine::Action::Deliver(None),
        wit::Action::Deliver(number) => engine::Action::Deliver(Some(signal(*number)?)),
        wit::Action::Detach => engine::Action::Detach,
        wit::Action::Kill => engine::Action::Kill,
        wit::Action::Other((name, _)) => {
            return Err(types::Error::Unsupported(format!("action {name:?}")));
        }
    })
}
