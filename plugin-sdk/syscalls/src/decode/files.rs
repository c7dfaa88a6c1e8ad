//! Files: open, read, write, stat, directories.

mod sets;
mod structs;

use super::schema::prelude::*;

use super::common::{IOVEC_IN, IOVEC_OUT};
use structs::STAT;

use sets::{ACCESS, AT, OPEN, WHENCE};

fn open_mode(view: &View<'_>) -> &'static Type {
    mode_of(view.arg(1))
}

fn openat_mode(view: &View<'_>) -> &'static Type {
    mode_of(view.arg(2))
}

fn mode_of(flags: u64) -> &'static Type {
    const MAKES: u64 = 0o100 | 0o20_000_000;
    match flags & MAKES {
        0 => &Absent,
        _ => &PERMISSIONS,
    }
}

calls! { CALLS
    open(filename: Path, flags: flags(&OPEN), mode: Pick(open_mode, 0)) -> FD;
    openat(dfd: DIRFD, filename: Path, flags: flags(&OPEN), mode: Pick(openat_mode, 0)) -> FD;
    creat(pathname: Path, mode: PERMISSIONS) -> FD;
    close(fd: FD) -> I32;
    read(fd: FD, buf: Bytes(Out, Len::Ret, TEXT), count: SIZE) -> SSIZE;
    write(fd: FD, buf: Bytes(In, Len::Arg(2), TEXT), count: SIZE) -> SSIZE;
    pread64(fd: FD, buf: Bytes(Out, Len::Ret, TEXT), count: SIZE, pos: I64) -> SSIZE;
    pwrite64(fd: FD, buf: Bytes(In, Len::Arg(2), TEXT), count: SIZE, pos: I64) -> SSIZE;
    readv(fd: FD, vec: Array(In, &Struct(&IOVEC_OUT), Len::Arg(2)), vlen: ULONG) -> SSIZE;
    writev(fd: FD, vec: Array(In, &Struct(&IOVEC_IN), Len::Arg(2)), vlen: ULONG) -> SSIZE;
    lseek(fd: FD, offset: LONG, whence: one(&WHENCE)) -> LONG;
    stat(filename: Path, statbuf: To(Out, &Struct(&STAT))) -> I32;
    fstat(fd: FD, statbuf: To(Out, &Struct(&STAT))) -> I32;
    lstat(filename: Path, statbuf: To(Out, &Struct(&STAT))) -> I32;
    newfstatat(dfd: DIRFD, filename: Path, statbuf: To(Out, &Struct(&STAT)), flag: flags(&AT)) -> I32;
    access(filename: Path, mode: flags(&ACCESS)) -> I32;
    faccessat(dfd: DIRFD, filename: Path, mode: flags(&ACCESS)) -> I32;
    faccessat2(dfd: DIRFD, filename: Path, mode: flags(&ACCESS), flags: flags(&AT)) -> I32;
    readlink(path: Path, buf: Bytes(Out, Len::Ret, TEXT), bufsiz: SIZE) -> SSIZE;
    readlinkat(dfd: DIRFD, pathname: Path, buf: Bytes(Out, Len::Ret, TEXT), bufsiz: SIZE) -> SSIZE;
    pipe(fildes: To(Out, &Fixed(&FD, 2))) -> I32;
    pipe2(fildes: To(Out, &Fixed(&FD, 2)), flags: flags(&OPEN)) -> I32;
    chdir(filename: Path) -> I32;
    unlink(pathname: Path) -> I32;
    mkdir(pathname: Path, mode: PERMISSIONS) -> I32;
}
