//! A command that runs a target.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::counts::Counts;
use crate::programs;
use crate::table::Samples;

/// In a command, the file that a tracer writes its lines to.
pub const OUTPUT: &str = "{output}";

/// A way to run a target, with a tracer or without.
#[derive(Clone, Debug)]
pub struct Way {
    /// For tables.
    pub name: &'static str,
    /// Its command, up to the target, or why there is none.
    words: Result<Vec<String>, &'static str>,
    /// What its environment has besides.
    env: Vec<(&'static str, String)>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// From before the start to after the end.
    pub wall: Duration,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// What the tracer wrote to a file, if it writes lines.
    pub lines: String,
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

fn tail<'a>(words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    words.iter().map(|&word| word.to_owned())
}

impl Way {
    fn new(name: &'static str, words: Result<Vec<String>, &'static str>) -> Self {
        Self {
            name,
            words,
            env: Vec::new(),
        }
    }

    /// Without a tracer.
    pub fn native() -> Self {
        Self::new("native", Ok(Vec::new()))
    }

    /// Some program, or why there is none.
    pub fn program(
        name: &'static str,
        program: Result<PathBuf, &'static str>,
        words: &[&str],
    ) -> Self {
        let words = program.map(|program| std::iter::once(text(program)).chain(tail(words)));
        Self::new(name, words.map(Iterator::collect))
    }

    /// A loop in C.
    pub fn floor(name: &'static str, program: &str, words: &[&str]) -> Self {
        Self::program(name, Ok(program.into()), words)
    }

    /// A tracer without Wasm.
    pub fn tracer(name: &'static str, words: &[&str]) -> Self {
        let tracer = programs::tracer().ok_or("the program pai-bench-tracer is not built");
        Self::program(name, tracer, words)
    }

    /// The host with a plugin that it has, and the plugin's options.
    pub fn bundled(name: &'static str, options: &[&str], plugin: &[&str]) -> Self {
        Self::new(name, host_words(options, tail(plugin)))
    }

    /// The host with a plugin of the benches, and the plugin's options.
    pub fn guest(
        name: &'static str,
        options: &[&str],
        plugin: Option<PathBuf>,
        own: &[&str],
    ) -> Self {
        let words = plugin
            .ok_or("the plugin is not built")
            .and_then(|plugin| host_words(options, std::iter::once(text(plugin)).chain(tail(own))));
        Self::new(name, words)
    }

    /// The host with so many of a plugin of the benches.
    pub fn guests(name: &'static str, plugin: Option<PathBuf>, many: u64) -> Self {
        let words = plugin.ok_or("the plugin is not built").and_then(|plugin| {
            let quoted = format!("'{}'", text(plugin));
            let each = (0..many).flat_map(|_| ["-t".to_owned(), quoted.clone()]);
            host_words(&[], each)
        });
        Self::new(name, words)
    }

    /// The host with its plugin `strace`, lines in a file.
    pub fn lines(name: &'static str, plugin: &[&str]) -> Self {
        Self::new(name, host_words(&["-o", OUTPUT], tail(plugin)))
    }

    /// strace itself, following, lines in a file.
    pub fn strace(name: &'static str, options: &[&str]) -> Self {
        let strace = programs::in_path("strace").ok_or("strace is not installed");
        Self::program(name, strace, &[&["-f", "-o", OUTPUT], options].concat())
    }

    /// With this in its environment.
    #[must_use]
    pub fn with_env(mut self, name: &'static str, value: String) -> Self {
        self.env.push((name, value));
        self
    }

    /// Why it cannot take part.
    pub fn missing(&self) -> Option<&'static str> {
        self.words.as_ref().err().copied()
    }

