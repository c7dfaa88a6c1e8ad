//! bpf(2), by command (linux/bpf.h).

use alloc::format;

use crate::decode::common::{merged, terminated};
use crate::decode::schema::prelude::*;
use crate::decode::{Bytes as Data, Field, Fields};

mod instructions;
mod sets;

use instructions::PROGRAM;
use sets::{
    ATTACH_FLAGS, ATTACH_TYPES, ELEMENT_FLAGS, FD_TYPES, FILE_FLAGS, LOOKUP_FLAGS, MAP_FLAGS,
    MAP_TYPES, PROG_FLAGS, PROG_TYPES, QUERY_FLAGS, TEST_FLAGS,
};

pub(super) use sets::COMMANDS;

/// A pointer in 64 bits, on any ABI.
const POINTER: Type = Scalar(W64, Style::Address);
const TEXT64: Type = Pick(|_| &Text, 8);
const PATH64: Type = Pick(|_| &Path, 8);
/// How an element is looked up, and how it is stored.
const LOOKED_UP: Type = Scalar(W64, Style::Flags(&LOOKUP_FLAGS));
const STORED: Type = Scalar(W64, Style::One(&ELEMENT_FLAGS));
const NAME: Type = Special(terminated, 16);
const VERSION: Type = Special(version, 4);

/// KERNEL_VERSION of linux/version.h.
fn version(view: &View<'_>) -> Value {
    let value = view.number(0, W32).unwrap_or(0);
    let parts = [value >> 16, value >> 8 & 0xff, value & 0xff];
    Value::Call("KERNEL_VERSION", parts.map(Value::Unsigned).into())
}

