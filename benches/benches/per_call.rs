//! What one operation of a target costs under each variant.
//!
//! Every target times its own loop, so that the start of the program and of the
//! tracer are not in the figures. The whole run is timed too: a tracer that lags
//! behind is still at work when the loop has ended. All variants of a target run in turn, round
//! after round (A B C A B C ...), because the machine gets slower and quicker;
//! ratios are medians of each round's ratio. Each run's counts are checked
//! against the number of operations; variants that only write lines are checked
//! in one run before, with the lines in a file.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use anyhow::{Context, Result};
use pai_benches::programs::built;
use pai_benches::truth::check;
use pai_benches::{Counts, Options, Place, Ran, Samples, Table, Variant, missed, place, print_end};

const VARIANTS: &[Variant] = &[
    Variant::Native,
    Variant::Floor,
    Variant::Minimal,
    Variant::Engine,
    Variant::Noop,
    Variant::HostStrace,
    Variant::Strace,
];

/// What the others are compared with.
const PEERS: &[(Variant, &str)] = &[
    (Variant::Native, "/ native"),
    (Variant::Floor, "/ floor"),
    (Variant::Engine, "/ engine"),
    (Variant::Strace, "/ strace"),
];

/// The documented limits: of this variant, compared with that one.
///
/// They hold on one CPU; elsewhere the scheduler decides the ratios.
const LIMITS: &[(Variant, Variant, f64)] = &[
    (Variant::Noop, Variant::Floor, 1.35),
    (Variant::HostStrace, Variant::Strace, 0.95),
];

/// Untraced runs are short: they make more of the same operations.
const NATIVE_FACTOR: u64 = 10;

/// Where the scheduler decides stops can take ten times as long: one in so many
/// operations is made.
const FREE_PART: u64 = 5;

/// What several rounds of one variant took.
#[derive(Clone, Default)]
struct Figures {
    /// Nanoseconds per operation.
    ns: Samples,
    /// Milliseconds of the whole run.
    run: Samples,
}

/// A program that makes a known number of calls.
struct Target {
    name: &'static str,
    program: &'static str,
    /// Made once per operation.
    calls: &'static [&'static str],
    threads: u64,
    /// A signal is delivered once per operation.
    signals: bool,
}

const TARGETS: &[Target] = &[
    Target {
        name: "getppid",
        program: built::GETPPID,
        calls: &["getppid"],
        threads: 1,
        signals: false,
    },
    Target {
        name: "pread64",
        program: built::PREAD64,
        calls: &["pread64"],
        threads: 1,
        signals: false,
    },
    Target {
        name: "openat",
        program: built::OPENAT,
        calls: &["openat"],
        threads: 1,
        signals: false,
    },
    Target {
        name: "threads",
        program: built::THREADS,
        calls: &["getppid"],
        threads: 4,
        signals: false,
    },
    Target {
        name: "sigstorm",
        program: built::SIGSTORM,
        calls: &["tgkill", "rt_sigreturn"],
        threads: 1,
        signals: true,
    },
];

impl Target {
    fn command(&self, ops: u64) -> Vec<String> {
        let mut words = vec![self.program.to_owned(), (ops / self.threads).to_string()];
        if self.threads > 1 {
            words.push(self.threads.to_string());
        }
        words
    }

    /// Nanoseconds per operation, as the target says; it must have made all.
    fn ns_per_op(&self, ran: &Ran, ops: u64) -> Result<f64> {
        let field = |name| ran.field(name).context(self.name);
        check(Variant::Native, "operations", field("ops")?.parse()?, ops)?;
        Ok(field("ns_per_op")?.parse()?)
    }

    /// Whether a tracer counted every operation; `base` is what the target does
    /// besides.
    fn check_counts(&self, variant: Variant, ran: &Ran, ops: u64, base: &Counts) -> Result<()> {
        let counts = ran.counts()?;
        for call in self.calls {
            let (seen, base) = (counts.of(call)?, base.of(call)?);
            let expected = base.entries + ops;
            check(
                variant,
                &format!("entries of {call}"),
                seen.entries,
                expected,
            )?;
            let expected = base.exits + ops;
            check(variant, &format!("exits of {call}"), seen.exits, expected)?;
        }
        // How often threads wait for each other is not known.
        if self.threads == 1 {
            let made = ops * u64::try_from(self.calls.len())?;
            let (seen, base) = (counts.all(), base.all());
            check(variant, "entries", seen.entries, base.entries + made)?;
            check(variant, "exits", seen.exits, base.exits + made)?;
        }
        if self.signals && variant.counts_signals() {
            check(variant, "signals", counts.signals, base.signals + ops)?;
        }
        Ok(())
    }

