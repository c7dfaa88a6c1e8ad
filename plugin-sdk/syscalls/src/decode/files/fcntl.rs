//! fcntl(2), by command.

use alloc::boxed::Box;

use super::sets::{OPEN, WHENCE};
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::signal;

sets! {
    /// fcntl(2), asm-generic/fcntl.h, linux/fcntl.h
    FCNTL "F_???" {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5,
        F_SETLK = 6, F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9, F_SETSIG = 10, F_GETSIG = 11,
        F_GETLK64 = 12, F_SETLK64 = 13, F_SETLKW64 = 14, F_SETOWN_EX = 15, F_GETOWN_EX = 16,
        F_GETOWNER_UIDS = 17, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
        F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_DUPFD_QUERY = 1027,
        F_CREATED_QUERY = 1028, F_CANCELLK = 1029, F_DUPFD_CLOEXEC = 1030,
        F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033, F_GET_SEALS = 1034,
        F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036, F_GET_FILE_RW_HINT = 1037,
        F_SET_FILE_RW_HINT = 1038,
    }
    FD_FLAGS "FD_???" { FD_CLOEXEC = 1 }
    LOCK_TYPE "F_???" { F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2, F_EXLCK = 4, F_SHLCK = 8 }
    OWNER "F_OWNER_???" { F_OWNER_TID = 0, F_OWNER_PID = 1, F_OWNER_PGRP = 2 }
    NOTIFY "DN_???" {
        DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 0x10,
        DN_ATTRIB = 0x20, DN_MULTISHOT = 0x8000_0000,
    }
    SEALS "F_SEAL_???" {
        F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8,
        F_SEAL_FUTURE_WRITE = 0x10,
    }
    HINT "RWH_???" {
        RWH_WRITE_LIFE_NOT_SET = 0, RWH_WRITE_LIFE_NONE = 1, RWH_WRITE_LIFE_SHORT = 2,
        RWH_WRITE_LIFE_MEDIUM = 3, RWH_WRITE_LIFE_LONG = 4, RWH_WRITE_LIFE_EXTREME = 5,
    }
}

const TYPE: Type = Scalar(W16, Style::One(&LOCK_TYPE));
const FROM: Type = Scalar(W16, Style::One(&WHENCE));

