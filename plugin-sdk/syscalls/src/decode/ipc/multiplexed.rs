//! ipc(2) of i386, which is all calls on System V objects.

use alloc::format;

use crate::decode::common::TIMESPEC_IN;
use crate::decode::schema::prelude::*;

use super::sets::{MSG, SHMAT};
use super::structs::MSGBUF;
use super::{FLAGS, KEY_TYPE, OPERATIONS};
use super::{
    IPC_64, flags_to_get_memory, msgctl_argument, msgctl_command, semctl_argument, semctl_command,
    semctl_result, shmctl_argument, shmctl_command,
};

/// The call of this number (linux/ipc.h); a version of its arguments is in the higher half.
pub(super) fn by_number(view: &View<'_>) -> Option<&'static Call> {
    let index = match view.arg(0) & 0xffff {
        1 => 0,
        2 => 1,
        3 => 2,
        4 => 3,
        11 => 4,
        12 if view.arg(0) >> 16 == 0 => 5,
        12 => 12,
        13 => 6,
        14 => 7,
        21 => 8,
        22 => 9,
        23 => 10,
        24 => 11,
        _ => return None,
    };
    CALLS.get(index)
}

/// The number of a call, and the version of its arguments if that is not 0.
pub(super) fn number(value: Value, _: &View<'_>) -> Value {
    let value = value.number().unwrap_or(0);
    match value >> 16 {
        0 => Value::Unsigned(value),
        version => Value::Named(value, format!("{version}<<16|{}", value & 0xffff).into()),
    }
}

/// Only the newer structures are known.
fn msgctl_structure(view: &View<'_>) -> &'static Type {
    match view.arg(1) & IPC_64 {
        0 => &ADDRESS,
        _ => msgctl_argument(view),
    }
}

/// What the pointer leads to is an argument of semctl(2).
fn semctl_structure(view: &View<'_>) -> &'static Type {
    match view.arg(2) & IPC_64 {
        0 => &ADDRESS,
        _ => semctl_argument(view),
    }
}

fn shmctl_structure(view: &View<'_>) -> &'static Type {
    match view.arg(1) & IPC_64 {
        0 => &ADDRESS,
        _ => shmctl_argument(view),
    }
}

// semctl(2) and msgrcv(2) of version 0 take arguments from memory: of the latter only where
// those are is shown.
calls! { CALLS
    semop(first @ 1: I32, ptr @ 4: OPERATIONS, second @ 2: U32) -> I32;
    semget(first @ 1: KEY_TYPE, second: I32, third: FLAGS) -> I32;
    semctl(
        first @ 1: I32, second: I32, third: Then(&U32, semctl_command),
        ptr: To(In, &Pick(semctl_structure, 4)),
    ) -> Pick(semctl_result, 0);
    semtimedop(
        first @ 1: I32, ptr @ 4: OPERATIONS, second @ 2: U32, fifth @ 5: TIMESPEC_IN,
    ) -> I32;
    msgsnd(
        first @ 1: I32, ptr @ 4: To(In, &Struct(&MSGBUF)), second @ 2: SIZE,
        third @ 3: flags(&MSG),
    ) -> I32;
    msgrcv(
        first @ 1: I32, ptr @ 4: ADDRESS, second @ 2: SIZE, third @ 3: flags(&MSG),
    ) -> SSIZE;
    msgget(first @ 1: KEY_TYPE, second: FLAGS) -> I32;
    msgctl(
        first @ 1: I32, second: Then(&U32, msgctl_command), ptr @ 4: Pick(msgctl_structure, 0),
    ) -> I32;
    shmat(first @ 1: I32, ptr @ 4: ADDRESS, second @ 2: flags(&SHMAT)) -> I32;
    shmdt(ptr @ 4: ADDRESS) -> I32;
    shmget(first @ 1: KEY_TYPE, second: SIZE, third: Then(&U32, flags_to_get_memory)) -> I32;
    shmctl(
        first @ 1: I32, second: Then(&U32, shmctl_command), ptr @ 4: Pick(shmctl_structure, 0),
    ) -> I32;
    msgrcv(
        first @ 1: I32, ptr @ 4: To(Out, &Struct(&MSGBUF)), second @ 2: SIZE, fifth @ 5: LONG,
        third @ 3: flags(&MSG),
    ) -> SSIZE;
}
