//! Addresses of sockets.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::decode::Fields;
use crate::decode::schema::prelude::*;
use crate::decode::schema::{Look, sets};
use crate::decode::value::Bytes as Data;

use super::links::{ARPHRD, ETH_P, PACKET_TYPE};
use super::sets::AF;

/// `struct sockaddr` of some family, as many bytes as there are.
pub(crate) const SOCKADDR: Type = Pick(by_family, 0);
/// Behind argument 1, its size in argument 2.
pub(super) const SOCKADDR_IN: Type = Sized(In, Len::With(length::<2>), &SOCKADDR);

/// `struct sockaddr_storage` (bits/socket.h).
const STORAGE: usize = 128;
/// Where the address is behind the family.
const DATA: usize = 2;
/// `sun_path` in unix(7).
const PATH: usize = 108;

/// The size of an address that is in an argument, as far as any address is long.
pub(super) fn length<const AT: usize>(view: &View<'_>) -> u64 {
    let len = view.arg32(AT).cast_signed();
    u64::try_from(len).unwrap_or(0).min(STORAGE as u64)
}

const FAMILY: Type = Scalar(W16, Style::One(&AF));

structs! {
    /// What is not known, or shorter than it should be.
    ANY "sockaddr" { sa_family: FAMILY, sa_data: Pick(any_data, 0) }
    /// unix(7)
    UN "sockaddr_un" { sa_family: FAMILY, sun_path: Special(path, 0) }
    /// ip(7)
    IN4 "sockaddr_in" { sa_family: FAMILY, sin_port: PORT, sin_addr: INET_ADDR }
    /// ipv6(7)
    IN6 "sockaddr_in6" (arrange_in6) {
        sa_family: FAMILY, sin6_port: PORT, sin6_flowinfo: Special(htonl, 4),
        sin6_addr: Special(sin6_addr, 16), sin6_scope_id: Pick(scope, 0),
    }
    /// ipx(7), linux/ipx.h
    IPX "sockaddr_ipx" (arrange_ipx) {
        sa_family: FAMILY, sipx_port: PORT, sipx_network: Special(htonl_hex, 4),
        sipx_node: Raw(6, Look::Each), sipx_type: Special(ipx_type, 1), sipx_zero: X8,
    }
    /// netlink(7)
    NL "sockaddr_nl" (arrange_nl) {
        sa_family: FAMILY, nl_pad: X16, nl_pid: PID, nl_groups: Special(groups, 4),
    }
    /// packet(7)
    LL "sockaddr_ll" {
        sa_family: FAMILY, sll_protocol: Special(link_protocol, 2), sll_ifindex: INTERFACE,
        sll_hatype: Scalar(W16, Style::One(&ARPHRD)),
        sll_pkttype: Scalar(W8, Style::One(&PACKET_TYPE)),
        sll_halen: U8, sll_addr: Pick(link_address, 0),
    }
    /// vsock(7), linux/vm_sockets.h
    VM "sockaddr_vm" (arrange_vm) {
        sa_family: FAMILY, svm_reserved1: X16, svm_port: X32, svm_cid: Special(cid, 4),
        svm_flags: Scalar(W8, Style::Flags(&VMADDR_FLAG)), svm_zero: Raw(3, Look::Hex),
    }
    /// linux/qrtr.h
    QRTR "sockaddr_qrtr" { sa_family: FAMILY, sq_node: X32, sq_port: X32 }
    /// linux/if_xdp.h
    XDP "sockaddr_xdp" (arrange_xdp) {
        sa_family: FAMILY, sxdp_flags: Scalar(W16, Style::Flags(&XDP_FLAGS)),
        sxdp_ifindex: INTERFACE, sxdp_queue_id: U32, sxdp_shared_umem_fd: X32,
    }
}

sets! {
    /// linux/vm_sockets.h
    VMADDR_FLAG "VMADDR_FLAG_???" { VMADDR_FLAG_TO_HOST = 1 }
    /// linux/vm_sockets.h
    VMADDR_CID "VMADDR_CID_???" {
        VMADDR_CID_HYPERVISOR = 0, VMADDR_CID_LOCAL = 1, VMADDR_CID_HOST = 2,
        VMADDR_CID_ANY = 0xffff_ffff,
    }
    /// linux/if_xdp.h
    XDP_FLAGS "XDP_???" {
        XDP_SHARED_UMEM = 1, XDP_COPY = 2, XDP_ZEROCOPY = 4, XDP_USE_NEED_WAKEUP = 8,
    }
}

