//! Running targets untraced, under pai-host and under strace, and what they
//! made of the target's system calls.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use pai_tests::guests;

/// The program under test.
pub(crate) const PAI_HOST: &str = env!("CARGO_BIN_EXE_pai-host");

/// How a process ended: its code, or minus the signal.
pub(crate) fn status(output: &Output) -> i32 {
    output
        .status
        .code()
        .or_else(|| output.status.signal().map(|signal| -signal))
        .expect("it ended")
}

/// What it wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What it wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// pai-host with these arguments, in a plain environment.
pub(crate) fn pai_host<S: AsRef<str>>(args: &[S]) -> Command {
    let mut command = Command::new(PAI_HOST);
    command.args(args.iter().map(AsRef::as_ref));
    plain(&mut command);
    command
}

/// The installed strace, and ours: what their command lines begin with.
pub(crate) const STRACE: &[&str] = &["strace"];
pub(crate) const OURS: &[&str] = &[PAI_HOST, "strace"];

/// One of those, in a plain environment.
pub(crate) fn under(tracer: &[&str]) -> Command {
    let (program, before) = tracer.split_first().expect("a tracer");
    let mut command = Command::new(program);
    plain(&mut command);
    command.args(before);
    command
}

/// The same environment for everybody: results are compared.
pub(crate) fn plain(command: &mut Command) {
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
pub(crate) fn cache_dir() -> OsString {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache").into()
}

/// Nothing here takes longer unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let watchdog = Watchdog::over(&child);
    let output = child.wait_with_output().expect("a child");
    drop(watchdog);
    output
}

/// Kills a child that hangs, so that a test fails and does not hang too.
pub(crate) struct Watchdog {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Over this child, until dropped.
    pub(crate) fn over(child: &Child) -> Self {
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let (done, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                // Fails when it was waited for just now.
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
            }
        });
        Self {
            done: Some(done),
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

/// Runs a command under plugins; panics unless it ends with this status.
#[track_caller]
pub(crate) fn run(plugin: &str, command: &[&str], code: i32) -> Output {
    let mut args = vec!["run", "-t", plugin, "--"];
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), code, "{}", stderr(&output));
    output
}

/// Lines of text without the tasks at their heads, and without times.
pub(crate) fn bare(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let line = line.trim_start();
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let line = line.split_once(" <0.").map_or(line, |(line, _)| line);
        line.strip_prefix(' ').unwrap_or(line).to_owned()
    };
    text.lines().map(line).collect()
}

/// A run of `pai-host` with `--json` to standard error.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    lines: Vec<serde_json::Value>,
}

impl Ran {
    /// With these arguments; each line on standard error has to be JSON.
    #[track_caller]
    pub(crate) fn of(args: &[&str]) -> Self {
        let output = finish(&mut pai_host(args));
        let stderr = stderr(&output);
        Self {
            status: status(&output),
            stdout: stdout(&output),
            lines: json_lines(&stderr),
            stderr,
        }
    }

    /// Records of this kind.
    pub(crate) fn records(&self, kind: &str) -> impl Iterator<Item = &serde_json::Value> {
        let of_kind = move |line: &&serde_json::Value| line["kind"] == kind;
        self.lines.iter().filter(of_kind)
    }

    /// All records.
    pub(crate) fn all(&self) -> &[serde_json::Value] {
        &self.lines
    }
}

/// Each line an object of our format.
#[track_caller]
pub(crate) fn json_lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(|line| {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(value["v"], 1, "{line}");
        value
    });
    lines.collect()
}

/// `setarch -R`: addresses are the same in every run.
pub(crate) fn fixed(command: &[&str]) -> Vec<String> {
    ["setarch", "x86_64", "-R"]
        .iter()
        .chain(command)
        .map(|word| (*word).to_owned())
        .collect()
}

/// A system call as both tracers report it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Call {
    /// Name.
    pub(crate) name: String,
    /// Result, with ids and addresses made comparable.
    pub(crate) result: String,
}

