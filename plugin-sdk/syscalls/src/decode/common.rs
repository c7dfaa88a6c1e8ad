//! What calls of several areas take.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::schema::prelude::*;
use super::value::{self, Fields};

structs! {
    /// timespec(3type)
    TIMESPEC "timespec" { tv_sec: LONG, tv_nsec: ULONG }
    /// timeval(3type)
    TIMEVAL "timeval" { tv_sec: LONG, tv_usec: ULONG }
    /// The same where a `long` is too short: `struct __kernel_timespec` (linux/time_types.h).
    TIMESPEC64 "timespec" { tv_sec: I64, tv_nsec: U64 }
    /// `struct __kernel_sock_timeval` (linux/time_types.h).
    TIMEVAL64 "timeval" { tv_sec: I64, tv_usec: U64 }
    /// timer_settime(2), timerfd_settime(2)
    ITIMERSPEC "itimerspec" { it_interval: Struct(&TIMESPEC), it_value: Struct(&TIMESPEC) }
    /// `struct __kernel_itimerspec` (linux/time_types.h).
    ITIMERSPEC64 "itimerspec" { it_interval: Struct(&TIMESPEC64), it_value: Struct(&TIMESPEC64) }
    /// Pieces of memory of which only the place is shown.
    IOVEC "iovec" { iov_base: ADDRESS, iov_len: SIZE }
    /// readv(2)
    IOVEC_OUT "iovec" {
        iov_base: Bytes(Out, Len::Shared("iov_len"), TEXT), iov_len: SIZE,
    }
    /// writev(2)
    IOVEC_IN "iovec" {
        iov_base: Bytes(In, Len::Field("iov_len"), TEXT), iov_len: SIZE,
    }
}

/// A `struct timespec` that the kernel reads.
pub(crate) const TIMESPEC_IN: Type = To(In, &Struct(&TIMESPEC));
/// A `struct timespec` that the kernel writes.
pub(crate) const TIMESPEC_OUT: Type = To(Out, &Struct(&TIMESPEC));
/// A `struct __kernel_timespec` that the kernel reads.
pub(crate) const TIMESPEC64_IN: Type = To(In, &Struct(&TIMESPEC64));
/// A `struct __kernel_timespec` that the kernel writes.
pub(crate) const TIMESPEC64_OUT: Type = To(Out, &Struct(&TIMESPEC64));
/// A `struct timeval` that the kernel reads.
pub(crate) const TIMEVAL_IN: Type = To(In, &Struct(&TIMEVAL));
/// A `struct timeval` that the kernel writes.
pub(crate) const TIMEVAL_OUT: Type = To(Out, &Struct(&TIMEVAL));

/// A set of signals in memory, of 8 bytes or of as many as there are.
pub(crate) const SIGNALS: Type = Special(signals, 0);

/// A set of signals in memory, of 8 bytes.
pub(crate) const SIGNALS_64: Type = Special(signals, 8);

fn signals(view: &View<'_>) -> Value {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(view.bytes) {
        *to = *from;
    }
    Value::Signals(u64::from_le_bytes(bytes))
}

/// `char x[n]` of a structure whose last byte is to be a NUL byte: where there is none,
/// that byte is not shown, and `...` is.
pub(crate) fn terminated(view: &View<'_>) -> Value {
    let end = view.bytes.iter().position(|byte| *byte == 0);
    let len = end.unwrap_or(view.bytes.len().saturating_sub(1));
    Value::Bytes(value::Bytes {
        data: view.bytes.get(..len).unwrap_or_default().into(),
        more: end.is_none(),
        whole: true,
        look: TEXT,
    })
}