    /// Runs a target and waits for its end, which must be success. Lines go to a
    /// file, as people have it.
    ///
    /// # Errors
    /// When it cannot, or the target failed.
    pub fn run(&self, target: &[String]) -> Result<Ran> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("calls");
        let output = file
            .to_str()
            .context("a temporary folder whose name is no UTF-8")?;
        let mut command = self.command(target, output)?;
        let start = Instant::now();
        let done = command
            .output()
            .with_context(|| format!("cannot start {command:?}"))?;
        let wall = start.elapsed();
        let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(
            done.status.success(),
            "{}: {command:?}: {}\n{stderr}",
            self.name,
            done.status
        );
        let lines = if file.exists() {
            std::fs::read_to_string(&file).with_context(|| format!("{}: no output", self.name))?
        } else {
            String::new()
        };
        Ok(Ran {
            wall,
            stdout,
            stderr,
            lines,
        })
    }

    /// The command that runs a target, with its lines in this file.
    ///
    /// # Errors
    /// When it cannot take part.
    pub fn command(&self, target: &[String], output: &str) -> Result<Command> {
        let mut words = self.words.clone().map_err(anyhow::Error::msg)?;
        for word in &mut words {
            if word == OUTPUT {
                output.clone_into(word);
            }
        }
        words.extend_from_slice(target);
        let (program, arguments) = words.split_first().context("nothing to run")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("LC_ALL", "C")
            .env_remove(programs::CARGOS)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        Ok(command)
    }
}

fn host_words(
    options: &[&str],
    plugin: impl Iterator<Item = String>,
) -> Result<Vec<String>, &'static str> {
    let host = programs::host().ok_or("the program pai-host is not built")?;
    let mut words = vec![text(host), "run".to_owned()];
    words.extend(tail(options));
    words.extend(plugin);
    words.push("--".to_owned());
    Ok(words)
}

/// Those whose command can take part in a comparison; the others are named.
#[expect(clippy::print_stdout, reason = "for command line programs")]
pub fn present<T>(what: &str, all: Vec<T>, way: impl Fn(&T) -> &Way) -> Vec<T> {
    let can = |one: &T| {
        let way = way(one);
        if let Some(missing) = way.missing() {
            println!("Skipped: {what}, {}: {missing}.\n", way.name);
        }
        way.missing().is_none()
    };
    all.into_iter().filter(can).collect()
}

/// Runs each in turn, round after round; the figures of each, in their order.
///
/// # Errors
/// The first of `run`.
pub fn by_turns<T>(
    all: &[T],
    rounds: usize,
    run: impl Fn(&T) -> Result<f64>,
) -> Result<Vec<Samples>> {
    let mut figures = vec![Samples::default(); all.len()];
    for _ in 0..rounds {
        for (one, samples) in all.iter().zip(&mut figures) {
            samples.push(run(one)?);
        }
    }
    Ok(figures)
}

impl Ran {
    /// From before the start to after the end, milliseconds.
    pub fn milliseconds(&self) -> f64 {
        self.wall.as_secs_f64() * 1e3
    }

    /// What the target says behind `NAME=`.
    ///
    /// # Errors
    /// When it does not.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.stdout
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .with_context(|| format!("no {name} in '{}'", self.stdout))
    }

    /// The number behind a word at the start of a line that the tracer wrote.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&self, word: &str) -> Result<u64> {
        let behind = |line: &str| line.trim_start().strip_prefix(word)?.trim().parse().ok();
        self.stderr
            .lines()
            .find_map(behind)
            .with_context(|| format!("no {word} in '{}'", self.stderr))
    }

    /// The row of a call in the table of the plugin `count`.
    ///
    /// # Errors
    /// When there is none.
    pub fn count_of(&self, call: &str) -> Result<u64> {
        let row = |line: &str| line.strip_suffix(call)?.trim().parse().ok();
        let found = self.stderr.lines().find_map(row);
        found.with_context(|| format!("no {call} in '{}'", self.stderr))
    }

    /// What the tracer said that it counted.
    ///
    /// # Errors
    /// When it said nothing.
    pub fn counts(&self) -> Result<Counts> {
        Counts::parse(&self.stderr)
    }

    /// The same of several clients or plugins, one after the other.
    ///
    /// # Errors
    /// When one of them said something else.
    pub fn all_counts(&self) -> Result<Vec<Counts>> {
        let starts = self.stderr.match_indices("counts ").map(|(at, _)| at);
        let ends = starts.clone().skip(1).chain([self.stderr.len()]);
        let each = starts.zip(ends).map(|(from, to)| &self.stderr[from..to]);
        each.map(Counts::parse).collect()
    }
}
