//! ptrace(2) by request.

use crate::abi::I386;
use crate::decode::Fields;
use crate::decode::common::SIGNALS_64;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::signals::siginfo::SIGINFO;

use super::confine::FILTER_FLAGS;
use super::filter::SECCOMP_INSTRUCTION;
use super::regs::{self, GET_SET, SET_SET, USER_FPREGS, USER_REGS, USER_REGS_32};

mod sets;

use sets::{NOTE, REQUEST};

sets! {
    /// PTRACE_SETOPTIONS in ptrace(2)
    OPTIONS "PTRACE_O_???" {
        PTRACE_O_TRACESYSGOOD = 1, PTRACE_O_TRACEFORK = 2, PTRACE_O_TRACEVFORK = 4,
        PTRACE_O_TRACECLONE = 8, PTRACE_O_TRACEEXEC = 0x10, PTRACE_O_TRACEVFORKDONE = 0x20,
        PTRACE_O_TRACEEXIT = 0x40, PTRACE_O_TRACESECCOMP = 0x80, PTRACE_O_EXITKILL = 0x10_0000,
        PTRACE_O_SUSPEND_SECCOMP = 0x20_0000,
    }
    /// PTRACE_PEEKSIGINFO in ptrace(2)
    PEEK_FLAGS "PTRACE_PEEKSIGINFO_???" { PTRACE_PEEKSIGINFO_SHARED = 1 }
    /// PTRACE_GET_SYSCALL_INFO in ptrace(2)
    CALL_INFO "PTRACE_SYSCALL_INFO_???" {
        PTRACE_SYSCALL_INFO_NONE = 0, PTRACE_SYSCALL_INFO_ENTRY = 1,
        PTRACE_SYSCALL_INFO_EXIT = 2, PTRACE_SYSCALL_INFO_SECCOMP = 3,
    }
}

structs! {
    /// PTRACE_PEEKSIGINFO in ptrace(2)
    PEEK "ptrace_peeksiginfo_args" { off: U64, flags: flags(&PEEK_FLAGS), nr: U32 }
    /// PTRACE_SECCOMP_GET_METADATA in ptrace(2): which, and how it was set.
    METADATA "seccomp_metadata" (which_known) {
        filter_off: U64, flags: Scalar(W64, Style::Flags(&FILTER_FLAGS)),
    }
    /// As it is handed in.
    METADATA_IN "seccomp_metadata" { filter_off: U64 }
}

fn which_known(fields: &mut Fields, _: &View<'_>) {
    fields.more = false;
}

const REQ: Type = long_one(&REQUEST);
const SIGNAL_LONG: Type = SIGNAL;
const SET_OPTIONS: Type = long_flags(&OPTIONS);
const OFFSET: Type = Special(regs::offset, 0);
const GET: Type = To(InOut, &Struct(&GET_SET));

calls! { TRACEME
    ptrace(request: REQ, pid: Absent, addr: Absent, data: Absent) -> LONG;
}
calls! { TASK
    ptrace(request: REQ, pid: PID, addr: Absent, data: Absent) -> LONG;
}
calls! { PEEK_MEMORY
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: To(Out, &XLONG)) -> LONG;
}
calls! { PEEK_USER
    ptrace(request: REQ, pid: PID, addr: OFFSET, data: To(Out, &XLONG)) -> LONG;
}
calls! { POKE_USER
    ptrace(request: REQ, pid: PID, addr: OFFSET, data: ADDRESS) -> LONG;
}
calls! { RESUME
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: SIGNAL_LONG) -> LONG;
}
calls! { SET_OPTION
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: SET_OPTIONS) -> LONG;
}
calls! { GET_MESSAGE
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: To(Out, &ULONG)) -> LONG;
}
calls! { GET_SIGNAL
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: To(Out, &SIGINFO)) -> LONG;
}
calls! { SET_SIGNAL
    ptrace(request: REQ, pid: PID, addr: ADDRESS, data: To(In, &SIGINFO)) -> LONG;
}
calls! { PEEK_SIGNALS
    ptrace(request: REQ, pid: PID, addr: To(In, &Struct(&PEEK)), data: Array(Out, &SIGINFO, Len::Ret)) -> LONG;
}
calls! { GET_MASK
    ptrace(request: REQ, pid: PID, addr: SIZE, data: Pick(mask_out, 0)) -> LONG;
}
calls! { SET_MASK
    ptrace(request: REQ, pid: PID, addr: SIZE, data: Pick(mask_in, 0)) -> LONG;
}
calls! { GET_REGS
    ptrace(request: REQ, pid: PID, addr: Absent, data: Pick(regs_out, 0)) -> LONG;
}
calls! { SET_REGS
    ptrace(request: REQ, pid: PID, addr: Absent, data: Pick(regs_in, 0)) -> LONG;
}
calls! { GET_FPREGS
    ptrace(request: REQ, pid: PID, addr: Absent, data: Pick(fpregs_out, 0)) -> LONG;
}
calls! { SET_FPREGS
    ptrace(request: REQ, pid: PID, addr: Absent, data: Pick(fpregs_in, 0)) -> LONG;
}
calls! { GET_REGSET
    ptrace(request: REQ, pid: PID, addr: one(&NOTE), data: Then(&GET, regs::one)) -> LONG;
}
calls! { SET_REGSET
    ptrace(request: REQ, pid: PID, addr: one(&NOTE), data: To(In, &Struct(&SET_SET))) -> LONG;
}
calls! { GET_FILTER
    ptrace(request: REQ, pid: PID, addr: ULONG, data: Then(&FILTER, super::filter::brief)) -> LONG;
}
calls! { GET_METADATA
    ptrace(request: REQ, pid: PID, addr: SIZE, data: Pick(metadata, 0)) -> LONG;
}
calls! { GET_CALL
    ptrace(request: REQ, pid: PID, addr: SIZE,
        data: Sized(Out, Len::With(written), &Special(regs::call_info, 0))) -> LONG;
}

