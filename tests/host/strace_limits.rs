//! How much is shown: what strace shows whole is shown whole here, or up to where it is
//! cut, and never nothing.

use pai_tests::{fixtures, lines};

use crate::common::{OURS, STRACE, finish, status, stderr, under};

/// The lines of a tracer over a command, as `-f` writes them.
fn log(tracer: &[&str], options: &[&str], command: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let mut run = under(tracer);
    let output = finish(
        run.args(["-f", "-a1", "-o", path])
            .args(options)
            .args(command),
    );
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let bytes = std::fs::read(file.path()).expect("a log");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn calls(tracer: &[&str], options: &[&str], command: &[&str]) -> Vec<String> {
    lines::from_log(&log(tracer, options, command))
}

/// The same in both.
#[track_caller]
fn assert_same(options: &[&str], command: &[&str]) {
    let [theirs, ours] = [STRACE, OURS].map(|tracer| calls(tracer, options, command));
    assert!(!theirs.is_empty(), "{options:?}: strace shows nothing");
    if ours != theirs {
        let changes = lines::compare(&ours, &theirs);
        panic!("{options:?}: + ours, - strace\n{}", changes.join("\n"));
    }
}

/// Writes so many bytes in one piece.
const DD: [&str; 5] = [
    "dd",
    "if=/dev/zero",
    "of=/dev/null",
    "count=1",
    "status=none",
];

#[test]
fn strings_may_be_as_long_as_anybody_says() {
    for limit in ["65536", "65537", "99999", "1048577", "99999999"] {
        let command = ["sh", "-c", "printf %02000d 7"];
        assert_same(&["-s", limit, "-e", "trace=write"], &command);
    }
    // More than is ever read: cut, as everything else that is too long.
    let command = [&DD[..], &["bs=1500000"]].concat();
    for options in [
        &["-s", "2147483647", "-e", "trace=write"][..],
        &["-v", "-s", "2147483647", "-e", "trace=write"],
    ] {
        let all = calls(OURS, options, &command);
        let line = all
            .iter()
            .find(|line| line.ends_with(", 1500000) = 1500000"));
        let line = line.expect("the write");
        assert!(line.contains("\"..., 1500000)"), "{}", &line[..80]);
        assert_eq!(line.matches("\\0").count(), 1 << 20);
    }
}

#[test]
fn buffers_are_cut_and_not_left_out() {
    for bytes in ["262144", "262145", "300000", "1000000"] {
        let size = format!("bs={bytes}");
        let command = [&DD[..], &[&size]].concat();
        assert_same(&["-v", "-s", "1048576", "-e", "trace=write"], &command);
    }
}

#[test]
fn arguments_are_cut_and_not_left_out() {
    let python = |count: u32, length: u32| {
        let args = format!("['x' * {length}] * {count}");
        format!("import os; os.execv('/bin/true', ['true'] + {args})")
    };
    let script = python(1100, 1);
    let many = ["/usr/bin/python3", "-I", "-S", "-c", &script];
    assert_same(&["-v", "-e", "trace=execve"], &many);
    let script = python(1000, 1000);
    let long = ["/usr/bin/python3", "-I", "-S", "-c", &script];
    assert_same(&["-v", "-s", "2000", "-e", "trace=execve"], &long);
    // More than there is room for: the rest is dots, behind a text that is cut, or is not
    // if the room ends there.
    let script = python(1500, 1000);
    let long = ["/usr/bin/python3", "-I", "-S", "-c", &script];
    let all = calls(OURS, &["-v", "-s", "2000", "-e", "trace=execve"], &long);
    let line = all.last().expect("an execve");
    assert!(
        line.contains("x\"..., ...], ") || line.contains("x\", ...], "),
        "{}",
        &line[line.len() - 200..]
    );
    assert!(line.matches('x').count() > 1 << 20);
    assert!(!line.contains(", 0xADDR, "), "a pointer");
}

#[test]
fn everything_of_some_calls_is_as_much_as_of_all() {
    for (fixture, name) in [
        (fixtures::DECODE_IO, "writev"),
        (fixtures::DECODE_IO, "preadv"),
        (fixtures::DECODE_MEMORY, "mincore"),
        (fixtures::DECODE_SEMAPHORES, "semop"),
        (fixtures::DECODE_IDS, "getgroups"),
    ] {
        let trace = format!("trace={name}");
        let with = |option: &[&str]| {
            let options = [option, &["-e", &trace]].concat();
            calls(OURS, &options, &[fixture])
        };
        let all = with(&["-v"]);
        assert!(!all.is_empty(), "{name}");
        assert_eq!(with(&["-e", "abbrev=none"]), all, "{name}");
        assert_eq!(with(&["-e", &format!("abbrev=!{name}")]), all, "{name}");
        // And of the others as before.
        assert_eq!(with(&["-e", "abbrev=!close"]), with(&[]), "{name}");
    }
    let brief = ["-e", "abbrev=!close", "-e", "trace=writev"];
    let all = calls(OURS, &brief, &[fixtures::DECODE_IO]);
    assert!(all.iter().any(|line| line.contains(", ...]")), "{all:?}");
}

#[test]
fn threads_are_told_behind_what_they_are_made_of() {
    let options = ["-e", "trace=clone3", "-e", "signal=none"];
    let script = "import threading\n\
                  for _ in range(20): t = threading.Thread(target=len, args=('',)); t.start(); \
                  t.join()";
    let command = ["/usr/bin/python3", "-I", "-S", "-c", script];
    let [theirs, ours] = [STRACE, OURS].map(|tracer| {
        let mut all = calls(tracer, &options, &command);
        // When a thread runs is chance, and so is its number.
        for line in &mut all {
            line.retain(|c| !c.is_ascii_digit());
            *line = line.replace("PID", "");
        }
        all
    });
    assert_eq!(theirs.len(), 20);
    let is_told = |line: &String| line.ends_with("} => {parent_tid=[]}, ) = ");
    assert!(theirs.iter().all(is_told), "{theirs:?}");
    assert_eq!(ours, theirs);
}

/// Dumps, and the calls that they are of.
fn dumps(tracer: &[&str], options: &[&str]) -> Vec<String> {
    let text = log(tracer, options, &[fixtures::DUMP_CALLS]);
    let call = |line: &str| {
        let name = line.split('(').next().unwrap_or_default();
        name.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .to_owned()
    };
    let lines = text.lines().map(|line| match line.starts_with(' ') {
        true => line.to_owned(),
        false => call(line),
    });
    lines.collect()
}

#[test]
fn what_is_read_and_written_is_dumped_as_by_strace() {
    for options in [
        &["-e", "read=all", "-e", "write=all"][..],
        &["-e", "read=3"],
        &["-e", "write=3"],
        &["-e", "read=!3", "-e", "write=!4"],
        &["-s", "0", "-e", "read=all", "-e", "write=all"],
        &["-e", "raw=all", "-e", "read=all", "-e", "write=all"],
    ] {
        let [theirs, ours] = [STRACE, OURS].map(|tracer| dumps(tracer, options));
        assert!(theirs.iter().any(|line| line.starts_with(" | ")));
        if ours != theirs {
            let changes = lines::compare(&ours, &theirs);
            let changes = &changes[..changes.len().min(40)];
            panic!("{options:?}: + ours, - strace\n{}", changes.join("\n"));
        }
    }
}

#[test]
fn a_dump_that_is_cut_says_so() {
    let command = [&DD[..], &["bs=1500000"]].concat();
    let text = log(OURS, &["-e", "trace=write", "-e", "write=all"], &command);
    let rows = text.lines().filter(|line| line.starts_with(" | ")).count();
    assert!(rows > (1 << 20) / 16, "{rows}");
    let cut = " * 1048577 of 1500000 bytes, no more is read";
    assert!(text.lines().any(|line| line == cut), "no word of a cut");
}
