//! Attach and detach, terminals and signals.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use common::{finish, pai_host, plain, status, stderr, stdout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::fixtures;

/// A fixture that says "ready", runs until its input ends, and says "ok".
struct Target {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Target {
    fn start(fixture: &str) -> Self {
        let mut child = Command::new(fixture)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a fixture");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self { child, output }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Every thread is free again, and the program ends as it does alone.
    fn expect_unharmed(mut self) {
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("alive") {
            let status = task.expect("a task").path().join("status");
            let status = std::fs::read_to_string(status).expect("a status");
            assert!(status.contains("TracerPid:\t0\n"), "{status}");
        }
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "ok\n");
        assert!(self.child.wait().expect("a child").success());
    }
}

/// pai-host in the background, with its standard error read line by line.
fn background(args: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut child = pai_host(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pai-host");
    let err = BufReader::new(child.stderr.take().expect("a pipe"));
    (child, err)
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line
}

#[test]
fn attach_to_threads_and_let_go_with_ctrl_c() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let target = Target::start(fixtures::ATTACH_TARGET);
        let (mut host, mut err) = background(&["attach", "-p", &target.pid(), "strace"]);
        // It sees calls of more than one thread.
        let mut tasks = std::collections::BTreeSet::new();
        while tasks.len() < 3 {
            let text = line(&mut err);
            assert_ne!(text, "", "the trace ended");
            if let Some(rest) = text.strip_prefix("[pid ") {
                tasks.insert(rest.split(']').next().map(str::to_owned));
            }
        }
        kill(Pid::from_raw(host.id().cast_signed()), signal).expect("alive");
        std::io::copy(&mut err, &mut std::io::sink()).expect("readable");
        assert_eq!(host.wait().expect("a child").code(), Some(0));
        target.expect_unharmed();
    }
}

/// One end of a terminal, with a program on the other.
struct Terminal {
    child: Child,
    master: File,
    seen: String,
}

impl Terminal {
    fn start(command: &[&str]) -> Self {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let slave = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a descriptor"));
        let mut setsid = Command::new("setsid");
        setsid.args(["--ctty", "--wait"]).args(command);
        plain(&mut setsid);
        setsid
            .env("PS1", "PROMPT ")
            .stdin(slave(&pty.slave))
            .stdout(slave(&pty.slave))
            .stderr(slave(&pty.slave));
        let child = setsid.spawn().expect("setsid");
        Self {
            child,
            master: File::from(pty.master),
            seen: String::new(),
        }
    }

    fn send(&mut self, text: &str) {
        self.seen.clear();
        self.master.write_all(text.as_bytes()).expect("a terminal");
    }

    /// Reads until this was printed.
    fn expect(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let n = self.master.read(&mut buffer).unwrap_or(0);
            assert!(n > 0, "{text:?} never came after {:?}", self.seen);
            self.seen += &String::from_utf8_lossy(&buffer[..n]);
        }
    }
}

#[test]
fn job_control_of_a_shell_in_a_terminal() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let traced = [common::PAI_HOST, "run", "-o", path, "count", "--"];
    let shell = ["bash", "--norc", "--noprofile", "-i"];
    for prefix in [&[][..], &traced] {
        let command: Vec<&str> = prefix.iter().chain(&shell).copied().collect();
        let mut terminal = Terminal::start(&command);
        terminal.expect("PROMPT ");
        terminal.send("sh -c 'echo STAR''TED; exec sleep 1000'\n");
        terminal.expect("STARTED");
        terminal.send("\x1a");
        terminal.expect("Stopped");
        terminal.expect("PROMPT ");
        terminal.send("jobs; echo DO''NE\n");
        terminal.expect("DONE");
        assert!(terminal.seen.contains("Stopped"), "{:?}", terminal.seen);
        terminal.expect("PROMPT ");
        terminal.send("fg\n");
        terminal.expect("sleep 1000");
        terminal.send("\x03");
        terminal.expect("PROMPT ");
        terminal.send("echo $?; exit 3\n");
        terminal.expect("130");
        terminal.expect("exit");
        assert_eq!(terminal.child.wait().expect("a child").code(), Some(3));
    }
    let counted = std::fs::read_to_string(log.path()).expect("a log");
    assert!(counted.contains("wait4"), "{counted}");
}

#[test]
fn signals_sent_to_pai_host_reach_the_target() {
    let script = "trap 'echo got it; exit 9' TERM INT; echo ready; while :; do read x; done";
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut host = pai_host(&["run", "minimal", "--", "bash", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("pai-host");
        let mut out = BufReader::new(host.stdout.take().expect("a pipe"));
        assert_eq!(line(&mut out), "ready\n");
        kill(Pid::from_raw(host.id().cast_signed()), signal).expect("alive");
        assert_eq!(line(&mut out), "got it\n");
        assert_eq!(host.wait().expect("a child").code(), Some(9));
    }
}

#[test]
fn processes_that_are_not_followed_run_free() {
    let command = ["sh", "-c", "ls / >/dev/null; exit 4"];
    let mut args = vec!["run", "--no-follow", "count", "--"];
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (4, ""),
        "{text}"
    );
    assert!(!text.contains("getdents64"), "ls was followed: {text}");
}
