//! What a stop costs, by where the tracer and the tracee run.
//!
//! The scheduler wakes a tracee on an idle CPU when there is one, and on a virtual
//! machine the wake across CPUs is most of a stop. No place but the tracee's own
//! affinity changes that, so a tracer that only moves itself is measured too.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use pai_benches::counts::Counts;
use pai_benches::programs::{self, built};
use pai_benches::{Options, Samples, Table, place, print_end};

/// Where the two run; `None` is what the scheduler decides.
struct Case {
    name: &'static str,
    tracer: Option<usize>,
    tracee: Option<usize>,
}

/// What runs the target.
struct Tools {
    taskset: String,
    tracer: String,
    /// All CPUs of this process, as taskset writes them.
    all: String,
}

fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
    let is_set = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    Ok((0..CpuSet::count()).filter(is_set).collect())
}

fn cases(cpus: &[usize]) -> Result<Vec<Case>> {
    let [.., other, own] = *cpus else {
        bail!("there is one CPU only");
    };
    let case = |name, tracer, tracee| Case {
        name,
        tracer,
        tracee,
    };
    Ok(vec![
        case("both where the scheduler puts them", None, None),
        case("both on one CPU", Some(own), Some(own)),
        case("the tracer on one CPU", Some(own), None),
        case("the tracee on one CPU", None, Some(own)),
        case("on two CPUs", Some(other), Some(own)),
    ])
}

impl Tools {
    fn find(cpus: &[usize]) -> Result<Self, &'static str> {
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let all: Vec<String> = cpus.iter().map(ToString::to_string).collect();
        Ok(Self {
            taskset: text(programs::in_path("taskset").ok_or("taskset is not installed")?),
            tracer: text(programs::tracer().ok_or("pai-bench-tracer is not built")?),
            all: all.join(","),
        })
    }

    fn on(&self, cpu: Option<usize>) -> [String; 3] {
        let cpus = cpu.map_or_else(|| self.all.clone(), |cpu| cpu.to_string());
        [self.taskset.clone(), "-c".to_owned(), cpus]
    }

    /// Nanoseconds for each call, of which each has two stops.
    fn run(&self, case: &Case, ops: u64) -> Result<f64> {
        let mut words = self.on(case.tracer).to_vec();
        words.extend([self.tracer.clone(), "engine".to_owned()]);
        words.extend(self.on(case.tracee));
        words.extend([built::GETPPID.to_owned(), ops.to_string()]);
        let (program, arguments) = words.split_first().context("nothing to run")?;
        let done = Command::new(program)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        let (stdout, stderr) = (
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr),
        );
        ensure!(
            done.status.success(),
            "{words:?}: {}\n{stderr}",
            done.status
        );
        let seen = Counts::parse(&stderr)?.of("getppid")?;
        ensure!(
            seen.entries == ops && seen.exits == ops,
            "{}: wrong count: {seen:?}, {ops} expected",
            case.name
        );
        let figure = stdout
            .split_whitespace()
            .find_map(|word| word.strip_prefix("ns_per_op="));
        let figure = figure.with_context(|| format!("no ns_per_op in '{stdout}'"))?;
        Ok(figure.parse()?)
    }
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 7 });
    let ops = options
        .ops
        .unwrap_or(if options.quick { 1_000 } else { 10_000 });
    println!("## Places\n");
    println!(
        "The engine with a native client, two stops for each of {ops} calls. Rounds: {rounds}. \
         Nanoseconds for each call: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let cpus = cpus()?;
    let cases = match cases(&cpus) {
        Ok(cases) => cases,
        Err(error) => {
            println!("Skipped: {error}.\n");
            return Ok(());
        }
    };
    let tools = match Tools::find(&cpus) {
        Ok(tools) => tools,
        Err(missing) => {
            println!("Skipped: {missing}.\n");
            return Ok(());
        }
    };
    let mut all = vec![Samples::default(); cases.len()];
    for round in 0..rounds {
        eprintln!("placement: round {}", round + 1);
        for (case, samples) in cases.iter().zip(&mut all) {
            samples.push(tools.run(case, ops)?);
        }
    }
    let mut table = Table::new(&["place", "ns per call", "/ first"]);
    for (case, samples) in cases.iter().zip(&all) {
        let first = all
            .first()
            .map_or(f64::NAN, |first| samples.ratio_to(first));
        table.row(vec![
            case.name.to_owned(),
            format!("{:.0} ({:.0})", samples.median(), samples.min()),
            format!("{first:.2}"),
        ]);
    }
    println!("{table}");
    print_end(&[]);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
