//! The arguments of clone3(2).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::schema::prelude::*;
use crate::decode::{Field, Fields};
use crate::signal;

use super::sets::CLONE3;
use super::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_PARENT_SETTID, CLONE_PIDFD, CLONE_SETTLS,
};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// All that is known of the structure.
const KNOWN: usize = 88;
/// No more of it is looked at: a page.
const MOST: usize = 4096;
/// Levels of PID namespaces (linux/pid_namespace.h).
const MAX_PID_NS_LEVEL: u64 = 32;

structs! {
    /// clone3(2): all have 64 bits on every ABI.
    CLONE_ARGS "clone_args" (arrange) {
        flags: U64, pidfd: Pick(pidfd, 8), child_tid: U64, parent_tid: Pick(parent_tid, 8),
        exit_signal: U64, stack: U64, stack_size: U64, tls: U64,
        set_tid: Pick(set_tid, 8), set_tid_size: U64, cgroup: U64,
    }
}

fn pidfd(view: &View<'_>) -> &'static Type {
    written(view, CLONE_PIDFD, &To(Out, &FD))
}

fn parent_tid(view: &View<'_>) -> &'static Type {
    written(view, CLONE_PARENT_SETTID, &To(Out, &PID))
}

fn written(view: &View<'_>, flag: u64, ty: &'static Type) -> &'static Type {
    match view.field("flags").unwrap_or(0) & flag {
        0 => &U64,
        _ => ty,
    }
}

fn set_tid(view: &View<'_>) -> &'static Type {
    match view.field("set_tid_size") {
        Some(1..=MAX_PID_NS_LEVEL) => const { &Array(In, &PID, Len::Field("set_tid_size")) },
        _ => &U64,
    }
}

/// Shows what the flags say is used, and what is not zero. Nothing is left when not
/// all that is known could be read.
fn arrange(fields: &mut Fields, view: &View<'_>) {
    let size = usize::try_from(view.arg(1)).unwrap_or(MOST).min(MOST);
    let read = core::mem::take(fields);
    if view.bytes.len() < size.min(KNOWN) {
        return;
    }
    // What the caller does not have is zero.
    let at = |offset: usize| {
        let mut whole = [0; 8];
        for (to, from) in whole
            .iter_mut()
            .zip(view.bytes.get(offset..).unwrap_or_default())
        {
            *to = *from;
        }
        u64::from_le_bytes(whole)
    };
    let pointer = |name: &str, offset| match read.get(name) {
        Some(value @ Value::To { .. }) => value.clone(),
        _ => Value::Address(at(offset)),
    };
    let mut show = |name, value| {
        fields.fields.push(Field {
            name,
            value,
            verbose: false,
        });
    };
    let flags = at(0);
    show("flags", Value::Flags(flags, &CLONE3));
    if flags & CLONE_PIDFD != 0 {
        show("pidfd", pointer("pidfd", 8));
    }
    if flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID) != 0 {
        show("child_tid", Value::Address(at(16)));
    }
    if flags & CLONE_PARENT_SETTID != 0 {
        show("parent_tid", pointer("parent_tid", 24));
    }
    show(
        "exit_signal",
        match u32::try_from(at(32)) {
            Ok(number) if signal::name(number).is_some() => Value::Signal(number),
            _ => Value::Unsigned(at(32)),
        },
    );
    show("stack", Value::Address(at(40)));
    show("stack_size", Value::Hex(at(48)));
    if flags & CLONE_SETTLS != 0 {
        show("tls", Value::Address(at(56)));
    }
    if at(64) != 0 || at(72) != 0 {
        show("set_tid", pointer("set_tid", 64));
        show("set_tid_size", Value::Unsigned(at(72)));
    }
    if size >= KNOWN && flags & CLONE_INTO_CGROUP != 0 || at(80) != 0 {
        show(
            "cgroup",
            match i32::try_from(at(80)) {
                Ok(fd) => Value::Fd(fd),
                _ => Value::Unsigned(at(80)),
            },
        );
    }
    if size > KNOWN
        && let Some(rest) = rest(view.bytes, size, view.limits.text)
    {
        show("", Value::Plain(rest.into()));
    }
}

/// Bytes of fields that are not known, at most so many, if there is anything in them.
fn rest(bytes: &[u8], size: usize, most: usize) -> Option<String> {
    let rest = bytes.get(KNOWN..).unwrap_or_default();
    if rest.len() < size - KNOWN {
        return Some("???".into());
    }
    if rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut text = format!("/* bytes {KNOWN}..{} */ \"", size - 1);
    for byte in rest.iter().take(most) {
        text.push_str(&format!("\\x{byte:02x}"));
    }
    text.push('"');
    if rest.len() > most {
        text.push_str("...");
    }
    Some(text)
}

/// `{flags=CLONE_PIDFD, pidfd=0x7ffd8, ..} => {pidfd=[3]}`: what the call has written
/// is shown behind the rest.
pub(super) fn outcome(value: Value, _: &View<'_>) -> Value {
    let Value::To { addr, value } = value else {
        return value;
    };
    let Value::Struct(mut before) = *value else {
        return Value::To { addr, value };
    };
    if before.fields.is_empty() {
        return Value::Address(addr);
    }
    let mut after = Vec::new();
    for field in &mut before.fields {
        let (true, Value::To { addr, .. }) =
            (matches!(field.name, "pidfd" | "parent_tid"), &field.value)
        else {
            continue;
        };
        let addr = Value::Address(*addr);
        let value = core::mem::replace(&mut field.value, addr);
        after.push(Field {
            name: field.name,
            value,
            verbose: false,
        });
    }
    let before = Box::new(Value::Struct(before));
    if after.is_empty() {
        return Value::To {
            addr,
            value: before,
        };
    }
    Value::Changed {
        addr,
        before,
        after: Box::new(Value::Struct(Fields {
            fields: after,
            more: false,
        })),
    }
}
