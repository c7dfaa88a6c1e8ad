//! Whether the cost of an event stays the same while something else grows: the number
//! of threads, processes, plugins, breakpoints or mappings.
//!
//! As in `per_call`: the target times its own loop, which makes the same number of
//! operations whatever the size, and all is on one CPU. Sizes and variants run in turn,
//! round after round, and ratios are medians of each round's ratio. Each run's counts are
//! checked; variants that only write lines are checked in one run before. The C loop has
//! no table of anything: how its figures grow is the kernel's doing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::variant::{Ran, command};
use pai_benches::{Counts, Options, Place, Samples, Table, Variant, place, print_end};

/// How much more the largest size may cost than the smallest one.
const FLAT: f64 = 1.5;

/// How much more the largest number of plugins may cost than if each cost the same.
const LINEAR: f64 = 1.2;

/// Operations are divided among as many tasks.
const MOST_TASKS: u64 = 1000;

/// How many breakpoints there are, and how many where a plugin has them: of all things
/// together it may have 4096.
const MOST_BREAKPOINTS: u64 = 10_000;
const MOST_OF_PLUGIN: u64 = 4_000;

/// How many mappings there would be.
const MOST_MAPPINGS: u64 = 100_000;

/// How many the target has besides, and more than that.
const OTHER_MAPPINGS: u64 = 500;

/// One way to see the events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One that other benches have, too.
    Of(Variant),
    /// The engine with as many native clients that want every entry and exit.
    Clients,
    /// The host with as many plugins that do.
    Plugins,
    /// The host with as many observers of every call.
    Observers,
    /// The engine with a native client that reads each path.
    EngineReads,
    /// The host with a plugin that does.
    Reads,
    /// The engine with a native client that has breakpoints.
    EngineBreakpoints,
    /// The host with a plugin that has.
    Breakpoints,
}

/// How a way is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Counts of calls, once for each client.
    Counts,
    /// How often it saw what it looked for.
    Hits,
    /// Nothing but its lines.
    Lines,
}

const FLOOR: Way = Way::Of(Variant::Floor);
const ENGINE: Way = Way::Of(Variant::Engine);
const NOOP: Way = Way::Of(Variant::Noop);
const HOST_STRACE: Way = Way::Of(Variant::HostStrace);
const STRACE: Way = Way::Of(Variant::Strace);

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Of(variant) => variant.name(),
            Self::Clients => "engine, native clients",
            Self::Plugins => "host, no-op plugins",
            Self::Observers => "host, observers",
            Self::EngineReads => "engine, native client reads",
            Self::Reads => "host, plugin reads",
            Self::EngineBreakpoints => "engine, native client, breakpoints",
            Self::Breakpoints => "host, plugin, breakpoints",
        }
    }

    fn tells(self) -> Tells {
        match self {
            Self::Of(variant) if variant.writes_lines() => Tells::Lines,
            Self::Of(_) | Self::Clients | Self::Plugins | Self::Observers => Tells::Counts,
            Self::EngineReads | Self::Reads | Self::EngineBreakpoints | Self::Breakpoints => {
                Tells::Hits
            }
        }
    }

    /// So many it can have of what it has.
    fn most(self) -> u64 {
        match self {
            Self::Breakpoints => MOST_OF_PLUGIN,
            _ => u64::MAX,
        }
    }

    /// The limit is for these.
    fn is_ours(self) -> bool {
        !matches!(self, FLOOR | STRACE)
    }

    fn missing(self) -> Option<&'static str> {
        match self {
            Self::Of(variant) => variant.missing(),
            _ => self.words("", 1).err(),
        }
    }

    /// Its command, up to the target, where there are so many of what it has: plugins,
    /// or breakpoints on this function and those behind it.
    fn words(self, function: &str, many: u64) -> Result<Vec<String>, &'static str> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let tracer = |mode: &[&str]| -> Result<Vec<String>, &'static str> {
            let tracer = programs::tracer().ok_or("the program pai-bench-tracer is not built")?;
            let mut words = vec![text(tracer)];
            words.extend(mode.iter().map(|&word| word.to_owned()));
            Ok(words)
        };
        let host = |plugin: Option<PathBuf>, options: &[String], copies: u64| {
            let host = programs::host().ok_or("the program pai-host is not built")?;
            let mut quoted = format!("'{}'", text(plugin.ok_or("a plugin is not built")?));
            for option in options {
                quoted += " ";
                quoted += option;
            }
            let mut words = vec![text(host), "run".to_owned()];
            for _ in 0..copies {
                words.extend(["-t".to_owned(), quoted.clone()]);
            }
            words.push("--".to_owned());
            Ok(words)
        };
        match self {
            Self::Of(_) => Err("it is run as elsewhere"),
            Self::Clients => tracer(&["clients", &many.to_string()]),
            Self::Plugins => host(programs::noop(), &[], many),
            Self::Observers => host(programs::observer(), &[], many),
            Self::EngineReads => tracer(&["reads"]),
            Self::Reads => host(programs::reads(), &[], 1),
            Self::EngineBreakpoints => tracer(&["breakpoints", function, &many.to_string()]),
            Self::Breakpoints => {
                let function = format!("--function={function}");
                let count = format!("--count={many}");
                host(programs::breakpoints(), &[function, count], 1)
            }
        }
    }
}

