//! Messages of netlink(7).

use alloc::format;
use alloc::vec::Vec;

use crate::decode::layout;
use crate::decode::schema::Look;
use crate::decode::schema::prelude::*;
use crate::decode::value::{Bytes as Data, Field, Items};
use crate::errno;

use super::routes::{self, ERROR_ATTRIBUTES, NLM_F, NLMSG, attributes};

/// `struct nlmsghdr`
const HEADER: usize = 16;
/// What it is a multiple of (NLMSG_ALIGNTO).
const ALIGNMENT: usize = 4;
/// An answer holds what it answers, which is no answer.
const MAX_DEPTH: u32 = 2;

/// Whether this may be the beginning of messages, in so many bytes: nothing in a call says
/// of what kind its socket is.
pub(super) fn is_likely(head: &[u8], len: u64, is_request: bool) -> bool {
    const NLM_F_REQUEST: u64 = 1;
    const FLAGS: u64 = 0xf3f;
    const MOST_TYPES: u64 = 128;
    let number = |offset, len| layout::number(head, offset, len);
    let (Some(size), Some(ty), Some(flags)) = (number(0, 4), number(4, 2), number(6, 2)) else {
        return false;
    };
    let asked = flags & NLM_F_REQUEST != 0 || !is_request;
    (HEADER as u64..=len).contains(&size)
        && (1..MOST_TYPES).contains(&ty)
        && flags & !FLAGS == 0
        && asked
}

/// All messages that are in these bytes.
pub(super) fn messages(view: &View<'_>) -> Value {
    let mut items = Items::default();
    let mut rest = view.bytes;
    while !rest.is_empty() {
        if items.items.len() == view.limits.items {
            items.more = Some(0);
            break;
        }
        let Some(len) = layout::number(rest, 0, 4).filter(|_| rest.len() >= HEADER) else {
            items.items.push(hex(rest, view));
            break;
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let whole = rest.get(..len.clamp(HEADER, rest.len())).unwrap_or(rest);
        items.items.push(message(whole, view, 0));
        let Some(next) = len
            .checked_next_multiple_of(ALIGNMENT)
            .filter(|_| len >= HEADER)
        else {
            break;
        };
        rest = rest.get(next..).unwrap_or_default();
    }
    one_or_all(items)
}

fn message(bytes: &[u8], view: &View<'_>, depth: u32) -> Value {
    let number = |offset, len| layout::number(bytes, offset, len).unwrap_or(0);
    let (len, ty, flags) = (number(0, 4), number(4, 2), number(6, 2));
    let (sequence, port) = (number(8, 4), number(12, 4));
    let data = bytes.get(HEADER..).unwrap_or_default();
    let is_route = routes::is_likely(ty, flags, data, view);
    let (types, named_flags) = match is_route {
        true => (routes::types(ty), routes::message_flags(ty)),
        false => (&NLMSG, &NLM_F),
    };
    let head = Value::structure([
        Field::new("nlmsg_len", Value::Unsigned(len)),
        Field::new("nlmsg_type", Value::One(ty, types)),
        Field::new("nlmsg_flags", Value::Flags(flags, named_flags)),
        Field::new("nlmsg_seq", Value::Unsigned(sequence)),
        Field::new("nlmsg_pid", Value::Pid((port as u32).cast_signed())),
    ]);
    if data.is_empty() {
        return head;
    }
    const NLMSG_ERROR: u64 = 2;
    const NLMSG_DONE: u64 = 3;
    let (first, second) = match ty {
        NLMSG_ERROR => error(flags, data, view, depth),
        NLMSG_DONE if data.len() == 4 => {
            let result = (layout::number(data, 0, 4).unwrap_or(0) as u32).cast_signed();
            Some((Value::Signed(result.into()), None))
        }
        _ if is_route => routes::payload(ty, data, view),
        _ => None,
    }
    .unwrap_or_else(|| (hex(data, view), None));
    let mut parts = Vec::from([head, first]);
    parts.extend(second);
    array(parts)
}

/// An answer: an errno, the message that it answers, and attributes that say more.
fn error(flags: u64, data: &[u8], view: &View<'_>, depth: u32) -> Option<(Value, Option<Value>)> {
    const NLM_F_CAPPED: u64 = 0x100;
    let number = (layout::number(data, 0, 4)? as u32).cast_signed();
    let inner = data.get(4..)?;
    if inner.len() < HEADER || depth >= MAX_DEPTH {
        return None;
    }
    let len = match flags & NLM_F_CAPPED {
        0 => usize::try_from(layout::number(inner, 0, 4)?).unwrap_or(usize::MAX),
        _ => HEADER,
    };
    let whole = inner.get(..len.clamp(HEADER, inner.len()))?;
    let answer = Value::structure([
        Field::new("error", errno_of(number)),
        Field::new("msg", message(whole, view, depth + 1)),
    ]);
    let rest = inner.get(len.max(HEADER)..).unwrap_or_default();
    let more = attributes(&ERROR_ATTRIBUTES, 0, rest, view, 0);
    Some((with_payload(answer, more), None))
}

/// `-ENODEV`
fn errno_of(number: i32) -> Value {
    let name = match number {
        ..0 => errno::name(number.unsigned_abs()),
        _ => None,
    };
    let number = i64::from(number);
    match name {
        Some(name) => Value::Named(number.cast_unsigned(), format!("-{name}").into()),
        None => Value::Signed(number),
    }
}

/// Bytes that mean nothing here, as many as are shown.
pub(super) fn hex(data: &[u8], view: &View<'_>) -> Value {
    let shown = data.get(..view.limits.text).unwrap_or(data);
    Value::Bytes(Data {
        data: shown.to_vec(),
        more: shown.len() < data.len(),
        whole: false,
        look: Look::Hex,
    })
}

fn array(items: Vec<Value>) -> Value {
    Value::Array(Items {
        items,
        more: None,
        missing: false,
    })
}

/// What stands before something, if there is something.
pub(super) fn with_payload(head: Value, payload: Option<Value>) -> Value {
    match payload {
        Some(payload) => array(Vec::from([head, payload])),
        None => head,
    }
}

/// One by itself is not shown as an array.
pub(super) fn one_or_all(mut items: Items) -> Value {
    match (items.items.len(), items.more) {
        (1, None) => items.items.remove(0),
        _ => Value::Array(items),
    }
}
