//! All descriptions, by name and by number.

use crate::abi::{self, Abi};
use crate::generated::{aarch64, i386, x86_64};
use crate::table::Entry;

use super::schema::Call;

/// The tables, each of an area.
const TABLES: &[&[Call]] = &[
    super::files::CALLS,
    super::files::fcntl::CALLS,
    super::files::handles::CALLS,
    super::files::names::CALLS,
    super::files::status::CALLS,
    super::files::xattr::CALLS,
    super::ioctl::CALLS,
    super::ipc::CALLS,
    super::ipc::queues::CALLS,
    super::kernel::CALLS,
    super::memory::CALLS,
    super::memory::futex::CALLS,
    super::memory::policy::CALLS,
    super::mounts::CALLS,
    super::mounts::QUERY_CALLS,
    super::mounts::QUOTA_CALLS,
    super::net::CALLS,
    super::polls::CALLS,
    super::process::CALLS,
    super::process::confine::CALLS,
    super::process::ids::CALLS,
    super::process::ids::CALLS_32,
    super::process::limits::CALLS,
    super::process::others::CALLS,
    super::process::prctl::CALLS,
    super::process::ptrace::CALLS,
    super::process::sched::CALLS,
    super::process::segments::CALLS,
    super::signals::CALLS,
    super::signals::old::CALLS,
    super::system::CALLS,
    super::times::CALLS,
];

const fn count() -> usize {
    let mut count = 0;
    let mut table = 0;
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
}

/// Sorted when the crate is compiled.
static BY_NAME: [&Call; count()] = sorted();

const fn sorted() -> [&'static Call; count()] {
    let mut all = [&super::files::CALLS[0]; count()];
    let mut len = 0;
    let mut table = 0;
    while table < TABLES.len() {
        let mut next = 0;
        while next < TABLES[table].len() {
            let call = &TABLES[table][next];
            let mut at = len;
            while at > 0 && is_less(call.name, all[at - 1].name) {
                all[at] = all[at - 1];
                at -= 1;
            }
            all[at] = call;
            len += 1;
            next += 1;
        }
        table += 1;
    }
    all
}

const fn is_less(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return one[at] < other[at];
        }
        at += 1;
    }
    one.len() < other.len()
}

/// Where a name is in [`BY_NAME`].
const fn place(name: &str) -> Option<usize> {
    let (mut low, mut high) = (0, BY_NAME.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if is_less(BY_NAME[middle].name, name) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low < BY_NAME.len() && !is_less(name, BY_NAME[low].name) {
        return Some(low);
    }
    None
}

/// For each number of an ABI where its description is, or [`NOWHERE`]: this is asked
/// at every stop.
const fn places<const N: usize>(names: &[Option<Entry>]) -> [u16; N] {
    let mut all = [NOWHERE; N];
    let mut number = 0;
    while number < N {
        if let Some((name, _)) = names[number]
            && let Some(place) = place(name)
        {
            all[number] = place as u16;
        }
        number += 1;
    }
    all
}

const NOWHERE: u16 = u16::MAX;

static X86_64: [u16; x86_64::TABLE.by_number.len()] = places(x86_64::TABLE.by_number);
static I386: [u16; i386::TABLE.by_number.len()] = places(i386::TABLE.by_number);
static AARCH64: [u16; aarch64::TABLE.by_number.len()] = places(aarch64::TABLE.by_number);

/// The description of a call.
pub(super) fn of(abi: Abi, number: u32) -> Option<&'static Call> {
    let places: &[u16] = match abi {
        abi::X86_64 => &X86_64,
        abi::I386 => &I386,
        abi::AARCH64 => &AARCH64,
        _ => return None,
    };
    let place = *places.get(usize::try_from(number).ok()?)?;
    BY_NAME.get(usize::from(place)).copied()
}

/// The description of this name.
#[cfg(test)]
pub(super) fn find(name: &str) -> Option<&'static Call> {
    place(name).map(|place| BY_NAME[place])
}

/// All of them, by name.
#[cfg(test)]
pub(super) fn all() -> &'static [&'static Call] {
    &BY_NAME
}
