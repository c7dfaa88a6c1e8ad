//! Runs a target under the engine with clients written as closures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pai_engine::{
    Action, Client, ClientId, Delivery, Diagnostic, End, Engine, Error, Event, ExitStatus, Fatal,
    Follow, Served, Sink, Stats, StopId, Supervisor, SyscallFilter, SyscallSet, SyscallStop, Topic,
    program, run,
};
use pai_ptrace::{Pid, Program, Tid};

/// What a handler does with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Answers its stop, if it has one.
    Answer(Action),
    /// Leaves it held.
    Hold,
    /// Ends this client as it stands: what it holds is not answered.
    Leave,
    /// Ends the session for all, with the stop still held.
    Abort,
}

type Handler<'a> = Box<dyn FnMut(&mut Engine, ClientId, &Delivery) -> Reply + 'a>;

/// What the clients of a session see and do.
enum Role<'a> {
    Handler(Handler<'a>),
    Sink(Option<Box<dyn Sink>>),
    Leaver,
}

/// A client whose handler answers each stop at once.
struct Closure<'a> {
    topics: Vec<Topic>,
    /// None for a client that only watches, or leaves at once.
    handler: Option<Handler<'a>>,
    subscribed: bool,
    leaves: bool,
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
        if self.leaves {
            return Ok(Served::Finished);
        }
        while let Some(delivery) = engine.take_mail(id) {
            let ended = matches!(delivery.event, Event::Ended(_));
            let handler = self.handler.as_mut().expect("observers get no mail");
            match handler(&mut engine, id, &delivery) {
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
                Reply::Abort => return Err(ABORTED),
            }
            if ended {
                return Ok(Served::Finished);
            }
        }
        engine.set_waiting(id, None);
        Ok(Served::Waiting)
    }
}

/// Stands for whatever is fatal.
const ABORTED: Fatal = Fatal::TooManyClients;

/// Collects what the user would be told.
#[derive(Default)]
struct Watcher {
    diagnostics: Vec<Diagnostic>,
    stops: u64,
    most_at_once: u64,
}

impl Supervisor for Watcher {
    fn woken(&mut self, _: &RefCell<Engine>) {}

    fn diagnostic(&mut self, _: &RefCell<Engine>, diagnostic: &Diagnostic) {
        self.diagnostics.push(diagnostic.clone());
    }

    fn stopped(&mut self, stops: u64) {
        self.most_at_once = self.most_at_once.max(stops - self.stops);
        self.stops = stops;
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
    /// The most stops that the user's side heard of at once.
    pub most_at_once: u64,
    /// The target's process.
    pub pid: Pid,
}

/// What a program did without a tracer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Native {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: String,
}

