//! statmount(2) and listmount(2).

use super::sets::{LISTMOUNT, MOUNT_ATTR, MOUNT_ID, PROPAGATION, STATMOUNT, SUPERBLOCK};
use crate::decode::Fields;
use crate::decode::schema::prelude::*;
use crate::decode::value::Bytes as ValueBytes;

const ID: Type = Scalar(W64, Style::One(&MOUNT_ID));
const STRING: Type = Special(string, 4);

structs! {
    /// linux/mount.h. The caller says in it how much of it there is.
    STAT_REQ "mnt_id_req" (arrange_request) {
        size: U32, mnt_ns_fd: U32, mnt_id: ID, param: Scalar(W64, Style::Flags(&STATMOUNT)),
        mnt_ns_id: X64,
    }
    /// As `STAT_REQ`, where `param` is the last one that is known.
    LIST_REQ "mnt_id_req" (arrange_request) {
        size: U32, mnt_ns_fd: U32, mnt_id: ID, param: X64, mnt_ns_id: X64,
    }
    /// statmount(2), linux/mount.h
    STAT_MOUNT "statmount" (arrange_statmount) {
        size: U32, mnt_opts: STRING, mask: Scalar(W64, Style::Flags(&STATMOUNT)),
        sb_dev_major: U32, sb_dev_minor: U32, sb_magic: X64, sb_flags: flags(&SUPERBLOCK),
        fs_type: STRING, mnt_id: X64, mnt_parent_id: X64, mnt_id_old: U32,
        mnt_parent_id_old: U32, mnt_attr: Scalar(W64, Style::Flags(&MOUNT_ATTR)),
        mnt_propagation: Scalar(W64, Style::Flags(&PROPAGATION)), mnt_peer_group: X64,
        mnt_master: X64, propagate_from: X64, mnt_root: STRING, mnt_point: STRING,
        mnt_ns_id: X64, fs_subtype: STRING, sb_source: STRING, opt_num: U32, opt_array: U32,
        opt_sec_num: U32, opt_sec_array: U32,
        supported_mask: Scalar(W64, Style::Flags(&STATMOUNT)), mnt_uidmap_num: U32,
        mnt_uidmap: U32, mnt_gidmap_num: U32, mnt_gidmap: U32, spare2: Pad(344),
        str: Pad(0),
    }
}

/// Text that a field says the place of, behind the structure.
fn string(view: &View<'_>) -> Value {
    const STR: usize = 512;
    let at = view.number(0, W32).unwrap_or(0);
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let all = view.outer.map_or(&[][..], |(_, all)| all);
    let text = all.get(STR..).and_then(|text| text.get(at..));
    let text = text.unwrap_or_default();
    let end = text.iter().position(|byte| *byte == 0);
    Value::Bytes(ValueBytes {
        data: text
            .get(..end.unwrap_or(text.len()))
            .unwrap_or_default()
            .to_vec(),
        more: end.is_none(),
        whole: true,
        look: Look::Text,
    })
}

/// What the size says is there, without what is not said.
fn arrange_request(fields: &mut Fields, _: &View<'_>) {
    const VERSION_0: u64 = 24;
    let size = fields.get("size").and_then(Value::number).unwrap_or(0);
    if size <= VERSION_0 {
        fields.remove("mnt_ns_id");
    }
    let namespace = fields.get("mnt_ns_fd").and_then(Value::number);
    if namespace == Some(0) {
        fields.remove("mnt_ns_fd");
    }
    fields.more = false;
}

/// Only what the mask says is there.
fn arrange_statmount(fields: &mut Fields, _: &View<'_>) {
    const OF: &[(u64, &[&str])] = &[
        (1, &["sb_dev_major", "sb_dev_minor", "sb_magic", "sb_flags"]),
        (
            2,
            &[
                "mnt_id",
                "mnt_parent_id",
                "mnt_id_old",
                "mnt_parent_id_old",
                "mnt_attr",
                "mnt_propagation",
                "mnt_peer_group",
                "mnt_master",
            ],
        ),
        (4, &["propagate_from"]),
        (8, &["mnt_root"]),
        (0x10, &["mnt_point"]),
        (0x20, &["fs_type"]),
        (0x40, &["mnt_ns_id"]),
        (0x80, &["mnt_opts"]),
        (0x100, &["fs_subtype"]),
        (0x200, &["sb_source"]),
        (0x400, &["opt_num", "opt_array"]),
        (0x800, &["opt_sec_num", "opt_sec_array"]),
        (0x1000, &["supported_mask"]),
        (0x2000, &["mnt_uidmap_num", "mnt_uidmap"]),
        (0x4000, &["mnt_gidmap_num", "mnt_gidmap"]),
    ];
    let mask = fields.get("mask").and_then(Value::number).unwrap_or(0);
    for (bit, names) in OF {
        if mask & bit == 0 {
            for name in *names {
                fields.remove(name);
            }
        }
    }
}

/// How much of a request is read: all that is known of it.
const REQUEST: Len = Len::Fixed(32);

fn buffer(view: &View<'_>) -> u64 {
    view.arg(2).min(4096)
}

calls! { CALLS
    statmount(req: Sized(In, REQUEST, &Struct(&STAT_REQ)),
        buf: Sized(Out, Len::With(buffer), &Struct(&STAT_MOUNT)), bufsize: SIZE, flags: X32)
        -> I32;
    listmount(req: Sized(In, REQUEST, &Struct(&LIST_REQ)), mnt_ids: Array(Out, &X64, Len::Ret),
        nr_mnt_ids: SIZE, flags: flags(&LISTMOUNT)) -> SSIZE;
}
