//! Targets and pai-host itself at a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use pai_tests::guests;
use pai_tests::target::PATIENCE;

use crate::common::{PAI_HOST, calls_of_json, calls_of_strace, company, counts, plain, strace_to};

/// One end of a terminal, with a program on the other.
struct Terminal {
    child: Child,
    master: File,
    /// Pieces of what it printed.
    pieces: Receiver<Vec<u8>>,
    /// All of it.
    transcript: String,
    /// How much of it was there when something was sent last.
    before: usize,
}

/// Both ends of a new terminal, closed in programs that other tests start.
fn pair() -> (File, File) {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).expect("a terminal");
    grantpt(&master).expect("its owner");
    unlockpt(&master).expect("its owner");
    let name = ptsname_r(&master).expect("a name");
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(name)
        .expect("the other end");
    (File::from(OwnedFd::from(master)), slave)
}

impl Terminal {
    fn start(command: &[&str]) -> Self {
        let (master, slave) = pair();
        let slave = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut setsid = Command::new("setsid");
        setsid.args(["--ctty", "--wait"]).args(command);
        plain(&mut setsid);
        setsid
            .env("PS1", "PROMPT ")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave());
        let child = setsid.spawn().expect("setsid");
        let mut reader = master.try_clone().expect("a descriptor");
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO is the end: nobody has the other side open.
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            master,
            pieces,
            transcript: String::new(),
            before: 0,
        }
    }

    fn send(&mut self, text: &str) {
        self.before = self.transcript.len();
        self.master.write_all(text.as_bytes()).expect("a terminal");
    }

    /// What was printed since something was sent.
    fn seen(&self) -> &str {
        &self.transcript[self.before..]
    }

    /// The terminal's mode and what everybody does, for when nothing comes.
    fn who_is_there(&self) -> String {
        let mode = nix::sys::termios::tcgetattr(&self.master);
        let mut text = format!("{:?}\n", mode.map(|mode| mode.local_flags));
        let ps = Command::new("ps")
            .args(["-eLo", "pid,lwp,ppid,pgid,tpgid,sid,tty,stat,wchan:24,args"])
            .output();
        text += &match ps {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => error.to_string(),
        };
        text
    }

    /// Reads until this was printed.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        while !self.seen().contains(text) {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.transcript += &String::from_utf8_lossy(&piece),
                Err(_) => panic!(
                    "{text:?} never came after {:?}\n{}",
                    self.transcript,
                    self.who_is_there()
                ),
            }
        }
    }

    /// Sends a line to a shell, and reads until it asks for the next.
    #[track_caller]
    fn type_line(&mut self, line: &str) {
        self.send(&format!("{line}\n"));
        self.expect(line);
        self.expect("PROMPT ");
    }

    /// Waits for the end; its exit status and all that was printed.
    #[track_caller]
    fn finish(mut self) -> (Option<i32>, String) {
        loop {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(piece) => self.transcript += &String::from_utf8_lossy(&piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no end of {:?}\n{}", self.transcript, self.who_is_there())
                }
            }
        }
        let status = self.child.wait().expect("a child");
        (status.code(), std::mem::take(&mut self.transcript))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Hangs up; whoever is still there gets SIGHUP. Fails when it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a user does at the prompt of a shell with a job that says what it reads.
impl Terminal {
    /// An interactive bash.
    fn shell(tracer: &[&str]) -> Self {
        let shell = ["bash", "--norc", "--noprofile", "-i"];
        let command: Vec<&str> = tracer.iter().chain(&shell).copied().collect();
        let mut terminal = Self::start(&command);
        terminal.expect("PROMPT ");
        terminal
    }

    #[track_caller]
    fn start_job(&mut self, tracer: &str) {
        self.send(&format!("{tracer} sh -c 'echo STAR''TED; exec cat'\n"));
        self.expect("STARTED");
    }

    #[track_caller]
    fn stop_job(&mut self) {
        self.send("\x1a");
        self.expect("Stopped");
        self.expect("PROMPT ");
    }

    #[track_caller]
    fn continue_job(&mut self) {
        self.send("fg\n");
        self.expect("exec cat");
        self.send("one line\n");
        // The terminal's echo, and what cat says.
        self.expect("one line\r\none line\r\n");
    }

