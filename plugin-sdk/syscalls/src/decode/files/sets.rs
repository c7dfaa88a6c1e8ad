//! Names in calls on files (fcntl.h, linux/stat.h, linux/fs.h).

use crate::decode::schema::{Set, sets};

sets! {
    /// The access mode in the flags of open(2).
    OPEN_ACCESS "O_???" { O_RDONLY = 0, O_WRONLY = 1, O_RDWR = 2, O_ACCMODE = 3 }
    /// Flags of open(2), as x86 numbers them (asm-generic/fcntl.h).
    OPEN "O_???" first(3 => OPEN_ACCESS) and(DESCRIPTOR) {}
    /// As `OPEN`, where no file is opened: dup3(2), pipe2(2).
    DESCRIPTOR "O_???" {
        O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400, O_TRUNC = 0o1000,
        O_APPEND = 0o2000, O_NONBLOCK = 0o4000, O_SYNC = 0o4010000, __O_SYNC = 0o4000000,
        O_DSYNC = 0o10000, O_DIRECT = 0o40000, O_LARGEFILE = 0o100000,
        O_NOFOLLOW = 0o400000, O_NOATIME = 0o1000000, O_CLOEXEC = 0o2000000,
        O_PATH = 0o10000000, O_TMPFILE = 0o20200000, __O_TMPFILE = 0o20000000,
        O_DIRECTORY = 0o200000, FASYNC = 0o20000,
    }
    /// openat2(2), linux/openat2.h
    RESOLVE "RESOLVE_???" {
        RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4,
        RESOLVE_BENEATH = 8, RESOLVE_IN_ROOT = 0x10, RESOLVE_CACHED = 0x20,
    }
    /// close_range(2)
    CLOSE_RANGE "CLOSE_RANGE_???" { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 }
    /// memfd_create(2)
    MEMFD "MFD_???" last(0xfc00_0000 => MEMFD_HUGE) {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4,
    }
    /// memfd_secret(2)
    MEMFD_SECRET "" { O_CLOEXEC = 0o2000000 }
    /// preadv2(2), linux/fs.h
    RWF "RWF_???" {
        RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10,
    }
    /// splice(2)
    SPLICE "SPLICE_F_???" {
        SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8,
    }
    /// lseek(2)
    WHENCE "SEEK_???" { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 }
    /// fallocate(2), linux/falloc.h
    FALLOCATE "FALLOC_FL_???" {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_NO_HIDE_STALE = 4,
        FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10,
        FALLOC_FL_INSERT_RANGE = 0x20, FALLOC_FL_UNSHARE_RANGE = 0x40,
    }
    /// posix_fadvise(2), linux/fadvise.h
    FADVISE "POSIX_FADV_???" {
        POSIX_FADV_NORMAL = 0, POSIX_FADV_RANDOM = 1, POSIX_FADV_SEQUENTIAL = 2,
        POSIX_FADV_WILLNEED = 3, POSIX_FADV_DONTNEED = 4, POSIX_FADV_NOREUSE = 5,
    }
    /// sync_file_range(2)
    SYNC_RANGE "SYNC_FILE_RANGE_???" {
        SYNC_FILE_RANGE_WAIT_BEFORE = 1, SYNC_FILE_RANGE_WRITE = 2,
        SYNC_FILE_RANGE_WAIT_AFTER = 4,
    }
    /// flock(2), asm-generic/fcntl.h
    LOCK "LOCK_???" {
        LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8, LOCK_MAND = 0x20, LOCK_RW = 0xc0,
        LOCK_READ = 0x40, LOCK_WRITE = 0x80,
    }
    /// access(2)
    ACCESS "?_OK" { F_OK = 0, R_OK = 4, W_OK = 2, X_OK = 1 }
    /// Flags of calls that take a descriptor and a name (linux/fcntl.h).
    AT "AT_???" {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_RECURSIVE = 0x8000,
    }
    /// faccessat2(2)
    AT_ACCESS "AT_???" {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_EMPTY_PATH = 0x1000,
    }
    /// name_to_handle_at(2)
    AT_HANDLE "AT_???" { AT_SYMLINK_FOLLOW = 0x400, AT_EMPTY_PATH = 0x1000 }
    /// How statx(2) synchronizes, if nothing is said.
    AT_STATX_AS_STAT "AT_???" { AT_STATX_SYNC_AS_STAT = 0 }
    /// statx(2) without a word on how it synchronizes.
    AT_STATX "AT_???" as Parts first(0x6000 => AT_STATX_AS_STAT) and(AT) {}
    /// statx(2)
    AT_STATX_SYNC "AT_???" {
        AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000,
        AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
        AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000, AT_RECURSIVE = 0x8000,
    }
    /// statx(2), linux/stat.h
    STATX_MASK "STATX_???" {
        STATX_ALL = 0xfff, STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2,
        STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10, STATX_ATIME = 0x20,
        STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200,
        STATX_BLOCKS = 0x400, STATX_BTIME = 0x800, STATX_MNT_ID = 0x1000,
        STATX_DIOALIGN = 0x2000,
    }
    /// statx(2), linux/stat.h
    STATX_ATTR "STATX_ATTR_???" {
        STATX_ATTR_COMPRESSED = 4, STATX_ATTR_IMMUTABLE = 0x10, STATX_ATTR_APPEND = 0x20,
        STATX_ATTR_NODUMP = 0x40, STATX_ATTR_ENCRYPTED = 0x800,
        STATX_ATTR_AUTOMOUNT = 0x1000, STATX_ATTR_MOUNT_ROOT = 0x2000,
        STATX_ATTR_VERITY = 0x10_0000, STATX_ATTR_DAX = 0x20_0000,
    }
    /// statfs(2), linux/statfs.h of the kernel
    STATFS_FLAGS "ST_???" {
        ST_VALID = 0x20, ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8,
        ST_SYNCHRONOUS = 0x10, ST_MANDLOCK = 0x40, ST_NOATIME = 0x400, ST_NODIRATIME = 0x800,
        ST_RELATIME = 0x1000, ST_NOSYMFOLLOW = 0x2000,
    }
    /// statfs(2), linux/magic.h
    STATFS_TYPE "" {
        AAFS_MAGIC = 0x5a3c69f0, ADFS_SUPER_MAGIC = 0xadf5, AFFS_SUPER_MAGIC = 0xadff,
        AFS_FS_MAGIC = 0x6b414653, AFS_SUPER_MAGIC = 0x5346414f,
        ANON_INODE_FS_MAGIC = 0x09041934, AUFS_SUPER_MAGIC = 0x61756673,
        AUTOFS_SUPER_MAGIC = 0x187, BDEVFS_MAGIC = 0x62646576, BEFS_SUPER_MAGIC = 0x42465331,
        BFS_MAGIC = 0x1badface, BINDERFS_SUPER_MAGIC = 0x6c6f6f70,
        BINFMTFS_MAGIC = 0x42494e4d, BPF_FS_MAGIC = 0xcafe4a11,
        BTRFS_SUPER_MAGIC = 0x9123683e, BTRFS_TEST_MAGIC = 0x73727279,
        CEPH_SUPER_MAGIC = 0x00c36400, CGROUP2_SUPER_MAGIC = 0x63677270,
        CGROUP_SUPER_MAGIC = 0x27e0eb, CIFS_SUPER_MAGIC = 0xff534d42,
        CODA_SUPER_MAGIC = 0x73757245, COH_SUPER_MAGIC = 0x012ff7b7,
        CONFIGFS_MAGIC = 0x62656570, CRAMFS_MAGIC = 0x28cd3d45,
        CRAMFS_MAGIC_WEND = 0x453dcd28, DAXFS_MAGIC = 0x64646178,
        DEBUGFS_MAGIC = 0x64626720, DEVFS_SUPER_MAGIC = 0x1373, DEVMEM_MAGIC = 0x454d444d,
        DEVPTS_SUPER_MAGIC = 0x1cd1, DMA_BUF_MAGIC = 0x444d4142,
        ECRYPTFS_SUPER_MAGIC = 0xf15f, EFIVARFS_MAGIC = 0xde5e81e4,
        EFS_SUPER_MAGIC = 0x414a53, EROFS_SUPER_MAGIC_V1 = 0xe0f5e1e2,
        EXFAT_SUPER_MAGIC = 0x2011bab0, EXT2_OLD_SUPER_MAGIC = 0xef51,
        EXT2_SUPER_MAGIC = 0xef53, EXT_SUPER_MAGIC = 0x137d, F2FS_SUPER_MAGIC = 0xf2f52010,
        FUSE_CTL_SUPER_MAGIC = 0x65735543, FUSE_SUPER_MAGIC = 0x65735546,
        FUTEXFS_SUPER_MAGIC = 0x0bad1dea, GPFS_SUPER_MAGIC = 0x47504653,
        HFSPLUS_SUPER_MAGIC = 0x482b, HFS_SUPER_MAGIC = 0x4244,
        HOSTFS_SUPER_MAGIC = 0x00c0ffee, HPFS_SUPER_MAGIC = 0xf995e849,
        HUGETLBFS_MAGIC = 0x958458f6, ISOFS_SUPER_MAGIC = 0x9660, JFFS2_SUPER_MAGIC = 0x72b6,
        JFS_SUPER_MAGIC = 0x3153464a, MINIX2_SUPER_MAGIC = 0x2468,
        MINIX2_SUPER_MAGIC2 = 0x2478, MINIX3_SUPER_MAGIC = 0x4d5a,
        MINIX_SUPER_MAGIC = 0x137f, MINIX_SUPER_MAGIC2 = 0x138f, MSDOS_SUPER_MAGIC = 0x4d44,
        MTD_INODE_FS_MAGIC = 0x11307854, NCP_SUPER_MAGIC = 0x564c, NFS_SUPER_MAGIC = 0x6969,
        NILFS_SUPER_MAGIC = 0x3434, NSFS_MAGIC = 0x6e736673, NTFS_SB_MAGIC = 0x5346544e,
        OCFS2_SUPER_MAGIC = 0x7461636f, OPENPROM_SUPER_MAGIC = 0x9fa1,
        OVERLAYFS_SUPER_MAGIC = 0x794c7630, PIPEFS_MAGIC = 0x50495045,
        PROC_SUPER_MAGIC = 0x9fa0, PSTOREFS_MAGIC = 0x6165676c, QNX4_SUPER_MAGIC = 0x2f,
        QNX6_SUPER_MAGIC = 0x68191122, RAMFS_MAGIC = 0x858458f6,
        REISERFS_SUPER_MAGIC = 0x52654973, ROMFS_MAGIC = 0x7275,
        SECRETMEM_MAGIC = 0x5345434d, SECURITYFS_MAGIC = 0x73636673,
        SELINUX_MAGIC = 0xf97cff8c, SMACK_MAGIC = 0x43415d53, SMB2_SUPER_MAGIC = 0xfe534d42,
        SMB_SUPER_MAGIC = 0x517b, SOCKFS_MAGIC = 0x534f434b, SQUASHFS_MAGIC = 0x73717368,
        STACK_END_MAGIC = 0x57ac6e9d, SYSFS_MAGIC = 0x62656572,
        SYSV2_SUPER_MAGIC = 0x012ff7b6, SYSV4_SUPER_MAGIC = 0x012ff7b5,
        TMPFS_MAGIC = 0x01021994, TRACEFS_MAGIC = 0x74726163, UDF_SUPER_MAGIC = 0x15013346,
        UFS_CIGAM = 0x54190100, UFS_MAGIC = 0x00011954, USBDEVICE_SUPER_MAGIC = 0x9fa2,
        V9FS_MAGIC = 0x01021997, VXFS_SUPER_MAGIC = 0xa501fcf5, XENFS_SUPER_MAGIC = 0xabba1974,
        XENIX_SUPER_MAGIC = 0x012ff7b4, XFS_SUPER_MAGIC = 0x58465342,
        XIAFS_SUPER_MAGIC = 0x012fd16d, ZFS_SUPER_MAGIC = 0x2fc12fc1,
        ZONEFS_MAGIC = 0x5a4f4653,
    }
    /// rename(2), linux/fs.h
    RENAME "RENAME_??" { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 }
    /// getdents(2), dirent.h
    DIRENT_TYPE "DT_???" {
        DT_UNKNOWN = 0, DT_FIFO = 1, DT_CHR = 2, DT_DIR = 4, DT_BLK = 6, DT_REG = 8,
        DT_LNK = 10, DT_SOCK = 12, DT_WHT = 14,
    }
    /// setxattr(2)
    XATTR "XATTR_???" { XATTR_CREATE = 1, XATTR_REPLACE = 2 }
    /// utimensat(2), in the place of nanoseconds
    UTIME "" { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe }
}

/// `SIZE<<MFD_HUGE_SHIFT`: the size of pages as a power of two.
static MEMFD_HUGE: Set = Set {
    names: &{
        macro_rules! shifted {
            ($($size:literal)*) => {
                [$(($size << 26, concat!($size, "<<MFD_HUGE_SHIFT"))),*]
            };
        }
        shifted! {
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59
            60 61 62 63
        }
    },
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "MFD_???",
};
