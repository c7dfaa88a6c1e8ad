//! Attributes: what they are called, and what is in them (netlink(7), rtnetlink(7)).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::Fields;
use crate::decode::layout;
use crate::decode::read::of_bytes;
use crate::decode::schema::prelude::*;
use crate::decode::schema::{Look, Set};
use crate::decode::value::{Bytes as Data, Field, Items};

use crate::decode::net::address::{inet_addr_of, ipv6_text, text};
use crate::decode::net::netlink::{hex, one_or_all, with_payload};
use crate::decode::net::sets::{AF, IPPROTO};

use super::sets::{
    DEVCONF, ICMP6_MIB, IF6, IFA, IFA_F, IFLA, IFLA_EVENT, IFLA_INET, IFLA_INET6, IFLA_INFO,
    IFLA_PROTO_DOWN_REASON, IFLA_XDP, IN6_ADDR_GEN_MODE, IPSTATS_MIB, IPV4_DEVCONF, LWTUNNEL_ENCAP,
    NDA, NFEA, NLMSGERR_ATTR, NTF, NTF_EXT, NUD, RT_TABLE, RTA, RTAX, RTEXT_FILTER, RTNH_F,
    XDP_ATTACHED, XDP_FLAGS,
};

/// Attributes of some kind of message.
pub(crate) struct Attributes {
    names: &'static Set,
    payload: fn(u64) -> Payload,
}

