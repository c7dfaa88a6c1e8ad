//! futex(2), by operation, and the calls that follow it (linux/futex.h).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use crate::decode::Fields;
use crate::decode::common::{TIMESPEC_IN, TIMESPEC64_IN};
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::times::sets::CLOCK;

/// Operations, with the flags that they may have.
static OPERATION: Set = Set {
    names: &[
        (0, "FUTEX_WAIT"),
        (1, "FUTEX_WAKE"),
        (2, "FUTEX_FD"),
        (3, "FUTEX_REQUEUE"),
        (4, "FUTEX_CMP_REQUEUE"),
        (5, "FUTEX_WAKE_OP"),
        (6, "FUTEX_LOCK_PI"),
        (7, "FUTEX_UNLOCK_PI"),
        (8, "FUTEX_TRYLOCK_PI"),
        (9, "FUTEX_WAIT_BITSET"),
        (10, "FUTEX_WAKE_BITSET"),
        (11, "FUTEX_WAIT_REQUEUE_PI"),
        (12, "FUTEX_CMP_REQUEUE_PI"),
        (13, "FUTEX_LOCK_PI2"),
        (128, "FUTEX_WAIT_PRIVATE"),
        (129, "FUTEX_WAKE_PRIVATE"),
        (130, "FUTEX_FD|FUTEX_PRIVATE_FLAG"),
        (131, "FUTEX_REQUEUE_PRIVATE"),
        (132, "FUTEX_CMP_REQUEUE_PRIVATE"),
        (133, "FUTEX_WAKE_OP_PRIVATE"),
        (134, "FUTEX_LOCK_PI_PRIVATE"),
        (135, "FUTEX_UNLOCK_PI_PRIVATE"),
        (136, "FUTEX_TRYLOCK_PI_PRIVATE"),
        (137, "FUTEX_WAIT_BITSET_PRIVATE"),
        (138, "FUTEX_WAKE_BITSET_PRIVATE"),
        (139, "FUTEX_WAIT_REQUEUE_PI_PRIVATE"),
        (140, "FUTEX_CMP_REQUEUE_PI_PRIVATE"),
        (141, "FUTEX_LOCK_PI2_PRIVATE"),
        (256, "FUTEX_WAIT|FUTEX_CLOCK_REALTIME"),
        (265, "FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME"),
        (267, "FUTEX_WAIT_REQUEUE_PI|FUTEX_CLOCK_REALTIME"),
        (384, "FUTEX_WAIT_PRIVATE|FUTEX_CLOCK_REALTIME"),
        (393, "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME"),
        (395, "FUTEX_WAIT_REQUEUE_PI_PRIVATE|FUTEX_CLOCK_REALTIME"),
    ],
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "FUTEX_???",
};

sets! {
    /// Which waiters wake.
    BITSET "" { FUTEX_BITSET_MATCH_ANY = 0xffff_ffff }
    /// What FUTEX_WAKE_OP does to the second word.
    WAKE_OPERATION "FUTEX_OP_???" {
        FUTEX_OP_SET = 0, FUTEX_OP_ADD = 1, FUTEX_OP_OR = 2, FUTEX_OP_ANDN = 3, FUTEX_OP_XOR = 4,
    }
    /// How it compares what was there before.
    WAKE_COMPARISON "FUTEX_OP_CMP_???" {
        FUTEX_OP_CMP_EQ = 0, FUTEX_OP_CMP_NE = 1, FUTEX_OP_CMP_LT = 2, FUTEX_OP_CMP_LE = 3,
        FUTEX_OP_CMP_GT = 4, FUTEX_OP_CMP_GE = 5,
    }
    /// Flags of a waiter of futex_waitv(2), whose lowest bits are its size; shown as
    /// `FUTEX_32` was before other sizes came.
    WAITER "FUTEX_???" { FUTEX_32 = 2, FUTEX_PRIVATE_FLAG = 0x80 }
    /// FUTEX2_SIZE_MASK: the size of a word.
    SIZE2 "FUTEX2_???" {
        FUTEX2_SIZE_U8 = 0, FUTEX2_SIZE_U16 = 1, FUTEX2_SIZE_U32 = 2, FUTEX2_SIZE_U64 = 3,
    }
    /// Flags of futex_wake(2), futex_wait(2) and futex_requeue(2).
    FLAGS2 "FUTEX2_???" first(3 => SIZE2) {
        FUTEX2_NUMA = 4, FUTEX2_MPOL = 8, FUTEX2_PRIVATE = 0x80,
    }
}

