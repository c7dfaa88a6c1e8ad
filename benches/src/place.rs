//! Where tracer and target run.

use std::fs;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

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

/// The load averages: other work disturbs.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = text.split_whitespace().take(3).collect();
    averages.join(" ")
}
