//! Messages: `struct msghdr` and what it holds.

use alloc::boxed::Box;

use crate::abi;
use crate::decode::captured::When;
use crate::decode::common::{IOVEC_IN, IOVEC_OUT};
use crate::decode::schema::prelude::*;
use crate::decode::{Fields, Items};

use super::address::SOCKADDR;
use super::control::CONTROL;
use super::payload::{PIECE_IN, PIECE_OUT};
use super::sets::MSG;

structs! {
    /// sendmsg(2)
    SENT "msghdr" (arrange) {
        msg_name: Sized(In, Len::With(name_length), &SOCKADDR), msg_namelen: I32,
        msg_iov: Array(In, &Struct(&IOVEC_IN), Len::Field("msg_iovlen")), msg_iovlen: SIZE,
        msg_control: Sized(In, Len::Field("msg_controllen"), &CONTROL), msg_controllen: SIZE,
        msg_flags: flags(&MSG),
    }
    /// recvmsg(2)
    RECEIVED "msghdr" (arrange) {
        msg_name: Sized(Out, Len::With(name_length), &SOCKADDR), msg_namelen: I32,
        msg_iov: Array(Out, &Struct(&IOVEC_OUT), Len::Field("msg_iovlen")), msg_iovlen: SIZE,
        msg_control: Sized(Out, Len::Field("msg_controllen"), &CONTROL), msg_controllen: SIZE,
        msg_flags: flags(&MSG),
    }
    /// To an address of netlink(7).
    SENT_TO_KERNEL "msghdr" (arrange) {
        msg_name: Sized(In, Len::With(name_length), &SOCKADDR), msg_namelen: I32,
        msg_iov: Array(In, &Struct(&PIECE_SENT), Len::Field("msg_iovlen")), msg_iovlen: SIZE,
        msg_control: Sized(In, Len::Field("msg_controllen"), &CONTROL), msg_controllen: SIZE,
        msg_flags: flags(&MSG),
    }
    /// From an address of netlink(7).
    RECEIVED_FROM_KERNEL "msghdr" (arrange) {
        msg_name: Sized(Out, Len::With(name_length), &SOCKADDR), msg_namelen: I32,
        msg_iov: Array(Out, &Struct(&PIECE_RECEIVED), Len::Field("msg_iovlen")),
        msg_iovlen: SIZE,
        msg_control: Sized(Out, Len::Field("msg_controllen"), &CONTROL), msg_controllen: SIZE,
        msg_flags: flags(&MSG),
    }
    PIECE_SENT "iovec" { iov_base: PIECE_IN, iov_len: SIZE }
    PIECE_RECEIVED "iovec" { iov_base: PIECE_OUT, iov_len: SIZE }
    /// One of those that recvmmsg(2) has received.
    ONE_OF_SEVERAL "msghdr" (arrange) {
        msg_name: Sized(Out, Len::With(name_length), &SOCKADDR), msg_namelen: I32,
        msg_iov: Array(Out, &Struct(&IOVEC_WHOLE), Len::Field("msg_iovlen")), msg_iovlen: SIZE,
        msg_control: Sized(Out, Len::Field("msg_controllen"), &CONTROL), msg_controllen: SIZE,
        msg_flags: flags(&MSG),
    }
    /// How much of it has been received is only known from behind the message.
    IOVEC_WHOLE "iovec" {
        iov_base: Bytes(Out, Len::Field("iov_len"), TEXT), iov_len: SIZE,
    }
    /// The same before the call: how large the buffer for the address is.
    EXPECTED "msghdr" (arrange_expected) {
        msg_name: ADDRESS, msg_namelen: I32, msg_iov: ADDRESS, msg_iovlen: SIZE,
        msg_control: ADDRESS, msg_controllen: SIZE, msg_flags: U32,
    }
    /// sendmmsg(2)
    MSENT "mmsghdr" { msg_hdr: Struct(&SENT), msg_len: U32 }
    /// recvmmsg(2)
    MRECEIVED "mmsghdr" { msg_hdr: Struct(&ONE_OF_SEVERAL), msg_len: U32 }
    /// Before it has been received, or when it has been sent.
    MEXPECTED "mmsghdr" { msg_hdr: Struct(&EXPECTED), msg_len: U32 }
}

