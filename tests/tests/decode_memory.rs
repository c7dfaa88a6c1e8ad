//! Calls on memory, clocks, System V objects and the kernel as a whole, as strace shows
//! them.

use std::path::Path;

use pai_syscalls::decode::Limits;
use pai_syscalls::decode::text::Style;
use pai_tests::fixtures;
use pai_tests::lines::{self, assert_alike, assert_same};

macro_rules! same {
    ($($name:ident $verbose:ident = $fixture:ident $($args:expr)?;)*) => {$(
        #[test]
        fn $name() {
            assert_same(fixtures::$fixture, same!(@args $($args)?), false);
        }

        #[test]
        fn $verbose() {
            assert_same(fixtures::$fixture, &[], true);
        }
    )*};
    (@args) => { &[] };
    (@args $args:expr) => { $args };
}

same! {
    memory memory_with_everything = DECODE_MEMORY;
    policies policies_with_everything = DECODE_NUMA &["endless"];
    futexes futexes_with_everything = DECODE_FUTEX;
    times times_with_everything = DECODE_TIMES;
    timers timers_with_everything = DECODE_TIMERS;
    system system_with_everything = DECODE_SYSTEM;
    semaphores semaphores_with_everything = DECODE_SEMAPHORES;
    queues queues_with_everything = DECODE_QUEUES;
    shared_memory shared_memory_with_everything = DECODE_SHARED;
    posix_queues posix_queues_with_everything = DECODE_MQ;
}

/// A line without its digits; nothing of what a handler does.
fn shape(line: &str) -> Option<String> {
    if line.starts_with("rt_sigreturn(") {
        return None;
    }
    let mut shape = String::new();
    let mut rest = line.chars();
    while let Some(next) = rest.next() {
        match next {
            '0'..='9' => {
                if !shape.ends_with('#') {
                    shape.push('#');
                }
            }
            '\\' if rest.as_str().starts_with('x') => {
                shape.push_str("\\x#");
                rest.nth(2);
            }
            _ => shape.push(next),
        }
    }
    Some(shape)
}

#[test]
fn what_varies() {
    assert_alike(fixtures::DECODE_VARIES, &[], false, shape);
}

#[test]
fn what_varies_with_everything() {
    assert_alike(fixtures::DECODE_VARIES, &[], true, shape);
}

#[test]
fn what_strace_does_not_know() {
    let program = Path::new(fixtures::DECODE_NEWER);
    let lines = lines::of(program, &[], Limits::default(), Style::default());
    let calls: Vec<&str> = lines
        .iter()
        .skip_while(|line| !line.starts_with("getpriority("))
        .skip(1)
        .filter_map(|line| line.split(" = ").next())
        .collect();
    assert_eq!(
        calls,
        [
            "madvise(0x1, 0, MADV_GUARD_INSTALL)",
            "madvise(0x1, 0, MADV_GUARD_REMOVE)",
            "set_mempolicy(MPOL_WEIGHTED_INTERLEAVE, NULL, 0)",
            "map_shadow_stack(0x1, 4096, 0)",
            "map_shadow_stack(NULL, 18446744073709551615, \
             SHADOW_STACK_SET_TOKEN|SHADOW_STACK_SET_MARKER)",
            "map_shadow_stack(0x1, 0, 0x8 /* SHADOW_STACK_??? */)",
            "mseal(0x1, 4096, 0)",
            "mseal(0x1, 18446744073709551615, 0x1)",
            "futex_wake(0x10, 0xffffffff, 1, FUTEX2_SIZE_U32)",
            "futex_wake(0x10, 0xffffffffffffffff, -1, FUTEX2_SIZE_U32|FUTEX2_PRIVATE)",
            "futex_wake(NULL, 0, 0, \
             FUTEX2_SIZE_U64|FUTEX2_NUMA|FUTEX2_MPOL|FUTEX2_PRIVATE|0xffffff70)",
            "futex_wait(0x10, 0x7, 0xffffffff, FUTEX2_SIZE_U32, {tv_sec=0, tv_nsec=1000}, \
             CLOCK_MONOTONIC)",
            "futex_wait(0x10, 0xffffffffffffffff, 0, FUTEX2_SIZE_U8|FUTEX2_PRIVATE, NULL, \
             0x4d /* CLOCK_??? */)",
            "futex_wait(0x10, 0xffffffffffffffff, 0, FUTEX2_SIZE_U8|0x10, 0x11, CLOCK_REALTIME)",
            "futex_requeue([{val=0x1, uaddr=NULL, flags=FUTEX2_SIZE_U32}, {val=0, uaddr=0x20, \
             flags=FUTEX2_SIZE_U8|FUTEX2_NUMA|FUTEX2_PRIVATE, __reserved=0x1}], 0, 1, 2)",
            "futex_requeue([{val=0, uaddr=0x20, \
             flags=FUTEX2_SIZE_U8|FUTEX2_NUMA|FUTEX2_PRIVATE, __reserved=0x1}, \
             ... /* 0xADDR */], 0x1, -1, 0)",
            "futex_requeue(NULL, 0, 0, 0)",
            "futex_requeue(0x10, 0, 0, 0)",
            "exit_group(0)",
        ]
    );
}
