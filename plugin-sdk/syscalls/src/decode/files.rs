//! Files: open, read, write, copy, places in files. Names, properties, locks and watches
//! are in the modules.

pub(crate) mod fcntl;
pub(crate) mod handles;
pub(crate) mod names;
pub(super) mod sets;
pub(crate) mod status;
mod structs;
pub(crate) mod xattr;

use super::schema::prelude::*;

use super::common::{IOVEC_IN, IOVEC_OUT, bounded, whole};
use structs::OPEN_HOW;

use sets::{
    CLOSE_RANGE, DESCRIPTOR, FADVISE, FALLOCATE, LOCK, MEMFD, MEMFD_SECRET, OPEN, RWF, SPLICE,
    SYNC_RANGE, WHENCE,
};

fn open_mode(view: &View<'_>) -> &'static Type {
    mode_of(view.arg(1))
}

fn openat_mode(view: &View<'_>) -> &'static Type {
    mode_of(view.arg(2))
}

fn mode_of(flags: u64) -> &'static Type {
    match makes_file(flags) {
        false => &Absent,
        true => &PERMISSIONS,
    }
}

/// Whether an open(2) with these flags has a mode: those with `O_CREAT` and `O_TMPFILE`.
fn makes_file(flags: u64) -> bool {
    const MAKES: u64 = 0o100 | 0o20_000_000;
    flags & MAKES != 0
}

/// openat2(2): nothing is read of a structure that is smaller than its first version.
fn open_how(view: &View<'_>) -> &'static Type {
    const VERSION_0: u64 = 24;
    match view.arg(3) < VERSION_0 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<3>), &Struct(&OPEN_HOW)),
                    whole,
                )
            }
        }
    }
}

/// _llseek(2): two registers, the upper half in the first.
fn high_first(view: &View<'_>) -> Value {
    let offset = u64::from(view.arg32(1)) << 32 | u64::from(view.arg32(2));
    Value::Signed(offset.cast_signed())
}

/// sendfile(2): shown as `[3] => [13]`.
const SENDFILE_OFFSET: Type = To(InOut, &Fixed(&ULONG, 1));
const SENDFILE64_OFFSET: Type = To(InOut, &Fixed(&U64, 1));

/// `struct iovec *`, so many of them as argument 2 says, with what is to be written.
const PIECES_IN: Type = Array(In, &Struct(&IOVEC_IN), Len::Arg(2));
/// As `PIECES_IN`, with what has been read.
const PIECES_OUT: Type = Array(In, &Struct(&IOVEC_OUT), Len::Arg(2));

calls! { CALLS
    open(filename: Path, flags: flags(&OPEN), mode: Pick(open_mode, 0)) -> FD;
    openat(dfd: DIRFD, filename: Path, flags: flags(&OPEN), mode: Pick(openat_mode, 0)) -> FD;
    openat2(dfd: DIRFD, filename: Path, how: Pick(open_how, 0), usize: SIZE) -> FD;
    creat(pathname: Path, mode: PERMISSIONS) -> FD;
    close(fd: FD) -> I32;
    close_range(fd: U32, max_fd: U32, flags: flags(&CLOSE_RANGE)) -> I32;
    dup(fildes: FD) -> FD;
    dup2(oldfd: FD, newfd: FD) -> FD;
    dup3(oldfd: FD, newfd: FD, flags: flags(&DESCRIPTOR)) -> FD;
    pipe(fildes: To(Out, &Fixed(&FD, 2))) -> I32;
    pipe2(fildes: To(Out, &Fixed(&FD, 2)), flags: flags(&DESCRIPTOR)) -> I32;
    memfd_create(uname: Text, flags: flags(&MEMFD)) -> FD;
    memfd_secret(flags: flags(&MEMFD_SECRET)) -> FD;

    read(fd: FD, buf: Bytes(Out, Len::Ret, TEXT), count: SIZE) -> SSIZE;
    write(fd: FD, buf: Bytes(In, Len::Arg(2), TEXT), count: SIZE) -> SSIZE;
    pread64(fd: FD, buf: Bytes(Out, Len::Ret, TEXT), count: SIZE, pos: I64) -> SSIZE;
    pwrite64(fd: FD, buf: Bytes(In, Len::Arg(2), TEXT), count: SIZE, pos: I64) -> SSIZE;
    readv(fd: FD, vec: PIECES_OUT, vlen: ULONG) -> SSIZE;
    writev(fd: FD, vec: PIECES_IN, vlen: ULONG) -> SSIZE;
    // On ABIs of 32 bits the position is in two registers, on others in the first.
    preadv(fd: FD, vec: PIECES_OUT, vlen: ULONG, pos_l: I64, pos_h @ 4: Absent) -> SSIZE;
    pwritev(fd: FD, vec: PIECES_IN, vlen: ULONG, pos_l: I64, pos_h @ 4: Absent) -> SSIZE;
    preadv2(fd: FD, vec: PIECES_OUT, vlen: ULONG, pos_l: I64, pos_h @ 4: Absent,
        flags: flags(&RWF)) -> SSIZE;
    pwritev2(fd: FD, vec: PIECES_IN, vlen: ULONG, pos_l: I64, pos_h @ 4: Absent,
        flags: flags(&RWF)) -> SSIZE;
    vmsplice(fd: FD, uiov: PIECES_IN, nr_segs: ULONG, flags: flags(&SPLICE)) -> SSIZE;
    sendfile(out_fd: FD, in_fd: FD, offset: SENDFILE_OFFSET, count: SIZE) -> SSIZE;
    sendfile64(out_fd: FD, in_fd: FD, offset: SENDFILE64_OFFSET, count: SIZE) -> SSIZE;
    splice(fd_in: FD, off_in: To(In, &I64), fd_out: FD, off_out: To(In, &I64), len: SIZE,
        flags: flags(&SPLICE)) -> SSIZE;
    tee(fdin: FD, fdout: FD, len: SIZE, flags: flags(&SPLICE)) -> SSIZE;
    copy_file_range(fd_in: FD, off_in: To(In, &I64), fd_out: FD, off_out: To(In, &I64),
        len: SIZE, flags: U32) -> SSIZE;

    lseek(fd: FD, offset: LONG, whence: one(&WHENCE)) -> LONG;
    _llseek(fd: FD, offset_high: Special(high_first, 0), offset_low @ 2: Absent,
        result: To(Out, &I64), whence: one(&WHENCE)) -> I32;
    truncate(path: Path, length: ULONG) -> I32;
    ftruncate(fd: FD, length: ULONG) -> I32;
    truncate64(path: Path, length: U64) -> I32;
    ftruncate64(fd: FD, length: U64) -> I32;
    fallocate(fd: FD, mode: flags(&FALLOCATE), offset: I64, len: I64) -> I32;
    fadvise64(fd: FD, offset: I64, len: SIZE, advice: one(&FADVISE)) -> I32;
    fadvise64_64(fd: FD, offset: I64, len: I64, advice: one(&FADVISE)) -> I32;
    readahead(fd: FD, offset: I64, count: SIZE) -> SSIZE;
    sync_file_range(fd: FD, offset: I64, nbytes: I64, flags: flags(&SYNC_RANGE)) -> I32;
    sync() -> I32;
    syncfs(fd: FD) -> I32;
    fsync(fd: FD) -> I32;
    fdatasync(fd: FD) -> I32;
    flock(fd: FD, cmd: flags(&LOCK)) -> I32;
}
