//! Calls on processes and signals, as strace shows them.

use std::path::Path;

use pai_syscalls::decode::Limits;
use pai_syscalls::decode::text::Style;
use pai_tests::fixtures;
use pai_tests::lines::{assert_same, of};

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
    of_i386, of_i386_with_everything: DECODE_PROCESS_32;
}

/// Without results, which depend on the kernel.
fn calls(program: &str, verbose: bool) -> Vec<String> {
    let style = Style {
        verbose,
        ..Style::default()
    };
    let lines = of(Path::new(program), &[], Limits::default(), style);
    let calls = lines
        .iter()
        .skip_while(|line| !line.starts_with("getpriority("));
    calls
        .skip(1)
        .map(|line| line.split(" = ").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn what_strace_does_not_know() {
    const LSM: [&str; 7] = [
        "lsm_get_self_attr(LSM_ATTR_CURRENT, NULL, [1], LSM_FLAG_SINGLE)",
        "lsm_get_self_attr(0x4d /* LSM_ATTR_??? */, 0xADDR, NULL, LSM_FLAG_SINGLE|0xfffffffe)",
        r#"lsm_set_self_attr(LSM_ATTR_EXEC, {id=LSM_ID_APPARMOR, flags=0, len=40, ctx_len=8, ctx="mode\0\0\0\0"}, 40, 0)"#,
        "lsm_set_self_attr(LSM_ATTR_EXEC, NULL, 40, 0x1)",
        "lsm_list_modules(NULL, [1], 0)",
        "lsm_list_modules(0xADDR, NULL, 0x5)",
        "rseq_slice_yield()",
    ];
    const LANDLOCK: [&str; 4] = [
        "landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_READ_FILE, \
         handled_access_net=LANDLOCK_ACCESS_NET_BIND_TCP|LANDLOCK_ACCESS_NET_CONNECT_TCP|0xfffffffffffffffc}, 16, 0)",
        "landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_READ_FILE, \
         handled_access_net=LANDLOCK_ACCESS_NET_BIND_TCP|LANDLOCK_ACCESS_NET_CONNECT_TCP|0xfffffffffffffffc, \
         scoped=LANDLOCK_SCOPE_SIGNAL}, 24, 0)",
        "landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_READ_FILE, \
         handled_access_net=LANDLOCK_ACCESS_NET_BIND_TCP|LANDLOCK_ACCESS_NET_CONNECT_TCP|0xfffffffffffffffc, \
         scoped=LANDLOCK_SCOPE_SIGNAL, ...}, 32, 0)",
        "landlock_add_rule(-1, LANDLOCK_RULE_NET_PORT, \
         {allowed_access=LANDLOCK_ACCESS_NET_BIND_TCP|LANDLOCK_ACCESS_NET_CONNECT_TCP, port=443}, 0)",
    ];
    assert_eq!(
        calls(fixtures::DECODE_LSM, true),
        [&LSM[..], &LANDLOCK, &["exit_group(0)"]].concat()
    );
}

/// The first versions of strace that know landlock know one field of its rules.
#[test]
fn what_is_newer_than_strace_in_a_structure() {
    let calls = calls(fixtures::DECODE_LSM, false);
    let rules: Vec<_> = calls
        .iter()
        .filter(|call| call.starts_with("landlock_create_ruleset("))
        .collect();
    let text = "landlock_create_ruleset({handled_access_fs=LANDLOCK_ACCESS_FS_READ_FILE, ...}, ";
    assert_eq!(rules.len(), 3);
    assert!(rules.iter().all(|call| call.starts_with(text)), "{rules:?}");
}
