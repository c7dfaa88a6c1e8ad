//! Handles of files, watches: name_to_handle_at, inotify, fanotify.

use alloc::vec::Vec;

use super::sets::{AT_HANDLE, OPEN};
use super::structs::changed;
use crate::decode::Fields;
use crate::decode::common::unreadable;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::value::{Bytes as ValueBytes, Field};

sets! {
    /// inotify_init1(2)
    INOTIFY_INIT "IN_???" { IN_NONBLOCK = 0o4000, IN_CLOEXEC = 0o2000000 }
    /// inotify(7), linux/inotify.h
    INOTIFY "IN_???" {
        IN_ACCESS = 1, IN_MODIFY = 2, IN_ATTRIB = 4, IN_CLOSE_WRITE = 8,
        IN_CLOSE_NOWRITE = 0x10, IN_OPEN = 0x20, IN_MOVED_FROM = 0x40, IN_MOVED_TO = 0x80,
        IN_CREATE = 0x100, IN_DELETE = 0x200, IN_DELETE_SELF = 0x400, IN_MOVE_SELF = 0x800,
        IN_UNMOUNT = 0x2000, IN_Q_OVERFLOW = 0x4000, IN_IGNORED = 0x8000,
        IN_ONLYDIR = 0x100_0000, IN_DONT_FOLLOW = 0x200_0000, IN_EXCL_UNLINK = 0x400_0000,
        IN_MASK_CREATE = 0x1000_0000, IN_MASK_ADD = 0x2000_0000, IN_ISDIR = 0x4000_0000,
        IN_ONESHOT = 0x8000_0000,
    }
    /// fanotify_init(2), linux/fanotify.h
    FANOTIFY_CLASS "FAN_CLASS_???" {
        FAN_CLASS_NOTIF = 0, FAN_CLASS_CONTENT = 4, FAN_CLASS_PRE_CONTENT = 8,
    }
    /// fanotify_init(2), linux/fanotify.h
    FANOTIFY_INIT "FAN_???" first(0xc => FANOTIFY_CLASS) {
        FAN_CLOEXEC = 1, FAN_NONBLOCK = 2, FAN_UNLIMITED_QUEUE = 0x10,
        FAN_UNLIMITED_MARKS = 0x20, FAN_ENABLE_AUDIT = 0x40, FAN_REPORT_PIDFD = 0x80,
        FAN_REPORT_TID = 0x100, FAN_REPORT_FID = 0x200, FAN_REPORT_DIR_FID = 0x400,
        FAN_REPORT_NAME = 0x800, FAN_REPORT_TARGET_FID = 0x1000,
    }
    /// fanotify_mark(2), linux/fanotify.h
    FANOTIFY_MARK "FAN_MARK_???" {
        FAN_MARK_ADD = 1, FAN_MARK_REMOVE = 2, FAN_MARK_DONT_FOLLOW = 4, FAN_MARK_ONLYDIR = 8,
        FAN_MARK_MOUNT = 0x10, FAN_MARK_IGNORED_MASK = 0x20,
        FAN_MARK_IGNORED_SURV_MODIFY = 0x40, FAN_MARK_FLUSH = 0x80,
        FAN_MARK_FILESYSTEM = 0x100, FAN_MARK_EVICTABLE = 0x200, FAN_MARK_IGNORE = 0x400,
    }
    /// fanotify_mark(2), linux/fanotify.h
    FANOTIFY_EVENT "FAN_???" {
        FAN_ACCESS = 1, FAN_MODIFY = 2, FAN_ATTRIB = 4, FAN_CLOSE_WRITE = 8,
        FAN_CLOSE_NOWRITE = 0x10, FAN_OPEN = 0x20, FAN_MOVED_FROM = 0x40, FAN_MOVED_TO = 0x80,
        FAN_CREATE = 0x100, FAN_DELETE = 0x200, FAN_DELETE_SELF = 0x400,
        FAN_MOVE_SELF = 0x800, FAN_OPEN_EXEC = 0x1000, FAN_Q_OVERFLOW = 0x4000,
        FAN_FS_ERROR = 0x8000, FAN_OPEN_PERM = 0x10000, FAN_ACCESS_PERM = 0x20000,
        FAN_OPEN_EXEC_PERM = 0x40000, FAN_DIR_MODIFY = 0x80000, FAN_ONDIR = 0x4000_0000,
        FAN_EVENT_ON_CHILD = 0x800_0000, FAN_RENAME = 0x1000_0000,
    }
    /// fanotify(7)
    FANOTIFY_FD "FAN_???" { FAN_NOFD = 0xffff_ffff }
}

