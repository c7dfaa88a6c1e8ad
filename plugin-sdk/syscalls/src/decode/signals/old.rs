//! Calls of i386 from before there were real-time signals: sets are 32 bits.

use alloc::boxed::Box;

use crate::decode::schema::prelude::*;

use super::{ACTION_FLAGS, HANDLER, HOW, SIGNAL_HANDLER};

/// A set of signals in memory, of 4 bytes.
const SIGNALS_32: Type = Special(set, 4);

fn set(view: &View<'_>) -> Value {
    Value::Signals(view.number(0, W32).unwrap_or(0))
}

/// The same in a register.
const SIGNALS_IN_REGISTER: Type = Special(set_in_register, 0);

fn set_in_register(view: &View<'_>) -> Value {
    Value::Signals(view.raw & 0xffff_ffff)
}

structs! {
    /// sigaction(2) of i386 (asm/signal.h)
    ACTION "old_sigaction" (super::arrange_action) {
        sa_handler: SIGNAL_HANDLER, sa_mask: SIGNALS_32, sa_flags: long_flags(&ACTION_FLAGS),
        sa_restorer: ADDRESS,
    }
}

/// What handled the signal, if it has a name.
fn handler(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let handler = u64::try_from(view.ret?).ok()?;
    HANDLER.name(handler)?;
    Some(Value::One(handler, &HANDLER))
}

fn mask(view: &View<'_>, _: &[Value]) -> Option<Value> {
    titled("mask", view)
}

fn old_mask(view: &View<'_>, _: &[Value]) -> Option<Value> {
    titled("old mask", view)
}

fn titled(title: &'static str, view: &View<'_>) -> Option<Value> {
    let mask = view.ret?.cast_unsigned() & 0xffff_ffff;
    Some(Value::Titled(title, Box::new(Value::Signals(mask))))
}

calls! { CALLS
    signal(sig: SIGNAL, handler: SIGNAL_HANDLER) -> XLONG, note(handler);
    sigaction(sig: SIGNAL, act: To(In, &Struct(&ACTION)), oact: To(Out, &Struct(&ACTION))) -> I32;
    sigprocmask(how: one(&HOW), nset: To(In, &SIGNALS_32), oset: To(Out, &SIGNALS_32)) -> I32;
    sigpending(uset: To(Out, &SIGNALS_32)) -> I32;
    sigsuspend(unused1: Absent, unused2: Absent, mask: SIGNALS_IN_REGISTER) -> I32;
    sgetmask() -> X32, note(mask);
    ssetmask(newmask: SIGNALS_IN_REGISTER) -> X32, note(old_mask);
    sigreturn() -> LONG;
}
