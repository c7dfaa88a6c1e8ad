//! Modules and kernels (init_module(2), delete_module(2), kexec_load(2), linux/module.h,
//! linux/kexec.h).

use crate::decode::schema::{prelude::*, sets};

sets! {
    INIT_FLAGS "MODULE_INIT_???" {
        MODULE_INIT_IGNORE_MODVERSIONS = 1, MODULE_INIT_IGNORE_VERMAGIC = 2,
        MODULE_INIT_COMPRESSED_FILE = 4,
    }
    DELETE_FLAGS "O_???" { O_NONBLOCK = 0o4000, O_TRUNC = 0o1000 }
    FILE_FLAGS "KEXEC_FILE_???" {
        KEXEC_FILE_UNLOAD = 1, KEXEC_FILE_ON_CRASH = 2, KEXEC_FILE_NO_INITRAMFS = 4,
    }
    KEXEC_FLAGS "KEXEC_???" { KEXEC_ON_CRASH = 1, KEXEC_PRESERVE_CONTEXT = 2 }
    /// Numbers of ELF machines.
    KEXEC_ARCHITECTURES "KEXEC_ARCH_???" {
        KEXEC_ARCH_DEFAULT = 0, KEXEC_ARCH_386 = 3 << 16, KEXEC_ARCH_68K = 4 << 16,
        KEXEC_ARCH_PARISC = 15 << 16, KEXEC_ARCH_X86_64 = 62 << 16, KEXEC_ARCH_PPC = 20 << 16,
        KEXEC_ARCH_PPC64 = 21 << 16, KEXEC_ARCH_IA_64 = 50 << 16, KEXEC_ARCH_ARM = 40 << 16,
        KEXEC_ARCH_S390 = 22 << 16, KEXEC_ARCH_SH = 42 << 16, KEXEC_ARCH_MIPS_LE = 10 << 16,
        KEXEC_ARCH_MIPS = 8 << 16, KEXEC_ARCH_AARCH64 = 183 << 16,
        KEXEC_ARCH_RISCV = 243 << 16,
    }
}

structs! {
    SEGMENT "kexec_segment" { buf: ADDRESS, bufsz: SIZE, mem: ADDRESS, memsz: SIZE }
}

/// More than the kernel takes (KEXEC_SEGMENT_MAX) are not looked at.
pub(super) const SEGMENTS: Type = Pick(
    |view| match view.arg(1) {
        0..=16 => const { &Array(In, &Struct(&SEGMENT), Len::Arg(1)) },
        _ => &ADDRESS,
    },
    0,
);

/// The machine, and flags.
pub(super) fn kexec_flags(view: &View<'_>) -> Value {
    const MACHINE: u64 = 0xffff_0000;
    let mut parts = alloc::vec::Vec::new();
    parts.push(Value::One(view.raw & MACHINE, &KEXEC_ARCHITECTURES));
    let rest = view.raw & !MACHINE;
    if rest != 0 {
        parts.push(Value::Flags(rest, &KEXEC_FLAGS));
    }
    Value::Parts(view.raw, parts)
}