structs! {
    MAP_CREATE "bpf_attr" (arrange_map) {
        map_type: one(&MAP_TYPES), key_size: U32, value_size: U32, max_entries: U32,
        map_flags: flags(&MAP_FLAGS), inner_map_fd: FD, numa_node: U32, map_name: NAME,
        map_ifindex: U32, btf_fd: FD, btf_key_type_id: U32, btf_value_type_id: U32,
        btf_vmlinux_value_type_id: U32, map_extra: U64,
    }
    MAP_ELEM "bpf_attr" (arrange) {
        map_fd: FD, pad: Pad(4), key: POINTER, value: POINTER, flags: LOOKED_UP,
    }
    MAP_UPDATE "bpf_attr" (arrange) {
        map_fd: FD, pad: Pad(4), key: POINTER, value: POINTER, flags: STORED,
    }
    MAP_DELETE "bpf_attr" (arrange) { map_fd: FD, pad: Pad(4), key: POINTER }
    MAP_NEXT "bpf_attr" (arrange) { map_fd: FD, pad: Pad(4), key: POINTER, next_key: POINTER }
    MAP_FREEZE "bpf_attr" (arrange) { map_fd: FD }
    PROG_LOAD "bpf_attr" (arrange) {
        prog_type: one(&PROG_TYPES), insn_cnt: U32, insns: PROGRAM, license: TEXT64,
        log_level: U32, log_size: U32, log_buf: TEXT64, kern_version: VERSION,
        prog_flags: flags(&PROG_FLAGS), prog_name: NAME, prog_ifindex: U32,
        expected_attach_type: one(&ATTACH_TYPES), prog_btf_fd: FD, func_info_rec_size: U32,
        func_info: POINTER, func_info_cnt: U32, line_info_rec_size: U32, line_info: POINTER,
        line_info_cnt: U32, attach_btf_id: U32, attach_prog_fd: FD, core_relo_cnt: Pad(4),
        fd_array: POINTER,
    }
    OBJECT "bpf_attr" (arrange) { pathname: PATH64, bpf_fd: FD, file_flags: flags(&FILE_FLAGS) }
    ATTACH "bpf_attr" (arrange) {
        target_fd: FD, attach_bpf_fd: FD, attach_type: one(&ATTACH_TYPES),
        attach_flags: flags(&ATTACH_FLAGS), replace_bpf_fd: FD,
    }
    DETACH "bpf_attr" (arrange_detach) {
        target_fd: FD, attach_bpf_fd: FD, attach_type: one(&ATTACH_TYPES),
    }
    // Without the padding that the union around it has.
    TEST "bpf_attr" packed {
        prog_fd: FD, retval: U32, data_size_in: U32, data_size_out: U32, data_in: POINTER,
        data_out: POINTER, repeat: U32, duration: U32, ctx_size_in: U32, ctx_size_out: U32,
        ctx_in: POINTER, ctx_out: POINTER, flags: flags(&TEST_FLAGS), cpu: U32, batch_size: U32,
    }
    NEXT_ID "bpf_attr" (arrange) { start_id: U32, next_id: U32, open_flags: flags(&FILE_FLAGS) }
    PROG_ID "bpf_attr" (arrange) { prog_id: U32, next_id: U32, open_flags: flags(&FILE_FLAGS) }
    MAP_ID "bpf_attr" (arrange) { map_id: U32, next_id: U32, open_flags: flags(&FILE_FLAGS) }
    BTF_ID "bpf_attr" (arrange) { btf_id: U32 }
    LINK_ID "bpf_attr" (arrange) { link_id: U32 }
    INFO "bpf_attr" { bpf_fd: FD, info_len: U32, info: POINTER }
    // Without the padding that the union around it has.
    QUERY "bpf_attr" packed {
        target_fd: FD, attach_type: one(&ATTACH_TYPES), query_flags: flags(&QUERY_FLAGS),
        attach_flags: flags(&ATTACH_FLAGS), prog_ids: POINTER, prog_cnt: U32,
    }
    // Without the padding that the union around it has.
    TRACEPOINT "bpf_attr" packed { name: TEXT64, prog_fd: FD }
    BTF_LOAD "bpf_attr" (arrange) {
        btf: Pick(|_| const { &Bytes(In, Len::Field("btf_size"), TEXT) }, 8), btf_log_buf: TEXT64,
        btf_size: U32, btf_log_size: U32, btf_log_level: U32,
    }
    TASK_FD "bpf_attr" {
        pid: PID, fd: FD, flags: U32, buf_len: U32, buf: TEXT64, prog_id: U32,
        fd_type: one(&FD_TYPES), probe_offset: X64, probe_addr: X64,
    }
    BATCH "bpf_attr" {
        in_batch: POINTER, out_batch: POINTER, keys: POINTER, values: POINTER, count: U32,
        map_fd: FD, elem_flags: LOOKED_UP, flags: X64,
    }
    BATCH_UPDATE "bpf_attr" (arrange_update) {
        in_batch: POINTER, out_batch: POINTER, keys: POINTER, values: POINTER, count: U32,
        map_fd: FD, elem_flags: LOOKED_UP, flags: X64,
    }
    BATCH_DELETE "bpf_attr" (arrange_delete) {
        in_batch: POINTER, out_batch: POINTER, keys: POINTER, values: POINTER, count: U32,
        map_fd: FD, elem_flags: LOOKED_UP, flags: X64,
    }
    LINK "bpf_attr" { prog_fd: FD, target_fd: FD, attach_type: one(&ATTACH_TYPES), flags: X32 }
    LINK_CHANGE "bpf_attr" (arrange_link) {
        link_fd: FD, new_prog_fd: FD, flags: flags(&ATTACH_FLAGS), old_prog_fd: FD,
    }

    IN_TEST "bpf_attr" (arrange) { test: Struct(&TEST) }
    IN_INFO "bpf_attr" (arrange) { info: Struct(&INFO) }
    IN_QUERY "bpf_attr" (arrange) { query: Struct(&QUERY) }
    IN_TRACEPOINT "bpf_attr" (arrange) { raw_tracepoint: Struct(&TRACEPOINT) }
    IN_TASK_FD "bpf_attr" (arrange) { task_fd_query: Struct(&TASK_FD) }
    IN_BATCH "bpf_attr" (arrange) { batch: Struct(&BATCH) }
    IN_BATCH_UPDATE "bpf_attr" (arrange) { batch: Struct(&BATCH_UPDATE) }
    IN_BATCH_DELETE "bpf_attr" (arrange) { batch: Struct(&BATCH_DELETE) }
    IN_LINK "bpf_attr" (arrange) { link_create: Struct(&LINK) }
    IN_LINK_CHANGE "bpf_attr" (arrange) { link_update: Struct(&LINK_CHANGE) }
}

