//! What a stop costs, by where the tracer and the tracee run.
//!
//! The scheduler wakes a tracee on an idle CPU when there is one, and on a virtual
//! machine the wake across CPUs is most of a stop. No place but the tracee's own
//! affinity changes that, so tracers that only move themselves are measured too; idle
//! CPUs that do not sleep change it as well.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use pai_benches::programs::{self, built};
use pai_benches::way::{by_turns, present};
use pai_benches::{Options, Table, Way, place, print_end};

fn cpus() -> Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
    let is_set = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
    Ok((0..CpuSet::count()).filter(is_set).collect())
}

/// Where the two run, tracer first; `None` is what the scheduler decides.
fn ways(cpus: &[usize], other: usize, own: usize) -> Vec<Way> {
    let all: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    let all = all.join(",");
    let way = |name, mode: &str, tracer: Option<usize>, tracee: Option<usize>| {
        let set = |cpu: Option<usize>| cpu.map_or_else(|| all.clone(), |cpu| cpu.to_string());
        let taskset = programs::in_path("taskset").ok_or("taskset is not installed");
        let engine = programs::tracer().ok_or("pai-bench-tracer is not built");
        let engine = engine.map(|path| path.to_string_lossy().into_owned());
        let words = match &engine {
            Ok(engine) => [
                "-c",
                &set(tracer),
                engine,
                mode,
                "taskset",
                "-c",
                &set(tracee),
            ]
            .map(str::to_owned),
            Err(_) => Default::default(),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Way::program(name, engine.and(taskset), &words)
    };
    let host = |name, place| Way::guest(name, &["--cpu", place], programs::noop(), &[]);
    vec![
        way("both where the scheduler puts them", "engine", None, None),
        way("there, idle CPUs awake", "awake", None, None),
        way("the tracer follows the tracee", "follow", None, None),
        way("the tracer on one CPU", "engine", Some(own), None),
        way("the tracee on one CPU", "engine", None, Some(own)),
        way("both on one CPU", "engine", Some(own), Some(own)),
        way("on two CPUs", "engine", Some(other), Some(own)),
        host("host, --cpu free", "free"),
        host("host, --cpu auto", "auto"),
        host("host, --cpu awake", "awake"),
        host("host, --cpu same", "same"),
    ]
}

/// Nanoseconds for each call, of which each has two stops.
fn run(way: &Way, ops: u64) -> Result<f64> {
    let ran = way.run(&[built::GETPPID.to_owned(), ops.to_string()])?;
    let seen = ran.counts()?.of("getppid")?;
    ensure!(
        seen.entries == ops && seen.exits == ops,
        "{}: wrong count: {seen:?}, {ops} expected",
        way.name
    );
    Ok(ran.field("ns_per_op")?.parse()?)
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 7);
    let ops = options.ops(1_000, 10_000);
    println!("## Places\n");
    println!(
        "Two stops for each of {ops} calls: the engine with a native client; the host with a \
         no-op plugin, of which `auto` is the default. Rounds: {rounds}. \
         Nanoseconds for each call: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let cpus = cpus()?;
    let [.., other, own] = cpus[..] else {
        println!("Skipped: there is one CPU only.\n");
        return Ok(());
    };
    let ways = present("places", ways(&cpus, other, own), |way| way);
    eprintln!("placement: {rounds} rounds");
    let all = by_turns(&ways, rounds, |way| run(way, ops))?;
    let mut table = Table::new(&["place", "ns per call", "/ first"]);
    for (way, samples) in ways.iter().zip(&all) {
        let first = all
            .first()
            .map_or(f64::NAN, |first| samples.ratio_to(first));
        table.row(vec![
            way.name.to_owned(),
            samples.shown(0),
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
