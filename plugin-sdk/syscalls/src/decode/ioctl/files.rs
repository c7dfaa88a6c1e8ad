//! Files and block devices (ioctl_fat(2) and its neighbours, linux/fs.h, linux/fiemap.h,
//! linux/loop.h, linux/hdreg.h).

use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::common::{done, terminated};
use crate::decode::files::xattr::FS_XFLAG;
use crate::decode::schema::{prelude::*, sets};
use crate::decode::{Bytes as Data, Field, Fields, scalar, text};

use super::arguments::arguments;

sets! {
    /// ioctl_iflags(2), linux/fs.h
    INODE_FLAGS "FS_???_FL" {
        FS_SECRM_FL = 0x1, FS_UNRM_FL = 0x2, FS_COMPR_FL = 0x4, FS_SYNC_FL = 0x8,
        FS_IMMUTABLE_FL = 0x10, FS_APPEND_FL = 0x20, FS_NODUMP_FL = 0x40, FS_NOATIME_FL = 0x80,
        FS_DIRTY_FL = 0x100, FS_COMPRBLK_FL = 0x200, FS_NOCOMP_FL = 0x400, FS_ENCRYPT_FL = 0x800,
        FS_INDEX_FL = 0x1000, FS_IMAGIC_FL = 0x2000, FS_JOURNAL_DATA_FL = 0x4000,
        FS_NOTAIL_FL = 0x8000, FS_DIRSYNC_FL = 0x10000, FS_TOPDIR_FL = 0x20000,
        FS_HUGE_FILE_FL = 0x40000, FS_EXTENT_FL = 0x80000, FS_VERITY_FL = 0x10_0000,
        FS_EA_INODE_FL = 0x20_0000, FS_EOFBLOCKS_FL = 0x40_0000, FS_NOCOW_FL = 0x80_0000,
        FS_DAX_FL = 0x200_0000, FS_INLINE_DATA_FL = 0x1000_0000,
        FS_PROJINHERIT_FL = 0x2000_0000, FS_CASEFOLD_FL = 0x4000_0000,
        FS_RESERVED_FL = 0x8000_0000,
    }
    /// Documentation/filesystems/fiemap.rst, linux/fiemap.h
    FIEMAP_FLAGS "FIEMAP_FLAG_???" {
        FIEMAP_FLAG_SYNC = 1, FIEMAP_FLAG_XATTR = 2, FIEMAP_FLAG_CACHE = 4,
    }
    EXTENT_FLAGS "FIEMAP_EXTENT_???" {
        FIEMAP_EXTENT_LAST = 0x1, FIEMAP_EXTENT_UNKNOWN = 0x2, FIEMAP_EXTENT_DELALLOC = 0x4,
        FIEMAP_EXTENT_ENCODED = 0x8, FIEMAP_EXTENT_DATA_ENCRYPTED = 0x80,
        FIEMAP_EXTENT_NOT_ALIGNED = 0x100, FIEMAP_EXTENT_DATA_INLINE = 0x200,
        FIEMAP_EXTENT_DATA_TAIL = 0x400, FIEMAP_EXTENT_UNWRITTEN = 0x800,
        FIEMAP_EXTENT_MERGED = 0x1000, FIEMAP_EXTENT_SHARED = 0x2000,
    }
    /// loop(4), linux/loop.h
    LOOP_FLAGS "LO_FLAGS_???" {
        LO_FLAGS_READ_ONLY = 1, LO_FLAGS_USE_AOPS = 2, LO_FLAGS_AUTOCLEAR = 4,
        LO_FLAGS_PARTSCAN = 8, LO_FLAGS_DIRECT_IO = 16,
    }
    CRYPTS "LO_CRYPT_???" {
        LO_CRYPT_NONE = 0, LO_CRYPT_XOR = 1, LO_CRYPT_DES = 2, LO_CRYPT_FISH2 = 3,
        LO_CRYPT_BLOW = 4, LO_CRYPT_CAST128 = 5, LO_CRYPT_IDEA = 6, LO_CRYPT_DUMMY = 9,
        LO_CRYPT_SKIPJACK = 10, LO_CRYPT_CRYPTOAPI = 18,
    }
    /// linux/blkpg.h
    PARTITIONS "BLKPG_???" {
        BLKPG_ADD_PARTITION = 1, BLKPG_DEL_PARTITION = 2, BLKPG_RESIZE_PARTITION = 3,
    }
    /// linux/hdreg.h
    BUSES "BUSSTATE_???" { BUSSTATE_OFF = 0, BUSSTATE_ON = 1, BUSSTATE_TRISTATE = 2 }
    /// linux/nbd.h
    NBD_FLAGS "NBD_IOC_FLAG_???" {
        NBD_FLAG_HAS_FLAGS = 0x1, NBD_FLAG_READ_ONLY = 0x2, NBD_FLAG_SEND_FLUSH = 0x4,
        NBD_FLAG_SEND_FUA = 0x8, NBD_FLAG_ROTATIONAL = 0x10, NBD_FLAG_SEND_TRIM = 0x20,
        NBD_FLAG_SEND_WRITE_ZEROES = 0x40, NBD_FLAG_SEND_DF = 0x80,
        NBD_FLAG_CAN_MULTI_CONN = 0x100, NBD_FLAG_SEND_RESIZE = 0x200,
        NBD_FLAG_SEND_CACHE = 0x400,
    }
}

