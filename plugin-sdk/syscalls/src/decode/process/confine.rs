//! What a task may do from now on: filters of calls, rules of security modules; and
//! what the kernel does for tasks that share memory.

use super::or_address;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::{Fields, Value};

use super::filter::{ACTION, SECCOMP_FILTER};

sets! {
    /// seccomp(2)
    OPERATION "SECCOMP_SET_MODE_???" {
        SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
        SECCOMP_GET_NOTIF_SIZES = 3,
    }
    /// SECCOMP_SET_MODE_FILTER in seccomp(2)
    FILTER_FLAGS "SECCOMP_FILTER_FLAG_???" {
        SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2,
        SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4, SECCOMP_FILTER_FLAG_NEW_LISTENER = 8,
        SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 0x10, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20,
    }
    /// landlock_create_ruleset(2)
    RULESET "LANDLOCK_CREATE_RULESET_???" { LANDLOCK_CREATE_RULESET_VERSION = 1 }
    /// landlock(7)
    ACCESS_FS "LANDLOCK_ACCESS_FS_???" {
        LANDLOCK_ACCESS_FS_EXECUTE = 1, LANDLOCK_ACCESS_FS_WRITE_FILE = 2,
        LANDLOCK_ACCESS_FS_READ_FILE = 4, LANDLOCK_ACCESS_FS_READ_DIR = 8,
        LANDLOCK_ACCESS_FS_REMOVE_DIR = 0x10, LANDLOCK_ACCESS_FS_REMOVE_FILE = 0x20,
        LANDLOCK_ACCESS_FS_MAKE_CHAR = 0x40, LANDLOCK_ACCESS_FS_MAKE_DIR = 0x80,
        LANDLOCK_ACCESS_FS_MAKE_REG = 0x100, LANDLOCK_ACCESS_FS_MAKE_SOCK = 0x200,
        LANDLOCK_ACCESS_FS_MAKE_FIFO = 0x400, LANDLOCK_ACCESS_FS_MAKE_BLOCK = 0x800,
        LANDLOCK_ACCESS_FS_MAKE_SYM = 0x1000, LANDLOCK_ACCESS_FS_REFER = 0x2000,
    }
    /// landlock(7), from the fourth version of its interface on
    ACCESS_NET "LANDLOCK_ACCESS_NET_???" {
        LANDLOCK_ACCESS_NET_BIND_TCP = 1, LANDLOCK_ACCESS_NET_CONNECT_TCP = 2,
    }
    /// landlock(7), from the sixth version of its interface on
    SCOPE "LANDLOCK_SCOPE_???" {
        LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1, LANDLOCK_SCOPE_SIGNAL = 2,
    }
    /// landlock_add_rule(2)
    RULE "LANDLOCK_RULE_???" { LANDLOCK_RULE_PATH_BENEATH = 1, LANDLOCK_RULE_NET_PORT = 2 }
    /// lsm_get_self_attr(2), linux/lsm.h
    LSM_ATTR "LSM_ATTR_???" {
        LSM_ATTR_UNDEF = 0, LSM_ATTR_CURRENT = 100, LSM_ATTR_EXEC = 101,
        LSM_ATTR_FSCREATE = 102, LSM_ATTR_KEYCREATE = 103, LSM_ATTR_PREV = 104,
        LSM_ATTR_SOCKCREATE = 105,
    }
    /// linux/lsm.h
    LSM_ID "LSM_ID_???" {
        LSM_ID_UNDEF = 0, LSM_ID_CAPABILITY = 100, LSM_ID_SELINUX = 101, LSM_ID_SMACK = 102,
        LSM_ID_TOMOYO = 103, LSM_ID_APPARMOR = 104, LSM_ID_YAMA = 105, LSM_ID_LOADPIN = 106,
        LSM_ID_SAFESETID = 107, LSM_ID_LOCKDOWN = 108, LSM_ID_BPF = 109, LSM_ID_LANDLOCK = 110,
        LSM_ID_IMA = 111, LSM_ID_EVM = 112, LSM_ID_IPE = 113,
    }
    /// linux/lsm.h
    LSM_FLAGS "LSM_FLAG_???" { LSM_FLAG_SINGLE = 1 }
    /// membarrier(2)
    BARRIER "MEMBARRIER_CMD_???" {
        MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 4, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 0x10,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 0x20,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 0x40,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 0x80,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 0x100,
    }
    /// membarrier(2)
    BARRIER_FLAGS "MEMBARRIER_CMD_FLAG_???" { MEMBARRIER_CMD_FLAG_CPU = 1 }
}

const ACCESS: Type = Scalar(W64, Style::Flags(&ACCESS_FS));