/// A time since the epoch in UTC: `2026-11-19T18:19:05.450984862+0000`, without the
/// fraction if that is zero. Nothing for the epoch itself and for what no calendar has.
pub(crate) fn date(seconds: i64, nanos: u64) -> Option<String> {
    if seconds == 0 && nanos == 0 || seconds.unsigned_abs() > 1 << 57 || nanos >= 1_000_000_000 {
        return None;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // `int tm_year` counts from 1900.
    if i32::try_from(year - 1900).is_err() {
        return None;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut text = format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        text.push_str(&format!(".{nanos:09}"));
    }
    text.push_str("+0000");
    Some(text)
}

/// Seconds with the date behind them.
pub(crate) fn dated(seconds: Value, nanos: u64) -> Value {
    let number = seconds.number().unwrap_or(0).cast_signed();
    match date(number, nanos) {
        Some(date) => Value::Comment(Box::new(seconds), date),
        None => seconds,
    }
}

/// The last field of a structure that the caller says the size of (in this argument): what
/// it holds behind the fields that are known here, if that is not all zero. The structure
/// has [`grown`] to arrange it, and its field is called `rest`.
pub(crate) const fn rest<const SIZE: usize>() -> Type {
    Pick(rest_of::<SIZE>, 0)
}

/// So much of a structure is read whose size is in this argument.
pub(crate) fn bounded<const SIZE: usize>(view: &View<'_>) -> u64 {
    view.arg(SIZE).min(4096)
}

fn rest_of<const SIZE: usize>(view: &View<'_>) -> &'static Type {
    let known = view.outer.map_or(0, |(_, all)| all.len());
    let given = usize::try_from(bounded::<SIZE>(view)).unwrap_or(0);
    let before = known.saturating_sub(view.bytes.len());
    if given <= before {
        return &Absent;
    }
    if known < given {
        return &Special(unreadable, 0);
    }
    match view.bytes.iter().all(|byte| *byte == 0) {
        true => &Absent,
        false => &Special(unknown_bytes, 0),
    }
}

/// What could not be read.
pub(crate) fn unreadable(_: &View<'_>) -> Value {
    Value::Plain("???".into())
}

fn unknown_bytes(view: &View<'_>) -> Value {
    let most = view.limits.text;
    let known = view.outer.map_or(0, |(_, all)| all.len());
    let first = known.saturating_sub(view.bytes.len());
    let mut text = format!("/* bytes {first}..{} */ \"", known.saturating_sub(1));
    for byte in view.bytes.iter().take(most) {
        text.push_str(&format!("\\x{byte:02x}"));
    }
    text.push('"');
    if view.bytes.len() > most {
        text.push_str("...");
    }
    Value::Plain(text.into())
}

/// Arranges a structure that ends with [`rest`].
pub(crate) fn grown(fields: &mut super::Fields, _: &View<'_>) {
    for field in &mut fields.fields {
        if field.name == "rest" {
            field.name = "";
        }
    }
}

/// Of a pointer to a structure only the address, if not all of its fields could be read.
pub(crate) fn whole(value: Value, _: &View<'_>) -> Value {
    match &value {
        Value::To { addr, value: of } if of.fields().is_some_and(|fields| fields.more) => {
            Value::Address(*addr)
        }
        _ => value,
    }
}

/// `struct timeval`, with the date behind it.
pub(crate) const TIMEVAL_DATED: Type = Then(&Struct(&TIMEVAL), with_date);

/// A time in seconds and nanoseconds or microseconds, with the date behind it.
pub(crate) fn with_date(value: Value, _: &View<'_>) -> Value {
    let number = |name: &str| value.fields()?.get(name)?.number();
    let seconds = number("tv_sec").unwrap_or(0).cast_signed();
    let text = match number("tv_usec") {
        None => date(seconds, number("tv_nsec").unwrap_or(0)),
        Some(micros) => {
            let text = date(seconds, micros.saturating_mul(1000));
            // Nanoseconds that are none.
            text.map(|text| match text.strip_suffix("000+0000") {
                Some(text) if micros > 0 => format!("{text}+0000"),
                _ => text,
            })
        }
    };
    match text {
        Some(text) => Value::Comment(Box::new(value), text),
        None => value,
    }
}

/// One structure out of what it was before a call and after it: as it is after, with
/// `before => after` in those of these fields that have changed.
pub(crate) fn merged(value: Value, names: &[&str]) -> Value {
    let Value::Changed {
        addr,
        before,
        mut after,
    } = value
    else {
        return value;
    };
    if let (Value::Struct(old), Value::Struct(new)) = (&*before, &mut *after) {
        merge(old, new, names);
    }
    Value::To { addr, value: after }
}

fn merge(old: &Fields, new: &mut Fields, names: &[&str]) {
    for field in &mut new.fields {
        let Some(was) = old.get(field.name) else {
            continue;
        };
        if let (Value::Struct(old), Value::Struct(new)) = (was, &mut field.value) {
            merge(old, new, names);
        } else if names.contains(&field.name) && was.number() != field.value.number() {
            let is = core::mem::replace(&mut field.value, Value::Unsigned(0));
            field.value = Value::Changed {
                addr: 0,
                before: Box::new(was.clone()),
                after: Box::new(is),
            };
        }
    }
}

/// An argument that is one type when the call has succeeded, and another one before and
/// if it fails: structures that the kernel fills in.
macro_rules! done {
    ($after:expr, else $before:expr) => {
        $crate::decode::schema::Type::Pick(
            |view| match view.succeeded() {
                true => const { &$after },
                false => const { &$before },
            },
            0,
        )
    };
}
pub(crate) use done;

/// One of a set, which is a decimal number where it has no name.
pub(crate) fn one_or_decimal(value: i64, set: &'static crate::decode::schema::Set) -> Value {
    // As wide as numbers in sets are.
    let unsigned = match i32::try_from(value) {
        Ok(narrow) => narrow.cast_unsigned().into(),
        Err(_) => value.cast_unsigned(),
    };
    match set.name(unsigned) {
        Some(_) => Value::One(unsigned, set),
        None => Value::Comment(Box::new(Value::Signed(value)), set.unknown.into()),
    }
}
