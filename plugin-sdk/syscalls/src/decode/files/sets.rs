//! Names in calls on files (fcntl.h, linux/stat.h, linux/fs.h).

use crate::decode::schema::sets;

sets! {
    /// The access mode in the flags of open(2).
    OPEN_ACCESS "O_???" { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_ACCMODE = 3 }
    /// Flags of open(2), as x86 numbers them (asm-generic/fcntl.h).
    OPEN "O_???" first(3 => OPEN_ACCESS) {
        O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400, O_TRUNC = 0o1000,
        O_APPEND = 0o2000, O_NONBLOCK = 0o4000, O_SYNC = 0o4010000, O_DSYNC = 0o10000,
        O_DIRECT = 0o40000, O_LARGEFILE = 0o100000, O_NOFOLLOW = 0o400000,
        O_NOATIME = 0o1000000, O_CLOEXEC = 0o2000000, O_PATH = 0o10000000,
        O_TMPFILE = 0o20200000, O_DIRECTORY = 0o200000, FASYNC = 0o20000,
    }
    /// lseek(2)
    WHENCE "SEEK_???" { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 }
    /// access(2)
    ACCESS "?_OK" { F_OK = 0, R_OK = 4, W_OK = 2, X_OK = 1 }
    /// Flags of calls that take a descriptor and a name (linux/fcntl.h).
    AT "AT_???" {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
    }
}
