//! Processes and tasks: how they are made, what they run, how they end, and who waits.

pub(super) mod confine;
pub(super) mod filter;
pub(super) mod ids;
pub(super) mod limits;
pub(super) mod others;
pub(super) mod prctl;
pub(super) mod ptrace;
pub(super) mod sched;
pub(super) mod segments;

mod clone;
mod regs;
pub(super) mod sets;

use alloc::boxed::Box;

use super::common::bounded;
use super::files::sets::AT;
use super::schema::prelude::*;

use super::signals::siginfo::SIGINFO;
use crate::abi;
use clone::CLONE_ARGS;
use limits::RUSAGE;
use sets::{CLONE, ID_TYPE, SETNS, UNSHARE, WAIT};

/// Of a structure or of text that is not all there, where it is: for descriptions that
/// leave no fields, or an address, when there is too little to read.
fn or_address(value: Value, _: &View<'_>) -> Value {
    match value {
        Value::To { addr, value } => match *value {
            Value::Struct(fields) if fields.fields.is_empty() => Value::Address(addr),
            Value::Address(_) => Value::Address(addr),
            other => Value::To {
                addr,
                value: Box::new(other),
            },
        },
        value => value,
    }
}

const CLONE_SETTLS: u64 = 0x0008_0000;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT_SETTID: u64 = 0x0010_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x0020_0000;
const CLONE_CHILD_SETTID: u64 = 0x0100_0000;

/// Flags of clone(2), the second of the arguments as they are shown.
const FLAGS: usize = 1;

fn parent_tid(view: &View<'_>) -> &'static Type {
    let flags = view.arg(FLAGS);
    if flags & CLONE_PIDFD != 0 {
        &To(Out, &FD)
    } else if flags & CLONE_PARENT_SETTID != 0 {
        &To(Out, &PID)
    } else {
        &Absent
    }
}

fn tls(view: &View<'_>) -> &'static Type {
    match view.arg(FLAGS) & CLONE_SETTLS {
        0 => &Absent,
        _ => &ADDRESS,
    }
}

fn child_tid(view: &View<'_>) -> &'static Type {
    match view.arg(FLAGS) & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID) {
        0 => &Absent,
        _ => &ADDRESS,
    }
}

/// The last two are the other way round but on x86_64 (clone(2)).
fn clone_by_abi(view: &View<'_>) -> Option<&'static Call> {
    BACKWARDS.first().filter(|_| view.abi != abi::X86_64)
}

calls! { BACKWARDS
    clone([named] child_stack @ 1: ADDRESS, [named] flags @ 0: long_flags(&CLONE),
        [named] parent_tid @ 2: Pick(parent_tid, 0), [named] tls @ 3: Pick(tls, 0),
        [named] child_tidptr @ 4: Pick(child_tid, 0)) -> PID;
}

/// Nothing is written when nothing was there to wait for.
fn waited(view: &View<'_>) -> bool {
    view.ret != Some(0)
}

fn wait_status(view: &View<'_>) -> &'static Type {
    match waited(view) {
        true => const { &To(Out, &WAIT_STATUS) },
        false => &ADDRESS,
    }
}

fn wait_usage(view: &View<'_>) -> &'static Type {
    match waited(view) {
        true => const { &To(Out, &Struct(&RUSAGE)) },
        false => &ADDRESS,
    }
}

fn waited_for(view: &View<'_>) -> &'static Type {
    const P_PIDFD: u32 = 3;
    match view.arg32(0) {
        P_PIDFD => &FD,
        _ => &PID,
    }
}

fn clone3_args(view: &View<'_>) -> &'static Type {
    // CLONE_ARGS_SIZE_VER0
    match view.arg(1) {
        64.. => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<1>), &Struct(&CLONE_ARGS)),
                    clone::outcome,
                )
            }
        }
        _ => &ADDRESS,
    }
}

calls! { CALLS
    execve(filename: Path, argv: Strings, envp: Environ) -> I32;
    execveat(fd: DIRFD, filename: Path, argv: Strings, envp: Environ, flags: flags(&AT)) -> I32;
    clone by clone_by_abi ([named] child_stack @ 1: ADDRESS, [named] flags @ 0: long_flags(&CLONE),
        [named] parent_tid @ 2: Pick(parent_tid, 0), [named] tls @ 4: Pick(tls, 0),
        [named] child_tidptr @ 3: Pick(child_tid, 0)) -> PID;
    clone3(uargs: Pick(clone3_args, 0), size: SIZE) -> PID;
    fork() -> PID;
    vfork() -> PID;
    exit(error_code: I32) -> I32;
    exit_group(error_code: I32) -> I32;
    wait4(upid: PID, stat_addr: Pick(wait_status, 0), options: flags(&WAIT),
        ru: Pick(wait_usage, 0)) -> PID;
    waitpid(pid: PID, stat_addr: Pick(wait_status, 0), options: flags(&WAIT)) -> PID;
    waitid(which: one(&ID_TYPE), upid: Pick(waited_for, 0), infop: To(Out, &SIGINFO),
        options: flags(&WAIT), ru: To(Out, &Struct(&RUSAGE))) -> I32;
    set_tid_address(tidptr: XLONG) -> PID;
    unshare(unshare_flags: long_flags(&UNSHARE)) -> I32;
    setns(fd: FD, flags: flags(&SETNS)) -> I32;
    restart_syscall() -> I32;
}
