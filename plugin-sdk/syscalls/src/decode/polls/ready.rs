//! Which descriptors poll(2) and select(2) wait for, and which are ready.

use alloc::vec::Vec;

use crate::decode::schema::prelude::*;
use crate::decode::value::{Field, Items};
use crate::decode::{Fields, layout};

use super::sets::POLL;

/// Sets are read up to here, in bytes: 32768 descriptors.
const MAX_FDS: usize = 4096;

structs! {
    /// poll(2)
    POLLFD "pollfd" (arrange_pollfd) { fd: FD, events: EVENTS, revents: Pad(2) }
}

const EVENTS: Type = Scalar(W16, Style::Flags(&POLL));

/// A negative descriptor is not waited for.
fn arrange_pollfd(fields: &mut Fields, _: &View<'_>) {
    if let Some(Value::Fd(..0) | Value::Signed(..0)) = fields.get("fd") {
        fields.remove("events");
    }
}

/// What poll waits for.
pub(super) const POLLFDS: Type = Array(In, &Struct(&POLLFD), Len::With(count));
/// The same when it has returned: those that are ready.
pub(super) const REVENTS: Type = Sized(Out, Len::With(size), &Special(revents, 0));

fn count(view: &View<'_>) -> u64 {
    view.arg32(1).into()
}

fn size(view: &View<'_>) -> u64 {
    count(view) * 8
}

fn revents(view: &View<'_>) -> Value {
    let mut items = Vec::new();
    let mut more = None;
    for (index, entry) in view.bytes.chunks_exact(8).enumerate() {
        let number = |at, len| layout::number(entry, at, len).unwrap_or(0);
        let (fd, revents) = (number(0, 4), number(6, 2));
        if revents == 0 {
            continue;
        }
        if items.len() == view.limits.items {
            more = Some(view.addr.wrapping_add(index as u64 * 8));
            break;
        }
        items.push(Value::structure([
            Field::new("fd", Value::Fd((fd as u32).cast_signed())),
            Field::new("revents", Value::Flags(revents, &POLL)),
        ]));
    }
    Value::Array(Items {
        items,
        more,
        missing: false,
    })
}

/// `[{fd=3, revents=POLLIN}], left {tv_sec=1, tv_nsec=0}`
pub(super) fn poll_ready(view: &View<'_>, values: &[Value]) -> Option<Value> {
    let ready = values.first()?;
    let left = values.get(1);
    parts(view, [("", Some(ready)), ("left", left)].into_iter())
}

/// `in [3], out [4], left {tv_sec=1, tv_usec=0}`
pub(super) fn select_ready(view: &View<'_>, values: &[Value]) -> Option<Value> {
    let names = ["in", "out", "except", "left"];
    let written = written(view, values);
    let values: Vec<Value> = values
        .iter()
        .map(|value| match behind(value) {
            Value::Descriptors(fds) => {
                Value::Descriptors(fds.iter().copied().filter(|fd| *fd < written).collect())
            }
            other => other.clone(),
        })
        .collect();
    parts(view, names.into_iter().zip(values.iter().map(Some)))
}

/// The end of what the kernel has written in the sets.
///
/// It stops at the size of the process's table of descriptors, a multiple of 64, and leaves
/// what is behind as it was (`core_sys_select` in fs/select.c). The size is not to be seen
/// from outside, but the result counts what is ready.
fn written(view: &View<'_>, values: &[Value]) -> i32 {
    let sets = values.iter().map(|value| behind(value).descriptors());
    let mut all: Vec<i32> = sets.flatten().copied().collect();
    all.sort_unstable();
    let ready = view.ret.and_then(|ret| usize::try_from(ret).ok());
    match ready.and_then(|ready| ready.checked_sub(1)) {
        Some(last) if last + 1 < all.len() => (all[last] | 63) + 1,
        _ => i32::MAX,
    }
}

/// What a pointer leads to.
fn behind(value: &Value) -> &Value {
    match value {
        Value::To { value, .. } => value,
        value => value,
    }
}

