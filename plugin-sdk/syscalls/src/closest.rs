//! "Did you mean": the known name nearest to a misspelt one.

use crate::abi::Abi;
use crate::table::Table;

/// Longer inputs have no suggestion: every system call name is shorter.
const LONGEST: usize = 40;

/// The system call whose name is most like `name`, for "did you mean".
///
/// Counts inserted, deleted, replaced and swapped letters, without regard to
/// case, and allows one for every three letters of `name`, at least one. Among
/// equals the first in number order wins. `None` if no name is near enough.
///
/// ```
/// use pai_syscalls::{abi, closest};
///
/// assert_eq!(closest(abi::X86_64, "opeant"), Some("openat"));
/// assert_eq!(closest(abi::X86_64, "frobnicate"), None);
/// ```
#[must_use]
pub fn closest(abi: Abi, name: &str) -> Option<&'static str> {
    let table = Table::of(abi)?;
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let allowed = (name.len() / 3).max(1);
    table
        .entries()
        .map(|(_, (candidate, _))| candidate)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed)
        .map(|candidate| (distance(candidate.as_bytes(), name.as_bytes()), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The edit distance with swaps of neighbours (optimal string alignment), in
/// three rows of the usual matrix. `to` is at most [`LONGEST`] long.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut before = [0; LONGEST + 1];
    let mut previous: [usize; LONGEST + 1] = core::array::from_fn(|column| column);
    for (row, &letter) in from.iter().enumerate() {
        let mut current = [0; LONGEST + 1];
        current[0] = row + 1;
        for (column, &other) in to.iter().enumerate() {
            let same = letter.eq_ignore_ascii_case(&other);
            let mut best = previous[column] + usize::from(!same);
            best = best.min(previous[column + 1] + 1);
            best = best.min(current[column] + 1);
            if row > 0
                && column > 0
                && from[row - 1].eq_ignore_ascii_case(&other)
                && letter.eq_ignore_ascii_case(&to[column - 1])
            {
                best = best.min(before[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before = previous;
        previous = current;
    }
    previous[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, closest, distance};
    use crate::abi;

    #[test]
    fn distance_counts_each_kind_of_slip_once() {
        for (from, to, expected) in [
            ("read", "read", 0),
            ("read", "READ", 0),
            ("read", "rea", 1),
            ("read", "reads", 1),
            ("read", "road", 1),
            ("read", "raed", 1),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(from.as_bytes(), to.as_bytes()),
                expected,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn suggests_the_nearest_name_or_none() {
        assert_eq!(closest(abi::X86_64, "opne"), Some("open"));
        assert_eq!(
            closest(abi::X86_64, "clock_get_time"),
            Some("clock_gettime")
        );
        assert_eq!(closest(abi::AARCH64, "exceve"), Some("execve"));
        assert_eq!(closest(abi::X86_64, "openat"), Some("openat"));
        assert_eq!(closest(abi::X86_64, "zzzzzz"), None);
        assert_eq!(closest(abi::X86_64, ""), None);
        assert_eq!(closest(0, "openat"), None);
    }

    #[test]
    fn survives_long_and_foreign_input() {
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(closest(abi::X86_64, &long), None);
        assert_eq!(closest(abi::X86_64, &long[..LONGEST]), None);
        assert_eq!(closest(abi::X86_64, "öpenat"), Some("openat"));
    }

    #[test]
    fn every_name_is_its_own_nearest() {
        for abi in [abi::X86_64, abi::I386, abi::AARCH64] {
            for (_, name) in crate::names(abi) {
                assert!(name.len() <= LONGEST, "{name}");
                assert_eq!(closest(abi, name), Some(name));
            }
        }
    }
}
