//! Segments of x86 (set_thread_area(2), modify_ldt(2)), which no 64-bit program needs.

use alloc::format;

use crate::abi::I386;
use crate::decode::Fields;
use crate::decode::schema::prelude::*;
use crate::errno;

structs! {
    /// asm/ldt.h
    USER_DESC "user_desc" (arrange) {
        entry_number: I32, base_addr: Special(eight_digits, 4), limit: Special(eight_digits, 4),
        seg_32bit: U32; 1, contents: U32; 2, read_exec_only: U32; 1, limit_in_pages: U32; 1,
        seg_not_present: U32; 1, useable: U32; 1, lm: U32; 1,
    }
}

/// `0x001000`, of which the sign takes two.
fn eight_digits(view: &View<'_>) -> Value {
    let number = view.number(0, W32).unwrap_or(0);
    let text = match number {
        0 => "00000000".into(),
        number => format!("0x{number:06x}"),
    };
    Value::Named(number, text.into())
}

fn arrange(fields: &mut Fields, view: &View<'_>) {
    if view.abi == I386 {
        fields.remove("lm");
    }
}

/// Of one that is asked for the number is all that counts before there is the rest.
fn got(value: Value, _: &View<'_>) -> Value {
    match value {
        Value::Changed { addr, after, .. } => Value::To { addr, value: after },
        Value::To { addr, mut value } => {
            if let Value::Struct(fields) = &mut *value {
                fields.order(&["entry_number"]);
                fields.more = true;
            }
            Value::To { addr, value }
        }
        value => value,
    }
}

/// What has been read before the call says -1 where any entry will do.
fn given(_: &View<'_>, values: &[Value]) -> Option<Value> {
    let entry = |value: Option<&Value>| match value? {
        Value::To { value, .. } => value.number(),
        _ => None,
    };
    let (before, after) = (entry(values.first())?, entry(values.get(1))?);
    (before != after).then(|| Value::Plain(format!("entry_number={}", after.cast_signed()).into()))
}

/// Only a whole one is read.
fn table_entry(view: &View<'_>) -> &'static Type {
    match view.arg(2) {
        16 => const { &To(In, &Struct(&USER_DESC)) },
        _ => &ADDRESS,
    }
}

/// The kernel forgets that errors are negative in 64 bits (asm/ldt.c of the kernel).
fn result(view: &View<'_>) -> Value {
    let low = (view.raw & 0xffff_ffff) as u32;
    let error = low.wrapping_neg();
    match (errno::name(error), errno::description(error)) {
        (Some(name), Some(text)) if low.cast_signed() < 0 => {
            Value::Named(low.into(), format!("{low} {name} ({text})").into())
        }
        _ => Value::Signed(view.raw.cast_signed()),
    }
}

fn by_abi(view: &View<'_>) -> Option<&'static Call> {
    THREAD_AREAS.first().filter(|_| view.abi == I386)
}

fn by_abi_too(view: &View<'_>) -> Option<&'static Call> {
    THREAD_AREAS.get(1).filter(|_| view.abi == I386)
}

const ENTRY: Type = To(InOut, &Struct(&USER_DESC));

calls! { THREAD_AREAS
    set_thread_area(u_info: To(In, &Struct(&USER_DESC))) -> I32,
        note(given, 0: To(In, &I32), 0: To(Out, &I32));
    get_thread_area(u_info: Then(&ENTRY, got)) -> I32;
}

calls! { CALLS
    set_thread_area by by_abi (u_info: XLONG) -> I32;
    get_thread_area by by_abi_too (u_info: XLONG) -> I32;
    modify_ldt(func: I32, ptr: Pick(table_entry, 0), bytecount: ULONG) -> Special(result, 0);
}
