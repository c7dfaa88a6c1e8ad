//! Calls with languages of their own, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

#[test]
fn aio() {
    assert_same(fixtures::DECODE_AIO, &[], false);
    assert_same(fixtures::DECODE_AIO, &[], true);
}

#[test]
fn io_uring() {
    assert_same(fixtures::DECODE_IO_URING, &[], false);
    assert_same(fixtures::DECODE_IO_URING, &[], true);
}

#[test]
fn keys() {
    assert_same(fixtures::DECODE_KEYS, &[], false);
    assert_same(fixtures::DECODE_KEYS, &[], true);
}

#[test]
fn modules() {
    assert_same(fixtures::DECODE_MODULES, &[], false);
    assert_same(fixtures::DECODE_MODULES, &[], true);
}

#[test]
fn perf_events() {
    assert_same(fixtures::DECODE_PERF, &[], false);
    assert_same(fixtures::DECODE_PERF, &[], true);
}

#[test]
fn bpf() {
    assert_same(fixtures::DECODE_BPF, &[], false);
    assert_same(fixtures::DECODE_BPF, &[], true);
}
