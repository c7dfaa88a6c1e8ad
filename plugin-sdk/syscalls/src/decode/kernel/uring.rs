//! io_uring (io_uring_setup(2), io_uring_enter(2), io_uring_register(2),
//! linux/io_uring.h).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::common::{IOVEC, SIGNALS, done, one_or_decimal};
use crate::decode::schema::{prelude::*, sets};
use crate::decode::{Field, Fields, Items};

sets! {
    SETUP_FLAGS "IORING_SETUP_???" {
        IORING_SETUP_IOPOLL = 0x1, IORING_SETUP_SQPOLL = 0x2, IORING_SETUP_SQ_AFF = 0x4,
        IORING_SETUP_CQSIZE = 0x8, IORING_SETUP_CLAMP = 0x10, IORING_SETUP_ATTACH_WQ = 0x20,
        IORING_SETUP_R_DISABLED = 0x40, IORING_SETUP_SUBMIT_ALL = 0x80,
        IORING_SETUP_COOP_TASKRUN = 0x100, IORING_SETUP_TASKRUN_FLAG = 0x200,
        IORING_SETUP_SQE128 = 0x400, IORING_SETUP_CQE32 = 0x800,
    }
    FEATURES "IORING_FEAT_???" {
        IORING_FEAT_SINGLE_MMAP = 0x1, IORING_FEAT_NODROP = 0x2,
        IORING_FEAT_SUBMIT_STABLE = 0x4, IORING_FEAT_RW_CUR_POS = 0x8,
        IORING_FEAT_CUR_PERSONALITY = 0x10, IORING_FEAT_FAST_POLL = 0x20,
        IORING_FEAT_POLL_32BITS = 0x40, IORING_FEAT_SQPOLL_NONFIXED = 0x80,
        IORING_FEAT_EXT_ARG = 0x100, IORING_FEAT_NATIVE_WORKERS = 0x200,
        IORING_FEAT_RSRC_TAGS = 0x400, IORING_FEAT_CQE_SKIP = 0x800,
        IORING_FEAT_LINKED_FILE = 0x1000,
    }
    ENTER_FLAGS "IORING_ENTER_???" {
        IORING_ENTER_GETEVENTS = 1, IORING_ENTER_SQ_WAKEUP = 2, IORING_ENTER_SQ_WAIT = 4,
        IORING_ENTER_EXT_ARG = 8, IORING_ENTER_REGISTERED_RING = 16,
    }
    REGISTERS "IORING_REGISTER_???" {
        IORING_REGISTER_BUFFERS = 0, IORING_UNREGISTER_BUFFERS = 1, IORING_REGISTER_FILES = 2,
        IORING_UNREGISTER_FILES = 3, IORING_REGISTER_EVENTFD = 4,
        IORING_UNREGISTER_EVENTFD = 5, IORING_REGISTER_FILES_UPDATE = 6,
        IORING_REGISTER_EVENTFD_ASYNC = 7, IORING_REGISTER_PROBE = 8,
        IORING_REGISTER_PERSONALITY = 9, IORING_UNREGISTER_PERSONALITY = 10,
        IORING_REGISTER_RESTRICTIONS = 11, IORING_REGISTER_ENABLE_RINGS = 12,
        IORING_REGISTER_FILES2 = 13, IORING_REGISTER_FILES_UPDATE2 = 14,
        IORING_REGISTER_BUFFERS2 = 15, IORING_REGISTER_BUFFERS_UPDATE = 16,
        IORING_REGISTER_IOWQ_AFF = 17, IORING_UNREGISTER_IOWQ_AFF = 18,
        IORING_REGISTER_IOWQ_MAX_WORKERS = 19, IORING_REGISTER_RING_FDS = 20,
        IORING_UNREGISTER_RING_FDS = 21, IORING_REGISTER_PBUF_RING = 22,
        IORING_UNREGISTER_PBUF_RING = 23,
    }
    OPERATIONS "IORING_OP_???" as Decimal {
        IORING_OP_NOP = 0, IORING_OP_READV = 1, IORING_OP_WRITEV = 2, IORING_OP_FSYNC = 3,
        IORING_OP_READ_FIXED = 4, IORING_OP_WRITE_FIXED = 5, IORING_OP_POLL_ADD = 6,
        IORING_OP_POLL_REMOVE = 7, IORING_OP_SYNC_FILE_RANGE = 8, IORING_OP_SENDMSG = 9,
        IORING_OP_RECVMSG = 10, IORING_OP_TIMEOUT = 11, IORING_OP_TIMEOUT_REMOVE = 12,
        IORING_OP_ACCEPT = 13, IORING_OP_ASYNC_CANCEL = 14, IORING_OP_LINK_TIMEOUT = 15,
        IORING_OP_CONNECT = 16, IORING_OP_FALLOCATE = 17, IORING_OP_OPENAT = 18,
        IORING_OP_CLOSE = 19, IORING_OP_FILES_UPDATE = 20, IORING_OP_STATX = 21,
        IORING_OP_READ = 22, IORING_OP_WRITE = 23, IORING_OP_FADVISE = 24,
        IORING_OP_MADVISE = 25, IORING_OP_SEND = 26, IORING_OP_RECV = 27, IORING_OP_OPENAT2 = 28,
        IORING_OP_EPOLL_CTL = 29, IORING_OP_SPLICE = 30, IORING_OP_PROVIDE_BUFFERS = 31,
        IORING_OP_REMOVE_BUFFERS = 32, IORING_OP_TEE = 33, IORING_OP_SHUTDOWN = 34,
        IORING_OP_RENAMEAT = 35, IORING_OP_UNLINKAT = 36, IORING_OP_MKDIRAT = 37,
        IORING_OP_SYMLINKAT = 38, IORING_OP_LINKAT = 39, IORING_OP_MSG_RING = 40,
        IORING_OP_FSETXATTR = 41, IORING_OP_SETXATTR = 42, IORING_OP_FGETXATTR = 43,
        IORING_OP_GETXATTR = 44, IORING_OP_SOCKET = 45, IORING_OP_URING_CMD = 46,
        IORING_OP_SEND_ZC = 47, IORING_OP_SENDMSG_ZC = 48,
    }
    OPERATION_FLAGS "IO_URING_OP_???" { IO_URING_OP_SUPPORTED = 1 }
    RESTRICTIONS "IORING_RESTRICTION_???" {
        IORING_RESTRICTION_REGISTER_OP = 0, IORING_RESTRICTION_SQE_OP = 1,
        IORING_RESTRICTION_SQE_FLAGS_ALLOWED = 2, IORING_RESTRICTION_SQE_FLAGS_REQUIRED = 3,
    }
    ENTRY_FLAGS "IOSQE_???" {
        IOSQE_FIXED_FILE = 1, IOSQE_IO_DRAIN = 2, IOSQE_IO_LINK = 4, IOSQE_IO_HARDLINK = 8,
        IOSQE_ASYNC = 16, IOSQE_BUFFER_SELECT = 32, IOSQE_CQE_SKIP_SUCCESS = 64,
    }
}

