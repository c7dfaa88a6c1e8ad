//! Attach and detach, and signals to pai-host.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::target::{Target, copy_program};
use pai_tests::{fixtures, guests};

use crate::common::{
    Calls, Watchdog, calls_of_json, calls_of_strace, company, counts, finish, pai_host,
    status as status_of, stderr, stdout, strace_to,
};

/// pai-host in the background, with its standard error read line by line.
struct Host {
    child: Child,
    _watchdog: Watchdog,
    stderr: BufReader<ChildStderr>,
}

impl Host {
    fn start(args: &[&str]) -> Self {
        let mut child = pai_host(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pai-host");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Self {
            _watchdog: Watchdog::over(&child),
            child,
            stderr,
        }
    }

    /// Attached, with every thread stopped.
    fn attached(args: &[&str]) -> Self {
        let mut host = Self::start(&[&["attach"], args].concat());
        let line = host.line();
        assert!(line.starts_with("pai-host: attached to process "), "{line}");
        host
    }

    fn line(&mut self) -> String {
        line(&mut self.stderr)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("not waited for");
    }

    /// Its exit status and what else it said.
    fn finish(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("a child").code(), rest)
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    line
}

#[test]
fn attach_to_threads_and_let_go_with_ctrl_c() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let target = Target::start(fixtures::ATTACH_TARGET, &[]);
        let mut host = Host::attached(&["-p", &target.pid().to_string(), "strace"]);
        // It sees calls of more than one thread.
        let mut tasks = BTreeSet::new();
        while tasks.len() < 3 {
            let text = host.line();
            assert_ne!(text, "", "the trace ended");
            if let Some(rest) = text.strip_prefix("[pid ") {
                tasks.insert(rest.split(']').next().map(str::to_owned));
            }
        }
        host.signal(signal);
        assert_eq!(host.finish().0, Some(0));
        target.assert_untraced();
        target.expect_ok();
    }
}

#[test]
fn attach_says_whom_it_traces() {
    let target = Target::start(fixtures::ATTACH_TARGET, &["3"]);
    let pid = target.pid().to_string();
    let said = format!("pai-host: attached to process {pid} (attach_target), 4 threads\n");
    let mut host = Host::start(&["attach", "-v", "-p", &pid, guests::MEMORY_PROBE]);
    assert_eq!(host.line(), said);
    assert!(host.line().contains("may: memory-read (to read)"));
    host.signal(Signal::SIGINT);
    assert_eq!(host.finish(), (Some(0), String::new()));
    // Quiet, it says nothing.
    let host = Host::start(&["attach", "-q", "-p", &pid, guests::DETACHES]);
    let (status, text) = host.finish();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.starts_with("3 calls, "), "{text}");
    target.expect_ok();
}

/// What strace and pai-host count when they attach to threads that wait, and
/// see them to their end.
#[test]
fn attach_counts_what_strace_counts() {
    // A thread is joined before or after its end as the scheduler likes.
    // strace says that it is attached before all threads have stopped: the read
    // in which one waits may be over before that.
    const LOOSE: [&str; 2] = ["futex", "read"];
    let count = |calls: &Calls| {
        let mut counts = counts(calls);
        counts.retain(|name, _| !LOOSE.contains(&name.as_str()));
        counts
    };
    let work = || Target::start(fixtures::ATTACH_WORK, &["4", "50"]);

    let target = work();
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = strace_to(log.path());
    command.args(["-p", &target.pid().to_string()]);
    let mut strace = command.stderr(Stdio::piped()).spawn().expect("strace");
    let mut said = BufReader::new(strace.stderr.take().expect("a pipe"));
    let attached = line(&mut said);
    assert!(attached.contains("5 threads"), "{attached}");
    target.expect_ok();
    assert!(strace.wait().expect("a child").success());
    let theirs = calls_of_strace(&std::fs::read_to_string(log.path()).expect("a log"));

    for (others, said) in company() {
        let target = work();
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let (pid, path) = (target.pid().to_string(), log.path().to_string_lossy());
        let mut args = vec!["-p", &pid, "--limit", "time=100ms", "--json", "-o", &path];
        for other in &others {
            args.extend(["-t", other]);
        }
        args.extend(["-t", "strace"]);
        let host = Host::attached(&args);
        target.expect_ok();
        let (status, text) = host.finish();
        assert_eq!(status, Some(0), "{text}");
        assert!(
            text.starts_with(said) && text.is_empty() == said.is_empty(),
            "{text}"
        );
        let ours = calls_of_json(&std::fs::read_to_string(log.path()).expect("a log"));
        assert_eq!(ours.len(), 5);
        assert_eq!(count(&ours), count(&theirs));
        // One in which each task waited, and one for each thread's report.
        assert_eq!(counts(&ours)["read"], 5 + 4);
        assert_eq!(counts(&ours)["getppid"], 4 * 50);
    }
}

