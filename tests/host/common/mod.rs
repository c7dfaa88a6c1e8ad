//! Running targets untraced, under pai-host and under strace, and what they
//! made of the target's system calls.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program under test.
pub const PAI_HOST: &str = env!("CARGO_BIN_EXE_pai-host");

/// How a process ended: its code, or minus the signal.
pub fn status(output: &Output) -> i32 {
    output
        .status
        .code()
        .or_else(|| output.status.signal().map(|signal| -signal))
        .expect("it ended")
}

/// What it wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it wrote to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// pai-host with these arguments, in a plain environment.
pub fn pai_host<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::new(PAI_HOST);
    command.args(args.iter().map(AsRef::as_ref));
    plain(&mut command);
    command
}

/// The same environment for everybody: results are compared.
pub fn plain(command: &mut Command) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent")
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("PAI_CACHE_DIR", cache_dir())
        .stdin(Stdio::null());
}

/// Compiled plugins are shared by all tests.
pub fn cache_dir() -> OsString {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").into()
}

/// Runs a command to its end, with a bound on its time: nothing here takes
/// longer unless it hangs.
pub fn finish(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let limit = std::time::Duration::from_secs(120);
        if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            // It is our child and has not been waited for.
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("a hung child");
        }
    });
    let output = child.wait_with_output().expect("a child");
    drop(done);
    watchdog.join().expect("no panic");
    output
}

/// `setarch -R`: addresses are the same in every run.
pub fn fixed(command: &[&str]) -> Vec<String> {
    ["setarch", "x86_64", "-R"]
        .iter()
        .chain(command)
        .map(|word| (*word).to_owned())
        .collect()
}

/// A system call as both tracers report it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Call {
    /// Name.
    pub name: String,
    /// Result, with ids and addresses made comparable.
    pub result: String,
}

/// Calls by task, tasks in the order in which they were first seen.
pub type Calls = Vec<Vec<Call>>;

/// Collects calls; ids are numbered as they appear.
#[derive(Default)]
struct Collector {
    tasks: BTreeMap<u64, usize>,
    calls: Vec<Vec<(String, Outcome)>>,
}

enum Outcome {
    Value(i64),
    Error(String),
    None,
}

/// From here on a result is an address.
const ADDRESS: i64 = 0x1000_0000;

impl Collector {
    fn add(&mut self, tid: u64, name: &str, outcome: Outcome) {
        let next = self.tasks.len();
        let task = *self.tasks.entry(tid).or_insert(next);
        if task == self.calls.len() {
            self.calls.push(Vec::new());
        }
        self.calls[task].push((name.to_owned(), outcome));
    }

    fn finish(self) -> Calls {
        let tasks = &self.tasks;
        let result = |name: &str, outcome: Outcome| match outcome {
            // The tracer's own id, where the parent is not traced.
            Outcome::Value(value) if name == "getppid" && value > 1000 => "a parent".to_owned(),
            Outcome::Value(value) => match u64::try_from(value).ok().and_then(|v| tasks.get(&v)) {
                Some(task) if value > 1000 => format!("task {task}"),
                _ if value >= ADDRESS => "address".to_owned(),
                _ => value.to_string(),
            },
            Outcome::Error(name) => name,
            Outcome::None => "?".to_owned(),
        };
        self.calls
            .into_iter()
            .map(|calls| {
                calls
                    .into_iter()
                    .map(|(name, outcome)| Call {
                        result: result(&name, outcome),
                        name,
                    })
                    .collect()
            })
            .collect()
    }
}

/// Calls in the log of `pai-host run --json -o FILE strace`.
pub fn calls_of_json(log: &str) -> Calls {
    let mut collector = Collector::default();
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if line["plugin"] != "strace" || line["kind"] != "syscall" {
            continue;
        }
        let data = &line["data"];
        let outcome = if let Some(error) = data["error"].as_str() {
            Outcome::Error(error.to_owned())
        } else if data["no_return"] == true {
            Outcome::None
        } else if data["restarts"] == true {
            Outcome::Error(restart_name(data["ret"].as_i64()))
        } else {
            Outcome::Value(data["ret"].as_i64().expect("a result"))
        };
        let tid = data["tid"].as_u64().expect("a task");
        collector.add(tid, data["syscall"].as_str().expect("a name"), outcome);
    }
    collector.finish()
}

