//! Structures in calls on files.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::decode::Fields;
use crate::decode::common::{dated, grown, rest, with_date};
use crate::decode::schema::prelude::*;
use crate::decode::value::{Bytes as ValueBytes, Field, Items};

use super::sets::{
    DIRENT_TYPE, OPEN, RESOLVE, STATFS_FLAGS, STATFS_TYPE, STATX_ATTR, STATX_MASK, UTIME,
};

structs! {
    /// openat2(2), linux/openat2.h
    OPEN_HOW "open_how" (arrange_open_how) {
        flags: Scalar(W64, Style::Flags(&OPEN)), mode: Scalar(W64, Style::Octal),
        resolve: Scalar(W64, Style::Flags(&RESOLVE)), rest: rest::<3>(),
    }
    /// stat(2), asm/stat.h of x86_64.
    STAT "stat" (arrange_stat) {
        [apart] st_dev: DEVICE, [apart] st_ino: ULONG, [apart] st_nlink: ULONG,
        st_mode: MODE, [apart] st_uid: UID, [apart] st_gid: UID, pad: Pad(4),
        st_rdev: DEVICE, st_size: LONG, [apart] st_blksize: LONG, [apart] st_blocks: LONG,
        [apart] st_atime: LONG, [apart] st_atime_nsec: LONG,
        [apart] st_mtime: LONG, [apart] st_mtime_nsec: LONG,
        [apart] st_ctime: LONG, [apart] st_ctime_nsec: LONG,
        unused: Pad(24),
    }
    /// stat(2), asm/stat.h of i386.
    STAT32 "stat" (arrange_stat) {
        [apart] st_dev: DEVICE, [apart] st_ino: ULONG, st_mode: Scalar(W16, Style::Mode),
        [apart] st_nlink: Scalar(W16, Style::Unsigned),
        [apart] st_uid: Scalar(W16, Style::Unsigned),
        [apart] st_gid: Scalar(W16, Style::Unsigned), st_rdev: DEVICE, st_size: ULONG,
        [apart] st_blksize: ULONG, [apart] st_blocks: ULONG,
        [apart] st_atime: LONG, [apart] st_atime_nsec: LONG,
        [apart] st_mtime: LONG, [apart] st_mtime_nsec: LONG,
        [apart] st_ctime: LONG, [apart] st_ctime_nsec: LONG,
        unused: Pad(8),
    }
    /// stat64 of i386 (asm/stat.h).
    STAT64 "stat64" (arrange_stat) {
        [apart] st_dev: Scalar(W64, Style::Device), pad0: Pad(4), lower_ino: Pad(4),
        st_mode: MODE, [apart] st_nlink: U32, [apart] st_uid: UID, [apart] st_gid: UID,
        st_rdev: Scalar(W64, Style::Device), pad3: Pad(4), st_size: I64,
        [apart] st_blksize: ULONG, [apart] st_blocks: U64,
        [apart] st_atime: LONG, [apart] st_atime_nsec: ULONG,
        [apart] st_mtime: LONG, [apart] st_mtime_nsec: ULONG,
        [apart] st_ctime: LONG, [apart] st_ctime_nsec: ULONG,
        [apart] st_ino: U64,
    }
    /// statx(2), linux/stat.h
    STATX_TIMESTAMP "statx_timestamp" { tv_sec: I64, tv_nsec: U32, reserved: Pad(4) }
    /// statx(2), linux/stat.h
    STATX "statx" (arrange_statx) {
        stx_mask: flags(&STATX_MASK), [apart] stx_blksize: U32,
        stx_attributes: Scalar(W64, Style::Flags(&STATX_ATTR)),
        [apart] stx_nlink: U32, [apart] stx_uid: UID, [apart] stx_gid: UID,
        stx_mode: Scalar(W16, Style::Mode), spare0: Pad(2), [apart] stx_ino: U64,
        stx_size: U64, [apart] stx_blocks: U64,
        [apart] stx_attributes_mask: Scalar(W64, Style::Flags(&STATX_ATTR)),
        [apart] stx_atime: Then(&Struct(&STATX_TIMESTAMP), with_date),
        [apart] stx_btime: Then(&Struct(&STATX_TIMESTAMP), with_date),
        [apart] stx_ctime: Then(&Struct(&STATX_TIMESTAMP), with_date),
        [apart] stx_mtime: Then(&Struct(&STATX_TIMESTAMP), with_date),
        [apart] stx_rdev_major: U32, [apart] stx_rdev_minor: U32,
        [apart] stx_dev_major: U32, [apart] stx_dev_minor: U32,
        [apart] stx_mnt_id: X64, [apart] stx_dio_mem_align: U32,
        [apart] stx_dio_offset_align: U32, spare3: Pad(96),
    }
    /// `__kernel_fsid_t`
    FSID "fsid" { val: Fixed(&X32, 2) }
    /// statfs(2), asm/statfs.h
    STATFS "statfs" (arrange_statfs) {
        f_type: Scalar(Long, Style::One(&STATFS_TYPE)), f_bsize: ULONG, f_blocks: ULONG,
        f_bfree: ULONG, f_bavail: ULONG, f_files: ULONG, f_ffree: ULONG,
        f_fsid: Struct(&FSID), f_namelen: ULONG, f_frsize: ULONG,
        f_flags: Scalar(Long, Style::Flags(&STATFS_FLAGS)), f_spare: Pad(16),
    }
    /// statfs64 of ABIs of 32 bits, asm-generic/statfs.h
    STATFS64 "statfs64" (arrange_statfs) {
        f_type: Scalar(Long, Style::One(&STATFS_TYPE)), f_bsize: ULONG, f_blocks: U64,
        f_bfree: U64, f_bavail: U64, f_files: U64, f_ffree: U64, f_fsid: Struct(&FSID),
        f_namelen: ULONG, f_frsize: ULONG,
        f_flags: Scalar(Long, Style::Flags(&STATFS_FLAGS)), f_spare: Pad(16),
    }
    /// ustat(2)
    USTAT "ustat" {
        f_tfree: I32, f_tinode: ULONG, f_fname: Chars(6), f_fpack: Chars(6),
    }
    /// utime(2)
    UTIMBUF "utimbuf" (arrange_utimbuf) { actime: LONG, modtime: LONG }
    /// cachestat(2), linux/mman.h
    CACHESTAT_RANGE "cachestat_range" { off: U64, len: U64 }
    /// cachestat(2), linux/mman.h
    CACHESTAT "cachestat" {
        nr_cache: U64, nr_dirty: U64, nr_writeback: U64, nr_evicted: U64,
        nr_recently_evicted: U64,
    }
}

