//! What `run` and `attach` have in common.

use std::path::PathBuf;

use clap::ValueHint;
use pai_engine::{Fatal, Follow};
use pai_host::output::OutputTarget;
use pai_host::session::{self, Config, Cpu, PluginRun, SessionError, Target, Verbosity};

use super::limit::Limit;
use super::message::Halt;
use super::output::{self, Opened};
use super::{log, plugin_options, program, stats};
use crate::diagnose;
use crate::exit::{Exit, Whose};

/// Options of the host, before the plugin.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Use this plugin; give it several times for several plugins
    ///
    /// With options in quotes: -t 'count --sort=errors'. The words after the
    /// host's options are then all the command's.
    #[arg(
        short = 't',
        long = "plugin",
        value_name = "PLUGIN",
        help_heading = "Plugins"
    )]
    pub(crate) plugins: Vec<String>,

    /// Limit each plugin: memory=64M, time=5s
    ///
    /// `memory` is the most that a plugin may have, `time` the longest that it
    /// may compute before it waits for its next event. A plugin that needs more
    /// is ended; the target goes on.
    #[arg(
        long = "limit",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        value_parser = Limit::parse,
        help_heading = "Plugins"
    )]
    pub(super) limits: Vec<Limit>,

    /// Exit with 120 if a plugin failed or output was lost
    #[arg(long, help_heading = "Plugins")]
    pub(crate) strict: bool,

    /// Write what plugins print to FILE instead of standard error
    ///
    /// `|COMMAND` and `!COMMAND` are commands that read it.
    #[arg(
        short,
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        help_heading = "Output"
    )]
    pub(super) output: Option<PathBuf>,

    /// With -o: keep what is in FILE already
    #[arg(
        short = 'A',
        long = "output-append-mode",
        requires = "output",
        help_heading = "Output"
    )]
    pub(super) append: bool,

    /// With -o: plugins may write a file for each task, FILE.TID
    #[arg(
        long,
        requires = "output",
        conflicts_with = "json",
        help_heading = "Output"
    )]
    pub(super) output_separately: bool,

    /// Write JSON Lines: one object for each record
    ///
    /// Records of the plugin `strace` are described by docs/strace.schema.json, those of
    /// others by their READMEs.
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,

    /// Print counters at the end, to standard error
    #[arg(long, help_heading = "Output")]
    pub(super) stats: bool,

    /// Print only failures
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub(super) quiet: bool,

    /// Print more about what the host does
    #[arg(short, long, help_heading = "Output")]
    pub(super) verbose: bool,

    /// Do not trace the processes that the target starts
    #[arg(long, conflicts_with = "follow", help_heading = "Tracing")]
    pub(super) no_follow: bool,

    /// Trace the processes that the target starts; this is the default
    #[arg(short, long = "follow-forks", help_heading = "Tracing")]
    pub(super) follow: bool,

    /// Let go of processes that execute another program
    #[arg(long, help_heading = "Tracing")]
    pub(super) detach_on_exec: bool,

    /// Stop at all system calls if plugins want some: what still runs when the trace
    /// ends is let go, not killed
    ///
    /// That is for a trace that ends in order: a command dies with a pai-host that is
    /// killed by SIGKILL, with this option or without.
    #[arg(long, help_heading = "Tracing")]
    pub(super) no_seccomp: bool,

    /// Where target and tracer run: auto, free, awake, same or the number of a CPU
    ///
    /// With `free` all run where the scheduler puts them. A stop is cheaper where no
    /// sleeping CPU has to be woken for it, on virtual machines several times: with
    /// `awake` idle ones stay awake (/dev/cpu_dma_latency), which needs the right to
    /// do so, and power. With `auto`, the default, that is done in guests of KVM, as
    /// long as stops are many and get cheaper by it.
    ///
    /// Or put both on one CPU: on this one, or with `same` on the one that pai-host
    /// has at the start. The target sees that, as with taskset(1), and what it does at
    /// the same time is done one after the other. Attached targets stay where they are.
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "auto",
        hide_default_value = true,
        value_parser = cpu,
        help_heading = "Tracing"
    )]
    pub(super) cpu: Cpu,
}

fn cpu(text: &str) -> Result<Cpu, &'static str> {
    match text {
        "auto" => Ok(Cpu::Auto),
        "free" => Ok(Cpu::Free),
        "awake" => Ok(Cpu::Awake),
        "same" => Ok(Cpu::Same),
        number => number
            .parse()
            .map(Cpu::Number)
            .map_err(|_| "not `auto`, `free`, `awake`, `same` or the number of a CPU"),
    }
}

impl Options {
    /// The plugins that were named with `-t`.
    ///
    /// # Errors
    /// When one cannot be loaded.
    pub(crate) fn quoted_plugins(&self, color: clap::ColorChoice) -> Result<Vec<PluginRun>, Halt> {
        self.plugins
            .iter()
            .map(|text| plugin_options::select_quoted(text, color))
            .collect()
    }

    /// Traces, and tells how to end. Nothing was started before.
    ///
    /// # Errors
    /// When there is no session, or it cannot go on.
    pub(crate) fn trace(
        &self,
        target: Target,
        plugins: Vec<PluginRun>,
        whose: Whose,
    ) -> Result<Exit, Halt> {
        log::start(self.verbose);
        let Opened {
            target: output,
            reader,
        } = match &self.output {
            Some(path) => output::open(path, self.append, self.output_separately)?,
            None => Opened {
                target: OutputTarget::Stderr,
                reader: None,
            },
        };
        let config = Config {
            target,
            plugins,
            follow: if self.no_follow {
                Follow::No
            } else {
                Follow::Yes
            },
            detach_on_exec: self.detach_on_exec,
            filtered: !self.no_seccomp,
            cpu: self.cpu,
            output,
            structured: self.json,
            limits: Limit::apply(&self.limits),
            timed: self.stats,
            verbosity: if self.quiet {
                Verbosity::Quiet
            } else if self.verbose {
                Verbosity::Verbose
            } else {
                Verbosity::Normal
            },
        };
        let outcome = session::run(config).map_err(failed)?;
        if let Some(reader) = reader
            // Otherwise it may never come to an end of what it reads.
            && outcome.output_error.is_none()
        {
            reader.wait();
        }
        if self.stats {
            stats::print(&outcome.stats, self.json);
        }
        Ok(Exit::after(&outcome, whose, self.strict))
    }
}

fn failed(error: SessionError) -> Halt {
    match error {
        SessionError::Fatal(Fatal::Exec { path, errno }) => program::exec_failed(&path, errno),
        SessionError::Fatal(Fatal::Attach { pid, tid, source }) => {
            diagnose::attach(pid, tid, source.errno())
        }
        SessionError::Fatal(Fatal::NoProcess { pid }) => diagnose::no_process(pid),
        SessionError::Fatal(Fatal::Spawn { path, source }) => diagnose::spawn(&path, &source),
        error @ SessionError::Load { .. } => Halt::failed(error.to_string())
            .help("build or download it again; `pai-host inspect` checks all of it"),
        other => Halt::failed(other.to_string()),
    }
}
