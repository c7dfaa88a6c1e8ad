//! What processes do to each other: their memory, and descriptors that stand for them.

use crate::decode::common::{IOVEC, IOVEC_IN, IOVEC_OUT};
use crate::decode::memory::sets::ADVICE;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::signals::siginfo::SIGINFO;

sets! {
    /// pidfd_open(2)
    PIDFD_OPEN "PIDFD_???" { PIDFD_NONBLOCK = 0o4000 }
    /// kcmp(2)
    KIND "KCMP_???" {
        KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4,
        KCMP_IO = 5, KCMP_SYSVSEM = 6, KCMP_EPOLL_TFD = 7,
    }
}

structs! {
    /// kcmp(2)
    EPOLL_SLOT "kcmp_epoll_slot" { efd: U32, tfd: U32, toff: U32 }
}

fn by_kind(view: &View<'_>) -> Option<&'static Call> {
    let which = match view.arg32(2) {
        0 => 0,
        1..=6 => 1,
        7 => 2,
        _ => return None,
    };
    KCMP.get(which)
}

calls! { KCMP
    kcmp(pid1: PID, pid2: PID, type: one(&KIND), idx1: I32, idx2: I32) -> I32;
    kcmp(pid1: PID, pid2: PID, type: one(&KIND), idx1: Absent, idx2: Absent) -> I32;
    kcmp(pid1: PID, pid2: PID, type: one(&KIND), idx1: I32, idx2: To(In, &Struct(&EPOLL_SLOT))) -> I32;
}

const REMOTE: Type = Array(In, &Struct(&IOVEC), Len::Arg(4));

calls! { CALLS
    process_vm_readv(pid: PID, lvec: Array(In, &Struct(&IOVEC_OUT), Len::Arg(2)), liovcnt: ULONG,
        rvec: REMOTE, riovcnt: ULONG, flags: ULONG) -> SSIZE;
    process_vm_writev(pid: PID, lvec: Array(In, &Struct(&IOVEC_IN), Len::Arg(2)), liovcnt: ULONG,
        rvec: REMOTE, riovcnt: ULONG, flags: ULONG) -> SSIZE;
    process_madvise(pidfd: FD, vec: Array(In, &Struct(&IOVEC), Len::Arg(2)), vlen: SIZE,
        behavior: one(&ADVICE), flags: X32) -> SSIZE;
    process_mrelease(pidfd: FD, flags: X32) -> I32;
    pidfd_open(pid: PID, flags: flags(&PIDFD_OPEN)) -> FD;
    pidfd_getfd(pidfd: FD, fd: I32, flags: X32) -> FD;
    pidfd_send_signal(pidfd: FD, sig: SIGNAL, info: To(In, &SIGINFO), flags: X32) -> I32;
    kcmp by by_kind (pid1: PID, pid2: PID, type: one(&KIND), idx1: XLONG, idx2: XLONG) -> I32;
}
