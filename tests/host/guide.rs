//! The programs of docs/PLUGINS.md do what is said of them.

use std::fs;

use pai_tests::guests;

use crate::common::{finish, pai_host, status, stderr, stdout};

/// Runs one over a command that has to end well.
fn run(plugin: &str, options: &[&str], command: &[&str]) -> (String, String) {
    let mut args = vec!["run", "--strict", plugin];
    args.extend(options);
    args.push("--");
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    (stdout(&output), text)
}

#[test]
fn bytes_are_counted() {
    let (out, text) = run(guests::GUIDE_WRITTEN, &[], &["sh", "-c", "echo hello"]);
    assert_eq!(out, "hello\n");
    assert!(text.ends_with(" wrote 6 bytes to descriptor 1\n"), "{text}");
    let args = [
        "run",
        "--json",
        guests::GUIDE_WRITTEN,
        "--",
        "echo",
        "hello",
    ];
    let text = stderr(&finish(&mut pai_host(&args)));
    assert!(text.contains("\"fd\":1,\"bytes\":6}"), "{text}");
}

#[test]
fn files_are_denied() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    fs::write(&file, "text").expect("a file");
    let path = file.to_str().expect("a plain path");
    let (out, text) = run(guests::GUIDE_DENY, &[], &["cat", path]);
    assert_eq!((out.as_str(), text.as_str()), ("text", ""));
    // A pointer that leads nowhere is refused too, and the plugin goes on.
    let script = "import ctypes, errno, sys
def fails(path):
    ctypes.set_errno(0)
    fd = libc.openat(-100, path, 0)
    return fd == -1 and ctypes.get_errno() == errno.EACCES
libc = ctypes.CDLL(None, use_errno=True)
print(fails(ctypes.c_void_p(8)), fails(sys.argv[1].encode()), fails(b'/'))";
    let options = ["-p", dir.path().to_str().expect("a plain path")];
    let command = ["python3", "-c", script, path];
    let (out, text) = run(guests::GUIDE_DENY, &options, &command);
    assert_eq!((out.as_str(), text.as_str()), ("True True False\n", ""));
}

#[test]
fn large_blocks_are_told_of() {
    let script = "python3 -c 'bytearray(3000000)'; true";
    let (_, text) = run(guests::GUIDE_MALLOC, &[], &["sh", "-c", script]);
    let line = |line: &&str| line.contains(": malloc(3000001) by ");
    let told = text.lines().find(line);
    assert!(told.is_some_and(|line| !line.ends_with('?')), "{text}");
}

#[test]
fn the_target_is_asked() {
    let (_, text) = run(guests::GUIDE_ASKS, &[], &["true"]);
    let uid = nix::unistd::getuid();
    assert_eq!(
        text,
        format!(
            "PATH is /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
             its user is {uid}\n"
        )
    );
}

#[test]
fn the_slowest_calls_are_told() {
    let (_, text) = run(guests::GUIDE_SLOWEST, &[], &["sleep", "0.01"]);
    let slept = text
        .lines()
        .find(|line| line.ends_with(" us clock_nanosleep"));
    let micros = slept.and_then(|line| line.split_whitespace().next());
    assert!(
        micros.is_some_and(|micros| micros.parse::<u64>().is_ok()),
        "{text}"
    );
}