    fn check_lines(&self, variant: Variant, ops: u64, base: &Counts) -> Result<()> {
        for call in self.calls {
            let expected = base.of(call)?.entries + ops;
            let seen = variant.lines_of(&self.command(ops), call)?;
            check(variant, &format!("lines of {call}"), seen, expected)?;
        }
        Ok(())
    }

    /// One run of one variant.
    fn run(&self, variant: Variant, ops: u64, base: &Counts, figures: &mut Figures) -> Result<()> {
        let ops = if variant == Variant::Native {
            ops * NATIVE_FACTOR
        } else {
            ops
        };
        let ran = variant.run(&self.command(ops))?;
        if variant.counts() {
            self.check_counts(variant, &ran, ops, base)?;
        }
        figures.ns.push(self.ns_per_op(&ran, ops)?);
        figures.run.push(ran.milliseconds());
        Ok(())
    }
}

/// The figures of one target in one place, in the order of the variants.
fn measure(
    target: &Target,
    variants: &[Variant],
    place: Place,
    rounds: usize,
    ops: u64,
) -> Result<Vec<Figures>> {
    let _placed = place.take()?;
    let base = Variant::Floor.run(&target.command(0))?.counts()?;
    for variant in variants {
        if variant.writes_lines() {
            target.check_lines(*variant, ops, &base)?;
        }
        let few = (ops / 10).next_multiple_of(target.threads);
        target.run(*variant, few, &base, &mut Figures::default())?;
    }
    let mut all = vec![Figures::default(); variants.len()];
    for _ in 0..rounds {
        for (variant, figures) in variants.iter().zip(&mut all) {
            target.run(*variant, ops, &base, figures)?;
        }
    }
    Ok(all)
}

/// The figures of one variant, if it took part.
fn ns_of<'a>(variants: &[Variant], all: &'a [Figures], wanted: Variant) -> Option<&'a Samples> {
    let position = variants.iter().position(|variant| *variant == wanted)?;
    all.get(position).map(|figures| &figures.ns)
}

fn missed_limits<'a>(
    target: &'a Target,
    variants: &'a [Variant],
    all: &'a [Figures],
) -> impl Iterator<Item = String> + 'a {
    LIMITS.iter().filter_map(|(variant, peer, limit)| {
        let own = ns_of(variants, all, *variant)?;
        let other = ns_of(variants, all, *peer)?;
        missed(
            target.name,
            (variant.name(), own),
            (peer.name(), other),
            *limit,
        )
    })
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(3, 7);
    let ops = options.ops(4_000, 20_000);
    // Every thread makes as many, in every place.
    let ops = ops.next_multiple_of(4 * FREE_PART);

    println!("## Cost per operation\n");
    println!(
        "Rounds: {rounds}, operations per run: {ops} (native: {NATIVE_FACTOR} times as many; \
         free: one in {FREE_PART}). \
         Nanoseconds: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let mut variants = Vec::new();
    for variant in VARIANTS {
        match variant.missing() {
            Some(missing) => println!("Skipped: {}: {missing}.\n", variant.name()),
            None => variants.push(*variant),
        }
    }
    let mut columns = vec!["target", "place", "variant", "ns per operation", "run, ms"];
    columns.extend(PEERS.iter().map(|(_, column)| column));
    let mut table = Table::new(&columns);
    let mut misses = Vec::new();
    for target in TARGETS {
        for place in Place::ALL {
            eprintln!("per_call: {}, {}", target.name, place.name());
            let ops = match place {
                Place::Free => ops / FREE_PART,
                Place::OneCpu => ops,
            };
            let all = measure(target, &variants, place, rounds, ops)
                .with_context(|| format!("{}, {}", target.name, place.name()))?;
            for (variant, own) in variants.iter().zip(&all) {
                let mut cells = vec![
                    target.name.to_owned(),
                    place.name().to_owned(),
                    variant.name().to_owned(),
                    own.ns.shown(0),
                    format!("{:.0}", own.run.median()),
                ];
                cells.extend(PEERS.iter().map(|(peer, _)| {
                    ns_of(&variants, &all, *peer).map_or_else(
                        || "-".to_owned(),
                        |peer| format!("{:.2}", own.ns.ratio_to(peer)),
                    )
                }));
                table.row(cells);
            }
            if place == Place::OneCpu {
                misses.extend(missed_limits(target, &variants, &all));
            }
        }
    }
    println!("{table}");
    print_end(&misses);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
