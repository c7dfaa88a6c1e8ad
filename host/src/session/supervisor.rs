//! What the user wants, as far as signals say it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;

use nix::unistd::{getpgid, getpgrp};
use pai_engine::{ClientId, Diagnostic, End, Engine};
use pai_ptrace::{Caught, Pid, Signal, SignalTrap, Waker};

use super::awake::Awake;
use crate::output::{Notes, Sink};
use crate::runtime::Flags;

const ENDING: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM];
/// ^Z and what the terminal does to background jobs is for the target; its
/// stop is reported.
const STOPPING: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];
/// A limit of the file size is told as an error of the write.
const SIGXFSZ: i32 = 25;

/// Signals of this process and diagnostics of the engine.
pub(super) struct Supervisor {
    trap: SignalTrap,
    /// The target is a child: what the user does at the terminal reaches it
    /// too, and what is sent to us is meant for it.
    spawned: bool,
    flags: Arc<Flags>,
    notes: Notes,
    sink: Sink,
    /// Who has clashed with whom.
    clashes: HashSet<(ClientId, ClientId)>,
    pub(super) awake: Awake,
    /// The user has asked for the end once.
    asked: bool,
    pub(super) interrupted: Option<Signal>,
}

impl Supervisor {
    pub(super) fn new(
        waker: &Waker,
        spawned: bool,
        flags: Arc<Flags>,
        notes: Notes,
        sink: Sink,
        awake: Awake,
    ) -> Result<Self, pai_ptrace::Error> {
        let trap = SignalTrap::install(waker, &ENDING)?;
        if let Some(signal) = Signal::new(SIGXFSZ) {
            SignalTrap::ignore(&[signal])?;
        }
        if spawned {
            SignalTrap::ignore(&STOPPING)?;
        }
        Ok(Self {
            trap,
            spawned,
            flags,
            notes,
            sink,
            clashes: HashSet::new(),
            awake,
            asked: false,
            interrupted: None,
        })
    }

    /// The target is traced no more: ^Z stops us like any other program.
    pub(super) fn release_terminal(&self) {
        if self.spawned
            && let Err(error) = SignalTrap::restore(&STOPPING)
        {
            tracing::debug!(target: "pai::host", %error, "signals stay ignored");
        }
    }

    fn caught(&mut self, engine: &RefCell<Engine>, caught: Caught) {
        tracing::debug!(target: "pai::host", ?caught, "signal");
        let (target, begun) = {
            let engine = engine.borrow();
            let target = engine.root().filter(|_| engine.root_status().is_none());
            (target, engine.has_started())
        };
        match target {
            // It is the target's to deal with. Who wants the end of a target
            // that does not: SIGKILL of this process ends both. One that waits for a
            // plugin before its start deals with nothing.
            Some(root) if self.spawned && begun => pass_on(caught, root),
            _ => {
                // What plugins have seen before the start is nothing.
                if std::mem::replace(&mut self.asked, true) || !begun {
                    self.give_up();
                }
                // Nobody takes the output: the targets do not wait for that.
                if self.sink.is_full() {
                    self.sink.abandon();
                }
                self.interrupted.get_or_insert(caught.signal);
                engine.borrow_mut().end_all(&End::Interrupted);
                self.flags.set_over();
            }
        }
    }

    fn give_up(&self) {
        self.flags.set_over();
        self.flags.give_up();
        self.sink.abandon();
    }

    /// The target is traced no more, and is waited for.
    pub(super) fn while_waiting(&mut self, root: Pid) {
        while let Some(caught) = self.trap.take() {
            pass_on(caught, root);
        }
    }

    /// All is over, and only plugins or their output take their time: whether
    /// the user does not want to wait for them.
    pub(super) fn lost_patience(&mut self) -> bool {
        if self.trap.take().is_some() {
            self.give_up();
        }
        self.flags.given_up()
    }

    /// The target was stopped by the terminal, and who started us should see us
    /// stop, too. Whoever sends it a SIGSTOP sends it a SIGCONT, and not us.
    fn target_stopped(&mut self, pid: Pid, signal: Signal) {
        let same_job = getpgid(Some(nix::unistd::Pid::from_raw(pid.get())))
            .is_ok_and(|group| group == getpgrp());
        // That standard input is something else makes no difference.
        let at_terminal = || File::open("/dev/tty").is_ok();
        if STOPPING.contains(&signal)
            && same_job
            && at_terminal()
            && let Err(error) = self.awake.asleep(pai_ptrace::stop_self)
        {
            tracing::debug!(target: "pai::host", %error, "not stopped");
        }
    }
}

/// A signal that is meant for the target; from the terminal it got it too.
fn pass_on(caught: Caught, root: Pid) {
    if !caught.from_kernel
        && let Err(error) = pai_ptrace::kill(root, caught.signal)
    {
        tracing::debug!(target: "pai::host", %error, "a signal is not passed on");
    }
}

impl pai_engine::Supervisor for Supervisor {
    fn woken(&mut self, engine: &RefCell<Engine>) {
        while let Some(caught) = self.trap.take() {
            self.caught(engine, caught);
        }
    }

    fn stopped(&mut self, stops: u64) {
        self.awake.stopped(stops);
    }

    fn diagnostic(&mut self, engine: &RefCell<Engine>, diagnostic: &Diagnostic) {
        let name = |client| engine.borrow().client_name(client).to_owned();
        match diagnostic {
            // Once for each two: the rest is counted.
            Diagnostic::Clash { first, second, .. } if !self.clashes.insert((*first, *second)) => {}
            Diagnostic::Clash { first, second, tid } => {
                let (first, second) = (name(*first), name(*second));
                let text = format!(
                    "plugins {first} and {second} both changed the same stop of task {tid}; \
                     {first} was heard"
                );
                self.notes.tell(Some(&second), &text);
            }
            Diagnostic::Stuck(client) => {
                let name = name(*client);
                let text = format!(
                    "plugin {name} held every task and waited for something else; \
                     its stops were released"
                );
                self.notes.tell(Some(&name), &text);
            }
            Diagnostic::Killed(pid) => {
                let text = format!(
                    "process {pid} was killed: some of its system calls are filtered, and fail \
                     without a tracer; not so with --no-seccomp"
                );
                self.notes.tell(None, &text);
            }
            Diagnostic::TargetStopped { pid, signal } => self.target_stopped(*pid, *signal),
            _ => {}
        }
    }
}
