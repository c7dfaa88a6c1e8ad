//! Where a process looks for its pointers: everything that it can write to, or could
//! before its start was over, and that no block is in, the stacks of its threads, and
//! their registers.

use std::ops::Range;

use pai_plugin::{Mapping, Protection};

use crate::ranges::Ranges;

/// Memory that is looked through.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Root {
    pub(crate) range: Range<u64>,
    /// The allocator keeps its own data here.
    pub(crate) allocators: bool,
}

/// Functions may use so much below the stack pointer (System V ABI for x86_64, "The
/// Stack Frame").
const RED_ZONE: u64 = 128;
/// Most of a stack that is looked through where it may be in a block.
const MOST_STACK: u64 = 8 << 20;

/// The roots of a process, the small ones first. `used` is memory that is, or was, in
/// blocks, where only reached ones are looked at; `stacks` the stack pointers of its
/// threads; `allocators` the modules that have allocators.
pub(crate) fn find(
    maps: &[Mapping],
    used: &Ranges,
    stacks: &[u64],
    allocators: &[Range<u64>],
) -> Vec<Root> {
    let mut roots = Vec::new();
    let mut below: Option<&Mapping> = None;
    for (at, mapping) in maps.iter().enumerate() {
        let before = below.replace(mapping);
        if !mapping.protection.contains(Protection::WRITE) && !is_relro(mapping, maps.get(at + 1)) {
            continue;
        }
        let here = |sp: &&u64| (mapping.start..mapping.end).contains(*sp);
        let sp = stacks.iter().filter(here).min();
        let sp = sp.filter(|_| is_whole_stack(mapping, before));
        let start = sp.map_or(0, |sp| sp.saturating_sub(RED_ZONE));
        let start = start.max(mapping.start);
        let overlaps = |range: &Range<u64>| range.start < mapping.end && mapping.start < range.end;
        let is_allocators =
            mapping.name == "[heap]" || mapping.inode == 0 || allocators.iter().any(overlaps);
        let parts = used.without(start, mapping.end).into_iter();
        roots.extend(parts.map(|(start, end)| Root {
            range: start..end,
            allocators: is_allocators && sp.is_none(),
        }));
        // A stack may be in a block, or where one was.
        for sp in stacks.iter().filter(here).filter(|sp| used.contains(**sp)) {
            let end = mapping.end.min(sp.saturating_add(MOST_STACK));
            roots.push(Root {
                range: *sp..end,
                allocators: false,
            });
        }
    }
    roots.sort_by_key(|root| root.range.end - root.range.start);
    roots
}

/// Whether this may be data of a module that only its start has written to
/// (PT_GNU_RELRO): the first part of what was mapped as writable.
fn is_relro(mapping: &Mapping, next: Option<&Mapping>) -> bool {
    let writable = Protection::READ | Protection::WRITE;
    mapping.inode != 0
        && mapping.protection == Protection::READ
        && next.is_some_and(|next| {
            let same = (next.device, next.inode) == (mapping.device, mapping.inode)
                && next.offset == mapping.offset + (mapping.end - mapping.start);
            // All that stays writable may be zeros at first (.bss).
            let goes_on = same || next.inode == 0 && !next.name.starts_with('[');
            next.start == mapping.end && next.protection == writable && goes_on
        })
}

/// Whether nothing but one stack is in a mapping: what is below the stack pointer is
/// of no use then.
fn is_whole_stack(mapping: &Mapping, before: Option<&Mapping>) -> bool {
    let guarded = |before: &Mapping| {
        before.end == mapping.start && (before.protection & !Protection::SHARED).is_empty()
    };
    mapping.name == "[stack]" || before.is_some_and(guarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(range: Range<u64>, write: bool, name: &str) -> Mapping {
        let write = if write {
            Protection::READ | Protection::WRITE
        } else {
            Protection::empty()
        };
        Mapping {
            start: range.start,
            end: range.end,
            protection: write,
            offset: range.start,
            device: 0,
            inode: u64::from(name.starts_with('/')),
            name: name.to_owned(),
        }
    }

    fn ranges(roots: &[Root]) -> Vec<(Range<u64>, bool)> {
        let mut ranges: Vec<_> = roots
            .iter()
            .map(|root| (root.range.clone(), root.allocators))
            .collect();
        ranges.sort_by_key(|(range, _)| range.start);
        ranges
    }

    #[test]
    fn data_and_what_is_left_of_the_heap() {
        let maps = [
            mapping(0x1000..0x2000, true, "/bin/a"),
            mapping(0x2000..0x3000, false, "/bin/a"),
            mapping(0x4000..0x8000, true, "[heap]"),
            mapping(0x9000..0xa000, true, "/lib/libc.so.6"),
        ];
        let mut used = Ranges::default();
        used.add(0x5000, 0x7000);
        let libc = 0x8800..0xa000;
        assert_eq!(
            ranges(&find(&maps, &used, &[], &[libc])),
            [
                (0x1000..0x2000, false),
                (0x4000..0x5000, true),
                (0x7000..0x8000, true),
                (0x9000..0xa000, true),
            ]
        );
    }

    #[test]
    fn data_that_has_become_read_only() {
        let read_only = |range| Mapping {
            protection: Protection::READ,
            ..mapping(range, false, "/bin/a")
        };
        let maps = [
            read_only(0x1000..0x2000),
            read_only(0x2000..0x3000),
            mapping(0x3000..0x4000, true, "/bin/a"),
            read_only(0x5000..0x6000),
            mapping(0x6000..0x7000, true, ""),
            // Not its data: the heap, and another part of the file, are behind it.
            read_only(0x8000..0x9000),
            mapping(0x9000..0xa000, true, "[heap]"),
            Mapping {
                offset: 0,
                ..read_only(0xc000..0xd000)
            },
            mapping(0xd000..0xe000, true, "/bin/a"),
        ];
        let starts: Vec<u64> = ranges(&find(&maps, &Ranges::default(), &[], &[]))
            .into_iter()
            .map(|(range, _)| range.start)
            .collect();
        assert_eq!(starts, [0x2000, 0x3000, 0x5000, 0x6000, 0x9000, 0xd000]);
    }

    #[test]
    fn stacks_from_their_pointers_on() {
        let maps = [
            mapping(0x1000..0x2000, false, ""),
            mapping(0x2000..0x3000, true, ""),
            mapping(0x5000..0x6000, true, ""),
            mapping(0x9000..0xa000, true, "[stack]"),
        ];
        let mut used = Ranges::default();
        used.add(0x5800, 0x5900);
        let stacks = [0x2800, 0x5880, 0x9800];
        assert_eq!(
            ranges(&find(&maps, &used, &stacks, &[])),
            [
                (0x2780..0x3000, false),
                (0x5000..0x5800, true),
                (0x5880..0x6000, false),
                (0x5900..0x6000, true),
                (0x9780..0xa000, false),
            ]
        );
    }
}
