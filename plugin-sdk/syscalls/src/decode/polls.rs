//! Waiting for descriptors: poll, select, epoll, timers and events as files.

mod epoll;
mod ready;
mod sets;

use super::common::{
    ITIMERSPEC, ITIMERSPEC64, TIMESPEC_IN, TIMESPEC_OUT, TIMESPEC64_IN, TIMESPEC64_OUT, TIMEVAL_IN,
    TIMEVAL_OUT,
};
use super::schema::prelude::*;
use super::times::sets::CLOCK;
use crate::abi;

use epoll::{ADDED, EVENTS};
use ready::{FDS_IN, FDS_OUT, POLLFDS, REVENTS, poll_ready, select_ready};
use sets::{EFD, EPOLL_CLOEXEC, EPOLL_CTL, SFD, TFD};

structs! {
    /// The last argument of pselect6 (select(2), "C library/kernel differences").
    SIGMASK_AND_SIZE "sigset_argpack" { sigmask: Pick(mask_by_field, 8), sigsetsize: SIZE }
    /// The same for 32 bits.
    SIGMASK_AND_SIZE32 "sigset_argpack" { sigmask: Pick(mask_by_field, 4), sigsetsize: SIZE }
    /// What select(2) of i386 takes (`struct sel_arg_struct` in fs/select.c).
    SELECT_ARGS "sel_arg_struct" {
        n: ULONG, inp: ADDRESS, outp: ADDRESS, exp: ADDRESS, tvp: ADDRESS,
    }
}

/// `sigset_t` of the kernel has 64 signals.
const MASK_SIZE: u64 = 8;
/// A set of signals that the kernel reads.
const MASK: Type = To(In, &Special(mask, 8));
/// The same, which strace reads when the call has returned.
const MASK_AFTER: Type = To(Out, &Special(mask, 8));

fn mask(view: &View<'_>) -> Value {
    Value::Signals(view.number(0, W64).unwrap_or(0))
}

