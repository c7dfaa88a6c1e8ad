//! Clocks and timers.

pub(super) mod sets;
pub(super) mod structs;

use super::common::{
    ITIMERSPEC, ITIMERSPEC64, TIMESPEC, TIMESPEC_IN, TIMESPEC_OUT, TIMESPEC64, TIMESPEC64_IN,
    TIMESPEC64_OUT, TIMEVAL_IN, TIMEVAL_OUT, date, dated,
};
use super::schema::prelude::*;

use sets::{CLOCK, CLOCK_STATE, ITIMER, TIMER_FLAGS};
use structs::{ITIMERVAL, SIGEVENT, TIMEX, TIMEX64, TIMEZONE};

/// How something is told of: sigevent(3type).
pub(super) const SIGEVENT_IN: Type = To(In, &Struct(&SIGEVENT));

/// Something that the call has not written: only where it would be, once the call has
/// returned.
const NOT_WRITTEN: Type = Sized(Out, Len::Fixed(0), &U8);

/// A sleep that a signal has ended has written what is left of it
/// (ERESTART_RESTARTBLOCK in linux/errno.h).
fn is_over(view: &View<'_>) -> bool {
    const RESTARTS: i64 = -516;
    view.ret.is_some_and(|ret| ret != RESTARTS)
}

fn left(view: &View<'_>) -> &'static Type {
    match is_over(view) {
        true => &NOT_WRITTEN,
        false => const { &To(Always, &Struct(&TIMESPEC)) },
    }
}

fn left64(view: &View<'_>) -> &'static Type {
    match is_over(view) {
        true => &NOT_WRITTEN,
        false => const { &To(Always, &Struct(&TIMESPEC64)) },
    }
}

/// Seconds since the epoch with their date.
fn with_date(seconds: Value, _: &View<'_>) -> Value {
    dated(seconds, 0)
}

const SECONDS: Type = Then(&LONG, with_date);

fn date_of_result(view: &View<'_>, _: &[Value]) -> Option<Value> {
    date(view.ret?, 0).map(|date| Value::Plain(date.into()))
}

/// What adjtimex(2) returns, unless its structure could not be read.
fn clock_state(view: &View<'_>, values: &[Value]) -> Option<Value> {
    values.first()?.fields()?;
    let state = CLOCK_STATE.name(view.ret?.cast_unsigned())?;
    Some(Value::Plain(state.into()))
}

const TIMEX_OUT: Type = To(Out, &Struct(&TIMEX));
const TIMEX64_OUT: Type = To(Out, &Struct(&TIMEX64));

calls! { CALLS
    time(tloc: To(Out, &SECONDS)) -> LONG, note(date_of_result);
    stime(tptr: To(In, &SECONDS)) -> I32;
    gettimeofday(tv: TIMEVAL_OUT, tz: To(Out, &Struct(&TIMEZONE))) -> I32;
    settimeofday(tv: TIMEVAL_IN, tz: To(In, &Struct(&TIMEZONE))) -> I32;
    adjtimex(txc_p: TIMEX_OUT) -> I32, note(clock_state, 0: TIMEX_OUT);
    nanosleep(rqtp: TIMESPEC_IN, rmtp: Pick(left, 0)) -> I32;

    getitimer(which: one(&ITIMER), value: To(Out, &Struct(&ITIMERVAL))) -> I32;
    setitimer(
        which: one(&ITIMER), value: To(In, &Struct(&ITIMERVAL)),
        ovalue: To(Out, &Struct(&ITIMERVAL)),
    ) -> I32;

    clock_gettime(which_clock: one(&CLOCK), tp: TIMESPEC_OUT) -> I32;
    clock_settime(which_clock: one(&CLOCK), tp: TIMESPEC_IN) -> I32;
    clock_getres(which_clock: one(&CLOCK), tp: TIMESPEC_OUT) -> I32;
    clock_nanosleep(
        which_clock: one(&CLOCK), flags: flags(&TIMER_FLAGS), rqtp: TIMESPEC_IN,
        rmtp: Pick(left, 0),
    ) -> I32;
    clock_adjtime(which_clock: one(&CLOCK), utx: TIMEX_OUT) -> I32, note(clock_state, 1: TIMEX_OUT);
    clock_gettime64(which_clock: one(&CLOCK), tp: TIMESPEC64_OUT) -> I32;
    clock_settime64(which_clock: one(&CLOCK), tp: TIMESPEC64_IN) -> I32;
    clock_getres_time64(which_clock: one(&CLOCK), tp: TIMESPEC64_OUT) -> I32;
    clock_nanosleep_time64(
        which_clock: one(&CLOCK), flags: flags(&TIMER_FLAGS), rqtp: TIMESPEC64_IN,
        rmtp: Pick(left64, 0),
    ) -> I32;
    clock_adjtime64(which_clock: one(&CLOCK), utx: TIMEX64_OUT)
        -> I32, note(clock_state, 1: TIMEX64_OUT);

    timer_create(
        which_clock: one(&CLOCK), timer_event_spec: SIGEVENT_IN, created_timer_id: To(Out, &I32),
    ) -> I32;
    timer_settime(
        timer_id: I32, flags: flags(&TIMER_FLAGS), new_setting: To(In, &Struct(&ITIMERSPEC)),
        old_setting: To(Out, &Struct(&ITIMERSPEC)),
    ) -> I32;
    timer_gettime(timer_id: I32, setting: To(Out, &Struct(&ITIMERSPEC))) -> I32;
    timer_settime64(
        timer_id: I32, flags: flags(&TIMER_FLAGS), new_setting: To(In, &Struct(&ITIMERSPEC64)),
        old_setting: To(Out, &Struct(&ITIMERSPEC64)),
    ) -> I32;
    timer_gettime64(timer_id: I32, setting: To(Out, &Struct(&ITIMERSPEC64))) -> I32;
    timer_getoverrun(timer_id: I32) -> I32;
    timer_delete(timer_id: I32) -> I32;
}
