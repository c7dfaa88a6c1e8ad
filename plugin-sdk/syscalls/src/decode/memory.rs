//! Memory: mappings, advice, policies, futexes.

pub(super) mod futex;
pub(super) mod policy;
pub(super) mod sets;

use super::schema::prelude::*;
use crate::abi;

pub(super) use sets::SHM_HUGE;
use sets::{ADVICE, MAP, MCL, MLOCK, MREMAP, MS, PKEY, PROT, SHADOW_STACK, USERFAULTFD};

/// mmap(2) on i386: one pointer to all.
fn mmap_by_abi(view: &View<'_>) -> Option<&'static Call> {
    (view.abi == abi::I386).then_some(OLD_MMAP.first()?)
}

structs! {
    /// `struct mmap_arg_struct` (arch/x86/kernel/sys_ia32.c).
    MMAP_ARGS "mmap_arg_struct" {
        addr: ADDRESS, len: ULONG, prot: long_flags(&PROT), flags: flags(&MAP), fd: FD,
        offset: XLONG,
    }
}

calls! { OLD_MMAP
    mmap(arg: To(In, &Struct(&MMAP_ARGS))) -> XLONG;
}

/// mmap2(2): the offset is in pages of 4096 bytes.
fn pages(view: &View<'_>) -> Value {
    Value::Hex((view.raw & 0xffff_ffff) << 12)
}

/// A new address is only read with both flags.
fn new_address(view: &View<'_>) -> &'static Type {
    const MAYMOVE_FIXED: u64 = 3;
    match view.arg(3) & MAYMOVE_FIXED {
        MAYMOVE_FIXED => &ADDRESS,
        _ => &Absent,
    }
}

/// One byte for each page, also for one of which only a part was asked for.
fn pages_of_range(view: &View<'_>) -> u64 {
    view.arg(1).div_ceil(4096)
}

calls! { CALLS
    brk(brk: ADDRESS) -> XLONG;
    mmap by mmap_by_abi (
        addr: ADDRESS, len: ULONG, prot: long_flags(&PROT), flags: flags(&MAP), fd: FD, off: XLONG,
    ) -> XLONG;
    mmap2(
        addr: ADDRESS, len: ULONG, prot: long_flags(&PROT), flags: flags(&MAP), fd: FD,
        pgoff: Special(pages, 0),
    ) -> XLONG;
    munmap(addr: ADDRESS, len: SIZE) -> I32;
    mremap(
        addr: ADDRESS, old_len: ULONG, new_len: ULONG, flags: long_flags(&MREMAP),
        new_addr: Pick(new_address, 0),
    ) -> XLONG;
    mprotect(start: ADDRESS, len: SIZE, prot: long_flags(&PROT)) -> I32;
    pkey_mprotect(start: ADDRESS, len: SIZE, prot: long_flags(&PROT), pkey: I32) -> I32;
    pkey_alloc(flags: XLONG, init_val: long_flags(&PKEY)) -> I32;
    pkey_free(pkey: I32) -> I32;
    madvise(start: ADDRESS, len_in: SIZE, behavior: one(&ADVICE)) -> I32;
    mincore(start: ADDRESS, len: SIZE, vec: Array(Out, &U8, Len::With(pages_of_range))) -> I32;
    msync(start: ADDRESS, len: SIZE, flags: flags(&MS)) -> I32;
    mlock(start: ADDRESS, len: SIZE) -> I32;
    mlock2(start: ADDRESS, len: SIZE, flags: flags(&MLOCK)) -> I32;
    munlock(start: ADDRESS, len: SIZE) -> I32;
    mlockall(flags: flags(&MCL)) -> I32;
    munlockall() -> I32;
    remap_file_pages(
        start: ADDRESS, size: ULONG, prot: long_flags(&PROT), pgoff: ULONG, flags: flags(&MAP),
    ) -> I32;
    userfaultfd(flags: flags(&USERFAULTFD)) -> FD;
    map_shadow_stack(addr: ADDRESS, size: ULONG, flags: flags(&SHADOW_STACK)) -> XLONG;
    mseal(start: ADDRESS, len: SIZE, flags: XLONG) -> I32;
}
