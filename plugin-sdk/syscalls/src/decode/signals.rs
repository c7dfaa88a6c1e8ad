//! Signals: how they are sent, blocked, waited for and handled.

pub(super) mod old;
pub(crate) mod siginfo;

use super::Fields;
use super::common::{SIGNALS, SIGNALS_64, TIMESPEC_IN, TIMESPEC64_IN};
use super::schema::prelude::*;
use super::schema::sets;

use crate::abi::X86_64;
use siginfo::SIGINFO;

sets! {
    /// sigaction(2), asm/signal.h
    ACTION_FLAGS "SA_???" {
        SA_RESTORER = 0x400_0000, SA_ONSTACK = 0x800_0000, SA_RESTART = 0x1000_0000,
        SA_INTERRUPT = 0x2000_0000, SA_NODEFER = 0x4000_0000, SA_RESETHAND = 0x8000_0000,
        SA_SIGINFO = 4, SA_NOCLDSTOP = 1, SA_NOCLDWAIT = 2,
    }
    HANDLER "" { SIG_DFL = 0, SIG_IGN = 1 }
    /// sigprocmask(2)
    HOW "SIG_???" { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 }
    /// sigaltstack(2)
    STACK_FLAGS "SS_???" { SS_ONSTACK = 1, SS_DISABLE = 2, SS_AUTODISARM = 0x8000_0000 }
}

/// What handles a signal: a function, or one of two names.
pub(crate) const SIGNAL_HANDLER: Type = Then(&ADDRESS, handler);

fn handler(value: Value, _: &View<'_>) -> Value {
    match value.number() {
        Some(number @ (0 | 1)) => Value::One(number, &HANDLER),
        _ => value,
    }
}

structs! {
    /// rt_sigaction(2): the kernel's own form (asm/signal.h of the kernel).
    ACTION "sigaction" (arrange_action) {
        sa_handler: SIGNAL_HANDLER, sa_flags: long_flags(&ACTION_FLAGS), sa_restorer: ADDRESS,
        sa_mask: SIGNALS_64,
    }
    /// sigaltstack(2)
    STACK "stack_t" { ss_sp: ADDRESS, ss_flags: flags(&STACK_FLAGS), ss_size: SIZE }
}

/// As programs know it; what returns from the handler only if it is used.
pub(crate) fn arrange_action(fields: &mut Fields, _: &View<'_>) {
    const SA_RESTORER: u64 = 0x400_0000;
    let flags = fields.get("sa_flags").and_then(Value::number);
    if flags.unwrap_or(0) & SA_RESTORER == 0 {
        fields.remove("sa_restorer");
    }
    fields.order(&["sa_handler", "sa_mask", "sa_flags", "sa_restorer"]);
}

/// Sets of another size are none (sigprocmask(2)).
fn set(view: &View<'_>, size: usize, ty: &'static Type) -> &'static Type {
    match view.arg(size) {
        8 => ty,
        _ => &ADDRESS,
    }
}

fn first_set(view: &View<'_>) -> &'static Type {
    set(view, 3, &To(In, &SIGNALS_64))
}

fn old_set(view: &View<'_>) -> &'static Type {
    set(view, 3, &To(Out, &SIGNALS_64))
}

fn only_set(view: &View<'_>) -> &'static Type {
    set(view, 1, &To(In, &SIGNALS_64))
}

/// Of pending ones less may be asked for.
fn pending(view: &View<'_>) -> &'static Type {
    match view.arg(1) {
        1..=8 => const { &Sized(Out, Len::Arg(1), &SIGNALS) },
        _ => &ADDRESS,
    }
}

structs! {
    /// What a handler returns through, as far as it is shown: the signals that are blocked
    /// again (asm/sigframe.h of the kernel).
    FRAME "rt_sigframe" { mask: SIGNALS_64 }
}

/// Where that is, behind the address that the handler has returned to: the mask is the
/// last of `struct ucontext` (asm/ucontext.h).
fn frame(view: &View<'_>) -> &'static Type {
    const MASK: u32 = 8 + 8 + 24 + 256;
    match view.abi {
        X86_64 => const { &Stack(MASK, &To(In, &Struct(&FRAME))) },
        _ => &Absent,
    }
}

fn received(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(Value::Signal(u32::try_from(view.ret?).ok()?))
}

calls! { CALLS
    rt_sigaction(sig: SIGNAL, act: To(In, &Struct(&ACTION)), oact: To(Out, &Struct(&ACTION)),
        sigsetsize: SIZE) -> I32;
    rt_sigprocmask(how: one(&HOW), nset: Pick(first_set, 0), oset: Pick(old_set, 0),
        sigsetsize: SIZE) -> I32;
    rt_sigpending(uset: Pick(pending, 0), sigsetsize: SIZE) -> I32;
    rt_sigtimedwait(uthese: Pick(first_set, 0), uinfo: To(Out, &SIGINFO), uts: TIMESPEC_IN,
        sigsetsize: SIZE) -> I32, note(received);
    rt_sigtimedwait_time64(uthese: Pick(first_set, 0), uinfo: To(Out, &SIGINFO),
        uts: TIMESPEC64_IN, sigsetsize: SIZE) -> I32, note(received);
    rt_sigsuspend(unewset: Pick(only_set, 0), sigsetsize: SIZE) -> I32;
    rt_sigqueueinfo(pid: PID, sig: SIGNAL, uinfo: To(In, &SIGINFO)) -> I32;
    rt_tgsigqueueinfo(tgid: PID, pid: PID, sig: SIGNAL, uinfo: To(In, &SIGINFO)) -> I32;
    rt_sigreturn(frame: Pick(frame, 0)) -> LONG;
    sigaltstack(uss: To(In, &Struct(&STACK)), uoss: To(Out, &Struct(&STACK))) -> I32;
    pause() -> I32;
    kill(pid: PID, sig: SIGNAL) -> I32;
    tkill(pid: PID, sig: SIGNAL) -> I32;
    tgkill(tgid: PID, pid: PID, sig: SIGNAL) -> I32;
    alarm(seconds: U32) -> U32;
}