/// Calls by task, tasks by their ids, which is the order of their births.
pub(crate) type Calls = Vec<Vec<Call>>;

/// Collects calls; ids are replaced by the numbers of tasks.
#[derive(Default)]
struct Collector(BTreeMap<u64, Vec<(String, Outcome)>>);

enum Outcome {
    Value(i64),
    Error(String),
    None,
}

/// From here on a result is an address.
const ADDRESS: i64 = 0x1000_0000;

impl Collector {
    fn add(&mut self, tid: u64, name: &str, outcome: Outcome) {
        let calls = self.0.entry(tid).or_default();
        calls.push((name.to_owned(), outcome));
    }

    fn finish(self) -> Calls {
        let tids: Vec<u64> = self.0.keys().copied().collect();
        let task = |value: i64| tids.binary_search(&u64::try_from(value).ok()?).ok();
        let result = |name: &str, outcome: &Outcome| match outcome {
            Outcome::Value(value) => match task(*value) {
                Some(task) => format!("task {task}"),
                // The tracer's own id, where the parent is not traced.
                None if name == "getppid" => "a parent".to_owned(),
                None if *value >= ADDRESS => "address".to_owned(),
                None => value.to_string(),
            },
            Outcome::Error(name) => name.clone(),
            Outcome::None => "?".to_owned(),
        };
        let calls = self.0.values().map(|calls| {
            let calls = calls.iter().map(|(name, outcome)| Call {
                name: name.clone(),
                result: result(name, outcome),
            });
            calls.collect()
        });
        calls.collect()
    }
}

/// Calls in the log of `pai-host run --json -o FILE strace`.
pub(crate) fn calls_of_json(log: &str) -> Calls {
    let mut collector = Collector::default();
    for line in json_lines(log) {
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
pub(crate) fn calls_of_strace(log: &str) -> Calls {
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

/// The installed strace, writing what [`calls_of_strace`] reads.
pub(crate) fn strace_to(log: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "signal=none", "-e", "raw=all", "-o"]);
    strace.arg(log);
    plain(&mut strace);
    strace
}

/// Runs a command under the installed strace.
pub(crate) fn strace(command: &[String]) -> (Output, Calls) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut strace = strace_to(log.path());
    strace.arg("-qq").arg("--").args(command);
    let output = finish(&mut strace);
    let log = std::fs::read_to_string(log.path()).expect("a log");
    (output, calls_of_strace(&log))
}

/// Runs a command under `pai-host run --json`, with the plugin strace and
/// others before it.
pub(crate) fn traced(others: &[String], command: &[String]) -> (Output, Calls) {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let mut args = vec!["run", "--limit", "time=100ms", "--json", "-o", path];
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
pub(crate) fn untraced(command: &[String]) -> Output {
    let mut alone = Command::new(&command[0]);
    alone.args(&command[1..]);
    plain(&mut alone);
    finish(&mut alone)
}

/// How often each call was made.
pub(crate) fn counts(calls: &Calls) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls.iter().flatten() {
        *counts.entry(call.name.clone()).or_insert(0) += 1;
    }
    counts
}

/// Panics with the first difference.
#[track_caller]
pub(crate) fn assert_same_calls(ours: &Calls, theirs: &Calls) {
    assert_eq!(ours.len(), theirs.len(), "tasks");
    for (task, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (n, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(ours, theirs, "call {n} of task {task}");
        }
        assert_eq!(ours.len(), theirs.len(), "calls of task {task}");
    }
}

/// What stands before the plugin strace, and what the host says of it: nothing;
/// two others; one that is ended by its limits while it holds a stop that the
/// one behind it waits for. Every program ends with that call.
pub(crate) fn company() -> [(Vec<String>, &'static str); 3] {
    let stuck = format!("{} --call exit_group", guests::LOOPS_IN_CALLBACK);
    [
        (vec![], ""),
        (vec!["count".into(), guests::NOOP.into()], ""),
        (
            vec![stuck, guests::NOOP.into()],
            "pai-host: plugin loops-in-callback failed: it computed for more than 100ms",
        ),
    ]
}
