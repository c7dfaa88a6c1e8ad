//! The ways to run a target.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::counts::{self, Counts};
use crate::programs::{self, built};
use crate::table::Samples;

/// One way to run a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// Without a tracer.
    Native,
    /// A loop in C: two stops per call, what each is, nothing else.
    Floor,
    /// The same loop on `pai-ptrace`.
    Minimal,
    /// The engine with a native client that wants every entry and exit.
    Engine,
    /// The host with a plugin that wants every entry and exit.
    Noop,
    /// The host with its plugin `minimal`.
    HostMinimal,
    /// The host with its plugin `strace`.
    HostStrace,
    /// The same where only openat is wanted: the other calls do not stop.
    HostSome,
    /// strace itself, following.
    Strace,
    /// The same where only openat is wanted.
    StraceSome,
    /// And with a filter, as `HostSome` has it.
    StraceFilter,
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
}

impl Variant {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Floor => "C floor",
            Self::Minimal => "pai-ptrace loop",
            Self::Engine => "engine, native client",
            Self::Noop => "host, no-op plugin",
            Self::HostMinimal => "host, minimal",
            Self::HostStrace => "host, strace",
            Self::HostSome => "host, strace -e openat",
            Self::Strace => "strace -f",
            Self::StraceSome => "strace -f -e openat",
            Self::StraceFilter => "strace -f -e openat --seccomp-bpf",
        }
    }

    /// Its command, up to the target; output of the tracer's own goes to
    /// `output`.
    fn words(self, output: &str) -> Result<Vec<String>, &'static str> {
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let host = || {
            programs::host()
                .map(text)
                .ok_or("the program pai-host is not built")
        };
        let tracer = || {
            programs::tracer()
                .map(text)
                .ok_or("the program pai-bench-tracer is not built")
        };
        Ok(match self {
            Self::Native => Vec::new(),
            Self::Floor => vec![built::SYSCALL_STOPS.into()],
            Self::Minimal => vec![tracer()?, "minimal".into()],
            Self::Engine => vec![tracer()?, "engine".into()],
            Self::Noop => {
                let noop = programs::noop().ok_or("the no-op plugin is not built")?;
                vec![host()?, "run".into(), text(noop), "--".into()]
            }
            Self::HostMinimal => vec![host()?, "run".into(), "minimal".into(), "--".into()],
            Self::HostStrace | Self::HostSome => {
                let mut words = vec![host()?, "run".into()];
                words.extend(["-o", output, "strace"].map(str::to_owned));
                if self == Self::HostSome {
                    words.extend(["-e", "trace=openat"].map(str::to_owned));
                }
                words.push("--".into());
                words
            }
            Self::Strace | Self::StraceSome | Self::StraceFilter => {
                let strace = programs::in_path("strace").ok_or("strace is not installed")?;
                let mut words = vec![text(strace)];
                words.extend(["-f", "-o", output].map(str::to_owned));
                if self != Self::Strace {
                    words.extend(["-e", "trace=openat"].map(str::to_owned));
                }
                if self == Self::StraceFilter {
                    words.push("--seccomp-bpf".into());
                }
                words
            }
        })
    }

    /// Why it cannot take part.
    pub fn missing(self) -> Option<&'static str> {
        self.words("/dev/null").err()
    }

    /// Runs a target and waits for its end, which must be success. Lines go to a
    /// file, as people have it, which is gone then.
    ///
    /// # Errors
    /// When it cannot, or the target failed.
    pub fn run(self, target: &[String]) -> Result<Ran> {
        if !self.writes_lines() {
            return self.run_with(target, "/dev/null");
        }
        let folder = tempfile::tempdir().context("no temporary folder")?;
        self.run_with(target, &path_text(&folder.path().join("calls"))?)
    }

    fn run_with(self, target: &[String], output: &str) -> Result<Ran> {
        Ran::of(self.name(), &mut self.command(target, output)?)
    }

    /// Starts a target whose output nobody wants.
    ///
    /// # Errors
    /// When it cannot.
    pub fn start(self, target: &[String]) -> Result<Child> {
        let mut command = self.command(target, "/dev/null")?;
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))
    }

    fn command(self, target: &[String], output: &str) -> Result<Command> {
        let mut words = match self.words(output) {
            Ok(words) => words,
            Err(missing) => bail!(missing),
        };
        words.extend_from_slice(target);
        command(&words)
    }

    /// Whether it tells at its end what it counted.
    pub fn counts(self) -> bool {
        matches!(
            self,
            Self::Floor | Self::Minimal | Self::Engine | Self::Noop
        )
    }

    /// Whether it counts signals too.
    pub fn counts_signals(self) -> bool {
        self.counts() && self != Self::Noop
    }

    /// Whether it writes a line for every call, or for those of one name.
    pub fn writes_lines(self) -> bool {
        matches!(
            self,
            Self::HostStrace
                | Self::HostSome
                | Self::Strace
                | Self::StraceSome
                | Self::StraceFilter
        )
    }

    /// Runs a target with the lines of its calls into a file, and returns the
    /// text.
    ///
    /// # Errors
    /// As [`Variant::run`].
    pub fn lines(self, target: &[String]) -> Result<String> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("calls");
        self.run_with(target, &path_text(&file)?)?;
        std::fs::read_to_string(&file).with_context(|| format!("{}: no output", self.name()))
    }

    /// How often it writes of this call, in a run for this purpose alone.
    ///
    /// # Errors
    /// As [`Variant::run`].
    pub fn lines_of(self, target: &[String], call: &str) -> Result<u64> {
        let text = self.lines(target)?;
        Ok(counts::of_strace(&text).get(call).copied().unwrap_or(0))
    }
}

/// Runs a target under each variant in turn, round after round; the figures of each run,
/// in the order of the variants.
///
/// # Errors
/// As [`Variant::run`], and when there is no figure.
pub fn by_turns(
    variants: &[Variant],
    target: &[String],
    rounds: usize,
    figure: impl Fn(&Ran) -> Result<f64>,
) -> Result<Vec<Samples>> {
    let mut all = vec![Samples::default(); variants.len()];
    for _ in 0..rounds {
        for (variant, samples) in variants.iter().zip(&mut all) {
            samples.push(figure(&variant.run(target)?)?);
        }
    }
    Ok(all)
}

/// What runs these words, as every variant does.
///
/// # Errors
/// When there are none.
pub fn command(words: &[String]) -> Result<Command> {
    let (program, arguments) = words.split_first().context("nothing to run")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    Ok(command)
}

impl Ran {
    /// Runs a command and waits for its end, which must be success.
    ///
    /// # Errors
    /// When it cannot, or the command failed.
    pub fn of(name: &str, command: &mut Command) -> Result<Self> {
        let start = Instant::now();
        let done = command
            .output()
            .with_context(|| format!("cannot start {command:?}"))?;
        let wall = start.elapsed();
        let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(
            done.status.success(),
            "{name}: {command:?}: {}\n{stderr}",
            done.status
        );
        Ok(Self {
            wall,
            stdout,
            stderr,
        })
    }

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

    /// A number that the tracer said behind `NAME `, in a line of its own.
    ///
    /// # Errors
    /// When it did not.
    pub fn told(&self, name: &str) -> Result<u64> {
        self.stderr
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .with_context(|| format!("no {name} in '{}'", self.stderr))
    }
}

fn path_text(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .context("a temporary folder whose name is no UTF-8")
}
