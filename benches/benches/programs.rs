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

use std::process::ExitCode;

use anyhow::{Context, Result};
use pai_benches::way::by_turns;
use pai_benches::{
    Options, Place, Table, Variant, counts, missed, place, print_end, programs, tree, truth,
};

const VARIANTS: &[Variant] = &[Variant::Native, Variant::HostStrace, Variant::Strace];

/// The documented limit of `HostStrace` compared with `Strace`, on one CPU.
const LIMIT: f64 = 0.95;

/// A program, and its arguments for a folder full of files.
struct Target {
    name: &'static str,
    arguments: fn(&str) -> Vec<String>,
}

const TARGETS: &[Target] = &[
    Target {
        name: "find",
        arguments: |folder| vec![folder.into(), "-size".into(), "+0".into()],
    },
    Target {
        name: "tar",
        arguments: |folder| vec!["-cf".into(), format!("{folder}.tar"), folder.into()],
    },
];

impl Target {
    fn command(&self, folder: &str) -> Result<Vec<String>> {
        let program = programs::in_path(self.name)
            .with_context(|| format!("{} is not installed", self.name))?;
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend((self.arguments)(folder));
        Ok(words)
    }
}

/// How many calls it makes, after each variant has counted them.
fn calls(command: &[String], variants: &[Variant]) -> Result<u64> {
    let of = |variant: Variant| -> Result<u64> {
        Ok(counts::of_strace(&variant.run(command)?.lines)
            .values()
            .sum())
    };
    let expected = of(Variant::Strace)?;
    for variant in variants.iter().filter(|variant| variant.writes_lines()) {
        truth::check(*variant, "calls", of(*variant)?, expected)?;
    }
    Ok(expected)
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
        let command = target.command(&folder)?;
        let calls = calls(&command, VARIANTS)?;
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
            if let Some((own, peer)) = own.filter(|_| place == Place::OneCpu) {
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
