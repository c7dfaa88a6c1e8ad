//! What `-y` and `-yy` say of descriptors, in all calls of the fixtures `decode_*`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pai_tests::fixtures;

use crate::common::{OURS, STRACE};

use super::cases::Case;
use super::rules::{DESCRIPTORS, LINES, Rules};
use super::{Patterns, agreed, alike, patterns, places, run, without};

/// Numbers of the kernel's, which are different in every run.
static NUMBERS: LazyLock<Patterns> = LazyLock::new(|| {
    patterns(&[
        (r"\b([A-Za-z6-]+):\[\d+(\]|->|,)", "$1:[N$2"),
        (r"\b(UNIX[A-Z-]*:\[N->)\d+", "${1}N"),
        (r"((?:\d+\.){3}\d+|\[[0-9a-f:]*\]):\d+", "$1:PORT"),
    ])
});

/// What descriptors refer to. Other differences are those of like_strace.rs and of the tests
/// of each call.
fn is_about_descriptors(line: &str) -> bool {
    line.contains('<') || line.contains("fd")
}

/// The fixtures of calls, and that of what descriptors refer to.
fn programs() -> Vec<PathBuf> {
    let one = Path::new(fixtures::DESCRIPTOR_NAMES);
    let folder = one.parent().expect("a folder");
    let is_of_calls = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("decode_"))
    };
    let all = fs::read_dir(folder).expect("the fixtures");
    let all = all.map(|entry| entry.expect("an entry").path());
    let mut programs: Vec<PathBuf> = all.filter(is_of_calls).collect();
    programs.sort();
    assert!(programs.len() > 40, "{programs:?}");
    programs.push(one.to_owned());
    programs
}

#[test]
fn descriptors_are_straces() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let folder = base.path().join("work");
    let mut rules = Rules::read(&[LINES, DESCRIPTORS]);
    let (mut all, mut unexplained) = (0, String::new());
    let mut report = String::new();
    for program in programs() {
        for option in ["-y", "-yy"] {
            let program = program.to_str().expect("a plain path");
            let case = Case {
                name: program,
                options: &[option],
                prepare: "true",
                command: &[program],
            };
            let [first, ours, second] = [STRACE, OURS, STRACE].map(|tracer| {
                let lines = run(&case, &folder, 0, tracer);
                let lines = lines.iter().map(|line| without(line, &NUMBERS));
                lines.collect::<Vec<String>>()
            });
            let theirs = agreed(&first, &second);
            all += theirs
                .iter()
                .filter(|line| is_about_descriptors(line))
                .count();
            for (line, place) in theirs.iter().zip(places(&ours, &theirs)) {
                let Some(instead) = place else { continue };
                let likest = instead.iter().max_by_key(|ours| alike(ours, line));
                let likest = likest.copied().unwrap_or_default();
                if !is_about_descriptors(line) && !is_about_descriptors(likest) {
                    continue;
                }
                let text = format!("{program} {option}:\n    - {line}\n    + {likest}\n");
                report.push_str(&text);
                if !rules.cover(line, &instead) {
                    unexplained.push_str(&text);
                }
            }
        }
    }
    // Shown with --nocapture, and when it fails.
    eprintln!("{report}{}{all} lines", rules.report());
    assert!(unexplained.is_empty(), "no rule for\n{unexplained}");
    let unneeded = rules.idle_of(&DESCRIPTORS);
    assert!(unneeded.is_empty(), "not needed: {unneeded:?}");
    assert!(all > 1000, "{all} lines");
}