fn by_family(view: &View<'_>) -> &'static Type {
    let Some(family) = view.number(0, W16) else {
        return &Absent;
    };
    if view.is_cut() {
        return &Absent;
    }
    match (family, view.bytes.len()) {
        (1, 3..) => const { &Struct(&UN) },
        (2, 16..) => const { &Struct(&IN4) },
        (4, 16..) => const { &Struct(&IPX) },
        (10, 24..) => const { &Struct(&IN6) },
        (16, 12..) => const { &Struct(&NL) },
        (17, 20..) => const { &Struct(&LL) },
        (40, 16..) => const { &Struct(&VM) },
        (42, 12..) => const { &Struct(&QRTR) },
        (44, 16..) => const { &Struct(&XDP) },
        _ => const { &Struct(&ANY) },
    }
}

pub(super) fn text(data: &[u8], look: Look) -> Value {
    Value::Bytes(Data {
        data: data.to_vec(),
        more: false,
        whole: true,
        look,
    })
}

fn any_data(view: &View<'_>) -> &'static Type {
    match view.bytes.is_empty() {
        true => &Absent,
        false => &Special(any_bytes, 0),
    }
}

fn any_bytes(view: &View<'_>) -> Value {
    let shown = view.bytes.get(..STORAGE - DATA).unwrap_or(view.bytes);
    text(shown, Look::Text)
}

/// A NUL byte is in front of an abstract name and behind the name of a file.
fn path(view: &View<'_>) -> Value {
    let path = view.bytes.get(..PATH).unwrap_or(view.bytes);
    let end = match path.first() {
        Some(0) => None,
        _ => path.iter().position(|byte| *byte == 0),
    };
    let path = end.and_then(|end| path.get(..end)).unwrap_or(path);
    text(path, Look::SocketName)
}

/// An address of four bytes.
pub(crate) const INET_ADDR: Type = Special(inet_addr, 4);

fn inet_addr(view: &View<'_>) -> Value {
    inet_addr_of(view.bytes).unwrap_or(Value::Address(0))
}

/// `inet_addr("127.0.0.1")`
pub(super) fn inet_addr_of(bytes: &[u8]) -> Option<Value> {
    let bytes = <[u8; 4]>::try_from(bytes.get(..4)?).ok()?;
    let address = Ipv4Addr::from(bytes).to_string();
    let address = text(address.as_bytes(), Look::Text);
    Some(Value::Call("inet_addr", Vec::from([address])))
}

/// inet_ntop(3)
pub(super) fn ipv6_text(bytes: &[u8]) -> Option<String> {
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?);
    Some(match address.segments() {
        // One that holds an address of IP, but none of the two that have a meaning.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            format!(
                "::{}",
                Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
            )
        }
        _ => address.to_string(),
    })
}

/// `inet_pton(AF_INET6, "::1", &sin6_addr)`
pub(super) fn inet_pton(bytes: &[u8], to: &'static str) -> Option<Value> {
    const AF_INET6: u64 = 10;
    let address = ipv6_text(bytes)?;
    Some(Value::Call(
        "inet_pton",
        Vec::from([
            Value::One(AF_INET6, &AF),
            text(address.as_bytes(), Look::Text),
            Value::Plain(to.into()),
        ]),
    ))
}

fn sin6_addr(view: &View<'_>) -> Value {
    inet_pton(view.bytes, "&sin6_addr").unwrap_or(Value::Address(0))
}

/// The call names the field.
fn arrange_in6(fields: &mut Fields, _: &View<'_>) {
    nameless(fields, "sin6_addr");
    fields.more = false;
}

/// Shows a field without its name.
pub(super) fn nameless(fields: &mut Fields, name: &str) {
    for field in &mut fields.fields {
        if field.name == name {
            field.name = "";
        }
    }
}