/// The third value of FUTEX_WAKE_OP (FUTEX_OP in linux/futex.h).
fn wake_operation(view: &View<'_>) -> Value {
    const OPARG_SHIFT: u64 = 8;
    let value = view.raw & 0xffff_ffff;
    let part = |shift: u32, mask: u64| value >> shift & mask;
    let named = |set: &Set, value: u64, shift: u32| match set.name(value) {
        Some(name) => format!("{name}<<{shift}"),
        None => format!("{value:#x}<<{shift} /* {} */", set.unknown),
    };
    let number = |value: u64| match value {
        0 => String::from("0"),
        _ => format!("{value:#x}"),
    };
    let shift = match part(28, OPARG_SHIFT) {
        0 => "",
        _ => "FUTEX_OP_OPARG_SHIFT<<28|",
    };
    let text = format!(
        "{shift}{}|{}<<12|{}|{}",
        named(&WAKE_OPERATION, part(28, 7), 28),
        number(part(12, 0xfff)),
        named(&WAKE_COMPARISON, part(24, 0xf), 24),
        number(part(0, 0xfff)),
    );
    Value::Named(value, Cow::Owned(text))
}

/// The operation of a call.
fn by_operation(view: &View<'_>) -> Option<&'static Call> {
    operation(FORMS, view)
}

fn by_operation_time64(view: &View<'_>) -> Option<&'static Call> {
    operation(FORMS64, view)
}

fn operation(forms: &'static [Call], view: &View<'_>) -> Option<&'static Call> {
    // Without FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME and what nobody knows.
    let form = match view.arg(1) & 0x7f {
        0 => 0,
        1 | 2 => 1,
        3 => 2,
        4 | 12 => 3,
        5 => 4,
        6 | 13 => 5,
        7 | 8 => 6,
        9 => 7,
        10 => 8,
        11 => 9,
        _ => return None,
    };
    forms.get(form)
}

/// The forms of a call whose times are of one kind.
macro_rules! forms {
    ($table:ident, $futex:ident, $time:expr) => {
        calls! { $table
            $futex(uaddr: ADDRESS, op: one(&OPERATION), val: U32, utime: $time) -> LONG;
            $futex(uaddr: ADDRESS, op: one(&OPERATION), val: U32) -> LONG;
            $futex(uaddr: ADDRESS, op: one(&OPERATION), val: U32, val2: U32, uaddr2: ADDRESS)
                -> LONG;
            $futex(
                uaddr: ADDRESS, op: one(&OPERATION), val: U32, val2: U32, uaddr2: ADDRESS,
                val3: U32,
            ) -> LONG;
            $futex(
                uaddr: ADDRESS, op: one(&OPERATION), val: U32, val2: U32, uaddr2: ADDRESS,
                val3: Special(wake_operation, 0),
            ) -> LONG;
            $futex(uaddr: ADDRESS, op: one(&OPERATION), utime @ 3: $time) -> LONG;
            $futex(uaddr: ADDRESS, op: one(&OPERATION)) -> LONG;
            $futex(
                uaddr: ADDRESS, op: one(&OPERATION), val: U32, utime: $time,
                val3 @ 5: one(&BITSET),
            ) -> LONG;
            $futex(uaddr: ADDRESS, op: one(&OPERATION), val: U32, val3 @ 5: one(&BITSET)) -> LONG;
            $futex(
                uaddr: ADDRESS, op: one(&OPERATION), val: U32, utime: $time, uaddr2: ADDRESS,
            ) -> LONG;
        }
    };
}

forms!(FORMS, futex, TIMESPEC_IN);
forms!(FORMS64, futex_time64, TIMESPEC64_IN);

structs! {
    /// `struct futex_waitv`
    WAITV "futex_waitv" (arrange_waiter) {
        val: X64, uaddr: Scalar(W64, Style::Address), flags: flags(&WAITER), __reserved: X32,
    }
    /// The same of futex_requeue(2).
    REQUEUE "futex_waitv" (arrange_waiter) {
        val: X64, uaddr: Scalar(W64, Style::Address), flags: flags(&FLAGS2), __reserved: X32,
    }
}

fn arrange_waiter(fields: &mut Fields, _: &View<'_>) {
    if fields.get("__reserved").and_then(Value::number) == Some(0) {
        fields.remove("__reserved");
    }
}

calls! { CALLS
    futex by by_operation (
        uaddr: ADDRESS, op: one(&OPERATION), val: U32, utime: ADDRESS, uaddr2: ADDRESS, val3: X32,
    ) -> LONG;
    futex_time64 by by_operation_time64 (
        uaddr: ADDRESS, op: one(&OPERATION), val: U32, utime: ADDRESS, uaddr2: ADDRESS, val3: X32,
    ) -> LONG;
    futex_waitv(
        waiters: Array(In, &Struct(&WAITV), Len::With(waiters)), nr_futexes: U32, flags: X32,
        timeout: TIMESPEC64_IN, clockid: one(&CLOCK),
    ) -> LONG;
    futex_wake(uaddr: ADDRESS, mask: XLONG, nr: I32, flags: flags(&FLAGS2)) -> LONG;
    futex_wait(
        uaddr: ADDRESS, val: XLONG, mask: XLONG, flags: flags(&FLAGS2), timeout: TIMESPEC64_IN,
        clockid: one(&CLOCK),
    ) -> LONG;
    futex_requeue(
        waiters: Array(In, &Struct(&REQUEUE), Len::Fixed(2)), flags: X32, nr_wake: I32,
        nr_requeue: I32,
    ) -> LONG;
}

fn waiters(view: &View<'_>) -> u64 {
    view.arg32(1).into()
}
