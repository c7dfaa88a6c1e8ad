//! Values of options of sockets.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::abi;
use crate::decode::layout;
use crate::decode::schema::prelude::*;
use crate::decode::schema::{Look, sets};
use crate::decode::value::{Bytes as Data, Field};
use crate::decode::{Fields, Items};
use crate::errno;

use super::address::{INET_ADDR, SOCKADDR, inet_pton, nameless};
use super::filter::{self, SOCKET_FILTER};
use super::links::PACKET_MR;

/// What setsockopt(2) sets: argument 3, as many bytes as argument 4 says.
pub(super) const SET: Type = Pick(set, 0);
/// What getsockopt(2) gets: argument 3, as many bytes as argument 4 leads to.
pub(super) const GET: Type = Pick(get, 0);

const SOL_IP: u32 = 0;
const SOL_SOCKET: u32 = 1;
const SOL_IPV6: u32 = 41;
const SOL_RAW: u32 = 255;
const SOL_PACKET: u32 = 263;
const SOL_NETLINK: u32 = 270;

sets! {
    /// linux/socket.h
    TXREHASH "SOCK_TXREHASH_???" {
        SOCK_TXREHASH_DEFAULT = 255, SOCK_TXREHASH_DISABLED = 0, SOCK_TXREHASH_ENABLED = 1,
    }
    /// linux/icmp.h
    ICMP "ICMP_???" {
        ICMP_ECHOREPLY = 0, ICMP_DEST_UNREACH = 3, ICMP_SOURCE_QUENCH = 4, ICMP_REDIRECT = 5,
        ICMP_ECHO = 8, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETERPROB = 12, ICMP_TIMESTAMP = 13,
        ICMP_TIMESTAMPREPLY = 14, ICMP_INFO_REQUEST = 15, ICMP_INFO_REPLY = 16,
        ICMP_ADDRESS = 17, ICMP_ADDRESSREPLY = 18,
    }
}

structs! {
    /// socket(7)
    LINGER "linger" { l_onoff: I32, l_linger: I32 }
    /// unix(7)
    UCRED "ucred" { pid: PID, uid: UID, gid: UID }
    /// ip(7)
    IP_MREQ "ip_mreq" { imr_multiaddr: INET_ADDR, imr_interface: INET_ADDR }
    /// ipv6(7)
    IPV6_MREQ "ipv6_mreq" (arrange_mreq) {
        ipv6mr_multiaddr: Special(multicast_address, 16), ipv6mr_interface: INTERFACE,
    }
    /// linux/in.h
    GROUP_REQ "group_req" {
        gr_interface: INTERFACE, padding: Pad(4), gr_group: SOCKADDR,
    }
    /// packet(7)
    PACKET_MREQ "packet_mreq" {
        mr_ifindex: INTERFACE, mr_type: Scalar(W16, Style::One(&PACKET_MR)), mr_alen: U16,
        mr_address: Special(link_address, 8),
    }
    /// packet(7)
    TPACKET_REQ "tpacket_req" {
        tp_block_size: U32, tp_block_nr: U32, tp_frame_size: U32, tp_frame_nr: U32,
    }
    /// packet(7), and `tpacket_stats_v3` in linux/if_packet.h
    TPACKET_STATS "tpacket_stats_v3" { tp_packets: U32, tp_drops: U32, tp_freeze_q_cnt: U32 }
}

/// Options of SOL_SOCKET that are an `int` whatever their size is.
fn is_number(option: u32) -> bool {
    matches!(
        option,
        1 | 2 | 5..=12 | 14..=16 | 18 | 19 | 27 | 29 | 30 | 32..=37 | 40..=46 | 49 | 53 | 56 | 60
            | 63..=65 | 68..=70 | 73 | 75
    )
}

const NUMBER: Type = To(In, &I32);
const REHASH_IN: Type = To(In, &Special(rehash, 4));
const BYTES: Type = Bytes(In, Len::With(given), TEXT);
const MULTICAST: Type = To(In, &Struct(&IP_MREQ));
const MULTICAST6: Type = To(In, &Struct(&IPV6_MREQ));
const LINGER_IN: Type = To(In, &Struct(&LINGER));
const FILTER: Type = To(In, &Struct(&SOCKET_FILTER));
const MEMBERSHIP: Type = To(In, &Struct(&PACKET_MREQ));
const RING: Type = To(In, &Struct(&TPACKET_REQ));
const GROUP: Type = Sized(In, Len::Fixed(GROUP_SIZE as u32), &Pick(group, 0));
const ICMP_FILTER: Type = Sized(In, Len::With(size_of_filter), &Pick(icmp_filter, 0));

/// `struct group_req` on x86_64.
const GROUP_SIZE: usize = 136;

