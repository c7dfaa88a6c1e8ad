//! The ways to run a target.

use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::counts;
use crate::programs::{self, built};
use crate::way::{Ran, Way};

/// For those that want one call: both straces understand it.
const ONLY: &str = "-etrace=openat";

/// Its number.
const OPENAT: &str = "257";

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
    /// The same without reading what arguments lead to.
    HostBasic,
    /// The same with registers as they are.
    HostRaw,
    /// `HostStrace` where only openat is wanted: the other calls do not stop.
    HostSome,
    /// strace itself, following.
    Strace,
    /// The same where only openat is wanted.
    StraceSome,
    /// And with a filter, as `HostSome` has it.
    StraceFilter,
    /// A loop in C with a filter that only openat stops for, at its entry.
    FilterFloor,
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
            Self::HostBasic => "host, strace --detail=basic",
            Self::HostRaw => "host, strace --detail=raw",
            Self::HostSome => "host, strace -e openat",
            Self::Strace => "strace -f",
            Self::StraceSome => "strace -f -e openat",
            Self::StraceFilter => "strace -f -e openat --seccomp-bpf",
            Self::FilterFloor => "C floor, entries of openat",
        }
    }

    /// What runs it.
    pub fn way(self) -> Way {
        let name = self.name();
        match self {
            Self::Native => Way::native(),
            Self::Floor => Way::floor(name, built::SYSCALL_STOPS, &[]),
            Self::Minimal => Way::tracer(name, &["minimal"]),
            Self::Engine => Way::tracer(name, &["engine"]),
            Self::Noop => Way::guest(name, &[], programs::noop(), &[]),
            Self::HostMinimal => Way::bundled(name, &[], &["minimal"]),
            Self::HostStrace => Way::lines(name, &["strace"]),
            Self::HostBasic => Way::lines(name, &["strace", "--detail=basic"]),
            Self::HostRaw => Way::lines(name, &["strace", "--detail=raw"]),
            Self::HostSome => Way::lines(name, &["strace", ONLY]),
            Self::Strace => Way::strace(name, &[]),
            Self::StraceSome => Way::strace(name, &[ONLY]),
            Self::StraceFilter => Way::strace(name, &[ONLY, "--seccomp-bpf"]),
            Self::FilterFloor => Way::floor(name, built::ENTRIES, &[OPENAT]),
        }
    }

    /// Why it cannot take part.
    pub fn missing(self) -> Option<&'static str> {
        self.way().missing()
    }

    /// Runs a target and waits for its end, which must be success.
    ///
    /// # Errors
    /// When it cannot, or the target failed.
    pub fn run(self, target: &[String]) -> Result<Ran> {
        self.way().run(target)
    }

    /// Starts a target whose output nobody wants.
    ///
    /// # Errors
    /// When it cannot.
    pub fn start(self, target: &[String]) -> Result<Child> {
        let mut command = self.way().command(target, "/dev/null")?;
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))
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
                | Self::HostBasic
                | Self::HostRaw
                | Self::HostSome
                | Self::Strace
                | Self::StraceSome
                | Self::StraceFilter
        )
    }

    /// How often it writes of this call, in a run for this purpose alone.
    ///
    /// # Errors
    /// As [`Variant::run`].
    pub fn lines_of(self, target: &[String], call: &str) -> Result<u64> {
        let ran = self.run(target)?;
        Ok(counts::of_strace(&ran.lines)
            .get(call)
            .copied()
            .unwrap_or(0))
    }
}
