//! Every call in other forms: numbers for names, everything of what is long, and what is read
//! and written.

use pai_tests::fixtures;

use super::cases::Case;
use super::rules::{Of, Rules};
use super::{agreed, alike, places, run};
use crate::common::{OURS, STRACE};

/// Programs that make calls in all their forms, but for one whose arguments differ each time.
const PROGRAMS: &[&[&str]] = &[
    &[fixtures::DECODE_AIO],
    &[fixtures::DECODE_BPF],
    &[fixtures::DECODE_CALLS_32],
    &[fixtures::DECODE_FCNTL],
    &[fixtures::DECODE_FDCWD],
    &[fixtures::DECODE_FILES],
    &[fixtures::DECODE_FILES_32],
    &[fixtures::DECODE_FILES_NEW],
    &[fixtures::DECODE_FUTEX],
    &[fixtures::DECODE_IDS],
    &[fixtures::DECODE_IO],
    &[fixtures::DECODE_IOCTL_FILES],
    &[fixtures::DECODE_IOCTL_KERNEL],
    &[fixtures::DECODE_IOCTL_SOCKETS],
    &[fixtures::DECODE_IOCTL_TERMINALS],
    &[fixtures::DECODE_IO_URING],
    &[fixtures::DECODE_KEYS],
    &[fixtures::DECODE_LSM],
    &[fixtures::DECODE_MEMORY],
    &[fixtures::DECODE_MESSAGES],
    &[fixtures::DECODE_MODULES],
    &[fixtures::DECODE_MOUNTS],
    &[fixtures::DECODE_MQ],
    &[fixtures::DECODE_NAMES],
    &[fixtures::DECODE_NETLINK],
    &[fixtures::DECODE_NEWER],
    &[fixtures::DECODE_OPEN],
    &[fixtures::DECODE_PERF],
    &[fixtures::DECODE_POLLS],
    &[fixtures::DECODE_PRCTL],
    &[fixtures::DECODE_PROCESS],
    &[fixtures::DECODE_PROCESS_32],
    &[fixtures::DECODE_PROTECTED],
    &[fixtures::DECODE_PTRACE],
    &[fixtures::DECODE_QUEUES],
    &[fixtures::DECODE_SCHED],
    &[fixtures::DECODE_SECCOMP],
    &[fixtures::DECODE_SEMAPHORES],
    &[fixtures::DECODE_SHARED],
    &[fixtures::DECODE_SIGNALS],
    &[fixtures::DECODE_SOCKETS],
    &[fixtures::DECODE_SOCKOPTS],
    &[fixtures::DECODE_STAT],
    &[fixtures::DECODE_SYSTEM],
    &[fixtures::DECODE_TIMERS],
    &[fixtures::DECODE_TIMES],
    &[fixtures::DECODE_XATTR],
];

const FORMS: &[&[&str]] = &[
    &["-X", "raw"],
    &["-X", "verbose"],
    &["-e", "abbrev=none"],
    &["-e", "read=all", "-e", "write=all"],
];

#[test]
fn other_forms_are_straces() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let folder = base.path().join("work");
    let mut rules = Rules::read(Of::Forms);
    let (mut all, mut unexplained) = (0, String::new());
    for (options, command) in FORMS
        .iter()
        .flat_map(|of| PROGRAMS.iter().map(move |on| (of, on)))
    {
        let case = Case {
            name: "",
            options,
            prepare: "true",
            command,
        };
        let [first, ours, second] =
            [STRACE, OURS, STRACE].map(|tracer| run(&case, &folder, 0, tracer));
        let theirs = agreed(&first, &second);
        assert!(!theirs.is_empty(), "{command:?}: strace shows nothing");
        all += theirs.len();
        for (line, place) in theirs.iter().zip(places(&ours, &theirs)) {
            let Some(instead) = place else {
                continue;
            };
            if !rules.cover(line, &instead) {
                let likest = instead.iter().max_by_key(|ours| alike(ours, line));
                let likest = likest.copied().unwrap_or_default();
                let name = command[0].rsplit('/').next().unwrap_or_default();
                let options = options.join(" ");
                unexplained.push_str(&format!("{name} {options}: - {line}\n    + {likest}\n"));
            }
        }
    }
    eprintln!("{}{all} lines", rules.report());
    let count = unexplained.lines().count() / 2;
    assert!(
        unexplained.is_empty(),
        "{count} without a rule:\n{unexplained}"
    );
    assert!(rules.idle().is_empty(), "not needed: {:?}", rules.idle());
}