/// What is behind the fields that the command has, and not zero, is not known.
fn arrange(fields: &mut Fields, view: &View<'_>) {
    let Some((structure, bytes)) = view.outer else {
        return;
    };
    let given = usize::try_from(view.arg(2) & 0xffff_ffff).unwrap_or(0);
    // The caller has a shorter structure; what it has is there.
    fields.more = bytes.len() < given;
    let last = structure.fields.last();
    let end = last.map_or(0, |field| field.place(view.abi).bytes().end);
    let extra = bytes.get(end..).unwrap_or_default();
    if extra.iter().any(|byte| *byte != 0) {
        let data = Value::Bytes(Data {
            data: extra.into(),
            more: false,
            whole: false,
            look: Look::Hex,
        });
        let place = format!("bytes {end}..{}", bytes.len().saturating_sub(1));
        fields.fields.push(Field {
            name: "extra_data",
            value: Value::Comment(data.into(), place),
            verbose: true,
        });
    }
}

fn arrange_map(fields: &mut Fields, view: &View<'_>) {
    const NUMA_NODE: u64 = 4;
    arrange(fields, view);
    if view.field("map_flags").unwrap_or(0) & NUMA_NODE == 0 {
        fields.remove("numa_node");
    }
}

fn arrange_detach(fields: &mut Fields, view: &View<'_>) {
    arrange(fields, view);
    fields.remove("attach_bpf_fd");
}

fn arrange_update(fields: &mut Fields, _: &View<'_>) {
    fields.remove("in_batch");
    fields.remove("out_batch");
}

fn arrange_delete(fields: &mut Fields, _: &View<'_>) {
    for name in ["in_batch", "out_batch", "values"] {
        fields.remove(name);
    }
}

fn arrange_link(fields: &mut Fields, view: &View<'_>) {
    const REPLACE: u64 = 4;
    if view.field("flags").unwrap_or(0) & REPLACE == 0 {
        fields.remove("old_prog_fd");
    }
}

/// The larger sizes are not structures.
const MOST: u64 = 4096;

fn size(view: &View<'_>) -> u64 {
    view.arg(2) & 0xffff_ffff
}

/// `union bpf_attr *`, of as many bytes as the caller says.
macro_rules! attr {
    ($set:ident) => {
        Pick(
            |view| match size(view) {
                1..=MOST => const { &Sized(In, Len::With(size), &Struct(&$set)) },
                _ => &ADDRESS,
            },
            0,
        )
    };
    ($set:ident, changed) => {
        Pick(
            |view| match size(view) {
                1..=MOST => {
                    const { &Then(&Sized(InOut, Len::With(size), &Struct(&$set)), changed) }
                }
                _ => &ADDRESS,
            },
            0,
        )
    };
}

fn changed(value: Value, _: &View<'_>) -> Value {
    merged(value, &["next_id", "info_len"])
}

pub(super) fn by_command(view: &View<'_>) -> Option<&'static Call> {
    BY_COMMAND.get(usize::try_from(view.arg32(0)).ok()?)
}

calls! { BY_COMMAND
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_CREATE), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_ELEM), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_UPDATE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_DELETE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_NEXT), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(PROG_LOAD), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(OBJECT), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(OBJECT), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(ATTACH), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(DETACH), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_TEST), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(NEXT_ID, changed), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(NEXT_ID, changed), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(PROG_ID), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_ID), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_INFO, changed), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_QUERY), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_TRACEPOINT), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(BTF_LOAD), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(BTF_ID), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_TASK_FD), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_ELEM), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(MAP_FREEZE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(NEXT_ID, changed), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_BATCH), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_BATCH), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_BATCH_UPDATE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_BATCH_DELETE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_LINK), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(IN_LINK_CHANGE), size: U32) -> I32;
    bpf(cmd: one(&COMMANDS), uattr: attr!(LINK_ID), size: U32) -> FD;
    bpf(cmd: one(&COMMANDS), uattr: attr!(NEXT_ID, changed), size: U32) -> I32;
}