const FILTER: Type = Array(Out, &SECCOMP_INSTRUCTION, Len::Ret);

/// What a call returns is what there is, of which it writes what there is place for.
fn written(view: &View<'_>) -> u64 {
    let there = view.ret.and_then(|ret| u64::try_from(ret).ok());
    there.unwrap_or(0).min(view.arg(2))
}

fn metadata(view: &View<'_>) -> &'static Type {
    match view.succeeded() {
        true => const { &Sized(Out, Len::Ret, &Struct(&METADATA)) },
        false => const { &To(In, &Struct(&METADATA_IN)) },
    }
}

fn mask_out(view: &View<'_>) -> &'static Type {
    mask(view, &To(Out, &SIGNALS_64))
}

fn mask_in(view: &View<'_>) -> &'static Type {
    mask(view, &To(In, &SIGNALS_64))
}

fn mask(view: &View<'_>, ty: &'static Type) -> &'static Type {
    match view.arg(2) {
        8 => ty,
        _ => &ADDRESS,
    }
}

fn regs_out(view: &View<'_>) -> &'static Type {
    match view.abi {
        I386 => const { &To(Out, &Struct(&USER_REGS_32)) },
        _ => const { &To(Out, &Struct(&USER_REGS)) },
    }
}

fn regs_in(view: &View<'_>) -> &'static Type {
    match view.abi {
        I386 => const { &To(In, &Struct(&USER_REGS_32)) },
        _ => const { &To(In, &Struct(&USER_REGS)) },
    }
}

fn fpregs_out(view: &View<'_>) -> &'static Type {
    match view.abi {
        I386 => &ADDRESS,
        _ => const { &To(Out, &Struct(&USER_FPREGS)) },
    }
}

fn fpregs_in(view: &View<'_>) -> &'static Type {
    match view.abi {
        I386 => &ADDRESS,
        _ => const { &To(In, &Struct(&USER_FPREGS)) },
    }
}

fn by_request(view: &View<'_>) -> Option<&'static Call> {
    let table = match view.arg(0) {
        0 => TRACEME,
        1 | 2 => PEEK_MEMORY,
        3 => PEEK_USER,
        6 => POKE_USER,
        7 | 9 | 17 | 24 | 31..=33 => RESUME,
        8 | 16 | 0x4207 | 0x4208 => TASK,
        12 => GET_REGS,
        13 => SET_REGS,
        14 => GET_FPREGS,
        15 => SET_FPREGS,
        21 | 0x4200 | 0x4206 => SET_OPTION,
        0x4201 => GET_MESSAGE,
        0x4202 => GET_SIGNAL,
        0x4203 => SET_SIGNAL,
        0x4204 => GET_REGSET,
        0x4205 => SET_REGSET,
        0x4209 => PEEK_SIGNALS,
        0x420a => GET_MASK,
        0x420b => SET_MASK,
        0x420c => GET_FILTER,
        0x420d => GET_METADATA,
        0x420e => GET_CALL,
        _ => return None,
    };
    table.first()
}

calls! { CALLS
    ptrace by by_request (request: REQ, pid: PID, addr: ADDRESS, data: ADDRESS) -> LONG;
}
