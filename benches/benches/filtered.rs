//! What is left of the cost where only some calls are wanted.
//!
//! The whole run is timed, as for whole programs, or the loop of a target that times
//! itself. Variants run in turn, round after round, on one CPU; ratios are medians of
//! each round's ratio. Before, each variant that writes lines must have written as many of
//! the wanted call as strace does.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use anyhow::{Context, Result};
use pai_benches::programs::{self, built};
use pai_benches::truth::check;
use pai_benches::way::by_turns;
use pai_benches::{Options, Place, Ran, Samples, Table, Variant, missed, place, print_end, tree};

const VARIANTS: &[Variant] = &[
    Variant::Native,
    Variant::FilterFloor,
    Variant::HostSome,
    Variant::StraceFilter,
    Variant::StraceSome,
];

/// Nanoseconds that an unwanted call may take above native.
const UNWANTED: f64 = 25.0;

/// So many times as often are calls made that nobody stops at.
const UNSTOPPED: u64 = 100;

/// What is wanted.
const CALL: &str = "openat";

/// How much of the time is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Time {
    /// What the target says of its loop: nanoseconds for each turn.
    Loop,
    /// All of it, milliseconds.
    Run,
}

struct Target {
    name: &'static str,
    command: Vec<String>,
    /// The same for who stops at every call.
    stopping: Vec<String>,
    time: Time,
    /// Of `HostSome` compared with `StraceFilter`.
    limit: f64,
}

fn targets(ops: u64, folder: &str) -> Result<Vec<Target>> {
    let own = |name, program: &str, ops: u64, stopping: u64, limit| Target {
        name,
        command: vec![program.to_owned(), ops.to_string()],
        stopping: vec![program.to_owned(), stopping.to_string()],
        time: Time::Loop,
        limit,
    };
    let others = |name, arguments: &[&str], limit| -> Result<Target> {
        let program = programs::in_path(name).with_context(|| format!("{name} is not there"))?;
        let mut command = vec![program.to_string_lossy().into_owned()];
        command.extend(arguments.iter().map(|&word| word.to_owned()));
        Ok(Target {
            name,
            stopping: command.clone(),
            command,
            time: Time::Run,
            limit,
        })
    };
    let archive = format!("{folder}.tar");
    Ok(vec![
        // Unwanted, and wanted.
        own("getppid", built::GETPPID, ops * UNSTOPPED, ops, 1.0),
        own("pread64", built::PREAD64, ops * UNSTOPPED, ops, 1.0),
        own("openat", built::OPENAT, ops, ops, 1.0),
        others("find", &[folder, "-size", "+0"], 0.9)?,
        others("tar", &["-cf", &archive, folder], 0.9)?,
    ])
}

impl Target {
    fn figure(&self, ran: &Ran) -> Result<f64> {
        if self.time == Time::Run {
            return Ok(ran.milliseconds());
        }
        Ok(ran.field("ns_per_op")?.parse()?)
    }

    fn command(&self, variant: Variant) -> &[String] {
        match variant {
            Variant::StraceSome => &self.stopping,
            _ => &self.command,
        }
    }

    fn measure(&self, rounds: usize) -> Result<Vec<Samples>> {
        let peer = Variant::StraceSome;
        let expected = peer.lines_of(self.command(peer), CALL)?;
        for variant in VARIANTS.iter().filter(|variant| variant.writes_lines()) {
            let seen = variant.lines_of(self.command(*variant), CALL)?;
            check(*variant, &format!("lines of {CALL}"), seen, expected)?;
        }
        by_turns(VARIANTS, rounds, |variant| {
            self.figure(&variant.run(self.command(*variant))?)
        })
    }
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 9);
    let ops = options.ops(2_000, 20_000);
    println!("## Where only some calls are wanted\n");
    println!(
        "Only `{CALL}` is. Rounds: {rounds}, all on one CPU; getppid, pread64: {} calls, or \
         {ops} where each of them stops, openat: {ops}, whole programs: {} files. Nanoseconds for each turn, or milliseconds for the whole \
         run: median (minimum); ratios are of these. Load before: {}.\n",
        ops * UNSTOPPED,
        tree::FILES,
        place::load()
    );
    if let Some(missing) = VARIANTS.iter().find_map(|variant| variant.missing()) {
        println!("Skipped: {missing}.\n");
        return Ok(());
    }
    let (_temporary, folder) = tree::make()?;
    let columns = [
        "target",
        "variant",
        "time",
        "above native",
        "/ native",
        "/ floor",
        "/ strace --seccomp-bpf",
    ];
    let mut table = Table::new(&columns);
    let mut misses = Vec::new();
    for target in targets(ops, &folder)? {
        eprintln!("filtered: {}", target.name);
        let _placed = Place::OneCpu.take()?;
        let all = target.measure(rounds).context(target.name)?;
        let (native, floor, own, peer) = (&all[0], &all[1], &all[2], &all[3]);
        let unit = match target.time {
            Time::Loop => "ns",
            Time::Run => "ms",
        };
        for (variant, samples) in VARIANTS.iter().zip(&all) {
            table.row(vec![
                target.name.to_owned(),
                variant.name().to_owned(),
                format!("{:.1} ({:.1}) {unit}", samples.median(), samples.min()),
                format!("{:.1} {unit}", samples.above(native)),
                format!("{:.2}", samples.ratio_to(native)),
                format!("{:.2}", samples.ratio_to(floor)),
                format!("{:.2}", samples.ratio_to(peer)),
            ]);
        }
        let above = own.above(native);
        if target.time == Time::Loop && target.name != CALL && above > UNWANTED {
            misses.push(format!(
                "{}: {above:.1} ns above native, the limit is {UNWANTED:.1}; the filter of the C \
                 floor takes {:.1}",
                target.name,
                floor.above(native)
            ));
        }
        let own = (Variant::HostSome.name(), own);
        let peer = (Variant::StraceFilter.name(), peer);
        misses.extend(missed(target.name, own, peer, target.limit));
    }
    println!("{table}");
    print_end(&misses);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
