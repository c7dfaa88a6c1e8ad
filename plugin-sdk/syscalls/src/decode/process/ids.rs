//! Who a process is: ids, users and groups, capabilities, execution domain.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::abi::I386;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::{Field, Fields};

sets! {
    /// capget(2)
    VERSION "_LINUX_CAPABILITY_VERSION_???" {
        _LINUX_CAPABILITY_VERSION_1 = 0x1998_0330, _LINUX_CAPABILITY_VERSION_2 = 0x2007_1026,
        _LINUX_CAPABILITY_VERSION_3 = 0x2008_0522,
    }
    /// The lowest byte of a personality (linux/personality.h): those that are no more
    /// than that.
    DOMAIN "PER_???" {
        PER_LINUX = 0, PER_BSD = 6, PER_LINUX32 = 8, PER_RISCOS = 0xc, PER_OSF4 = 0xf,
        PER_HPUX = 0x10, PER_MASK = 0xff,
    }
    /// personality(2)
    PERSONALITY "" as Parts first(0xff => DOMAIN) {
        UNAME26 = 0x2_0000, ADDR_NO_RANDOMIZE = 0x4_0000, FDPIC_FUNCPTRS = 0x8_0000,
        MMAP_PAGE_ZERO = 0x10_0000, ADDR_COMPAT_LAYOUT = 0x20_0000,
        READ_IMPLIES_EXEC = 0x40_0000, ADDR_LIMIT_32BIT = 0x80_0000, SHORT_INODE = 0x100_0000,
        WHOLE_SECONDS = 0x200_0000, STICKY_TIMEOUTS = 0x400_0000, ADDR_LIMIT_3GB = 0x800_0000,
    }
}

macro_rules! bits {
    ($($name:literal = $bit:literal)*) => {
        /// Capabilities as bits (capabilities(7)).
        pub(crate) static CAPABILITIES: Set = Set {
            names: &[$((1 << $bit, concat!("1<<", $name))),*],
            base: None,
            first: &[],
            last: &[],
            numbers: crate::decode::schema::Numbers::Parts,
            unknown: "CAP_???",
        };
    };
}
bits! {
    "CAP_CHOWN" = 0 "CAP_DAC_OVERRIDE" = 1 "CAP_DAC_READ_SEARCH" = 2 "CAP_FOWNER" = 3
    "CAP_FSETID" = 4 "CAP_KILL" = 5 "CAP_SETGID" = 6 "CAP_SETUID" = 7 "CAP_SETPCAP" = 8
    "CAP_LINUX_IMMUTABLE" = 9 "CAP_NET_BIND_SERVICE" = 10 "CAP_NET_BROADCAST" = 11
    "CAP_NET_ADMIN" = 12 "CAP_NET_RAW" = 13 "CAP_IPC_LOCK" = 14 "CAP_IPC_OWNER" = 15
    "CAP_SYS_MODULE" = 16 "CAP_SYS_RAWIO" = 17 "CAP_SYS_CHROOT" = 18 "CAP_SYS_PTRACE" = 19
    "CAP_SYS_PACCT" = 20 "CAP_SYS_ADMIN" = 21 "CAP_SYS_BOOT" = 22 "CAP_SYS_NICE" = 23
    "CAP_SYS_RESOURCE" = 24 "CAP_SYS_TIME" = 25 "CAP_SYS_TTY_CONFIG" = 26 "CAP_MKNOD" = 27
    "CAP_LEASE" = 28 "CAP_AUDIT_WRITE" = 29 "CAP_AUDIT_CONTROL" = 30 "CAP_SETFCAP" = 31
    "CAP_MAC_OVERRIDE" = 32 "CAP_MAC_ADMIN" = 33 "CAP_SYSLOG" = 34 "CAP_WAKE_ALARM" = 35
    "CAP_BLOCK_SUSPEND" = 36 "CAP_AUDIT_READ" = 37 "CAP_PERFMON" = 38 "CAP_BPF" = 39
    "CAP_CHECKPOINT_RESTORE" = 40
}

structs! {
    /// capget(2)
    HEADER "__user_cap_header_struct" { version: one(&VERSION), pid: PID }
    /// capget(2): of two, one holds the lower bits and the next the higher ones.
    DATA "__user_cap_data_struct" { effective: X32, permitted: X32, inheritable: X32 }
}

/// One in the first version, two from then on; none if the header is not there.
fn pieces(version: u64) -> u64 {
    match version {
        0 => 0,
        0x2007_1026 | 0x2008_0522 => 2,
        _ => 1,
    }
}

const DATA_IN: Type = Array(In, &Struct(&DATA), Len::Map(&Len::At(0), pieces));
const DATA_OUT: Type = Array(Out, &Struct(&DATA), Len::Map(&Len::At(0), pieces));

/// Joins the lower and the higher bits.
fn join(value: Value, _: &View<'_>) -> Value {
    let Value::To { addr, value } = value else {
        return value;
    };
    let pieces = match &*value {
        Value::Array(items) if items.more.is_none() => items.items.as_slice(),
        _ => &[],
    };
    if pieces.is_empty() {
        return Value::Address(addr);
    }
    let mut fields = Vec::new();
    for name in ["effective", "permitted", "inheritable"] {
        let part = |index: usize| {
            let fields = pieces.get(index).and_then(Value::fields);
            let value = fields.and_then(|fields| fields.get(name));
            value.and_then(Value::number).unwrap_or(0)
        };
        fields.push(Field {
            name,
            value: Value::Flags(part(0) & 0xffff_ffff | part(1) << 32, &CAPABILITIES),
            verbose: false,
        });
    }
    let value = Box::new(Value::Struct(Fields {
        fields,
        more: false,
    }));
    Value::To { addr, value }
}