/// What is told of a run besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    /// All of it.
    Run,
    /// What each plugin more costs an event.
    EachMore,
    /// What it took to insert one breakpoint.
    Inserting,
    /// What the first event took.
    First,
}

impl Extra {
    fn column(self) -> &'static str {
        match self {
            Self::Run => "run, ms",
            Self::EachMore => "ns for each more",
            Self::Inserting => "inserting, µs each",
            Self::First => "first event, µs",
        }
    }

    /// What a run says of it; nothing of what needs two.
    fn of(self, ran: &Ran, size: u64) -> Result<Option<f64>> {
        Ok(match self {
            Self::Run => Some(ran.milliseconds()),
            Self::EachMore => None,
            Self::Inserting => Some(ran.told("inserting")? as f64 / 1e3 / size as f64),
            Self::First => Some(ran.field("first_ns")?.parse::<f64>()? / 1e3),
        })
    }
}

/// A target at several sizes.
struct Series {
    name: &'static str,
    sizes: Vec<u64>,
    ways: Vec<Way>,
    /// Its command for so many operations at a size.
    target: fn(u64, u64) -> Vec<String>,
    /// What an operation is to those that count calls.
    call: &'static str,
    /// What it is to those that have breakpoints.
    function: &'static str,
    /// Plugins or breakpoints are what grows.
    many: bool,
    /// What the target does of the same before its loop.
    first: u64,
    extra: Extra,
}

/// What several rounds of one way took at one size.
#[derive(Clone, Default)]
struct Figures {
    /// Nanoseconds per operation.
    ns: Samples,
    extra: Samples,
}

impl Series {
    fn many(&self, size: u64) -> u64 {
        if self.many { size } else { 1 }
    }

    fn takes_part(&self, way: Way, size: u64) -> bool {
        self.many(size) <= way.most()
    }

    fn check(&self, way: Way, ran: &Ran, ops: u64, size: u64, base: &Counts) -> Result<()> {
        let right = |what: &str, seen: u64, expected: u64| {
            ensure!(
                seen == expected,
                "{}: wrong count: {seen} {what}, {expected} expected",
                way.name()
            );
            Ok(())
        };
        right("operations", ran.field("ops")?.parse()?, ops)?;
        match way.tells() {
            Tells::Lines => {}
            Tells::Hits => right("hits", ran.told("hits")?, ops + self.first)?,
            Tells::Counts => {
                let all = ran.all_counts()?;
                right("clients", u64::try_from(all.len())?, self.many(size))?;
                let base = base.of(self.call)?;
                for counts in all {
                    let seen = counts.of(self.call)?;
                    right("entries", seen.entries, base.entries + ops)?;
                    right("exits", seen.exits, base.exits + ops)?;
                }
            }
        }
        Ok(())
    }

    /// One run.
    fn run(&self, way: Way, ops: u64, size: u64, base: &Counts) -> Result<Ran> {
        let target = (self.target)(ops, size);
        let ran = if let Way::Of(variant) = way {
            variant.run(&target)?
        } else {
            let words = way.words(self.function, self.many(size));
            let mut words = words.map_err(anyhow::Error::msg)?;
            words.extend(target);
            Ran::of(way.name(), &mut command(&words)?)?
        };
        self.check(way, &ran, ops, size, base)?;
        Ok(ran)
    }

    /// Once before all others, with the lines counted.
    fn warm_up(&self, way: Way, ops: u64, size: u64, base: &Counts) -> Result<()> {
        let Way::Of(variant) = way else {
            return self.run(way, ops, size, base).map(drop);
        };
        if !variant.writes_lines() {
            return self.run(way, ops, size, base).map(drop);
        }
        let seen = variant.lines_of(&(self.target)(ops, size), self.call)?;
        let expected = base.of(self.call)?.entries + ops;
        ensure!(
            seen == expected,
            "{}: wrong count: {seen} lines, {expected} expected",
            way.name()
        );
        Ok(())
    }

