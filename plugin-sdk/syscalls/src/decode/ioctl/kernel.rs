//! Performance counters, namespaces, seccomp and page faults (perf_event_open(2),
//! ioctl_ns(2), seccomp_unotify(2), ioctl_userfaultfd(2)).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::Fields;
use crate::decode::common::done;
use crate::decode::kernel::ATTRIBUTES;
use crate::decode::schema::{prelude::*, sets};
use crate::decode::text;
use crate::errno;

use super::arguments::arguments;

sets! {
    /// linux/perf_event.h
    PERF_FLAGS "PERF_IOC_FLAG_???" { PERF_IOC_FLAG_GROUP = 1 }
    /// linux/seccomp.h
    RESPONSE_FLAGS "SECCOMP_USER_NOTIF_FLAG_???" { SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1 }
    ADDFD_FLAGS "SECCOMP_ADDFD_FLAG_???" {
        SECCOMP_ADDFD_FLAG_SETFD = 1, SECCOMP_ADDFD_FLAG_SEND = 2,
    }
    /// fcntl.h, of the descriptor that is added.
    NEW_FLAGS "O_???" {
        O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400, O_TRUNC = 0o1000,
        O_APPEND = 0o2000, O_NONBLOCK = 0o4000, O_SYNC = 0o4010000, O_DSYNC = 0o10000,
        O_DIRECT = 0o40000, O_LARGEFILE = 0o100000, O_NOFOLLOW = 0o400000,
        O_NOATIME = 0o1000000, O_CLOEXEC = 0o2000000, O_PATH = 0o10000000,
        O_TMPFILE = 0o20200000, O_DIRECTORY = 0o200000, FASYNC = 0o20000,
    }
    /// linux/audit.h
    ARCHITECTURES "AUDIT_ARCH_???" {
        AUDIT_ARCH_I386 = 0x4000_0003, AUDIT_ARCH_ARM = 0x4000_0028,
        AUDIT_ARCH_X86_64 = 0xc000_003e, AUDIT_ARCH_AARCH64 = 0xc000_00b7,
        AUDIT_ARCH_RISCV64 = 0xc000_00f3,
    }
    /// linux/userfaultfd.h
    FEATURES "UFFD_FEATURE_???" {
        UFFD_FEATURE_PAGEFAULT_FLAG_WP = 0x1, UFFD_FEATURE_EVENT_FORK = 0x2,
        UFFD_FEATURE_EVENT_REMAP = 0x4, UFFD_FEATURE_EVENT_REMOVE = 0x8,
        UFFD_FEATURE_MISSING_HUGETLBFS = 0x10, UFFD_FEATURE_MISSING_SHMEM = 0x20,
        UFFD_FEATURE_EVENT_UNMAP = 0x40, UFFD_FEATURE_SIGBUS = 0x80,
        UFFD_FEATURE_THREAD_ID = 0x100, UFFD_FEATURE_MINOR_HUGETLBFS = 0x200,
        UFFD_FEATURE_MINOR_SHMEM = 0x400, UFFD_FEATURE_EXACT_ADDRESS = 0x800,
        UFFD_FEATURE_WP_HUGETLBFS_SHMEM = 0x1000,
    }
    REGISTER_MODES "UFFDIO_REGISTER_MODE_???" {
        UFFDIO_REGISTER_MODE_MISSING = 1, UFFDIO_REGISTER_MODE_WP = 2,
        UFFDIO_REGISTER_MODE_MINOR = 4,
    }
    COPY_MODES "UFFDIO_COPY_???" { UFFDIO_COPY_MODE_DONTWAKE = 1, UFFDIO_COPY_MODE_WP = 2 }
    ZEROPAGE_MODES "UFFDIO_ZEROPAGE_???" { UFFDIO_ZEROPAGE_MODE_DONTWAKE = 1 }
}

