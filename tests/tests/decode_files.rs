//! Calls on files, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

/// With and without everything (`strace -v`).
#[track_caller]
fn assert_both(fixture: &str) {
    assert_same(fixture, &[], false);
    assert_same(fixture, &[], true);
}

#[test]
fn files() {
    assert_both(fixtures::DECODE_FILES);
}

#[test]
fn opens_and_descriptors() {
    assert_both(fixtures::DECODE_OPEN);
}

#[test]
fn reads_and_writes() {
    assert_both(fixtures::DECODE_IO);
}

#[test]
fn what_files_are_like() {
    assert_both(fixtures::DECODE_STAT);
}

#[test]
fn names() {
    assert_both(fixtures::DECODE_NAMES);
}

#[test]
fn directories() {
    assert_both(fixtures::DECODE_DENTS);
}

#[test]
fn commands_of_fcntl() {
    assert_both(fixtures::DECODE_FCNTL);
}

#[test]
fn attributes_handles_and_watches() {
    assert_both(fixtures::DECODE_XATTR);
}

#[test]
fn mounts_and_quotas() {
    assert_both(fixtures::DECODE_MOUNTS);
}