    /// The shell ends with 3.
    #[track_caller]
    fn end_job_and_shell(mut self) -> (Option<i32>, String) {
        self.send("\x03");
        self.expect("PROMPT ");
        self.type_line("echo status $?");
        assert!(self.seen().contains("status 130"), "{}", self.seen());
        self.send("exit 3\n");
        self.finish()
    }
}

fn use_a_shell(tracer: &[&str]) -> (Option<i32>, String) {
    let mut terminal = Terminal::shell(tracer);
    terminal.start_job("");
    terminal.stop_job();
    terminal.type_line("jobs");
    assert!(terminal.seen().contains("Stopped"), "{}", terminal.seen());
    terminal.continue_job();
    terminal.end_job_and_shell()
}

#[test]
fn job_control_of_a_shell() {
    let alone = use_a_shell(&[]);
    assert_eq!(alone.0, Some(3));

    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let strace = strace_to(log.path());
    let strace: Vec<&str> = std::iter::once(strace.get_program())
        .chain(strace.get_args())
        .map(|word| word.to_str().expect("a plain path"))
        .chain(["-qq"])
        .collect();
    assert_eq!(use_a_shell(&strace), alone);
    let theirs = calls_of_strace(&std::fs::read_to_string(log.path()).expect("a log"));

    for (others, said) in company() {
        let mut traced = vec![
            PAI_HOST,
            "run",
            "--limit",
            "time=100ms",
            "--json",
            "-o",
            path,
        ];
        for other in &others {
            traced.extend(["-t", other]);
        }
        traced.extend(["-t", "strace", "--"]);
        let (status, transcript) = use_a_shell(&traced);
        if said.is_empty() {
            assert_eq!((status, transcript), alone);
        } else {
            // What the host says of a plugin stands in between.
            assert_eq!(status, alone.0);
            assert!(transcript.contains(said), "{transcript}");
        }
        let ours = calls_of_json(&std::fs::read_to_string(log.path()).expect("a log"));
        // Whether cat is in its next read already when it is stopped is up to
        // the scheduler; and whether the shell or its child is the first to give
        // the terminal to the job (TIOCSPGRP, with signals blocked), which the
        // other then leaves out; and how often the shell waits once more for
        // nothing: SIGCHLD of "continued" is sent by the job when it runs, after
        // the shell can have been told so by wait4 (signal(7), kernel/signal.c).
        const LOOSE: [&str; 4] = ["read", "ioctl", "rt_sigprocmask", "wait4"];
        let count = |calls| {
            let mut counts = counts(calls);
            counts.retain(|name, _| !LOOSE.contains(&name.as_str()));
            counts
        };
        assert_eq!(count(&ours), count(&theirs));
        // Stopped and ended; and continued, unless the job has ended by then.
        for calls in [&ours, &theirs] {
            let told = calls.iter().flatten();
            let told = told.filter(|call| call.name == "wait4" && call.result == "task 1");
            let told = told.count();
            assert!((2..=3).contains(&told), "{told} reports of the job");
        }
    }
}

/// pai-host is a job like any other: it stops with its target, comes back with
/// it, and ^C ends both.
#[test]
fn job_control_of_pai_host() {
    // Its own standard input need not be the terminal. The target has one process,
    // as what ^Z finds in a read of another may still read what comes next, the
    // shell's line, before it stops.
    let quiet =
        "true | $PAI run -o /dev/null minimal -- sh 3</dev/tty -c 'exec <&3; exec \"$@\"' sh";
    let usual = ["minimal", "count", guests::NOOP];
    let usual = usual.map(|plugin| format!("$PAI run -o /dev/null {plugin} --"));
    for tracer in usual.iter().map(String::as_str).chain([quiet]) {
        let mut terminal = Terminal::shell(&[]);
        terminal.type_line(&format!("PAI={PAI_HOST}"));
        terminal.start_job(tracer);
        for _ in 0..3 {
            terminal.stop_job();
            terminal.continue_job();
        }
        assert_eq!(terminal.end_job_and_shell().0, Some(3));
    }
}