    /// The figures of all ways at all sizes.
    fn measure(&self, rounds: usize, ops: u64) -> Result<Vec<Vec<Figures>>> {
        let smallest = self.sizes.first().context("no size")?;
        let base = Variant::Floor.run(&(self.target)(0, *smallest));
        let base = base?.counts()?;
        let mut all = vec![vec![Figures::default(); self.ways.len()]; self.sizes.len()];
        for size in &self.sizes {
            for way in self.ways.iter().filter(|way| self.takes_part(**way, *size)) {
                let warm = self.warm_up(*way, MOST_TASKS, *size, &base);
                warm.with_context(|| size.to_string())?;
            }
        }
        for _ in 0..rounds {
            for (size, of_size) in self.sizes.iter().zip(&mut all) {
                for (way, figures) in self.ways.iter().zip(of_size) {
                    if !self.takes_part(*way, *size) {
                        continue;
                    }
                    let ran = self.run(*way, ops, *size, &base)?;
                    figures.ns.push(ran.field("ns_per_op")?.parse()?);
                    if let Some(extra) = self.extra.of(&ran, *size)? {
                        figures.extra.push(extra);
                    }
                }
            }
        }
        Ok(all)
    }

    /// What one more costs an event, between two sizes.
    fn each_more(&self, all: &[Vec<Figures>], way: usize, from: usize, to: usize) -> f64 {
        let more = (self.sizes[to] - self.sizes[from]) as f64;
        all[to][way].ns.above(&all[from][way].ns) / more
    }

    /// The largest size at which a way takes part.
    fn last(&self, way: usize) -> usize {
        let way = self.ways[way];
        let part = self
            .sizes
            .partition_point(|size| self.takes_part(way, *size));
        part.saturating_sub(1)
    }

    /// How a way grows from the smallest size to the largest. Each plugin has its part
    /// of the cost: there it is compared with what the first ones let expect.
    fn growth(&self, all: &[Vec<Figures>], way: usize) -> f64 {
        let last = self.last(way);
        if self.extra == Extra::EachMore {
            let more = (self.sizes[last] - self.sizes[0]) as f64;
            let each = self.each_more(all, way, 0, last.div_ceil(2));
            let first = all[0][way].ns.median();
            return all[last][way].ns.median() / (first + more * each);
        }
        all[last][way].ns.ratio_to(&all[0][way].ns)
    }

    fn rows(&self, all: &[Vec<Figures>], table: &mut Table) {
        for (at, way) in self.ways.iter().enumerate() {
            for (size, of_size) in all.iter().enumerate().take(self.last(at) + 1) {
                let own = &of_size[at];
                let extra = match self.extra {
                    Extra::EachMore if size == 0 => "-".to_owned(),
                    Extra::EachMore => format!("{:.0}", self.each_more(all, at, size - 1, size)),
                    Extra::Run => format!("{:.0}", own.extra.median()),
                    Extra::Inserting | Extra::First => format!("{:.1}", own.extra.median()),
                };
                table.row(vec![
                    self.name.to_owned(),
                    way.name().to_owned(),
                    self.sizes[size].to_string(),
                    format!("{:.0} ({:.0})", own.ns.median(), own.ns.min()),
                    format!("{:.2}", own.ns.ratio_to(&all[0][at].ns)),
                    extra,
                ]);
            }
        }
    }

