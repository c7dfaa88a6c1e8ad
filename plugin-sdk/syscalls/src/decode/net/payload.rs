//! What is sent and received.

use crate::decode::schema::Look;
use crate::decode::schema::prelude::*;
use crate::decode::value::Bytes as Data;

use super::netlink::{is_likely, messages};

/// What send(2) sends: argument 1, as many bytes as argument 2 says.
pub(super) const SENT: Type = Sized(In, Len::With(beginning), &Pick(sent, 0));
/// What recv(2) receives: at most so many, whatever it returns.
pub(super) const RECEIVED: Type = Bytes(Out, Len::With(received), TEXT);

/// With MSG_TRUNC the result is how much there was, not how much has been received.
fn received(view: &View<'_>) -> u64 {
    let whole = u64::try_from(view.ret.unwrap_or(0)).unwrap_or(0);
    whole.min(view.arg(2))
}

/// So much shows whether there are messages of netlink(7), and is enough of others.
fn beginning(view: &View<'_>) -> u64 {
    const HEADER: usize = 16;
    let shown = view.limits.text.saturating_add(1).max(HEADER);
    view.arg(2).min(shown as u64)
}

const LIMIT: u64 = 64 << 10;

fn whole(view: &View<'_>) -> u64 {
    view.arg(2).min(LIMIT)
}

const MESSAGES: Type = Again(Len::With(whole), &Pick(all_or_none, 0));

/// An address of 12 bytes is one of netlink(7) (`struct sockaddr_nl`); a socket that is
/// connected needs none.
fn sent(view: &View<'_>) -> &'static Type {
    const SOCKADDR_NL: u32 = 12;
    if view.is_cut() {
        return &Absent;
    }
    let named = view.arg32(5) == SOCKADDR_NL;
    let may_be = named || view.arg(4) == 0;
    match may_be && is_likely(view.bytes, view.arg(2), !named) {
        true => &MESSAGES,
        false => &Special(text, 0),
    }
}

fn all_or_none(view: &View<'_>) -> &'static Type {
    match view.is_cut() {
        true => &Absent,
        false => &Special(messages, 0),
    }
}

/// As `Bytes` has them.
fn text(view: &View<'_>) -> Value {
    let shown = view.bytes.get(..view.limits.text).unwrap_or(view.bytes);
    Value::Bytes(Data {
        data: shown.to_vec(),
        more: (shown.len() as u64) < view.arg(2),
        whole: false,
        look: Look::Text,
    })
}

/// A piece of a message that has been sent to an address of netlink(7).
pub(super) const PIECE_IN: Type = Sized(In, Len::Field("iov_len"), &Pick(piece, 0));
/// One that has been received from there.
pub(super) const PIECE_OUT: Type = Sized(Out, Len::Shared("iov_len"), &Pick(piece, 0));

fn piece(view: &View<'_>) -> &'static Type {
    match view.is_cut() {
        true => &Absent,
        false if is_likely(view.bytes, view.bytes.len() as u64, false) => &Special(messages, 0),
        false => &Special(text_of_piece, 0),
    }
}

fn text_of_piece(view: &View<'_>) -> Value {
    let shown = view.bytes.get(..view.limits.text).unwrap_or(view.bytes);
    Value::Bytes(Data {
        data: shown.to_vec(),
        more: shown.len() < view.bytes.len(),
        whole: false,
        look: Look::Text,
    })
}
