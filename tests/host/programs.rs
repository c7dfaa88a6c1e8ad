//! Real programs run under pai-host as they do without, and their system calls
//! are those that strace reports.

mod common;

use common::{
    assert_same_calls, counts, finish, fixed, pai_host, status, stderr, stdout, strace, traced,
    untraced,
};
use pai_tests::{fixtures, guests};

/// Runs a command alone, under strace and under pai-host, alone and beside
/// other plugins; compares exit status, output and every call of every task.
#[track_caller]
fn same_as_strace(command: &[&str]) {
    let command = fixed(command);
    let alone = untraced(&command);
    let (_, theirs) = strace(&command);
    let noop = format!("{}", guests::NOOP);
    for others in [&[][..], &["count", &noop]] {
        let (output, ours) = traced(others, &command);
        assert_eq!(status(&output), status(&alone), "{}", stderr(&output));
        assert_eq!(steady(&output), steady(&alone));
        assert_eq!(stderr(&output), stderr(&alone));
        assert_same_calls(&ours, &theirs);
    }
}

/// Output without the line of `ls -l /` for the folder that all tests write to.
fn steady(output: &std::process::Output) -> String {
    let text = stdout(output);
    let lines = text.lines().filter(|line| !line.ends_with(" tmp"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn true_does_nothing() {
    same_as_strace(&["true"]);
}

#[test]
fn ls_lists() {
    same_as_strace(&["ls", "-l", "/"]);
}

#[test]
fn a_pipeline_of_a_shell() {
    same_as_strace(&["sh", "-c", "ls | wc -l"]);
}

#[test]
fn a_static_binary() {
    same_as_strace(&[fixtures::STATIC_HELLO]);
}

#[test]
fn a_caller_of_int_0x80() {
    same_as_strace(&[fixtures::INT80]);
    same_as_strace(&[fixtures::INT80_STATIC]);
}

#[test]
fn exit_codes_and_signals_are_passed_on() {
    for code in [0, 1, 42, 125, 126, 127, 255] {
        let output = finish(&mut pai_host(&[
            "run",
            "minimal",
            "--",
            fixtures::EXIT_CODE,
            &code.to_string(),
        ]));
        assert_eq!(status(&output), code, "{}", stderr(&output));
    }
    for signal in [1, 2, 6, 9, 11, 15] {
        let output = finish(&mut pai_host(&[
            "run",
            "minimal",
            "--",
            fixtures::EXIT_SIGNAL,
            &signal.to_string(),
        ]));
        assert_eq!(status(&output), -signal, "{}", stderr(&output));
    }
}

/// Where scheduling decides, the order is not compared, but how often each
/// call was made; `loose` names those that depend on it.
#[track_caller]
fn same_counts(command: &[&str], loose: &[&str]) {
    let command = fixed(command);
    let alone = untraced(&command);
    let (_, theirs) = strace(&command);
    let (output, ours) = traced(&["count"], &command);
    assert_eq!(status(&output), status(&alone), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&alone));
    let (mut ours, mut theirs) = (counts(&ours), counts(&theirs));
    for name in loose {
        ours.remove(name);
        theirs.remove(name);
    }
    assert_eq!(ours, theirs);
}

#[test]
fn python_with_threads_and_subprocesses() {
    let script = "import threading, subprocess\n\
                  ts = [threading.Thread(target=lambda: sum(range(1000))) for _ in range(4)]\n\
                  [t.start() for t in ts]\n\
                  [t.join() for t in ts]\n\
                  print(subprocess.run(['echo', 'hello'], capture_output=True).stdout)\n";
    // Who waits for the interpreter's lock, and whether a thread's stack is
    // reused, is up to the scheduler; poll ends early or not.
    let loose = [
        "futex",
        "mmap",
        "munmap",
        "mprotect",
        "madvise",
        "poll",
        "read",
        "sched_yield",
    ];
    same_counts(&["/usr/bin/python3", "-c", script], &loose);
}

#[test]
fn a_compiler_and_its_processes() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = dir.path().join("hello.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").expect("a source file");
    let object = dir.path().join("hello.o");
    let args = [
        "gcc",
        "-c",
        source.to_str().expect("a plain path"),
        "-o",
        object.to_str().expect("a plain path"),
    ];
    // A first run, so that every run finds the object in place.
    assert_eq!(status(&untraced(&fixed(&args))), 0);
    same_counts(&args, &[]);
}

#[test]
fn a_storm_of_signals() {
    // How often a signal interrupts a call is up to the scheduler; that no
    // data is lost is checked by the program itself.
    let command = fixed(&[fixtures::SIGNAL_STORM, "50"]);
    let alone = untraced(&command);
    let (output, _) = traced(&["count"], &command);
    assert_eq!(status(&output), status(&alone), "{}", stderr(&output));
    assert_eq!(stdout(&output), stdout(&alone));
}

#[test]
fn git_on_a_fresh_repository() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().to_str().expect("a plain path");
    assert_eq!(status(&untraced(&fixed(&["git", "init", "-q", path]))), 0);
    std::fs::write(dir.path().join("file"), "text\n").expect("a file");
    // The first status writes the index.
    assert_eq!(status(&untraced(&fixed(&["git", "-C", path, "status"]))), 0);
    same_counts(&["git", "-C", path, "status"], &[]);
}
