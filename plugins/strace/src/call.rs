//! One system call as text: name, raw arguments, result.

use pai_plugin::{RecordFlags, SyscallId, SyscallRecord};
use pai_syscalls::errno;

/// Results in this range are negative errnos (syscall(2)).
const ERRORS: std::ops::Range<i64> = -4095..0;

/// Calls that return an address, shown in hex.
const ADDRESSES: [&str; 5] = ["mmap", "mmap2", "mremap", "brk", "shmat"];

/// Writes the name, or the number of a call that has none.
pub(crate) fn push_name(out: &mut Vec<u8>, call: SyscallId) {
    match pai_syscalls::name(call.abi, call.nr) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"syscall_");
            push_hex(out, u64::from(call.nr));
        }
    }
}

/// The arguments that the kernel reads; all six of a call that is not known.
pub(crate) fn arguments(record: &SyscallRecord) -> impl Iterator<Item = u64> {
    let known = pai_syscalls::argument_count(record.call.abi, record.call.nr);
    [
        record.a0, record.a1, record.a2, record.a3, record.a4, record.a5,
    ]
    .into_iter()
    .take(known.unwrap_or(6).into())
}

/// `name(0x1, 0`, without the closing parenthesis.
pub(crate) fn push_entry(out: &mut Vec<u8>, record: &SyscallRecord) {
    push_name(out, record.call);
    out.push(b'(');
    for (i, argument) in arguments(record).enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        match argument {
            0 => out.push(b'0'),
            _ => push_hex(out, argument),
        }
    }
}

/// `= 3`, `= -1 ENOENT (No such file or directory)`, `= ?`.
pub(crate) fn push_result(out: &mut Vec<u8>, record: &SyscallRecord) {
    out.extend_from_slice(b"= ");
    if record.record_flags.contains(RecordFlags::NO_RETURN) {
        out.push(b'?');
    } else if record.record_flags.contains(RecordFlags::RESTARTS) {
        push_restart(out, record.ret);
    } else if ERRORS.contains(&record.ret) {
        push_error(out, record.ret);
    } else if returns_address(record.call) {
        push_hex(out, record.ret.cast_unsigned());
    } else {
        push_decimal(out, record.ret);
    }
    if record.record_flags.contains(RecordFlags::TAMPERED) {
        out.extend_from_slice(b" (INJECTED)");
    }
}

/// The errno of a failed call.
pub(crate) fn error(record: &SyscallRecord) -> Option<u32> {
    let failed = ERRORS.contains(&record.ret)
        && !record
            .record_flags
            .intersects(RecordFlags::NO_RETURN | RecordFlags::RESTARTS);
    failed.then(|| u32::try_from(-record.ret).ok()).flatten()
}

fn push_error(out: &mut Vec<u8>, ret: i64) {
    let number = u32::try_from(-ret).unwrap_or_default();
    match (errno::name(number), errno::description(number)) {
        (Some(name), Some(text)) => push_named(out, b"-1 ", name, text),
        _ => {
            out.extend_from_slice(b"-1 (errno ");
            push_decimal(out, -ret);
            out.push(b')');
        }
    }
}

fn push_restart(out: &mut Vec<u8>, ret: i64) {
    let code = u32::try_from(ret.unsigned_abs()).unwrap_or_default();
    let text = match code {
        512 => "To be restarted if SA_RESTART is set",
        513 => "To be restarted",
        514 => "To be restarted if no handler",
        _ => "Interrupted by signal",
    };
    push_named(
        out,
        b"? ",
        errno::restart_name(code).unwrap_or("ERESTART"),
        text,
    );
}

fn push_named(out: &mut Vec<u8>, before: &[u8], name: &str, text: &str) {
    out.extend_from_slice(before);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" (");
    out.extend_from_slice(text.as_bytes());
    out.push(b')');
}

fn returns_address(call: SyscallId) -> bool {
    pai_syscalls::name(call.abi, call.nr).is_some_and(|name| ADDRESSES.contains(&name))
}

/// Without `fmt`: this runs six times for every call.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(b"0x");
    let digits = (u64::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (value >> (4 * place)) & 0xf;
        out.push(b"0123456789abcdef"[digit as usize]);
    }
}

pub(crate) fn push_decimal(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
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
        }
    }

    fn text(record: &SyscallRecord) -> String {
        let mut out = Vec::new();
        push_entry(&mut out, record);
        out.extend_from_slice(b") ");
        push_result(&mut out, record);
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

    #[test]
    fn numbers_of_all_sizes() {
        for value in [0, 1, -1, 10, 4096, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            push_decimal(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        for value in [0, 1, 15, 16, 0x1000, u64::MAX] {
            let mut out = Vec::new();
            push_hex(&mut out, value);
            assert_eq!(out, format!("{value:#x}").into_bytes());
        }
    }
}