    fn missed_limits(&self, all: &[Vec<Figures>], missed: &mut Vec<String>) {
        let floor = self.ways.iter().position(|way| *way == FLOOR);
        let floor = floor.map(|at| self.growth(all, at));
        for (at, way) in self.ways.iter().enumerate() {
            let growth = self.growth(all, at);
            // What the kernel takes, the C loop pays as well.
            let limit = match self.extra {
                Extra::EachMore => LINEAR,
                _ => FLAT * floor.unwrap_or(1.0).max(1.0),
            };
            if way.is_ours() && growth > limit {
                missed.push(format!(
                    "{}: {} grows by {growth:.2} from {} to {}, the limit is {limit:.2}",
                    self.name,
                    way.name(),
                    self.sizes[0],
                    self.sizes[self.last(at)],
                ));
            }
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The targets of `targets/tasks.c`, which name a path in each call.
fn tasks() -> Vec<Series> {
    let series = |name, target, ways: &[Way]| Series {
        name,
        sizes: vec![1, 10, 100, MOST_TASKS],
        ways: ways.to_vec(),
        target,
        call: "openat",
        function: "",
        many: false,
        first: 0,
        extra: Extra::Run,
    };
    let all = [FLOOR, ENGINE, NOOP, HOST_STRACE, STRACE];
    let one = [&all[..], &[Way::EngineReads, Way::Reads]].concat();
    macro_rules! target {
        ($kind:literal, $who:literal) => {
            |ops, size| {
                words(&[
                    built::TASKS,
                    &ops.to_string(),
                    $kind,
                    &size.to_string(),
                    $who,
                ])
            }
        };
    }
    vec![
        series("threads, one works", target!("threads", "one"), &one),
        series("threads, all work", target!("threads", "all"), &all),
        series("processes, one works", target!("processes", "one"), &one),
        series("processes, all work", target!("processes", "all"), &all),
    ]
}

fn plugins() -> Vec<Series> {
    vec![Series {
        name: "getppid",
        sizes: vec![1, 2, 4, 8],
        ways: vec![Way::Clients, Way::Plugins, Way::Observers],
        target: |ops, _| words(&[built::GETPPID, &ops.to_string()]),
        call: "getppid",
        function: "",
        many: true,
        first: 0,
        extra: Extra::EachMore,
    }]
}

fn breakpoints() -> Vec<Series> {
    vec![Series {
        name: "calls of the last function",
        sizes: vec![1, 10, 100, 1000, MOST_OF_PLUGIN, MOST_BREAKPOINTS],
        ways: vec![Way::EngineBreakpoints, Way::Breakpoints],
        target: |ops, size| {
            let last = size - 1;
            words(&[built::FUNCTIONS, &ops.to_string(), &last.to_string()])
        },
        call: "",
        function: "many_0",
        many: true,
        first: 0,
        extra: Extra::Inserting,
    }]
}

fn mappings(most: u64) -> Vec<Series> {
    let series = |name, target, call, ways: &[Way]| Series {
        name,
        sizes: vec![10, 100, 1000, 10_000, most],
        ways: ways.to_vec(),
        target,
        call,
        function: "hot_frame",
        many: false,
        first: 1,
        extra: Extra::First,
    };
    macro_rules! target {
        ($what:literal) => {
            |ops, size| words(&[built::MAPPINGS, &ops.to_string(), &size.to_string(), $what])
        };
    }
    let reads = [Way::EngineReads, Way::Reads, HOST_STRACE, STRACE];
    let breakpoints = [Way::EngineBreakpoints, Way::Breakpoints];
    vec![
        series(
            "getppid",
            target!("getppid"),
            "getppid",
            &[FLOOR, ENGINE, NOOP],
        ),
        series("openat", target!("openat"), "openat", &reads),
        series("breakpoint", target!("call"), "", &breakpoints),
    ]
}

/// How many mappings a process may have, and a target of ours.
fn most_mappings() -> Result<(u64, u64)> {
    let path = "/proc/sys/vm/max_map_count";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let allowed: u64 = text.trim().parse().context(path)?;
    let room = allowed.saturating_sub(OTHER_MAPPINGS);
    ensure!(room > 10_000, "{path} allows {allowed} mappings only");
    Ok((allowed, MOST_MAPPINGS.min(room)))
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 });
    let ops = options
        .ops
        .unwrap_or(if options.quick { 2_000 } else { 10_000 });
    // Every task makes as many.
    let ops = ops.next_multiple_of(MOST_TASKS);
    let (allowed, mapped) = most_mappings()?;
    println!("## What grows with what\n");
    println!(
        "Rounds: {rounds}, operations per run: {ops}, whatever the size, all on one CPU. \
         Nanoseconds: median (minimum); ratios are of these, to the smallest size. \
         Load before: {}.\n",
        place::load()
    );
    let _placed = Place::OneCpu.take()?;
    let mut missed = Vec::new();
    let mut skipped = Vec::new();
    for (what, of, sections) in [
        ("Threads and processes", "tasks", tasks()),
        ("Plugins, and clients of the engine", "plugins", plugins()),
        ("Breakpoints", "breakpoints", breakpoints()),
        ("Mappings", "mappings", mappings(mapped)),
    ] {
        println!("{what}:\n");
        if of == "mappings" && mapped < MOST_MAPPINGS {
            println!(
                "A process may have {allowed} (vm.max_map_count): instead of {MOST_MAPPINGS} \
                 there are {mapped}.\n"
            );
        }
        if of == "breakpoints" {
            println!(
                "The last one is the one that is hit. A plugin cannot have \
                 {MOST_BREAKPOINTS}: it has {MOST_OF_PLUGIN}.\n"
            );
        }
        let extra = sections.first().map_or("", |series| series.extra.column());
        let mut table = Table::new(&["target", "variant", of, "ns per event", "/ smallest", extra]);
        for mut series in sections {
            series.ways.retain(|way| match way.missing() {
                Some(missing) => {
                    skipped.push(format!("{}: {missing}", way.name()));
                    false
                }
                None => true,
            });
            eprintln!("scale: {}, {}", what, series.name);
            let all = series.measure(rounds, ops).context(series.name)?;
            series.rows(&all, &mut table);
            series.missed_limits(&all, &mut missed);
        }
        println!("{table}");
    }
    skipped.dedup();
    for skipped in skipped {
        println!("Skipped: {skipped}.\n");
    }
    print_end(&missed);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
