//! How many calls a program makes: what every variant must have seen.

use anyhow::{Result, ensure};

use crate::counts::{self, Call, Counts};
use crate::variant::Variant;

/// Counts a program's calls with the C loop, and has strace agree if there is
/// one.
///
/// # Errors
/// When the two disagree.
pub fn of(target: &[String]) -> Result<Counts> {
    let counts = Variant::Floor.run(target)?.counts()?;
    if Variant::Strace.missing().is_none() {
        let lines: u64 = counts::of_strace(&Variant::Strace.run(target)?.lines)
            .values()
            .sum();
        let Call { entries, .. } = counts.all();
        ensure!(
            lines == entries,
            "strace reports {lines} calls of {}, the C loop {entries}",
            target.join(" ")
        );
    }
    Ok(counts)
}

/// Whether a variant that writes lines writes one for every call.
///
/// # Errors
/// When it does not.
pub fn check_lines(variant: Variant, target: &[String], truth: &Counts) -> Result<()> {
    let lines: u64 = counts::of_strace(&variant.run(target)?.lines)
        .values()
        .sum();
    check(variant, "calls", lines, truth.all().entries)
}

/// Whether a count is right.
///
/// # Errors
/// When it is not.
pub fn check(variant: Variant, what: &str, seen: u64, expected: u64) -> Result<()> {
    ensure!(
        seen == expected,
        "{}: wrong count: {seen} {what}, {expected} expected",
        variant.name()
    );
    Ok(())
}

/// Whether all calls were seen, at both ends. (The last call has no exit.)
///
/// # Errors
/// When they were not.
pub fn check_all(variant: Variant, seen: &Counts, truth: &Counts) -> Result<()> {
    let (seen, truth) = (seen.all(), truth.all());
    check(variant, "entries", seen.entries, truth.entries)?;
    check(variant, "exits", seen.exits, truth.exits)
}
