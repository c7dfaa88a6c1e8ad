//! The same as JSON objects, one for each thing that happened.

use pai_plugin::decode::json::push_arguments;
use pai_plugin::decode::text::push_name;
use pai_plugin::decode::{Captured, Decoded};
use pai_plugin::json::Object;
use pai_plugin::output::emit;
use pai_plugin::{
    Call, Event, ExecInfo, ExitStatus, JobEvent, RecordFlags, Result, SignalStop, TaskEnd,
};
use pai_syscalls::errno;
use pai_syscalls::signal::Name;

use crate::call;
use crate::settings::{Settings, Summary};
use crate::siginfo;
use crate::stack;
use crate::summary::Counts;
use crate::time::Clock;

mod about;

/// Makes records of what happens.
pub(crate) struct Records<'s> {
    settings: &'s Settings,
    clock: Clock,
    /// When the record before was begun, nanoseconds.
    before: Option<u64>,
    counts: Counts,
}

impl<'s> Records<'s> {
    pub(crate) fn new(settings: &'s Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            before: None,
            counts: Counts::default(),
        }
    }

    pub(crate) fn call(&mut self, call: Call<'_>) -> Result<()> {
        let settings = self.settings;
        if !settings.trace.has(call.call) {
            return Ok(());
        }
        if settings.summary != Summary::None {
            self.counts.add(call.record, settings.overhead);
        }
        if settings.summary == Summary::Only || !settings.statuses.want(call.record) {
            return Ok(());
        }
        let decoded = call::decoded(call, settings, false);
        let captured = Captured::decode(call.captured);
        if !call::concerns(decoded.as_ref(), &captured, &settings.paths) {
            return Ok(());
        }
        let object = call_object(call, decoded.as_ref());
        let object = about::push(object, decoded.as_ref(), &captured, call.tid, settings);
        let object = self.with_place(object, call.ip);
        let object = object.number("at", call.at).number("took", call.took);
        self.emit("syscall", object, call.at)
    }

    pub(crate) fn event(&mut self, event: &Event) -> Result<()> {
        let settings = self.settings;
        if let Event::Lost(events) = event {
            return lost(*events);
        }
        if settings.summary == Summary::Only {
            return Ok(());
        }
        match event {
            Event::Signal(stop) if settings.signals.has(stop.signal) => {
                let object = self.with_place(signal_object(stop), stop.ip);
                self.emit("signal", object.number("at", stop.at), stop.at)
            }
            Event::TaskExited(TaskEnd {
                status: ExitStatus::Other(_),
                ..
            }) if settings.quiet.superseded => Ok(()),
            Event::TaskExited(end) if settings.tells_end(&end.status) => {
                let object = Object::new().number("pid", end.pid).number("tid", end.tid);
                let object = with_status(object, &end.status).number("at", end.at);
                self.emit("exit", object, end.at)
            }
            Event::Execed(exec) if exec.pid == exec.former_tid || !settings.quiet.superseded => {
                self.emit("exec", exec_object(exec), exec.at)
            }
            Event::JobControl(job) => self.emit("job-control", job_object(job), job.at),
            _ => Ok(()),
        }
    }

    /// The rows of the table of counts, if there is to be one.
    pub(crate) fn end(&self) -> Result<()> {
        if self.settings.summary == Summary::None {
            return Ok(());
        }
        let (sort, columns) = (self.settings.sort, &self.settings.table);
        for (kind, object) in self.counts.objects(sort, columns) {
            emit(kind, &object)?;
        }
        Ok(())
    }

    fn with_place(&self, object: Object, ip: u64) -> Object {
        match self.settings.instruction_pointer {
            true => object.text("ip", &format!("{ip:#x}")),
            false => object,
        }
    }

    /// With the times that are wanted.
    fn emit(&mut self, kind: &str, mut object: Object, at: u64) -> Result<()> {
        let times = self.settings.times;
        let mut time = Vec::new();
        if times.push_absolute(&mut time, at, self.clock) {
            object = object.text("time", &String::from_utf8_lossy(&time));
        }
        if times.relative.is_some() {
            // Calls are told when they have ended: one may have begun before the last.
            let before = self.before.unwrap_or(at);
            object = object.number("since", i128::from(at) - i128::from(before));
        }
        self.before = Some(at);
        emit(kind, &object.end())
    }
}

pub(crate) fn lost(records: u64) -> Result<()> {
    emit("lost", &Object::new().number("records", records).end())
}