structs! {
    SQ_OFFSETS "io_sqring_offsets" (arrange_offsets) {
        head: U32, tail: U32, ring_mask: U32, ring_entries: U32, flags: U32, dropped: U32,
        array: U32, resv1: X32, resv2: X64,
    }
    CQ_OFFSETS "io_cqring_offsets" (arrange_offsets) {
        head: U32, tail: U32, ring_mask: U32, ring_entries: U32, overflow: U32, cqes: U32,
        flags: U32, resv1: X32, resv2: X64,
    }
    SETUP "io_uring_params" (arrange_params) {
        sq_entries: U32, cq_entries: U32, flags: flags(&SETUP_FLAGS), sq_thread_cpu: X32,
        sq_thread_idle: U32, features: flags(&FEATURES), wq_fd: FD, resv: Fixed(&X32, 3),
        sq_off: Struct(&SQ_OFFSETS), cq_off: Struct(&CQ_OFFSETS),
    }
    FILES_UPDATE "io_uring_files_update" (arrange_resv) {
        offset: U32, resv: X32, fds: Array(In, &FD, Len::Arg(3)),
    }
    PROBE "io_uring_probe" (arrange_probe) {
        last_op: OPERATION, ops_len: U8, resv: X16, resv2: Fixed(&X32, 3), ops: Special(probes, 0),
    }
    RESTRICTION "io_uring_restriction" (arrange_restriction) {
        opcode: Scalar(W16, Style::One(&RESTRICTIONS)), register_op: U8, resv: Pad(1),
        resv2: Fixed(&X32, 3),
    }
    RING_FD "io_uring_rsrc_update" (arrange_resv) { offset: U32, resv: X32, data: Scalar(W64, Style::Fd) }
    RING_FD_GONE "io_uring_rsrc_update" (arrange_gone) { offset: U32, resv: X32, data: X64 }
    BUFFER_RING "io_uring_buf_reg" (arrange_resv) {
        ring_addr: X64, ring_entries: U32, bgid: U16, pad: Pad(2), resv: Fixed(&X64, 3),
    }
}

