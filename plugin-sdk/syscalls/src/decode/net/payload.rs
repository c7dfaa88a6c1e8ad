//! What is sent and received.

use crate::decode::schema::prelude::*;

/// What send(2) sends: argument 1, as many bytes as argument 2 says.
pub(super) const SENT: Type = Bytes(In, Len::Arg(2), TEXT);
/// What recv(2) receives: at most so many, whatever it returns.
pub(super) const RECEIVED: Type = Bytes(Out, Len::With(received), TEXT);

/// With MSG_TRUNC the result is how much there was, not how much has been received.
fn received(view: &View<'_>) -> u64 {
    let whole = u64::try_from(view.ret.unwrap_or(0)).unwrap_or(0);
    whole.min(view.arg(2))
}
