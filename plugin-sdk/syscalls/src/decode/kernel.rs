//! bpf, perf events, io_uring, aio, modules, keys, and other calls with languages of their own.

mod aio;
mod bpf;
mod keys;
mod modules;
mod perf;
mod uring;

use super::schema::prelude::*;

use bpf::by_command;
use keys::by_option;
use perf::OPEN_FLAGS;
use uring::{ENTER_FLAGS, PARAMS, REGISTER_ARGUMENT, REGISTERS, WAIT_ARGUMENT};

pub(super) use perf::ATTRIBUTES;

/// An argument of a call that the kernel does not have.
const ANY: Type = XLONG;
const CONTEXT: Type = XLONG;

structs! {
    /// Which namespaces listns is asked for (linux/nsfs.h).
    NAMESPACES "ns_id_req" {
        size: U32, spare: Pad(4), ns_id: U64, ns_type: X32, spare2: Pad(4), user_ns_id: U64,
    }
}

calls! { CALLS
    bpf by by_command (cmd: one(&bpf::COMMANDS), uattr: ADDRESS, size: U32) -> I32;
    perf_event_open(attr_uptr: ATTRIBUTES, pid: PID, cpu: I32, group_fd: FD, flags: long_flags(&OPEN_FLAGS)) -> FD;

    io_setup(nr_events: U32, ctxp: To(Out, &CONTEXT)) -> I32;
    io_destroy(ctx: CONTEXT) -> I32;
    io_submit(ctx_id: CONTEXT, nr: LONG, iocbpp: Array(In, &To(In, &Struct(&aio::IOCB)), Len::With(aio::submitted))) -> I32;
    io_cancel(ctx_id: CONTEXT, iocb: To(In, &Struct(&aio::CANCELLED)), result: aio::EVENT) -> I32;
    io_getevents(ctx_id: CONTEXT, min_nr: LONG, nr: LONG, events: aio::EVENTS, timeout: aio::TIMEOUT) -> I32;
    io_pgetevents(ctx_id: CONTEXT, min_nr: LONG, nr: LONG, events: aio::EVENTS, timeout: aio::TIMEOUT, usig: To(In, &Struct(&aio::SIGSET))) -> I32;

    io_uring_setup(entries: U32, params: PARAMS) -> FD;
    io_uring_enter(fd: FD, to_submit: U32, min_complete: U32, flags: flags(&ENTER_FLAGS), argp: WAIT_ARGUMENT, argsz: SIZE) -> I32;
    io_uring_register(fd: FD, opcode: one(&REGISTERS), arg: REGISTER_ARGUMENT, nr_args: U32) -> I32;

    /// linux/nsfs.h
    listns(req: To(In, &Struct(&NAMESPACES)), ns_ids: Array(Out, &U64, Len::Ret), nr_ns_ids: SIZE, flags: X32) -> SSIZE;

    init_module(umod: ADDRESS, len: ULONG, uargs: Text) -> I32;
    finit_module(fd: FD, uargs: Text, flags: flags(&modules::INIT_FLAGS)) -> I32;
    delete_module(name_user: Text, flags: flags(&modules::DELETE_FLAGS)) -> I32;
    create_module(name: ANY, size: ANY) -> LONG;
    query_module(name: ANY, which: ANY, buf: ANY, bufsize: ANY, ret: ANY) -> I32;
    get_kernel_syms(table: ANY) -> I32;
    kexec_load(entry: ADDRESS, nr_segments: ULONG, segments: modules::SEGMENTS, flags: Special(modules::kexec_flags, 0)) -> I32;
    kexec_file_load(kernel_fd: FD, initrd_fd: FD, cmdline_len: ULONG, cmdline_ptr: Bytes(In, Len::Arg(2), TEXT), flags: long_flags(&modules::FILE_FLAGS)) -> I32;

    add_key(_type: Text, _description: Text, _payload: Bytes(In, Len::Arg(3), TEXT), plen: SIZE, ringid: keys::SERIAL) -> keys::SERIAL;
    request_key(_type: Text, _description: Text, _callout_info: Text, destringid: keys::SERIAL) -> keys::SERIAL;
    keyctl by by_option (option: one(&keys::OPTIONS), arg2: ANY, arg3: ANY, arg4: ANY, arg5: ANY) -> I32;

    /// unimplemented(2)
    afs_syscall(arg1: ANY, arg2: ANY, arg3: ANY, arg4: ANY, arg5: ANY) -> LONG;
    tuxcall(arg1: ANY, arg2: ANY, arg3: ANY) -> LONG;
    security(arg1: ANY, arg2: ANY, arg3: ANY) -> LONG;
    vserver(arg1: ANY, arg2: ANY, arg3: ANY, arg4: ANY, arg5: ANY) -> LONG;
    putpmsg(arg1: ANY, arg2: ANY, arg3: ANY, arg4: ANY, arg5: ANY) -> LONG;
    getpmsg(arg1: ANY, arg2: ANY, arg3: ANY, arg4: ANY, arg5: ANY) -> LONG;
    /// Made by the kernel itself: probes of functions in user space. They take nothing.
    uretprobe() -> LONG;
    uprobe() -> LONG;
}
