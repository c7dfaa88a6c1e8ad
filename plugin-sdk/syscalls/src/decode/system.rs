//! The kernel as a whole: its names, its state, its log, random bytes, its end.

use alloc::boxed::Box;

use super::schema::prelude::*;
use super::schema::sets;

sets! {
    /// syslog(2)
    SYSLOG "SYSLOG_ACTION_???" {
        SYSLOG_ACTION_CLOSE = 0, SYSLOG_ACTION_OPEN = 1, SYSLOG_ACTION_READ = 2,
        SYSLOG_ACTION_READ_ALL = 3, SYSLOG_ACTION_READ_CLEAR = 4, SYSLOG_ACTION_CLEAR = 5,
        SYSLOG_ACTION_CONSOLE_OFF = 6, SYSLOG_ACTION_CONSOLE_ON = 7,
        SYSLOG_ACTION_CONSOLE_LEVEL = 8, SYSLOG_ACTION_SIZE_UNREAD = 9,
        SYSLOG_ACTION_SIZE_BUFFER = 10,
    }
    /// getrandom(2)
    GRND "GRND_???" { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 }
    /// reboot(2)
    MAGIC "LINUX_REBOOT_MAGIC_???" { LINUX_REBOOT_MAGIC1 = 0xfee1_dead }
    /// Also reboot(2): birthdays.
    MAGIC2 "LINUX_REBOOT_MAGIC_???" {
        LINUX_REBOOT_MAGIC2 = 672_274_793, LINUX_REBOOT_MAGIC2A = 85_072_278,
        LINUX_REBOOT_MAGIC2B = 369_367_448, LINUX_REBOOT_MAGIC2C = 537_993_216,
    }
    /// linux/reboot.h
    REBOOT "LINUX_REBOOT_CMD_???" {
        LINUX_REBOOT_CMD_RESTART = 0x0123_4567, LINUX_REBOOT_CMD_HALT = 0xcdef_0123,
        LINUX_REBOOT_CMD_CAD_ON = 0x89ab_cdef, LINUX_REBOOT_CMD_CAD_OFF = 0,
        LINUX_REBOOT_CMD_POWER_OFF = 0x4321_fedc, LINUX_REBOOT_CMD_RESTART2 = 0xa1b2_c3d4,
        LINUX_REBOOT_CMD_SW_SUSPEND = 0xd000_fce2, LINUX_REBOOT_CMD_KEXEC = 0x4558_4543,
    }
}

/// Levels of kernel messages (linux/kern_levels.h); of the console, also the one above.
static LOGLEVEL: Set = Set {
    names: &[
        (0, "LOGLEVEL_EMERG"),
        (1, "LOGLEVEL_ALERT"),
        (2, "LOGLEVEL_CRIT"),
        (3, "LOGLEVEL_ERR"),
        (4, "LOGLEVEL_WARNING"),
        (5, "LOGLEVEL_NOTICE"),
        (6, "LOGLEVEL_INFO"),
        (7, "LOGLEVEL_DEBUG"),
        (8, "LOGLEVEL_DEBUG+1"),
    ],
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "LOGLEVEL_???",
};

structs! {
    /// sysinfo(2), linux/sysinfo.h
    SYSINFO "sysinfo" {
        uptime: ULONG, loads: Fixed(&ULONG, 3), totalram: ULONG, freeram: ULONG,
        sharedram: ULONG, bufferram: ULONG, totalswap: ULONG, freeswap: ULONG, procs: U16,
        pad: Pad(2), totalhigh: ULONG, freehigh: ULONG, mem_unit: U32,
    }
    /// uname(2), linux/utsname.h
    UTSNAME "new_utsname" {
        sysname: Chars(65), nodename: Chars(65), [verbose] release: Chars(65),
        [verbose] version: Chars(65), [verbose] machine: Chars(65), [verbose] domainname: Chars(65),
    }
    /// sysctl(2)
    SYSCTL "__sysctl_args" {
        name: ADDRESS, nlen: I32, oldval: ADDRESS, oldlenp: ADDRESS, newval: ADDRESS,
        newlen: SIZE,
    }
}

/// A number with its name behind it.
fn named(number: Value, set: &'static Set) -> Value {
    let name = number.number().and_then(|number| set.name(number));
    Value::Comment(Box::new(number), name.unwrap_or(set.unknown).into())
}

fn action(number: Value, _: &View<'_>) -> Value {
    named(number, &SYSLOG)
}

fn level(number: Value, _: &View<'_>) -> Value {
    named(number, &LOGLEVEL)
}

const CONSOLE_LEVEL: u32 = 8;

/// Some actions have no arguments, and some fill a buffer.
fn log_buffer(view: &View<'_>) -> &'static Type {
    match view.arg32(0) {
        0 | 1 | 5 | 6 | 7 | 9 | 10 => &Absent,
        2..=4 => const { &Bytes(Out, Len::Ret, TEXT) },
        _ => &ADDRESS,
    }
}

fn log_length(view: &View<'_>) -> &'static Type {
    match (view.arg32(0), log_buffer(view)) {
        (_, Absent) => &Absent,
        (CONSOLE_LEVEL, _) => const { &Then(&I32, level) },
        _ => &I32,
    }
}

/// Only one command has an argument: what is told to the firmware.
fn reboot_argument(view: &View<'_>) -> &'static Type {
    const RESTART2: u32 = 0xa1b2_c3d4;
    match view.arg32(2) {
        RESTART2 => &Text,
        _ => &Absent,
    }
}

calls! { CALLS
    sysinfo(info: To(Out, &Struct(&SYSINFO))) -> I32;
    uname(name: To(Out, &Struct(&UTSNAME))) -> I32;
    olduname(name: ADDRESS) -> I32;
    oldolduname(name: ADDRESS) -> I32;
    syslog(
        type: Then(&I32, action), buf: Pick(log_buffer, 0), len: Pick(log_length, 0),
    ) -> I32;
    getrandom(ubuf: Bytes(Out, Len::Ret, Look::Hex), len: SIZE, flags: flags(&GRND)) -> SSIZE;
    reboot(
        magic1: one(&MAGIC), magic2: one(&MAGIC2), cmd: one(&REBOOT),
        arg: Pick(reboot_argument, 0),
    ) -> I32;
    _sysctl(args: To(In, &Struct(&SYSCTL))) -> I32;
}