/// The size of `struct msghdr`, and that for 32 bits.
const HEADER: u32 = 56;
const HEADER32: u32 = 28;
/// That of `struct mmsghdr`.
const ITEM: u32 = 64;
const ITEM32: u32 = 32;

/// What sendmsg sends.
pub(super) const MSG_IN: Type = Pick(msg_in, 0);
/// What recvmsg receives.
pub(super) const MSG_OUT: Type = Pick(msg_out, 0);
/// What sendmmsg sends.
pub(super) const MMSG_IN: Type = Pick(mmsg_in, 0);
/// What recvmmsg receives.
pub(super) const MMSG_OUT: Type = Pick(mmsg_out, 0);

/// A negative size is that of no address.
fn name_length(view: &View<'_>) -> u64 {
    const STORAGE: i32 = 128;
    let len = (view.field("msg_namelen").unwrap_or(0) as u32).cast_signed();
    u64::try_from(len.min(STORAGE)).unwrap_or(0)
}

/// Control messages show where there may be some.
fn arrange(fields: &mut Fields, _: &View<'_>) {
    if fields.get("msg_controllen").and_then(Value::number) == Some(0) {
        fields.remove("msg_control");
    }
}

fn arrange_expected(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["msg_namelen"]);
}

const SEND: Type = To(In, &Pick(sent, HEADER));
const SEND32: Type = To(In, &Pick(sent, HEADER32));

