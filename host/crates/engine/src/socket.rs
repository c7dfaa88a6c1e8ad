//! What sockets are connected with, from /proc/PID/net (proc(5)) and, for what that does
//! not have, from sock_diag(7).

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use pai_ptrace::{Tid, xattr};
use pai_syscalls::decode::Descriptor;

mod diag;

/// The peers of Unix sockets, by inode, as they were last known: the kernel forgets one
/// that has closed.
#[derive(Debug, Default)]
pub(crate) struct Peers(HashMap<u32, u32>);

/// No more are remembered.
const MAX_PEERS: usize = 4096;

impl Peers {
    /// That of a socket, 0 for none, which is this if it has one now.
    fn peer(&mut self, inode: u32, now: u32) -> u32 {
        if now == 0 {
            return self.0.get(&inode).copied().unwrap_or(0);
        }
        if self.0.len() >= MAX_PEERS {
            self.0.clear();
        }
        self.0.insert(inode, now);
        now
    }
}

/// `TCP:[127.0.0.1:80->127.0.0.1:4000]`, `UNIX-STREAM:[123->124,@"name"]`, in the encoding
/// of [`Descriptor`]; `None` if not even the protocol is known. `link` is the descriptor's
/// name in /proc/PID/fd.
pub(crate) fn describe(tid: Tid, link: &str, inode: u64, peers: &mut Peers) -> Option<Vec<u8>> {
    let path = CString::new(link).ok()?;
    let protocol = xattr(&path, c"system.sockprotoname")?;
    let protocol: Vec<u8> = protocol.into_iter().take_while(|byte| *byte != 0).collect();
    let protocol = String::from_utf8(protocol).ok()?;
    let details = match protocol.as_str() {
        "TCP" | "UDP" | "UDP-Lite" | "RAW" | "PING" | "TCPv6" | "UDPv6" | "UDPLITEv6" | "RAWv6"
        | "PINGv6" => inet(tid, &protocol, inode),
        "NETLINK" => netlink(tid, inode),
        unix if unix.starts_with("UNIX") => return Some(unix_names(unix, inode, peers)),
        _ => return None,
    };
    let details = details.unwrap_or_else(|| inode.to_string());
    let details = format!("{protocol}:[{details}]").into_bytes();
    let of = Descriptor {
        details: &details,
        ..Descriptor::default()
    };
    Some(of.encode())
}

fn table(tid: Tid, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{tid}/net/{name}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The second and third field of the row of a socket, whose tenth is its inode.
fn row(table: &str, inode: u64) -> Option<[&str; 2]> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let found = [fields.next()?, fields.next()?];
        (fields.nth(6)?.parse() == Ok(inode)).then_some(found)
    })
}

/// Both ends, or the own one of a socket that is not connected.
fn inet(tid: Tid, protocol: &str, inode: u64) -> Option<String> {
    let (base, six) = match protocol.strip_suffix("v6") {
        Some(base) => (base, "6"),
        None => (protocol, ""),
    };
    let file = match base {
        "TCP" => "tcp",
        "UDP" => "udp",
        "RAW" => "raw",
        "PING" => "icmp",
        _ => "udplite",
    };
    let table = table(tid, &format!("{file}{six}"))?;
    let row = row(&table, inode).and_then(|[own, peer]| Some((end(own)?, end(peer)?)));
    let Some((own, peer)) = row else {
        let bound = (base == "TCP").then(|| diag::bound(inode, !six.is_empty()));
        return Some(bound??.to_string());
    };
    // The port of a raw one is its protocol.
    if base == "RAW" && own.ip().is_unspecified() && peer.ip().is_unspecified() {
        return None;
    }
    Some(if peer.port() == 0 && peer.ip().is_unspecified() {
        own.to_string()
    } else {
        format!("{own}->{peer}")
    })
}

/// `0100007F:0050`: the words of the address as the processor has them, the port as a
/// number (get_tcp4_sock in net/ipv4/tcp_ipv4.c).
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        let word = std::str::from_utf8(word).ok()?;
        bytes.extend(u32::from_str_radix(word, 16).ok()?.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => Ipv4Addr::from(four).into(),
        Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).into(),
    };
    Some(SocketAddr::new(ip, port))
}

/// Protocol and port, of one that is bound.
fn netlink(tid: Tid, inode: u64) -> Option<String> {
    const NAMES: &[(u32, &str)] = &[
        (0, "ROUTE"),
        (2, "USERSOCK"),
        (4, "SOCK_DIAG"),
        (5, "NFLOG"),
        (6, "XFRM"),
        (7, "SELINUX"),
        (8, "ISCSI"),
        (9, "AUDIT"),
        (10, "FIB_LOOKUP"),
        (11, "CONNECTOR"),
        (12, "NETFILTER"),
        (15, "KOBJECT_UEVENT"),
        (16, "GENERIC"),
        (18, "SCSITRANSPORT"),
        (21, "CRYPTO"),
    ];
    let table = table(tid, "netlink")?;
    let [protocol, port] = row(&table, inode)?.map(str::parse::<u32>);
    let (protocol, port) = (protocol.ok()?, port.ok()?);
    if port == 0 {
        return None;
    }
    let name = NAMES.iter().find(|(number, _)| *number == protocol);
    Some(match name {
        Some((_, name)) => format!("{name}:{port}"),
        None => format!("{protocol}:{port}"),
    })
}

/// Inode, peer, and name.
fn unix_names(protocol: &str, inode: u64, peers: &mut Peers) -> Vec<u8> {
    let mut details = format!("{protocol}:[{inode}");
    let mut name = Vec::new();
    if let Ok(inode) = u32::try_from(inode) {
        let (now, known) = diag::unix(inode).unwrap_or_default();
        name = known;
        let peer = peers.peer(inode, now);
        if peer != 0 {
            details.push_str(&format!("->{peer}"));
        }
    }
    if name.is_empty() {
        details.push(']');
    }
    let of = Descriptor {
        details: details.as_bytes(),
        socket_name: Some(name.as_slice()).filter(|name| !name.is_empty()),
        ..Descriptor::default()
    };
    of.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_remembered() {
        let mut peers = Peers::default();
        assert_eq!(peers.peer(1, 0), 0);
        assert_eq!(peers.peer(1, 2), 2);
        assert_eq!(peers.peer(1, 0), 2);
        assert_eq!(peers.peer(1, 3), 3);
        for inode in 2..3 * u32::try_from(MAX_PEERS).expect("few") {
            peers.peer(inode, 1);
        }
        assert!(peers.0.len() <= MAX_PEERS);
    }

    #[test]
    fn ends_of_connections() {
        let of = |text: &str| end(text).map(|end| end.to_string());
        assert_eq!(of("0100007F:0050").as_deref(), Some("127.0.0.1:80"));
        let six = "00000000000000000000000001000000:B7E8";
        assert_eq!(of(six).as_deref(), Some("[::1]:47080"));
        for wrong in ["", "01:", ":1", "0100007F", "XX00007F:0050", "01:1:1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
