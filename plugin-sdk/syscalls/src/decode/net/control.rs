//! Control messages: cmsg(3).

use alloc::vec::Vec;

use crate::abi::{self, Abi};
use crate::decode::common::{TIMESPEC, TIMESPEC64, TIMEVAL, TIMEVAL64};
use crate::decode::layout;
use crate::decode::read::of_bytes;
use crate::decode::schema::prelude::*;
use crate::decode::schema::{Look, sets};
use crate::decode::value::{Field, Items};

use super::address::{INET_ADDR, SOCKADDR, text};
use super::sets::SOL_OF_CONTROL;

/// All that are in a buffer.
pub(super) const CONTROL: Type = Pick(control, 0);

sets! {
    /// Of SOL_SOCKET: unix(7), socket(7), asm-generic/socket.h.
    SCM "SCM_???" {
        SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, SCM_SECURITY = 3, SO_TIMESTAMP_OLD = 0x1d,
        SO_TIMESTAMPNS_OLD = 0x23, SO_TIMESTAMPING_OLD = 0x25, SO_WIFI_STATUS = 0x29,
        SCM_TIMESTAMPING_OPT_STATS = 0x36, SCM_TIMESTAMPING_PKTINFO = 0x3a, SO_TXTIME = 0x3d,
        SO_TIMESTAMP_NEW = 0x3f, SO_TIMESTAMPNS_NEW = 0x40, SO_TIMESTAMPING_NEW = 0x41,
    }
    /// Of SOL_IP: ip(7).
    IP "IP_???" {
        IP_TOS = 1, IP_TTL = 2, SCM_SECURITY = 3, IP_RECVOPTS = 6, IP_RETOPTS = 7,
        IP_PKTINFO = 8, IP_RECVERR = 0xb, IP_ORIGDSTADDR = 0x14, IP_CHECKSUM = 0x17,
    }
}

structs! {
    /// unix(7)
    UCRED "ucred" { pid: PID, uid: UID, gid: UID }
    /// ip(7)
    IN_PKTINFO "in_pktinfo" { ipi_ifindex: INTERFACE, ipi_spec_dst: INET_ADDR, ipi_addr: INET_ADDR }
    /// ip(7): an error, and who has caused it.
    EXTENDED_ERROR "sock_extended_err" {
        ee_errno: U32, ee_origin: U8, ee_type: U8, ee_code: U8, ee_pad: Pad(1), ee_info: U32,
        ee_data: U32, offender: Pick(offender, 0),
    }
}

const THREE_TIMES: Type = Fixed(&Struct(&TIMESPEC), 3);
const THREE_TIMES64: Type = Fixed(&Struct(&TIMESPEC64), 3);

