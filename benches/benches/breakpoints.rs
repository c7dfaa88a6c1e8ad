//! What one hit of a breakpoint costs under each variant.
//!
//! As in `per_call`: the target times its own loop, variants run in turn, round
//! after round, all on one CPU, and ratios are medians of each round's ratio. Each
//! run must have counted as many hits as the target made calls. gdb is slow, so it
//! makes fewer.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::{Options, Place, Samples, Table, place, print_end};

/// The functions of `targets/hotcall.c`, by how they begin.
const PROLOGUES: &[&str] = &["frame", "leaf", "endbr", "cond"];

/// Runs of these are short, or long.
const NATIVE_FACTOR: u64 = 100;
const GDB_PART: u64 = 10;

/// Tells gdb's script which function.
const FUNCTION: &str = "PAI_BENCH_FUNCTION";

/// One way to count the calls of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nobody counts.
    Native,
    /// A loop in C.
    Floor,
    /// The engine with a native client.
    Engine,
    /// The host with a plugin whose handler is called at each hit.
    Plugin,
    /// gdb with a breakpoint whose `stop` is a function in Python.
    Gdb,
}

const WAYS: &[Way] = &[Way::Native, Way::Floor, Way::Engine, Way::Plugin, Way::Gdb];

/// What the others are compared with.
const PEERS: &[(Way, &str)] = &[
    (Way::Floor, "/ floor"),
    (Way::Engine, "/ engine"),
    (Way::Gdb, "/ gdb"),
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Floor => "C floor",
            Self::Engine => "engine, native client",
            Self::Plugin => "host, plugin",
            Self::Gdb => "gdb, Python",
        }
    }

    /// Its command, up to the target.
    fn words(self, function: &str) -> Result<Vec<String>, &'static str> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Ok(match self {
            Self::Native => Vec::new(),
            Self::Floor => vec![built::BREAKPOINTS.into(), function.into()],
            Self::Engine => {
                let tracer = programs::tracer().ok_or("pai-bench-tracer is not built")?;
                vec![
                    text(tracer),
                    "breakpoints".into(),
                    function.into(),
                    "1".into(),
                ]
            }
            Self::Plugin => {
                let host = programs::host().ok_or("the program pai-host is not built")?;
                let plugin = programs::breakpoints().ok_or("the plugin is not built")?;
                let option = format!("--function={function}");
                vec![text(host), "run".into(), text(plugin), option, "--".into()]
            }
            Self::Gdb => {
                let gdb = programs::in_path("gdb").ok_or("gdb is not installed")?;
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/breakpoints.py");
                let options = ["--batch", "--nx", "-iex", "set debuginfod enabled off"];
                let mut words = vec![text(gdb)];
                words.extend(options.map(str::to_owned));
                // Otherwise the shell's start is in it.
                words.extend(["-iex", "set startup-with-shell off"].map(str::to_owned));
                words.extend(["-x", script, "--args"].map(str::to_owned));
                words
            }
        })
    }

    /// How many calls it counts where others count so many.
    fn ops(self, ops: u64) -> u64 {
        match self {
            Self::Native => ops * NATIVE_FACTOR,
            Self::Gdb => (ops / GDB_PART).max(1),
            _ => ops,
        }
    }

    /// One run, with its count checked: nanoseconds per call.
    fn run(self, prologue: &str, ops: u64) -> Result<f64> {
        let ops = self.ops(ops);
        let function = format!("hot_{prologue}");
        let mut words = self.words(&function).map_err(anyhow::Error::msg)?;
        words.extend([built::HOTCALL.into(), ops.to_string(), prologue.into()]);
        let (program, arguments) = words.split_first().context("nothing to run")?;
        let done = Command::new(program)
            .args(arguments)
            .env("LC_ALL", "C")
            .env(FUNCTION, &function)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        let stdout = String::from_utf8_lossy(&done.stdout);
        let stderr = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success(),
            "{}: {words:?}: {}\n{stderr}",
            self.name(),
            done.status
        );
        // The target checks its results, so it has made all calls.
        let field = |name: &str| {
            stdout
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name))
                .with_context(|| format!("{}: no {name} in '{stdout}'", self.name()))
        };
        let made: u64 = field("ops=")?.parse()?;
        let wrong = |what: &str, seen: u64| {
            format!(
                "{}: wrong count: {seen} {what}, {ops} expected",
                self.name()
            )
        };
        ensure!(made == ops, wrong("calls", made));
        if self != Self::Native {
            let mut lines = stderr.lines();
            let hits: u64 = lines
                .find_map(|line| line.strip_prefix("hits "))
                .with_context(|| format!("{}: no hits in '{stderr}'", self.name()))?
                .parse()?;
            ensure!(hits == ops, wrong("hits", hits));
        }
        Ok(field("ns_per_op=")?.parse()?)
    }
}

/// The figures of one way, if it took part.
fn of<'a>(ways: &[Way], all: &'a [Samples], wanted: Way) -> Option<&'a Samples> {
    all.get(ways.iter().position(|way| *way == wanted)?)
}

fn measure(prologue: &str, ways: &[Way], rounds: usize, ops: u64) -> Result<Vec<Samples>> {
    for way in ways {
        way.run(prologue, (ops / 10).max(1))?;
    }
    let mut all = vec![Samples::default(); ways.len()];
    for _ in 0..rounds {
        for (way, samples) in ways.iter().zip(&mut all) {
            samples.push(way.run(prologue, ops)?);
        }
    }
    Ok(all)
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 9 });
    let ops = options
        .ops
        .unwrap_or(if options.quick { 4_000 } else { 20_000 });
    println!("## Cost per hit of a breakpoint\n");
    println!(
        "Rounds: {rounds}, calls per run: {ops} (native: {NATIVE_FACTOR} times as many, gdb: \
         one in {GDB_PART}), all on one CPU. Nanoseconds: median (minimum); ratios are of \
         these. Load before: {}.\n",
        place::load()
    );
    let mut ways = Vec::new();
    for way in WAYS {
        match way.words("") {
            Err(missing) => println!("Skipped: {}: {missing}.\n", way.name()),
            Ok(_) => ways.push(*way),
        }
    }
    let mut columns = vec!["prologue", "variant", "ns per hit"];
    columns.extend(PEERS.iter().map(|(_, column)| column));
    let mut table = Table::new(&columns);
    let _placed = Place::OneCpu.take()?;
    for prologue in PROLOGUES {
        eprintln!("breakpoints: {prologue}");
        let all = measure(prologue, &ways, rounds, ops).context(*prologue)?;
        for (way, own) in ways.iter().zip(&all) {
            let mut cells = vec![
                (*prologue).to_owned(),
                way.name().to_owned(),
                format!("{:.0} ({:.0})", own.median(), own.min()),
            ];
            cells.extend(PEERS.iter().map(|(peer, _)| {
                of(&ways, &all, *peer).map_or_else(
                    || "-".to_owned(),
                    |peer| format!("{:.3}", own.ratio_to(peer)),
                )
            }));
            table.row(cells);
        }
    }
    println!("{table}");
    print_end(&[]);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