/// `struct icmp_filter` has four bytes.
fn size_of_filter(view: &View<'_>) -> u64 {
    given(view).min(4)
}

fn given(view: &View<'_>) -> u64 {
    view.arg32(4).into()
}

fn set(view: &View<'_>) -> &'static Type {
    let len = view.arg32(4).cast_signed();
    let at_least = |least, ty| if len >= least { ty } else { &ADDRESS };
    let exactly = |size, ty| if len == size { ty } else { &ADDRESS };
    let filter_size = if view.abi == abi::I386 { 8 } else { 16 };
    match (view.arg32(1), view.arg32(2)) {
        (SOL_SOCKET, 13) => at_least(8, &LINGER_IN),
        (SOL_SOCKET, 26 | 51) => exactly(filter_size, &FILTER),
        (SOL_SOCKET, 74) => at_least(4, &REHASH_IN),
        (SOL_SOCKET, option) if is_number(option) => at_least(4, &NUMBER),
        (SOL_NETLINK, _) => at_least(4, &NUMBER),
        (SOL_IP, 35 | 36) => at_least(8, &MULTICAST),
        (SOL_IPV6, 20 | 21 | 27 | 28) => at_least(20, &MULTICAST6),
        (SOL_IP | SOL_IPV6, 42 | 45) => at_least(GROUP_SIZE as i32, &GROUP),
        (SOL_PACKET, 1 | 2) => exactly(16, &MEMBERSHIP),
        (SOL_PACKET, 5 | 13) => exactly(16, &RING),
        (SOL_RAW, 1) => at_least(1, &ICMP_FILTER),
        _ if len == 4 => &NUMBER,
        _ => &BYTES,
    }
}

fn get(view: &View<'_>) -> &'static Type {
    const fn sized(of: &'static Type) -> Type {
        Sized(Out, Len::At(4), of)
    }
    match (view.arg32(1), view.arg32(2)) {
        (SOL_SOCKET, 4) => const { &sized(&Pick(error, 0)) },
        (SOL_SOCKET, 13) => const { &sized(&Pick(linger, 0)) },
        (SOL_SOCKET, 17) => const { &sized(&Pick(ucred, 0)) },
        // Its size is that of the program, in instructions.
        (SOL_SOCKET, 26) => &filter::GOT,
        (SOL_SOCKET, 74) => const { &sized(&Pick(rehash_got, 0)) },
        (SOL_SOCKET, option) if is_number(option) => const { &sized(&Pick(number, 0)) },
        (SOL_NETLINK, 9) => const { &sized(&Pick(memberships, 0)) },
        (SOL_NETLINK, _) => const { &sized(&Pick(netlink, 0)) },
        (SOL_PACKET, 6) => const { &sized(&Pick(statistics, 0)) },
        (SOL_RAW, 1) => const { &sized(&Pick(icmp_filter, 0)) },
        _ => const { &sized(&Pick(other, 0)) },
    }
}

/// Nothing of what is empty, or not all there.
fn unless_empty(view: &View<'_>, ty: &'static Type) -> &'static Type {
    let is_negative = view.size >= 1 << 31;
    match view.bytes.is_empty() || view.is_cut() || is_negative {
        true => &Absent,
        false => ty,
    }
}

/// A number, or bytes of what is shorter.
fn number(view: &View<'_>) -> &'static Type {
    match view.bytes.len() {
        4.. => unless_empty(view, &I32),
        _ => unless_empty(view, &Special(hex, 0)),
    }
}

fn error(view: &View<'_>) -> &'static Type {
    match view.bytes.len() {
        4.. => unless_empty(view, &Special(error_number, 4)),
        _ => number(view),
    }
}

fn rehash_got(view: &View<'_>) -> &'static Type {
    match view.bytes.len() {
        4.. => unless_empty(view, &Special(rehash, 4)),
        _ => number(view),
    }
}

fn linger(view: &View<'_>) -> &'static Type {
    unless_empty(view, &Special(of_linger, 0))
}

fn ucred(view: &View<'_>) -> &'static Type {
    unless_empty(view, &Special(of_ucred, 0))
}

fn statistics(view: &View<'_>) -> &'static Type {
    unless_empty(view, &Special(of_statistics, 0))
}

fn icmp_filter(view: &View<'_>) -> &'static Type {
    unless_empty(view, &Special(of_icmp_filter, 0))
}

fn memberships(view: &View<'_>) -> &'static Type {
    unless_empty(view, &Special(of_memberships, 0))
}

fn netlink(view: &View<'_>) -> &'static Type {
    match view.bytes.len() {
        4.. => unless_empty(view, &I32),
        _ => unless_empty(view, &Special(short_number, 0)),
    }
}

fn other(view: &View<'_>) -> &'static Type {
    match view.bytes.len() {
        4 => unless_empty(view, &I32),
        _ => unless_empty(view, &Special(beginning, 0)),
    }
}

fn bytes(data: &[u8], more: bool, look: Look) -> Value {
    Value::Bytes(Data {
        data: data.to_vec(),
        more,
        whole: false,
        look,
    })
}

fn hex(view: &View<'_>) -> Value {
    bytes(view.bytes, false, Look::Hex)
}

/// As much as is shown of what is long.
fn beginning(view: &View<'_>) -> Value {
    let shown = view.bytes.get(..view.limits.text).unwrap_or(view.bytes);
    bytes(shown, shown.len() < view.bytes.len(), Look::Text)
}

fn short_number(view: &View<'_>) -> Value {
    let mut whole = [0; 4];
    for (to, from) in whole.iter_mut().zip(view.bytes) {
        *to = *from;
    }
    Value::Signed(i32::from_le_bytes(whole).into())
}

fn number32(view: &View<'_>) -> u32 {
    view.number(0, W32).unwrap_or(0) as u32
}

/// `ECONNREFUSED`
fn error_number(view: &View<'_>) -> Value {
    let number = number32(view);
    match errno::name(number).or_else(|| errno::restart_name(number)) {
        Some(name) => Value::Named(number.into(), name.into()),
        None => Value::Unsigned(number.into()),
    }
}

fn rehash(view: &View<'_>) -> Value {
    let number = number32(view);
    match TXREHASH.name(number.into()) {
        Some(_) => Value::One(number.into(), &TXREHASH),
        None => {
            let number = Value::Signed(number.cast_signed().into());
            Value::Comment(Box::new(number), String::from(TXREHASH.unknown))
        }
    }
}

fn of_linger(view: &View<'_>) -> Value {
    beginning_of(&LINGER, view)
}

fn of_ucred(view: &View<'_>) -> Value {
    beginning_of(&UCRED, view)
}

fn of_statistics(view: &View<'_>) -> Value {
    beginning_of(&TPACKET_STATS, view)
}

/// A structure of numbers of 32 bits, as far as the caller has wanted it: what is left of
/// a number as bytes.
fn beginning_of(structure: &'static crate::decode::schema::Struct, view: &View<'_>) -> Value {
    let parts = view.bytes.chunks(4);
    let fields = structure.fields.iter().zip(parts).map(|(field, part)| {
        let value = match (&field.ty, layout::number(part, 0, 4)) {
            (Scalar(width, style), Some(value)) => {
                crate::decode::scalar(value, *width, *style, view.abi)
            }
            _ => bytes(part, false, Look::Hex),
        };
        Field::new(field.name, value)
    });
    Value::Struct(Fields {
        fields: fields.collect(),
        more: false,
    })
}

fn of_memberships(view: &View<'_>) -> Value {
    let all = view.bytes.chunks_exact(4);
    let count = all.len();
    let number = |part| Value::Unsigned(layout::number(part, 0, 4).unwrap_or(0));
    Value::Array(Items {
        items: all.take(view.limits.items).map(number).collect(),
        more: (count > view.limits.items).then_some(0),
        missing: false,
    })
}

/// Kinds of messages that are left out (raw(7)): `[ICMP_ECHO 0x9 /* ICMP_??? */]`.
fn of_icmp_filter(view: &View<'_>) -> Value {
    // What is missing counts as set.
    let mut whole = [0xff; 4];
    for (to, from) in whole.iter_mut().zip(view.bytes) {
        *to = *from;
    }
    let filter = u32::from_le_bytes(whole);
    let most = filter.count_ones() > 16;
    let shown = if most { !filter } else { filter };
    let mut text = String::from(if most { "~[" } else { "[" });
    for bit in (0..32_u32).filter(|bit| shown >> bit & 1 != 0) {
        if !text.ends_with('[') {
            text.push(' ');
        }
        match ICMP.name(bit.into()) {
            Some(name) => text.push_str(name),
            None => text.push_str(&format!("{bit:#x} /* {} */", ICMP.unknown)),
        }
    }
    text.push(']');
    Value::Plain(text.into())
}

fn multicast_address(view: &View<'_>) -> Value {
    inet_pton(view.bytes, "&ipv6mr_multiaddr").unwrap_or(Value::Address(0))
}

/// The call names the field.
fn arrange_mreq(fields: &mut Fields, _: &View<'_>) {
    nameless(fields, "ipv6mr_multiaddr");
}

fn group(view: &View<'_>) -> &'static Type {
    unless_empty(view, const { &Struct(&GROUP_REQ) })
}

fn link_address(view: &View<'_>) -> Value {
    let len = usize::try_from(view.field("mr_alen").unwrap_or(0)).unwrap_or(0);
    let shown = view.bytes.get(..len).unwrap_or(view.bytes);
    bytes(shown, false, Look::Colons)
}
