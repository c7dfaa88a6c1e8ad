//! Scheduling and priorities.

use alloc::vec::Vec;

use super::or_address;
use crate::decode::Fields;
use crate::decode::common::{TIMESPEC_OUT, TIMESPEC64_OUT};
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;

sets! {
    /// sched_setscheduler(2)
    POLICY "SCHED_???" {
        SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_BATCH = 3, SCHED_ISO = 4,
        SCHED_IDLE = 5, SCHED_DEADLINE = 6,
    }
    /// sched_setattr(2)
    ATTR_FLAGS "SCHED_FLAG_???" {
        SCHED_FLAG_RESET_ON_FORK = 1, SCHED_FLAG_RECLAIM = 2, SCHED_FLAG_DL_OVERRUN = 4,
        SCHED_FLAG_KEEP_POLICY = 8, SCHED_FLAG_KEEP_PARAMS = 0x10,
        SCHED_FLAG_UTIL_CLAMP_MIN = 0x20, SCHED_FLAG_UTIL_CLAMP_MAX = 0x40,
    }
    /// getpriority(2)
    PRIORITY_OF "PRIO_???" { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 }
    /// ioprio_get(2)
    IO_PRIORITY_OF "IOPRIO_WHO_???" {
        IOPRIO_WHO_PROCESS = 1, IOPRIO_WHO_PGRP = 2, IOPRIO_WHO_USER = 3,
    }
    /// ioprio_set(2)
    IO_CLASS "IOPRIO_CLASS_???" {
        IOPRIO_CLASS_NONE = 0, IOPRIO_CLASS_RT = 1, IOPRIO_CLASS_BE = 2, IOPRIO_CLASS_IDLE = 3,
    }
}

structs! {
    /// sched_setattr(2): it has grown, and may grow more.
    ATTR "sched_attr" (arrange_attr) {
        size: U32, sched_policy: one(&POLICY), sched_flags: Scalar(W64, Style::Flags(&ATTR_FLAGS)),
        sched_nice: I32, sched_priority: U32, sched_runtime: U64, sched_deadline: U64,
        sched_period: U64, sched_util_min: U32, sched_util_max: U32,
    }
    /// As sched_setattr(2) takes it.
    ATTR_SET "sched_attr" (arrange_attr_set) {
        size: U32, sched_policy: one(&POLICY), sched_flags: Scalar(W64, Style::Flags(&ATTR_FLAGS)),
        sched_nice: I32, sched_priority: U32, sched_runtime: U64, sched_deadline: U64,
        sched_period: U64, sched_util_min: U32, sched_util_max: U32,
    }
}

/// The first version of the structure, and the one that is known here.
const SIZE_VER0: u64 = 48;
const SIZE_VER1: u64 = 56;

fn arrange_attr(fields: &mut Fields, _: &View<'_>) {
    fields.more = false;
}

/// What of it is read, for a size that it says.
fn attr_read(size: u64) -> u64 {
    match size {
        0 => SIZE_VER0,
        1..SIZE_VER0 => 4,
        SIZE_VER0..SIZE_VER1 => SIZE_VER0,
        _ => SIZE_VER1,
    }
}

/// What the flags leave as it is does not count.
fn arrange_attr_set(fields: &mut Fields, view: &View<'_>) {
    const KEEP_POLICY: u64 = 8;
    const KEEP_PARAMS: u64 = 0x10;
    let size = fields.get("size").and_then(Value::number).unwrap_or(0);
    if (view.bytes.len() as u64) < attr_read(size) {
        fields.fields.clear();
        return;
    }
    let flags = fields.get("sched_flags").and_then(Value::number);
    let flags = flags.unwrap_or(0);
    // The kernel looks at a negative one in any case.
    let policy = fields.get("sched_policy").and_then(Value::number);
    if flags & (KEEP_POLICY | KEEP_PARAMS) != 0 && policy.unwrap_or(0) < 1 << 31 {
        fields.remove("sched_policy");
    }
    if flags & KEEP_PARAMS != 0 {
        for name in [
            "sched_nice",
            "sched_priority",
            "sched_runtime",
            "sched_deadline",
            "sched_period",
        ] {
            fields.remove(name);
        }
    }
    fields.more = size > SIZE_VER1;
}

const ATTR_IN: Type = Sized(
    InOutAlways,
    Len::Map(&Len::At(1), attr_read),
    &Struct(&ATTR_SET),
);

