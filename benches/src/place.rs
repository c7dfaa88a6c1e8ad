//! Where tracer and target run.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use pai_ptrace::Tid;

/// A placement, the same for a tracer and for what it traces.
///
/// A stop costs two switches between the two; when they run on different CPUs
/// each is a wake across CPUs, which on a virtual machine costs several times
/// the rest of the stop. So both cases are measured, and never compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The scheduler decides.
    Free,
    /// Everything on one CPU.
    OneCpu,
}

/// While this lives, children of this process start in a placement.
#[derive(Debug)]
pub struct Placed {
    before: Option<CpuSet>,
}

impl Place {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Free, Self::OneCpu];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::OneCpu => "one CPU",
        }
    }

    /// Takes this place, for this thread and its future children.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn take(self) -> Result<Placed> {
        if self == Self::Free {
            return Ok(Placed { before: None });
        }
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own).context("sched_getaffinity")?;
        // The last one: the first serves most interrupts.
        let last = (0..CpuSet::count())
            .rev()
            .find(|cpu| before.is_set(*cpu).unwrap_or(false))
            .context("no CPU to run on")?;
        let mut one = CpuSet::new();
        one.set(last).context("a CPU that is in a set")?;
        sched_setaffinity(own, &one).context("sched_setaffinity")?;
        Ok(Placed {
            before: Some(before),
        })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // What was allowed before is allowed now, unless a CPU vanished:
            // then nothing that is measured afterwards would be worse.
            let _restored = sched_setaffinity(Pid::from_raw(0), before);
        }
    }
}

/// Moves this thread to the CPU that a task was on last (proc_pid_stat(5), field 39).
///
/// # Errors
/// When the task is gone, or the kernel refuses.
pub fn go_to(tid: Tid) -> Result<()> {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat"))?;
    // The name, field 2, may hold anything; field 3 is behind its last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").context("a line with a name")?;
    let cpu = fields.split(' ').nth(39 - 3).context("a CPU")?.parse()?;
    let mut one = CpuSet::new();
    one.set(cpu).context("a CPU that is in a set")?;
    sched_setaffinity(Pid::from_raw(0), &one).context("sched_setaffinity")
}

/// While the file is open, idle CPUs do not sleep.
///
/// # Errors
/// When that is not allowed.
pub fn keep_awake() -> Result<File> {
    let device = "/dev/cpu_dma_latency";
    let mut file = File::options().write(true).open(device).context(device)?;
    file.write_all(&0_i32.to_ne_bytes()).context(device)?;
    Ok(file)
}

/// The load averages: other work disturbs.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    averages.join(" ")
}
