//! Extended attributes, and the attributes of file_getattr(2).

use super::sets::XATTR;
use crate::decode::common::{bounded, grown, rest, whole};
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;

sets! {
    /// linux/fcntl.h
    AT_XATTR "AT_???" { AT_SYMLINK_NOFOLLOW = 0x100, AT_EMPTY_PATH = 0x1000 }
    /// `fsx_xflags` of linux/fs.h
    FS_XFLAG "FS_XFLAG_???" {
        FS_XFLAG_REALTIME = 1, FS_XFLAG_PREALLOC = 2, FS_XFLAG_IMMUTABLE = 8,
        FS_XFLAG_APPEND = 0x10, FS_XFLAG_SYNC = 0x20, FS_XFLAG_NOATIME = 0x40,
        FS_XFLAG_NODUMP = 0x80, FS_XFLAG_RTINHERIT = 0x100, FS_XFLAG_PROJINHERIT = 0x200,
        FS_XFLAG_NOSYMLINKS = 0x400, FS_XFLAG_EXTSIZE = 0x800,
        FS_XFLAG_EXTSZINHERIT = 0x1000, FS_XFLAG_NODEFRAG = 0x2000,
        FS_XFLAG_FILESTREAM = 0x4000, FS_XFLAG_DAX = 0x8000, FS_XFLAG_COWEXTSIZE = 0x10000,
        FS_XFLAG_HASATTR = 0x8000_0000,
    }
}

structs! {
    /// setxattrat(2), linux/xattr.h
    XATTR_ARGS_IN "xattr_args" (grown) {
        value: Pick(value_in, 8), size: U32, flags: flags(&XATTR), rest: rest::<5>(),
    }
    /// getxattrat(2): what `value` leads to is written.
    XATTR_ARGS_OUT "xattr_args" (grown) {
        value: Pick(value_out, 8), size: U32, flags: flags(&XATTR), rest: rest::<5>(),
    }
    /// file_getattr(2), linux/fs.h
    FILE_ATTR "file_attr" (grown) {
        fa_xflags: Scalar(W64, Style::Flags(&FS_XFLAG)), fa_extsize: U32, fa_nextents: U32,
        fa_projid: U32, fa_cowextsize: U32, rest: rest::<3>(),
    }
}

/// A pointer in 64 bits, whatever the ABI.
fn value_in(_: &View<'_>) -> &'static Type {
    &Bytes(In, Len::Field("size"), Look::Terminated)
}

fn value_out(view: &View<'_>) -> &'static Type {
    match view.field("size") {
        Some(0) => &ADDRESS,
        _ => &Bytes(Out, Len::Ret, Look::Terminated),
    }
}

/// No value is larger (XATTR_SIZE_MAX of linux/limits.h).
fn value_of(view: &View<'_>) -> &'static Type {
    match view.arg(3) <= 65536 {
        true => &Bytes(In, Len::Arg(3), Look::Terminated),
        false => &ADDRESS,
    }
}

/// Nothing is written where there is no space: the call says how much there would be.
fn list(view: &View<'_>) -> &'static Type {
    list_of(view.arg(2))
}

fn listat(view: &View<'_>) -> &'static Type {
    list_of(view.arg(4))
}

fn list_of(size: u64) -> &'static Type {
    match size {
        0 => &ADDRESS,
        _ => &VALUE_OUT,
    }
}

fn args_in(view: &View<'_>) -> &'static Type {
    match view.arg(5) < 16 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<5>), &Struct(&XATTR_ARGS_IN)),
                    whole,
                )
            }
        }
    }
}

fn args_out(view: &View<'_>) -> &'static Type {
    match view.arg(5) < 16 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<5>), &Struct(&XATTR_ARGS_OUT)),
                    whole,
                )
            }
        }
    }
}

fn attr_in(view: &View<'_>) -> &'static Type {
    match view.arg(3) < 24 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(In, Len::With(bounded::<3>), &Struct(&FILE_ATTR)),
                    whole,
                )
            }
        }
    }
}

fn attr_out(view: &View<'_>) -> &'static Type {
    match view.arg(3) < 24 {
        true => &ADDRESS,
        false => {
            const {
                &Then(
                    &Sized(Out, Len::With(bounded::<3>), &Struct(&FILE_ATTR)),
                    whole,
                )
            }
        }
    }
}

const VALUE_IN: Type = Pick(value_of, 0);
static VALUE_OUT: Type = Bytes(Out, Len::Ret, TEXT);
const VALUE: Type = Bytes(Out, Len::Ret, Look::Terminated);

calls! { CALLS
    setxattr(pathname: Path, name: Text, value: VALUE_IN, size: SIZE, flags: flags(&XATTR)) -> I32;
    lsetxattr(pathname: Path, name: Text, value: VALUE_IN, size: SIZE, flags: flags(&XATTR)) -> I32;
    fsetxattr(fd: FD, name: Text, value: VALUE_IN, size: SIZE, flags: flags(&XATTR)) -> I32;
    setxattrat(dfd: DIRFD, pathname: Path, at_flags: flags(&AT_XATTR), name: Text,
        uargs: Pick(args_in, 0), usize: SIZE) -> I32;
    getxattr(pathname: Path, name: Text, value: VALUE, size: SIZE) -> SSIZE;
    lgetxattr(pathname: Path, name: Text, value: VALUE, size: SIZE) -> SSIZE;
    fgetxattr(fd: FD, name: Text, value: VALUE, size: SIZE) -> SSIZE;
    getxattrat(dfd: DIRFD, pathname: Path, at_flags: flags(&AT_XATTR), name: Text,
        uargs: Pick(args_out, 0), usize: SIZE) -> SSIZE;
    listxattr(pathname: Path, list: Pick(list, 0), size: SIZE) -> SSIZE;
    llistxattr(pathname: Path, list: Pick(list, 0), size: SIZE) -> SSIZE;
    flistxattr(fd: FD, list: Pick(list, 0), size: SIZE) -> SSIZE;
    listxattrat(dfd: DIRFD, pathname: Path, at_flags: flags(&AT_XATTR), list: Pick(listat, 0),
        size: SIZE) -> SSIZE;
    removexattr(pathname: Path, name: Text) -> I32;
    lremovexattr(pathname: Path, name: Text) -> I32;
    fremovexattr(fd: FD, name: Text) -> I32;
    removexattrat(dfd: DIRFD, pathname: Path, at_flags: flags(&AT_XATTR), name: Text) -> I32;
    file_getattr(dfd: DIRFD, filename: Path, ufattr: Pick(attr_out, 0), usize: SIZE,
        at_flags: flags(&AT_XATTR)) -> I32;
    file_setattr(dfd: DIRFD, filename: Path, ufattr: Pick(attr_in, 0), usize: SIZE,
        at_flags: flags(&AT_XATTR)) -> I32;
}
