//! Targets that would harm whoever shows what they do: their text never reaches a
//! terminal as it is, and what is shown of them is bounded.

use std::fs;
use std::process::Command;

use pai_tests::fixtures;

use crate::common::{finish, pai_host, plain, status, stderr, stdout};

/// What `pai-host strace` with these options writes of a command to a file. Every line is
/// printable ASCII, and the command ends as it does by itself.
fn traced(options: &[&str], command: &[&str]) -> (String, String) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let args = [&["strace", "-f", "-o", path], options, command].concat();
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let log = fs::read(log.path()).expect("a log");
    let odd = log.iter().find(|byte| !matches!(byte, b' '..=b'~' | b'\n'));
    assert_eq!(odd, None, "{}", String::from_utf8_lossy(&log));
    let log = String::from_utf8(log).expect("it is ASCII");
    (log, stdout(&output))
}

/// How many lines are about this call.
fn lines(log: &str, call: &str) -> usize {
    let start = format!("{call}(");
    let calls = log.lines().filter_map(|line| line.split_once(' '));
    calls
        .filter(|(_, line)| line.trim_start().starts_with(&start))
        .count()
}

#[test]
fn names_are_escaped() {
    for options in [&[][..], &["-x"], &["-xx"], &["-y", "-v"]] {
        let (log, out) = traced(options, &[fixtures::HOSTILE_STRINGS]);
        assert_eq!(out, "7 paths\n");
        assert!(!log.contains(" openat(AT_FDCWD, \"/etc/shadow\""), "{log}");
        if options.is_empty() {
            for text in [
                r#"openat(AT_FDCWD, "/nonexistent/\33[2J\33[31mred\33]0;title\7\2332J", O_RDONLY)"#,
                r#""/nonexistent/a\nopenat(AT_FDCWD, \"/etc/shadow\", O_RDONLY) = 3\r\n""#,
                r#""/nonexistent/\377\376\300\200\355\240\200\370""#,
            ] {
                assert!(log.contains(text), "{text}: {log}");
            }
        }
    }
}

/// What descriptors refer to has names as well.
#[test]
fn names_of_descriptors_are_escaped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let make = "printf x > \"$(printf 'a\\033[2J\\n>\\377')\"";
    let mut shell = Command::new("sh");
    plain(&mut shell);
    let made = finish(shell.args(["-c", make]).current_dir(folder.path()));
    assert_eq!(status(&made), 0, "{}", stderr(&made));
    let here = folder.path().to_str().expect("a plain path");
    let command = format!("cd {here} && cat a*");
    for details in ["-y", "-yy"] {
        let (log, out) = traced(&[details, "-e", "trace=read"], &["sh", "-c", &command]);
        assert_eq!(out, "x");
        let name = format!(r"<{here}/a\33[2J\n\76\377>");
        assert!(log.contains(&name), "{name}: {log}");
    }
}

#[test]
fn memory_in_circles() {
    for options in [&[][..], &["-v"], &["-y", "-s", "4096", "-v"]] {
        let (log, out) = traced(options, &[fixtures::HOSTILE_MEMORY]);
        assert_eq!(out, "2004 times refused\n");
        assert_eq!(lines(&log, "open"), 2000);
        assert_eq!(lines(&log, "sendmsg"), 1);
        assert_eq!(lines(&log, "sendmmsg"), 1);
        let longest = log.lines().map(str::len).max().unwrap_or(0);
        assert!(longest < 8 << 20, "a line of {longest} bytes");
    }
}

/// 1 MiB, of which each argument shows as much as -s says, up to a limit of the whole.
#[test]
fn large_arguments() {
    let words = vec!["x".repeat(100 << 10); 10];
    let mut command = vec!["-e", "trace=execve", "-s", "1048576", "-v", "true"];
    command.extend(words.iter().map(String::as_str));
    let (log, _) = traced(&[], &command);
    let shown = log.matches('x').count();
    assert!(shown >= 100 << 10, "{shown}");
    assert!(log.len() < 2 << 20, "{}", log.len());
}