/// Which requests a descriptor of userfaultfd(2) or a range of it takes.
static OPERATIONS: Set = Set {
    names: &[
        (1 << 0, "1<<_UFFDIO_REGISTER"),
        (1 << 1, "1<<_UFFDIO_UNREGISTER"),
        (1 << 2, "1<<_UFFDIO_WAKE"),
        (1 << 3, "1<<_UFFDIO_COPY"),
        (1 << 4, "1<<_UFFDIO_ZEROPAGE"),
        (1 << 0x3f, "1<<_UFFDIO_API"),
    ],
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "_UFFDIO_???",
};

const fn bits(set: &'static Set) -> Type {
    Scalar(W64, Style::Flags(set))
}

structs! {
    QUERY_BPF "perf_event_query_bpf" (arrange_query) {
        ids_len: U32, prog_cnt: U32, ids: Special(ids, 0),
    }
    SECCOMP_DATA "seccomp_data" {
        nr: Special(number, 4), arch: one(&ARCHITECTURES), instruction_pointer: POINTER64,
        args: Fixed(&X64, 6),
    }
    NOTIFICATION "seccomp_notif" { id: X64, pid: PID, flags: X32, data: Struct(&SECCOMP_DATA) }
    RESPONSE "seccomp_notif_resp" (arrange_response) {
        id: X64, val: I64, error: I32, flags: flags(&RESPONSE_FLAGS),
    }
    /// The new one is one of another process.
    ADDFD "seccomp_notif_addfd" {
        id: X64, flags: flags(&ADDFD_FLAGS), srcfd: FD, newfd: I32, newfd_flags: flags(&NEW_FLAGS),
    }
    UFFDIO_API "uffdio_api" { api: X64, features: bits(&FEATURES), ioctls: bits(&OPERATIONS) }
    RANGE "uffdio_range" { start: X64, len: X64 }
    REGISTER "uffdio_register" (arrange_register) {
        range: Struct(&RANGE), mode: bits(&REGISTER_MODES), ioctls: bits(&OPERATIONS),
    }
    COPY "uffdio_copy" (arrange_copy) {
        dst: X64, src: X64, len: X64, mode: bits(&COPY_MODES), copy: X64,
    }
    ZEROPAGE "uffdio_zeropage" (arrange_zeropage) {
        range: Struct(&RANGE), mode: bits(&ZEROPAGE_MODES), zeropage: X64,
    }
}

const POINTER64: Type = Scalar(W64, Style::Address);

/// The name of the call that is asked about, or its number.
fn number(view: &View<'_>) -> Value {
    let number = view.number(0, W32).unwrap_or(0);
    let arch = view.outer.and_then(|(_, bytes)| {
        let arch = bytes.get(4..8)?;
        Some(u32::from_le_bytes(arch.try_into().ok()?))
    });
    let name = arch.and_then(|arch| crate::name(arch, u32::try_from(number).ok()?));
    match name {
        Some(name) => Value::Named(number, Cow::Owned(format!("__NR_{name}"))),
        None => Value::Unsigned(number),
    }
}

fn arrange_response(fields: &mut Fields, _: &View<'_>) {
    fields.change("error", |error| {
        let value = error.number().unwrap_or(0).cast_signed();
        let name = u32::try_from(-value).ok().and_then(errno::name);
        match name {
            Some(name) => Value::Named(value.cast_unsigned(), Cow::Owned(format!("-{name}"))),
            None => error,
        }
    });
}

fn unless_done(fields: &mut Fields, view: &View<'_>, name: &str) {
    if !view.succeeded() {
        fields.remove(name);
    }
}

fn arrange_register(fields: &mut Fields, view: &View<'_>) {
    unless_done(fields, view, "ioctls");
}

fn arrange_copy(fields: &mut Fields, view: &View<'_>) {
    unless_done(fields, view, "copy");
}

fn arrange_zeropage(fields: &mut Fields, view: &View<'_>) {
    unless_done(fields, view, "zeropage");
}

fn arrange_query(fields: &mut Fields, view: &View<'_>) {
    if !view.succeeded() {
        fields.order(&["ids_len"]);
        fields.more = true;
    }
}