structs! {
    BLKPG_ARG "blkpg_ioctl_arg" {
        op: one(&PARTITIONS), flags: I32, datalen: I32, data: Pick(partition, 0),
    }
    PARTITION "blkpg_partition" {
        start: I64, length: I64, pno: I32, devname: Chars(64), volname: Chars(64), end: Pad(4),
    }
    TRACE_SETUP "blk_user_trace_setup" (arrange_trace) {
        name: Chars(32), act_mask: U16, buf_size: U32, buf_nr: U32, start_lba: U64, end_lba: U64,
        pid: PID, end: Pad(4),
    }
    TRIM "fstrim_range" { start: X64, len: U64, minlen: U64 }
    CLONE_RANGE "file_clone_range" {
        src_fd: Scalar(W64, Style::Fd), src_offset: U64, src_length: U64, dest_offset: U64,
    }
    DEDUPE "file_dedupe_range" {
        src_offset: U64, src_length: U64, dest_count: U16, reserved1: Pad(2), reserved2: Pad(4),
        info: Naming(dedupes, 0),
    }
    FSXATTR "fsxattr" (arrange_fsxattr) {
        fsx_xflags: flags(&FS_XFLAG), fsx_extsize: U32, fsx_nextents: U32, fsx_projid: PROJECT,
        fsx_cowextsize: U32, end: Pad(8),
    }
    FIEMAP "fiemap" {
        fm_start: U64, fm_length: U64, fm_flags: flags(&FIEMAP_FLAGS), fm_mapped_extents: U32,
        fm_extent_count: U32, fm_reserved: Pad(4), [verbose] fm_extents: Special(extents, 0),
    }
    LOOP_INFO "loop_info" (arrange_loop) {
        lo_number: I32, [verbose] lo_device: DEVICE, [verbose] lo_inode: ULONG,
        [verbose] lo_rdevice: DEVICE, lo_offset: X32, lo_encrypt_type: one(&CRYPTS),
        lo_encrypt_key_size: U32, lo_flags: flags(&LOOP_FLAGS), lo_name: NAME,
        lo_encrypt_key: Special(key, 32), [verbose] lo_init: Fixed(&XLONG, 2),
        [verbose] reserved: Fixed(&X8, 4),
    }
    LOOP_INFO64 "loop_info64" (arrange_loop) {
        [verbose] lo_device: Scalar(W64, Style::Device), [verbose] lo_inode: U64,
        [verbose] lo_rdevice: Scalar(W64, Style::Device), lo_offset: X64,
        [verbose] lo_sizelimit: U64, lo_number: U32, lo_encrypt_type: one(&CRYPTS),
        lo_encrypt_key_size: U32, lo_flags: flags(&LOOP_FLAGS), lo_file_name: NAME,
        lo_crypt_name: NAME, lo_encrypt_key: Special(key, 32),
        [verbose] lo_init: Fixed(&X64, 2),
    }
    LOOP_CONFIG "loop_config" (arrange_config) {
        fd: FD, block_size: U32, info: Struct(&LOOP_INFO64), __reserved: Fixed(&X64, 8),
    }
    GEOMETRY "hd_geometry" { heads: U8, sectors: U8, cylinders: U16, start: ULONG }
}