structs! {
    /// SECCOMP_GET_NOTIF_SIZES in seccomp(2)
    NOTIF_SIZES "seccomp_notif_sizes" {
        seccomp_notif: U16, seccomp_notif_resp: U16, seccomp_data: U16,
    }
    /// landlock_create_ruleset(2)
    RULESET_ATTR "landlock_ruleset_attr" (arrange_ruleset) {
        handled_access_fs: ACCESS,
        [verbose] handled_access_net: Scalar(W64, Style::Flags(&ACCESS_NET)),
        [verbose] scoped: Scalar(W64, Style::Flags(&SCOPE)),
    }
    /// landlock_add_rule(2)
    PATH_BENEATH "landlock_path_beneath_attr" packed { allowed_access: ACCESS, parent_fd: FD }
    /// landlock_add_rule(2)
    NET_PORT "landlock_net_port_attr" {
        allowed_access: Scalar(W64, Style::Flags(&ACCESS_NET)), port: U64,
    }
    /// lsm_get_self_attr(2), linux/lsm.h
    LSM_CTX "lsm_ctx" {
        id: Scalar(W64, Style::One(&LSM_ID)), flags: X64, len: U64, ctx_len: U64,
        ctx: Special(context, 0),
    }
}

/// The text behind the rest.
fn context(view: &View<'_>) -> Value {
    let len = view.field("ctx_len").unwrap_or(0);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let data = view.bytes.get(..len).unwrap_or(view.bytes);
    Value::Bytes(crate::decode::Bytes {
        data: data.to_vec(),
        more: data.len() < len,
        whole: true,
        look: TEXT,
    })
}

/// A longer structure, of a later version, goes on.
fn arrange_ruleset(fields: &mut Fields, view: &View<'_>) {
    fields.more = match fields.fields.is_empty() {
        true => false,
        false => fields.more && view.arg(1) > view.bytes.len() as u64 || view.arg(1) > 24,
    };
}

fn ruleset(view: &View<'_>) -> &'static Type {
    const FIRST: u64 = 8;
    const ATTR: Type = Sized(In, Len::Arg(1), &Struct(&RULESET_ATTR));
    match view.arg(1) {
        FIRST.. => const { &Then(&ATTR, or_address) },
        _ => &ADDRESS,
    }
}

fn rule(view: &View<'_>) -> &'static Type {
    match view.arg32(1) {
        1 => const { &To(In, &Struct(&PATH_BENEATH)) },
        2 => const { &To(In, &Struct(&NET_PORT)) },
        _ => &ADDRESS,
    }
}

fn by_operation(view: &View<'_>) -> Option<&'static Call> {
    let which = view.arg32(0).checked_sub(1)?;
    SECCOMP.get(usize::try_from(which).ok()?)
}

calls! { SECCOMP
    seccomp(op: one(&OPERATION), flags: flags(&FILTER_FLAGS), uargs: To(In, &Struct(&SECCOMP_FILTER))) -> I32;
    seccomp(op: one(&OPERATION), flags: X32, uargs: To(In, &one(&ACTION))) -> I32;
    seccomp(op: one(&OPERATION), flags: X32, uargs: To(Out, &Struct(&NOTIF_SIZES))) -> I32;
}

fn processor(view: &View<'_>) -> &'static Type {
    match view.arg(1) & 1 {
        0 => &Absent,
        _ => &I32,
    }
}

/// The commands that there are, or nothing.
fn barriers(view: &View<'_>) -> &'static Type {
    match view.arg32(0) {
        0 => &X32,
        _ => &I32,
    }
}

fn barriers_named(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let commands = u64::try_from(view.ret?).ok()?;
    (view.arg32(0) == 0).then_some(Value::Flags(commands, &BARRIER))
}

const CTX_OUT: Type = Sized(Out, Len::At(2), &Struct(&LSM_CTX));
const CTX_IN: Type = Sized(In, Len::Arg(2), &Struct(&LSM_CTX));
const IDS: Type = Array(Out, &Scalar(W64, Style::One(&LSM_ID)), Len::Ret);

calls! { CALLS
    seccomp by by_operation (op: one(&OPERATION), flags: X32, uargs: ADDRESS) -> I32;
    landlock_create_ruleset(attr: Pick(ruleset, 0), size: SIZE, flags: flags(&RULESET)) -> FD;
    landlock_add_rule(ruleset_fd: FD, rule_type: one(&RULE), rule_attr: Pick(rule, 0), flags: X32) -> I32;
    landlock_restrict_self(ruleset_fd: FD, flags: X32) -> I32;
    lsm_get_self_attr(attr: one(&LSM_ATTR), ctx: CTX_OUT, size: To(InOut, &U32),
        flags: flags(&LSM_FLAGS)) -> I32;
    lsm_set_self_attr(attr: one(&LSM_ATTR), ctx: CTX_IN, size: U32, flags: X32) -> I32;
    lsm_list_modules(ids: IDS, size: To(InOut, &U32), flags: X32) -> I32;
    membarrier(cmd: one(&BARRIER), flags: flags(&BARRIER_FLAGS), cpu_id: Pick(processor, 0))
        -> Pick(barriers, 0), note(barriers_named);
    rseq(rseq: XLONG, rseq_len: X32, flags: X32, sig: X32) -> I32;
    rseq_slice_yield() -> I32;
    set_robust_list(head: ADDRESS, len: SIZE) -> I32;
    get_robust_list(pid: PID, head_ptr: To(Out, &ADDRESS), len_ptr: To(Out, &SIZE)) -> I32;
    ioperm(from: XLONG, num: XLONG, turn_on: I32) -> I32;
    iopl(level: I32) -> I32;
}
