//! The four classes of errors: what a plugin gets, what is said and logged,
//! what is counted, and how pai-host ends.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, waitpid};
use pai_engine::{Fatal, Follow};
use pai_host::output::OutputTarget;
use pai_host::plugin::Plugin;
use pai_host::session::{
    self, Config, Cpu, Limits, PluginRun, SessionError, Target as Traced, Verbosity,
};
use pai_tests::target::{Target, helper, role, tell};
use pai_tests::{fixtures, guests};

use crate::common::{Ran, finish, pai_host, status, stderr, stdout};
use crate::plugins::memory_probe;

/// The counter of that name in what `--stats` printed.
fn counter(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("a counter").trim().parse().expect("a number")
}

/// A call on the target fails: the plugin gets a typed error and goes on.
/// Nobody else is told, and nothing but an address that was none is counted.
#[test]
fn a_call_on_the_target_that_fails() {
    let text = memory_probe();
    for line in [
        "null: Err(\"address 0x0 of process ",
        "string at null: Err(\"address 0x0 of process ",
        "too much: Err(\"limit reached: read-size\")",
        "one of many: Err(\"address 0x0 of process ",
        "nobody: Err(\"no process 1 in this session\")",
    ] {
        assert!(text.contains(line), "{line:?} is not in: {text}");
    }
    assert!(
        !text.contains("pai-host: ") && !text.contains("ERROR"),
        "{text}"
    );
    assert_eq!(counter(&text, "unexpected results "), 3);
}

/// A plugin fails: it is told with its backtrace, the target and the other
/// plugin go on, and the exit status is the target's.
#[test]
fn a_plugin_that_fails() {
    let command = ["--", fixtures::CLONE_THREADS, "2", "10"];
    let mut args = vec!["run", "--json", "--stats", "-t", guests::PANICS_IN_CALLBACK];
    args.extend(["-t", "count"]);
    args.extend(command);
    let ran = Ran::of(&args);
    assert_eq!(
        (ran.status, ran.stdout.as_str()),
        (0, "2 threads, 10 calls each\n")
    );
    let told: Vec<_> = ran.records("diagnostic").collect();
    let [told] = &told[..] else {
        panic!("{}", ran.stderr)
    };
    assert_eq!(told["plugin"], "panics-in-callback");
    let message = told["data"]["message"].as_str().expect("a text");
    assert!(
        message.starts_with("plugin panics-in-callback failed: panicked at "),
        "{message}"
    );
    assert!(message.contains("not the call I wanted"), "{message}");
    assert!(
        message.contains("\n    in panics_in_callback::run::{{closure}}"),
        "{message}"
    );
    let stats = ran.records("stats").next().expect("counters");
    assert_eq!(stats["data"]["plugins"][0]["failed"], true);
    assert_eq!(stats["data"]["plugins"][1]["failed"], false);

    args.insert(1, "--strict");
    assert_eq!(Ran::of(&args).status, 120);
    // And when it was the only one.
    let output = finish(&mut pai_host(
        &[&["run", guests::PANICS_IN_CALLBACK], &command[..]].concat(),
    ));
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (125, "2 threads, 10 calls each\n")
    );
}

/// What looked like a pointer is none: logged for those who ask, and counted.
#[test]
fn a_pointer_that_is_none() {
    let mut quiet = pai_host(&[
        "run",
        "--stats",
        guests::READS_PATHS,
        "--",
        fixtures::BAD_POINTERS,
    ]);
    let mut loud = pai_host(&[
        "run",
        "--stats",
        guests::READS_PATHS,
        "--",
        fixtures::BAD_POINTERS,
    ]);
    loud.env("PAI_LOG", "pai::unexpected=debug");
    let (quiet, loud) = (finish(&mut quiet), finish(&mut loud));
    let logged = |output| {
        let text: String = stderr(output);
        text.lines()
            .filter(|line| line.contains("unreadable address"))
            .count()
    };
    let counted = |output| counter(&stderr(output), "unexpected results ");
    assert_eq!(
        (status(&quiet), status(&loud)),
        (0, 0),
        "{}",
        stderr(&quiet)
    );
    assert_eq!(stdout(&quiet), stdout(&loud));
    assert_ne!(counted(&quiet), 0, "{}", stderr(&quiet));
    assert_eq!(counted(&loud), counted(&quiet));
    assert_eq!(logged(&quiet), 0, "{}", stderr(&quiet));
    assert_eq!(logged(&loud), counted(&loud), "{}", stderr(&loud));
}

/// The session cannot go on: the target is let go unharmed, plugins learn of
/// it, and there is an error.
#[test]
fn a_session_that_cannot_go_on() {
    const TEST: &str = "errors::a_session_that_cannot_go_on";
    if let Some(log) = role() {
        return be_robbed(Path::new(&log));
    }
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let mut helper = Target::launch(&mut helper(TEST, path));
    let pid = helper.told();
    assert_eq!(helper.told(), "stolen");
    let said = std::fs::read_to_string(log.path()).expect("a log");
    let last = said.lines().next_back();
    assert!(last.is_some_and(|line| line.starts_with("End::Fatal(") && line.contains("took the report")), "{last:?}");
    // The target is traced no more, and ends as it does alone.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on");
    assert!(status.contains("TracerPid:\t0\n"), "{status}");
    helper.end_input();
    assert_eq!(helper.told(), "the target said ok");
}

/// Traces a target in a process in which another thread takes every report that
/// it can get, from when the target is at work.
fn be_robbed(log: &Path) {
    let (reader, writer) = nix::unistd::pipe().expect("a pipe");
    let mut program = pai_engine::program(
        fixtures::ATTACH_TARGET.as_ref(),
        [b"attach_target".to_vec()],
        std::iter::empty(),
    )
    .expect("no NUL bytes");
    program.stdio[1] = Some(Arc::new(writer));
    let config = Config {
        target: Traced::Spawn(program),
        plugins: vec![PluginRun {
            plugin: Arc::new(Plugin::load(guests::EVENTS_LOG).expect("a plugin")),
            options: Vec::new(),
        }],
        follow: Follow::Yes,
        output: OutputTarget::File {
            file: std::fs::File::create(log).expect("a log"),
            path: log.to_owned(),
        },
        structured: false,
        detach_on_exec: false,
        cpu: Cpu::Free,
        filtered: true,
        limits: Limits::default(),
        timed: false,
        verbosity: Verbosity::Normal,
    };
    let tracer = nix::unistd::gettid();
    let thief = std::thread::spawn(move || steal_when_ready(reader, tracer));
    match session::run(config) {
        Err(SessionError::Fatal(Fatal::Stolen { .. })) => tell("stolen"),
        other => tell(&format!("{other:?}")),
    }
    tell(&format!(
        "the target said {}",
        thief.join().expect("no panic")
    ));
}

/// Tells the target's pid, and returns its last line.
fn steal_when_ready(output: OwnedFd, tracer: nix::unistd::Pid) -> String {
    let mut lines = BufReader::new(std::fs::File::from(output)).lines();
    let mut line = || lines.next().expect("a line").expect("UTF-8");
    assert_eq!(line(), "ready");
    let children = std::fs::read_to_string(format!("/proc/self/task/{tracer}/children"));
    tell(children.expect("a running tracer").trim());
    while waitpid(None, Some(WaitPidFlag::__WALL)) != Err(Errno::ECHILD) {}
    line()
}
