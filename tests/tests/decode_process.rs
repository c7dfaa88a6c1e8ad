//! Calls on processes and signals, as strace shows them.

use pai_tests::fixtures;
use pai_tests::lines::assert_same;

macro_rules! same {
    ($($name:ident, $whole:ident: $fixture:ident;)*) => {$(
        #[test]
        fn $name() {
            assert_same(fixtures::$fixture, &[], false);
        }

        #[test]
        fn $whole() {
            assert_same(fixtures::$fixture, &[], true);
        }
    )*};
}

same! {
    processes, processes_with_everything: DECODE_PROCESS;
    ids, ids_with_everything: DECODE_IDS;
    prctl, prctl_with_everything: DECODE_PRCTL;
    ptrace, ptrace_with_everything: DECODE_PTRACE;
    scheduling, scheduling_with_everything: DECODE_SCHED;
    confinement, confinement_with_everything: DECODE_SECCOMP;
    signals, signals_with_everything: DECODE_SIGNALS;
}