/// The flexible array of `struct perf_event_query_bpf`.
fn ids(view: &View<'_>) -> Value {
    let count = view.field("prog_cnt").unwrap_or(0);
    let most = usize::try_from(count).unwrap_or(IDS).min(IDS);
    let ids = view.bytes.chunks_exact(4).take(most).map(|id| {
        let id = id
            .iter()
            .rev()
            .fold(0, |id, byte| id << 8 | u64::from(*byte));
        Value::Unsigned(id)
    });
    let items: Vec<Value> = ids.collect();
    let more = ((items.len() as u64) < count).then_some(view.addr);
    Value::Array(crate::decode::Items {
        items,
        more,
        missing: false,
    })
}

const IDS: usize = 32;
const QUERY_SIZE: u32 = 8 + 4 * IDS as u32;

/// Features are asked for and then told, and with them the requests.
fn api(value: Value, _: &View<'_>) -> Value {
    let Value::Changed {
        addr,
        before,
        mut after,
    } = value
    else {
        let mut value = value;
        if let Value::To { value, .. } = &mut value
            && let Value::Struct(fields) = &mut **value
        {
            fields.remove("ioctls");
        }
        return value;
    };
    let asked = before.fields().and_then(|fields| fields.get("features"));
    if let (Some(asked), Value::Struct(fields)) = (asked.cloned(), &mut *after)
        && asked.number() != fields.get("features").and_then(Value::number)
    {
        fields.change("features", |told| {
            let mut name = Vec::from(*b"features=");
            text::Style::default().push(&mut name, &told);
            let name = String::from_utf8_lossy(&name).into_owned();
            Value::Changed {
                addr: 0,
                before: Box::new(asked),
                after: Box::new(Value::Named(told.number().unwrap_or(0), Cow::Owned(name))),
            }
        });
    }
    Value::To { addr, value: after }
}

/// A structure of which some fields show when the call is done.
macro_rules! filled {
    ($set:ident) => {
        done!(To(Out, &Struct(&$set)), else To(InOut, &Struct(&$set)))
    };
}

arguments! { ARGUMENTS
    PERF_EVENT_IOC_ENABLE PERF_EVENT_IOC_DISABLE PERF_EVENT_IOC_RESET: flags(&PERF_FLAGS);
    PERF_EVENT_IOC_REFRESH: I32;
    PERF_EVENT_IOC_PERIOD: To(In, &U64);
    PERF_EVENT_IOC_SET_OUTPUT PERF_EVENT_IOC_SET_BPF: FD;
    PERF_EVENT_IOC_SET_FILTER: Type::Text;
    PERF_EVENT_IOC_ID: To(Out, &U64);
    PERF_EVENT_IOC_PAUSE_OUTPUT: ULONG;
    PERF_EVENT_IOC_QUERY_BPF: done!(
        Sized(Out, Len::Fixed(QUERY_SIZE), &Struct(&QUERY_BPF)),
        else Sized(InOut, Len::Fixed(QUERY_SIZE), &Struct(&QUERY_BPF))
    );
    PERF_EVENT_IOC_MODIFY_ATTRIBUTES: ATTRIBUTES;
    NS_GET_USERNS NS_GET_PARENT NS_GET_NSTYPE: Absent;
    NS_GET_OWNER_UID: To(Out, &UID);
    SECCOMP_IOCTL_NOTIF_RECV: To(InOut, &Struct(&NOTIFICATION));
    SECCOMP_IOCTL_NOTIF_SEND: To(In, &Struct(&RESPONSE));
    SECCOMP_IOCTL_NOTIF_ID_VALID: To(In, &X64);
    SECCOMP_IOCTL_NOTIF_ADDFD: To(In, &Struct(&ADDFD));
    UFFDIO_API: Then(&To(InOut, &Struct(&UFFDIO_API)), api);
    UFFDIO_REGISTER: filled!(REGISTER);
    UFFDIO_UNREGISTER UFFDIO_WAKE: To(In, &Struct(&RANGE));
    UFFDIO_COPY: filled!(COPY);
    UFFDIO_ZEROPAGE: filled!(ZEROPAGE);
}
