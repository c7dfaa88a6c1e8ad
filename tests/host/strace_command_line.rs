//! Command lines of strace(1): what is taken and what is refused, and options in their
//! long forms; under the installed strace and under ours.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pai_tests::fixtures;

use crate::common::{OURS, STRACE, plain, status, stderr, stdout};
use crate::strace_options::{log, traced};

/// The same lines, with a zero for each digit: times and ids are not the same.
#[track_caller]
fn assert_same_shape(options: &[&str], command: &[&str]) {
    let [theirs, ours] = [STRACE, OURS].map(|tracer| {
        let text = log(tracer, options, command);
        text.replace(|c: char| c.is_ascii_digit(), "0")
    });
    assert!(!theirs.is_empty(), "{options:?}");
    assert_eq!(ours, theirs, "{options:?}");
}

#[test]
fn times_have_formats_and_precisions() {
    for options in [
        &["-r", "-t"][..],
        &["-rtt"],
        &["-t", "-tt", "-r"],
        &["-r", "-T"],
        &["-tttt"],
        &["--relative-timestamps"],
        &["--relative-timestamps=s"],
        &["--relative-timestamps=ms", "-t"],
        &["--relative-timestamps=ns"],
        &["-r", "--relative-timestamps=s"],
        &["--absolute-timestamps"],
        &["--absolute-timestamps="],
        &["--absolute-timestamps=ns"],
        &["--absolute-timestamps=unix", "-r"],
        &["--absolute-timestamps=format:unix,precision:ms"],
        &["--absolute-timestamps=precision:us,format:time"],
        &["--absolute-timestamps=ms,s"],
        &["--absolute-timestamps=none,us"],
        &["--absolute-timestamps", "--absolute-timestamps"],
        &["--timestamps=unix,ns"],
        &["--syscall-times"],
        &["--syscall-times=s"],
        &["--syscall-times=ms"],
        &["--syscall-times=ns"],
        &["-T", "--syscall-times=ns"],
        &["-TT"],
    ] {
        let options = [&["-e", "trace=umask,exit_group", "-a1"], options].concat();
        assert_same_shape(&options, &["sh", "-c", "umask 022; exit 3"]);
    }
}

#[test]
fn command_lines_are_taken_and_refused_as_by_strace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("log");
    let file = file.to_str().expect("a plain path");
    for (options, is_taken) in [
        (&["--timestamps=foo"][..], false),
        (&["--timestamps=format:ns"], false),
        (&["--syscall-times="], false),
        (&["--syscall-times=x"], false),
        (&["--relative-timestamps=m"], false),
        (&["-t", "--absolute-timestamps=ns"], false),
        (&["--absolute-timestamps", "-tt"], false),
        (&["-r=ns"], false),
        (&["-I", "5"], false),
        (&["-I", "0"], false),
        (&["-I", "4"], true),
        (&["-I1"], true),
        (&["--interruptible=anywhere"], true),
        (&["-q=all"], false),
        (&["--quiet=all"], true),
        (&["-y=path"], false),
        (&["-x=all"], false),
        (&["-cC"], false),
        (&["-C", "-c"], false),
        (&["-ccc"], true),
        (&["-CC"], true),
        (&["-iinnkk"], true),
        (&["-s", "3", "-s", "4"], true),
        (&["-O", "0.1"], true),
        (&["-c", "-O", "1.5us"], true),
        (&["-c", "-O", "1h"], false),
        (&["-c", "-O", "inf"], false),
        (&["-c", "-O", "-1"], false),
        (&["-w"], false),
        (&["-cw"], true),
        (&["-F"], true),
        (&["--tips=none"], true),
        (&["--tips=x"], false),
        (&["-p", "x"], false),
        (&["-e", "trace=getpid@16"], false),
        (&["-e", "trace=waitpid@64"], false),
        (&["-e", "trace=?waitpid@64"], true),
        (&["-e", "trace=none@32"], false),
    ] {
        let options = [&["-o", file], options].concat();
        for tracer in [STRACE, OURS] {
            let output = traced(tracer, &options, &["sh", "-c", "echo ran; exit 3"]);
            let ran = (status(&output), stdout(&output) == "ran\n");
            let text = stderr(&output);
            let as_said = (ran == (3, true)) == is_taken;
            assert!(as_said, "{tracer:?} {options:?}: {text}");
            assert!(is_taken || !ran.1, "{options:?}: {text}");
            assert!(is_taken || !text.is_empty(), "{options:?}");
        }
    }
}