impl Traced {
    /// Nothing was traced.
    fn failed(fatal: Fatal) -> Self {
        Self {
            end: Err(fatal),
            status: None,
            stdout: String::new(),
            stats: Stats::default(),
            diagnostics: Vec::new(),
            most_at_once: 0,
            pid: Pid::new(0),
        }
    }

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
    target: Start,
    follow: Follow,
    filtered: bool,
    clients: Vec<(Vec<Topic>, Role<'a>)>,
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("target", &self.target)
            .field("clients", &self.clients.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Start {
    Spawn {
        argv: Vec<Vec<u8>>,
        stdin: Option<Arc<OwnedFd>>,
    },
    Attach(Vec<Pid>),
}

impl<'a> Trace<'a> {
    /// Of this program.
    pub fn of(path: impl AsRef<Path>) -> Self {
        Self::new(Start::Spawn {
            argv: vec![path.as_ref().as_os_str().as_bytes().to_vec()],
            stdin: None,
        })
    }

    /// Of processes that run already.
    pub fn attached(pids: &[Pid]) -> Self {
        Self::new(Start::Attach(pids.to_vec()))
    }

    fn new(target: Start) -> Self {
        Self {
            target,
            follow: Follow::Yes,
            filtered: true,
            clients: Vec::new(),
        }
    }

    /// With this argument.
    #[must_use]
    pub fn arg(mut self, arg: impl ToString) -> Self {
        if let Start::Spawn { argv, .. } = &mut self.target {
            argv.push(arg.to_string().into_bytes());
        }
        self
    }

    /// Whether calls that nobody wants may go on without a stop: then the target is not
    /// let go.
    #[must_use]
    pub fn filtered(mut self, filtered: bool) -> Self {
        self.filtered = filtered;
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
        if let Start::Spawn { stdin, .. } = &mut self.target {
            *stdin = Some(Arc::new(fd));
        }
        self
    }

    /// With one more client, which is offered stops after the ones before;
    /// `None` leaves a stop held.
    #[must_use]
    pub fn client(
        self,
        topics: Vec<Topic>,
        mut handler: impl FnMut(&mut Engine, ClientId, &Delivery) -> Option<Action> + 'a,
    ) -> Self {
        self.actor(topics, move |engine, id, delivery| {
            handler(engine, id, delivery).map_or(Reply::Hold, Reply::Answer)
        })
    }

    /// With one more client, which may also leave.
    #[must_use]
    pub fn actor(
        mut self,
        topics: Vec<Topic>,
        handler: impl FnMut(&mut Engine, ClientId, &Delivery) -> Reply + 'a,
    ) -> Self {
        let role = Role::Handler(Box::new(handler));
        self.clients.push((topics, role));
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

    /// With a client that only watches.
    #[must_use]
    pub fn observer(mut self, topics: Vec<Topic>, sink: impl Sink + 'static) -> Self {
        let role = Role::Sink(Some(Box::new(sink)));
        self.clients.push((topics, role));
        self
    }

    /// With a client that leaves as soon as it has subscribed.
    #[must_use]
    pub fn leaver(mut self, topics: Vec<Topic>) -> Self {
        self.clients.push((topics, Role::Leaver));
        self
    }

    /// Runs the program without a tracer.
    pub fn untraced(&self) -> Native {
        let Start::Spawn { argv, stdin } = &self.target else {
            panic!("it runs already");
        };
        let mut argv = argv.iter().map(|arg| OsStr::from_bytes(arg));
        let path = Path::new(argv.next().expect("a program"));
        let stdin = match stdin {
            Some(fd) => Stdio::from(fd.try_clone().expect("a duplicate")),
            None => Stdio::null(),
        };
        let output = Command::new(path)
            .arg0(path.file_name().expect("a file"))
            .args(argv)
            .env_clear()
            .envs(ENVIRONMENT.iter().copied())
            .stdin(stdin)
            .stderr(Stdio::inherit())
            .output()
            .expect("it can be executed");
        Native {
            status: crate::target::status(output.status),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        }
    }

    /// Runs it without and with a tracer; panics when it can tell the
    /// difference.
    #[track_caller]
    pub fn run_like_untraced(self) -> Traced {
        let native = self.untraced();
        let traced = self.run();
        assert_eq!(traced.stdout, native.stdout, "{traced:?}");
        assert_eq!(traced.status, Some(native.status), "{traced:?}");
        assert!(traced.end.is_ok(), "{traced:?}");
        traced
    }

    /// Runs it to the end, or until all clients have left.
    pub fn run(self) -> Traced {
        let mut engine = Engine::new(self.follow).expect("a timer");
        if !self.filtered {
            engine.set_unfiltered();
        }
        let mut ids = Vec::new();
        let mut clients = self.clients;
        for (n, (_, role)) in clients.iter_mut().enumerate() {
            let name = format!("client {n}");
            ids.push(match role {
                Role::Handler(_) | Role::Leaver => engine.add_client(&name).expect("room"),
                Role::Sink(sink) => {
                    let sink = sink.take().expect("not taken before");
                    engine.add_observer(&name, sink).expect("room")
                }
            });
        }
        let mut stdout = tempfile::tempfile().expect("a temporary file");
        let pid = match self.target {
            Start::Spawn { argv, stdin } => {
                let output = stdout.try_clone().expect("a duplicate");
                let program = spawnable(argv, stdin, output);
                Some(engine.spawn(&program).expect("a child"))
            }
            Start::Attach(pids) => match engine.attach(&pids) {
                Ok(()) => pids.first().copied(),
                Err(fatal) => return Traced::failed(fatal),
            },
        };
        let engine = RefCell::new(engine);
        let mut watcher = Watcher::default();
        let mut served: Vec<(ClientId, Box<dyn Client + '_>)> = ids
            .into_iter()
            .zip(clients)
            .map(|(id, (topics, role))| {
                let leaves = matches!(role, Role::Leaver);
                let client = Closure {
                    topics,
                    handler: match role {
                        Role::Handler(handler) => Some(handler),
                        Role::Sink(_) | Role::Leaver => None,
                    },
                    subscribed: false,
                    leaves,
                };
                (id, Box::new(client) as Box<dyn Client>)
            })
            .collect();
        let end = run(&engine, &mut served, &mut watcher);
        drop(served);
        let mut engine = engine.into_inner();
        engine.shut_down();
        let status = match engine.root_status() {
            Some(status) => Some(status),
            // Nobody knows who has its reports.
            None if matches!(end, Err(Fatal::Stolen { .. })) => None,
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
            most_at_once: watcher.most_at_once,
            pid: pid.unwrap_or(Pid::new(0)),
        }
    }
}

/// Lets a task go on that a handler left held.
#[track_caller]
pub fn proceed(engine: &mut Engine, client: ClientId, stop: StopId) {
    engine
        .answer(client, stop, Action::Proceed)
        .expect("no end")
        .expect("it is held");
}

/// What every target is started with.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("LC_ALL", "C"), ("PATH", "/usr/bin:/bin")];

fn spawnable(mut argv: Vec<Vec<u8>>, stdin: Option<Arc<OwnedFd>>, stdout: File) -> Program {
    let path = String::from_utf8(argv[0].clone()).expect("a path in UTF-8");
    let file = Path::new(&path).file_name().expect("a file");
    argv[0] = file.as_bytes().to_vec();
    let env = ENVIRONMENT.map(|(name, value)| format!("{name}={value}").into_bytes());
    let mut program = program(Path::new(&path), argv, env).expect("no NUL bytes");
    let null = || Arc::new(OwnedFd::from(File::open("/dev/null").expect("/dev/null")));
    program.stdio = [
        Some(stdin.unwrap_or_else(null)),
        Some(Arc::new(stdout.into())),
        None,
    ];
    program
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

/// A topic of these calls.
pub fn syscalls(which: SyscallSet, enter: bool, exit: bool) -> Topic {
    Topic::Syscalls(SyscallFilter::new(which, enter, exit))
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
    // Of tasks that give their id up in an exec.
    let mut leaving = BTreeMap::new();
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
                if let Some(entry) = inside.remove(tid) {
                    leaving.insert(*tid, entry);
                }
            }
            Event::Execed(exec) => {
                let former = exec.former;
                let tid = exec.pid.leader();
                // The leader's own call, if another task called exec.
                let entry = inside.remove(&former).or(leaving.remove(&former));
                inside.remove(&tid);
                if let Some(entry) = entry {
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
