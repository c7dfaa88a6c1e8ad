//! The tables as a whole, through the public functions.

use crate::{abi, argument_count, name, names, number};

const ABIS: [u32; 3] = [abi::X86_64, abi::I386, abi::AARCH64];

#[test]
fn every_call_is_present() {
    for (abi, expected) in [(abi::X86_64, 385), (abi::I386, 461), (abi::AARCH64, 327)] {
        assert_eq!(names(abi).count(), expected, "{:?}", abi::name(abi));
    }
    assert_eq!(names(0).count(), 0);
}

#[test]
fn names_and_numbers_agree() {
    for abi in ABIS {
        for (number, name) in names(abi) {
            assert_eq!(super::name(abi, number), Some(name));
            assert_eq!(super::number(abi, name), Some(number));
        }
    }
}

#[test]
fn names_come_in_number_order() {
    for abi in ABIS {
        assert!(names(abi).is_sorted_by(|(before, _), (after, _)| before < after));
    }
}

#[test]
fn well_known_numbers() {
    for (call, numbers) in [
        ("read", [Some(0), Some(3), Some(63)]),
        ("openat", [Some(257), Some(295), Some(56)]),
        ("execve", [Some(59), Some(11), Some(221)]),
        ("exit_group", [Some(231), Some(252), Some(94)]),
        ("open", [Some(2), Some(5), None]),
        ("socketcall", [None, Some(102), None]),
        ("clone3", [Some(435), Some(435), Some(435)]),
    ] {
        for (abi, expected) in ABIS.into_iter().zip(numbers) {
            assert_eq!(number(abi, call), expected, "{call} {:?}", abi::name(abi));
        }
    }
    assert_eq!(name(abi::X86_64, 334), Some("rseq"));
    assert_eq!(name(abi::I386, 0), Some("restart_syscall"));
    assert_eq!(name(abi::AARCH64, 0), Some("io_setup"));
}

#[test]
fn unassigned_and_hostile_numbers_are_none() {
    for hole in [337, 400, 423] {
        assert_eq!(name(abi::X86_64, hole), None);
        assert_eq!(argument_count(abi::X86_64, hole), None);
    }
    assert_eq!(name(abi::I386, 222), None);
    assert_eq!(name(abi::AARCH64, 244), None);
    const X32: u32 = 1 << 30;
    for abi in ABIS {
        for number in [
            472,
            512,
            547,
            X32,
            X32 | 1,
            X32 | 520,
            i32::MAX as u32,
            u32::MAX,
        ] {
            assert_eq!(name(abi, number), None, "{number}");
            assert_eq!(argument_count(abi, number), None, "{number}");
        }
    }
}

#[test]
fn unknown_names_are_none() {
    for abi in ABIS {
        for unknown in ["", "Read", "read ", "fstatat", "zzz", "\0", "é"] {
            assert_eq!(number(abi, unknown), None, "{unknown}");
        }
    }
}

#[test]
fn unknown_abis_have_nothing() {
    for abi in [0, 0x4000_0028, u32::MAX] {
        assert_eq!(abi::name(abi), None);
        assert_eq!(name(abi, 0), None);
        assert_eq!(number(abi, "read"), None);
        assert_eq!(argument_count(abi, 0), None);
    }
    assert_eq!(
        ABIS.map(abi::name),
        [Some("x86_64"), Some("i386"), Some("aarch64")]
    );
}

fn arguments(abi: u32, call: &str) -> Option<u8> {
    argument_count(abi, number(abi, call).expect(call))
}

#[test]
fn argument_counts_where_all_abis_agree() {
    for (call, expected) in [
        ("getpid", 0),
        ("close", 1),
        ("read", 3),
        ("openat", 4),
        ("clone", 5),
        ("futex", 6),
        ("finit_module", 3),
        ("kexec_load", 4),
        ("statx", 5),
    ] {
        for abi in ABIS {
            assert_eq!(arguments(abi, call), Some(expected), "{call}");
        }
    }
}

#[test]
fn argument_counts_that_differ_on_i386() {
    for (call, on_x86_64, on_i386) in [
        ("mmap", 6, 1),
        ("select", 5, 1),
        ("pread64", 4, 5),
        ("pwrite64", 4, 5),
        ("readahead", 3, 4),
        ("fadvise64", 4, 5),
        ("sync_file_range", 4, 6),
        ("fallocate", 4, 6),
        ("fanotify_mark", 5, 6),
        ("lookup_dcookie", 3, 4),
        ("preadv", 5, 5),
        ("truncate", 2, 2),
    ] {
        assert_eq!(arguments(abi::X86_64, call), Some(on_x86_64), "{call}");
        assert_eq!(arguments(abi::I386, call), Some(on_i386), "{call}");
    }
    for (call, expected) in [
        ("mmap2", 6),
        ("_newselect", 5),
        ("truncate64", 3),
        ("ftruncate64", 3),
        ("fadvise64_64", 6),
        ("socketcall", 2),
        ("ipc", 6),
        ("_llseek", 5),
        ("statfs64", 3),
        ("fstatat64", 4),
        ("sigsuspend", 3),
        ("clock_gettime64", 2),
        ("futex_time64", 6),
        ("chown32", 3),
        ("waitpid", 3),
    ] {
        assert_eq!(arguments(abi::I386, call), Some(expected), "{call}");
    }
}

#[test]
fn argument_counts_are_possible() {
    for abi in ABIS {
        for (number, name) in names(abi) {
            assert!(
                argument_count(abi, number).is_none_or(|count| count <= 6),
                "{name}"
            );
        }
    }
}

#[test]
fn only_unimplemented_calls_have_no_argument_count() {
    for (abi, expected) in [(abi::X86_64, 8), (abi::I386, 13), (abi::AARCH64, 0)] {
        let unknown = names(abi).filter(|&(number, _)| argument_count(abi, number).is_none());
        assert_eq!(unknown.count(), expected);
    }
}
