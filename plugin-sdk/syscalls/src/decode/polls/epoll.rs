//! What epoll(7) is told, and what it tells.

use crate::decode::schema::prelude::*;
use crate::decode::value::Field;

use super::sets::EPOLL;

structs! {
    /// epoll_ctl(2): packed on x86, where it has the layout of i386.
    EPOLL_EVENT "epoll_event" packed { events: flags(&EPOLL), data: Special(data, 8) }
}

/// What epoll_ctl takes: nothing to remove a descriptor.
pub(super) const ADDED: Type = Pick(added, 0);
/// What epoll_wait gives.
pub(super) const EVENTS: Type = Array(Out, &Struct(&EPOLL_EVENT), Len::Ret);
const EVENT: Type = To(In, &Struct(&EPOLL_EVENT));

fn added(view: &View<'_>) -> &'static Type {
    const EPOLL_CTL_DEL: u32 = 2;
    match view.arg32(1) {
        EPOLL_CTL_DEL => &ADDRESS,
        _ => &EVENT,
    }
}

/// `union epoll_data`: two of its members.
fn data(view: &View<'_>) -> Value {
    let member = |name, width| {
        let value = view.number(0, width).unwrap_or(0);
        Field::new(name, Value::Unsigned(value))
    };
    Value::structure([member("u32", W32), member("u64", W64)])
}