/// Arguments and results in typed form; texts with registers for a call of which nothing
/// is known, and for all where nothing more is wanted.
fn call_object(call: Call<'_>, decoded: Option<&Decoded>) -> Object {
    let record = call.record;
    let mut name = Vec::new();
    match decoded {
        Some(decoded) => decoded.push_name(&mut name),
        None => push_name(&mut name, record.call.abi, record.call.nr),
    }
    let mut object = Object::new()
        .number("pid", record.pid)
        .number("tid", record.tid)
        .text("syscall", &String::from_utf8_lossy(&name))
        .number("nr", record.call.nr)
        .number("abi", record.call.abi);
    if let Some(decoded) = decoded {
        let mut args = String::new();
        push_arguments(&mut args, decoded);
        object = object.json("args", &args);
    } else {
        let known = pai_syscalls::argument_count(record.call.abi, record.call.nr);
        let registers = call.arguments();
        let registers = registers.iter().take(known.unwrap_or(6).into());
        object = object.texts("args", registers.map(|register| format!("{register:#x}")));
    }

    let flags = record.record_flags;
    if flags.contains(RecordFlags::NO_RETURN) {
        object = object.flag("no_return", true);
    } else if flags.contains(RecordFlags::DETACHED) {
        object = object.flag("detached", true);
    } else {
        object = object.number("ret", record.ret);
    }
    if let Some(result) = decoded.and_then(|decoded| decoded.ret.as_ref()) {
        object = object.value("result", result);
    }
    if flags.contains(RecordFlags::RESTARTS) {
        object = object.flag("restarts", true);
    }
    if let Some(name) = call::error(record).and_then(errno::name) {
        object = object.text("error", name);
    }
    if let Some(note) = decoded.and_then(|decoded| decoded.note.as_ref()) {
        object = object.value("note", note);
    }
    if flags.contains(RecordFlags::NO_ENTRY) {
        object = object.flag("no_entry", true);
    }
    if flags.contains(RecordFlags::TAMPERED) {
        object = object.flag("tampered", true);
    }
    if flags.contains(RecordFlags::POKED) {
        object = object.flag("poked", true);
    }
    if flags.contains(RecordFlags::DELAYED) {
        object = object.flag("delayed", true);
    }
    if let Some(frames) = Captured::decode(call.captured).frames() {
        object = object.json("stack", &stack::json(frames));
    }
    object
}

fn signal_object(stop: &SignalStop) -> Object {
    let mut object = Object::new()
        .number("pid", stop.pid)
        .number("tid", stop.tid)
        .text("signal", &Name(stop.signal).to_string())
        .number("number", stop.signal)
        .text("code", &siginfo::code(stop.signal, stop.code));
    if stop.sender != 0 {
        object = object.number("sender", stop.sender);
    }
    if stop.addr != 0 {
        object = object.text("addr", &format!("{:#x}", stop.addr));
    }
    if !stop.frames.is_empty() {
        object = object.json("stack", &stack::json(&stop.frames));
    }
    object
}

fn job_object(job: &JobEvent) -> Object {
    Object::new()
        .number("pid", job.pid)
        .number("tid", job.tid)
        .text("signal", &Name(job.signal).to_string())
        .flag("stopped", job.stopped)
        .number("at", job.at)
}

fn exec_object(exec: &ExecInfo) -> Object {
    Object::new()
        .number("pid", exec.pid)
        .number("former_tid", exec.former_tid)
        .text("path", &exec.path)
        .texts("argv", &exec.argv)
        .number("at", exec.at)
}

fn with_status(object: Object, status: &ExitStatus) -> Object {
    match status {
        ExitStatus::Exited(code) => object.number("code", *code),
        ExitStatus::Killed((signal, core)) => object
            .text("signal", &Name(*signal).to_string())
            .flag("core", *core),
        ExitStatus::Other(text) => object.text("status", text),
    }
}

#[cfg(test)]
mod tests {
    use crate::call::Detail;
    use pai_plugin::SyscallRecord;

    use super::*;
    use crate::call::tests::record;
    use crate::siginfo::tests::stop;

    fn object(record: &SyscallRecord, detail: Detail) -> String {
        let settings = Settings {
            detail,
            ..Settings::default()
        };
        let captured = &[];
        let call = Call { record, captured };
        let decoded = call::decoded(call, &settings, false);
        call_object(call, decoded.as_ref()).end()
    }

    #[test]
    fn a_failed_call_names_its_error() {
        let close = record(11, "close", &[3], -9);
        assert_eq!(
            object(&close, Detail::Raw),
            r#"{"pid":10,"tid":11,"syscall":"close","nr":3,"abi":3221225534,"args":["0x3"],"ret":-9,"error":"EBADF"}"#
        );
        assert_eq!(
            object(&close, Detail::Basic),
            r#"{"pid":10,"tid":11,"syscall":"close","nr":3,"abi":3221225534,"args":[{"name":"fd","raw":"0x3","value":3}],"ret":-9,"error":"EBADF"}"#
        );
    }

    #[test]
    fn a_result_has_its_type() {
        let seek = record(11, "lseek", &[3, 0, 2], 1 << 60);
        let args = r#"[{"name":"fd","raw":"0x3","value":3},{"name":"offset","raw":"0x0","value":0},{"name":"whence","raw":"0x2","value":{"value":2,"name":"SEEK_END"}}]"#;
        assert_eq!(
            object(&seek, Detail::Full),
            format!(
                r#"{{"pid":10,"tid":11,"syscall":"lseek","nr":8,"abi":3221225534,"args":{args},"ret":1152921504606846976,"result":"0x1000000000000000"}}"#
            )
        );
    }

    #[test]
    fn a_call_that_never_returned_has_no_result() {
        let mut pause = record(10, "pause", &[], 0);
        pause.record_flags = RecordFlags::NO_RETURN;
        assert_eq!(
            object(&pause, Detail::Raw),
            r#"{"pid":10,"tid":10,"syscall":"pause","nr":34,"abi":3221225534,"args":[],"no_return":true}"#
        );
    }

    #[test]
    fn events_are_objects() {
        assert_eq!(
            signal_object(&stop(11, 1, &[])).end(),
            r#"{"pid":7,"tid":7,"signal":"SIGSEGV","number":11,"code":"SEGV_MAPERR"}"#
        );
        let exec = ExecInfo {
            pid: 1,
            former_tid: 2,
            path: "/bin/a\"b".into(),
            argv: vec!["a".into(), String::new()],
            abi: 0,
            at: 9,
        };
        assert_eq!(
            exec_object(&exec).end(),
            r#"{"pid":1,"former_tid":2,"path":"/bin/a\"b","argv":["a",""],"at":9}"#
        );
    }
}
