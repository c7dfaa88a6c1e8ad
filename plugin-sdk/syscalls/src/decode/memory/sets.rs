//! Names in calls on memory (asm/mman.h, asm-generic/mman-common.h, linux/mman.h).

use crate::decode::schema::{Set, sets};

sets! {
    /// mmap(2)
    PROT "PROT_???" {
        PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8,
        PROT_GROWSDOWN = 0x0100_0000, PROT_GROWSUP = 0x0200_0000,
    }
    /// What kind of mapping the flags of mmap(2) ask for.
    MAP_TYPE "MAP_???" { MAP_FILE = 0, MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3 }
    /// Flags of mmap(2) on x86.
    MAP "MAP_???" first(0xf => MAP_TYPE) last(0xfc00_0000 => MAP_HUGE) {
        MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40, MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000, MAP_NONBLOCK = 0x1_0000, MAP_GROWSDOWN = 0x100,
        MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000,
        MAP_STACK = 0x2_0000, MAP_HUGETLB = 0x4_0000, MAP_SYNC = 0x8_0000,
        MAP_FIXED_NOREPLACE = 0x10_0000,
    }
    /// mremap(2)
    MREMAP "MREMAP_???" { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 }
    /// pkey_alloc(2), and PKEY_DISABLE_EXECUTE of other machines.
    PKEY "PKEY_???" {
        PKEY_DISABLE_ACCESS = 1, PKEY_DISABLE_WRITE = 2, PKEY_DISABLE_EXECUTE = 4,
    }
    /// madvise(2)
    ADVICE "MADV_???" {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3,
        MADV_DONTNEED = 4, MADV_FREE = 8, MADV_REMOVE = 9, MADV_DONTFORK = 10,
        MADV_DOFORK = 11, MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13, MADV_HUGEPAGE = 14,
        MADV_NOHUGEPAGE = 15, MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18,
        MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21, MADV_POPULATE_READ = 22,
        MADV_POPULATE_WRITE = 23, MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25,
        MADV_HWPOISON = 100, MADV_SOFT_OFFLINE = 101, MADV_GUARD_INSTALL = 102,
        MADV_GUARD_REMOVE = 103,
    }
    /// msync(2)
    MS "MS_???" { MS_SYNC = 4, MS_ASYNC = 1, MS_INVALIDATE = 2 }
    /// mlock2(2)
    MLOCK "MLOCK_???" { MLOCK_ONFAULT = 1 }
    /// mlockall(2)
    MCL "MCL_???" { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 }
    /// userfaultfd(2)
    USERFAULTFD "UFFD_???" {
        UFFD_USER_MODE_ONLY = 1, O_NONBLOCK = 0o4000, O_CLOEXEC = 0o200_0000,
    }
    /// map_shadow_stack(2) (asm/mman.h)
    SHADOW_STACK "SHADOW_STACK_???" { SHADOW_STACK_SET_TOKEN = 1, SHADOW_STACK_SET_MARKER = 2 }
}

/// Names of sizes of pages in flags: their exponents of 2, in the highest six bits
/// (MAP_HUGE_SHIFT in asm-generic/hugetlb_encode.h).
macro_rules! huge {
    ($shift:literal: $($exponent:literal)*) => {
        &[$(($exponent << 26, concat!($exponent, "<<", $shift))),*]
    };
}

macro_rules! exponents {
    ($shift:literal) => {
        huge!($shift:
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59
            60 61 62 63
        )
    };
}

/// The size of huge pages in the flags of mmap(2).
static MAP_HUGE: Set = Set {
    names: exponents!("MAP_HUGE_SHIFT"),
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "",
};

/// The size of huge pages in the flags of shmget(2).
pub(crate) static SHM_HUGE: Set = Set {
    names: exponents!("SHM_HUGE_SHIFT"),
    base: None,
    first: &[],
    last: &[],
    numbers: crate::decode::schema::Numbers::Hex,
    unknown: "",
};