/// The kernel takes no set of another size.
fn mask_of_size<const SIZE: usize>(view: &View<'_>) -> &'static Type {
    match view.arg(SIZE) {
        MASK_SIZE => &MASK,
        _ => &ADDRESS,
    }
}

/// As `mask_of_size`.
fn mask_after_of_size<const SIZE: usize>(view: &View<'_>) -> &'static Type {
    match view.arg(SIZE) {
        MASK_SIZE => &MASK_AFTER,
        _ => &ADDRESS,
    }
}

fn mask_by_field(view: &View<'_>) -> &'static Type {
    match view.field("sigsetsize") {
        Some(MASK_SIZE) => &MASK,
        _ => &ADDRESS,
    }
}

const MASK_IN: Type = To(In, &Struct(&SIGMASK_AND_SIZE));
const MASK_IN32: Type = To(In, &Struct(&SIGMASK_AND_SIZE32));

fn mask_and_size(view: &View<'_>) -> &'static Type {
    match view.abi {
        abi::I386 => &MASK_IN32,
        _ => &MASK_IN,
    }
}

/// `new_utsname` has place for 64 bytes (linux/utsname.h).
fn name_of_size(view: &View<'_>) -> &'static Type {
    const NEW_UTS_LEN: u32 = 64;
    match view.arg32(1) {
        0..=NEW_UTS_LEN => &Bytes(In, Len::With(size_of_name), TEXT),
        _ => &ADDRESS,
    }
}

fn size_of_name(view: &View<'_>) -> u64 {
    view.arg32(1).into()
}

/// The first select of i386 takes all in a structure.
fn select_by_abi(view: &View<'_>) -> Option<&'static Call> {
    (view.abi == abi::I386).then(|| OF_I386.first()).flatten()
}

calls! { OF_I386
    select(arg: To(In, &Struct(&SELECT_ARGS))) -> I32;
}

calls! { CALLS
    poll(ufds: POLLFDS, nfds: U32, timeout_msecs: I32) -> I32, note(poll_ready, 0: REVENTS);
    ppoll(ufds: POLLFDS, nfds: U32, tsp: TIMESPEC_IN, sigmask: Pick(mask_of_size::<4>, 0),
        sigsetsize: SIZE) -> I32, note(poll_ready, 0: REVENTS, 2: TIMESPEC_OUT);
    ppoll_time64(ufds: POLLFDS, nfds: U32, tsp: TIMESPEC64_IN, sigmask: Pick(mask_of_size::<4>, 0),
        sigsetsize: SIZE) -> I32, note(poll_ready, 0: REVENTS, 2: TIMESPEC64_OUT);
    select by select_by_abi (n: I32, inp: FDS_IN, outp: FDS_IN, exp: FDS_IN, tvp: TIMEVAL_IN)
        -> I32, note(select_ready, 1: FDS_OUT, 2: FDS_OUT, 3: FDS_OUT, 4: TIMEVAL_OUT);
    _newselect(n: I32, inp: FDS_IN, outp: FDS_IN, exp: FDS_IN, tvp: TIMEVAL_IN)
        -> I32, note(select_ready, 1: FDS_OUT, 2: FDS_OUT, 3: FDS_OUT, 4: TIMEVAL_OUT);
    pselect6(n: I32, inp: FDS_IN, outp: FDS_IN, exp: FDS_IN, tsp: TIMESPEC_IN,
        sig: Pick(mask_and_size, 0))
        -> I32, note(select_ready, 1: FDS_OUT, 2: FDS_OUT, 3: FDS_OUT, 4: TIMESPEC_OUT);
    pselect6_time64(n: I32, inp: FDS_IN, outp: FDS_IN, exp: FDS_IN, tsp: TIMESPEC64_IN,
        sig: Pick(mask_and_size, 0))
        -> I32, note(select_ready, 1: FDS_OUT, 2: FDS_OUT, 3: FDS_OUT, 4: TIMESPEC64_OUT);

    epoll_create(size: I32) -> FD;
    epoll_create1(flags: flags(&EPOLL_CLOEXEC)) -> FD;
    epoll_ctl(epfd: FD, op: one(&EPOLL_CTL), fd: FD, event: ADDED) -> I32;
    epoll_wait(epfd: FD, events: EVENTS, maxevents: I32, timeout: I32) -> I32;
    epoll_pwait(epfd: FD, events: EVENTS, maxevents: I32, timeout: I32,
        sigmask: Pick(mask_after_of_size::<5>, 0), sigsetsize: SIZE) -> I32;
    epoll_pwait2(epfd: FD, events: EVENTS, maxevents: I32, timeout: TIMESPEC64_OUT,
        sigmask: Pick(mask_after_of_size::<5>, 0), sigsetsize: SIZE) -> I32;
    epoll_ctl_old(epfd: XLONG, op: XLONG, fd: XLONG, event: XLONG) -> I32;
    epoll_wait_old(epfd: XLONG, events: XLONG, maxevents: XLONG, timeout: XLONG) -> I32;

    eventfd(count: U32) -> FD;
    eventfd2(count: U32, flags: flags(&EFD)) -> FD;
    signalfd(ufd: FD, user_mask: Pick(mask_of_size::<2>, 0), sizemask: SIZE) -> FD;
    signalfd4(ufd: FD, user_mask: Pick(mask_of_size::<2>, 0), sizemask: SIZE, flags: flags(&SFD))
        -> FD;
    timerfd_create(clockid: one(&CLOCK), flags: flags(&TFD)) -> FD;
    timerfd_settime(ufd: FD, flags: flags(&TFD), utmr: To(In, &Struct(&ITIMERSPEC)),
        otmr: To(Out, &Struct(&ITIMERSPEC))) -> I32;
    timerfd_gettime(ufd: FD, otmr: To(Out, &Struct(&ITIMERSPEC))) -> I32;
    timerfd_settime64(ufd: FD, flags: flags(&TFD), utmr: To(In, &Struct(&ITIMERSPEC64)),
        otmr: To(Out, &Struct(&ITIMERSPEC64))) -> I32;
    timerfd_gettime64(ufd: FD, otmr: To(Out, &Struct(&ITIMERSPEC64))) -> I32;

    sethostname(name: Pick(name_of_size, 0), len: U32) -> I32;
    setdomainname(name: Pick(name_of_size, 0), len: U32) -> I32;
}
