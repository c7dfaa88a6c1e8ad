//! The CPU of the tracer.

use std::fmt::Write;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::{Cpu, SessionError};

/// The one CPU, if there is to be one.
///
/// # Errors
/// When the kernel does not say which this is.
pub(super) fn choose(cpu: Cpu) -> Result<Option<usize>, SessionError> {
    match cpu {
        Cpu::Auto | Cpu::Free | Cpu::Awake => Ok(None),
        Cpu::Same => match sched_getcpu() {
            Ok(cpu) => Ok(Some(cpu)),
            Err(errno) => Err(SessionError::CpuUnknown(errno.into())),
        },
        Cpu::Number(cpu) => Ok(Some(cpu)),
    }
}

/// Whether this thread may run on one CPU only.
pub(super) fn is_one() -> bool {
    sched_getaffinity(Pid::from_raw(0)).is_ok_and(|set| cpus(&set).count() == 1)
}

/// While this lives, the thread that made it has one CPU, and what it starts has, too.
#[derive(Debug)]
pub(super) struct Placed {
    before: CpuSet,
}

impl Placed {
    /// Moves this thread to a CPU.
    ///
    /// # Errors
    /// When it may not run there.
    pub(super) fn on(cpu: usize) -> Result<Self, SessionError> {
        // The calling thread.
        let own = Pid::from_raw(0);
        let failed = |before: Option<&CpuSet>, errno: Errno| SessionError::Cpu {
            cpu,
            allowed: before.map(list).unwrap_or_default(),
            errno: errno as i32,
        };
        let before = sched_getaffinity(own).map_err(|errno| failed(None, errno))?;
        let mut one = CpuSet::new();
        one.set(cpu)
            .and_then(|()| sched_setaffinity(own, &one))
            .map_err(|errno| failed(Some(&before), errno))?;
        Ok(Self { before })
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(Pid::from_raw(0), &self.before) {
            // The CPUs that were allowed are gone, or others are allowed now.
            tracing::debug!(target: "pai::host", %error, "the tracer stays on its CPU");
        }
    }
}

/// The numbers of those in a set.
fn cpus(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false))
}

/// As /proc/PID/status has it: "0-3,8".
fn list(set: &CpuSet) -> String {
    let mut text = String::new();
    let mut cpus = cpus(set);
    let mut next = cpus.next();
    while let Some(first) = next {
        let mut last = first;
        next = cpus.next();
        while next == Some(last + 1) {
            last += 1;
            next = cpus.next();
        }
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _written = match last {
            last if last == first => write!(text, "{comma}{first}"),
            last => write!(text, "{comma}{first}-{last}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_listed() {
        for (cpus, text) in [
            (&[][..], ""),
            (&[0], "0"),
            (&[0, 1], "0-1"),
            (&[0, 1, 2, 5, 7, 8], "0-2,5,7-8"),
        ] {
            let mut set = CpuSet::new();
            for cpu in cpus {
                set.set(*cpu).unwrap();
            }
            assert_eq!(list(&set), text);
        }
    }

    #[test]
    fn a_thread_gets_its_cpus_back() {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own).unwrap();
        let cpu = (0..CpuSet::count())
            .find(|cpu| before.is_set(*cpu).unwrap())
            .unwrap();
        let placed = Placed::on(cpu).unwrap();
        assert_eq!(list(&sched_getaffinity(own).unwrap()), cpu.to_string());
        assert_eq!(choose(Cpu::Same).unwrap(), Some(cpu));
        assert_eq!(choose(Cpu::Auto).unwrap(), None);
        assert!(is_one());
        drop(placed);
        assert_eq!(sched_getaffinity(own).unwrap(), before);
        for far in [CpuSet::count() - 1, CpuSet::count(), usize::MAX] {
            let cpu = choose(Cpu::Number(far)).unwrap().unwrap();
            let error = Placed::on(cpu).unwrap_err().to_string();
            let start = format!("cannot use CPU {far}: ");
            assert!(error.starts_with(&start), "{error}");
            assert!(error.contains(&list(&before)), "{error}");
        }
    }
}