const NAME: Type = Special(terminated, 64);
const PROJECT: Type = X32;
const LABEL: Type = Special(terminated, 256);

/// As much as there is of it.
fn key(view: &View<'_>) -> Value {
    let size = view.field("lo_encrypt_key_size").unwrap_or(0);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    Value::Bytes(Data {
        data: view.bytes.get(..size).unwrap_or(view.bytes).into(),
        more: false,
        whole: false,
        look: TEXT,
    })
}

/// Encryption shows where there is any.
fn arrange_loop(fields: &mut Fields, _: &View<'_>) {
    let number = |name| fields.get(name).and_then(Value::number).unwrap_or(0);
    let (encrypts, has_key) = (
        number("lo_encrypt_type") != 0,
        number("lo_encrypt_key_size") != 0,
    );
    for field in &mut fields.fields {
        match field.name {
            "lo_encrypt_type" | "lo_encrypt_key_size" | "lo_crypt_name" => {
                field.verbose = !encrypts;
            }
            "lo_encrypt_key" => field.verbose = !has_key,
            _ => {}
        }
    }
}

fn arrange_config(fields: &mut Fields, _: &View<'_>) {
    let reserved = fields.get("__reserved").and_then(Value::items);
    if reserved.is_some_and(|items| items.iter().all(|item| item.number() == Some(0))) {
        fields.remove("__reserved");
    }
}

/// What a change of partitions is made with.
fn partition(view: &View<'_>) -> &'static Type {
    match view.field("op") {
        Some(1..=3) => const { &To(In, &Struct(&PARTITION)) },
        _ => &ADDRESS,
    }
}

fn arrange_trace(fields: &mut Fields, view: &View<'_>) {
    fields.order(match view.succeeded() {
        true => &[
            "act_mask",
            "buf_size",
            "buf_nr",
            "start_lba",
            "end_lba",
            "pid",
            "name",
        ],
        false => &[
            "act_mask",
            "buf_size",
            "buf_nr",
            "start_lba",
            "end_lba",
            "pid",
        ],
    });
}

/// The extents are what the call finds out.
fn arrange_fsxattr(fields: &mut Fields, view: &View<'_>) {
    if !view.succeeded() {
        fields.remove("fsx_nextents");
    }
}

fn field(name: &'static str, value: Value) -> Field {
    Field {
        name,
        value,
        verbose: false,
    }
}

/// So many parts of so many bytes behind a head, up to the 32 that strace shows.
fn parts<'a>(view: &View<'a>, size: usize, count: u64) -> impl Iterator<Item = View<'a>> {
    let of = *view;
    let most = usize::try_from(count).unwrap_or(MOST).min(MOST);
    let parts = view.bytes.chunks_exact(size).take(most);
    parts.map(move |bytes| View { bytes, ..of })
}

const MOST: usize = 32;

fn list(items: Vec<Value>, count: u64, addr: u64) -> Value {
    let more = (items.len() as u64) < count;
    Value::Array(crate::decode::Items {
        items,
        more: more.then_some(addr),
        missing: false,
    })
}

/// The flexible array of `struct file_dedupe_range` (ioctl_fideduperange(2)).
fn dedupes(view: &View<'_>) -> Value {
    let count = view.field("dest_count").unwrap_or(0);
    let items = parts(view, 32, count).map(|view| {
        let number = |offset, width, style| {
            let value = view.number(offset, width).unwrap_or(0);
            scalar(value, width, style, view.abi)
        };
        Value::Struct(Fields {
            fields: Vec::from([
                field("dest_fd", number(0, W64, Style::Fd)),
                field("dest_offset", number(8, W64, Style::Unsigned)),
                field("bytes_deduped", number(16, W64, Style::Unsigned)),
                field("status", number(24, W32, Style::Signed)),
            ]),
            more: false,
        })
    });
    let items: Vec<Value> = items.collect();
    list(items, count, view.addr)
}

