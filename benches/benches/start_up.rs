//! What a whole run of `true` costs more than an untraced one, and how much CPU
//! time a tracer takes while its target sleeps.
//!
//! Runs are warm and in turn, round after round. A sleeping target is looked at
//! twice, some seconds apart: what the tracer took in between is what it takes
//! while nothing happens.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::fs;
use std::process::{Child, Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};
use pai_benches::{
    Options, Place, Samples, Table, Variant, gated, place, print_end, programs, truth,
};

const VARIANTS: &[Variant] = &[
    Variant::Native,
    Variant::Floor,
    Variant::Engine,
    Variant::HostMinimal,
    Variant::HostStrace,
    Variant::Strace,
];

/// What a warm start with the plugin `minimal` may cost, in milliseconds.
const START_LIMIT: f64 = 12.0;

/// What the host may take with the plugin `strace`, in MiB.
const MEMORY_LIMIT: f64 = 40.0;

/// CPU time per second of sleep above which a tracer is said to poll, in
/// microseconds: a look every 10 milliseconds would take it.
const IDLE_LIMIT: f64 = 500.0;

/// How long the target sleeps, and when it is looked at.
const SLEEP: &str = "5";
const FIRST_LOOK: Duration = Duration::from_millis(1000);
const BETWEEN: Duration = Duration::from_millis(3500);

/// Tables, and the limits that were missed.
struct Report {
    missed: Vec<String>,
}

impl Report {
    fn limit(&mut self, what: &str, unit: &str, figure: f64, limit: f64) {
        if figure > limit {
            self.missed.push(format!(
                "{what}: {figure:.1} {unit}, the limit is {limit:.1}"
            ));
        }
    }

    fn start_up(&mut self, variants: &[Variant], rounds: usize) -> Result<Table> {
        let target = programs::true_()?;
        let truth = truth::of(&target)?;
        let mut table = Table::new(&["place", "variant", "ms", "ms above untraced"]);
        for place in Place::ALL {
            eprintln!("start_up: {}", place.name());
            let _placed = place.take()?;
            for variant in variants {
                if variant.writes_lines() {
                    truth::check_lines(*variant, &target, &truth)?;
                }
                variant.run(&target)?;
            }
            let mut samples = vec![Samples::default(); variants.len()];
            for _ in 0..rounds {
                for (variant, samples) in variants.iter().zip(&mut samples) {
                    let ran = variant.run(&target)?;
                    if variant.counts() {
                        truth::check_all(*variant, &ran.counts()?, &truth)?;
                    }
                    samples.push(ran.milliseconds());
                }
            }
            let Some(untraced) = samples.first() else {
                continue;
            };
            for (variant, samples) in variants.iter().zip(&samples) {
                let above = samples.above(untraced);
                table.row(vec![
                    place.name().into(),
                    variant.name().into(),
                    samples.shown(2),
                    format!("{above:.2}"),
                ]);
                if *variant == Variant::HostMinimal {
                    let what = format!("start, {}", place.name());
                    self.limit(&what, "ms above untraced", above, START_LIMIT);
                }
            }
        }
        Ok(table)
    }

    fn idle(&mut self, variants: &[Variant]) -> Result<Table> {
        eprintln!("start_up: idle");
        let program = programs::in_path("sleep").context("no program named sleep")?;
        let target = [program.to_string_lossy().into_owned(), SLEEP.to_owned()];
        let mut table = Table::new(&["variant", "CPU µs per idle second", "CPU ms at the end"]);
        // All sleep at once: none disturbs another.
        let mut asleep = Vec::new();
        for variant in variants {
            asleep.push((*variant, variant.start(&target)?));
        }
        sleep(FIRST_LOOK);
        let mut before = Vec::new();
        for (_, child) in &asleep {
            before.push(cpu_time(child)?);
        }
        sleep(BETWEEN);
        let mut after = Vec::new();
        for (_, child) in &asleep {
            after.push(cpu_time(child)?);
        }
        for (((variant, mut child), before), after) in asleep.into_iter().zip(before).zip(after) {
            let status = child.wait().context("no end of sleep")?;
            ensure!(status.success(), "{}: {status}", variant.name());
            let idle = (after - before).as_secs_f64() * 1e6 / BETWEEN.as_secs_f64();
            table.row(vec![
                variant.name().into(),
                format!("{idle:.1}"),
                format!("{:.2}", after.as_secs_f64() * 1e3),
            ]);
            if matches!(variant, Variant::HostMinimal | Variant::Engine) {
                let what = format!("idle, {}", variant.name());
                self.limit(&what, "µs of CPU time per second", idle, IDLE_LIMIT);
            }
        }
        Ok(table)
    }
}

