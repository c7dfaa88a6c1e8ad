//! From a configuration to an outcome.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pai_engine::observe::{Overflow, buffer};
use pai_engine::{Client, ClientId, ClientStats, End, Engine, ExitStatus, Fatal, Stats, procfs};
use pai_ptrace::{Pid, SignalTrap};

use super::awake::Awake;
use super::place::{self, Placed};
use super::supervisor::Supervisor;
use super::{
    Config, Outcome, PluginRun, PluginStats, SessionError, SessionStats, Target, Verbosity,
};
use crate::output::{Notes, Output, OutputTarget};
use crate::plugin::World;
use crate::runtime::{Flags, Grants, Loaded, Observer, Participant, Parts, Runtime, Seat};

/// Records kept for an observer that has not said how many.
const DEFAULT_RECORDS: usize = 1 << 16;
/// How often signals are looked at while plugins are waited for.
const LOOK: Duration = Duration::from_millis(50);

type Clients = Vec<(ClientId, Box<dyn Client>)>;

/// Everything is there and the target waits.
pub(super) struct Stage {
    runtime: Runtime,
    engine: Rc<RefCell<Engine>>,
    supervisor: Supervisor,
    flags: Arc<Flags>,
    output: Output,
    spawned: bool,
    cpu: Option<usize>,
    seats: Vec<(ClientId, Arc<Seat>)>,
    clients: Clients,
    observers: Vec<Observer>,
}

/// What the engine knew at its end.
struct Ended {
    status: Option<ExitStatus>,
    started: bool,
    calls: String,
    stats: Stats,
    clients: Vec<ClientStats>,
}

impl Stage {
    /// Loads the plugins, then takes the target, then seats the plugins.
    pub(super) fn set(config: Config) -> Result<Self, SessionError> {
        let runtime =
            Runtime::new().map_err(|error| SessionError::Runtime(format!("{error:#}")))?;
        let loaded = load(&runtime, &config.plugins)?;

        let shared = matches!(config.output, OutputTarget::Stderr);
        let output =
            Output::open(config.output, config.structured).map_err(SessionError::Thread)?;
        let notes = Notes::new(config.verbosity, output.sink(), shared);
        let flags = Arc::new(Flags::default());

        let mut engine = Engine::new(config.follow)?;
        engine.set_detach_on_exec(config.detach_on_exec);
        engine.set_timed(config.timed);
        if let Some(tasks) = output.sink().tasks() {
            engine.note_tasks(tasks.clone());
        }
        if !config.filtered {
            engine.set_unfiltered();
        }
        let spawned = matches!(config.target, Target::Spawn(_));
        let cpu = place::choose(config.cpu)?;
        let supervisor = Supervisor::new(
            engine.remote().waker(),
            spawned,
            Arc::clone(&flags),
            notes.clone(),
            output.sink(),
            Awake::new(config.cpu)?,
        )
        .map_err(Fatal::Kernel)?;
        match &config.target {
            Target::Spawn(program) => {
                let _placed = cpu.map(Placed::on).transpose()?;
                engine.spawn(program)?;
            }
            Target::Attach(pids) => {
                engine.attach(pids)?;
                tell_attached(&notes, &engine);
            }
        }

        let mut stage = Self {
            runtime,
            engine: Rc::new(RefCell::new(engine)),
            supervisor,
            flags,
            output,
            spawned,
            cpu,
            seats: Vec::new(),
            clients: Vec::new(),
            observers: Vec::new(),
        };
        for ((name, run), loaded) in label(&config.plugins)
            .into_iter()
            .zip(config.plugins)
            .zip(loaded)
        {
            if config.verbosity == Verbosity::Verbose {
                tell_capabilities(&notes, &name, &run);
            }
            let seat = Seat::new(
                name,
                Grants::of(&run.plugin.manifest),
                run.options,
                config.limits,
                config.timed,
                (stage.output.sink(), notes.clone()),
                Arc::clone(&stage.flags),
            );
            if let Err(error) = stage.seat(run.plugin.world, &loaded, Arc::new(seat)) {
                stage.clear();
                return Err(error);
            }
        }
        Ok(stage)
    }