/// RFC 2133 has no such field: an address may end before it.
fn scope(view: &View<'_>) -> &'static Type {
    let (first, second) = match view.outer {
        Some((_, [_, _, _, _, _, _, _, _, first, second, ..])) => (*first, *second),
        _ => (0, 0),
    };
    let is_link_local = first == 0xfe && second & 0xc0 == 0x80;
    let is_multicast_link_local = first == 0xff && second & 0xf == 2;
    match view.bytes.len() {
        0 => &Absent,
        4.. if is_link_local || is_multicast_link_local => &INTERFACE,
        _ => &Special(shortened, 0),
    }
}

/// As much of a number as there is.
fn shortened(view: &View<'_>) -> Value {
    let mut whole = [0; 4];
    for (to, from) in whole.iter_mut().zip(view.bytes) {
        *to = *from;
    }
    Value::Unsigned(u32::from_le_bytes(whole).into())
}

fn network_order(view: &View<'_>) -> u32 {
    (view.number(0, W32).unwrap_or(0) as u32).swap_bytes()
}

fn htonl(view: &View<'_>) -> Value {
    Value::Call(
        "htonl",
        Vec::from([Value::Unsigned(network_order(view).into())]),
    )
}

fn htonl_hex(view: &View<'_>) -> Value {
    Value::Call("htonl", Vec::from([Value::Hex(network_order(view).into())]))
}

/// A field that means nothing where it is 0.
fn unless_zero(fields: &mut Fields, name: &str) {
    if fields.get(name).and_then(Value::number) == Some(0) {
        fields.remove(name);
    }
}

fn arrange_nl(fields: &mut Fields, _: &View<'_>) {
    unless_zero(fields, "nl_pad");
}

fn arrange_ipx(fields: &mut Fields, _: &View<'_>) {
    unless_zero(fields, "sipx_zero");
}

fn arrange_xdp(fields: &mut Fields, _: &View<'_>) {
    unless_zero(fields, "sxdp_shared_umem_fd");
}

/// `0x4`, and `00`
fn ipx_type(view: &View<'_>) -> Value {
    match view.number(0, W8).unwrap_or(0) {
        0 => Value::Named(0, "00".into()),
        number => Value::Hex(number),
    }
}

/// Groups as bits: `0x000011`
pub(super) fn groups(view: &View<'_>) -> Value {
    let groups = view.number(0, W32).unwrap_or(0);
    let text = match groups {
        0 => String::from("00000000"),
        _ => format!("{groups:#08x}"),
    };
    Value::Named(groups, text.into())
}

/// `htons(ETH_P_IP)`, of a number in network byte order.
pub(super) fn ethernet_protocol(number: u16) -> Value {
    let number = u16::from_be(number).into();
    Value::Call("htons", Vec::from([Value::One(number, &ETH_P)]))
}

fn link_protocol(view: &View<'_>) -> Value {
    ethernet_protocol((view.number(0, W16).unwrap_or(0) & 0xffff) as u16)
}

fn link_address(view: &View<'_>) -> &'static Type {
    match view.field("sll_halen") {
        None | Some(0) => &Absent,
        _ => &Special(link_bytes, 0),
    }
}

/// As many bytes as `sll_halen` says, which may be more than there are.
fn link_bytes(view: &View<'_>) -> Value {
    let len = view.field("sll_halen").unwrap_or(0);
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    Value::Bytes(Data {
        data: view.bytes.iter().take(len).copied().collect(),
        more: len > view.bytes.len(),
        whole: true,
        look: Look::Each,
    })
}

fn cid(view: &View<'_>) -> Value {
    let cid = view.number(0, W32).unwrap_or(0);
    match VMADDR_CID.name(cid) {
        Some(_) => Value::One(cid, &VMADDR_CID),
        None => Value::Hex(cid),
    }
}

/// What is reserved shows where it is used all the same.
fn arrange_vm(fields: &mut Fields, _: &View<'_>) {
    unless_zero(fields, "svm_reserved1");
    let is_empty = |value: &Value| {
        value
            .bytes()
            .is_some_and(|data| data.iter().all(|byte| *byte == 0))
    };
    if fields.get("svm_zero").is_some_and(is_empty) {
        fields.remove("svm_zero");
    }
    fields.order(&[
        "sa_family",
        "svm_reserved1",
        "svm_cid",
        "svm_port",
        "svm_flags",
        "svm_zero",
    ]);
}