structs! {
    /// `struct flock`, asm-generic/fcntl.h. The kernel says who holds a lock.
    FLOCK_OUT "flock" { l_type: TYPE, l_whence: FROM, l_start: LONG, l_len: LONG, l_pid: PID }
    /// As `FLOCK_OUT`, as the kernel reads it.
    FLOCK_IN "flock" { l_type: TYPE, l_whence: FROM, l_start: LONG, l_len: LONG, l_pid: Pad(4) }
    /// `struct flock64`
    FLOCK64_OUT "flock64" {
        l_type: TYPE, l_whence: FROM, l_start: I64, l_len: I64, l_pid: PID,
    }
    FLOCK64_IN "flock64" {
        l_type: TYPE, l_whence: FROM, l_start: I64, l_len: I64, l_pid: Pad(4),
    }
    OWNER_EX "f_owner_ex" { r#type: one(&OWNER), pid: PID }
}

/// The flags behind a result, as in `0x8002 (flags O_RDWR|O_LARGEFILE)`.
fn named(word: &'static str, value: Value) -> Value {
    Value::Titled(word, Box::new(value))
}

fn result(view: &View<'_>) -> u64 {
    view.ret.unwrap_or(0).cast_unsigned()
}

fn fd_flags(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let flags = result(view);
    (flags != 0).then(|| named("flags", Value::Flags(flags, &FD_FLAGS)))
}

fn file_flags(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(named("flags", Value::Flags(result(view), &OPEN)))
}

fn seals(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let seals = result(view);
    (seals != 0).then(|| named("seals", Value::Flags(seals, &SEALS)))
}

fn lease(view: &View<'_>, _: &[Value]) -> Option<Value> {
    Some(Value::One(result(view), &LOCK_TYPE))
}

fn signal_of(view: &View<'_>, _: &[Value]) -> Option<Value> {
    let number = u32::try_from(result(view)).ok()?;
    signal::name(number).filter(|_| number != 0)?;
    Some(Value::Signal(number))
}

const CMD: Type = one(&FCNTL);
const LOCK_OUT: Type = To(Out, &Struct(&FLOCK_OUT));
const LOCK_IN: Type = To(In, &Struct(&FLOCK_IN));
const LOCK64_OUT: Type = To(Out, &Struct(&FLOCK64_OUT));
const LOCK64_IN: Type = To(In, &Struct(&FLOCK64_IN));
const HINT_VALUE: Type = Scalar(W64, Style::One(&HINT));

/// fcntl(2), where `struct flock` is of the ABI.
fn by_command(view: &View<'_>) -> Option<&'static Call> {
    let command = FCNTL.name(view.arg32(1).into())?;
    COMMANDS.iter().find(|call| call.name == command)
}

/// fcntl64(2) of ABIs of 32 bits: `struct flock64` as well.
fn by_command_64(view: &View<'_>) -> Option<&'static Call> {
    let command = FCNTL.name(view.arg32(1).into())?;
    let commands = COMMANDS_64.iter().chain(COMMANDS);
    commands.into_iter().find(|call| call.name == command)
}

calls! { CALLS
    fcntl by by_command (fd: FD, cmd: CMD, arg: XLONG) -> LONG;
    fcntl64 by by_command_64 (fd: FD, cmd: CMD, arg: XLONG) -> LONG;
}

calls! { COMMANDS
    F_DUPFD(fd: FD, cmd: CMD, arg: I32) -> FD;
    F_DUPFD_CLOEXEC(fd: FD, cmd: CMD, arg: I32) -> FD;
    F_DUPFD_QUERY(fd: FD, cmd: CMD, arg: FD) -> I32;
    F_CREATED_QUERY(fd: FD, cmd: CMD, arg: Absent) -> I32;
    F_GETFD(fd: FD, cmd: CMD, arg: Absent) -> XLONG, note(fd_flags);
    F_SETFD(fd: FD, cmd: CMD, arg: flags(&FD_FLAGS)) -> I32;
    F_GETFL(fd: FD, cmd: CMD, arg: Absent) -> XLONG, note(file_flags);
    F_SETFL(fd: FD, cmd: CMD, arg: flags(&OPEN)) -> I32;
    F_GETLK(fd: FD, cmd: CMD, arg: LOCK_OUT) -> I32;
    F_SETLK(fd: FD, cmd: CMD, arg: LOCK_IN) -> I32;
    F_SETLKW(fd: FD, cmd: CMD, arg: LOCK_IN) -> I32;
    F_OFD_GETLK(fd: FD, cmd: CMD, arg: LOCK64_OUT) -> I32;
    F_OFD_SETLK(fd: FD, cmd: CMD, arg: LOCK64_IN) -> I32;
    F_OFD_SETLKW(fd: FD, cmd: CMD, arg: LOCK64_IN) -> I32;
    F_GETOWN(fd: FD, cmd: CMD, arg: Absent) -> PID;
    F_SETOWN(fd: FD, cmd: CMD, arg: PID) -> I32;
    F_GETOWN_EX(fd: FD, cmd: CMD, arg: To(Out, &Struct(&OWNER_EX))) -> I32;
    F_SETOWN_EX(fd: FD, cmd: CMD, arg: To(In, &Struct(&OWNER_EX))) -> I32;
    F_GETSIG(fd: FD, cmd: CMD, arg: Absent) -> I32, note(signal_of);
    F_SETSIG(fd: FD, cmd: CMD, arg: SIGNAL) -> I32;
    F_GETLEASE(fd: FD, cmd: CMD, arg: Absent) -> XLONG, note(lease);
    F_SETLEASE(fd: FD, cmd: CMD, arg: long_one(&LOCK_TYPE)) -> I32;
    F_NOTIFY(fd: FD, cmd: CMD, arg: long_flags(&NOTIFY)) -> I32;
    F_GETPIPE_SZ(fd: FD, cmd: CMD, arg: Absent) -> LONG;
    F_SETPIPE_SZ(fd: FD, cmd: CMD, arg: I32) -> LONG;
    F_GET_SEALS(fd: FD, cmd: CMD, arg: Absent) -> XLONG, note(seals);
    F_ADD_SEALS(fd: FD, cmd: CMD, arg: long_flags(&SEALS)) -> I32;
    F_GET_RW_HINT(fd: FD, cmd: CMD, arg: To(Out, &HINT_VALUE)) -> I32;
    F_SET_RW_HINT(fd: FD, cmd: CMD, arg: To(In, &HINT_VALUE)) -> I32;
    F_GET_FILE_RW_HINT(fd: FD, cmd: CMD, arg: To(Out, &HINT_VALUE)) -> I32;
    F_SET_FILE_RW_HINT(fd: FD, cmd: CMD, arg: To(In, &HINT_VALUE)) -> I32;
}

calls! { COMMANDS_64
    F_GETLK64(fd: FD, cmd: CMD, arg: LOCK64_OUT) -> I32;
    F_SETLK64(fd: FD, cmd: CMD, arg: LOCK64_IN) -> I32;
    F_SETLKW64(fd: FD, cmd: CMD, arg: LOCK64_IN) -> I32;
}
