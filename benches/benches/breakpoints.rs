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

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::way::{by_turns, present};
use pai_benches::{Options, Place, Samples, Table, Way, place, print_end};

/// The functions of `targets/hotcall.c`, by how they begin.
const PROLOGUES: &[&str] = &["frame", "leaf", "endbr", "cond"];

/// Runs of these are short, or long.
const NATIVE_FACTOR: u64 = 100;
const GDB_PART: u64 = 10;

/// Tells gdb's script which function.
const FUNCTION: &str = "PAI_BENCH_FUNCTION";

/// One kind of way to count the calls of a function.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody counts.
    Native,
    /// A loop in C.
    Floor,
    /// The engine with a native client.
    Engine,
    /// The host with a plugin whose handler is called at each hit.
    Plugin,
    /// The same, where a condition is looked at and no hit is reported.
    Unreported,
    /// The same with a hook: a second stop at each return.
    Hook,
    /// gdb with a breakpoint whose `stop` is a function in Python.
    Gdb,
    /// Frida with a script in the target, which nothing stops.
    Frida,
    /// The same with a function in C.
    FridaC,
    /// A breakpoint that the kernel has, and a program of its own that counts.
    Uprobe,
}

const KINDS: &[Kind] = &[
    Kind::Native,
    Kind::Floor,
    Kind::Engine,
    Kind::Plugin,
    Kind::Unreported,
    Kind::Hook,
    Kind::Gdb,
    Kind::Frida,
    Kind::FridaC,
    Kind::Uprobe,
];

/// At most so many times the loop in C, and at least so many times as quick as gdb.
const FLOOR_LIMIT: f64 = 1.4;
const GDB_LIMIT: f64 = 20.0;

/// What the others are compared with.
const PEERS: &[(Kind, &str)] = &[
    (Kind::Native, "/ native"),
    (Kind::Floor, "/ floor"),
    (Kind::Engine, "/ engine"),
    (Kind::Gdb, "/ gdb"),
    (Kind::FridaC, "/ Frida"),
];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Floor => "C floor",
            Self::Engine => "engine, native client",
            Self::Plugin => "host, plugin",
            Self::Unreported => "host, plugin, not reported",
            Self::Gdb => "gdb, Python",
            Self::Hook => "host, plugin, call and return",
            Self::Frida => "Frida, JavaScript",
            Self::FridaC => "Frida, C",
            Self::Uprobe => "bpftrace, uprobe",
        }
    }

    /// What counts the calls of a function.
    fn way(self, function: &str) -> Way {
        let name = self.name();
        let plugin = || programs::guest("bench_breakpoints");
        let option = format!("--function={function}");
        match self {
            Self::Native => Way::native(),
            Self::Floor => Way::floor(name, built::BREAKPOINTS, &[function]),
            Self::Engine => Way::tracer(name, &["breakpoints", function, "1"]),
            Self::Plugin => Way::guest(name, &[], plugin(), &[&option]),
            Self::Unreported => Way::guest(name, &[], plugin(), &[&option, "--unreported"]),
            Self::Hook => Way::guest(name, &[], plugin(), &[&option, "--hook"]),
            Self::Gdb => {
                let gdb = programs::in_path("gdb").ok_or("gdb is not installed");
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gdb/breakpoints.py");
                let words = [
                    "--batch",
                    "--nx",
                    "-iex",
                    "set debuginfod enabled off",
                    // Otherwise the shell's start is in it.
                    "-iex",
                    "set startup-with-shell off",
                    "-x",
                    script,
                    "--args",
                ];
                Way::program(name, gdb, &words).with_env(FUNCTION, function.to_owned())
            }
            Self::Uprobe => {
                // The target is one word of its own.
                let script = format!(
                    r#"exec bpftrace -q -e "uprobe:$1:{function} {{ @ = count(); }}" -c "$*""#
                );
                let shell = programs::in_path("sh");
                let shell = shell.filter(|_| programs::in_path("bpftrace").is_some());
                let shell = shell.ok_or("bpftrace is not installed");
                Way::program(name, shell, &["-c", &script, "sh"])
            }
            Self::Frida | Self::FridaC => {
                let python = programs::in_path("python3").ok_or("python3 is not installed");
                let python = python.and_then(|python| {
                    let found = Command::new(&python)
                        .args(["-c", "import frida"])
                        .output()
                        .is_ok_and(|done| done.status.success());
                    found.then_some(python).ok_or("Frida is not installed")
                });
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/frida/breakpoints.py");
                let language = if self == Self::Frida { "js" } else { "c" };
                Way::program(name, python, &[script, language])
                    .with_env(FUNCTION, function.to_owned())
            }
        }
    }

    /// How many calls it counts where others count so many.
    fn ops(self, ops: u64) -> u64 {
        match self {
            Self::Native => ops * NATIVE_FACTOR,
            Self::Gdb => (ops / GDB_PART).max(1),
            _ => ops,
        }
    }

    /// One run of its way, with its count checked: nanoseconds per call.
    fn run(self, way: &Way, prologue: &str, ops: u64) -> Result<f64> {
        let ops = self.ops(ops);
        let target = [built::HOTCALL.into(), ops.to_string(), prologue.to_owned()];
        let ran = way.run(&target)?;
        // The target checks its results, so it has made all calls.
        let right = |what: &str, seen: u64| {
            let name = way.name;
            ensure!(
                seen == ops,
                "{name}: wrong count: {seen} {what}, {ops} expected"
            );
            Ok(())
        };
        right("calls", ran.field("ops")?.parse()?)?;
        if self != Self::Native {
            let hits = match self {
                Self::Uprobe => ran.stdout.lines().find_map(|line| {
                    let number = line.strip_prefix("@: ")?;
                    number.parse().ok()
                }),
                _ => ran.number("hits ").ok(),
            };
            right(
                "hits",
                hits.with_context(|| format!("{}: no hits", way.name))?,
            )?;
        }
        Ok(ran.field("ns_per_op")?.parse()?)
    }
}

