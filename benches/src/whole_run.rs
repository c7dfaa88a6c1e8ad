//! Whole runs of a program under criterion, from before its start to after its
//! end.

#![expect(
    clippy::print_stderr,
    clippy::exit,
    reason = "criterion's functions return nothing"
)]

use std::process::exit;
use std::time::Duration;

use anyhow::Result;
use criterion::Criterion;

use crate::variant::Variant;
use crate::{programs, truth};

/// The value, or the end of this process.
pub fn or_exit<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit(1)
        }
    }
}

/// Runs take milliseconds.
pub fn config() -> Criterion {
    Criterion::default().sample_size(50)
}

/// A bench of whole runs: `one` runs once and says how long that took.
pub fn bench(criterion: &mut Criterion, name: &str, mut one: impl FnMut() -> Result<Duration>) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|runs| (0..runs).map(|_| or_exit(one())).sum());
    });
}

/// A bench of a variant's runs of `true`, with its counts checked: in every run
/// if it counts, in one before if it writes lines.
pub fn bench_variant(criterion: &mut Criterion, name: &str, variant: Variant) {
    if let Some(missing) = variant.missing() {
        eprintln!("{name}: skipped: {missing}");
        return;
    }
    let target = or_exit(programs::true_());
    let truth = or_exit(truth::of(&target));
    if variant.writes_lines() {
        or_exit(truth::check_lines(variant, &target, &truth));
    }
    bench(criterion, name, || {
        let ran = variant.run(&target)?;
        if variant.counts() {
            truth::check_all(variant, &ran.counts()?, &truth)?;
        }
        Ok(ran.wall)
    });
}
