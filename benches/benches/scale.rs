//! Whether the cost of an event stays the same while something else grows: the number
//! of threads, processes, plugins, breakpoints or mappings.
//!
//! As in `per_call`: the target times its own loop, which makes the same number of
//! operations whatever the size, and all is on one CPU. Sizes and variants run in turn,
//! round after round, and ratios are medians of each round's ratio. Each run's counts are
//! checked, or its lines. The C loop has no table of anything: how its figures grow is the
//! kernel's doing.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::way::present;
use pai_benches::{
    Counts, Options, Place, Ran, Samples, Table, Variant, Way, counts, place, print_end,
};

/// How much more the largest size may cost than the smallest one.
const FLAT: f64 = 1.5;

/// How much more the largest number of plugins may cost than if each cost the same.
const LINEAR: f64 = 1.2;

/// Operations are divided among as many tasks.
const MOST_TASKS: u64 = 1000;

/// How many breakpoints there are.
const MOST_BREAKPOINTS: u64 = 10_000;

/// How many mappings there would be.
const MOST_MAPPINGS: u64 = 100_000;

/// How many the target has besides, and more than that.
const OTHER_MAPPINGS: u64 = 500;

/// One kind of way to see the events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
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

/// How a kind is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// Counts of calls, once for each client.
    Counts,
    /// The same, but only of exits.
    Exits,
    /// How often it saw what it looked for.
    Hits,
    /// Nothing but its lines.
    Lines,
}

const FLOOR: Kind = Kind::Of(Variant::Floor);
const ENGINE: Kind = Kind::Of(Variant::Engine);
const NOOP: Kind = Kind::Of(Variant::Noop);
const HOST_STRACE: Kind = Kind::Of(Variant::HostStrace);
const STRACE: Kind = Kind::Of(Variant::Strace);

impl Kind {
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
            Self::Of(_) | Self::Clients | Self::Plugins => Tells::Counts,
            Self::Observers => Tells::Exits,
            Self::EngineReads | Self::Reads | Self::EngineBreakpoints | Self::Breakpoints => {
                Tells::Hits
            }
        }
    }

    /// The limit is for these.
    fn is_ours(self) -> bool {
        !matches!(self, FLOOR | STRACE)
    }

    /// What runs it where there are so many of what it has: clients, plugins, or
    /// breakpoints on this function and those behind it.
    fn way(self, function: &str, many: u64) -> Way {
        let name = self.name();
        let count = many.to_string();
        match self {
            Self::Of(variant) => variant.way(),
            Self::Clients => Way::tracer(name, &["clients", &count]),
            Self::Plugins => Way::guests(name, programs::noop(), many),
            Self::Observers => Way::guests(name, programs::guest("bench_records"), many),
            Self::EngineReads => Way::tracer(name, &["reads"]),
            Self::Reads => Way::guest(name, &[], programs::guest("bench_reads"), &[]),
            Self::EngineBreakpoints => Way::tracer(name, &["breakpoints", function, &count]),
            Self::Breakpoints => {
                let plugin = programs::guest("bench_breakpoints");
                let function = format!("--function={function}");
                let count = format!("--count={count}");
                Way::guest(name, &[], plugin, &[&function, &count])
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
            Self::Inserting => Some(ran.number("inserting ")? as f64 / 1e3 / size as f64),
            Self::First => Some(ran.field("first_ns")?.parse::<f64>()? / 1e3),
        })
    }
}

/// A target at several sizes.
struct Series {
    name: &'static str,
    sizes: Vec<u64>,
    kinds: Vec<Kind>,
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

/// What several rounds of one kind took at one size.
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

    fn check(&self, kind: Kind, ran: &Ran, ops: u64, size: u64, base: &Counts) -> Result<()> {
        let right = |what: &str, seen: u64, expected: u64| {
            ensure!(
                seen == expected,
                "{}: wrong count: {seen} {what}, {expected} expected",
                kind.name()
            );
            Ok(())
        };
        right("operations", ran.field("ops")?.parse()?, ops)?;
        let tells = kind.tells();
        match tells {
            Tells::Hits => right("hits", ran.number("hits ")?, ops + self.first)?,
            Tells::Lines => {
                let calls = counts::of_strace(&ran.lines);
                let seen = calls.get(self.call).copied().unwrap_or(0);
                right("lines", seen, base.of(self.call)?.entries + ops)?;
            }
            Tells::Counts | Tells::Exits => {
                let all = ran.all_counts()?;
                right("clients", u64::try_from(all.len())?, self.many(size))?;
                let base = base.of(self.call)?;
                for counts in all {
                    let seen = counts.of(self.call)?;
                    if tells == Tells::Counts {
                        right("entries", seen.entries, base.entries + ops)?;
                    }
                    right("exits", seen.exits, base.exits + ops)?;
                }
            }
        }
        Ok(())
    }

    /// One run.
    fn run(&self, kind: Kind, ops: u64, size: u64, base: &Counts) -> Result<Ran> {
        let way = kind.way(self.function, self.many(size));
        let ran = way.run(&(self.target)(ops, size))?;
        self.check(kind, &ran, ops, size, base)?;
        Ok(ran)
    }