    fn seat(&mut self, world: World, loaded: &Loaded, seat: Arc<Seat>) -> Result<(), SessionError> {
        let clock = self.runtime.clock();
        let id = match world {
            World::Plugin => {
                let id = self.engine.borrow_mut().add_client(&seat.name)?;
                let engine = Rc::clone(&self.engine);
                let client = Participant::new(loaded, Arc::clone(&seat), id, engine, clock);
                self.clients.push((id, Box::new(client)));
                id
            }
            World::Observer => {
                let (mut producer, consumer) = buffer(DEFAULT_RECORDS, Overflow::Drop);
                // Somebody who has stopped the output wants to go on reading
                // where it stopped.
                let sink = self.output.sink();
                producer.excuse_while(move || sink.is_full() && !SignalTrap::is_pending());
                let mut engine = self.engine.borrow_mut();
                let id = engine.add_observer(&seat.name, Box::new(producer))?;
                let observer = Observer::start(Parts {
                    component: loaded.clone(),
                    seat: Arc::clone(&seat),
                    client: id,
                    remote: engine.remote(),
                    consumer,
                    clock,
                });
                self.observers.push(observer.map_err(SessionError::Thread)?);
                id
            }
        };
        self.seats.push((id, seat));
        Ok(())
    }

    /// Nothing has started; undoes what was set.
    fn clear(self) {
        self.engine.borrow_mut().shut_down();
        self.engine.borrow_mut().end_all(&End::Interrupted);
        self.flags.set_over();
        self.flags.give_up();
        let Self {
            engine,
            clients,
            observers,
            ..
        } = self;
        // Observers whose requests wait for the tracer learn that there is none.
        drop((clients, engine));
        for observer in observers {
            observer.join();
        }
    }

    /// Traces until the end of it.
    pub(super) fn play(mut self) -> Result<Outcome, SessionError> {
        // Not before: threads of observers may run beside it.
        let placed = self.cpu.map(Placed::on).transpose();
        let placed = placed.unwrap_or_else(|error| {
            tracing::warn!(target: "pai::host", %error, "the tracer runs anywhere");
            None
        });
        let result = pai_engine::run(&self.engine, &mut self.clients, &mut self.supervisor);
        drop(placed);
        if let Err(fatal) = &result {
            self.say_fatal(fatal);
        }
        let idle_cpus = self.supervisor.awake.end();
        self.flags.set_over();
        let ended = self.let_go(result.is_ok());

        // Observers whose requests wait for the tracer learn that there is
        // none, and the rest of their records is in their buffers.
        let Self {
            runtime,
            engine,
            mut supervisor,
            flags,
            output,
            spawned,
            cpu: _,
            seats,
            clients,
            observers,
        } = self;
        drop((clients, engine));
        await_observers(observers, &flags, &mut supervisor);
        drop(runtime);
        let output_error = output.finish(|| supervisor.lost_patience());
        result?;

        let failures: Vec<_> = seats.iter().map(|(_, seat)| seat.take_failure()).collect();
        let plugins = seats
            .iter()
            .zip(ended.clients)
            .zip(&failures)
            .map(|(((_, seat), client), failure)| plugin_stats(seat, client, failure.is_some()))
            .collect();
        let own = Pid::new(nix::unistd::getpid().as_raw()).leader();
        Ok(Outcome {
            status: ended.status.filter(|_| spawned),
            started: ended.started,
            interrupted: supervisor.interrupted,
            failures: failures.into_iter().flatten().collect(),
            plugins: seats.len(),
            output_error,
            stats: SessionStats {
                engine: ended.stats,
                calls: ended.calls,
                idle_cpus,
                peak_memory: procfs::peak_memory(own).unwrap_or(0),
                plugins,
            },
        })
    }