/// The flexible array of `struct fiemap`.
fn extents(view: &View<'_>) -> Value {
    let count = view.field("fm_mapped_extents").unwrap_or(0);
    let items = parts(view, 56, count).map(|view| {
        let number = |offset, width| view.number(offset, width).unwrap_or(0);
        Value::Struct(Fields {
            fields: Vec::from([
                field("fe_logical", Value::Unsigned(number(0, W64))),
                field("fe_physical", Value::Unsigned(number(8, W64))),
                field("fe_length", Value::Unsigned(number(16, W64))),
                field("fe_flags", Value::Flags(number(40, W32), &EXTENT_FLAGS)),
            ]),
            more: false,
        })
    });
    let items: Vec<Value> = items.collect();
    list(items, count, view.addr)
}

/// The structure that a pointer leads to, or both: before the call, and after it.
fn around(value: &mut Value, before: impl Fn(&mut Fields), after: impl Fn(&mut Fields)) {
    fn fields(value: &mut Value) -> Option<&mut Fields> {
        match value {
            Value::Struct(fields) => Some(fields),
            Value::To { value, .. } => fields(value),
            _ => None,
        }
    }
    match value {
        Value::Changed {
            before: one,
            after: other,
            ..
        } => {
            fields(one).map(before);
            fields(other).map(after);
        }
        _ => {
            fields(value).map(before);
        }
    }
}

/// The address, where not all of the head of a structure is there.
fn whole(value: Value, last: &str) -> Value {
    match &value {
        Value::To { addr, value: inner } => match inner.fields().and_then(|it| it.get(last)) {
            Some(_) => value,
            None => Value::Address(*addr),
        },
        _ => value,
    }
}

/// What is asked, and what is found.
fn fiemap(value: Value, _: &View<'_>) -> Value {
    let mut value = whole(value, "fm_extents");
    around(
        &mut value,
        |fields| fields.order(&["fm_start", "fm_length", "fm_flags", "fm_extent_count"]),
        |fields| fields.order(&["fm_flags", "fm_mapped_extents", "fm_extents"]),
    );
    value
}

/// Only two of them show, unless all is to be seen.
fn two(value: Value) -> Value {
    const SHOWN: usize = 2;
    let Value::Array(items) = &value else {
        return value;
    };
    if items.items.len() <= SHOWN {
        return value;
    }
    let mut told = Vec::from(*b"[");
    for item in items.items.iter().take(SHOWN) {
        text::Style::default().push(&mut told, item);
        told.extend_from_slice(b", ");
    }
    told.extend_from_slice(b"...]");
    let told = String::from_utf8_lossy(&told).into_owned();
    Value::Told(value.into(), told)
}

fn dedupe(value: Value, _: &View<'_>) -> Value {
    let mut value = whole(value, "info");
    let each = |fields: &mut Fields, names: &[&str]| {
        fields.change("info", |mut info| {
            if let Value::Array(items) = &mut info {
                for item in &mut items.items {
                    if let Value::Struct(fields) = item {
                        fields.order(names);
                    }
                }
            }
            two(info)
        });
    };
    around(
        &mut value,
        |fields| each(fields, &["dest_fd", "dest_offset"]),
        |fields| {
            fields.order(&["info"]);
            each(fields, &["bytes_deduped", "status"]);
        },
    );
    value
}

/// `struct fiemap` and as many extents as are shown.
const FIEMAP_SIZE: u32 = 32 + 56 * MOST as u32;
const DEDUPE_SIZE: u32 = 24 + 32 * MOST as u32;

