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

#[test]
fn sockets() {
    assert_same(fixtures::DECODE_SOCKETS, &[], false);
}

#[test]
fn sockets_with_everything() {
    assert_same(fixtures::DECODE_SOCKETS, &[], true);
}

#[test]
fn sockopts() {
    assert_same(fixtures::DECODE_SOCKOPTS, &[], false);
}

#[test]
fn sockopts_with_everything() {
    assert_same(fixtures::DECODE_SOCKOPTS, &[], true);
}

#[test]
fn messages() {
    assert_same(fixtures::DECODE_MESSAGES, &[], false);
}

#[test]
fn messages_with_everything() {
    assert_same(fixtures::DECODE_MESSAGES, &[], true);
}

#[test]
fn netlink() {
    assert_same(fixtures::DECODE_NETLINK, &[], false);
}

#[test]
fn netlink_with_everything() {
    assert_same(fixtures::DECODE_NETLINK, &[], true);
}