/// What is in an attribute. What is shorter than it should be is bytes.
#[derive(Clone, Copy)]
pub(crate) enum Payload {
    /// Bytes.
    Raw,
    /// Text, with a NUL byte at its end.
    Text,
    /// Text up to a NUL byte.
    Word,
    /// The address of a network card, up to so many bytes of it.
    Link(usize),
    /// An address of the family that the message says.
    Address,
    /// Something of a known type and so many bytes, or more.
    Of(&'static Type, usize),
    /// Numbers as an array of bytes, in decimal digits.
    Each,
    /// A value of a set, in as many bytes as there are.
    Value(&'static Set),
    /// A value of a set in one byte, of at most eight.
    Byte(&'static Set),
    /// Bits of a set, in as many bytes as there are, from so many to eight.
    Bits(&'static Set, usize),
    /// Attributes.
    Nested(&'static Attributes),
    /// Numbers with names of their places, of so many bytes.
    Places(&'static [&'static str], usize),
    /// Next hops of a route.
    Hops,
    /// A family, and an address of it.
    Via,
}

use Payload::{Address, Bits, Each, Hops, Link, Nested, Of, Places, Raw, Text, Via, Word};

const NUMBER8: Payload = Of(&U8, 1);
const NUMBER16: Payload = Of(&U16, 2);
const NUMBER32: Payload = Of(&U32, 4);
const NUMBER64: Payload = Of(&U64, 8);
const INDEX: Payload = Of(&INTERFACE, 4);

/// Of an address of a card no more is shown (linux/if.h has place for 14, `ifreq` shows 6).
const LINK_ADDRESS: Payload = Link(7);

structs! {
    /// linux/if_link.h
    STATS "rtnl_link_stats" {
        rx_packets: U32, tx_packets: U32, rx_bytes: U32, tx_bytes: U32, rx_errors: U32,
        tx_errors: U32, rx_dropped: U32, tx_dropped: U32, multicast: U32, collisions: U32,
        rx_length_errors: U32, rx_over_errors: U32, rx_crc_errors: U32, rx_frame_errors: U32,
        rx_fifo_errors: U32, rx_missed_errors: U32, tx_aborted_errors: U32,
        tx_carrier_errors: U32, tx_fifo_errors: U32, tx_heartbeat_errors: U32,
        tx_window_errors: U32, rx_compressed: U32, tx_compressed: U32, rx_nohandler: U32,
    }
    /// linux/if_link.h
    STATS64 "rtnl_link_stats64" {
        rx_packets: U64, tx_packets: U64, rx_bytes: U64, tx_bytes: U64, rx_errors: U64,
        tx_errors: U64, rx_dropped: U64, tx_dropped: U64, multicast: U64, collisions: U64,
        rx_length_errors: U64, rx_over_errors: U64, rx_crc_errors: U64, rx_frame_errors: U64,
        rx_fifo_errors: U64, rx_missed_errors: U64, tx_aborted_errors: U64,
        tx_carrier_errors: U64, tx_fifo_errors: U64, tx_heartbeat_errors: U64,
        tx_window_errors: U64, rx_compressed: U64, tx_compressed: U64, rx_nohandler: U64,
        rx_otherhost_dropped: U64,
    }
    /// linux/if_link.h
    IFMAP "rtnl_link_ifmap" {
        mem_start: X64, mem_end: X64, base_addr: X64, irq: U16, dma: U8, port: U8,
    }
    /// linux/if_addr.h
    IFA_CACHEINFO "ifa_cacheinfo" { ifa_prefered: U32, ifa_valid: U32, cstamp: U32, tstamp: U32 }
    /// linux/if_link.h
    IFLA_CACHEINFO "ifla_cacheinfo" {
        max_reasm_len: U32, tstamp: U32, reachable_time: U32, retrans_time: U32,
    }
    /// linux/neighbour.h
    NDA_CACHEINFO "nda_cacheinfo" {
        ndm_confirmed: U32, ndm_used: U32, ndm_updated: U32, ndm_refcnt: U32,
    }
    /// linux/rtnetlink.h
    MFC_STATS "rta_mfc_stats" { mfcs_packets: U64, mfcs_bytes: U64, mfcs_wrong_if: U64 }
    /// rtnetlink(7)
    RTNEXTHOP "rtnexthop" {
        rtnh_len: U16, rtnh_flags: Scalar(W8, Style::Flags(&RTNH_F)), rtnh_hops: U8,
        rtnh_ifindex: INTERFACE,
    }
}

/// `struct rtnl_link_stats` without what it has grown by since.
const OLD_STATS: usize = 92;
const OLD_STATS64: usize = 184;

/// Of an interface (RTM_NEWLINK).
pub(super) static LINK_ATTRIBUTES: Attributes = Attributes {
    names: &IFLA,
    payload: |ty| match ty {
        1 | 2 | 54 => LINK_ADDRESS,
        3 | 6 | 20 | 38 | 53 | 56 | 57 => Text,
        4 | 5 | 10 | 13 | 15 | 19 | 21 | 27 | 28 | 30..=32 | 35 | 37 | 40 | 41 => NUMBER32,
        45 | 46 | 47 | 48 | 50 | 51 | 58..=61 => NUMBER32,
        7 => Of(const { &Struct(&STATS) }, OLD_STATS),
        14 => Of(const { &Struct(&IFMAP) }, 28),
        16 | 17 | 33 | 39 => NUMBER8,
        18 => Nested(&LINK_INFO),
        23 => Of(const { &Struct(&STATS64) }, OLD_STATS64),
        26 => Nested(&BY_FAMILY),
        29 => Bits(&RTEXT_FILTER, 4),
        43 => Nested(&XDP),
        44 => Of(const { &one(&IFLA_EVENT) }, 4),
        49 => INDEX,
        52 => Nested(&OTHER_NAMES),
        55 => Nested(&DOWN),
        _ => Raw,
    },
};

static OTHER_NAMES: Attributes = Attributes {
    names: &IFLA,
    payload: |ty| match ty {
        53 => Text,
        _ => Raw,
    },
};

static DOWN: Attributes = Attributes {
    names: &IFLA_PROTO_DOWN_REASON,
    payload: |ty| match ty {
        1 | 2 => Of(&X32, 4),
        _ => Raw,
    },
};

static LINK_INFO: Attributes = Attributes {
    names: &IFLA_INFO,
    payload: |ty| match ty {
        1 | 4 => Word,
        _ => Raw,
    },
};

static XDP: Attributes = Attributes {
    names: &IFLA_XDP,
    payload: |ty| match ty {
        1 | 8 => Of(&FD, 4),
        2 => Payload::Value(&XDP_ATTACHED),
        3 => Of(const { &flags(&XDP_FLAGS) }, 4),
        4..=7 => NUMBER32,
        _ => Raw,
    },
};

static BY_FAMILY: Attributes = Attributes {
    names: &AF,
    payload: |family| match family {
        2 => Nested(&OF_INET),
        10 => Nested(&OF_INET6),
        _ => Raw,
    },
};

static OF_INET: Attributes = Attributes {
    names: &IFLA_INET,
    payload: |ty| match ty {
        1 => Places(IPV4_DEVCONF, 4),
        _ => Raw,
    },
};

static OF_INET6: Attributes = Attributes {
    names: &IFLA_INET6,
    payload: |ty| match ty {
        1 => Bits(&IF6, 4),
        2 => Places(DEVCONF, 4),
        3 => Places(IPSTATS_MIB, 8),
        5 => Of(const { &Struct(&IFLA_CACHEINFO) }, 16),
        6 => Places(ICMP6_MIB, 8),
        7 => Of(&Special(ipv6, 16), 16),
        8 => Payload::Byte(&IN6_ADDR_GEN_MODE),
        9 => NUMBER32,
        _ => Raw,
    },
};

/// Of an address of an interface (RTM_NEWADDR).
pub(super) static ADDRESS_ATTRIBUTES: Attributes = Attributes {
    names: &IFA,
    payload: |ty| match ty {
        1 | 2 | 4 | 5 | 7 => Address,
        3 => Text,
        6 => Of(const { &Struct(&IFA_CACHEINFO) }, 16),
        8 => Of(const { &flags(&IFA_F) }, 4),
        9 | 10 => NUMBER32,
        _ => Raw,
    },
};

/// Of a route (RTM_NEWROUTE).
pub(super) static ROUTE_ATTRIBUTES: Attributes = Attributes {
    names: &RTA,
    payload: |ty| match ty {
        1 | 2 | 5 | 7 | 19 => Address,
        3 | 4 => INDEX,
        6 | 10 | 11 | 14 | 16 | 25 => NUMBER32,
        8 => Nested(&METRICS),
        9 => Hops,
        15 => Of(const { &one(&RT_TABLE) }, 4),
        17 => Of(const { &Struct(&MFC_STATS) }, 24),
        18 => Via,
        20 | 26 | 27 => NUMBER8,
        21 => Of(const { &Scalar(W16, Style::One(&LWTUNNEL_ENCAP)) }, 2),
        23 => NUMBER64,
        28 | 29 => NUMBER16,
        _ => Raw,
    },
};

static METRICS: Attributes = Attributes {
    names: &RTAX,
    payload: |ty| match ty {
        1..=15 => NUMBER32,
        16 => Text,
        _ => Raw,
    },
};

/// Of a neighbour (RTM_NEWNEIGH).
pub(super) static NEIGHBOUR_ATTRIBUTES: Attributes = Attributes {
    names: &NDA,
    payload: |ty| match ty {
        1 => Address,
        2 => Link(usize::MAX),
        3 => Of(const { &Struct(&NDA_CACHEINFO) }, 16),
        4 | 7 | 10 | 11 | 13 => NUMBER32,
        5 => NUMBER16,
        6 => Of(&PORT, 2),
        8 | 9 => INDEX,
        12 => Payload::Value(&IPPROTO),
        14 => Nested(&FDB),
        15 => Bits(&NTF_EXT, 4),
        16 => Bits(&NUD, 2),
        17 => Bits(&NTF, 1),
        _ => Raw,
    },
};

static FDB: Attributes = Attributes {
    names: &NFEA,
    payload: |_| Raw,
};

/// Of an answer (NLMSG_ERROR).
pub(crate) static ERROR_ATTRIBUTES: Attributes = Attributes {
    names: &NLMSGERR_ATTR,
    payload: |ty| match ty {
        1 => Text,
        2 => NUMBER32,
        3 => Each,
        _ => Raw,
    },
};

/// Attributes in attributes: more than any message has.
const MAX_DEPTH: u32 = 8;
/// `struct nlattr`
const HEADER: usize = 4;

/// All attributes that are in these bytes; nothing if there are no bytes.
pub(crate) fn attributes(
    of: &'static Attributes,
    family: u64,
    mut rest: &[u8],
    view: &View<'_>,
    depth: u32,
) -> Option<Value> {
    if rest.is_empty() {
        return None;
    }
    let mut items = Items::default();
    while !rest.is_empty() {
        if rest.len() < HEADER {
            items.items.push(hex(rest, view));
            break;
        }
        if items.items.len() == view.limits.items {
            items.more = Some(0);
            break;
        }
        let number = |offset| layout::number(rest, offset, 2).unwrap_or(0);
        let (len, raw) = (number(0), number(2));
        let len = usize::try_from(len).unwrap_or(0);
        let data = rest.get(HEADER..len.min(rest.len())).unwrap_or_default();
        items
            .items
            .push(attribute(of, family, (len, raw), data, view, depth));
        if len < HEADER {
            break;
        }
        rest = rest.get(len.next_multiple_of(HEADER)..).unwrap_or_default();
    }
    Some(one_or_all(items))
}

/// Whether these bytes are attributes, one after the other.
pub(super) fn are_whole(mut rest: &[u8]) -> bool {
    while rest.len() >= HEADER {
        let len = layout::number(rest, 0, 2).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(0);
        if len < HEADER || len > rest.len() {
            return false;
        }
        rest = rest.get(len.next_multiple_of(HEADER)..).unwrap_or_default();
    }
    true
}

fn attribute(
    of: &'static Attributes,
    family: u64,
    (len, raw): (usize, u64),
    data: &[u8],
    view: &View<'_>,
    depth: u32,
) -> Value {
    const TYPE: u64 = 0x3fff;
    let ty = raw & TYPE;
    let head = Value::structure([
        Field::new("nla_len", Value::Unsigned(len as u64)),
        Field::new("nla_type", type_of(raw, ty, of.names)),
    ]);
    let payload = match data.is_empty() {
        true => None,
        false => Some(
            contents((of.payload)(ty), family, data, view, depth)
                .unwrap_or_else(|| hex(data, view)),
        ),
    };
    with_payload(head, payload)
}

/// `NLA_F_NESTED|IFLA_IFNAME`
fn type_of(raw: u64, ty: u64, names: &'static Set) -> Value {
    const FLAGS: [(u64, &str); 2] = [(0x8000, "NLA_F_NESTED|"), (0x4000, "NLA_F_NET_BYTEORDER|")];
    if raw == ty {
        return Value::One(ty, names);
    }
    let set = FLAGS.iter().filter(|(bit, _)| raw & bit != 0);
    let mut text: String = set.map(|(_, name)| *name).collect();
    match names.name(ty) {
        Some(name) => text.push_str(name),
        None => text.push_str(&format!("{ty:#x} /* {} */", names.unknown)),
    }
    Value::Named(raw, text.into())
}

fn contents(
    payload: Payload,
    family: u64,
    data: &[u8],
    view: &View<'_>,
    depth: u32,
) -> Option<Value> {
    // A number of as many bytes as there are.
    let number = |least| {
        let fits = (least..=8).contains(&data.len());
        fits.then(|| layout::number(data, 0, data.len())).flatten()
    };
    match payload {
        Raw => None,
        Text => Some(terminated(data, view)),
        Word => {
            let end = data.iter().position(|byte| *byte == 0);
            let word = end.and_then(|end| data.get(..=end));
            Some(terminated(word.unwrap_or(data), view))
        }
        Link(most) => Some(text(data.get(..most).unwrap_or(data), Look::Colons)),
        Address => address(family, data),
        Of(ty, least) if data.len() >= least => {
            let mut value = of_bytes(ty, data, view)?;
            // What a structure has grown by may be missing.
            if let Value::Struct(fields) = &mut value {
                fields.more = false;
            }
            Some(value)
        }
        Of(..) => None,
        Each => Some(Value::Array(Items {
            items: data
                .iter()
                .map(|byte| Value::Unsigned((*byte).into()))
                .collect(),
            more: None,
            missing: false,
        })),
        Payload::Value(set) => Some(Value::One(number(1)?, set)),
        Payload::Byte(set) => Some(Value::One(number(1)? & 0xff, set)),
        Bits(set, least) => Some(Value::Flags(number(least)? & bits_of(least), set)),
        Nested(of) if depth < MAX_DEPTH => attributes(of, family, data, view, depth + 1),
        Nested(_) => None,
        Places(names, size) => places(names, size, data, view),
        Hops => hops(family, data, view, depth),
        Via => via(data),
    }
}

/// What is behind the bytes that are needed does not count.
fn bits_of(least: usize) -> u64 {
    match least {
        1 => 0xff,
        2 => 0xffff,
        _ => 0xffff_ffff,
    }
}

/// Text, as much as is shown of it.
fn terminated(data: &[u8], view: &View<'_>) -> Value {
    let shown = data.get(..view.limits.text).unwrap_or(data);
    let is_whole = data.len() <= view.limits.text && data.last() == Some(&0);
    Value::Bytes(Data {
        data: shown.to_vec(),
        more: !is_whole,
        whole: false,
        look: if is_whole {
            Look::Terminated
        } else {
            Look::Text
        },
    })
}

fn address(family: u64, data: &[u8]) -> Option<Value> {
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    match family {
        AF_INET => inet_addr_of(data),
        AF_INET6 => {
            let address = ipv6_text(data)?;
            Some(Value::Call(
                "inet_pton",
                Vec::from([
                    Value::One(AF_INET6, &AF),
                    text(address.as_bytes(), Look::Text),
                ]),
            ))
        }
        _ => None,
    }
}

fn ipv6(view: &View<'_>) -> Value {
    const AF_INET6: u64 = 10;
    address(AF_INET6, view.bytes).unwrap_or(Value::Address(0))
}

/// `[[DEVCONF_FORWARDING]=0, [DEVCONF_HOPLIMIT]=64]`
fn places(
    names: &'static [&'static str],
    size: usize,
    data: &[u8],
    view: &View<'_>,
) -> Option<Value> {
    let all = data.chunks_exact(size);
    let count = all.len();
    if count == 0 {
        return None;
    }
    let value = |part| {
        let number = layout::number(part, 0, size).unwrap_or(0);
        match size {
            4 => Value::Signed((number as u32).cast_signed().into()),
            _ => Value::Unsigned(number),
        }
    };
    let named = names.iter().zip(all).take(view.limits.items);
    let fields: Vec<Field> = named
        .map(|(name, part)| Field::new(name, value(part)))
        .collect();
    let more = fields.len() < count;
    Some(Value::Table(Fields { fields, more }))
}

/// Next hops, each with attributes of its own.
fn hops(family: u64, mut rest: &[u8], view: &View<'_>, depth: u32) -> Option<Value> {
    const SIZE: usize = 8;
    if rest.len() < SIZE || depth >= MAX_DEPTH {
        return None;
    }
    let mut items = Items::default();
    while rest.len() >= SIZE {
        if items.items.len() == view.limits.items {
            items.more = Some(0);
            break;
        }
        let len = usize::try_from(layout::number(rest, 0, 2)?).ok()?;
        let head = of_bytes(const { &Struct(&RTNEXTHOP) }, rest.get(..SIZE)?, view)?;
        let data = rest.get(SIZE..len.min(rest.len())).unwrap_or_default();
        let inside = attributes(&ROUTE_ATTRIBUTES, family, data, view, depth + 1);
        items.items.push(with_payload(head, inside));
        if len < SIZE {
            break;
        }
        rest = rest.get(len.next_multiple_of(HEADER)..).unwrap_or_default();
    }
    Some(one_or_all(items))
}

/// linux/rtnetlink.h, `struct rtvia`
fn via(data: &[u8]) -> Option<Value> {
    const AF_INET6: u64 = 10;
    let family = layout::number(data, 0, 2)?;
    let mut fields = Vec::from([Field::new("rtvia_family", Value::One(family, &AF))]);
    let data = data.get(2..).unwrap_or_default();
    if !data.is_empty() {
        let known = match family {
            AF_INET6 => super::super::address::inet_pton(data, "&rtvia_addr")
                .map(|value| Field::new("", value)),
            _ => address(family, data).map(|value| Field::new("rtvia_addr", value)),
        };
        let raw = || Field::new("rtvia_addr", text(data, Look::Hex));
        fields.push(known.unwrap_or_else(raw));
    }
    Some(Value::structure(fields))
}
