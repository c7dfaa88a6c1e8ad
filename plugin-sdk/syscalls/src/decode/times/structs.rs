//! Structures in calls on clocks and timers.

use crate::decode::common::TIMEVAL;
use crate::decode::schema::prelude::*;
use crate::decode::{Field, Fields};

use super::sets::{ADJ, SIGEV, STA};

structs! {
    /// getitimer(2)
    ITIMERVAL "itimerval" { it_interval: Struct(&TIMEVAL), it_value: Struct(&TIMEVAL) }
    /// gettimeofday(2)
    TIMEZONE "timezone" { tz_minuteswest: I32, tz_dsttime: I32 }
    /// `struct __kernel_timex_timeval` (linux/timex.h)
    TIMEX_TIME "__kernel_timex_timeval" { tv_sec: I64, tv_usec: U64 }
    /// adjtimex(2)
    TIMEX "timex" {
        modes: flags(&ADJ), offset: LONG, freq: LONG, maxerror: LONG, esterror: LONG,
        status: flags(&STA), constant: LONG, precision: LONG, tolerance: LONG,
        time: Struct(&TIMEVAL), tick: LONG, ppsfreq: LONG, jitter: LONG, shift: I32,
        stabil: LONG, jitcnt: LONG, calcnt: LONG, errcnt: LONG, stbcnt: LONG, tai: I32,
        unused: Pad(44),
    }
    /// `struct __kernel_timex` (linux/timex.h) of clock_adjtime64(2)
    TIMEX64 "__kernel_timex" {
        modes: flags(&ADJ), pad: Pad(4), offset: I64, freq: I64, maxerror: I64, esterror: I64,
        status: flags(&STA), pad2: Pad(4), constant: I64, precision: I64, tolerance: I64,
        time: Struct(&TIMEX_TIME), tick: I64, ppsfreq: I64, jitter: I64, shift: I32,
        pad3: Pad(4), stabil: I64, jitcnt: I64, calcnt: I64, errcnt: I64, stbcnt: I64,
        tai: I32, unused: Pad(44),
    }
    /// sigevent(3type) (asm-generic/siginfo.h): 64 bytes on all ABIs.
    SIGEVENT "sigevent" (arrange_sigevent) {
        sigev_value: ADDRESS, sigev_signo: Pick(signal_of_event, 4), sigev_notify: one(&SIGEV),
        sigev_un: Pick(how_of_event, 16),
    }
    /// What is told of by a call of a function.
    BY_THREAD "sigev_un" { sigev_notify_function: ADDRESS, sigev_notify_attributes: ADDRESS }
    /// What is told of by a signal for one task.
    BY_TASK "sigev_un" { sigev_notify_thread_id: PID }
}

const SIGNALS: u64 = 0;
const THREAD: u64 = 2;
const TASK: u64 = 4;

/// Only some ways of telling of an event have a signal.
fn signal_of_event(view: &View<'_>) -> &'static Type {
    match view.field("sigev_notify") {
        Some(SIGNALS | THREAD | TASK) => &SIGNAL,
        _ => &U32,
    }
}

fn how_of_event(view: &View<'_>) -> &'static Type {
    match view.field("sigev_notify") {
        Some(THREAD) => const { &Struct(&BY_THREAD) },
        Some(TASK) => const { &Struct(&BY_TASK) },
        _ => &Absent,
    }
}

/// The value of both members of the union, if there is any; how one is told without a
/// structure around it.
fn arrange_sigevent(fields: &mut Fields, _: &View<'_>) {
    let value = fields.get("sigev_value").and_then(Value::number);
    match value {
        None | Some(0) => fields.remove("sigev_value"),
        Some(value) => fields.change("sigev_value", |pointer| {
            let int = ((value & 0xffff_ffff) as u32).cast_signed();
            let member = |name, value| Field {
                name,
                value,
                verbose: false,
            };
            Value::Struct(Fields {
                fields: [
                    member("sival_int", Value::Signed(int.into())),
                    member("sival_ptr", pointer),
                ]
                .into(),
                more: false,
            })
        }),
    }
    let Some(Value::Struct(how)) = fields.get("sigev_un") else {
        return;
    };
    let how = how.fields.clone();
    fields.remove("sigev_un");
    fields.fields.extend(how);
}
