//! Sockets and network interfaces (socket(7), netdevice(7), linux/sockios.h, linux/if.h).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::common::{done, terminated};
use crate::decode::net::links::ARPHRD;
use crate::decode::net::sets::AF;
use crate::decode::schema::{prelude::*, sets};
use crate::decode::{Bytes as Text_, Fields};

use super::arguments::arguments;

sets! {
    /// linux/if.h
    INTERFACE "IFF_???" {
        IFF_UP = 0x1, IFF_BROADCAST = 0x2, IFF_DEBUG = 0x4, IFF_LOOPBACK = 0x8,
        IFF_POINTOPOINT = 0x10, IFF_NOTRAILERS = 0x20, IFF_RUNNING = 0x40, IFF_NOARP = 0x80,
        IFF_PROMISC = 0x100, IFF_ALLMULTI = 0x200, IFF_MASTER = 0x400, IFF_SLAVE = 0x800,
        IFF_MULTICAST = 0x1000, IFF_PORTSEL = 0x2000, IFF_AUTOMEDIA = 0x4000,
        IFF_DYNAMIC = 0x8000,
    }
}

/// IFNAMSIZ in linux/if.h.
const NAME_LEN: u32 = 16;

/// The name of an interface, of which all bytes show.
fn bridge(view: &View<'_>) -> Value {
    let end = view.bytes.iter().position(|byte| *byte == 0);
    let len = end.unwrap_or(view.bytes.len());
    text(view.bytes.get(..len).unwrap_or_default(), end.is_none())
}

fn text(data: &[u8], more: bool) -> Value {
    Value::Bytes(Text_ {
        data: Vec::from(data),
        more,
        whole: false,
        look: TEXT,
    })
}

const NAME: Type = Special(terminated, NAME_LEN);