#[test]
fn attach_by_name() {
    // A name that no other process has.
    let dir = tempfile::tempdir().expect("a folder");
    let name = format!("pai-{}", std::process::id());
    let copy = dir.path().join(&name);
    copy_program(fixtures::ATTACH_TARGET, &copy);
    let path = copy.to_str().expect("a plain path");
    let target = Target::start(path, &[]);
    let host = Host::start(&["attach", "--name", &name, guests::DETACHES]);
    let (status, text) = host.finish();
    assert_eq!(status, Some(0), "{text}");
    let said = format!("attached to process {} ({name}), 5 threads", target.pid());
    assert!(text.contains(&said), "{text}");

    // Two of that name: both are listed, neither is chosen.
    let second = Target::start(path, &[]);
    let output = finish(&mut pai_host(&["attach", "--name", &name, "minimal"]));
    let text = stderr(&output);
    assert_eq!(status_of(&output), 125, "{text}");
    assert!(
        text.contains(&format!("2 processes are named \"{name}\"")),
        "{text}"
    );
    for target in [&target, &second] {
        assert!(text.contains(&target.pid().to_string()), "{text}");
    }
    target.expect_ok();
    second.expect_ok();
}

#[test]
fn attach_to_several_processes() {
    let targets = [(); 3].map(|()| Target::start(fixtures::ATTACH_TARGET, &["1"]));
    let pids: Vec<String> = targets.iter().map(|t| t.pid().to_string()).collect();
    let list = format!("{},{}", pids[0], pids[1]);
    let mut host = Host::start(&["attach", "-p", &list, "-p", &pids[2], "strace"]);
    for pid in &pids {
        let said = host.line();
        assert!(said.contains(&format!("process {pid} ")), "{said}");
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 2 * pids.len() {
        let text = host.line();
        assert_ne!(text, "", "the trace ended");
        if let Some(rest) = text.strip_prefix("[pid ") {
            seen.insert(rest.split(']').next().map(str::to_owned));
        }
    }
    host.signal(Signal::SIGINT);
    assert_eq!(host.finish().0, Some(0));
    for target in targets {
        target.assert_untraced();
        target.expect_ok();
    }
}

/// The trace ends when the last of the processes does.
#[test]
fn attach_ends_with_the_process() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let host = Host::attached(&["-p", &target.pid().to_string(), "minimal"]);
    target.expect_ok();
    assert_eq!(host.finish(), (Some(0), String::new()));
}

#[test]
fn pai_host_is_killed() {
    // A target that it has started ends with it: the end of its output.
    let mut host = pai_host(&[
        "run",
        "minimal",
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 1000",
    ])
    .stdout(Stdio::piped())
    .spawn()
    .expect("pai-host");
    let mut out = BufReader::new(host.stdout.take().expect("a pipe"));
    assert_eq!(line(&mut out), "up\n");
    host.kill().expect("not waited for");
    assert_eq!(line(&mut out), "");
    assert_eq!(host.wait().expect("a child").signal(), Some(9));

    // One that ran before runs on.
    for plugin in ["minimal", "strace", guests::NOOP] {
        let target = Target::start(fixtures::ATTACH_TARGET, &[]);
        let mut host = Host::attached(&["-p", &target.pid().to_string(), plugin]);
        host.child.kill().expect("not waited for");
        assert_eq!(host.child.wait().expect("a child").signal(), Some(9));
        target.assert_untraced();
        target.expect_ok();
    }
}

/// Says what it gets, without a moment at which it would miss one, and ends with 9 at
/// others than SIGHUP.
const WAITS: [&str; 3] = [
    "python3",
    "-uc",
    "import signal
wanted = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print('ready')
while signal.sigwait(wanted) == signal.SIGHUP:
    print('again')
print('got it')
exit(9)",
];

#[test]
fn signals_sent_to_pai_host_reach_the_target() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut host = pai_host(&["run", "minimal", "--"])
            .args(WAITS)
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

