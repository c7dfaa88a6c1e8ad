//! Runs a target under the engine with clients written as closures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use pai_engine::{
    Action, Client, ClientId, Delivery, Diagnostic, End, Engine, Error, Event, ExitStatus, Fatal,
    Follow, Served, Stats, Supervisor, SyscallFilter, SyscallSet, SyscallStop, Topic, program, run,
};
use pai_ptrace::{Pid, Tid};

/// What a handler does with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Answers its stop, if it has one.
    Answer(Action),
    /// Leaves it held.
    Hold,
    /// Ends this client as it stands: what it holds is not answered.
    Leave,
}

type Handler<'a> = Box<dyn FnMut(&mut Engine, ClientId, &Delivery) -> Reply + 'a>;

/// What the clients of a session see and do.
enum Role<'a> {
    Handler(Handler<'a>),
    Sink(Option<Box<dyn Sink>>),
}

/// A client whose handler answers each stop at once.
struct Closure<'a> {
    topics: Vec<Topic>,
    handler: Handler<'a>,
    subscribed: bool,
}

impl Client for Closure<'_> {
    fn serve(&mut self, id: ClientId, engine: &RefCell<Engine>) -> Result<Served, Fatal> {
        let mut engine = engine.borrow_mut();
        if !self.subscribed {
            self.subscribed = true;
            for topic in self.topics.drain(..) {
                engine.subscribe(id, topic).expect("a new session");
            }
        }
        while let Some(delivery) = engine.take_mail(id) {
            let ended = matches!(delivery.event, Event::Ended(_));
            match (self.handler)(&mut engine, id, &delivery) {
                Reply::Answer(action) => {
                    if let Some(stop) = delivery.stop {
                        match engine.answer(id, stop, action)? {
                            // The task may have been killed meanwhile.
                            Ok(()) | Err(Error::StaleStop(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                Reply::Hold => {}
                Reply::Leave => return Ok(Served::Finished),
            }
            if ended {
                return Ok(Served::Finished);
            }
        }
        engine.set_waiting(id, None);
        Ok(Served::Waiting)
    }
}

/// Collects what the user would be told.
#[derive(Default)]
struct Watcher {
    diagnostics: Vec<Diagnostic>,
}

impl Supervisor for Watcher {
    fn woken(&mut self, _: &RefCell<Engine>) {}

    fn diagnostic(&mut self, _: &RefCell<Engine>, diagnostic: &Diagnostic) {
        self.diagnostics.push(diagnostic.clone());
    }
}

/// What a session came to.
#[derive(Debug)]
pub struct Traced {
    /// How the engine ended.
    pub end: Result<End, Fatal>,
    /// How the target ended.
    pub status: Option<ExitStatus>,
    /// What the target wrote to its standard output.
    pub stdout: String,
    /// Counters.
    pub stats: Stats,
    /// What the user would have been told.
    pub diagnostics: Vec<Diagnostic>,
    /// The target's process.
    pub pid: Pid,
}

impl Traced {
    /// Panics unless the target ended with this code and output, both of which
    /// its fixture documents.
    #[track_caller]
    pub fn expect(&self, code: u8, stdout: &str) -> &Self {
        assert_eq!(self.stdout, stdout, "{self:?}");
        assert_eq!(self.status, Some(ExitStatus::Exited(code)), "{self:?}");
        assert!(self.end.is_ok(), "{self:?}");
        self
    }
}

/// A target and its clients.
pub struct Trace<'a> {
    argv: Vec<Vec<u8>>,
    follow: Follow,
    stdin: Option<Arc<OwnedFd>>,
    clients: Vec<(Vec<Topic>, Handler<'a>)>,
}

impl<'a> Trace<'a> {
    /// Of this program.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self {
            argv: vec![path.as_ref().as_os_str().as_bytes().to_vec()],
            follow: Follow::Yes,
            stdin: None,
            clients: Vec::new(),
        }
    }

    /// With this argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<str>) -> Self {
        self.argv.push(arg.as_ref().as_bytes().to_vec());
        self
    }

    /// Without following new processes.
    #[must_use]
    pub fn no_follow(mut self) -> Self {
        self.follow = Follow::No;
        self
    }

    /// With this standard input.
    #[must_use]
    pub fn stdin(mut self, fd: OwnedFd) -> Self {
        self.stdin = Some(Arc::new(fd));
        self
    }

    /// With one more client, which is offered stops after the ones before.
    #[must_use]
    pub fn client(
        mut self,
        topics: Vec<Topic>,
        handler: impl FnMut(&mut Engine, ClientId, &Delivery) -> Option<Action> + 'a,
    ) -> Self {
        self.clients.push((topics, Box::new(handler)));
        self
    }

    /// With a client that notes every event and lets everything go on.
    #[must_use]
    pub fn log(self, topics: Vec<Topic>, events: &'a RefCell<Vec<Event>>) -> Self {
        self.client(topics, |_, _, delivery| {
            events.borrow_mut().push(delivery.event.clone());
            Some(Action::Proceed)
        })
    }

    /// Runs it to the end.
    pub fn run(self) -> Traced {
        let mut stdout = tempfile::tempfile().expect("a temporary file");
        let mut argv = self.argv;
        let path = String::from_utf8(argv[0].clone()).expect("a path in UTF-8");
        let file = Path::new(&path).file_name().expect("a file");
        argv[0] = file.as_bytes().to_vec();
        let env = [b"LC_ALL=C".to_vec(), b"PATH=/usr/bin:/bin".to_vec()];
        let mut program = program(Path::new(&path), argv, env).expect("no NUL bytes");
        let output: File = stdout.try_clone().expect("a duplicate");
        program.stdio =
            [
                Some(self.stdin.unwrap_or_else(|| {
                    Arc::new(File::open("/dev/null").expect("/dev/null").into())
                })),
                Some(Arc::new(output.into())),
                None,
            ];

        let mut engine = Engine::new(self.follow).expect("a timer");
        let ids: Vec<ClientId> = (0..self.clients.len())
            .map(|n| engine.add_client(&format!("client {n}")).expect("room"))
            .collect();
        let pid = engine.spawn(&program).expect("a child");
        let engine = RefCell::new(engine);
        let mut watcher = Watcher::default();
        let mut clients: Vec<(ClientId, Box<dyn Client + '_>)> = ids
            .into_iter()
            .zip(self.clients)
            .map(|(id, (topics, handler))| {
                let client = Closure {
                    topics,
                    handler,
                    subscribed: false,
                };
                (id, Box::new(client) as Box<dyn Client>)
            })
            .collect();
        let end = run(&engine, &mut clients, &mut watcher);
        drop(clients);
        let mut engine = engine.into_inner();
        engine.shut_down();
        let status = match engine.root_status() {
            Some(status) => Some(status),
            None => engine.await_root(|_| {}).expect("a child to wait for"),
        };
        stdout.rewind().expect("a seekable file");
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("UTF-8");
        Traced {
            end,
            status,
            stdout: text,
            stats: engine.stats(),
            diagnostics: watcher.diagnostics,
            pid,
        }
    }
}

/// Entry and exit of every call.
pub fn all_syscalls() -> Topic {
    syscalls(SyscallSet::All, true, true)
}

/// These calls.
pub fn calls(names: &[&str], enter: bool, exit: bool) -> Topic {
    let ids = SyscallSet::ids(names).expect("known names");
    syscalls(SyscallSet::Only(ids), enter, exit)
}

fn syscalls(which: SyscallSet, enter: bool, exit: bool) -> Topic {
    Topic::Syscalls(SyscallFilter {
        which,
        enter,
        exit,
        tasks: Vec::new(),
    })
}

/// Everything there is to hear.
pub fn everything() -> Vec<Topic> {
    vec![
        all_syscalls(),
        Topic::Signals(Vec::new()),
        Topic::Tasks,
        Topic::Forks,
        Topic::Execs,
        Topic::JobControl,
        Topic::AllStops,
    ]
}

/// The name of a call.
pub fn name(stop: &SyscallStop) -> &'static str {
    pai_syscalls::name(stop.call.abi, stop.call.nr).unwrap_or("?")
}

/// How often each call was entered.
pub fn entered(events: &[Event]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        if let Event::SyscallEnter(stop) = event {
            *counts.entry(name(stop)).or_insert(0) += 1;
        }
    }
    counts
}