/// What the caller says, and then what the kernel says.
pub(super) const PARAMS: Type = done!(To(Out, &Struct(&SETUP)), else To(InOut, &Struct(&SETUP)));

fn is_zero(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Array(items)) => items.items.iter().all(|item| item.number() == Some(0)),
        Some(value) => value.number() == Some(0),
        None => true,
    }
}

/// What is reserved shows where it is not zero.
fn without_reserved(fields: &mut Fields) {
    fields.fields.retain(|field| {
        !matches!(field.name, "resv" | "resv1" | "resv2") || !is_zero(Some(&field.value))
    });
}

fn arrange_offsets(fields: &mut Fields, _: &View<'_>) {
    without_reserved(fields);
}

fn arrange_resv(fields: &mut Fields, _: &View<'_>) {
    without_reserved(fields);
}

fn arrange_gone(fields: &mut Fields, _: &View<'_>) {
    without_reserved(fields);
    if is_zero(fields.get("data")) {
        fields.remove("data");
    }
}

fn arrange_params(fields: &mut Fields, view: &View<'_>) {
    const ATTACH_WQ: u64 = 0x20;
    let flags = view.field("flags").unwrap_or(0);
    if flags & ATTACH_WQ == 0 {
        fields.remove("wq_fd");
    }
    without_reserved(fields);
    let given = ["flags", "sq_thread_cpu", "sq_thread_idle", "wq_fd", "resv"];
    let told = [
        "flags",
        "sq_thread_cpu",
        "sq_thread_idle",
        "wq_fd",
        "resv",
        "sq_entries",
        "cq_entries",
        "features",
        "sq_off",
        "cq_off",
    ];
    match view.succeeded() {
        true => fields.order(&told),
        false => fields.order(&given),
    }
}

/// Signals to wait with, unless it is a structure that has more.
pub(super) const WAIT_ARGUMENT: Type = Pick(
    |view| match (view.arg(3) & 8, view.arg(5)) {
        (0, 8) => const { &To(In, &SIGNAL_SET) },
        _ => &ADDRESS,
    },
    0,
);
const SIGNAL_SET: Type = match SIGNALS {
    Special(read, _) => Special(read, 8),
    other => other,
};

/// What is registered, by opcode.
pub(super) const REGISTER_ARGUMENT: Type = Pick(register_argument, 0);

const PROBE_SIZE: u32 = 16 + 8 * 32;

