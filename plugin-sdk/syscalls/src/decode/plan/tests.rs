//! Which descriptors are looked up, and when.

use std::vec::Vec;

use super::*;
use crate::abi::X86_64;
use crate::decode::captured;
use crate::decode::index;

const NONE: [i32; 0] = [];

/// At the entry, or with a result.
fn descriptors(name: &str, args: &[u64], ret: Option<i64>, known: &[u8]) -> Vec<i32> {
    let mut registers = [0; 6];
    registers[..args.len()].copy_from_slice(args);
    let call = index::find(name).expect("a call");
    let mut out = Mentioned::default();
    let known = Captured::decode(known);
    mentioned(
        call,
        X86_64,
        registers,
        ret,
        Limits::default(),
        &known,
        &mut out,
    );
    out.descriptors
}

#[test]
fn what_goes_in_is_looked_up_at_the_entry_and_results_at_the_exit() {
    assert_eq!(descriptors("dup2", &[3, 1], None, &[]), [3, 1]);
    assert_eq!(descriptors("dup2", &[3, 1], Some(1), &[]), [1]);
    assert_eq!(descriptors("dup2", &[3, 1], Some(-9), &[]), NONE);
    assert_eq!(descriptors("read", &[3, 0x1000, 8], None, &[]), [3]);
    assert_eq!(descriptors("read", &[3, 0x1000, 8], Some(8), &[]), NONE);
    // Of a structure each part when it was there.
    let mut known = Vec::new();
    captured::encode(&mut known, When::Exit, 0x1000, &[5, 0, 0, 0]);
    let clone = [0x1000, 0, 0x1000];
    assert_eq!(descriptors("clone", &clone, None, &known), NONE);
    assert_eq!(descriptors("clone", &clone, Some(77), &known), [5]);
}

#[test]
fn those_of_other_processes_are_not_looked_up() {
    assert_eq!(descriptors("pidfd_getfd", &[3, 4, 0], None, &[]), [3]);
    assert_eq!(descriptors("kcmp", &[1, 2, 0, 3, 4], None, &[]), NONE);
    const SECCOMP_IOCTL_NOTIF_ADDFD: u64 = 0x4018_2103;
    let add = [3, SECCOMP_IOCTL_NOTIF_ADDFD, 0x1000];
    let mut known = Vec::new();
    let of = [[9, 0], [0, 6], [7, 0]].concat();
    let bytes: Vec<u8> = of
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect();
    captured::encode(&mut known, When::Enter, 0x1000, &bytes);
    assert_eq!(descriptors("ioctl", &add, None, &known), [3, 6]);
    assert_eq!(descriptors("ioctl", &add, Some(8), &known), NONE);
}

#[test]
fn sets_are_looked_up_and_not_without_end() {
    let mut known = Vec::new();
    captured::encode(
        &mut known,
        When::Enter,
        0x1000,
        &[0b100_1000, 1, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(
        descriptors("select", &[20, 0x1000], None, &known),
        [3, 6, 8]
    );
    assert_eq!(descriptors("select", &[20, 0x1000], Some(1), &known), NONE);
    known.clear();
    captured::encode(&mut known, When::Enter, 0x1000, &[0xff; 4096]);
    let all = descriptors("select", &[32768, 0x1000], None, &known);
    assert_eq!(all.len(), MAX_MENTIONED);
}