/// An address as the family says, of as many bytes as a `struct sockaddr` has.
fn address_type(view: &View<'_>) -> &'static Type {
    match view.number(0, W16) {
        Some(1) => const { &Struct(&UNIX) },
        Some(2) => const { &Struct(&INET) },
        _ => const { &Struct(&OTHER) },
    }
}

const ADDRESS_OF_SOCKET: Type = Pick(address_type, 16);

fn dotted(view: &View<'_>) -> Value {
    let bytes: Vec<String> = view.bytes.iter().map(|byte| format!("{byte}")).collect();
    let text = bytes.join(".");
    Value::Call("inet_addr", Vec::from([self::text(text.as_bytes(), false)]))
}

/// An address of hardware, as many bytes as its type has (linux/if_arp.h, and the
/// headers of each).
fn hardware(view: &View<'_>) -> Value {
    let family = view.field("sa_family").unwrap_or(0);
    let len = match family {
        0 | 3 => 7,
        1 | 6 | 772 | 774 | 780 | 801 | 802 | 803 => 6,
        7 | 290 | 773 | 820 | 821 | 822 => 1,
        15 => 2,
        27 | 804 | 805 | 825 | 826 => 8,
        270 | 271 => 5,
        768 | 776 | 777 | 778 | 779 | 783 => 4,
        _ => 14,
    };
    let bytes = view.bytes.iter().take(len);
    let text: Vec<String> = bytes.map(|byte| format!("{byte:02x}")).collect();
    Value::Plain(text.join(":").into())
}

structs! {
    INET "sockaddr_in" {
        sa_family: Scalar(W16, Style::One(&AF)), sin_port: PORT,
        sin_addr: Special(dotted, 4), end: Pad(8),
    }
    UNIX "sockaddr_un" { sa_family: Scalar(W16, Style::One(&AF)), sun_path: Chars(14) }
    OTHER "sockaddr" {
        sa_family: Scalar(W16, Style::One(&AF)), sa_data: Raw(14, TEXT),
    }
    HARDWARE_ADDRESS "sockaddr" {
        sa_family: Scalar(W16, Style::One(&ARPHRD)), sa_data: Special(hardware, 14),
    }
    IFMAP "ifmap" {
        mem_start: XLONG, mem_end: XLONG, base_addr: X16, irq: X8, dma: X8, port: X8, end: Pad(3),
    }
}

/// Declares a `struct ifreq` by a member of its union.
macro_rules! requests {
    ($($set:ident $field:ident: $ty:expr, $pad:literal;)*) => {
        structs! {$(
            $set "ifreq" { ifr_name: NAME, $field: $ty, end: Pad($pad) }
        )*}
    };
}

structs! {
    NAMED "ifreq" { ifr_name: NAME, end: Pad(24) }
    BY_INDEX "ifreq" (arrange_by_index) { ifr_name: NAME, ifr_ifindex: I32, end: Pad(20) }
    BRIDGED "ifreq" (arrange_bridged) { ifr_name: NAME, ifr_ifindex: U32, end: Pad(20) }
}

requests! {
    FLAGS ifr_flags: Scalar(W16, Style::Flags(&INTERFACE)), 22;
    ADDR ifr_addr: ADDRESS_OF_SOCKET, 8;
    NETMASK ifr_netmask: ADDRESS_OF_SOCKET, 8;
    BROADADDR ifr_broadaddr: ADDRESS_OF_SOCKET, 8;
    DSTADDR ifr_dstaddr: ADDRESS_OF_SOCKET, 8;
    HWADDR ifr_hwaddr: Struct(&HARDWARE_ADDRESS), 8;
    METRIC ifr_metric: I32, 20;
    MTU ifr_mtu: I32, 20;
    INDEX ifr_ifindex: I32, 20;
    QLEN ifr_qlen: I32, 20;
    SLAVE ifr_slave: NAME, 8;
    NEWNAME ifr_newname: NAME, 8;
    MAP ifr_map: Struct(&IFMAP), 0;
}

fn arrange_by_index(fields: &mut Fields, view: &View<'_>) {
    fields.order(match view.succeeded() {
        true => &["ifr_ifindex", "ifr_name"],
        false => &["ifr_ifindex"],
    });
}

fn arrange_bridged(fields: &mut Fields, _: &View<'_>) {
    fields.order(&["ifr_ifindex"]);
}

/// A request that asks for a member of the union: the name is known before.
macro_rules! asked {
    ($set:ident) => {
        done!(To(Out, &Struct(&$set)), else To(InOut, &Struct(&NAMED)))
    };
}

structs! {
    IFCONF "ifconf" {
        ifc_len: I32, ifc_buf: Array(Out, &Struct(&ADDR), Len::With(addresses)),
    }
}

const IFREQ_SIZE: u64 = 40;

fn addresses(view: &View<'_>) -> u64 {
    view.field("ifc_len").unwrap_or(0) / IFREQ_SIZE
}

/// Bytes, and how many requests that are.
fn length(value: Value) -> Value {
    let bytes = value.number().unwrap_or(0);
    match bytes > 0 && bytes.is_multiple_of(IFREQ_SIZE) && bytes < 1 << 31 {
        true => Value::Comment(
            Box::new(value),
            format!("{} * sizeof(struct ifreq)", bytes / IFREQ_SIZE),
        ),
        false => value,
    }
}

/// The length is the room that there is, and then that which is used.
fn interfaces(value: Value, _: &View<'_>) -> Value {
    let mut value = value;
    if let Value::Changed {
        addr,
        before,
        after,
    } = value
    {
        let room = before.fields().and_then(|fields| fields.get("ifc_len"));
        let room = room.cloned();
        let mut after = after;
        if let (Some(room), Value::Struct(fields)) = (room, &mut *after) {
            let given = fields.get("ifc_buf").and_then(Value::number);
            if given != Some(0) && room.number() != fields.get("ifc_len").and_then(Value::number) {
                fields.change("ifc_len", |used| Value::Changed {
                    addr: 0,
                    before: Box::new(length(room)),
                    after: Box::new(length(used)),
                });
            } else {
                fields.change("ifc_len", length);
            }
        }
        return Value::To { addr, value: after };
    }
    if let Value::To { value, .. } = &mut value
        && let Value::Struct(fields) = &mut **value
    {
        fields.change("ifc_len", length);
    }
    value
}

arguments! { ARGUMENTS
    SIOCGIFFLAGS: asked!(FLAGS);
    SIOCSIFFLAGS: To(In, &Struct(&FLAGS));
    SIOCGIFADDR: asked!(ADDR);
    SIOCSIFADDR: To(In, &Struct(&ADDR));
    SIOCGIFNETMASK: asked!(NETMASK);
    SIOCSIFNETMASK: To(In, &Struct(&NETMASK));
    SIOCGIFBRDADDR: asked!(BROADADDR);
    SIOCSIFBRDADDR: To(In, &Struct(&BROADADDR));
    SIOCGIFDSTADDR: asked!(DSTADDR);
    SIOCSIFDSTADDR: To(In, &Struct(&DSTADDR));
    SIOCGIFHWADDR: asked!(HWADDR);
    SIOCSIFHWADDR SIOCSIFHWBROADCAST SIOCADDMULTI SIOCDELMULTI: To(In, &Struct(&HWADDR));
    SIOCGIFMETRIC: asked!(METRIC);
    SIOCSIFMETRIC: To(In, &Struct(&METRIC));
    SIOCGIFMTU: asked!(MTU);
    SIOCSIFMTU: To(In, &Struct(&MTU));
    SIOCGIFINDEX: asked!(INDEX);
    SIOCGIFTXQLEN: asked!(QLEN);
    SIOCSIFTXQLEN: To(In, &Struct(&QLEN));
    SIOCGIFSLAVE: asked!(SLAVE);
    SIOCSIFSLAVE: To(In, &Struct(&SLAVE));
    SIOCGIFMAP: asked!(MAP);
    SIOCSIFMAP: To(In, &Struct(&MAP));
    SIOCSIFNAME: To(In, &Struct(&NEWNAME));
    SIOCGIFNAME: done!(To(Out, &Struct(&BY_INDEX)), else To(InOut, &Struct(&BY_INDEX)));
    SIOCBRADDIF SIOCBRDELIF: To(In, &Struct(&BRIDGED));
    SIOCBRADDBR SIOCBRDELBR: To(In, &Special(bridge, NAME_LEN));
    SIOCGIFCONF: Then(&To(InOut, &Struct(&IFCONF)), interfaces);
    SIOCSIFENCAP FIOSETOWN SIOCSPGRP: To(In, &I32);
    SIOCGIFENCAP FIOGETOWN SIOCGPGRP SIOCATMARK SIOCOUTQNSD: To(Out, &I32);
    SIOCGSTAMP_OLD SIOCGSTAMPNS_OLD SIOCGSTAMP_NEW SIOCGSTAMPNS_NEW SIOCADDRT SIOCDELRT SIOCRTMSG
    SIOCSIFLINK SIOCGIFMEM SIOCSIFMEM SIOCSIFPFLAGS SIOCGIFPFLAGS SIOCDIFADDR SIOCGIFCOUNT
    SIOCGIFBR SIOCSIFBR SIOCETHTOOL SIOCGMIIPHY SIOCGMIIREG SIOCSMIIREG SIOCWANDEV SIOCGSKNS
    SIOCDARP SIOCGARP SIOCSARP SIOCDRARP SIOCGRARP SIOCSRARP SIOCADDDLCI SIOCDELDLCI SIOCGIFVLAN
    SIOCSIFVLAN SIOCBONDENSLAVE SIOCBONDRELEASE SIOCBONDSETHWADDR SIOCBONDSLAVEINFOQUERY
    SIOCBONDINFOQUERY SIOCBONDCHANGEACTIVE SIOCSHWTSTAMP SIOCGHWTSTAMP: ADDRESS;
}
