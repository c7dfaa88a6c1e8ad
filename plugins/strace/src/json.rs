//! The same as JSON objects, one for each thing that happened.

use pai_plugin::decode::Captured;
use pai_plugin::decode::json::push_arguments;
use pai_plugin::decode::text::push_name;
use pai_plugin::json::Object;
use pai_plugin::output::emit;
use pai_plugin::{Call, Event, ExecInfo, ExitStatus, RecordFlags, Result, SignalStop};
use pai_syscalls::errno;
use pai_syscalls::signal::Name;

use crate::call;
use crate::settings::Settings;
use crate::siginfo;
use crate::stack;

pub(crate) fn call(call: Call<'_>, settings: &Settings) -> Result<()> {
    emit("syscall", &call_object(call, settings))
}

pub(crate) fn event(event: &Event) -> Result<()> {
    match event {
        Event::Signal(stop) => emit("signal", &signal_object(stop)),
        Event::TaskExited(end) => {
            let object = Object::new().number("pid", end.pid).number("tid", end.tid);
            let object = with_status(object, &end.status).number("at", end.at);
            emit("exit", &object.end())
        }
        Event::Execed(exec) => emit("exec", &exec_object(exec)),
        Event::JobControl(job) => {
            let object = Object::new()
                .number("pid", job.pid)
                .number("tid", job.tid)
                .text("signal", &Name(job.signal).to_string())
                .flag("stopped", job.stopped)
                .number("at", job.at);
            emit("job-control", &object.end())
        }
        Event::Lost(events) => lost(*events),
        _ => Ok(()),
    }
}

pub(crate) fn lost(records: u64) -> Result<()> {
    emit("lost", &Object::new().number("records", records).end())
}

/// Arguments and results in typed form; texts with registers for a call of which nothing
/// is known, and for all where nothing more is wanted.
fn call_object(call: Call<'_>, settings: &Settings) -> String {
    let record = call.record;
    let decoded = call::decoded(call, settings, false);
    let mut name = Vec::new();
    match &decoded {
        Some(decoded) => decoded.push_name(&mut name),
        None => push_name(&mut name, record.call.abi, record.call.nr),
    }
    let mut object = Object::new()
        .number("pid", record.pid)
        .number("tid", record.tid)
        .text("syscall", &String::from_utf8_lossy(&name))
        .number("nr", record.call.nr)
        .number("abi", record.call.abi);
    if let Some(decoded) = &decoded {
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
    if let Some(result) = decoded.as_ref().and_then(|decoded| decoded.ret.as_ref()) {
        object = object.value("result", result);
    }
    if flags.contains(RecordFlags::RESTARTS) {
        object = object.flag("restarts", true);
    }
    if let Some(name) = call::error(record).and_then(errno::name) {
        object = object.text("error", name);
    }
    if let Some(note) = decoded.as_ref().and_then(|decoded| decoded.note.as_ref()) {
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
        .number("at", record.at)
        .number("took", record.took)
        .end()
}

fn signal_object(stop: &SignalStop) -> String {
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
    object.number("at", stop.at).end()
}

fn exec_object(exec: &ExecInfo) -> String {
    Object::new()
        .number("pid", exec.pid)
        .number("former_tid", exec.former_tid)
        .text("path", &exec.path)
        .texts("argv", &exec.argv)
        .number("at", exec.at)
        .end()
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
        call_object(Call { record, captured }, &settings)
    }

    #[test]
    fn a_failed_call_names_its_error() {
        let close = record(11, "close", &[3], -9);
        assert_eq!(
            object(&close, Detail::Raw),
            r#"{"pid":10,"tid":11,"syscall":"close","nr":3,"abi":3221225534,"args":["0x3"],"ret":-9,"error":"EBADF","at":1000,"took":5}"#
        );
        assert_eq!(
            object(&close, Detail::Basic),
            r#"{"pid":10,"tid":11,"syscall":"close","nr":3,"abi":3221225534,"args":[{"name":"fd","raw":"0x3","value":3}],"ret":-9,"error":"EBADF","at":1000,"took":5}"#
        );
    }

    #[test]
    fn a_result_has_its_type() {
        let seek = record(11, "lseek", &[3, 0, 2], 1 << 60);
        let args = r#"[{"name":"fd","raw":"0x3","value":3},{"name":"offset","raw":"0x0","value":0},{"name":"whence","raw":"0x2","value":{"value":2,"name":"SEEK_END"}}]"#;
        assert_eq!(
            object(&seek, Detail::Full),
            format!(
                r#"{{"pid":10,"tid":11,"syscall":"lseek","nr":8,"abi":3221225534,"args":{args},"ret":1152921504606846976,"result":"0x1000000000000000","at":1000,"took":5}}"#
            )
        );
    }

    #[test]
    fn a_call_that_never_returned_has_no_result() {
        let mut pause = record(10, "pause", &[], 0);
        pause.record_flags = RecordFlags::NO_RETURN;
        assert_eq!(
            object(&pause, Detail::Raw),
            r#"{"pid":10,"tid":10,"syscall":"pause","nr":34,"abi":3221225534,"args":[],"no_return":true,"at":1000,"took":5}"#
        );
    }

    #[test]
    fn events_are_objects() {
        assert_eq!(
            signal_object(&stop(11, 1, &[])),
            r#"{"pid":7,"tid":7,"signal":"SIGSEGV","number":11,"code":"SEGV_MAPERR","at":0}"#
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
            exec_object(&exec),
            r#"{"pid":1,"former_tid":2,"path":"/bin/a\"b","argv":["a",""],"at":9}"#
        );
    }
}
