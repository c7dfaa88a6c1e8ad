//! Asynchronous I/O (io_submit(2), linux/aio_abi.h).

use crate::decode::Fields;
use crate::decode::common::{IOVEC, IOVEC_IN, SIGNALS, TIMESPEC, one_or_decimal};
use crate::decode::files::sets::RWF;
use crate::decode::schema::{prelude::*, sets};

sets! {
    OPERATIONS "IOCB_CMD_???" as Decimal {
        IOCB_CMD_PREAD = 0, IOCB_CMD_PWRITE = 1, IOCB_CMD_FSYNC = 2, IOCB_CMD_FDSYNC = 3,
        IOCB_CMD_PREADX = 4, IOCB_CMD_POLL = 5, IOCB_CMD_NOOP = 6, IOCB_CMD_PREADV = 7,
        IOCB_CMD_PWRITEV = 8,
    }
    FLAGS "IOCB_FLAG_???" { IOCB_FLAG_RESFD = 1, IOCB_FLAG_IOPRIO = 2 }
    /// poll(2)
    POLL "POLL???" {
        POLLIN = 0x1, POLLPRI = 0x2, POLLOUT = 0x4, POLLRDNORM = 0x40, POLLRDBAND = 0x80,
        POLLWRNORM = 0x100, POLLWRBAND = 0x200, POLLMSG = 0x400, POLLERR = 0x8, POLLHUP = 0x10,
        POLLNVAL = 0x20, POLLREMOVE = 0x1000, POLLRDHUP = 0x2000,
    }
}

structs! {
    IOCB "iocb" (arrange) {
        aio_data: X64, aio_key: U32, aio_rw_flags: flags(&RWF),
        aio_lio_opcode: OPERATION, aio_reqprio: I16, aio_fildes: FD, aio_buf: Pick(buffer, 8),
        aio_nbytes: U64, aio_offset: I64, reserved: Pad(8), aio_flags: flags(&FLAGS),
        aio_resfd: Pick(resfd, 4),
    }
    CANCELLED "iocb" (arrange_head) {
        aio_data: X64, aio_key: U32, aio_rw_flags: flags(&RWF),
        aio_lio_opcode: OPERATION, aio_reqprio: I16, aio_fildes: FD, rest: Pad(40),
    }
    IO_EVENT "io_event" { data: X64, obj: X64, res: I64, res2: I64 }
    SIGSET "__aio_sigset" { sigmask: Pick(mask, 8), sigsetsize: SIZE }
}

pub(super) const EVENT: Type = To(Out, &Struct(&IO_EVENT));
pub(super) const EVENTS: Type = Array(Out, &Struct(&IO_EVENT), Len::Ret);
pub(super) const TIMEOUT: Type = To(In, &Struct(&TIMESPEC));
const OPERATION: Type = Special(operation, 2);

/// Shown as a decimal number where it has no name.
fn operation(view: &View<'_>) -> Value {
    let value = view.number(0, W16).unwrap_or(0);
    one_or_decimal(value.cast_signed(), &OPERATIONS)
}

/// A negative number is none.
pub(super) fn submitted(view: &View<'_>) -> u64 {
    u64::try_from(view.arg(1).cast_signed()).unwrap_or(0)
}

/// What is read or written, by operation. What is read is not there yet.
fn buffer(view: &View<'_>) -> &'static Type {
    match view.field("aio_lio_opcode") {
        Some(1) => const { &Bytes(In, Len::Field("aio_nbytes"), TEXT) },
        Some(5) => const { &Scalar(W64, Style::Flags(&POLL)) },
        Some(7) => const { &Array(In, &Struct(&IOVEC), Len::Field("aio_nbytes")) },
        Some(8) => const { &Array(In, &Struct(&IOVEC_IN), Len::Field("aio_nbytes")) },
        _ => &ADDRESS,
    }
}

/// Signals, of the only size that there is.
fn mask(view: &View<'_>) -> &'static Type {
    match view.field("sigsetsize") {
        Some(8) => const { &To(In, &Fixed8) },
        _ => &ADDRESS,
    }
}

#[expect(non_upper_case_globals, reason = "reads as a type")]
const Fixed8: Type = SIGNALS_OF_8;
const SIGNALS_OF_8: Type = match SIGNALS {
    Special(read, _) => Special(read, 8),
    other => other,
};

fn resfd(view: &View<'_>) -> &'static Type {
    match view.field("aio_flags").unwrap_or(0) & 1 {
        0 => &X32,
        _ => &FD,
    }
}

fn is_zero(fields: &Fields, name: &str) -> bool {
    fields.get(name).and_then(Value::number) == Some(0)
}

/// Fields that are zero are left out.
fn arrange_head(fields: &mut Fields, _: &View<'_>) {
    for name in ["aio_key", "aio_rw_flags", "aio_reqprio"] {
        if is_zero(fields, name) {
            fields.remove(name);
        }
    }
}

/// Each operation has its own fields.
fn arrange(fields: &mut Fields, view: &View<'_>) {
    arrange_head(fields, view);
    let number = |name| view.field(name).unwrap_or(0);
    let with_flags = number("aio_flags") & 1 != 0;
    if is_zero(fields, "aio_flags") {
        fields.remove("aio_flags");
    }
    if !with_flags && is_zero(fields, "aio_resfd") {
        fields.remove("aio_resfd");
    }
    match number("aio_lio_opcode") {
        0 | 1 => {}
        7 | 8 => fields.remove("aio_nbytes"),
        5 => {
            for name in ["aio_nbytes", "aio_offset", "aio_flags", "aio_resfd"] {
                fields.remove(name);
            }
        }
        _ => {
            for name in [
                "aio_buf",
                "aio_nbytes",
                "aio_offset",
                "aio_flags",
                "aio_resfd",
            ] {
                fields.remove(name);
            }
        }
    }
}