/// -1 asks for what it is.
fn personality(view: &View<'_>) -> &'static Type {
    match view.arg32(0) {
        u32::MAX => &X32,
        _ => const { &Scalar(W32, Style::Flags(&PERSONALITY)) },
    }
}

fn was(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let was = u64::try_from(view.ret?).ok()?;
    Some(Value::Flags(was, &PERSONALITY))
}

/// Groups of a process (linux/limits.h)
const NGROUPS_MAX: u32 = 65536;

fn groups(view: &View<'_>) -> &'static Type {
    match view.arg32(0) {
        0..=NGROUPS_MAX => const { &Array(In, &UID, Len::Arg(0)) },
        _ => &ADDRESS,
    }
}

const IDS: Type = To(Out, &UID);

/// The first ones of i386 have ids of 16 bits in memory, whose new form has a name of its
/// own.
fn of_16_bits(view: &View<'_>, which: usize) -> Option<&'static Call> {
    OLD.get(which).filter(|_| view.abi == I386)
}

fn old_resuid(view: &View<'_>) -> Option<&'static Call> {
    of_16_bits(view, 0)
}

fn old_resgid(view: &View<'_>) -> Option<&'static Call> {
    of_16_bits(view, 1)
}

fn old_getgroups(view: &View<'_>) -> Option<&'static Call> {
    of_16_bits(view, 2)
}

fn old_setgroups(view: &View<'_>) -> Option<&'static Call> {
    of_16_bits(view, 3)
}

const OLD_ID: Type = Scalar(W16, Style::Uid);
const OLD_IDS: Type = To(Out, &OLD_ID);

calls! { OLD
    getresuid(ruid: OLD_IDS, euid: OLD_IDS, suid: OLD_IDS) -> I32;
    getresgid(rgid: OLD_IDS, egid: OLD_IDS, sgid: OLD_IDS) -> I32;
    getgroups(gidsetsize: I32, grouplist: Array(Out, &OLD_ID, Len::Ret)) -> I32;
    setgroups(gidsetsize: I32, grouplist: Array(In, &OLD_ID, Len::Arg(0))) -> I32;
}

// The same with ids of 32 bits on i386.
calls! { CALLS_32
    getuid32() -> UID;
    geteuid32() -> UID;
    getgid32() -> UID;
    getegid32() -> UID;
    setuid32(uid: UID) -> I32;
    setgid32(gid: UID) -> I32;
    setreuid32(ruid: UID, euid: UID) -> I32;
    setregid32(rgid: UID, egid: UID) -> I32;
    setresuid32(ruid: UID, euid: UID, suid: UID) -> I32;
    setresgid32(rgid: UID, egid: UID, sgid: UID) -> I32;
    getresuid32(ruidp: IDS, euidp: IDS, suidp: IDS) -> I32;
    getresgid32(rgidp: IDS, egidp: IDS, sgidp: IDS) -> I32;
    setfsuid32(uid: UID) -> UID;
    setfsgid32(gid: UID) -> UID;
    getgroups32(gidsetsize: I32, grouplist: Array(Out, &UID, Len::Ret)) -> I32;
    setgroups32(gidsetsize: I32, grouplist: Pick(groups, 0)) -> I32;
}

calls! { CALLS
    getpid() -> PID;
    getppid() -> PID;
    gettid() -> PID;
    getpgrp() -> PID;
    getpgid(pid: PID) -> PID;
    getsid(pid: PID) -> PID;
    setsid() -> PID;
    setpgid(pid: PID, pgid: PID) -> I32;
    getuid() -> UID;
    geteuid() -> UID;
    getgid() -> UID;
    getegid() -> UID;
    setuid(uid: UID) -> I32;
    setgid(gid: UID) -> I32;
    setreuid(ruid: UID, euid: UID) -> I32;
    setregid(rgid: UID, egid: UID) -> I32;
    setresuid(ruid: UID, euid: UID, suid: UID) -> I32;
    setresgid(rgid: UID, egid: UID, sgid: UID) -> I32;
    getresuid by old_resuid (ruidp: IDS, euidp: IDS, suidp: IDS) -> I32;
    getresgid by old_resgid (rgidp: IDS, egidp: IDS, sgidp: IDS) -> I32;
    setfsuid(uid: UID) -> UID;
    setfsgid(gid: UID) -> UID;
    getgroups by old_getgroups (gidsetsize: I32, grouplist: Array(Out, &UID, Len::Ret)) -> I32;
    setgroups by old_setgroups (gidsetsize: I32, grouplist: Pick(groups, 0)) -> I32;
    capget(header: To(In, &Struct(&HEADER)), dataptr: Then(&DATA_OUT, join)) -> I32;
    capset(header: To(In, &Struct(&HEADER)), data: Then(&DATA_IN, join)) -> I32;
    personality(personality: Pick(personality, 0)) -> X32, note(was);
}