fn msg_in(view: &View<'_>) -> &'static Type {
    match view.abi {
        abi::I386 => &SEND32,
        _ => &SEND,
    }
}

/// Only addresses of netlink(7) have this size (`struct sockaddr_nl`), and some names.
fn is_kernel(view: &View<'_>) -> bool {
    const SOCKADDR_NL: u64 = 12;
    let name_length = Width::Long.bytes(view.abi);
    view.number(name_length, W32) == Some(SOCKADDR_NL)
}

fn sent(view: &View<'_>) -> &'static Type {
    match is_kernel(view) {
        true => const { &Struct(&SENT_TO_KERNEL) },
        false => const { &Struct(&SENT) },
    }
}

const RECEIVE: Type = Then(&To(InOut, &Pick(received, HEADER)), merge_name);
const RECEIVE32: Type = Then(&To(InOut, &Pick(received, HEADER32)), merge_name);

fn msg_out(view: &View<'_>) -> &'static Type {
    match view.abi {
        abi::I386 => &RECEIVE32,
        _ => &RECEIVE,
    }
}

fn received(view: &View<'_>) -> &'static Type {
    match view.when {
        When::Enter => const { &Struct(&EXPECTED) },
        When::Exit if is_kernel(view) => const { &Struct(&RECEIVED_FROM_KERNEL) },
        When::Exit => const { &Struct(&RECEIVED) },
    }
}

/// The message as it has been received, with the size of its address before and after.
fn merge_name(value: Value, _: &View<'_>) -> Value {
    let Value::Changed {
        addr,
        before,
        mut after,
    } = value
    else {
        return value;
    };
    if let (Some(before), Value::Struct(fields)) = (name_size(&before), &mut *after) {
        change_name_size(fields, before);
    }
    Value::To { addr, value: after }
}

fn name_size(header: &Value) -> Option<Value> {
    header.fields()?.get("msg_namelen").cloned()
}

fn change_name_size(fields: &mut Fields, before: Value) {
    fields.change("msg_namelen", |after| {
        match before.number() == after.number() {
            true => after,
            false => Value::Changed {
                addr: 0,
                before: Box::new(before),
                after: Box::new(after),
            },
        }
    });
}

const SEND_ALL: Type = Then(
    &Array(InOut, &Pick(sent_item, ITEM), Len::With(all)),
    merge_sent,
);
const SEND_ALL32: Type = Then(
    &Array(InOut, &Pick(sent_item, ITEM32), Len::With(all)),
    merge_sent,
);
const RECEIVE_ALL: Type = Then(
    &Array(InOut, &Pick(received_item, ITEM), Len::With(all)),
    merge_received,
);
const RECEIVE_ALL32: Type = Then(
    &Array(InOut, &Pick(received_item, ITEM32), Len::With(all)),
    merge_received,
);

fn mmsg_in(view: &View<'_>) -> &'static Type {
    match view.abi {
        abi::I386 => &SEND_ALL32,
        _ => &SEND_ALL,
    }
}

fn mmsg_out(view: &View<'_>) -> &'static Type {
    match view.abi {
        _ if view.ret.is_some() && !view.succeeded() => &ADDRESS,
        abi::I386 => &RECEIVE_ALL32,
        _ => &RECEIVE_ALL,
    }
}

/// As many as there are before the call, and as it says behind it.
fn all(view: &View<'_>) -> u64 {
    let given = view.arg32(2).into();
    match (view.when, view.ret) {
        (When::Exit, Some(done)) => u64::try_from(done).unwrap_or(0).min(given),
        _ => given,
    }
}

fn sent_item(view: &View<'_>) -> &'static Type {
    match view.when {
        When::Enter => const { &Struct(&MSENT) },
        When::Exit => const { &Struct(&MEXPECTED) },
    }
}

fn received_item(view: &View<'_>) -> &'static Type {
    match view.when {
        When::Enter => const { &Struct(&MEXPECTED) },
        When::Exit => const { &Struct(&MRECEIVED) },
    }
}

/// Those that have been sent say how much of them.
fn merge_sent(value: Value, _: &View<'_>) -> Value {
    let (addr, mut items, done) = match value {
        Value::Changed {
            addr,
            before,
            after,
        } => match (*before, *after) {
            (Value::Array(before), Value::Array(after)) => (addr, before, after),
            (before, _) => return before,
        },
        Value::To { addr, value } => match *value {
            Value::Array(items) => (addr, items, Items::default()),
            value => return value,
        },
        value => return value,
    };
    for (index, item) in items.items.iter_mut().enumerate() {
        let Value::Struct(fields) = item else {
            continue;
        };
        let len = done.items.get(index).and_then(Value::fields);
        match len.and_then(|item| item.get("msg_len")) {
            Some(len) => fields.change("msg_len", |_| len.clone()),
            None => fields.remove("msg_len"),
        }
    }
    Value::To {
        addr,
        value: Box::new(Value::Array(items)),
    }
}

/// As `merge_name`, for several, each with as much as it has received.
fn merge_received(value: Value, view: &View<'_>) -> Value {
    let Value::Changed {
        addr,
        before,
        after,
    } = value
    else {
        return value;
    };
    let mut after = *after;
    if let (Value::Array(before), Value::Array(after)) = (&*before, &mut after) {
        for (index, after) in after.items.iter_mut().enumerate() {
            let Value::Struct(item) = after else {
                continue;
            };
            let len = item.get("msg_len").and_then(Value::number).unwrap_or(0);
            let Some(Value::Struct(header)) = item.get_mut("msg_hdr") else {
                continue;
            };
            let before = before.items.get(index).and_then(Value::fields);
            let size = before
                .and_then(|item| item.get("msg_hdr"))
                .and_then(name_size);
            if let Some(size) = size {
                change_name_size(header, size);
            }
            share(header, len, view.limits.text);
        }
    }
    Value::To {
        addr,
        value: Box::new(after),
    }
}

/// Cuts pieces off where what has been received ends.
fn share(header: &mut Fields, mut left: u64, shown: usize) {
    let Some(Value::To { value, .. }) = header.get_mut("msg_iov") else {
        return;
    };
    let Value::Array(pieces) = &mut **value else {
        return;
    };
    for piece in &mut pieces.items {
        let Value::Struct(piece) = piece else {
            continue;
        };
        let size = piece.get("iov_len").and_then(Value::number).unwrap_or(0);
        let len = size.min(left);
        left -= len;
        if let Some(Value::To { value, .. }) = piece.get_mut("iov_base")
            && let Value::Bytes(bytes) = &mut **value
        {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            bytes.data.truncate(len);
            bytes.more = len > shown;
        }
    }
}