fn register_argument(view: &View<'_>) -> &'static Type {
    match view.arg32(1) {
        0 => const { &Array(In, &Struct(&IOVEC), Len::Arg(3)) },
        2 | 4 | 7 => const { &Array(In, &FD, Len::Arg(3)) },
        6 => const { &To(In, &Struct(&FILES_UPDATE)) },
        8 if view.succeeded() => const { &Sized(Out, Len::Fixed(PROBE_SIZE), &Struct(&PROBE)) },
        8 => const { &Sized(InOut, Len::Fixed(PROBE_SIZE), &Struct(&PROBE)) },
        11 => const { &Array(In, &Struct(&RESTRICTION), Len::Arg(3)) },
        17 => const { &Sized(In, Len::Arg(3), &Special(cpus, 0)) },
        19 if view.arg(3) == 2 => &WORKERS,
        19 => const { &Array(In, &U32, Len::Arg(3)) },
        20 => const { &Array(InOut, &Struct(&RING_FD), Len::Arg(3)) },
        21 => const { &Array(In, &Struct(&RING_FD_GONE), Len::Arg(3)) },
        22 | 23 => const { &To(In, &Struct(&BUFFER_RING)) },
        _ => &ADDRESS,
    }
}

/// Shown as a decimal number where it has no name.
const OPERATION: Type = Special(|view| operation(view.number(0, W8).unwrap_or(0)), 1);

fn operation(number: u64) -> Value {
    one_or_decimal(number.cast_signed(), &OPERATIONS)
}

fn field(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        verbose: false,
    }
}

/// The flexible array of `struct io_uring_probe`.
fn probes(view: &View<'_>) -> Value {
    const MOST: u64 = 32;
    let count = view.arg(3);
    let most = usize::try_from(count.min(MOST)).unwrap_or(0);
    let items = view.bytes.chunks_exact(8).take(most).map(|bytes| {
        let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
        let flags = byte(2) | byte(3) << 8;
        Value::Struct(Fields {
            fields: Vec::from([
                field("op", operation(byte(0))),
                field("flags", Value::Flags(flags, &OPERATION_FLAGS)),
            ]),
            more: false,
        })
    });
    let items: Vec<Value> = items.collect();
    let more = ((items.len() as u64) < count).then_some(view.addr);
    Value::Array(Items {
        items,
        more,
        missing: false,
    })
}

fn arrange_probe(fields: &mut Fields, _: &View<'_>) {
    without_reserved(fields);
}

/// What is restricted, by opcode.
fn arrange_restriction(fields: &mut Fields, _: &View<'_>) {
    let opcode = fields.get("opcode").and_then(Value::number);
    let op = fields
        .get("register_op")
        .and_then(Value::number)
        .unwrap_or(0);
    let (name, value) = match opcode {
        Some(0) => ("register_op", Value::One(op, &REGISTERS)),
        Some(1) => ("sqe_op", operation(op)),
        Some(2 | 3) => ("sqe_flags", Value::Flags(op, &ENTRY_FLAGS)),
        _ => {
            fields.remove("register_op");
            fields.change("opcode", |opcode| {
                let text = match op {
                    0 => "op: 0".into(),
                    _ => format!("op: {op:#x}"),
                };
                Value::Comment(opcode.into(), text)
            });
            return without_reserved(fields);
        }
    };
    for field in &mut fields.fields {
        if field.name == "register_op" {
            field.name = name;
            field.value = value;
            break;
        }
    }
    without_reserved(fields);
}

/// CPUs, as bits.
fn cpus(view: &View<'_>) -> Value {
    let mut text = String::from("[");
    for (at, byte) in view.bytes.iter().take(1024).enumerate() {
        for bit in (0..8).filter(|bit| byte >> bit & 1 != 0) {
            let space = if text.len() > 1 { " " } else { "" };
            text.push_str(&format!("{space}{}", at * 8 + bit));
        }
    }
    text.push(']');
    Value::Plain(text.into())
}

/// Limits, and those that were before.
const WORKERS: Type = Then(&To(InOut, &Special(workers, 8)), changed_workers);

fn workers(view: &View<'_>) -> Value {
    let number = |offset| Value::Unsigned(view.number(offset, W32).unwrap_or(0));
    Value::Table(Fields {
        fields: Vec::from([
            field("IO_WQ_BOUND", number(0)),
            field("IO_WQ_UNBOUND", number(4)),
        ]),
        more: false,
    })
}

/// The address again where nothing has been written.
fn changed_workers(value: Value, view: &View<'_>) -> Value {
    match value {
        Value::To { addr, value } if view.ret.is_some() && !view.succeeded() => Value::Changed {
            addr,
            before: value,
            after: Value::Plain(format!("{addr:#x}").into()).into(),
        },
        _ => value,
    }
}