/// Calls of one task, as (name, result), in order.
pub fn exits_of(events: &[Event], tid: Tid) -> Vec<(&'static str, i64)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::SyscallExit(stop) if stop.tid == tid => {
                Some((name(stop), stop.ret.unwrap_or(0)))
            }
            _ => None,
        })
        .collect()
}

/// Every exit has its entry: the invariant behind all bookkeeping. Calls in
/// flight at an exec or at the end have no exit.
#[track_caller]
pub fn assert_paired(events: &[Event]) {
    let mut inside: BTreeMap<Tid, SyscallStop> = BTreeMap::new();
    for event in events {
        match event {
            Event::SyscallEnter(stop) => {
                let before = inside.insert(stop.tid, *stop);
                assert!(before.is_none(), "{stop:?} entered inside {before:?}");
            }
            Event::SyscallExit(stop) => {
                let entry = inside.remove(&stop.tid);
                let entry = entry.unwrap_or_else(|| panic!("exit without entry: {stop:?}"));
                assert!(stop.entry_seen, "{stop:?}");
                assert_eq!((entry.call, entry.args), (stop.call, stop.args));
                assert!(entry.at <= stop.at);
            }
            Event::TaskExited { tid, .. } => {
                inside.remove(tid);
            }
            Event::Execed(exec) => {
                if let Some(entry) = inside.remove(&exec.former) {
                    let tid = exec.pid.leader();
                    inside.insert(tid, SyscallStop { tid, ..entry });
                }
            }
            _ => {}
        }
    }
}

/// A pipe whose write end, when dropped, is the end of input of a target.
pub fn input() -> (OwnedFd, impl Write) {
    let (read, write) = std::io::pipe().expect("a pipe");
    (read.into(), write)
}
