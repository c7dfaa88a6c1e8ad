//! What the README says is tried here, command by command.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::docs::blocks;
use pai_tests::target::Target;
use pai_tests::{fixtures, guests};

use crate::common::{Watchdog, finish, pai_host, status, stderr, stdout};

const README: &str = include_str!("../../README.md");

/// Its commands, as words.
fn commands(readme: &'static str) -> Vec<Vec<String>> {
    let lines = blocks(readme, "console").flat_map(str::lines);
    let commands = lines.filter_map(|line| line.strip_prefix("$ "));
    commands
        .map(|line| shlex::split(line).expect("a shell's words"))
        .collect()
}

#[test]
fn commands_do_what_they_say() {
    let mut cargo = Vec::new();
    for words in commands(README) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match &words[..] {
            ["cargo", rest @ ..] => cargo.push(rest.join(" ")),
            ["pai-host", "attach", "-p", "1234", plugin] => attach(plugin),
            ["pai-host", rest @ ..] => {
                let output = finish(&mut pai_host(rest));
                assert_eq!(status(&output), 0, "{words:?}: {}", stderr(&output));
                assert!(
                    !(output.stdout.is_empty() && output.stderr.is_empty()),
                    "{words:?}"
                );
            }
            other => panic!("who tries {other:?}?"),
        }
    }
    // These two are tried by `.ci/run`; this test is part of the second.
    assert_eq!(cargo, ["xtask run strace -- ls -l /", "xtask test"]);
    let ci = include_str!("../../.ci/run");
    assert!(
        cargo
            .iter()
            .all(|command| ci.contains(&format!("\ncargo {command}\n"))),
        "{ci}"
    );
}

/// READMEs of plugins.
const PLUGINS: &[&str] = &[
    include_str!("../../plugins/coverage/README.md"),
    include_str!("../../plugins/malloc-check/README.md"),
    include_str!("../../plugins/override/README.md"),
    include_str!("../../plugins/trace-funcs/README.md"),
    include_str!("../../plugins/watch/README.md"),
];

#[test]
fn commands_of_plugins_do_what_they_say() {
    for readme in PLUGINS {
        let commands = commands(readme);
        assert!(commands.len() >= 2, "{readme}");
        for words in commands {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let ["pai-host", rest @ ..] = &words[..] else {
                panic!("who tries {words:?}?")
            };
            let output = finish(&mut pai_host(rest));
            assert_eq!(status(&output), 0, "{words:?}: {}", stderr(&output));
            assert!(!output.stderr.is_empty(), "{words:?}");
        }
    }
}

/// It traces until Ctrl-C, and the process goes on.
fn attach(plugin: &str) {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let mut host = pai_host(&["attach", "-p", &target.pid().to_string(), plugin])
        .stderr(Stdio::piped())
        .spawn()
        .expect("pai-host");
    let _watchdog = Watchdog::over(&host);
    let mut lines = BufReader::new(host.stderr.take().expect("a pipe")).lines();
    let call = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("getppid(")));
    assert!(call.is_some(), "no call was shown");
    kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGINT).expect("not waited for");
    lines.for_each(drop);
    assert!(host.wait().expect("a child").success());
    target.expect_ok();
}

#[test]
fn the_plugin_is_the_one_that_is_tested() {
    let source = include_str!("../guests/examples/no_unlink.rs");
    let (_, source) = source.split_once("\n\n").expect("a comment at the head");
    assert_eq!(blocks(README, "rust").collect::<Vec<_>>(), [source]);

    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    fs::write(&file, "text").expect("a file");
    let path = file.to_str().expect("a plain path");
    let output = finish(&mut pai_host(&["run", guests::NO_UNLINK, "--", "rm", path]));
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (0, ""),
        "{}",
        stderr(&output)
    );
    assert_eq!(stderr(&output), "1 files were spared\n");
    assert_eq!(fs::read_to_string(&file).expect("it was spared"), "text");
}
