//! All descriptions, by name.

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

pub(super) fn find(name: &str) -> Option<&'static Call> {
    let at = BY_NAME.binary_search_by(|call| call.name.cmp(name)).ok()?;
    Some(BY_NAME[at])
}

/// All of them, by name.
#[cfg(test)]
pub(super) fn all() -> &'static [&'static Call] {
    &BY_NAME
}