fn arrange_open_how(fields: &mut Fields, view: &View<'_>) {
    let flags = fields.get("flags").and_then(Value::number);
    if flags.is_some_and(|flags| !super::makes_file(flags)) {
        fields.remove("mode");
    }
    grown(fields, view);
}

/// A device has a number, and other files have a size. Times are dated.
fn arrange_stat(fields: &mut Fields, _: &View<'_>) {
    for (seconds, nanos) in [
        ("st_atime", "st_atime_nsec"),
        ("st_mtime", "st_mtime_nsec"),
        ("st_ctime", "st_ctime_nsec"),
    ] {
        let nanos = fields.get(nanos).and_then(Value::number).unwrap_or(0);
        fields.change(seconds, |seconds| dated(seconds, nanos));
    }
    let mode = fields.get("st_mode").and_then(Value::number).unwrap_or(0);
    let is_device = matches!(mode & 0o170_000, 0o020_000 | 0o060_000);
    fields.remove(if is_device { "st_size" } else { "st_rdev" });
    fields.order(&[
        "st_dev",
        "st_ino",
        "st_mode",
        "st_nlink",
        "st_uid",
        "st_gid",
        "st_blksize",
        "st_blocks",
        "st_size",
        "st_rdev",
        "st_atime",
        "st_atime_nsec",
        "st_mtime",
        "st_mtime_nsec",
        "st_ctime",
        "st_ctime_nsec",
    ]);
}

/// Only what the mask says is there.
fn arrange_statx(fields: &mut Fields, _: &View<'_>) {
    let mask = fields.get("stx_mask").and_then(Value::number).unwrap_or(0);
    for (bits, name) in [
        (3, "stx_mode"),
        (4, "stx_nlink"),
        (8, "stx_uid"),
        (0x10, "stx_gid"),
        (0x20, "stx_atime"),
        (0x40, "stx_mtime"),
        (0x80, "stx_ctime"),
        (0x100, "stx_ino"),
        (0x200, "stx_size"),
        (0x400, "stx_blocks"),
        (0x800, "stx_btime"),
        (0x1000, "stx_mnt_id"),
        (0x2000, "stx_dio_mem_align"),
        (0x2000, "stx_dio_offset_align"),
    ] {
        if mask & bits == 0 {
            fields.remove(name);
        }
    }
}

