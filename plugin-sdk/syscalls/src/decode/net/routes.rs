//! Messages of rtnetlink(7): links, addresses, routes, neighbours.

mod attributes;
mod sets;

pub(super) use attributes::{ERROR_ATTRIBUTES, attributes};
pub(super) use sets::{NLM_F, NLMSG};

use alloc::vec::Vec;

use crate::decode::captured::When;
use crate::decode::read::of_bytes;
use crate::decode::schema::Set;
use crate::decode::schema::prelude::*;
use crate::decode::{Field, Fields};

use super::links::ARPHRD;
use super::netlink::hex;
use super::sets::AF;

use attributes::{
    ADDRESS_ATTRIBUTES, Attributes, LINK_ATTRIBUTES, NEIGHBOUR_ATTRIBUTES, ROUTE_ATTRIBUTES,
};
use sets::{
    IFA_F, IFF, IPTOS, NLM_F_DELETE, NLM_F_ERROR, NLM_F_GET, NLM_F_NEW, NTF, NUD, RT_SCOPE,
    RT_TABLE, RTM, RTM_F, RTN, RTPROT,
};

/// Types of messages begin here (RTM_BASE in linux/rtnetlink.h).
const BASE: u64 = 16;

const FAMILY: Type = Scalar(W8, Style::One(&AF));

const fn byte(set: &'static Set) -> Type {
    Scalar(W8, Style::One(set))
}

structs! {
    /// rtnetlink(7)
    IFINFOMSG "ifinfomsg" {
        ifi_family: FAMILY, pad: Pad(1), ifi_type: Scalar(W16, Style::One(&ARPHRD)),
        ifi_index: INTERFACE, ifi_flags: flags(&IFF), ifi_change: X32,
    }
    /// rtnetlink(7)
    IFADDRMSG "ifaddrmsg" {
        ifa_family: FAMILY, ifa_prefixlen: U8, ifa_flags: Scalar(W8, Style::Flags(&IFA_F)),
        ifa_scope: byte(&RT_SCOPE), ifa_index: INTERFACE,
    }
    /// rtnetlink(7)
    RTMSG "rtmsg" {
        rtm_family: FAMILY, rtm_dst_len: U8, rtm_src_len: U8,
        rtm_tos: Scalar(W8, Style::Flags(&IPTOS)), rtm_table: byte(&RT_TABLE),
        rtm_protocol: byte(&RTPROT), rtm_scope: byte(&RT_SCOPE), rtm_type: byte(&RTN),
        rtm_flags: flags(&RTM_F),
    }
    /// rtnetlink(7)
    NDMSG "ndmsg" {
        ndm_family: FAMILY, pad: Pad(3), ndm_ifindex: INTERFACE,
        ndm_state: Scalar(W16, Style::Flags(&NUD)), ndm_flags: Scalar(W8, Style::Flags(&NTF)),
        ndm_type: byte(&RTN),
    }
}

/// A kind of message: what it begins with, how long that is, and what follows.
struct Kind {
    head: &'static Type,
    family: &'static str,
    size: usize,
    attributes: &'static Attributes,
}

static KINDS: [Kind; 4] = [
    Kind {
        head: &Type::Struct(&IFINFOMSG),
        family: "ifi_family",
        size: 16,
        attributes: &LINK_ATTRIBUTES,
    },
    Kind {
        head: &Type::Struct(&IFADDRMSG),
        family: "ifa_family",
        size: 8,
        attributes: &ADDRESS_ATTRIBUTES,
    },
    Kind {
        head: &Type::Struct(&RTMSG),
        family: "rtm_family",
        size: 12,
        attributes: &ROUTE_ATTRIBUTES,
    },
    Kind {
        head: &Type::Struct(&NDMSG),
        family: "ndm_family",
        size: 12,
        attributes: &NEIGHBOUR_ATTRIBUTES,
    },
];

/// Whether a message may be one of rtnetlink(7): other protocols have other messages of the
/// same types, and nothing in a call says which its socket has.
pub(super) fn is_likely(ty: u64, flags: u64, data: &[u8], view: &View<'_>) -> bool {
    const NLM_F_REQUEST: u64 = 1;
    const NLM_F_REPLACE_AND_EXCL: u64 = 0x300;
    const NLM_F_CREATE: u64 = 0x400;
    const LINKS: usize = 0;
    let Some(group) = ty.checked_sub(BASE).map(|number| number / 4) else {
        return true;
    };
    // A request to make something does not ask for all of it.
    let is_new = ty.is_multiple_of(4) && flags & NLM_F_REQUEST != 0;
    if is_new && flags & (NLM_F_REPLACE_AND_EXCL | NLM_F_CREATE) == NLM_F_REPLACE_AND_EXCL {
        return false;
    }
    let group = usize::try_from(group).unwrap_or(usize::MAX);
    // Generic netlink has its version there.
    let padding = data.get(1).copied().unwrap_or(0);
    if group == LINKS && padding != 0 {
        return false;
    }
    // What the kernel sends is complete.
    match (KINDS.get(group), view.when) {
        (Some(kind), When::Exit) => data.get(kind.size..).is_some_and(attributes::are_whole),
        _ => true,
    }
}

/// Which set the type of a message is in.
pub(super) fn types(ty: u64) -> &'static Set {
    match ty {
        0..BASE => &NLMSG,
        _ => &RTM,
    }
}

/// Which set its flags are in: types are in groups of four, new, delete, get and set.
pub(super) fn message_flags(ty: u64) -> &'static Set {
    const NLMSG_ERROR: u64 = 2;
    const RTM_DELACTION: u64 = 49;
    match (ty, ty % 4) {
        (NLMSG_ERROR, _) => &NLM_F_ERROR,
        (0..BASE, _) => &NLM_F,
        (RTM_DELACTION, _) | (_, 2) => &NLM_F_GET,
        (_, 0) => &NLM_F_NEW,
        (_, 1) => &NLM_F_DELETE,
        _ => &NLM_F,
    }
}

/// What is in a message: its own structure, and attributes. All of them begin with a
/// family.
pub(super) fn payload(ty: u64, data: &[u8], view: &View<'_>) -> Option<(Value, Option<Value>)> {
    let group = usize::try_from(ty.checked_sub(BASE)? / 4).ok()?;
    let (first, behind) = data.split_first()?;
    let family = Value::One((*first).into(), &AF);
    let Some(kind) = KINDS.get(group).filter(|_| RTM.name(ty).is_some()) else {
        let mut fields = Vec::from([Field::new("family", family)]);
        if !behind.is_empty() {
            fields.push(Field::new("data", hex(behind, view)));
        }
        return Some((Value::structure(fields), None));
    };
    let Some((head, rest)) = data.split_at_checked(kind.size) else {
        let fields = Fields {
            fields: Vec::from([Field::new(kind.family, family)]),
            more: true,
        };
        return Some((Value::Struct(fields), None));
    };
    let head = of_bytes(kind.head, head, view)?;
    let rest = attributes(kind.attributes, (*first).into(), rest, view, 0);
    Some((head, rest))
}