/// The kernel only writes to it what size it knows, if there is more in it than that.
fn attr_set(value: Value, view: &View<'_>) -> Value {
    const E2BIG: i64 = 7;
    let Value::Changed {
        addr,
        before,
        mut after,
    } = value
    else {
        return or_address(value, view);
    };
    let to = |value| or_address(Value::To { addr, value }, view);
    if view.ret != Some(-E2BIG) {
        return to(before);
    }
    if let Value::Struct(fields) = &mut *after {
        fields.order(&["size"]);
        fields.more = false;
    }
    match to(before) {
        Value::To { addr, value } => Value::Changed {
            addr,
            before: value,
            after,
        },
        other => other,
    }
}

/// Of the mask of processors this much is looked at.
const MOST: u64 = 4096;

fn mask_len(view: &View<'_>) -> u64 {
    u64::from(view.arg32(1)).min(MOST)
}

/// A mask of processors, of which all must be there.
fn processors(view: &View<'_>) -> Value {
    let len = match view.ret.and_then(|ret| u64::try_from(ret).ok()) {
        // sched_getaffinity(2) returns how much it has written.
        Some(ret) if ret > 0 => ret,
        _ => mask_len(view),
    };
    if (view.bytes.len() as u64) < len.min(MOST) {
        return Value::Address(view.addr);
    }
    let mut numbers = Vec::new();
    for (number, byte) in (0..).step_by(8).zip(view.bytes) {
        let set = (0..8).filter(|bit| byte >> bit & 1 != 0);
        numbers.extend(set.map(|bit| number + bit));
    }
    Value::Numbers(numbers)
}

const PROCESSORS: Type = Special(processors, 0);
const MASK_IN: Type = Sized(In, Len::With(mask_len), &PROCESSORS);
const MASK_OUT: Type = Sized(Out, Len::With(written), &PROCESSORS);

fn written(view: &View<'_>) -> u64 {
    u64::try_from(view.ret.unwrap_or(0)).unwrap_or(0).min(MOST)
}

fn policy(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let policy = u64::try_from(view.ret?).ok()?;
    POLICY.name(policy)?;
    Some(Value::One(policy, &POLICY))
}

fn io_priority_of(value: u64) -> Value {
    const SHIFT: u32 = 13;
    let class = Value::One((value & 0xffff_ffff) >> SHIFT, &IO_CLASS);
    let data = Value::Unsigned(value & ((1 << SHIFT) - 1));
    Value::Call("IOPRIO_PRIO_VALUE", Vec::from([class, data]))
}

fn io_priority(view: &View<'_>) -> Value {
    io_priority_of(view.raw)
}

fn had(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(io_priority_of(view.ret?.cast_unsigned()))
}

/// A `struct sched_param` is one number.
const PARAM_IN: Type = To(In, &I32);
const PARAM_OUT: Type = To(Out, &I32);

calls! { CALLS
    sched_yield() -> I32;
    sched_get_priority_max(policy: one(&POLICY)) -> I32;
    sched_get_priority_min(policy: one(&POLICY)) -> I32;
    sched_getscheduler(pid: PID) -> I32, note(policy);
    sched_setscheduler(pid: PID, policy: one(&POLICY), param: PARAM_IN) -> I32;
    sched_getparam(pid: PID, param: PARAM_OUT) -> I32;
    sched_setparam(pid: PID, param: PARAM_IN) -> I32;
    sched_rr_get_interval(pid: PID, interval: TIMESPEC_OUT) -> I32;
    sched_rr_get_interval_time64(pid: PID, interval: TIMESPEC64_OUT) -> I32;
    sched_getattr(pid: PID, uattr: Sized(Out, Len::Arg(2), &Struct(&ATTR)), usize: U32,
        flags: U32) -> I32;
    sched_setattr(pid: PID, uattr: Then(&ATTR_IN, attr_set), flags: U32) -> I32;
    sched_getaffinity(pid: PID, len: U32, user_mask_ptr: Then(&MASK_OUT, or_address)) -> I32;
    sched_setaffinity(pid: PID, len: U32, user_mask_ptr: Then(&MASK_IN, or_address)) -> I32;
    getpriority(which: one(&PRIORITY_OF), who: I32) -> I32;
    setpriority(which: one(&PRIORITY_OF), who: I32, niceval: I32) -> I32;
    nice(increment: I32) -> I32;
    ioprio_get(which: one(&IO_PRIORITY_OF), who: I32) -> I32, note(had);
    ioprio_set(which: one(&IO_PRIORITY_OF), who: I32, ioprio: Special(io_priority, 0)) -> I32;
}