/// Old kernels leave the flags alone.
fn arrange_statfs(fields: &mut Fields, _: &View<'_>) {
    const ST_VALID: u64 = 0x20;
    let flags = fields.get("f_flags").and_then(Value::number).unwrap_or(0);
    if flags & ST_VALID == 0 {
        fields.remove("f_flags");
    }
}

fn arrange_utimbuf(fields: &mut Fields, _: &View<'_>) {
    for name in ["actime", "modtime"] {
        fields.change(name, |seconds| dated(seconds, 0));
    }
}

/// utimensat(2): `UTIME_NOW` and `UTIME_OMIT` are in the place of nanoseconds.
pub(super) fn utime(value: Value, view: &View<'_>) -> Value {
    let nanos = value.fields().and_then(|fields| fields.get("tv_nsec"));
    let nanos = nanos.and_then(Value::number).unwrap_or(0);
    match UTIME.name(nanos) {
        Some(_) => Value::One(nanos, &UTIME),
        None => with_date(value, view),
    }
}

/// getdents(2): entries of a directory.
pub(super) fn dirents(view: &View<'_>) -> Value {
    let long = Width::Long.bytes(view.abi);
    let entries = |bytes: &[u8]| {
        let at = |offset, width| View { bytes, ..*view }.number(offset, width);
        let name = bytes.get(2 * long + 2..)?;
        let (last, name) = name.split_last()?;
        Some(Vec::from([
            field("d_ino", Value::Unsigned(at(0, Long)?)),
            field("d_off", Value::Unsigned(at(long, Long)?)),
            field("d_reclen", Value::Unsigned(at(2 * long, W16)?)),
            field("d_name", text(name)),
            field("d_type", Value::One(u64::from(*last), &DIRENT_TYPE)),
        ]))
    };
    counted(view, 2 * long, entries)
}

/// getdents64(2): entries of a directory.
pub(super) fn dirents64(view: &View<'_>) -> Value {
    const LENGTH: usize = 16;
    let entries = |bytes: &[u8]| {
        let at = |offset, width| View { bytes, ..*view }.number(offset, width);
        Some(Vec::from([
            field("d_ino", Value::Unsigned(at(0, W64)?)),
            field("d_off", Value::Signed(at(8, W64)?.cast_signed())),
            field("d_reclen", Value::Unsigned(at(LENGTH, W16)?)),
            field("d_type", Value::One(at(LENGTH + 2, W8)?, &DIRENT_TYPE)),
            field("d_name", text(bytes.get(LENGTH + 3..)?)),
        ]))
    };
    counted(view, LENGTH, entries)
}

/// Entries that each hold their length at an offset.
fn counted(view: &View<'_>, length_at: usize, read: impl Fn(&[u8]) -> Option<Vec<Field>>) -> Value {
    let mut items = Vec::new();
    let mut rest = view.bytes;
    loop {
        let here = View {
            bytes: rest,
            ..*view
        };
        let length = here.number(length_at, W16).unwrap_or(0);
        let length = usize::try_from(length).unwrap_or(0);
        let Some((entry, behind)) = rest.split_at_checked(length).filter(|_| length > 0) else {
            break;
        };
        let Some(fields) = read(entry) else {
            break;
        };
        items.push(Value::Struct(Fields {
            fields,
            more: false,
        }));
        rest = behind;
    }
    let told = format!("{:#x} /* {} entries */", view.addr, items.len());
    let items = Items {
        items,
        ..Items::default()
    };
    Value::Told(Box::new(Value::Array(items)), told)
}

fn field(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        verbose: false,
    }
}

/// Text up to a NUL byte, shown whole.
pub(super) fn text(bytes: &[u8]) -> Value {
    let end = bytes.iter().position(|byte| *byte == 0);
    Value::Bytes(ValueBytes {
        data: bytes[..end.unwrap_or(bytes.len())].to_vec(),
        more: false,
        whole: true,
        look: Look::Text,
    })
}

/// `128 => 8` within a structure, or one of both if they are the same.
pub(super) fn changed(before: &Value, after: &Value) -> Value {
    match before.number() == after.number() {
        true => after.clone(),
        false => Value::Changed {
            addr: 0,
            before: Box::new(before.clone()),
            after: Box::new(after.clone()),
        },
    }
}
