//! Filters of what comes in at a socket: socket(7), linux/filter.h.

use alloc::format;

use crate::decode::process::filter::{brief, instruction};
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;

const CODE: Type = Array(In, &Special(of_socket, 8), Len::Field("len"));
/// What SO_GET_FILTER gets, its size in instructions behind argument 4.
pub(super) const GOT: Type = Then(&Array(Out, &Special(of_socket, 8), Len::At(4)), got);

structs! {
    /// SO_ATTACH_FILTER in socket(7)
    SOCKET_FILTER "sock_fprog" { len: U16, filter: Then(&CODE, brief) }
}

sets! {
    /// What is loaded from there is no part of the packet.
    SKF_AD "SKF_AD_???" {
        SKF_AD_PROTOCOL = 0, SKF_AD_PKTTYPE = 4, SKF_AD_IFINDEX = 8, SKF_AD_NLATTR = 12,
        SKF_AD_NLATTR_NEST = 0x10, SKF_AD_MARK = 0x14, SKF_AD_QUEUE = 0x18, SKF_AD_HATYPE = 0x1c,
        SKF_AD_RXHASH = 0x20, SKF_AD_CPU = 0x24, SKF_AD_ALU_XOR_X = 0x28,
        SKF_AD_VLAN_TAG = 0x2c, SKF_AD_VLAN_TAG_PRESENT = 0x30, SKF_AD_PAY_OFFSET = 0x34,
        SKF_AD_RANDOM = 0x38, SKF_AD_VLAN_TPID = 0x3c,
    }
}

/// To ask how long it is leads to nothing.
fn got(value: Value, view: &View<'_>) -> Value {
    match (&value, value.items()) {
        (Value::To { addr, .. }, Some([])) => Value::Address(*addr),
        _ => brief(value, view),
    }
}

fn of_socket(view: &View<'_>) -> Value {
    const CLASS_AND_MODE: u64 = 0xe7;
    const LOAD_ABSOLUTE: u64 = 0x20;
    let mut value = instruction(view, false);
    let code = view.number(0, W16).unwrap_or(0);
    if code & CLASS_AND_MODE == LOAD_ABSOLUTE
        && let Value::Call("BPF_STMT", parts) = &mut value
        && let Some(place) = parts.get_mut(1)
    {
        let number = place.number().unwrap_or(0);
        if let Some(named) = named(number) {
            *place = named;
        }
    }
    value
}

/// `SKF_AD_OFF+SKF_AD_PKTTYPE`: places below zero.
fn named(number: u64) -> Option<Value> {
    const SKF_AD_OFF: u64 = 0xffff_f000;
    const SKF_NET_OFF: u64 = 0xfff0_0000;
    const SKF_LL_OFF: u64 = 0xffe0_0000;
    let text = match number {
        SKF_AD_OFF.. => {
            let offset = number - SKF_AD_OFF;
            match SKF_AD.name(offset) {
                Some(name) => format!("SKF_AD_OFF+{name}"),
                None => format!("SKF_AD_OFF+{offset:#x} /* {} */", SKF_AD.unknown),
            }
        }
        SKF_NET_OFF.. => format!("SKF_NET_OFF+{}", number - SKF_NET_OFF),
        SKF_LL_OFF.. => format!("SKF_LL_OFF+{}", number - SKF_LL_OFF),
        _ => return None,
    };
    Some(Value::Named(number, text.into()))
}
