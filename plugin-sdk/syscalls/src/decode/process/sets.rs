//! Names in calls on processes (linux/sched.h, linux/wait.h).

use crate::decode::schema::{Set, sets};
use crate::signal;

/// Signals, as the lowest byte of the flags of clone(2).
pub(crate) static SIGNAL_NAMES: Set = Set {
    names: &numbered(),
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Decimal,
    unknown: "",
};

const fn numbered() -> [(u64, &'static str); 64] {
    let mut names = [(0, ""); 64];
    let mut number = 0;
    while number < 64 {
        names[number] = (number as u64 + 1, signal::NAMES[number + 1]);
        number += 1;
    }
    names
}

sets! {
    /// clone(2)
    CLONE_FLAGS "CLONE_???" {
        CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800,
        CLONE_PIDFD = 0x1000, CLONE_PTRACE = 0x2000, CLONE_VFORK = 0x4000,
        CLONE_PARENT = 0x8000, CLONE_THREAD = 0x1_0000, CLONE_NEWNS = 0x2_0000,
        CLONE_SYSVSEM = 0x4_0000, CLONE_SETTLS = 0x8_0000, CLONE_PARENT_SETTID = 0x10_0000,
        CLONE_CHILD_CLEARTID = 0x20_0000, CLONE_UNTRACED = 0x80_0000,
        CLONE_CHILD_SETTID = 0x100_0000, CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000, CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000,
        CLONE_NEWPID = 0x2000_0000, CLONE_NEWNET = 0x4000_0000, CLONE_IO = 0x8000_0000,
    }
    /// The same with the signal in the lowest byte.
    CLONE "CLONE_???" as Parts last(0xff => SIGNAL_NAMES) and(CLONE_FLAGS) {}
    /// clone3(2), in clone_args
    CLONE3 "CLONE_???" and(CLONE_FLAGS) {
        CLONE_NEWTIME = 0x80, CLONE_CLEAR_SIGHAND = 0x1_0000_0000,
        CLONE_INTO_CGROUP = 0x2_0000_0000,
    }
    /// unshare(2)
    UNSHARE "CLONE_???" {
        CLONE_NEWTIME = 0x80, CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400,
        CLONE_SIGHAND = 0x800, CLONE_THREAD = 0x1_0000, CLONE_NEWNS = 0x2_0000,
        CLONE_SYSVSEM = 0x4_0000, CLONE_NEWCGROUP = 0x200_0000, CLONE_NEWUTS = 0x400_0000,
        CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000, CLONE_NEWPID = 0x2000_0000,
        CLONE_NEWNET = 0x4000_0000,
    }
    /// setns(2)
    SETNS "CLONE_NEW???" {
        CLONE_NEWTIME = 0x80, CLONE_NEWNS = 0x2_0000, CLONE_NEWCGROUP = 0x200_0000,
        CLONE_NEWUTS = 0x400_0000, CLONE_NEWIPC = 0x800_0000, CLONE_NEWUSER = 0x1000_0000,
        CLONE_NEWPID = 0x2000_0000, CLONE_NEWNET = 0x4000_0000,
    }
    /// wait4(2), waitid(2); WUNTRACED is WSTOPPED
    WAIT "W???" {
        WNOHANG = 1, WEXITED = 4, WSTOPPED = 2, WCONTINUED = 8, WNOWAIT = 0x100_0000,
        __WCLONE = 0x8000_0000, __WALL = 0x4000_0000, __WNOTHREAD = 0x2000_0000,
    }
    /// waitid(2)
    ID_TYPE "P_???" { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 }
    /// Capabilities, by number (capabilities(7), linux/capability.h)
    CAPABILITY "CAP_???" {
        CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_DAC_READ_SEARCH = 2, CAP_FOWNER = 3,
        CAP_FSETID = 4, CAP_KILL = 5, CAP_SETGID = 6, CAP_SETUID = 7, CAP_SETPCAP = 8,
        CAP_LINUX_IMMUTABLE = 9, CAP_NET_BIND_SERVICE = 10, CAP_NET_BROADCAST = 11,
        CAP_NET_ADMIN = 12, CAP_NET_RAW = 13, CAP_IPC_LOCK = 14, CAP_IPC_OWNER = 15,
        CAP_SYS_MODULE = 16, CAP_SYS_RAWIO = 17, CAP_SYS_CHROOT = 18, CAP_SYS_PTRACE = 19,
        CAP_SYS_PACCT = 20, CAP_SYS_ADMIN = 21, CAP_SYS_BOOT = 22, CAP_SYS_NICE = 23,
        CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25, CAP_SYS_TTY_CONFIG = 26, CAP_MKNOD = 27,
        CAP_LEASE = 28, CAP_AUDIT_WRITE = 29, CAP_AUDIT_CONTROL = 30, CAP_SETFCAP = 31,
        CAP_MAC_OVERRIDE = 32, CAP_MAC_ADMIN = 33, CAP_SYSLOG = 34, CAP_WAKE_ALARM = 35,
        CAP_BLOCK_SUSPEND = 36, CAP_AUDIT_READ = 37, CAP_PERFMON = 38, CAP_BPF = 39,
        CAP_CHECKPOINT_RESTORE = 40,
    }
}