structs! {
    /// name_to_handle_at(2)
    FILE_HANDLE "file_handle" {
        handle_bytes: U32, handle_type: I32, f_handle: Special(handle, 0),
    }
}

/// MAX_HANDLE_SZ of fcntl.h: what is shown of a handle.
const MAX_HANDLE: usize = 128;
/// A structure that ends with a handle of this size.
const MAX_STRUCT: u32 = 8 + MAX_HANDLE as u32;

fn handle(view: &View<'_>) -> Value {
    let size = view.field("handle_bytes").unwrap_or(0);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    match view.bytes.get(..size.min(MAX_HANDLE)) {
        Some(bytes) => Value::Bytes(ValueBytes {
            data: bytes.to_vec(),
            more: size > MAX_HANDLE,
            whole: true,
            look: Look::Hex,
        }),
        None => unreadable(view),
    }
}

/// Of a pointer to a handle only the address, if the numbers in front are not there.
fn readable(value: Value, _: &View<'_>) -> Value {
    match &value {
        Value::To { addr, value: of }
            if of.fields().is_none_or(|fields| fields.fields.len() < 3) =>
        {
            Value::Address(*addr)
        }
        _ => value,
    }
}

/// name_to_handle_at(2) takes a size and gives a handle, or says which size it needs.
fn named(value: Value, view: &View<'_>) -> Value {
    const EOVERFLOW: i64 = 75;
    let value = readable(value, view);
    let (addr, before, after) = match &value {
        Value::To { addr, value } => (*addr, value, value),
        Value::Changed {
            addr,
            before,
            after,
        } => (*addr, before, after),
        _ => return value,
    };
    let (Some(before), Some(after)) = (before.fields(), after.fields()) else {
        return value;
    };
    let mut fields = Vec::new();
    let mut add = |name, value| {
        fields.push(Field {
            name,
            value,
            verbose: false,
        });
    };
    const SIZE: &str = "handle_bytes";
    let (Some(asked), Some(given)) = (before.get(SIZE), after.get(SIZE)) else {
        return Value::Address(addr);
    };
    if view.succeeded() || view.ret == Some(-EOVERFLOW) {
        add(SIZE, changed(asked, given));
    } else {
        add(SIZE, asked.clone());
    }
    if view.succeeded() {
        for name in ["handle_type", "f_handle"] {
            match after.get(name) {
                Some(value) => add(name, value.clone()),
                None => return Value::Address(addr),
            }
        }
    } else if before.get("handle_type").is_none() {
        return Value::Address(addr);
    }
    Value::To {
        addr,
        value: alloc::boxed::Box::new(Value::Struct(Fields {
            fields,
            more: false,
        })),
    }
}

const HANDLE_OUT: Type = Then(
    &Sized(InOutAlways, Len::Fixed(MAX_STRUCT), &Struct(&FILE_HANDLE)),
    named,
);
const HANDLE_IN: Type = Then(
    &Sized(In, Len::Fixed(MAX_STRUCT), &Struct(&FILE_HANDLE)),
    readable,
);

/// fanotify_mark(2): no descriptor is `FAN_NOFD`.
fn mark_dirfd(view: &View<'_>) -> &'static Type {
    match view.raw & 0xffff_ffff {
        0xffff_ffff => const { &one(&FANOTIFY_FD) },
        _ => &DIRFD,
    }
}

calls! { CALLS
    name_to_handle_at(dfd: DIRFD, name: Path, handle: HANDLE_OUT, mnt_id: To(Out, &I32),
        flag: flags(&AT_HANDLE)) -> I32;
    open_by_handle_at(mountdirfd: FD, handle: HANDLE_IN, flags: flags(&OPEN)) -> FD;
    inotify_init() -> FD;
    inotify_init1(flags: flags(&INOTIFY_INIT)) -> FD;
    inotify_add_watch(fd: FD, pathname: Path, mask: flags(&INOTIFY)) -> I32;
    inotify_rm_watch(fd: FD, wd: I32) -> I32;
    fanotify_init(flags: flags(&FANOTIFY_INIT), event_f_flags: flags(&OPEN)) -> FD;
    fanotify_mark(fanotify_fd: FD, flags: flags(&FANOTIFY_MARK),
        mask: Scalar(W64, Style::Flags(&FANOTIFY_EVENT)), dfd: Pick(mark_dirfd, 0),
        pathname: Path) -> I32;
}