/// As often as they come: a daemon reads its settings again at each SIGHUP.
#[test]
fn signals_are_passed_on_again_and_again() {
    let mut host = pai_host(&["run", "minimal", "--"])
        .args(WAITS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("pai-host");
    let _watchdog = Watchdog::over(&host);
    let mut out = BufReader::new(host.stdout.take().expect("a pipe"));
    let send = |signal| kill(Pid::from_raw(host.id().cast_signed()), signal).expect("alive");
    assert_eq!(line(&mut out), "ready\n");
    for _ in 0..3 {
        send(Signal::SIGHUP);
        assert_eq!(line(&mut out), "again\n");
    }
    send(Signal::SIGTERM);
    assert_eq!(host.wait().expect("a child").code(), Some(9));
}

/// When the target has ended, and what it left behind goes on, a signal ends the
/// trace; the status is still the target's. What is left goes on, unless its calls are
/// filtered: then it cannot.
#[test]
fn signals_after_the_end_of_the_target_end_the_trace() {
    let script = "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!; exit 3";
    let strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=openat"];
    for (options, goes_on) in [
        (&["run", "exits", "--"][..], true),
        (&["run", "--no-seccomp", "files", "--"], true),
        (&["run", "files", "--"], false),
        // As strace has it.
        (&strace, true),
        (&[&strace[..], &["--seccomp-bpf"]].concat(), false),
    ] {
        let mut host = pai_host(options)
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pai-host");
        let _watchdog = Watchdog::over(&host);
        let mut out = BufReader::new(host.stdout.take().expect("a pipe"));
        let left: i32 = line(&mut out).trim().parse().expect("a pid");
        // The shell is its child; what the shell left behind is not.
        while std::fs::read_to_string(format!("/proc/{}/task/{}/children", host.id(), host.id()))
            .is_ok_and(|children| !children.trim().is_empty())
        {
            std::thread::yield_now();
        }
        kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGTERM).expect("alive");
        let mut said = String::new();
        let mut err = host.stderr.take().expect("a pipe");
        err.read_to_string(&mut said).expect("text");
        assert_eq!(host.wait().expect("a child").code(), Some(3));
        let killed = format!("pai-host: process {left} was killed: ");
        assert_eq!(said.contains(&killed), !goes_on, "{said}");
        // Who has ended may still wait to be reaped.
        let stat = std::fs::read_to_string(format!("/proc/{left}/stat"));
        let lives = stat.is_ok_and(|stat| !stat.contains(") Z"));
        assert_eq!(lives, goes_on, "{options:?}");
        if goes_on {
            kill(Pid::from_raw(left), Signal::SIGKILL).expect("it runs on");
        }
    }
}

/// Somebody who starts us with every signal blocked gets what he wants: a target
/// with every signal blocked.
#[test]
fn blocked_signals_are_the_target_s_business() {
    let script = "import signal, subprocess, sys\n\
                  def block(): signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
                  sys.exit(subprocess.run(sys.argv[1:], preexec_fn=block).returncode)\n";
    let target = ["grep", "SigBlk", "/proc/self/status"];
    for host in [
        &[][..],
        &[
            crate::common::PAI_HOST,
            "run",
            "-o",
            "/dev/null",
            "strace",
            "--",
        ],
    ] {
        let mut python = std::process::Command::new("python3");
        python.args(["-c", script]).args(host).args(target);
        crate::common::plain(&mut python);
        let output = finish(&mut python);
        assert_eq!(status_of(&output), 0, "{}", stderr(&output));
        assert_eq!(stdout(&output), "SigBlk:\tfffffffe7ffbfeff\n");
    }
}

/// Nobody takes the output: a signal still ends the trace.
#[test]
fn output_that_nobody_takes_holds_up_nobody_for_ever() {
    let dir = tempfile::tempdir().expect("a folder");
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    // Open for reading, so that it can be opened for writing.
    let reader = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe");
    for plugin in ["strace", guests::EVENTS_LOG] {
        let target = Target::start(fixtures::ATTACH_TARGET, &[]);
        let pid = target.pid().to_string();
        let path = pipe.to_str().expect("a plain path");
        let mut host = Host::attached(&["-o", path, "-p", &pid, plugin]);
        // Until it waits for room: it uses no more CPU time.
        let used = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("alive");
            let (_, fields) = stat.rsplit_once(')').expect("a name");
            let fields: Vec<u64> = fields.split(' ').filter_map(|f| f.parse().ok()).collect();
            // utime and stime, 11 fields after the parent's id.
            fields[10] + fields[11]
        };
        let mut before = u64::MAX;
        while used(host.child.id()) != before {
            before = used(host.child.id());
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        host.signal(Signal::SIGTERM);
        host.signal(Signal::SIGTERM);
        target.expect_ok();
        while host.child.try_wait().expect("a child").is_none() {
            host.signal(Signal::SIGTERM);
            std::thread::yield_now();
        }
    }
    drop(reader);
}

#[test]
fn processes_that_are_not_followed_run_free() {
    let command = ["sh", "-c", "ls / >/dev/null; exit 4"];
    let mut args = vec!["run", "--no-follow", "count", "--"];
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(
        (status_of(&output), stdout(&output).as_str()),
        (4, ""),
        "{text}"
    );
    assert!(!text.contains("getdents64"), "ls was followed: {text}");
}
