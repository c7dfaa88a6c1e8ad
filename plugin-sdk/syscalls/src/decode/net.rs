//! Sockets, what is sent and received, their options.

mod address;
mod control;
mod filter;
pub(super) mod links;
mod message;
mod netlink;
mod options;
mod payload;
mod routes;
pub(super) mod sets;
mod values;

use super::common::{TIMESPEC_IN, TIMESPEC_OUT};
use super::schema::prelude::*;

use address::{SOCKADDR, SOCKADDR_IN};
use message::{MMSG_IN, MMSG_OUT, MSG_IN, MSG_OUT};
use payload::{RECEIVED, SENT};
use sets::{
    AF, AX25_P, BTPROTO, CAIFPROTO, CAN, IPPROTO, IRDAPROTO, ISDN_P, KCMPROTO, MSG, NETLINK,
    NFC_SOCKPROTO, PN_PROTO, SHUT, SMCPROTO, SOCK, SOCK_FLAGS, SOCK_TYPE, SOCKETCALL, SOL,
};

/// An address that the kernel writes, its size behind argument 2.
const SOCKADDR_OUT: Type = Sized(Out, Len::At(2), &SOCKADDR);
/// Of recvfrom(2), its size behind argument 5.
const SENDER: Type = Sized(Out, Len::At(5), &SOCKADDR);

/// The size of an address, which does not matter where there is none.
fn size_of_address<const ADDRESS_AT: usize>(view: &View<'_>) -> &'static Type {
    match view.arg(ADDRESS_AT) {
        0 => &ADDRESS,
        _ => &To(InOut, &I32),
    }
}

/// A type of sockets and flags; where the type has no name, all that has none together.
fn socket_type(view: &View<'_>) -> &'static Type {
    const TYPE: u64 = 0xf;
    match SOCK_TYPE.name(view.raw & TYPE) {
        Some(_) => const { &flags(&SOCK) },
        None => const { &flags(&SOCK_FLAGS) },
    }
}

/// What a protocol is called depends on the family.
fn protocol(view: &View<'_>) -> &'static Type {
    match view.arg32(0) {
        2 | 10 => const { &one(&IPPROTO) },
        3 => const { &one(&AX25_P) },
        16 => const { &one(&NETLINK) },
        17 => &Special(ethernet_protocol, 0),
        23 => const { &one(&IRDAPROTO) },
        29 => const { &one(&CAN) },
        31 => const { &one(&BTPROTO) },
        33 => const { &one(&AF) },
        34 => const { &one(&ISDN_P) },
        35 => const { &one(&PN_PROTO) },
        37 => const { &one(&CAIFPROTO) },
        39 => const { &one(&NFC_SOCKPROTO) },
        41 => const { &one(&KCMPROTO) },
        43 => const { &one(&SMCPROTO) },
        _ => &U32,
    }
}

/// packet(7): in network byte order.
fn ethernet_protocol(view: &View<'_>) -> Value {
    address::ethernet_protocol((view.raw & 0xffff) as u16)
}

/// socketcall(2): the call of this number (linux/net.h).
fn by_number(view: &View<'_>) -> Option<&'static Call> {
    const NAMES: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    let index = usize::try_from(view.arg32(0)).ok()?.checked_sub(1)?;
    let name = NAMES.get(index)?;
    IN_MEMORY
        .iter()
        .chain(CALLS)
        .find(|call| call.name == *name)
}

/// Shown where its arguments cannot be read.
fn number_of_call(value: Value, _: &View<'_>) -> Value {
    match value.number() {
        Some(number) if SOCKETCALL.name(number).is_some() => Value::One(number, &SOCKETCALL),
        _ => value,
    }
}

calls! { IN_MEMORY
    send(fd: FD, buff: SENT, len: SIZE, flags: flags(&MSG)) -> SSIZE;
    recv(fd: FD, ubuf: RECEIVED, size: SIZE, flags: flags(&MSG)) -> SSIZE;
}

/// What is left of a timeout is only known if something has been received.
fn received(view: &View<'_>, values: &[Value]) -> Option<Value> {
    match (view.ret, values.first()) {
        (Some(0), _) => Some(Value::Plain("Timeout".into())),
        (_, Some(Value::To { value, .. })) => Some(Value::Titled("left", value.clone())),
        _ => None,
    }
}

calls! { CALLS
    socket(family: one(&AF), r#type: Pick(socket_type, 0), protocol: Pick(protocol, 0)) -> FD;
    socketpair(family: one(&AF), r#type: Pick(socket_type, 0), protocol: U32,
        usockvec: To(Out, &Fixed(&FD, 2))) -> I32;
    bind(fd: FD, umyaddr: SOCKADDR_IN, addrlen: I32) -> I32;
    connect(fd: FD, uservaddr: SOCKADDR_IN, addrlen: I32) -> I32;
    listen(fd: FD, backlog: I32) -> I32;
    accept(fd: FD, upeer_sockaddr: SOCKADDR_OUT, upeer_addrlen: Pick(size_of_address::<1>, 0)) -> FD;
    accept4(fd: FD, upeer_sockaddr: SOCKADDR_OUT, upeer_addrlen: Pick(size_of_address::<1>, 0),
        flags: flags(&SOCK_FLAGS)) -> FD;
    getsockname(fd: FD, usockaddr: SOCKADDR_OUT, usockaddr_len: Pick(size_of_address::<1>, 0)) -> I32;
    getpeername(fd: FD, usockaddr: SOCKADDR_OUT, usockaddr_len: Pick(size_of_address::<1>, 0)) -> I32;
    shutdown(fd: FD, how: one(&SHUT)) -> I32;

    sendto(fd: FD, buff: SENT, len: SIZE, flags: flags(&MSG),
        addr: Sized(In, Len::With(address::length::<5>), &SOCKADDR), addr_len: I32) -> SSIZE;
    recvfrom(fd: FD, ubuf: RECEIVED, size: SIZE, flags: flags(&MSG), addr: SENDER,
        addr_len: Pick(size_of_address::<4>, 0)) -> SSIZE;
    sendmsg(fd: FD, msg: MSG_IN, flags: flags(&MSG)) -> SSIZE;
    recvmsg(fd: FD, msg: MSG_OUT, flags: flags(&MSG)) -> SSIZE;
    sendmmsg(fd: FD, mmsg: MMSG_IN, vlen: U32, flags: flags(&MSG)) -> I32;
    recvmmsg(fd: FD, mmsg: MMSG_OUT, vlen: U32, flags: flags(&MSG), timeout: TIMESPEC_IN)
        -> I32, note(received, 4: TIMESPEC_OUT);
    recvmmsg_time64(fd: FD, mmsg: MMSG_OUT, vlen: U32, flags: flags(&MSG),
        timeout: super::common::TIMESPEC64_IN) -> I32, note(received, 4: super::common::TIMESPEC64_OUT);

    setsockopt(fd: FD, level: one(&SOL), optname: options::SET, optval: values::SET, optlen: I32) -> I32;
    getsockopt(fd: FD, level: one(&SOL), optname: options::GET, optval: values::GET,
        optlen: To(InOut, &I32)) -> I32;

    socketcall by by_number in memory (call: Then(&I32, number_of_call), args: ADDRESS) -> LONG;
}
