//! Ranges of addresses.

use std::collections::BTreeMap;

/// Gaps up to here are filled: between blocks lie only the few bytes in which the
/// allocator keeps their sizes.
const GAP: u64 = 64;

/// Ranges that do not touch each other: start, and first address behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The last range that starts at or below an address.
    fn before(&self, addr: u64) -> Option<(u64, u64)> {
        let (start, end) = self.0.range(..=addr).next_back()?;
        Some((*start, *end))
    }

    pub(crate) fn contains(&self, addr: u64) -> bool {
        self.before(addr).is_some_and(|(_, end)| addr < end)
    }

    pub(crate) fn add(&mut self, mut start: u64, mut end: u64) {
        if let Some((first, behind)) = self.before(start)
            && behind.saturating_add(GAP) >= start
        {
            if behind >= end {
                return;
            }
            start = first;
        }
        while let Some((&first, &behind)) = self.0.range(start..=end.saturating_add(GAP)).next() {
            self.0.remove(&first);
            end = end.max(behind);
        }
        self.0.insert(start, end);
    }

    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        if let Some((first, behind)) = self.before(start)
            && behind > start
        {
            self.0.insert(first, start);
            if behind > end {
                self.0.insert(end, behind);
            }
        }
        let inside: Vec<u64> = self.0.range(start..end).map(|(first, _)| *first).collect();
        for first in inside {
            if let Some(behind) = self.0.remove(&first)
                && behind > end
            {
                self.0.insert(end, behind);
            }
        }
        // One that began at `start` has become empty.
        if self.0.get(&start).is_some_and(|behind| *behind <= start) {
            self.0.remove(&start);
        }
    }

    /// The parts of a range that are in none of these.
    pub(crate) fn without(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut parts = Vec::new();
        let mut at = start;
        if let Some((_, behind)) = self.before(start) {
            at = at.max(behind);
        }
        for (first, behind) in self.0.range(start..end) {
            if at < *first {
                parts.push((at, *first));
            }
            at = at.max(*behind);
        }
        if at < end {
            parts.push((at, end));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u64, u64)]) -> Ranges {
        Ranges(ranges.iter().copied().collect())
    }

    #[test]
    fn neighbours_become_one() {
        let mut ranges = Ranges::default();
        ranges.add(0x1000, 0x1018);
        ranges.add(0x1020, 0x1038);
        ranges.add(0x1008, 0x1010);
        assert_eq!(ranges, of(&[(0x1000, 0x1038)]));
        ranges.add(0x2000, 0x2010);
        ranges.add(0x0ff0, 0x3000);
        assert_eq!(ranges, of(&[(0x0ff0, 0x3000)]));
        assert!(ranges.contains(0x0ff0) && !ranges.contains(0x3000));
    }

    #[test]
    fn parts_are_removed() {
        let mut ranges = of(&[(0x1000, 0x2000), (0x3000, 0x4000)]);
        ranges.remove(0x1800, 0x1900);
        assert_eq!(
            ranges,
            of(&[(0x1000, 0x1800), (0x1900, 0x2000), (0x3000, 0x4000)])
        );
        ranges.remove(0x1800, 0x3800);
        assert_eq!(ranges, of(&[(0x1000, 0x1800), (0x3800, 0x4000)]));
        ranges.remove(0x1000, 0x1800);
        assert_eq!(ranges, of(&[(0x3800, 0x4000)]));
    }

    #[test]
    fn what_is_left_of_a_range() {
        let ranges = of(&[(0x1000, 0x2000), (0x3000, 0x4000)]);
        assert_eq!(ranges.without(0x1800, 0x3800), [(0x2000, 0x3000)]);
        assert_eq!(
            ranges.without(0, 0x5000),
            [(0, 0x1000), (0x2000, 0x3000), (0x4000, 0x5000)]
        );
        assert_eq!(ranges.without(0x1000, 0x2000), []);
        assert_eq!(ranges.without(0x2000, 0x2100), [(0x2000, 0x2100)]);
    }
}
