//! One run: a target, and plugins that trace it.

mod awake;
mod place;
mod stage;
mod supervisor;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pai_engine::{ClientStats, ExitStatus, Fatal, Follow, Stats};
use pai_ptrace::{Pid, Program, Signal};

use crate::output::OutputTarget;
use crate::plugin::Plugin;
pub use crate::runtime::LoadFailure;

/// What is traced.
#[derive(Clone, Debug)]
pub enum Target {
    /// A new process.
    Spawn(Program),
    /// Running processes.
    Attach(Vec<Pid>),
}

/// One plugin to run.
#[derive(Clone, Debug)]
pub struct PluginRun {
    /// Which.
    pub plugin: Arc<Plugin>,
    /// Values of its options in the order given, defaults included.
    pub options: Vec<(String, String)>,
}

/// What each plugin may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: usize,
    /// CPU time between two events.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            // The symbols of a large program take seconds.
            time: Duration::from_secs(5),
        }
    }
}

/// How much the host says on standard error.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Verbosity {
    /// What failed.
    Quiet,
    /// Also what the user should know.
    #[default]
    Normal,
    /// Also what plugins may do.
    Verbose,
}

/// Everything about one run.
#[derive(Debug)]
pub struct Config {
    /// What is traced.
    pub target: Target,
    /// By whom, in the order in which they are offered stops.
    pub plugins: Vec<PluginRun>,
    /// Whether processes that the target makes are traced too.
    pub follow: Follow,
    /// Whether processes that execute another program are let go.
    pub detach_on_exec: bool,
    /// Whether the kernel may filter the calls of a spawned target, so that only those
    /// stop that plugins want: it then ends with the host.
    pub filtered: bool,
    /// Where the tracer runs and a spawned target starts. Attached targets stay where
    /// they are.
    pub cpu: Cpu,
    /// Where plugins write to.
    pub output: OutputTarget,
    /// Records as JSON lines instead of text.
    pub structured: bool,
    /// What each plugin may use.
    pub limits: Limits,
    /// Measure the times that are in the counters; otherwise they are 0.
    pub timed: bool,
    /// How much the host says.
    pub verbosity: Verbosity,
}

/// Where target and tracer run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Cpu {
    /// Where the scheduler puts them. In a guest of KVM idle CPUs are kept from
    /// sleeping while there are many stops, if that makes these cheaper.
    #[default]
    Auto,
    /// Where the scheduler puts them.
    Free,
    /// Where the scheduler puts them, and idle CPUs are kept from sleeping.
    Awake,
    /// On the CPU that the caller of [`run`] is on.
    Same,
    /// On the one with this number.
    Number(usize),
}

/// A plugin that did not come to its end. The user has been told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginFailure {
    /// Which.
    pub name: String,
    /// Why.
    pub message: String,
    /// Where, when it trapped: one function per line, innermost first.
    pub backtrace: Option<String>,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How a spawned target ended.
    pub status: Option<ExitStatus>,
    /// Whether the target was let run.
    pub started: bool,
    /// The user asked to stop before the target ended, with this signal.
    pub interrupted: Option<Signal>,
    /// Plugins that failed, in load order.
    pub failures: Vec<PluginFailure>,
    /// How many plugins there were.
    pub plugins: usize,
    /// Why the output is incomplete, if it is.
    pub output_error: Option<String>,
    /// Counters.
    pub stats: SessionStats,
}

/// Counters of a run.
#[derive(Clone, Default, Debug)]
pub struct SessionStats {
    /// Of the tracer.
    pub engine: Stats,
    /// Whether system calls were filtered, or why not.
    pub calls: String,
    /// Whether idle CPUs were kept from sleeping, or why not.
    pub idle_cpus: String,
    /// The most memory that the host has had at once, in bytes; 0 when unknown.
    pub peak_memory: u64,
    /// Of each plugin, in load order.
    pub plugins: Vec<PluginStats>,
}

/// What one plugin got and used.
#[derive(Clone, Default, Debug)]
pub struct PluginStats {
    /// Its name.
    pub name: String,
    /// It did not come to its end.
    pub failed: bool,
    /// Events, and for how long it held tasks.
    pub client: ClientStats,
    /// Time in its code, host calls included.
    pub wasm_time: Duration,
    /// How often it was given the thread.
    pub polls: u64,
    /// How often it called the host.
    pub host_calls: u64,
    /// What it wrote.
    pub output_bytes: u64,
}

/// A run that could not start or go on. The targets are as if nobody had traced
/// them; a spawned one that had not started its program is gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A plugin cannot be run here.
    #[error("plugin {plugin}: {source}")]
    Load {
        /// Which.
        plugin: String,
        /// Why.
        source: LoadFailure,
    },
    /// The tracer cannot start or go on.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The tracer may not run there.
    #[error(
        "cannot use CPU {cpu}: this process may run on {allowed} ({})",
        io::Error::from_raw_os_error(*errno)
    )]
    Cpu {
        /// Which was wanted.
        cpu: usize,
        /// Which there are: "0-3,8".
        allowed: String,
        /// Why.
        errno: i32,
    },
    /// The kernel does not say where the tracer runs.
    #[error("cannot tell which CPU this is: {0}")]
    CpuUnknown(#[source] io::Error),
    /// Idle CPUs cannot be kept from sleeping.
    #[error("cannot keep idle CPUs from sleeping: /dev/cpu_dma_latency: {0}")]
    Awake(#[source] io::Error),
    /// The runtime for plugins cannot be had.
    #[error("cannot start the runtime for plugins: {0}")]
    Runtime(String),
}

/// Traces a target with plugins until it ends, or until no plugin is left and a
/// spawned target has ended.
///
/// Plugins are loaded before anything happens to the target, and one that fails before
/// the target has executed anything ends the run. Later failures of plugins do not; they
/// are told to the user and in the outcome.
///
/// The calling thread becomes the tracer. Nobody else in the process may wait
/// for *any* child (`waitpid(-1)`) meanwhile, and handlers for the signals that
/// end programs are installed.
///
/// # Errors
/// When a plugin cannot be loaded, the target cannot be started or attached to,
/// or tracing cannot go on.
pub fn run(config: Config) -> Result<Outcome, SessionError> {
    stage::Stage::set(config)?.play()
}