fn offender(_: &View<'_>) -> &'static Type {
    &SOCKADDR
}

/// `struct cmsghdr` is a `size_t` and two of `int`.
fn header(abi: Abi) -> usize {
    Width::Long.bytes(abi) + 8
}

fn control(view: &View<'_>) -> &'static Type {
    match view.is_cut() || view.bytes.len() < header(view.abi) {
        true => &Absent,
        false => &Naming(messages, 0),
    }
}

fn messages(view: &View<'_>) -> Value {
    let long = Width::Long.bytes(view.abi);
    let header = header(view.abi);
    let mut items = Items::default();
    let mut rest = view.bytes;
    let mut addr = view.addr;
    while !rest.is_empty() {
        if rest.len() < header || items.items.len() >= crate::decode::Limits::ALL {
            items.more = Some(addr);
            items.missing = true;
            break;
        }
        let len = layout::number(rest, 0, long).unwrap_or(0);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let end = len.clamp(header, rest.len());
        items
            .items
            .push(message(rest.get(..end).unwrap_or(rest), len, view));
        let next = end.next_multiple_of(long).min(rest.len());
        addr = addr.wrapping_add(next as u64);
        rest = match len > rest.len() {
            true => &[],
            false => rest.get(next..).unwrap_or_default(),
        };
        if len < header && !rest.is_empty() {
            items.more = Some(addr);
            items.missing = true;
            break;
        }
    }
    Value::Array(items)
}

const SOL_IP: u64 = 0;
const SOL_SOCKET: u64 = 1;

fn message(bytes: &[u8], len: usize, view: &View<'_>) -> Value {
    let long = Width::Long.bytes(view.abi);
    let number = |offset| layout::number(bytes, offset, 4).unwrap_or(0);
    let (level, ty) = (number(long), number(long + 4));
    let named = match level {
        SOL_IP => Value::One(ty, &IP),
        SOL_SOCKET => Value::One(ty, &SCM),
        _ => Value::Hex(ty),
    };
    let mut fields = Vec::from([
        Field::new("cmsg_len", Value::Unsigned(len as u64)),
        Field::new("cmsg_level", Value::One(level, &SOL_OF_CONTROL)),
        Field::new("cmsg_type", named),
    ]);
    let data = bytes.get(header(view.abi)..).unwrap_or_default();
    if let Some(data) = contents(level, ty, data, view) {
        fields.push(Field::new("cmsg_data", data));
    }
    Value::structure(fields)
}

/// What is in a message, if that is known and there is enough of it.
fn contents(level: u64, ty: u64, data: &[u8], view: &View<'_>) -> Option<Value> {
    let of = |ty: &'static Type, least| {
        let data = data.get(..least)?;
        of_bytes(ty, data, view)
    };
    // What it should be is known, but it is too short.
    let timed = |ty: &'static Type| {
        let value = of(ty, layout::size(ty, view.abi));
        Some(value.unwrap_or(Value::Plain("???".into())))
    };
    let narrow = view.abi == abi::I386;
    match (level, ty) {
        (SOL_SOCKET, 1) => numbers(data, view, |fd| Value::Fd((fd as u32).cast_signed())),
        (SOL_SOCKET, 2) => of(const { &Struct(&UCRED) }, 12),
        (SOL_SOCKET | SOL_IP, 3) if !data.is_empty() => Some(text(data, Look::Text)),
        (SOL_SOCKET, 0x1d) => timed(const { &Struct(&TIMEVAL) }),
        (SOL_SOCKET, 0x23) => timed(const { &Struct(&TIMESPEC) }),
        (SOL_SOCKET, 0x25) => timed(&THREE_TIMES),
        (SOL_SOCKET, 0x3f) if narrow => timed(const { &Struct(&TIMEVAL64) }),
        (SOL_SOCKET, 0x3f) => timed(const { &Struct(&TIMEVAL) }),
        (SOL_SOCKET, 0x40) => timed(const { &Struct(&TIMESPEC64) }),
        (SOL_SOCKET, 0x41) => timed(&THREE_TIMES64),
        (SOL_IP, 1 | 6 | 7) => each(data, view),
        (SOL_IP, 2) => numbers(data, view, Value::Unsigned),
        (SOL_IP, 0x17) => numbers(data, view, Value::Unsigned),
        (SOL_IP, 8) => of(const { &Struct(&IN_PKTINFO) }, 12),
        (SOL_IP, 0xb) if data.len() >= 32 => of(const { &Struct(&EXTENDED_ERROR) }, data.len()),
        (SOL_IP, 0x14) => of(&SOCKADDR, 16),
        _ => None,
    }
}

/// `[3, 4]`
fn numbers(data: &[u8], view: &View<'_>, value: fn(u64) -> Value) -> Option<Value> {
    let all = data.chunks_exact(4);
    let count = all.len();
    if count == 0 {
        return None;
    }
    let number = |bytes| layout::number(bytes, 0, 4).unwrap_or(0);
    let items = all.take(view.limits.items).map(number).map(value);
    Some(Value::Array(Items {
        items: items.collect(),
        more: (count > view.limits.items).then_some(0),
        missing: false,
    }))
}

/// `[0x1, 0x2]`
fn each(data: &[u8], view: &View<'_>) -> Option<Value> {
    if data.is_empty() {
        return None;
    }
    let shown = data.iter().take(view.limits.items);
    Some(Value::Array(Items {
        items: shown.map(|byte| Value::Hex((*byte).into())).collect(),
        more: (data.len() > view.limits.items).then_some(0),
        missing: false,
    }))
}
