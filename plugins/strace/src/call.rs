//! One system call as text: arguments and result.

use pai_plugin::decode::text::{
    Style, push_decimal, push_error, push_hex, push_raw_arguments, push_restart,
};
use pai_plugin::decode::{Decoded, Limits, is_error};
use pai_plugin::{Call, RecordFlags, SyscallId, SyscallRecord};

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

/// How calls are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) detail: Detail,
    pub(crate) limits: Limits,
    pub(crate) style: Style<'static>,
}

impl Look {
    pub(crate) fn show(self, call: Call<'_>) -> Shown<'_> {
        let decoded = match self.detail {
            Detail::Raw => None,
            Detail::Basic | Detail::Full => call.decode(self.limits),
        };
        Shown {
            call,
            style: self.style,
            decoded,
        }
    }
}

/// A call that is to be shown.
pub(crate) struct Shown<'a> {
    call: Call<'a>,
    style: Style<'static>,
    decoded: Option<Decoded>,
}

impl Shown<'_> {
    /// The arguments that are known when the call is made.
    pub(crate) fn push_entry(&self, out: &mut Vec<u8>) {
        let SyscallId { abi, nr } = self.call.record.call;
        let Some(decoded) = &self.decoded else {
            return push_raw_arguments(out, abi, nr, self.call.arguments());
        };
        self.style
            .push_arguments(out, decoded, 0..decoded.known_at_entry);
        let some = decoded.known_at_entry > 0;
        if some && decoded.known_at_entry < decoded.args.len() {
            out.extend_from_slice(b", ");
        }
    }

    /// The others.
    pub(crate) fn push_rest(&self, out: &mut Vec<u8>) {
        if let Some(decoded) = &self.decoded {
            let rest = decoded.known_at_entry..decoded.args.len();
            self.style.push_arguments(out, decoded, rest);
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
            Some(decoded) => self.style.push_result(out, decoded, record.ret),
            None => push_raw_result(out, record),
        }
        if flags.contains(RecordFlags::TAMPERED) {
            out.extend_from_slice(b" (INJECTED)");
        }
    }
}

fn push_raw_result(out: &mut Vec<u8>, record: &SyscallRecord) {
    out.extend_from_slice(b"= ");
    if is_error(record.ret) {
        push_error(out, record.ret);
    } else if is_address(record.ret) {
        push_hex(out, record.ret.cast_unsigned());
    } else {
        push_decimal(out, record.ret);
    }
}

/// Whether a result of a call that nothing else is known of looks like one.
fn is_address(ret: i64) -> bool {
    ret < 0 || ret > 1 << 32
}

/// The errno of a failed call.
pub(crate) fn error(record: &SyscallRecord) -> Option<u32> {
    let failed = is_error(record.ret)
        && !record
            .record_flags
            .intersects(RecordFlags::NO_RETURN | RecordFlags::RESTARTS);
    failed.then(|| u32::try_from(-record.ret).ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use pai_plugin::decode::text::push_name;
    use pai_syscalls::abi::X86_64;

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
        let look = Look {
            detail: Detail::Raw,
            ..Look::default()
        };
        let captured = &[];
        let shown = look.show(Call { record, captured });
        let mut out = Vec::new();
        push_name(&mut out, record.call.abi, record.call.nr);
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
