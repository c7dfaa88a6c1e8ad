//! What a plugin can do to a target, through contract and SDK.

use pai_tests::{fixtures, guests};

use crate::common::{finish, pai_host, status, stderr, stdout};

#[test]
fn one_of_everything() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::WHOLE_CLIENT,
        "--",
        fixtures::CALL_TARGETS,
        "60",
    ]));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    assert_eq!(
        stdout(&output),
        "kept: 0 jumps, 0 handled, 0 children\n",
        "{text}"
    );
    for line in [
        "add10: 385",
        "mix: 129",
        "getpid: true",
        "by number: true",
        "close(-1): -9",
        "strlen: 6",
        "strlen: 12",
        "kept: 7",
        "freed: true",
        "block: timed out",
        "segfaults: what was called died of signal 11",
        "xmm3: 9",
        "no such: true",
        "fxsave: 512",
        "hit: true",
        "calls_hot: 42",
        "hits: 1",
        "stepped: true",
        "frames: true",
        "modules: call_targets",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
}

#[test]
fn effects_of_calls() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::EFFECTS_LOG,
        "--",
        "cat",
        "/etc/hostname",
    ]));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    for line in [
        "descriptor: 3 /etc/hostname true",
        "descriptor: 3 /etc/hostname false",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    let libc = |line: &str| line.starts_with("module: ") && line.ends_with("libc.so.6 true");
    assert!(text.lines().any(libc), "{text}");
    let mapped = |line: &str| line.contains("libc.so.6 from 0x");
    assert!(text.lines().any(mapped), "{text}");
}

#[test]
fn effects_of_dlclose_and_prctl() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::EFFECTS_LOG,
        "--",
        fixtures::BP_DLOPEN,
        "2",
    ]));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    let count = |end: &str| {
        let is_it = |line: &&str| line.starts_with("module: ") && line.ends_with(end);
        text.lines().filter(is_it).count()
    };
    assert_eq!(count("libm.so.6 true"), 2, "{text}");
    assert_eq!(count("libm.so.6 false"), 2, "{text}");
}
