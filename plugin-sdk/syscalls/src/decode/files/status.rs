//! What files are like: stat, statx, statfs, access, times.

use super::structs::{
    CACHESTAT, CACHESTAT_RANGE, STAT, STAT32, STAT64, STATFS, STATFS64, STATX, USTAT, UTIMBUF,
    utime,
};
use crate::abi;
use crate::decode::common::{TIMESPEC, TIMESPEC64, TIMEVAL_DATED};
use crate::decode::schema::prelude::*;

use super::sets::{ACCESS, AT, AT_ACCESS, AT_STATX, AT_STATX_SYNC, STATX_MASK};

/// `struct stat` of the ABI.
fn stat_of(view: &View<'_>) -> &'static Type {
    match view.abi == abi::I386 {
        true => const { &To(Out, &Struct(&STAT32)) },
        false => const { &To(Out, &Struct(&STAT)) },
    }
}

const STAT_OUT: Type = Pick(stat_of, 0);
const STAT64_OUT: Type = To(Out, &Struct(&STAT64));

/// statx(2): a way to synchronize is always named.
fn statx_flags(view: &View<'_>) -> &'static Type {
    const AT_STATX_SYNC_TYPE: u64 = 0x6000;
    match view.raw & AT_STATX_SYNC_TYPE {
        0 => const { &flags(&AT_STATX) },
        _ => const { &flags(&AT_STATX_SYNC) },
    }
}

const STATFS_OUT: Type = To(Out, &Struct(&STATFS));
const STATFS64_OUT: Type = Sized(Out, Len::Arg(1), &Struct(&STATFS64));
const TIMEVALS: Type = To(In, &Fixed(&TIMEVAL_DATED, 2));
const TIMESPECS: Type = To(In, &Fixed(&Then(&Struct(&TIMESPEC), utime), 2));

const TIMESPECS64: Type = To(In, &Fixed(&Then(&Struct(&TIMESPEC64), utime), 2));

calls! { CALLS
    stat(filename: Path, statbuf: STAT_OUT) -> I32;
    fstat(fd: FD, statbuf: STAT_OUT) -> I32;
    lstat(filename: Path, statbuf: STAT_OUT) -> I32;
    newfstatat(dfd: DIRFD, filename: Path, statbuf: STAT_OUT, flag: flags(&AT)) -> I32;
    stat64(filename: Path, statbuf: STAT64_OUT) -> I32;
    fstat64(fd: FD, statbuf: STAT64_OUT) -> I32;
    lstat64(filename: Path, statbuf: STAT64_OUT) -> I32;
    fstatat64(dfd: DIRFD, filename: Path, statbuf: STAT64_OUT, flag: flags(&AT)) -> I32;
    statx(dfd: DIRFD, filename: Path, flags: Pick(statx_flags, 0), mask: flags(&STATX_MASK),
        buffer: To(Out, &Struct(&STATX))) -> I32;
    statfs(pathname: Path, buf: STATFS_OUT) -> I32;
    fstatfs(fd: FD, buf: STATFS_OUT) -> I32;
    statfs64(pathname: Path, sz: SIZE, buf: STATFS64_OUT) -> I32;
    fstatfs64(fd: FD, sz: SIZE, buf: STATFS64_OUT) -> I32;
    ustat(dev: DEVICE32, ubuf: To(Out, &Struct(&USTAT))) -> I32;
    access(filename: Path, mode: flags(&ACCESS)) -> I32;
    faccessat(dfd: DIRFD, filename: Path, mode: flags(&ACCESS)) -> I32;
    faccessat2(dfd: DIRFD, filename: Path, mode: flags(&ACCESS), flags: flags(&AT_ACCESS)) -> I32;
    utime(filename: Path, times: To(In, &Struct(&UTIMBUF))) -> I32;
    utimes(filename: Path, utimes: TIMEVALS) -> I32;
    futimesat(dfd: DIRFD, filename: Path, utimes: TIMEVALS) -> I32;
    utimensat(dfd: DIRFD, filename: Path, utimes: TIMESPECS, flags: flags(&AT)) -> I32;
    utimensat_time64(dfd: DIRFD, filename: Path, t: TIMESPECS64, flags: flags(&AT)) -> I32;
    cachestat(fd: FD, cstat_range: To(In, &Struct(&CACHESTAT_RANGE)),
        cstat: To(Out, &Struct(&CACHESTAT)), flags: X32) -> I32;
}
