//! Sockets and calls that wait for descriptors, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

#[test]
fn polls() {
    assert_same(fixtures::DECODE_POLLS, &[], false);
}

#[test]
fn polls_with_everything() {
    assert_same(fixtures::DECODE_POLLS, &[], true);
}
