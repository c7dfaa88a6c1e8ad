//! What it costs to get from the engine into a plugin's code and back: records for those
//! that watch, and questions of those that take part.
//!
//! Variants run in turn, round after round, all on one CPU. Each run must have counted as
//! many calls as the target made.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::way::{by_turns, present};
use pai_benches::{Counts, Options, Place, Samples, Table, Way, gated, place, print_end};

/// What the targets call.
const CALL: &str = "getppid";
/// A call that no target makes.
const NEVER: &str = "reboot";

/// The documented limits, nanoseconds per record.
const OBSERVER_LIMIT: f64 = 100.0;
const TRACER_LIMIT: f64 = 30.0;

/// Records of a batch; those of the SDK come first, and the limits are for these.
const BATCHES: &[u64] = &[4096, 256, 16, 1];

/// What plugins ask for.
const IMPORTS: &[&str] = &["clock", "registers", "memory"];
/// How often in a row.
const TIMES: u64 = 16;

/// A way to watch a target.
struct Watch {
    way: Way,
    /// Records of a batch.
    most: Option<u64>,
    /// Whether it is told of the calls.
    told: bool,
}

/// The same stops, and an observer that wants none of them.
fn no_record() -> Watch {
    let never = format!("--call={NEVER}");
    let plugin = programs::guest("bench_records");
    Watch {
        way: Way::guest("host, no record", &["--no-seccomp"], plugin, &[&never]),
        most: None,
        told: false,
    }
}

fn observer(most: u64) -> Watch {
    let most_option = format!("--most={most}");
    let plugin = programs::guest("bench_records");
    Watch {
        way: Way::guest("host, observer", &[], plugin, &[&most_option]),
        most: Some(most),
        told: true,
    }
}

impl Watch {
    fn check(&self, counts: &Counts, ops: u64) -> Result<()> {
        let seen = counts.of(CALL)?.exits;
        let expected = if self.told { ops } else { 0 };
        ensure!(
            seen == expected,
            "{}: wrong count: {seen} exits of {CALL}, {expected} expected",
            self.way.name
        );
        Ok(())
    }

    fn most(&self) -> String {
        self.most
            .map_or_else(|| "-".to_owned(), |most| most.to_string())
    }
}

/// Nanoseconds for each of so many.
fn each(time: Duration, ops: u64) -> f64 {
    // Some hundred thousand at most.
    time.as_secs_f64() * 1e9 / ops as f64
}

/// CPU time of the two threads.
fn threads(rounds: usize, ops: u64, missed: &mut Vec<String>) -> Result<Table> {
    let engine = Watch {
        way: Way::tracer("engine, native observer", &["watch"]),
        most: None,
        told: true,
    };
    let watches = present(
        "records",
        vec![engine, no_record(), observer(BATCHES[0])],
        |w| &w.way,
    );
    let mut all = vec![(Samples::default(), Samples::default()); watches.len()];
    for round in 0..rounds {
        eprintln!("boundary: threads, round {}", round + 1);
        for (watch, (observer, tracer)) in watches.iter().zip(&mut all) {
            let (used, counts) = gated::run(&watch.way, ops)?;
            watch.check(&counts, ops)?;
            observer.push(each(used.observer, ops));
            tracer.push(each(used.tracer, ops));
        }
    }
    let columns = [
        "variant",
        "observer, ns per record",
        "tracer, ns per record",
        "tracer above engine",
    ];
    let mut table = Table::new(&columns);
    let engine = all.first().map(|(_, tracer)| tracer);
    for (watch, (observer, tracer)) in watches.iter().zip(&all) {
        let above = engine.map_or(f64::NAN, |engine| tracer.above(engine));
        table.row(vec![
            watch.way.name.to_owned(),
            observer.shown(1),
            tracer.shown(1),
            format!("{above:.1}"),
        ]);
        if watch.most.is_none() {
            continue;
        }
        for (whose, figure, limit) in [
            ("observer", observer.median(), OBSERVER_LIMIT),
            ("tracer", above, TRACER_LIMIT),
        ] {
            if figure > limit {
                missed.push(format!(
                    "records: {figure:.1} ns of the {whose}'s CPU time, the limit is {limit:.1}"
                ));
            }
        }
    }
    Ok(table)
}