/// The figures of one kind, if it took part.
fn of<'a>(kinds: &[Kind], all: &'a [Samples], wanted: Kind) -> Option<&'a Samples> {
    all.get(kinds.iter().position(|kind| *kind == wanted)?)
}

fn measure(prologue: &str, kinds: &[Kind], rounds: usize, ops: u64) -> Result<Vec<Samples>> {
    let function = format!("hot_{prologue}");
    let ways: Vec<_> = kinds
        .iter()
        .map(|kind| (kind, kind.way(&function)))
        .collect();
    for (kind, way) in &ways {
        kind.run(way, prologue, (ops / 10).max(1))?;
    }
    by_turns(&ways, rounds, |(kind, way)| kind.run(way, prologue, ops))
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(3, 9);
    let ops = options.ops(4_000, 20_000);
    println!("## Cost per hit of a breakpoint\n");
    println!(
        "Rounds: {rounds}, calls per run: {ops} (native: {NATIVE_FACTOR} times as many, gdb: \
         one in {GDB_PART}), all on one CPU. Nanoseconds: median (minimum); ratios are of \
         these. Load before: {}.\n",
        place::load()
    );
    let kinds = KINDS.iter().map(|kind| (*kind, kind.way("")));
    let kinds: Vec<Kind> = present("breakpoints", kinds.collect(), |(_, way)| way)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    let mut columns = vec!["prologue", "variant", "ns per hit"];
    columns.extend(PEERS.iter().map(|(_, column)| column));
    let mut table = Table::new(&columns);
    let _placed = Place::OneCpu.take()?;
    let mut missed = Vec::new();
    for prologue in PROLOGUES {
        eprintln!("breakpoints: {prologue}");
        let all = measure(prologue, &kinds, rounds, ops).context(*prologue)?;
        for (kind, own) in kinds.iter().zip(&all) {
            let mut cells = vec![(*prologue).to_owned(), kind.name().to_owned(), own.shown(0)];
            cells.extend(PEERS.iter().map(|(peer, _)| {
                of(&kinds, &all, *peer).map_or_else(
                    || "-".to_owned(),
                    |peer| format!("{:.3}", own.ratio_to(peer)),
                )
            }));
            table.row(cells);
        }
        if let Some(own) = of(&kinds, &all, Kind::Plugin) {
            let ratio = |peer| of(&kinds, &all, peer).map_or(f64::NAN, |peer| own.ratio_to(peer));
            let floor = ratio(Kind::Floor);
            if floor > FLOOR_LIMIT {
                missed.push(format!(
                    "{prologue}: the plugin takes {floor:.2} times the C floor, the limit is \
                     {FLOOR_LIMIT:.2}"
                ));
            }
            let gdb = ratio(Kind::Gdb).recip();
            if gdb < GDB_LIMIT {
                missed.push(format!(
                    "{prologue}: the plugin is {gdb:.1} times as quick as gdb, {GDB_LIMIT:.0} is \
                     wanted"
                ));
            }
        }
    }
    println!("{table}");
    print_end(&missed);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
