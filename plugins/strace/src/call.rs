//! One system call as text: arguments and result.

use pai_plugin::decode::text::{
    Style, push_decimal, push_error, push_escaped, push_hex, push_name, push_raw_arguments,
    push_restart,
};
use pai_plugin::decode::{Captured, Decoded, Descriptors, Limits, is_error};
use pai_plugin::select::concerns as has_one;
use pai_plugin::{Call, RecordFlags, SyscallId, SyscallRecord};

use crate::addresses;
use crate::settings::Settings;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Detail {
    /// Registers.
    Raw,
    /// What they mean.
    Basic,
    /// And what they lead to.
    #[default]
    Full,
}

/// What a call means, unless registers are wanted; see [`Limits::brief`].
pub(crate) fn decoded(call: Call<'_>, settings: &Settings, brief: bool) -> Option<Decoded> {
    let raw = settings.detail == Detail::Raw || settings.raw.has(call.record.call);
    if raw {
        return None;
    }
    let mut decoded = call.decode(Limits {
        brief,
        items: settings.items(settings.verbose.has(call.record.call)),
        ..settings.limits
    })?;
    if !settings.structures.has(call.record.call) {
        let captured = Captured::decode(call.captured);
        addresses::instead(&mut decoded, &captured, settings.limits.text);
    }
    Some(decoded)
}

/// Whether one of these paths is among the arguments of a call, by name or as a
/// descriptor; without paths all calls are meant.
pub(crate) fn concerns(
    decoded: Option<&Decoded>,
    captured: &Captured<'_>,
    paths: &[Vec<u8>],
) -> bool {
    paths.is_empty() || decoded.is_some_and(|decoded| has_one(decoded, captured, paths))
}

/// A call as these settings show it.
pub(crate) fn show<'a>(call: Call<'a>, settings: &Settings) -> Shown<'a> {
    let id = call.record.call;
    let verbose = settings.verbose.has(id);
    let descriptors = settings.limits.descriptors;
    let decoded = decoded(call, settings, !verbose);
    let style = Style {
        verbose,
        ..settings.style
    };
    Shown {
        call,
        style,
        decoded,
        described: descriptors != Descriptors::NONE,
        tasks: settings.limits.tasks,
        hex: settings.raw.has(id),
    }
}

/// A call that is to be shown.
pub(crate) struct Shown<'a> {
    call: Call<'a>,
    style: Style<'static>,
    decoded: Option<Decoded>,
    /// Descriptors have what they refer to.
    described: bool,
    /// Tasks have their names.
    tasks: bool,
    /// The result is shown as arguments are that nothing is known of.
    hex: bool,
}

impl Shown<'_> {
    /// Whether one of these is among its arguments, by name or as a descriptor.
    pub(crate) fn concerns(&self, paths: &[Vec<u8>]) -> bool {
        let captured = Captured::decode(self.call.captured);
        concerns(self.decoded.as_ref(), &captured, paths)
    }

    /// With what descriptors refer to, and the names of tasks, if these are wanted.
    fn with_style(&self, push: impl FnOnce(&Style<'_>)) {
        if !self.described && !self.tasks {
            return push(&self.style);
        }
        let captured = Captured::decode(self.call.captured);
        let name = |out: &mut Vec<u8>, task: i32| {
            if let Some(name) = captured.task(task) {
                push_task_name(out, name);
            }
        };
        push(&Style {
            descriptors: self.described.then_some(captured),
            task: if self.tasks { Some(&name) } else { None },
            ..self.style
        });
    }

    pub(crate) fn push_name(&self, out: &mut Vec<u8>) {
        let SyscallId { abi, nr } = self.call.record.call;
        match &self.decoded {
            Some(decoded) => decoded.push_name(out),
            None => push_name(out, abi, nr),
        }
    }

    /// The arguments that are known when the call is made.
    pub(crate) fn push_entry(&self, out: &mut Vec<u8>) {
        let SyscallId { abi, nr } = self.call.record.call;
        let Some(decoded) = &self.decoded else {
            return push_raw_arguments(out, abi, nr, self.call.arguments());
        };
        self.with_style(|style| style.push_entry(out, decoded));
    }

    /// The others.
    pub(crate) fn push_rest(&self, out: &mut Vec<u8>) {
        if let Some(decoded) = &self.decoded {
            self.with_style(|style| style.push_rest(out, decoded));
        }
    }

    /// `= 3`, `= -1 ENOENT (No such file or directory)`, `= ?`.
    pub(crate) fn push_result(&self, out: &mut Vec<u8>) {
        let record = self.call.record;
        let flags = record.record_flags;
        match &self.decoded {
            _ if flags.contains(RecordFlags::NO_RETURN) => out.extend_from_slice(b"= ?"),
            _ if flags.contains(RecordFlags::RESTARTS) => {
                out.extend_from_slice(b"= ");
                push_restart(out, record.ret);
            }
            Some(decoded) => self.with_style(|style| style.push_result(out, decoded, record.ret)),
            None => push_raw_result(out, record, self.hex),
        }
        if flags.contains(RecordFlags::NO_RETURN) {
            return;
        }
        let (args, retval) = (RecordFlags::POKED, RecordFlags::TAMPERED);
        out.extend_from_slice(match (flags.contains(args), flags.contains(retval)) {
            (false, false) => b"",
            (false, true) => b" (INJECTED)",
            (true, false) => b" (INJECTED: args)",
            (true, true) => b" (INJECTED: args, retval)",
        });
        if flags.contains(RecordFlags::DELAYED) {
            out.extend_from_slice(b" (DELAYED)");
        }
    }
}

