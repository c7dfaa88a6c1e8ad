//! System V and POSIX message queues, semaphores, shared memory.

mod multiplexed;
pub(super) mod queues;
mod sets;
mod structs;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::common::{TIMESPEC_IN, TIMESPEC64_IN};
use super::schema::prelude::*;

use multiplexed::{by_number, number};
use sets::{GET, KEY, MSG, MSGCTL, SEMCTL, SHMAT, SHMCTL, SHMGET};
use structs::{
    MSGBUF, MSGINFO, MSQID_DS, NEW_MSQID_DS, NEW_SEMID_DS, NEW_SHMID_DS, SEMBUF, SEMID_DS, SEMINFO,
    SHM_INFO, SHMID_DS, SHMINFO,
};

/// Flags of a call that gets an object, and its permissions: `IPC_CREAT|0600`.
fn get_flags(value: &Value, set: &'static Set) -> Value {
    const PERMISSIONS: u64 = 0o777;
    let value = value.number().unwrap_or(0);
    let permissions = Value::Octal(value & PERMISSIONS);
    match value & !PERMISSIONS {
        0 => permissions,
        flags => Value::Parts(value, Vec::from([Value::Flags(flags, set), permissions])),
    }
}

fn flags_to_get(value: Value, _: &View<'_>) -> Value {
    get_flags(&value, &GET)
}

fn flags_to_get_memory(value: Value, _: &View<'_>) -> Value {
    get_flags(&value, &SHMGET)
}

/// Newer structures, which is a bit of a command (linux/ipc.h). There are no others on
/// x86_64.
const IPC_64: u64 = 0x100;

/// A command, with or without that bit.
fn command(value: &Value, set: &'static Set) -> Value {
    let value = value.number().unwrap_or(0);
    if value & IPC_64 == 0 {
        return Value::One(value, set);
    }
    let bit = Value::Named(IPC_64, Cow::Borrowed("IPC_64"));
    let command = Value::One(value & !IPC_64, set);
    Value::Parts(value, Vec::from([bit, command]))
}

fn semctl_command(value: Value, _: &View<'_>) -> Value {
    command(&value, &SEMCTL)
}

fn msgctl_command(value: Value, _: &View<'_>) -> Value {
    command(&value, &MSGCTL)
}

fn shmctl_command(value: Value, _: &View<'_>) -> Value {
    command(&value, &SHMCTL)
}

const IPC_SET: u64 = 1;
const IPC_STAT: u64 = 2;
const IPC_INFO: u64 = 3;

/// The command of an argument, without the bit.
fn command_of(view: &View<'_>, index: usize) -> u64 {
    u64::from(view.arg32(index)) & !IPC_64
}

/// `union semun`
fn semctl_argument(view: &View<'_>) -> &'static Type {
    const SEM_STAT: u64 = 18;
    const SEM_INFO: u64 = 19;
    const SEM_STAT_ANY: u64 = 20;
    match command_of(view, 2) {
        IPC_SET => const { &To(In, &Struct(&NEW_SEMID_DS)) },
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => const { &To(Out, &Struct(&SEMID_DS)) },
        IPC_INFO | SEM_INFO => const { &To(Out, &Struct(&SEMINFO)) },
        _ => &ADDRESS,
    }
}

/// The process that used a semaphore last is what GETPID returns.
fn semctl_result(view: &View<'_>) -> &'static Type {
    const GETPID: u64 = 11;
    match command_of(view, 2) {
        GETPID => &PID,
        _ => &I32,
    }
}

fn msgctl_argument(view: &View<'_>) -> &'static Type {
    const MSG_STAT: u64 = 11;
    const MSG_INFO: u64 = 12;
    const MSG_STAT_ANY: u64 = 13;
    match command_of(view, 1) {
        IPC_SET => const { &To(In, &Struct(&NEW_MSQID_DS)) },
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => const { &To(Out, &Struct(&MSQID_DS)) },
        IPC_INFO | MSG_INFO => const { &To(Out, &Struct(&MSGINFO)) },
        _ => &ADDRESS,
    }
}

fn shmctl_argument(view: &View<'_>) -> &'static Type {
    const SHM_STAT: u64 = 13;
    const SHM_INFO_COMMAND: u64 = 14;
    const SHM_STAT_ANY: u64 = 15;
    match command_of(view, 1) {
        IPC_SET => const { &To(In, &Struct(&NEW_SHMID_DS)) },
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => const { &To(Out, &Struct(&SHMID_DS)) },
        IPC_INFO => const { &To(Out, &Struct(&SHMINFO)) },
        SHM_INFO_COMMAND => const { &To(Out, &Struct(&SHM_INFO)) },
        _ => &ADDRESS,
    }
}

/// How many operations semop(2) makes: an `unsigned int`.
fn operations(view: &View<'_>) -> u64 {
    view.arg32(2).into()
}

/// The key of an object.
const KEY_TYPE: Type = one(&KEY);
const OPERATIONS: Type = Array(In, &Struct(&SEMBUF), Len::With(operations));
const FLAGS: Type = Then(&U32, flags_to_get);

calls! { CALLS
    semget(key: KEY_TYPE, nsems: I32, semflg: FLAGS) -> I32;
    semop(semid: I32, tsops: OPERATIONS, nsops: U32) -> I32;
    semtimedop(semid: I32, tsops: OPERATIONS, nsops: U32, timeout: TIMESPEC_IN) -> I32;
    semtimedop_time64(semid: I32, tsops: OPERATIONS, nsops: U32, timeout: TIMESPEC64_IN) -> I32;
    semctl(
        semid: I32, semnum: I32, cmd: Then(&U32, semctl_command), arg: Pick(semctl_argument, 0),
    ) -> Pick(semctl_result, 0);
    msgget(key: KEY_TYPE, msgflg: FLAGS) -> I32;
    msgsnd(msqid: I32, msgp: To(In, &Struct(&MSGBUF)), msgsz: SIZE, msgflg: flags(&MSG)) -> I32;
    msgrcv(
        msqid: I32, msgp: To(Out, &Struct(&MSGBUF)), msgsz: SIZE, msgtyp: LONG,
        msgflg: flags(&MSG),
    ) -> SSIZE;
    msgctl(msqid: I32, cmd: Then(&U32, msgctl_command), buf: Pick(msgctl_argument, 0)) -> I32;
    shmget(key: KEY_TYPE, size: SIZE, shmflg: Then(&U32, flags_to_get_memory)) -> I32;
    shmat(shmid: I32, shmaddr: ADDRESS, shmflg: flags(&SHMAT)) -> XLONG;
    shmdt(shmaddr: ADDRESS) -> I32;
    shmctl(shmid: I32, cmd: Then(&U32, shmctl_command), buf: Pick(shmctl_argument, 0)) -> I32;
    ipc by by_number (
        call: Then(&U32, number), first: XLONG, second: XLONG, third: XLONG, ptr: XLONG,
        fifth: XLONG,
    ) -> LONG;
}
