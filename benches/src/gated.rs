//! What the threads of a tracer use for the loop of `targets/gate.c`, and for nothing else.
//!
//! The target waits before and behind its loop. CPU time is read from the kernel's clock of
//! each thread (/proc/PID/task/TID/schedstat) while all sleep, so it is exact, and neither
//! the start nor the end is in it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::counts::Counts;
use crate::programs::built;
use crate::way::Way;

/// How the threads of observers are named that the benches have.
const OBSERVER: &str = "pai-bench-";

/// Nobody naps longer who has work: see the engine's `observe`.
const PAUSE: Duration = Duration::from_millis(25);
/// How often nothing has happened in that time until all sleep.
const QUIET: usize = 3;
/// How often that is looked at.
const LOOKS: usize = 2_000;

/// CPU time of threads.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Used {
    /// Of the one that traces.
    pub tracer: Duration,
    /// Of the observer's, if there is one.
    pub observer: Duration,
}

/// CPU time of all threads that a process has now, with their numbers and names.
///
/// # Errors
/// When the kernel does not tell.
pub fn threads(pid: u32) -> Result<Vec<(u32, String, Duration)>> {
    let folder = format!("/proc/{pid}/task");
    let mut all = Vec::new();
    for task in fs::read_dir(&folder).with_context(|| folder.clone())? {
        let path = task?.path();
        let read = |name| {
            let path = path.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let tid = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        let text = read("schedstat")?;
        let first = text.split_whitespace().next().unwrap_or_default();
        let nanoseconds = first
            .parse()
            .with_context(|| format!("no time in '{text}'"))?;
        all.push((
            tid.context("a task without a number")?,
            read("comm")?.trim_end().to_owned(),
            Duration::from_nanos(nanoseconds),
        ));
    }
    Ok(all)
}

fn used(pid: u32) -> Result<Used> {
    let mut used = Used::default();
    for (tid, name, time) in threads(pid)? {
        if tid == pid {
            used.tracer += time;
        } else if name.starts_with(OBSERVER) {
            used.observer += time;
        }
    }
    Ok(used)
}

/// What was used by the time that nothing more happens.
fn when_quiet(pid: u32) -> Result<Used> {
    let mut last = used(pid)?;
    let mut quiet = 0;
    for _ in 0..LOOKS {
        sleep(PAUSE);
        let now = used(pid)?;
        quiet = if now == last { quiet + 1 } else { 0 };
        if quiet == QUIET {
            return Ok(now);
        }
        last = now;
    }
    bail!("the tracer does not come to rest")
}

/// Runs the target with so many calls; what was used for them, and what the tracer has
/// counted at the end.
///
/// # Errors
/// When it cannot, or the target failed.
pub fn run(way: &Way, ops: u64) -> Result<(Used, Counts)> {
    let target = [built::GATE.to_owned(), ops.to_string()];
    let mut command = way.command(&target, "/dev/null")?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let measured = measure(&mut child, ops).with_context(|| way.name.to_owned());
    let mut stderr = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_string(&mut stderr).context("no output")?;
    }
    let status = child.wait().context("no end of the tracer")?;
    ensure!(status.success(), "{}: {status}\n{stderr}", way.name);
    Ok((measured?, Counts::parse(&stderr)?))
}

/// The target's input ends with this, which is its end, whatever comes of it.
fn measure(child: &mut Child, ops: u64) -> Result<Used> {
    let pid = child.id();
    let mut stdin = child.stdin.take().context("no input")?;
    let mut stdout = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut line = || {
        stdout
            .next()
            .context("the target has ended")?
            .context("no line")
    };
    line()?;
    let before = when_quiet(pid)?;
    stdin.write_all(b"\n").context("no input")?;
    let report = line()?;
    let after = when_quiet(pid)?;
    let made = format!("gate ops={ops} ");
    ensure!(report.starts_with(&made), "'{report}' after {ops} calls");
    Ok(Used {
        tracer: after.tracer.saturating_sub(before.tracer),
        observer: after.observer.saturating_sub(before.observer),
    })
}
