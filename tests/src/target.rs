//! Processes that are not started by the engine: targets to attach to, and
//! helpers that must not share a process with other tests.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal as NixSignal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid as NixPid;
use pai_engine::{ExitStatus, procfs};
use pai_ptrace::{Pid, Signal, Tid};

/// How long something may take that has to happen at once. No test depends on
/// it but one that fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A program to attach to. It reads its orders from a pipe and says what it
/// does; nothing but a stop or an exit of it is ever waited for.
#[derive(Debug)]
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Target {
    /// Starts it, and waits until it says "ready".
    pub fn start(path: &str, args: &[&str]) -> Self {
        let mut target = Self::launch(Command::new(path).args(args));
        assert_eq!(target.line(), "ready");
        target
    }

    /// Starts it.
    pub fn launch(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be executed");
        let stdout = child.stdout.take().expect("a pipe");
        Self {
            stdin: child.stdin.take(),
            stdout: Some(BufReader::new(stdout)),
            child,
        }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::new(self.child.id().cast_signed())
    }

    fn output(&mut self) -> &mut BufReader<ChildStdout> {
        self.stdout.as_mut().expect("not read to the end yet")
    }

    /// The next line of its standard output, without the newline; empty at the
    /// end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output().read_line(&mut line).expect("UTF-8");
        line.trim_end_matches('\n').to_owned()
    }

    /// Ends its standard input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The rest of its standard output, to the end.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.output().read_to_string(&mut rest).expect("UTF-8");
        rest
    }

    /// The rest of its standard output; panics when that does not end by
    /// itself.
    #[track_caller]
    pub fn rest_in_time(&mut self) -> String {
        let (sender, receiver) = channel();
        let mut stdout = self.stdout.take().expect("read only once");
        std::thread::spawn(move || {
            let mut rest = String::new();
            let read = stdout.read_to_string(&mut rest).map(|_| rest);
            // Nobody waits any more when it comes too late.
            drop(sender.send(read));
        });
        let read = receiver
            .recv_timeout(PATIENCE)
            .expect("the end of its output");
        read.expect("UTF-8")
    }

    /// Ends its standard input, and waits for it to end.
    pub fn finish(mut self) -> (ExitStatus, String) {
        self.end_input();
        let rest = self.rest();
        (self.status(), rest)
    }

    /// Waits for it to end.
    pub fn status(&mut self) -> ExitStatus {
        status(self.child.wait().expect("a child"))
    }

    /// Panics unless it ends as its fixture documents when nothing disturbed
    /// it.
    #[track_caller]
    pub fn expect_ok(self) {
        assert_eq!(self.finish(), (ExitStatus::Exited(0), "ok\n".to_owned()));
    }

    fn nix(&self) -> NixPid {
        NixPid::from_raw(self.pid().get())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: NixSignal) {
        kill(self.nix(), signal).expect("it is there");
    }

    /// Stops it, and waits until its parent is told so: all its threads have
    /// stopped then.
    pub fn stop(&self) {
        self.signal(NixSignal::SIGSTOP);
        self.stopped();
    }

    /// Waits until its parent is told that it has stopped.
    pub fn stopped(&self) {
        let told = waitpid(self.nix(), Some(WaitPidFlag::WUNTRACED));
        assert_eq!(
            told,
            Ok(WaitStatus::Stopped(self.nix(), NixSignal::SIGSTOP))
        );
    }

    /// Continues it, and waits until its parent is told so.
    pub fn resume(&self) {
        self.signal(NixSignal::SIGCONT);
        self.continued();
    }

    /// Waits until its parent is told that it goes on.
    pub fn continued(&self) {
        let told = waitpid(self.nix(), Some(WaitPidFlag::WCONTINUED));
        assert_eq!(told, Ok(WaitStatus::Continued(self.nix())));
    }

    /// Its tasks.
    pub fn tasks(&self) -> Vec<Tid> {
        procfs::tasks(self.pid())
    }

    /// Waits until all its tasks are in this state (proc(5)). One that stays
    /// stopped when it is let go passes through R on its way from one kind of
    /// stop to the other.
    #[track_caller]
    pub fn await_state(&self, wanted: char) {
        let until = Instant::now() + PATIENCE;
        while self.tasks().iter().any(|tid| state(*tid) != Some(wanted)) {
            assert!(
                Instant::now() < until,
                "not all tasks are in state {wanted}"
            );
            std::thread::yield_now();
        }
    }

    /// Panics if one of its tasks has a tracer.
    #[track_caller]
    pub fn assert_untraced(&self) {
        for tid in self.tasks() {
            // A thread may end at any time.
            let tracer = tracer(tid).unwrap_or(0);
            assert_eq!(tracer, 0, "of task {tid}");
        }
    }

    /// Panics unless it was let go and stays stopped; then it goes on.
    #[track_caller]
    pub fn assert_let_go_stopped(&self) {
        self.stopped();
        self.assert_untraced();
        self.await_state('T');
        self.resume();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Both fail when it has ended and was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The tracer of a task, 0 for none; `None` when the task is gone.
pub fn tracer(tid: Tid) -> Option<i32> {
    procfs::status_id(tid, "TracerPid").map(Pid::get)
}

/// The state of a task as proc(5) has it.
pub fn state(tid: Tid) -> Option<char> {
    procfs::status_field(tid, "State")?.chars().next()
}

/// Waits until a task is in this state (proc(5)).
pub fn await_state(tid: Tid, wanted: char) {
    while state(tid) != Some(wanted) {
        std::thread::yield_now();
    }
}

/// In our words.
pub fn status(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal().and_then(Signal::new)) {
        (Some(code), _) => ExitStatus::Exited(u8::try_from(code).expect("eight bits")),
        (None, Some(signal)) => ExitStatus::Killed(signal, status.core_dumped()),
        (None, None) => panic!("neither exited nor killed: {status:?}"),
    }
}

/// Says which part of a test this process is to play.
const ROLE: &str = "PAI_TEST_ROLE";

/// The part that this process plays; `None` in the test itself.
pub fn role() -> Option<String> {
    env::var(ROLE).ok()
}

/// This test program again, with one test only, which plays another part
/// there: for what must not happen in a process that has other tests.
pub fn helper(test: &str, role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("our own path"));
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role);
    command
}

/// Marks the lines of a helper among those of the test harness.
const MARK: &str = "helper: ";

/// Says something to the test that started this helper.
pub fn tell(text: &str) {
    // Not println!, which the test harness may capture.
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n{MARK}{text}").expect("a reader");
}

impl Target {
    /// The next thing that a helper said; empty when it has ended.
    pub fn told(&mut self) -> String {
        loop {
            let mut line = String::new();
            if self.output().read_line(&mut line).expect("UTF-8") == 0 {
                return line;
            }
            if let Some(text) = line.trim_end().strip_prefix(MARK) {
                return text.to_owned();
            }
        }
    }
}

/// Copies a program to execute it. Not in this process: a child that another
/// test forks meanwhile would have the copy open for writing, and it would be
/// "busy" until that has executed its own program.
#[track_caller]
pub fn copy_program(from: impl AsRef<Path>, to: &Path) {
    let copied = Command::new("cp").arg(from.as_ref()).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// The same with bytes, which stand beside it for the while.
#[track_caller]
pub fn write_program(bytes: &[u8], to: &Path) {
    let beside = to.with_extension("bytes");
    fs::write(&beside, bytes).expect("it can be written");
    copy_program(&beside, to);
    fs::remove_file(beside).expect("it is ours");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("it is ours");
}