/// `<sh>`
pub(crate) fn push_task_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'<');
    push_escaped(out, name, b"<>");
    out.push(b'>');
}

fn push_raw_result(out: &mut Vec<u8>, record: &SyscallRecord, hex: bool) {
    out.extend_from_slice(b"= ");
    if is_error(record.ret) {
        push_error(out, record.ret);
    } else if hex && record.ret != 0 || is_address(record.ret) {
        push_hex(out, record.ret.cast_unsigned());
    } else {
        push_decimal(out, record.ret);
    }
}

/// Whether a result of a call that nothing else is known of looks like one.
fn is_address(ret: i64) -> bool {
    !(0..=1 << 32).contains(&ret)
}

/// The errno of a failed call.
pub(crate) fn error(record: &SyscallRecord) -> Option<u32> {
    let failed = is_error(record.ret)
        && !record
            .record_flags
            .intersects(RecordFlags::NO_RETURN | RecordFlags::RESTARTS | RecordFlags::DETACHED);
    failed.then(|| u32::try_from(-record.ret).ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use pai_syscalls::abi::X86_64;

    /// Registers only.
    pub(crate) fn settings() -> Settings {
        Settings {
            detail: Detail::Raw,
            ..Settings::default()
        }
    }

    pub(crate) fn record(tid: u32, name: &str, args: &[u64], ret: i64) -> SyscallRecord {
        let arg = |i: usize| args.get(i).copied().unwrap_or(0);
        SyscallRecord {
            pid: 10,
            tid,
            call: SyscallId {
                abi: X86_64,
                nr: pai_syscalls::number(X86_64, name).unwrap(),
            },
            a0: arg(0),
            a1: arg(1),
            a2: arg(2),
            a3: arg(3),
            a4: arg(4),
            a5: arg(5),
            ret,
            ip: 0,
            at: 1000,
            took: 5,
            record_flags: RecordFlags::empty(),
            captured: 0,
        }
    }

    fn text(record: &SyscallRecord) -> String {
        let captured = &[];
        let shown = show(Call { record, captured }, &settings());
        let mut out = Vec::new();
        shown.push_name(&mut out);
        out.push(b'(');
        shown.push_entry(&mut out);
        shown.push_rest(&mut out);
        out.extend_from_slice(b") ");
        shown.push_result(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn calls_have_as_many_arguments_as_the_kernel_reads() {
        let read = record(1, "read", &[3, 0x7ffe_0000_0010, 64, 99], 64);
        assert_eq!(text(&read), "read(0x3, 0x7ffe00000010, 0x40) = 64");
        assert_eq!(text(&record(1, "getpid", &[1], 10)), "getpid() = 10");
        assert_eq!(text(&record(1, "close", &[0], 0)), "close(0) = 0");
    }

    #[test]
    fn unknown_numbers_show_all_six() {
        let mut odd = record(1, "read", &[10, 0, u64::MAX], -38);
        odd.call.nr = 0x1000;
        assert_eq!(
            text(&odd),
            "syscall_0x1000(0xa, 0, 0xffffffffffffffff, 0, 0, 0) \
             = -1 ENOSYS (Function not implemented)"
        );
    }

    #[test]
    fn results_read_like_straces() {
        let mut pause = record(1, "pause", &[], -514);
        pause.record_flags = RecordFlags::RESTARTS;
        assert_eq!(
            text(&pause),
            "pause() = ? ERESTARTNOHAND (To be restarted if no handler)"
        );
        pause.record_flags = RecordFlags::NO_RETURN;
        assert_eq!(text(&pause), "pause() = ?");
        assert_eq!(error(&pause), None);
        let mut brk = record(1, "brk", &[0], 0x55dc_004c_f000);
        assert_eq!(text(&brk), "brk(0) = 0x55dc004cf000");
        brk.record_flags = RecordFlags::TAMPERED;
        brk.ret = -12;
        assert_eq!(
            text(&brk),
            "brk(0) = -1 ENOMEM (Cannot allocate memory) (INJECTED)"
        );
        assert_eq!(error(&brk), Some(12));
        brk.record_flags = RecordFlags::empty();
        brk.ret = -4000;
        assert_eq!(text(&brk), "brk(0) = -1 (errno 4000)");
    }
}