/// Whole runs, with batches of several sizes.
fn batches(rounds: usize, ops: u64) -> Result<Table> {
    eprintln!("boundary: batches");
    let mut watches = vec![no_record()];
    watches.extend(BATCHES.iter().map(|most| observer(*most)));
    let watches = present("records", watches, |watch| &watch.way);
    let all = by_turns(&watches, rounds, |watch| {
        let ran = watch
            .way
            .run(&[built::GETPPID.to_owned(), ops.to_string()])?;
        watch.check(&ran.counts()?, ops)?;
        Ok(each(ran.wall, ops))
    })?;
    let columns = [
        "variant",
        "records per batch",
        "run, ns per record",
        "above no record",
    ];
    let mut table = Table::new(&columns);
    let none = all.first().context("nothing was run")?;
    for (watch, own) in watches.iter().zip(&all) {
        table.row(vec![
            watch.way.name.to_owned(),
            watch.most(),
            own.shown(0),
            format!("{:.0}", own.above(none)),
        ]);
    }
    Ok(table)
}

/// A way to ask at each entry, so often.
struct Ask {
    way: Way,
    times: u64,
}

/// With a plugin, and with a native client; without a question, and with many.
fn asks(import: &str) -> Vec<Ask> {
    let of = |times: u64| {
        let option = [format!("--import={import}"), format!("--times={times}")];
        let plugin = programs::guest("bench_entries");
        let plugin = Way::guest("host, plugin", &[], plugin, &[&option[0], &option[1]]);
        let ask = ["ask", CALL, import, &times.to_string()];
        let engine = Way::tracer("engine, native client", &ask);
        [plugin, engine].map(|way| Ask { way, times })
    };
    [0, TIMES].into_iter().flat_map(of).collect()
}

impl Ask {
    /// Nanoseconds per call of the target's.
    fn run(&self, ops: u64) -> Result<f64> {
        let ran = self
            .way
            .run(&[built::GETPPID.to_owned(), ops.to_string()])?;
        let seen = ran.counts()?.of(CALL)?.entries;
        let answers = ran.number("answers ")?;
        ensure!(
            seen == ops && answers == ops * self.times,
            "{}: wrong count: {seen} entries and {answers} answers after {ops} calls with \
             {} questions each",
            self.way.name,
            self.times
        );
        Ok(ran.field("ns_per_op")?.parse()?)
    }
}

fn imports(rounds: usize, ops: u64) -> Result<Table> {
    let columns = ["import", "variant", "ns per entry", "ns per import"];
    let mut table = Table::new(&columns);
    for import in IMPORTS {
        eprintln!("boundary: {import}");
        let asks = present(import, asks(import), |ask| &ask.way);
        for ask in &asks {
            ask.run((ops / 10).max(1))?;
        }
        let all = by_turns(&asks, rounds, |ask| ask.run(ops)).context(*import)?;
        let (none, many) = all.split_at(all.len() / 2);
        for ((ask, none), many) in asks.iter().zip(none).zip(many) {
            let each = many.above(none) / TIMES as f64;
            table.row(vec![
                (*import).to_owned(),
                ask.way.name.to_owned(),
                none.shown(0),
                format!("{each:.0}"),
            ]);
        }
    }
    Ok(table)
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 9);
    let ops = options.ops(4_000, 20_000);
    let _placed = Place::OneCpu.take()?;
    let mut missed = Vec::new();
    println!("## Between engine and plugin\n");
    println!(
        "Rounds: {rounds}, calls per run: {ops}, all on one CPU. Load before: {}.\n",
        place::load()
    );
    let table = threads(rounds, ops, &mut missed)?;
    println!(
        "A record for each `{CALL}`, at its exit. CPU time of the threads for the target's loop, \
         from /proc/PID/task/TID/schedstat: read while the target waits before and behind the \
         loop and all sleep, so the observer has taken all records. Median (minimum). Above \
         engine: median of each round's difference to the engine with a native observer that \
         counts on the tracer's thread; without a record: the same stops, of which the observer \
         wants none.\n\n{table}"
    );
    let table = batches(rounds, ops)?;
    println!(
        "Whole runs with batches of several sizes, from before the start to after the end: on one \
         CPU what both threads do adds up. Median (minimum); above: median of each round's \
         difference.\n\n{table}"
    );
    let table = imports(rounds, ops)?;
    println!(
        "A plugin that wants entries of `{CALL}`, and a native client that asks the engine for \
         the same. Per entry: without a question, median (minimum). Per import: the slope from \
         none to {TIMES} at each entry, median of the rounds.\n\n{table}"
    );
    print_end(&missed);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
