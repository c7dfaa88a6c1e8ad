//! Real programs run under pai-host as they do without, and their system calls
//! are those that strace reports.

use std::process::Output;

use crate::common::{
    Calls, PAI_HOST, assert_same_calls, company, counts, finish, fixed, pai_host, status, stderr,
    stdout, strace, traced, under, untraced,
};
use pai_tests::fixtures;

/// Runs a command alone, under strace and under pai-host, alone and beside
/// other plugins; compares exit status, output and every call of every task.
#[track_caller]
fn same_as_strace(command: &[&str]) {
    same_but(command, &[]);
}

/// Which child of a shell ends first, and whether its SIGCHLD comes before, in or
/// after the wait for it, is up to the scheduler.
const WAITING: [&str; 2] = ["wait4", "rt_sigreturn"];

/// The same without the calls of these names, which depend on the scheduler.
#[track_caller]
fn same_but(command: &[&str], loose: &[&str]) {
    let steady_calls = |mut calls: Calls| {
        for task in &mut calls {
            task.retain(|call| !loose.contains(&call.name.as_str()));
        }
        calls
    };
    let command = fixed(command);
    let alone = untraced(&command);
    let (_, theirs) = strace(&command);
    let theirs = steady_calls(theirs);
    for (others, said) in company() {
        let (output, ours) = traced(&others, &command);
        assert_eq!(status(&output), status(&alone), "{}", stderr(&output));
        assert_eq!(steady(&output), steady(&alone));
        assert_told(&output, &alone, said);
        assert_same_calls(&steady_calls(ours), &theirs);
    }
}

/// Standard error is the target's, and what the host said of a plugin.
#[track_caller]
fn assert_told(output: &Output, alone: &Output, said: &str) {
    let text = stderr(output);
    if said.is_empty() {
        assert_eq!(text, stderr(alone));
    } else {
        let at = text
            .find(said)
            .unwrap_or_else(|| panic!("{said:?} is not in: {text}"));
        let (before, rest) = text.split_at(at);
        let frames = |line: &&str| line.starts_with("    in ");
        let rest: String = rest
            .lines()
            .skip(1)
            .skip_while(frames)
            .map(|l| format!("{l}\n"))
            .collect();
        assert_eq!(format!("{before}{rest}"), stderr(alone));
    }
}

/// Output without the lines of `ls -l /` for what was made just now.
fn steady(output: &Output) -> String {
    let text = stdout(output);
    let new = |line: &&str| line.ends_with(" tmp") || line.ends_with(" proc");
    let lines = text.lines().filter(|line| !new(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn true_does_nothing() {
    same_as_strace(&["true"]);
}

#[test]
fn ls_lists() {
    // How many processes there are shows in the links of /proc, and in the width
    // of that column; and everybody writes to /tmp.
    let quiet = "mount -t tmpfs none /tmp && mount -t tmpfs none /proc && exec ls -l /";
    same_but(&["unshare", "-rm", "sh", "-c", quiet], &WAITING);
}

#[test]
fn a_pipeline_of_a_shell() {
    same_but(&["sh", "-c", "ls | wc -l"], &WAITING);
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
    let steady_counts = |calls: &Calls| {
        let mut counts = counts(calls);
        counts.retain(|name, _| !loose.contains(&name.as_str()));
        counts
    };
    let (_, theirs) = strace(&command);
    for (others, said) in company() {
        let (output, ours) = traced(&others, &command);
        assert_eq!(status(&output), status(&alone), "{}", stderr(&output));
        assert_eq!(stdout(&output), stdout(&alone));
        assert_told(&output, &alone, said);
        assert_eq!(steady_counts(&ours), steady_counts(&theirs));
    }
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
        // A thread may still be on its way out when the process ends.
        "exit",
        "rt_sigprocmask",
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
    // The C library draws again when a random number is of no use for the name
    // of a temporary file, which happens with four in a hundred.
    same_counts(&args, &["getrandom"]);
}

#[test]
fn a_storm_of_signals() {
    // Signals that are sent while one is pending merge, so how many handlers
    // return is up to the scheduler, and so is who waits for the mutex or starts
    // a call over. That no data is lost is checked by the program itself.
    let loose = [
        "rt_sigreturn",
        "futex",
        "read",
        "write",
        "tgkill",
        "getpid",
        "mmap",
        "mprotect",
        "munmap",
        "madvise",
    ];
    same_counts(&[fixtures::SIGNAL_STORM, "50"], &loose);
}

/// What is closed when pai-host starts is closed in the target: its exit code has a bit
/// for each of the three that it has, and counts the others.
#[test]
fn standard_descriptors_that_are_closed_stay_closed() {
    let has = "import os
has = 8 * sum(int(fd) > 2 for fd in os.listdir('/proc/self/fd'))
for fd in range(3):
    try:
        os.fstat(fd)
        has |= 1 << fd
    except OSError:
        pass
os._exit(has)
";
    let targets: [&[&str]; 3] = [&["ls", "/"], &["cat"], &["python3", "-I", "-S", "-c", has]];
    let tracer = [PAI_HOST, "run", "-o", "/dev/null", "-t", "count", "--"];
    for closed in ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        for target in targets {
            let run = |tracer: &[&str]| {
                let mut command = under(&["sh", "-c"]);
                command.arg(format!("exec \"$0\" \"$@\" {closed}"));
                command.args(tracer).args(target);
                finish(&mut command)
            };
            let (ours, native) = (run(&tracer), run(&[]));
            let text = stderr(&ours);
            assert_eq!(
                status(&ours),
                status(&native),
                "{target:?} {closed}: {text}"
            );
            assert_eq!(ours.stdout, native.stdout, "{target:?} {closed}: {text}");
            assert_eq!(text, stderr(&native), "{target:?} {closed}");
        }
    }
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