#[test]
fn what_is_refused_says_why() {
    for (option, why) in [
        (
            "--timestamps=foo",
            "\"foo\" is neither a format (none, time, unix)",
        ),
        ("-cC", "-c and -C: one of them"),
        ("-w", "-w is about the table of -c or -C"),
        ("--tips", "--tips=random: there are none"),
        ("-p12 x", "\"x\" is not the number of a process"),
        (
            "-etrace=read@8",
            "\"8\" behind the @ is none of 64, 32, x32",
        ),
    ] {
        let output = traced(OURS, &[option], &["echo", "ran"]);
        assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}

#[test]
fn the_version_is_told_and_nothing_runs() {
    for option in ["-V", "--version", "-VV"] {
        let output = traced(OURS, &[option], &["echo", "ran"]);
        assert_eq!(status(&output), 0);
        let text = stdout(&output);
        assert!(
            text.starts_with("pai-host ") && text.contains("strace 6.1"),
            "{text}"
        );
        assert!(!text.contains("ran"), "{text}");
    }
}

#[test]
fn what_the_tracer_does_is_told_if_that_is_wanted() {
    let told = |options: &[&str]| {
        let output = traced(OURS, &[options, &["-o", "/dev/null"]].concat(), &["true"]);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        stderr(&output)
    };
    assert_eq!(told(&[]), "");
    for option in ["-d", "--debug"] {
        assert!(!told(&[option]).is_empty(), "{option}");
    }
}

/// As `pidof` and `pgrep` print them.
#[test]
fn processes_are_listed_with_blanks_and_newlines() {
    for tracer in [STRACE, OURS] {
        for separator in [" ", "\n", ",", "\t"] {
            let mut children = [(); 2].map(|()| {
                let mut command = Command::new("sh");
                plain(&mut command);
                // Ends when its input does, which is closed once the tracer is there.
                let command = command
                    .args(["-c", "read line; exit 7"])
                    .stdin(Stdio::piped());
                command.spawn().expect("a child")
            });
            let pids = children.each_ref().map(|child| child.id().to_string());
            let list = format!("{}\n", pids.join(separator));
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            let path = file.path().to_str().expect("a plain path");
            let words = ["-q", "-o", path, "-e", "trace=none", "-p", &list];
            let inputs = children.each_mut().map(|child| child.stdin.take());
            let ender = std::thread::spawn({
                let pids = pids.clone();
                move || {
                    let late = Instant::now() + Duration::from_secs(60);
                    let all_traced = || pids.iter().all(|pid| is_traced(pid));
                    // They end even if nobody traces them, and then the log lacks that.
                    while !all_traced() && Instant::now() < late {
                        std::thread::yield_now();
                    }
                    drop(inputs);
                }
            });
            traced(tracer, &words, &[]);
            ender.join().expect("no panic");
            for child in &mut children {
                child.wait().expect("a child");
            }
            let text = std::fs::read_to_string(path).expect("a log");
            for pid in &pids {
                let end = format!("{pid:<5} +++ exited with 7 +++");
                assert!(text.contains(&end), "{tracer:?} {separator:?}: {text}");
            }
        }
    }
}

fn is_traced(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// How often each call is in the log.
fn calls(text: &str) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let call = line.split(['(', '{']).next().unwrap_or(line);
        let call = call.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        *calls.entry(call.to_owned()).or_default() += 1;
    }
    calls
}

#[test]
fn sets_are_about_one_abi() {
    let mut seen = BTreeMap::new();
    for set in [
        "all@32",
        "all@64",
        "!all@32",
        "%process@32",
        "%process@64",
        "!%process@32",
        "/^w@32",
        "/^w@64",
        "/^w",
        "getpriority@32",
        "getpriority@64",
        "waitpid@32",
        "?waitpid@64",
        "getpriority@x32",
        "%file@x32",
        "7",
        "7@32",
        "7@64",
    ] {
        let options = ["-f", "-e", &format!("trace={set}")];
        let [theirs, ours] = [STRACE, OURS].map(|tracer| {
            let text = log(tracer, &options, &[fixtures::DECODE_PROCESS_32]);
            calls(&text)
        });
        assert_eq!(ours, theirs, "{set}");
        seen.insert(set, ours.contains_key("waitpid"));
    }
    assert!(seen["waitpid@32"] && seen["all@32"] && seen["7@32"]);
    assert!(!seen["all@64"] && !seen["7@64"]);
}

#[test]
fn calls_of_32_bits_have_a_table_of_their_own() {
    let rows = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            match &words[..] {
                // Without times.
                [percent, _, _, rest @ ..] if percent.contains('.') => rest.join(" "),
                _ => line.to_owned(),
            }
        });
        lines.collect()
    };
    for options in [
        &["-c", "-S", "name"][..],
        &["-c", "-S", "name", "-e", "trace=%process@32"],
        &["-c", "-S", "name", "-e", "trace=all@64"],
        &["-c", "-e", "trace=none"],
    ] {
        let options = [&["-f"], options].concat();
        let [theirs, ours] = [STRACE, OURS].map(|tracer| {
            let text = log(tracer, &options, &[fixtures::DECODE_PROCESS_32]);
            rows(&text)
        });
        assert_eq!(ours, theirs, "{options:?}");
    }
}

#[test]
fn numbers_are_those_of_calls_that_are_not_shown_too() {
    for script in [
        "exit 3",
        "kill -9 $$",
        "kill -USR1 $$",
        "trap : USR1; kill -USR1 $$",
    ] {
        let options = ["-n", "-e", "trace=none"];
        let [theirs, ours] = [STRACE, OURS].map(|tracer| {
            let text = log(tracer, &options, &["sh", "-c", script]);
            let heads = text
                .lines()
                .map(|line| line.split('{').next().unwrap_or(line).to_owned());
            heads.collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs, "{script}");
    }
}
