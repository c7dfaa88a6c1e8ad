//! Whole programs under each variant: what people run under strace.
//!
//! From before the start of everything to after its end. Variants run in turn, round
//! after round, and ratios are medians of each round's ratio. Before, each variant
//! that writes lines must have written one for every call that strace reports.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use pai_benches::way::by_turns;
use pai_benches::{
    Options, Place, Table, Variant, counts, missed, place, print_end, programs, tree, truth,
};

const VARIANTS: &[Variant] = &[Variant::Native, Variant::HostStrace, Variant::Strace];

/// The documented limit of `HostStrace` compared with `Strace`, on one CPU.
const LIMIT: f64 = 0.95;

/// Targets that make enough calls for it: with few most of the time is the start, which
/// has a bench of its own.
const LIMITED: &[&str] = &["find", "tar"];

/// A program, and its arguments for a folder full of files.
struct Target {
    name: &'static str,
    arguments: fn(&str) -> Vec<String>,
    /// Calls that each run makes as often as the others; all where none is named.
    steady: &'static [&'static str],
}

const TARGETS: &[Target] = &[
    Target {
        name: "find",
        arguments: |folder| vec![folder.into(), "-size".into(), "+0".into()],
        steady: &[],
    },
    Target {
        name: "tar",
        arguments: |folder| vec!["-cf".into(), format!("{folder}.tar"), folder.into()],
        steady: &[],
    },
    Target {
        name: "python3",
        arguments: |_| ["-I", "-c", "pass"].map(String::from).into(),
        steady: &["execve"],
    },
    Target {
        name: "gcc",
        arguments: |folder| {
            vec![
                "-c".into(),
                tree::source(folder),
                "-o".into(),
                format!("{folder}.o"),
            ]
        },
        steady: &["execve"],
    },
];

impl Target {
    /// `None` when it is not installed.
    fn command(&self, folder: &str) -> Option<Vec<String>> {
        // In front of PATH there may be a script that looks for the program.
        let usual = Path::new("/usr/bin").join(self.name);
        let usual = usual.is_file().then_some(usual);
        let program = usual.or_else(|| programs::in_path(self.name))?;
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend((self.arguments)(folder));
        Some(words)
    }

    /// How many calls it makes, after each variant has counted those that are as many in
    /// each run.
    fn calls(&self, command: &[String]) -> Result<u64> {
        let of = |variant: Variant| -> Result<(u64, u64)> {
            let lines = variant.run(command)?.lines;
            let calls = counts::of_strace(&lines);
            let is_steady = |name: &str| self.steady.is_empty() || self.steady.contains(&name);
            let steady = calls.iter().filter(|(name, _)| is_steady(name));
            Ok((calls.values().sum(), steady.map(|(_, count)| count).sum()))
        };
        let (all, expected) = of(Variant::Strace)?;
        for variant in VARIANTS.iter().filter(|variant| variant.writes_lines()) {
            truth::check(*variant, "calls", of(*variant)?.1, expected)?;
        }
        Ok(all)
    }
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 9);
    println!("## Whole programs\n");
    println!(
        "Rounds: {rounds}, in a folder of {} files. Milliseconds: median (minimum); ratios are \
         of these. Load before: {}.\n",
        tree::FILES,
        place::load()
    );
    if let Some(missing) = VARIANTS.iter().find_map(|variant| variant.missing()) {
        println!("Skipped: {missing}.\n");
        return Ok(());
    }
    let (_temporary, folder) = tree::make()?;
    let columns = [
        "program", "calls", "place", "variant", "ms", "/ native", "/ strace",
    ];
    let mut table = Table::new(&columns);
    let mut misses = Vec::new();
    for target in TARGETS {
        let Some(command) = target.command(&folder) else {
            println!("Skipped: {} is not installed.\n", target.name);
            continue;
        };
        let calls = target.calls(&command).context(target.name)?;
        for place in Place::ALL {
            eprintln!("programs: {}, {}", target.name, place.name());
            let _placed = place.take()?;
            let all = by_turns(VARIANTS, rounds, |variant| {
                Ok(variant.run(&command)?.milliseconds())
            });
            let all = all.context(target.name)?;
            let of = |wanted| {
                let at = VARIANTS.iter().position(|variant| *variant == wanted);
                at.and_then(|at| all.get(at))
            };
            for (variant, own) in VARIANTS.iter().zip(&all) {
                let ratio =
                    |to| of(to).map_or_else(String::new, |to| format!("{:.2}", own.ratio_to(to)));
                table.row(vec![
                    target.name.to_owned(),
                    calls.to_string(),
                    place.name().to_owned(),
                    variant.name().to_owned(),
                    own.shown(0),
                    ratio(Variant::Native),
                    ratio(Variant::Strace),
                ]);
            }
            let own = of(Variant::HostStrace).zip(of(Variant::Strace));
            let is_limited = place == Place::OneCpu && LIMITED.contains(&target.name);
            if let Some((own, peer)) = own.filter(|_| is_limited) {
                let own = (Variant::HostStrace.name(), own);
                let peer = (Variant::Strace.name(), peer);
                misses.extend(missed(target.name, own, peer, LIMIT));
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