fn parts<'v>(
    view: &View<'_>,
    parts: impl Iterator<Item = (&'static str, Option<&'v Value>)>,
) -> Option<Value> {
    if view.ret == Some(0) {
        return Some(Value::Plain("Timeout".into()));
    }
    let mut fields = Vec::new();
    for (name, value) in parts {
        let known = match value {
            None | Some(Value::Address(_)) => continue,
            Some(value) => behind(value),
        };
        if !matches!(known, Value::Descriptors(fds) if fds.is_empty()) {
            fields.push(Field::new(name, known.clone()));
        }
    }
    if fields.is_empty() {
        return None;
    }
    Some(Value::List(Fields {
        fields,
        more: false,
    }))
}

/// A set of descriptors that select waits for.
pub(super) const FDS_IN: Type = Sized(In, Len::With(fds_size), &Pick(fds, 0));
/// One of those that are ready.
pub(super) const FDS_OUT: Type = Sized(Out, Len::With(fds_size), &Pick(fds, 0));

fn nfds(view: &View<'_>) -> usize {
    usize::try_from(view.arg32(0).cast_signed()).unwrap_or(0)
}

/// The kernel reads and writes whole longs (FDS_BYTES in linux/poll.h).
fn fds_size(view: &View<'_>) -> u64 {
    let long = Width::Long.bytes(view.abi);
    (nfds(view).div_ceil(long * 8) * long) as u64
}

fn fds(view: &View<'_>) -> &'static Type {
    match nfds(view) {
        0 => &Absent,
        _ if view.is_cut() || fds_size(view) > MAX_FDS as u64 => &Absent,
        _ => &Naming(fd_set, 0),
    }
}

fn fd_set(view: &View<'_>) -> Value {
    let is_in = |fd: &usize| {
        let byte = view.bytes.get(fd / 8).unwrap_or(&0);
        byte >> (fd % 8) & 1 != 0
    };
    let fds = (0..nfds(view).min(MAX_FDS * 8)).filter(is_in);
    Value::Descriptors(fds.filter_map(|fd| i32::try_from(fd).ok()).collect())
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use alloc::vec::Vec;

    use crate::decode::text::Style;
    use crate::decode::{Captured, Limits, When, captured, decode, index};

    /// What stands behind a result of select, of sets that are words of 32 bits.
    fn ready(ret: i64, sets: [&[u32]; 2]) -> String {
        let mut known = Vec::new();
        for (addr, set) in [0x1000, 0x2000].into_iter().zip(sets) {
            let bytes: Vec<u8> = set.iter().flat_map(|word| word.to_le_bytes()).collect();
            captured::encode(&mut known, When::Enter, addr, &bytes);
            captured::encode(&mut known, When::Exit, addr, &bytes);
        }
        let call = index::find("select").expect("a call");
        let args = [100, 0x1000, 0x2000, 0, 0, 0];
        let known = Captured::decode(&known);
        let abi = crate::abi::X86_64;
        let decoded = decode(call, abi, args, Some(ret), Limits::default(), &known);
        let mut out = Vec::new();
        Style::default().push_result(&mut out, &decoded, ret);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_the_kernel_has_not_written_is_not_ready() {
        let (low, high) = (&[0b1000, 0, 0, 0], &[0b1000, 0, 1 << 13, 0]);
        let none = &[0; 4];
        assert_eq!(ready(1, [low, none]), "= 1 (in [3])");
        assert_eq!(ready(2, [high, none]), "= 2 (in [3 77])");
        assert_eq!(ready(1, [high, none]), "= 1 (in [3])");
        assert_eq!(ready(2, [high, high]), "= 2 (in [3], out [3])");
        assert_eq!(ready(3, [low, high]), "= 3 (in [3], out [3 77])");
        assert_eq!(ready(1, [none, high]), "= 1 (out [3])");
        assert_eq!(ready(0, [high, high]), "= 0 (Timeout)");
    }
}
