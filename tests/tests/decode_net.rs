//! Sockets and calls that wait for descriptors, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::{assert_alike, assert_same};

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

/// A line in which ids of objects, which are new in every run, are all the same.
fn without_ids(line: &str) -> Option<String> {
    let names = ["msg", "sem", "shm"];
    let Some((name, rest)) = line
        .split_once('(')
        .filter(|(name, _)| names.iter().any(|start| name.starts_with(start)))
    else {
        return Some(line.to_owned());
    };
    let of_number = |c: char| c.is_ascii_digit();
    if name.ends_with("get") {
        return Some(line.trim_end_matches(of_number).to_owned());
    }
    Some(format!("{name}(ID{}", rest.trim_start_matches(of_number)))
}

#[test]
fn calls_in_calls() {
    assert_alike(fixtures::DECODE_CALLS_32, &[], false, without_ids);
}

#[test]
fn calls_in_calls_with_everything() {
    assert_alike(fixtures::DECODE_CALLS_32, &[], true, without_ids);
}