    /// The session failed: the targets are let go first, then plugins learn of
    /// it.
    fn say_fatal(&mut self, fatal: &Fatal) {
        let mut engine = self.engine.borrow_mut();
        engine.shut_down();
        engine.end_all(&End::Fatal(fatal.to_string()));
        drop(engine);
        self.flags.set_over();
        let mut busy = self.clients.iter().map(|(id, _)| *id).collect();
        let finished = pai_engine::finish(
            &self.engine,
            &mut self.clients,
            &mut self.supervisor,
            &mut busy,
        );
        if let Err(second) = finished {
            tracing::debug!(target: "pai::host", %second, "another error after the first");
        }
    }

    /// Detaches from what is left; `wait` for a spawned target.
    fn let_go(&mut self, wait: bool) -> Ended {
        let mut engine = self.engine.borrow_mut();
        let started = engine.has_started();
        let calls = engine.call_stops().to_string();
        engine.shut_down();
        drop(engine);
        pai_engine::tell(&self.engine, &mut self.supervisor);
        self.supervisor.release_terminal();
        let mut engine = self.engine.borrow_mut();
        if self.spawned && wait {
            let supervisor = &mut self.supervisor;
            if let Err(error) = engine.await_root(|root| supervisor.while_waiting(root)) {
                tracing::warn!(target: "pai::host", %error, "the target is not waited for");
            }
        }
        Ended {
            status: engine.root_status(),
            started,
            calls,
            stats: engine.stats(),
            clients: self
                .seats
                .iter()
                .map(|(id, _)| engine.client_stats(*id))
                .collect(),
        }
    }
}

fn load(runtime: &Runtime, plugins: &[PluginRun]) -> Result<Vec<Loaded>, SessionError> {
    plugins
        .iter()
        .map(|run| {
            runtime
                .load(&run.plugin)
                .map_err(|source| SessionError::Load {
                    plugin: run.plugin.name.clone(),
                    source,
                })
        })
        .collect()
}

/// Names for the user: a plugin that runs several times gets numbers.
fn label(plugins: &[PluginRun]) -> Vec<String> {
    let mut counts: HashMap<&str, u32> = HashMap::new();
    plugins
        .iter()
        .map(|run| {
            let name = run.plugin.name.as_str();
            let count = counts.entry(name).or_insert(0);
            *count += 1;
            match *count {
                1 => name.to_owned(),
                count => format!("{name}#{count}"),
            }
        })
        .collect()
}

/// All threads are stopped: nothing that they do from here on is missed.
fn tell_attached(notes: &Notes, engine: &Engine) {
    for target in engine.targets() {
        let pid = target.pid;
        let name = procfs::comm(pid.leader()).unwrap_or_default();
        let threads = match engine.tasks(Some(pid)).map_or(0, |tasks| tasks.len()) {
            0 | 1 => String::new(),
            more => format!(", {more} threads"),
        };
        notes.tell(
            None,
            &format!("attached to process {pid} ({name}){threads}"),
        );
    }
}

fn tell_capabilities(notes: &Notes, name: &str, run: &PluginRun) {
    let wants = &run.plugin.manifest.wants;
    if wants.is_empty() {
        return;
    }
    let wants: Vec<String> = wants
        .iter()
        .map(|want| match want.why.as_str() {
            "" => want.capability.clone(),
            why => format!("{} ({why})", want.capability),
        })
        .collect();
    notes.detail(Some(name), &format!("{name} may: {}", wants.join(", ")));
}

/// Observers have their last records and come to an end by themselves; one that
/// computes too long is ended by the clock.
fn await_observers(observers: Vec<Observer>, flags: &Flags, supervisor: &mut Supervisor) {
    for observer in observers {
        while !observer.is_done() {
            flags.wait(Some(Instant::now() + LOOK), || observer.is_done());
            supervisor.lost_patience();
        }
        observer.join();
    }
}

fn plugin_stats(seat: &Seat, client: ClientStats, failed: bool) -> PluginStats {
    let totals = &seat.totals;
    PluginStats {
        name: seat.name.clone(),
        failed,
        client,
        wasm_time: Duration::from_nanos(totals.wasm_nanos.load(Ordering::Relaxed)),
        polls: totals.polls.load(Ordering::Relaxed),
        host_calls: totals.calls.load(Ordering::Relaxed),
        output_bytes: totals.output_bytes.load(Ordering::Relaxed),
    }
}