/// CPU time of all threads that a process has now.
fn cpu_time(child: &Child) -> Result<Duration> {
    let threads = gated::threads(child.id())?;
    Ok(threads.iter().map(|(_, _, time)| *time).sum())
}

/// First starts, with an empty cache: the compiler runs.
fn cold(rounds: usize) -> Result<Table> {
    eprintln!("start_up: cold");
    let host = programs::host().context("the program pai-host is not built")?;
    let mut table = Table::new(&["plugin", "ms"]);
    for plugin in ["minimal", "strace"] {
        let mut samples = Samples::default();
        for _ in 0..rounds {
            let cache = tempfile::tempdir().context("no temporary folder")?;
            let folder = cache.path().join("cache");
            let start = Instant::now();
            let done = Command::new(&host)
                .args(["run", "-o", "/dev/null", plugin, "--", "true"])
                .env("PAI_CACHE_DIR", &folder)
                .output()
                .context("cannot start the host")?;
            samples.push(start.elapsed().as_secs_f64() * 1e3);
            ensure!(done.status.success(), "{plugin}: {}", done.status);
            let kept = folder.read_dir().context("no cache was made")?.count();
            ensure!(kept == 1, "{plugin}: {kept} compiled plugins are kept");
        }
        table.row(vec![plugin.into(), samples.shown(0)]);
    }
    Ok(table)
}

/// Parts of the program, in MiB.
fn sizes() -> Result<Table> {
    let path = programs::host().context("the program pai-host is not built")?;
    let program = fs::read(&path).with_context(|| path.display().to_string())?;
    let file = object::File::parse(&*program)?;
    let mut parts = [
        ("code", 0),
        ("constants, the bundled plugins among them", 0),
        ("tables to unwind", 0),
        ("lines and names for backtraces", 0),
        ("the rest", 0),
    ];
    for section in file.sections() {
        let part = match section.name().unwrap_or_default() {
            ".text" => 0,
            ".rodata" | ".data.rel.ro" => 1,
            name if name.starts_with(".eh_frame") || name == ".gcc_except_table" => 2,
            name if name.starts_with(".debug_") || name.ends_with("strtab") => 3,
            ".symtab" => 3,
            _ => 4,
        };
        parts[part].1 += section.file_range().map_or(0, |(_, len)| len);
    }
    let mut table = Table::new(&["part", "MiB"]);
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    for (part, bytes) in parts {
        table.row(vec![part.into(), mebibytes(bytes)]);
    }
    table.row(vec!["all".into(), mebibytes(program.len() as u64)]);
    Ok(table)
}

/// What the host says of itself, in MiB.
fn peak_memory() -> Result<f64> {
    let host = programs::host().context("the program pai-host is not built")?;
    let done = Command::new(host)
        .args(["run", "--stats", "-o", "/dev/null", "strace", "--", "true"])
        .output()
        .context("cannot start the host")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("peak memory"));
    line.and_then(|line| line.trim().strip_suffix(" MiB")?.parse().ok())
        .with_context(|| format!("no peak memory in '{said}'"))
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(5, 30);
    let mut variants = Vec::new();
    println!("## Start and rest\n");
    for variant in VARIANTS {
        match variant.missing() {
            Some(missing) => println!("Skipped: {}: {missing}.\n", variant.name()),
            None => variants.push(*variant),
        }
    }
    let mut report = Report { missed: Vec::new() };
    println!("Load before: {}.\n", place::load());
    let table = report.start_up(&variants, rounds)?;
    println!("Whole runs of `true`, {rounds} rounds, warm. Median (minimum).\n\n{table}");
    // The C loop has no need to look at anything from time to time.
    variants.retain(|variant| !matches!(variant, Variant::Native));
    let rounds = if options.quick { 1 } else { 5 };
    println!(
        "The first start, which compiles the plugin:\n\n{}",
        cold(rounds)?
    );
    println!(
        "How large the program is, and what it holds:\n\n{}",
        sizes()?
    );
    let peak = peak_memory()?;
    println!("Peak memory of `run strace -- true`: {peak:.1} MiB.\n");
    report.limit("memory", "MiB", peak, MEMORY_LIMIT);
    let table = report.idle(&variants)?;
    println!("While the target sleeps, the target's own time left out:\n\n{table}");
    print_end(&report.missed);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