    /// The figures of all kinds at all sizes.
    fn measure(&self, rounds: usize, ops: u64) -> Result<Vec<Vec<Figures>>> {
        let smallest = self.sizes.first().context("no size")?;
        let base = Variant::Floor.run(&(self.target)(0, *smallest));
        let base = base?.counts()?;
        let mut all = vec![vec![Figures::default(); self.kinds.len()]; self.sizes.len()];
        for size in &self.sizes {
            for kind in &self.kinds {
                let warm = self.run(*kind, MOST_TASKS, *size, &base);
                warm.with_context(|| size.to_string())?;
            }
        }
        for _ in 0..rounds {
            for (size, of_size) in self.sizes.iter().zip(&mut all) {
                for (kind, figures) in self.kinds.iter().zip(of_size) {
                    let ran = self.run(*kind, ops, *size, &base)?;
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
    fn each_more(&self, all: &[Vec<Figures>], kind: usize, from: usize, to: usize) -> f64 {
        let more = (self.sizes[to] - self.sizes[from]) as f64;
        all[to][kind].ns.above(&all[from][kind].ns) / more
    }

    /// How a kind grows from the smallest size to the largest. Each plugin has its part
    /// of the cost: there it is compared with what the first ones let expect.
    fn growth(&self, all: &[Vec<Figures>], kind: usize) -> f64 {
        let last = self.sizes.len() - 1;
        if self.extra == Extra::EachMore {
            let more = (self.sizes[last] - self.sizes[0]) as f64;
            let each = self.each_more(all, kind, 0, last.div_ceil(2));
            let first = all[0][kind].ns.median();
            return all[last][kind].ns.median() / (first + more * each);
        }
        all[last][kind].ns.ratio_to(&all[0][kind].ns)
    }

    fn rows(&self, all: &[Vec<Figures>], table: &mut Table) {
        for (at, kind) in self.kinds.iter().enumerate() {
            for (size, of_size) in all.iter().enumerate() {
                let own = &of_size[at];
                let extra = match self.extra {
                    Extra::EachMore if size == 0 => "-".to_owned(),
                    Extra::EachMore => format!("{:.0}", self.each_more(all, at, size - 1, size)),
                    Extra::Run => format!("{:.0}", own.extra.median()),
                    Extra::Inserting | Extra::First => format!("{:.1}", own.extra.median()),
                };
                table.row(vec![
                    self.name.to_owned(),
                    kind.name().to_owned(),
                    self.sizes[size].to_string(),
                    own.ns.shown(0),
                    format!("{:.2}", own.ns.ratio_to(&all[0][at].ns)),
                    extra,
                ]);
            }
        }
    }

    fn missed_limits(&self, all: &[Vec<Figures>], missed: &mut Vec<String>) {
        let floor = self.kinds.iter().position(|kind| *kind == FLOOR);
        let floor = floor.map(|at| self.growth(all, at));
        for (at, kind) in self.kinds.iter().enumerate() {
            let growth = self.growth(all, at);
            // What the kernel takes, the C loop pays as well.
            let limit = match self.extra {
                Extra::EachMore => LINEAR,
                _ => FLAT * floor.unwrap_or(1.0).max(1.0),
            };
            if kind.is_ours() && growth > limit {
                missed.push(format!(
                    "{}: {} grows by {growth:.2} from {} to {}, the limit is {limit:.2}",
                    self.name,
                    kind.name(),
                    self.sizes[0],
                    self.sizes[self.sizes.len() - 1],
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
    let series = |name, target, kinds: &[Kind]| Series {
        name,
        sizes: vec![1, 100, MOST_TASKS],
        kinds: kinds.to_vec(),
        target,
        call: "openat",
        function: "",
        many: false,
        first: 0,
        extra: Extra::Run,
    };
    let all = [FLOOR, ENGINE, NOOP, HOST_STRACE, STRACE];
    let one = [&all[..], &[Kind::EngineReads, Kind::Reads]].concat();
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
        kinds: vec![Kind::Clients, Kind::Plugins, Kind::Observers],
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
        sizes: vec![1, 100, MOST_BREAKPOINTS],
        kinds: vec![Kind::EngineBreakpoints, Kind::Breakpoints],
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
    let series = |name, target, call, kinds: &[Kind]| Series {
        name,
        sizes: vec![10, 1000, most],
        kinds: kinds.to_vec(),
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
    let reads = [Kind::EngineReads, Kind::Reads, HOST_STRACE, STRACE];
    let breakpoints = [Kind::EngineBreakpoints, Kind::Breakpoints];
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
    let rounds = options.rounds(2, 7);
    let ops = options.ops(2_000, 5_000);
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
            println!("The last one is the one that is hit.\n");
        }
        let extra = sections.first().map_or("", |series| series.extra.column());
        let mut table = Table::new(&["target", "variant", of, "ns per event", "/ smallest", extra]);
        for mut series in sections {
            let title = format!("{what}, {}", series.name);
            let kinds = series.kinds.iter();
            let kinds = kinds.map(|kind| (*kind, kind.way(series.function, 1)));
            let kinds = present(&title, kinds.collect(), |(_, way)| way);
            series.kinds = kinds.into_iter().map(|(kind, _)| kind).collect();
            eprintln!("scale: {title}");
            let all = series.measure(rounds, ops).context(title)?;
            series.rows(&all, &mut table);
            series.missed_limits(&all, &mut missed);
        }
        println!("{table}");
    }
    print_end(&missed);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
