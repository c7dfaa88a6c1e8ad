//! Names: directories, links, modes, owners.

use super::sets::{AT, RENAME};
use super::structs::{dirents, dirents64, text};
use crate::abi;
use crate::decode::schema::prelude::*;

/// A device has a number.
fn mknod_device(view: &View<'_>) -> &'static Type {
    device_of(view.arg(1))
}

fn mknodat_device(view: &View<'_>) -> &'static Type {
    device_of(view.arg(2))
}

fn device_of(mode: u64) -> &'static Type {
    match mode & 0o170_000 {
        0o020_000 | 0o060_000 => &DEVICE32,
        _ => &Absent,
    }
}

/// getcwd(2): the name, shown whole.
fn directory(view: &View<'_>) -> Value {
    text(view.bytes)
}

/// A user or a group of 16 bits, where the ABI has such.
fn owner(view: &View<'_>) -> Value {
    let id = (view.raw & 0xffff_ffff) as u32;
    Value::Uid(match view.abi == abi::I386 {
        true if id & 0xffff == 0xffff => u32::MAX,
        true => id & 0xffff,
        false => id,
    })
}

const OWNER: Type = Special(owner, 0);

/// `umode_t` with the type of a file.
const TYPED_MODE: Type = Scalar(W16, Style::Mode);
const CONTENT: Type = Bytes(Out, Len::Ret, TEXT);

calls! { CALLS
    mkdir(pathname: Path, mode: PERMISSIONS) -> I32;
    mkdirat(dfd: DIRFD, pathname: Path, mode: PERMISSIONS) -> I32;
    mknod(filename: Path, mode: TYPED_MODE, dev: Pick(mknod_device, 0)) -> I32;
    mknodat(dfd: DIRFD, filename: Path, mode: TYPED_MODE, dev: Pick(mknodat_device, 0)) -> I32;
    rmdir(pathname: Path) -> I32;
    unlink(pathname: Path) -> I32;
    unlinkat(dfd: DIRFD, pathname: Path, flag: flags(&AT)) -> I32;
    rename(oldname: Path, newname: Path) -> I32;
    renameat(olddfd: DIRFD, oldname: Path, newdfd: DIRFD, newname: Path) -> I32;
    renameat2(olddfd: DIRFD, oldname: Path, newdfd: DIRFD, newname: Path,
        flags: flags(&RENAME)) -> I32;
    link(oldname: Path, newname: Path) -> I32;
    linkat(olddfd: DIRFD, oldname: Path, newdfd: DIRFD, newname: Path, flags: flags(&AT)) -> I32;
    symlink(oldname: Path, newname: Path) -> I32;
    symlinkat(oldname: Path, newdfd: DIRFD, newname: Path) -> I32;
    readlink(path: Path, buf: CONTENT, bufsiz: SIZE) -> SSIZE;
    readlinkat(dfd: DIRFD, pathname: Path, buf: CONTENT, bufsiz: SIZE) -> SSIZE;

    chmod(filename: Path, mode: PERMISSIONS) -> I32;
    fchmod(fd: FD, mode: PERMISSIONS) -> I32;
    fchmodat(dfd: DIRFD, filename: Path, mode: PERMISSIONS) -> I32;
    fchmodat2(dfd: DIRFD, filename: Path, mode: PERMISSIONS, flags: flags(&AT)) -> I32;
    chown(filename: Path, user: OWNER, group: OWNER) -> I32;
    fchown(fd: FD, user: OWNER, group: OWNER) -> I32;
    lchown(filename: Path, user: OWNER, group: OWNER) -> I32;
    chown32(filename: Path, user: UID, group: UID) -> I32;
    fchown32(fd: FD, user: UID, group: UID) -> I32;
    lchown32(filename: Path, user: UID, group: UID) -> I32;
    fchownat(dfd: DIRFD, filename: Path, user: UID, group: UID, flag: flags(&AT)) -> I32;
    umask(mask: PERMISSIONS) -> PERMISSIONS;

    getcwd(buf: Sized(Out, Len::Ret, &Special(directory, 0)), size: ULONG) -> LONG;
    chdir(filename: Path) -> I32;
    fchdir(fd: FD) -> I32;
    chroot(filename: Path) -> I32;
    getdents(fd: FD, dirent: Sized(Out, Len::Ret, &Special(dirents, 0)), count: U32) -> SSIZE;
    getdents64(fd: FD, dirent: Sized(Out, Len::Ret, &Special(dirents64, 0)), count: U32) -> SSIZE;
}
