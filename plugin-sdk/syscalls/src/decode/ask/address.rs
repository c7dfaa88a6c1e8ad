//! Which address a call is about.

use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use crate::decode::read::Decoded;
use crate::decode::value::{Fields, Value};

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketAddress {
    /// ip(7)
    Inet(SocketAddrV4),
    /// ipv6(7)
    Inet6(SocketAddrV6),
    /// unix(7): the name of a file, an abstract name behind a NUL byte, or nothing.
    Unix(Vec<u8>),
    /// Another family, by its number (`AF_*` in bits/socket.h).
    Other(u64),
}

impl fmt::Display for SocketAddress {
    /// `127.0.0.1:80`, `[::1]:80`, `/run/socket`, `@abstract`, `family 16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Inet6(address) => address.fmt(f),
            Self::Unix(name) => {
                let (mark, name) = match name.strip_prefix(b"\0") {
                    Some(name) => ("@", name),
                    None => ("", name.as_slice()),
                };
                write!(f, "{mark}{}", alloc::string::String::from_utf8_lossy(name))
            }
            Self::Other(family) => write!(f, "family {family}"),
        }
    }
}

impl Decoded {
    /// The address that this connect, bind, accept, sendto, recvmsg is about, or that
    /// getsockname has found.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddress> {
        self.args.iter().find_map(|arg| address(&arg.value))
    }
}

/// That of a `sockaddr`, or of the `msghdr` that holds one.
fn address(value: &Value) -> Option<SocketAddress> {
    let fields = value.fields()?;
    if let Some(name) = fields.get("msg_name") {
        return address(name);
    }
    let family = fields.get("sa_family")?.number()?;
    Some(typed(fields).unwrap_or(match family {
        1 => SocketAddress::Unix(Vec::new()),
        family => SocketAddress::Other(family),
    }))
}

/// The address, if all of it is there.
fn typed(fields: &Fields) -> Option<SocketAddress> {
    if let Some(path) = fields.get("sun_path") {
        return path.bytes().map(|path| SocketAddress::Unix(path.to_vec()));
    }
    if let Some(port) = fields.get("sin_port") {
        let ip: Ipv4Addr = ip(fields.get("sin_addr")?)?;
        return Some(SocketAddress::Inet(SocketAddrV4::new(ip, short(port)?)));
    }
    let port = short(fields.get("sin6_port")?)?;
    // The field itself has no name: the call names it.
    let mut values = fields.fields.iter().map(|field| &field.value);
    let ip: Ipv6Addr = values.find_map(ip)?;
    let number = |name| {
        let value = fields.get(name).and_then(in_order).unwrap_or(0);
        u32::try_from(value).unwrap_or(0)
    };
    let (flow, scope) = (number("sin6_flowinfo"), number("sin6_scope_id"));
    let address = SocketAddrV6::new(ip, port, flow, scope);
    Some(SocketAddress::Inet6(address))
}

/// `inet_addr("127.0.0.1")`, `inet_pton(AF_INET6, "::1", &sin6_addr)`
fn ip<A: core::str::FromStr>(value: &Value) -> Option<A> {
    let Value::Call("inet_addr" | "inet_pton", args) = value else {
        return None;
    };
    let text = args.iter().find_map(Value::bytes)?;
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// A number, also one in network byte order.
fn in_order(value: &Value) -> Option<u64> {
    match value {
        Value::Call("htons" | "htonl", args) => args.first()?.number(),
        value => value.number(),
    }
}

fn short(value: &Value) -> Option<u16> {
    u16::try_from(in_order(value)?).ok()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;
    use crate::abi;
    use crate::decode::captured::When::{Enter, Exit};
    use crate::decode::{Captured, Limits, captured, decode, describe};

    /// What connect(2) makes of an address, and whether text says the same.
    #[track_caller]
    fn connects(bytes: &[u8], expected: SocketAddress, text: &str) {
        let mut encoded = Vec::new();
        captured::encode(&mut encoded, Enter, 0x1000, bytes);
        let known = Captured::decode(&encoded);
        let abi = abi::X86_64;
        let call = crate::number(abi, "connect").and_then(|number| describe(abi, number));
        let args = [3, 0x1000, bytes.len() as u64, 0, 0, 0];
        let call = call.expect("it is known");
        let call = decode(call, abi, args, Some(0), Limits::NONE, &known);
        assert_eq!(call.address(), Some(expected.clone()));
        assert_eq!(expected.to_string(), text);
        assert_eq!(call.fd(), Some(3));
    }

    #[test]
    fn addresses_of_every_family() {
        let inet = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80);
        connects(&inet, SocketAddress::Inet(address), "127.0.0.1:80");

        let mut inet6 = [0; 28];
        (inet6[0], inet6[3], inet6[7], inet6[23], inet6[24]) = (10, 80, 5, 1, 7);
        let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 5, 7);
        connects(&inet6, SocketAddress::Inet6(address), "[::1%7]:80");

        let path = SocketAddress::Unix(b"/run/x".to_vec());
        connects(b"\x01\0/run/x\0", path, "/run/x");
        let hidden = SocketAddress::Unix(b"\0x".to_vec());
        connects(b"\x01\0\0x", hidden, "@x");
        connects(b"\x01\0", SocketAddress::Unix(Vec::new()), "");
        connects(b"\x10\0", SocketAddress::Other(16), "family 16");
    }

    #[test]
    fn what_is_received_says_from_where() {
        let inet = [2, 0, 0, 53, 127, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut encoded = Vec::new();
        captured::encode(&mut encoded, Exit, 0x1000, &inet);
        for when in [Enter, Exit] {
            captured::encode(&mut encoded, when, 0x2000, &16_u32.to_le_bytes());
        }
        captured::encode(&mut encoded, Exit, 0x3000, b"abc");
        let known = Captured::decode(&encoded);
        let abi = abi::X86_64;
        let call = crate::number(abi, "recvfrom").and_then(|number| describe(abi, number));
        let args = [3, 0x3000, 9, 0, 0x1000, 0x2000];
        let limits = Limits {
            text: 9,
            items: 1,
            ..Limits::NONE
        };
        let call = decode(
            call.expect("it is known"),
            abi,
            args,
            Some(3),
            limits,
            &known,
        );
        let address = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 2), 53);
        assert_eq!(call.address(), Some(SocketAddress::Inet(address)));
        assert_eq!(call.bytes().as_deref(), Some(&b"abc"[..]));
    }
}
