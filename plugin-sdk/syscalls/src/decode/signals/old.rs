//! Calls of i386 from before there were real-time signals: sets are 32 bits.

use crate::decode::schema::prelude::*;

use super::{ACTION_FLAGS, HOW, SIGNAL_HANDLER};

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

calls! { CALLS
    signal(sig: SIGNAL, handler: SIGNAL_HANDLER) -> SIGNAL_HANDLER;
    sigaction(sig: SIGNAL, act: To(In, &Struct(&ACTION)), oact: To(Out, &Struct(&ACTION))) -> I32;
    sigprocmask(how: one(&HOW), nset: To(In, &SIGNALS_32), oset: To(Out, &SIGNALS_32)) -> I32;
    sigpending(uset: To(Out, &SIGNALS_32)) -> I32;
    sigsuspend(unused1: Absent, unused2: Absent, mask: SIGNALS_IN_REGISTER) -> I32;
    sgetmask() -> SIGNALS_IN_REGISTER;
    ssetmask(newmask: SIGNALS_IN_REGISTER) -> SIGNALS_IN_REGISTER;
    sigreturn() -> LONG;
}
