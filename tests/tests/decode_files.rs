//! Calls on files, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

#[test]
fn files() {
    assert_same(fixtures::DECODE_FILES, &[], false);
}

#[test]
fn files_with_everything() {
    assert_same(fixtures::DECODE_FILES, &[], true);
}
