//! ioctl(2) by request, as strace shows it.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

#[test]
fn terminals() {
    assert_same(fixtures::DECODE_IOCTL_TERMINALS, &[], false);
}

#[test]
fn terminals_with_everything() {
    assert_same(fixtures::DECODE_IOCTL_TERMINALS, &[], true);
}

#[test]
fn sockets() {
    assert_same(fixtures::DECODE_IOCTL_SOCKETS, &[], false);
}

#[test]
fn sockets_with_everything() {
    assert_same(fixtures::DECODE_IOCTL_SOCKETS, &[], true);
}

#[test]
fn files() {
    let program = fixtures::DECODE_IOCTL_FILES;
    assert_same(program, &[program], false);
}

#[test]
fn files_with_everything() {
    let program = fixtures::DECODE_IOCTL_FILES;
    assert_same(program, &[program], true);
}

#[test]
fn kernel() {
    assert_same(fixtures::DECODE_IOCTL_KERNEL, &[], false);
}

#[test]
fn kernel_with_everything() {
    assert_same(fixtures::DECODE_IOCTL_KERNEL, &[], true);
}
