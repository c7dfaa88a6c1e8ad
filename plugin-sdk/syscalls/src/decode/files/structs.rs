//! Structures in calls on files.

use crate::decode::Fields;
use crate::decode::common::dated;
use crate::decode::schema::prelude::*;

structs! {
    /// stat(2), asm/stat.h of x86_64.
    STAT "stat" (arrange_stat) {
        [verbose] st_dev: DEVICE, [verbose] st_ino: ULONG, [verbose] st_nlink: ULONG,
        st_mode: MODE, [verbose] st_uid: UID, [verbose] st_gid: UID, pad: Pad(4),
        st_rdev: DEVICE, st_size: LONG, [verbose] st_blksize: LONG, [verbose] st_blocks: LONG,
        [verbose] st_atime: LONG, [verbose] st_atime_nsec: LONG,
        [verbose] st_mtime: LONG, [verbose] st_mtime_nsec: LONG,
        [verbose] st_ctime: LONG, [verbose] st_ctime_nsec: LONG,
        unused: Pad(24),
    }
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
