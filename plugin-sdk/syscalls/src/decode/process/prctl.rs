//! prctl(2) by option, and arch_prctl(2).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::or_address;
use crate::decode::schema::prelude::*;

use super::filter::SECCOMP_FILTER;
use super::sets::CAPABILITY;

mod sets;

use sets::{
    AMBIENT, ARCH_OPTION, CORE, DISPATCH, DUMPABLE, FP_MODE, KEYS, MACHINE_CHECK,
    MACHINE_CHECK_POLICY, MEMORY, OPTION, SECCOMP_MODE, SECURE_BITS, SPECULATION,
    SPECULATION_STATE, TSC, UNALIGNED, VECTOR, VECTOR_MATRIX, VMA, XFEATURE, XFEATURE_MASK,
};

const OPT: Type = one(&OPTION);
const NUMBER: Type = To(Out, &U32);

calls! { ALONE
    prctl(option: OPT, arg2: Absent, arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_DUMPABLE
    prctl(option: OPT, arg2: Absent, arg3: Absent, arg4: Absent, arg5: Absent) -> I32, note(dumpable);
}
calls! { GET_SECUREBITS
    prctl(option: OPT, arg2: Absent, arg3: Absent, arg4: Absent, arg5: Absent) -> X32, note(secure_bits);
}
calls! { SET_NUMBER
    prctl(option: OPT, arg2: ULONG, arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_NUMBER_OF_FOUR
    prctl(option: OPT, arg2: ULONG, arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { GET_NUMBER
    prctl(option: OPT, arg2: NUMBER, arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_SIGNAL
    prctl(option: OPT, arg2: SIGNAL, arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_SIGNAL
    prctl(option: OPT, arg2: To(Out, &SIGNAL), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_DUMPABLE
    prctl(option: OPT, arg2: long_one(&DUMPABLE), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_UNALIGN
    prctl(option: OPT, arg2: flags(&UNALIGNED), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_UNALIGN
    prctl(option: OPT, arg2: To(Out, &flags(&UNALIGNED)), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_NAME
    prctl(option: OPT, arg2: Then(&NAME, or_address), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_NAME
    prctl(option: OPT, arg2: To(Out, &SHORT_NAME), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_SECCOMP
    prctl(option: OPT, arg2: long_one(&SECCOMP_MODE), arg3: Pick(seccomp_filter, 0),
        arg4: Pick(but_for_seccomp_filter, 0), arg5: Pick(but_for_seccomp_filter, 0)) -> I32;
}
calls! { CAPABILITY_ALONE
    prctl(option: OPT, arg2: long_one(&CAPABILITY), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_TSC
    prctl(option: OPT, arg2: long_one(&TSC), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_TSC
    prctl(option: OPT, arg2: To(Out, &one(&TSC)), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_SECUREBITS
    prctl(option: OPT, arg2: long_flags(&SECURE_BITS), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { MCE_KILL
    prctl(option: OPT, arg2: long_one(&MACHINE_CHECK), arg3: Pick(machine_check_policy, 0),
        arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { MCE_KILL_GET
    prctl(option: OPT, arg2: XLONG, arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32, note(machine_check);
}
calls! { SET_MM
    prctl(option: OPT, arg2: long_one(&MEMORY), arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { FOUR
    prctl(option: OPT, arg2: XLONG, arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { SET_PTRACER
    prctl(option: OPT, arg2: Special(ptracer, 0), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_TID_ADDRESS
    prctl(option: OPT, arg2: To(Out, &ADDRESS), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SET_FP_MODE
    prctl(option: OPT, arg2: flags(&FP_MODE), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { CAP_AMBIENT
    prctl(option: OPT, arg2: long_one(&AMBIENT), arg3: Pick(ambient, 0), arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { SVE_SET_VL
    prctl(option: OPT, arg2: Special(vector, 0), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { SME_SET_VL
    prctl(option: OPT, arg2: Special(vector_matrix, 0), arg3: Absent, arg4: Absent, arg5: Absent) -> I32;
}
calls! { GET_SPECULATION_CTRL
    prctl(option: OPT, arg2: long_one(&SPECULATION), arg3: Absent, arg4: Absent, arg5: Absent)
        -> X32, note(speculation);
}
calls! { SET_SPECULATION_CTRL
    prctl(option: OPT, arg2: long_one(&SPECULATION), arg3: Pick(speculation_state, 0), arg4: Absent,
        arg5: Absent) -> I32;
}
calls! { PAC_RESET_KEYS
    prctl(option: OPT, arg2: long_flags(&KEYS), arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { PAC_SET_ENABLED_KEYS
    prctl(option: OPT, arg2: long_flags(&sets::ENABLED_KEYS), arg3: long_flags(&sets::ENABLED_KEYS),
        arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { SET_TAGGED_ADDR_CTRL
    prctl(option: OPT, arg2: Special(tagged, 0), arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
}
calls! { SET_SYSCALL_USER_DISPATCH
    prctl(option: OPT, arg2: long_one(&DISPATCH), arg3: XLONG, arg4: XLONG, arg5: ADDRESS) -> I32;
}
calls! { SCHED_CORE
    prctl(option: OPT, arg2: long_one(&CORE), arg3: PID, arg4: Special(id_type, 0),
        arg5: Pick(cookie, 0)) -> I32;
}
calls! { SET_VMA
    prctl(option: OPT, arg2: long_one(&VMA), arg3: Pick(area, 0), arg4: Pick(area_size, 0),
        arg5: Pick(area_name, 0)) -> I32;
}

fn by_option(view: &View<'_>) -> Option<&'static Call> {
    let table = match view.arg32(0) {
        1 => SET_SIGNAL,
        2 => GET_SIGNAL,
        3 => GET_DUMPABLE,
        4 => SET_DUMPABLE,
        5 => GET_UNALIGN,
        6 => SET_UNALIGN,
        7 | 13 | 21 | 30 | 31 | 32 | 46 | 51 | 64 => ALONE,
        8 | 10 | 12 | 14 | 20 | 29 | 36 => SET_NUMBER,
        9 | 11 | 19 | 37 => GET_NUMBER,
        15 => SET_NAME,
        16 => GET_NAME,
        22 => SET_SECCOMP,
        23 | 24 => CAPABILITY_ALONE,
        25 => GET_TSC,
        26 => SET_TSC,
        27 => GET_SECUREBITS,
        28 => SET_SECUREBITS,
        33 => MCE_KILL,
        34 => MCE_KILL_GET,
        35 => SET_MM,
        38 | 41 | 57 => SET_NUMBER_OF_FOUR,
        40 => GET_TID_ADDRESS,
        45 => SET_FP_MODE,
        47 => CAP_AMBIENT,
        50 => SVE_SET_VL,
        52 => GET_SPECULATION_CTRL,
        53 => SET_SPECULATION_CTRL,
        54 => PAC_RESET_KEYS,
        55 => SET_TAGGED_ADDR_CTRL,
        59 => SET_SYSCALL_USER_DISPATCH,
        60 => PAC_SET_ENABLED_KEYS,
        62 => SCHED_CORE,
        63 => SME_SET_VL,
        0x5356_4d41 => SET_VMA,
        0x5961_6d61 => SET_PTRACER,
        _ => FOUR,
    };
    table.first()
}

fn result_of(view: &View<'_>) -> Option<u64> {
    u64::try_from(view.ret?).ok()
}

fn dumpable(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(Value::One(result_of(view)?, &DUMPABLE))
}

fn secure_bits(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let bits = result_of(view)?;
    (bits != 0).then_some(Value::Flags(bits, &SECURE_BITS))
}

fn machine_check(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(Value::One(result_of(view)?, &MACHINE_CHECK_POLICY))
}

fn speculation(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(Value::Flags(result_of(view)?, &SPECULATION_STATE))
}

/// `char comm[16]` of a task: 15 bytes of it are used.
const NAME: Type = Sized(In, Len::Fixed(16), &Special(name, 0));
const SHORT_NAME: Type = Then(&Chars(16), shortened);

/// As long as other strings.
fn shortened(value: Value, view: &View<'_>) -> Value {
    match value {
        Value::Bytes(mut bytes) if bytes.data.len() > view.limits.text => {
            bytes.data.truncate(view.limits.text);
            bytes.more = true;
            Value::Bytes(bytes)
        }
        value => value,
    }
}

fn name(view: &View<'_>) -> Value {
    const MOST: usize = 15;
    let text = view.bytes.get(..MOST).unwrap_or(view.bytes);
    let end = text.iter().position(|byte| *byte == 0);
    if end.is_none() && text.len() < MOST {
        return Value::Address(view.addr);
    }
    let name = Value::Bytes(crate::decode::Bytes {
        data: text.get(..end.unwrap_or(MOST)).unwrap_or(text).to_vec(),
        more: end.is_none(),
        whole: true,
        look: TEXT,
    });
    shortened(name, view)
}

const SECCOMP_MODE_FILTER: u64 = 2;

fn seccomp_filter(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        SECCOMP_MODE_FILTER => const { &To(In, &Struct(&SECCOMP_FILTER)) },
        _ => &XLONG,
    }
}

fn but_for_seccomp_filter(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        SECCOMP_MODE_FILTER => &Absent,
        _ => &XLONG,
    }
}

fn machine_check_policy(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        1 => const { &long_one(&MACHINE_CHECK_POLICY) },
        _ => &XLONG,
    }
}

fn ptracer(view: &View<'_>) -> Value {
    const ANY: u64 = u64::MAX;
    let any = ANY >> (64 - 8 * Width::Long.bytes(view.abi) as u32);
    match view.raw {
        raw if raw == any => Value::Named(raw, "PR_SET_PTRACER_ANY".into()),
        raw => Value::Pid((raw & 0xffff_ffff) as u32 as i32),
    }
}

fn ambient(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        1..=3 => const { &long_one(&CAPABILITY) },
        _ => &XLONG,
    }
}

/// Flags, and a length in the lower half.
fn length(view: &View<'_>, set: &'static Set) -> Value {
    const LENGTH: u64 = 0xffff;
    let flags = view.raw & !LENGTH;
    let length = Value::Hex(view.raw & LENGTH);
    if flags == 0 {
        return length;
    }
    let mut names = Vec::new();
    let mut left = flags;
    for (bit, name) in set.each() {
        if left & bit != 0 {
            names.push(String::from(name));
            left &= !bit;
        }
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    names.push(match view.raw & LENGTH {
        0 => String::from("0"),
        length => format!("{length:#x}"),
    });
    Value::Named(view.raw, names.join("|").into())
}

fn vector(view: &View<'_>) -> Value {
    length(view, &VECTOR)
}

fn vector_matrix(view: &View<'_>) -> Value {
    length(view, &VECTOR_MATRIX)
}

/// Of what is known; anything may be in the state of what is not.
fn speculation_state(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        0..=2 => const { &long_one(&SPECULATION_STATE) },
        _ => &XLONG,
    }
}

/// PR_SET_TAGGED_ADDR_CTRL: whether, how faults are told, and a mask of tags.
fn tagged(view: &View<'_>) -> Value {
    const TAGS: u64 = 0xffff;
    let mut text = String::from(match view.raw & 1 {
        0 => "!PR_TAGGED_ADDR_ENABLE",
        _ => "PR_TAGGED_ADDR_ENABLE",
    });
    text.push_str(match view.raw >> 1 & 3 {
        0 => "|PR_MTE_TCF_NONE",
        1 => "|PR_MTE_TCF_SYNC",
        2 => "|PR_MTE_TCF_ASYNC",
        _ => "|PR_MTE_TCF_MASK",
    });
    if view.raw >> 3 & TAGS != 0 {
        text.push_str(&format!("|{:#x}<<PR_MTE_TAG_SHIFT", view.raw >> 3 & TAGS));
    }
    let rest = view.raw & !(TAGS << 3 | 7);
    if rest != 0 {
        text.push_str(&format!("|{rest:#x}"));
    }
    Value::Named(view.raw, text.into())
}

/// PIDTYPE_* of the kernel (linux/pid_types.h), which no header for programs has.
fn id_type(view: &View<'_>) -> Value {
    let name = match view.raw {
        0 => "PIDTYPE_PID",
        1 => "PIDTYPE_TGID",
        2 => "PIDTYPE_PGID",
        3 => "PIDTYPE_SID",
        _ => "PIDTYPE_???",
    };
    Value::Comment(Box::new(Value::Hex(view.raw)), name.into())
}

fn cookie(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        0 => const { &To(Out, &X64) },
        _ => &ADDRESS,
    }
}

fn area(view: &View<'_>) -> &'static Type {
    named(view, &ADDRESS)
}

fn area_size(view: &View<'_>) -> &'static Type {
    named(view, &SIZE)
}

fn area_name(view: &View<'_>) -> &'static Type {
    named(view, &Text)
}

/// PR_SET_VMA_ANON_NAME is all that there is.
fn named(view: &View<'_>, ty: &'static Type) -> &'static Type {
    match view.arg(1) {
        0 => ty,
        _ => &XLONG,
    }
}

const ARCH: Type = one(&ARCH_OPTION);

calls! { ARCH_GET
    arch_prctl(option: ARCH, arg2: To(Out, &ADDRESS)) -> I32;
}
calls! { ARCH_ALONE
    arch_prctl(option: ARCH, arg2: Absent) -> I32;
}
calls! { ARCH_GET_FEATURES
    arch_prctl(option: ARCH, arg2: To(Out, &Special(features, 8))) -> I32;
}
calls! { ARCH_FEATURE
    arch_prctl(option: ARCH, arg2: Special(feature, 0)) -> I32;
}

/// Parts of the state of a processor, with their names.
fn features(view: &View<'_>) -> Value {
    let bits = view.number(0, W64).unwrap_or(0);
    let mut left = bits;
    let mut names = Vec::new();
    for (mask, name) in XFEATURE_MASK.names {
        if left & mask == *mask {
            names.push(*name);
            left &= !mask;
        }
    }
    let rest = format!("{left:#x}");
    if left != 0 && !names.is_empty() {
        names.push(&rest);
    }
    let value = Value::Hex(bits);
    match names.is_empty() {
        true => value,
        false => Value::Comment(Box::new(value), names.join("|")),
    }
}

fn feature(view: &View<'_>) -> Value {
    let name = XFEATURE.name(view.raw).unwrap_or(XFEATURE.unknown);
    Value::Comment(Box::new(Value::Hex(view.raw)), name.into())
}

fn by_arch_option(view: &View<'_>) -> Option<&'static Call> {
    let table = match view.arg32(0) {
        0x1003 | 0x1004 => ARCH_GET,
        0x1011 => ARCH_ALONE,
        0x1021 | 0x1022 | 0x1024 => ARCH_GET_FEATURES,
        0x1023 | 0x1025 => ARCH_FEATURE,
        _ => return None,
    };
    table.first()
}

calls! { CALLS
    prctl by by_option (option: OPT, arg2: XLONG, arg3: XLONG, arg4: XLONG, arg5: XLONG) -> I32;
    arch_prctl by by_arch_option (option: ARCH, arg2: XLONG) -> I32;
}
