//! The same programs under the installed strace and under ours: lines that two runs of
//! strace agree on are the same in ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pai_tests::lines::{self, Change};

use crate::common::{PAI_HOST, finish, plain, status, stderr};

/// Of the lines that two runs of strace agree on, at least so many of 1000 are the same
/// in ours.
const FLOOR: usize = 970;

/// A program to run in a folder of its own: options of strace, what makes the folder,
/// the command.
struct Case {
    name: &'static str,
    options: &'static [&'static str],
    prepare: &'static str,
    command: &'static [&'static str],
}

const fn case(
    name: &'static str,
    options: &'static [&'static str],
    prepare: &'static str,
    command: &'static [&'static str],
) -> Case {
    Case {
        name,
        options,
        prepare,
        command,
    }
}

const TREE: &str = "mkdir -p a/b/c && for n in 1 2 3; do echo $n > a/b/file$n; done && \
                    ln -s file1 a/b/link && printf 'int main(void){return 0;}' > one.c";

const CASES: &[Case] = &[
    case("ls", &[], TREE, &["ls", "-lR", "."]),
    case("cp", &[], TREE, &["cp", "-a", "a", "copy"]),
    case("tar", &[], TREE, &["tar", "cf", "all.tar", "a"]),
    case("find", &[], TREE, &["find", ".", "-name", "file*"]),
    case("dd", &[], TREE, &["dd", "if=one.c", "of=two.c", "bs=5"]),
    case(
        "python3",
        &[],
        TREE,
        &[
            "/usr/bin/python3",
            "-c",
            "import os; print(os.listdir('a'))",
        ],
    ),
    case(
        "sh",
        &[],
        TREE,
        &["sh", "-c", "cat a/b/file1 | tr 1 2; (exit 3); true & wait"],
    ),
    case("gcc", &[], TREE, &["gcc", "-c", "one.c"]),
    case(
        "git",
        &[],
        "git init -q from && cd from && echo x > y && git add y && \
         git -c user.name=n -c user.email=e commit -qm m",
        &["git", "clone", "-q", "from", "to"],
    ),
    case(
        "sqlite3",
        &[],
        TREE,
        &[
            "sqlite3",
            "new.db",
            "create table t(a); insert into t values(1);",
        ],
    ),
    case(
        "ssh-keygen",
        &[],
        TREE,
        &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"],
    ),
    case("ip", &[], TREE, &["ip", "link"]),
    case(
        "mount",
        &[],
        "mkdir m",
        &["unshare", "-m", "mount", "-t", "tmpfs", "none", "m"],
    ),
    case("verbose", &["-v"], TREE, &["ls", "-l", "a/b"]),
    case("descriptors", &["-y"], TREE, &["cat", "a/b/file1"]),
    case(
        "details",
        &["-yy"],
        TREE,
        &["cat", "a/b/file1", "/dev/null"],
    ),
    case("files", &["-e", "trace=%file"], TREE, &["ls", "a"]),
    case("hexadecimal", &["-x", "-s", "64"], TREE, &["cat", "one.c"]),
    case("numbers", &["-X", "raw", "-n"], TREE, &["cat", "one.c"]),
    case(
        "names and numbers",
        &["-X", "verbose"],
        TREE,
        &["cat", "one.c"],
    ),
    case(
        "addresses",
        &["-e", "verbose=none"],
        TREE,
        &["ls", "-l", "a"],
    ),
    case("failures", &["-Z"], TREE, &["ls", "nothing"]),
];

/// A folder as it was before, and where everybody finds it.
fn prepare(folder: &Path, how: &str) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("our own");
    }
    fs::create_dir(folder).expect("a folder");
    let mut shell = Command::new("sh");
    plain(&mut shell);
    let made = finish(shell.args(["-c", how]).current_dir(folder));
    assert_eq!(status(&made), 0, "{how}: {}", stderr(&made));
}

fn run(case: &Case, folder: &Path, tracer: &[&str]) -> Vec<String> {
    prepare(folder, case.prepare);
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let (program, before) = tracer.split_first().expect("a tracer");
    let mut command = Command::new(program);
    plain(&mut command);
    command.args(before).args(["-f", "-a1"]).args(case.options);
    command.arg("-o").arg(log.path()).args(case.command);
    finish(command.current_dir(folder));
    let log = fs::read(log.path()).expect("a log");
    lines::from_log(&String::from_utf8_lossy(&log))
}

fn is_installed(program: &str) -> bool {
    let mut shell = Command::new("sh");
    plain(&mut shell);
    status(&finish(shell.args(["-c", "command -v \"$0\"", program]))) == 0
}

/// What is in both, in order.
fn agreed(one: &[String], other: &[String]) -> Vec<String> {
    let same = |change: &Change<'_>| match change {
        Change::Same(line) => Some((*line).to_owned()),
        Change::Ours(_) | Change::Theirs(_) => None,
    };
    lines::changes(one, other).iter().filter_map(same).collect()
}

#[test]
fn lines_are_straces() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let folder = base.path().join("work");
    let (mut all, mut same) = (0, 0);
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    let mut report = String::new();
    for case in CASES {
        if !is_installed(case.command[0]) {
            report.push_str(&format!("skip: {} is not installed\n", case.command[0]));
            continue;
        }
        let first = run(case, &folder, &["strace"]);
        let second = run(case, &folder, &["strace"]);
        let ours = run(case, &folder, &[PAI_HOST, "strace"]);
        let agreed = agreed(&first, &second);
        assert!(!agreed.is_empty(), "{}: strace shows nothing", case.name);
        let mut hits = 0;
        for change in lines::changes(&ours, &agreed) {
            match change {
                Change::Same(_) => hits += 1,
                Change::Theirs(line) => {
                    *missed.entry(line.to_owned()).or_default() += 1;
                    report.push_str(&format!("{}: - {line}\n", case.name));
                }
                Change::Ours(line) => report.push_str(&format!("{}: + {line}\n", case.name)),
            }
        }
        report.push_str(&format!("{}: {hits} of {}\n", case.name, agreed.len()));
        all += agreed.len();
        same += hits;
    }
    let share = same * 1000 / all;
    let words = format!("{same} of {all} lines, {}.{} %", share / 10, share % 10);
    // Shown with --nocapture, and when it fails.
    eprintln!("{report}{words}");
    assert!(share >= FLOOR, "{words}");
}