arguments! { ARGUMENTS
    FS_IOC_FIEMAP: Then(&Sized(InOut, Len::Fixed(FIEMAP_SIZE), &Struct(&FIEMAP)), fiemap);
    FIDEDUPERANGE: Then(&Sized(InOut, Len::Fixed(DEDUPE_SIZE), &Struct(&DEDUPE)), dedupe);
    BLKROSET BLKBSZSET: To(In, &I32);
    BLKROGET BLKSSZGET BLKALIGNOFF BLKBSZGET: To(Out, &I32);
    BLKIOMIN BLKIOOPT BLKPBSZGET BLKDISCARDZEROES BLKGETZONESZ BLKGETNRZONES: To(Out, &U32);
    BLKSECTGET BLKROTATIONAL: To(Out, &U16);
    BLKGETSIZE: To(Out, &ULONG);
    BLKRAGET BLKFRAGET: To(Out, &LONG);
    BLKGETSIZE64 BLKGETDISKSEQ: To(Out, &U64);
    BLKRASET BLKFRASET: ULONG;
    BLKDISCARD BLKSECDISCARD BLKZEROOUT: To(In, &Fixed(&U64, 2));
    BLKPG: To(In, &Struct(&BLKPG_ARG));
    BLKTRACESETUP: done!(To(Out, &Struct(&TRACE_SETUP)), else To(InOut, &Struct(&TRACE_SETUP)));
    BLKRRPART BLKFLSBUF BLKTRACESTART BLKTRACESTOP BLKTRACETEARDOWN: Absent;
    FIFREEZE FITHAW: Absent;
    FITRIM: To(In, &Struct(&TRIM));
    FICLONE: FD;
    FICLONERANGE: To(In, &Struct(&CLONE_RANGE));
    FS_IOC_GETFLAGS FS_IOC32_GETFLAGS: To(Out, &flags(&INODE_FLAGS));
    FS_IOC_SETFLAGS FS_IOC32_SETFLAGS: To(In, &flags(&INODE_FLAGS));
    FS_IOC_FSGETXATTR: To(Out, &Struct(&FSXATTR));
    FS_IOC_FSSETXATTR: To(In, &Struct(&FSXATTR));
    FS_IOC_GETFSLABEL: To(Out, &LABEL);
    FS_IOC_SETFSLABEL: To(In, &LABEL);
    LOOP_SET_FD LOOP_CHANGE_FD: FD;
    LOOP_SET_STATUS: To(In, &Struct(&LOOP_INFO));
    LOOP_GET_STATUS: To(Out, &Struct(&LOOP_INFO));
    LOOP_SET_STATUS64: To(In, &Struct(&LOOP_INFO64));
    LOOP_GET_STATUS64: To(Out, &Struct(&LOOP_INFO64));
    LOOP_CONFIGURE: To(In, &Struct(&LOOP_CONFIG));
    LOOP_CLR_FD LOOP_SET_CAPACITY LOOP_CTL_GET_FREE: Absent;
    LOOP_SET_DIRECT_IO LOOP_SET_BLOCK_SIZE: ULONG;
    LOOP_CTL_ADD LOOP_CTL_REMOVE: I32;
    HDIO_GETGEO: To(Out, &Struct(&GEOMETRY));
    HDIO_SET_BUSSTATE: long_one(&BUSES);
    HDIO_GET_UNMASKINTR HDIO_GET_MULTCOUNT HDIO_GET_KEEPSETTINGS HDIO_GET_32BIT HDIO_GET_NOWERR
    HDIO_GET_DMA HDIO_GET_NICE HDIO_GET_WCACHE HDIO_GET_ACOUSTIC HDIO_GET_ADDRESS: To(Out, &LONG);
    HDIO_GET_BUSSTATE: To(Out, &long_one(&BUSES));
    HDIO_SET_MULTCOUNT HDIO_SET_UNMASKINTR HDIO_SET_KEEPSETTINGS HDIO_SET_32BIT HDIO_SET_NOWERR
    HDIO_SET_DMA HDIO_SET_PIO_MODE HDIO_SET_NICE HDIO_SET_WCACHE HDIO_SET_ACOUSTIC
    HDIO_SET_ADDRESS: ULONG;
    HDIO_DRIVE_RESET HDIO_SCAN_HWIF: To(In, &Fixed(&X32, 3));
    HDIO_OBSOLETE_IDENTITY HDIO_GET_IDENTITY: ADDRESS;
    NBD_SET_SOCK: FD;
    NBD_SET_BLKSIZE NBD_SET_SIZE NBD_SET_TIMEOUT NBD_SET_SIZE_BLOCKS: ULONG;
    NBD_SET_FLAGS: flags(&NBD_FLAGS);
    NBD_DO_IT NBD_CLEAR_SOCK NBD_CLEAR_QUE NBD_PRINT_DEBUG NBD_DISCONNECT: Absent;
}