fn restart_name(code: Option<i64>) -> String {
    let code = code.and_then(|code| u32::try_from(-code).ok());
    let name = code.and_then(pai_syscalls::errno::restart_name);
    name.expect("a restart code").to_owned()
}

/// Calls in the log of `strace -f -o FILE -e raw=all`.
pub fn calls_of_strace(log: &str) -> Calls {
    let mut collector = Collector::default();
    let mut unfinished: BTreeMap<u64, String> = BTreeMap::new();
    for line in log.lines() {
        let (tid, rest) = line.split_once(' ').expect("a task");
        let tid: u64 = tid.parse().unwrap_or_else(|_| panic!("no task: {line}"));
        let rest = rest.trim_start();
        if rest.starts_with("---") || rest.starts_with("+++") {
            continue;
        }
        let resumed = rest.strip_prefix("<... ");
        let name = match resumed {
            Some(rest) => rest.split(' ').next(),
            None => rest.split('(').next(),
        };
        let name = name.expect("a name").to_owned();
        if rest.ends_with("<unfinished ...>") {
            unfinished.insert(tid, name);
            continue;
        }
        unfinished.remove(&tid);
        let (_, result) = rest
            .rsplit_once(" = ")
            .unwrap_or_else(|| panic!("no result: {line}"));
        let mut words = result.split(' ');
        let outcome = match (words.next(), words.next()) {
            (Some("?"), None) => Outcome::None,
            (Some("?" | "-1"), Some(error)) => Outcome::Error(error.to_owned()),
            (Some(value), _) => Outcome::Value(number(value)),
            _ => panic!("no result: {line}"),
        };
        collector.add(tid, &name, outcome);
    }
    // Killed inside: strace prints nothing more.
    for (tid, name) in unfinished {
        collector.add(tid, &name, Outcome::None);
    }
    collector.finish()
}

fn number(text: &str) -> i64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16)
            .expect("a number")
            .cast_signed(),
        None => text.parse().expect("a number"),
    }
}

/// Runs a command under the installed strace.
pub fn strace(command: &[String]) -> (Output, Calls) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-e", "raw=all", "-o"]);
    strace.arg(log.path()).arg("--").args(command);
    plain(&mut strace);
    let output = finish(&mut strace);
    let log = std::fs::read_to_string(log.path()).expect("a log");
    (output, calls_of_strace(&log))
}

/// Runs a command under `pai-host run --json`, with the plugin strace and
/// others before it.
pub fn traced(others: &[&str], command: &[String]) -> (Output, Calls) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let mut args = vec!["run", "--json", "-o", path];
    for other in others {
        args.extend(["-t", other]);
    }
    args.extend(["-t", "strace", "--"]);
    args.extend(command.iter().map(String::as_str));
    let output = finish(&mut pai_host(&args));
    let log = std::fs::read_to_string(log.path()).expect("a log");
    (output, calls_of_json(&log))
}

/// Runs a command by itself.
pub fn untraced(command: &[String]) -> Output {
    let mut alone = Command::new(&command[0]);
    alone.args(&command[1..]);
    plain(&mut alone);
    finish(&mut alone)
}

/// How often each call was made.
pub fn counts(calls: &Calls) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().flatten() {
        *counts.entry(call.name.as_str()).or_insert(0) += 1;
    }
    counts
}

/// Panics with the first difference.
#[track_caller]
pub fn assert_same_calls(ours: &Calls, theirs: &Calls) {
    assert_eq!(ours.len(), theirs.len(), "tasks");
    for (task, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (n, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours, theirs, "call {n} of task {task}");
        }
        assert_eq!(ours.len(), theirs.len(), "calls of task {task}");
    }
}

/// A program that gives this text to a child's standard input.
pub fn feed(child: &mut std::process::Child, text: &str) {
    let mut input = child.stdin.take().expect("a piped input");
    input.write_all(text.as_bytes()).expect("a reading child");
}
