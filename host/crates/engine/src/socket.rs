//! What sockets are connected with, from /proc/PID/net (proc(5)) and, for the peers of
//! Unix sockets, from sock_diag(7).

use std::ffi::CString;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use pai_ptrace::{Tid, xattr};

/// `TCP:[127.0.0.1:80->127.0.0.1:4000]`, `UNIX-STREAM:[123->124,@"name"]`; `None` if not
/// even the protocol is known. `link` is the descriptor's name in /proc/PID/fd.
pub(crate) fn describe(tid: Tid, link: &str, inode: u64) -> Option<Vec<u8>> {
    let path = CString::new(link).ok()?;
    let protocol = xattr(&path, c"system.sockprotoname")?;
    let protocol: Vec<u8> = protocol.into_iter().take_while(|byte| *byte != 0).collect();
    let protocol = String::from_utf8(protocol).ok()?;
    let details = match protocol.as_str() {
        "TCP" | "UDP" | "UDP-Lite" | "RAW" | "PING" | "TCPv6" | "UDPv6" | "UDPLITEv6" | "RAWv6"
        | "PINGv6" => inet(tid, &protocol, inode),
        "NETLINK" => netlink(tid, inode),
        unix if unix.starts_with("UNIX") => Some(unix_names(inode)),
        _ => None,
    };
    let details = details.unwrap_or_else(|| inode.to_string().into_bytes());
    Some([protocol.as_bytes(), b":[", &details, b"]"].concat())
}

fn table(tid: Tid, name: &str) -> Option<String> {
    let bytes = fs::read(format!("/proc/{tid}/net/{name}")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Both ends, or the own one of a socket that is not connected.
fn inet(tid: Tid, protocol: &str, inode: u64) -> Option<Vec<u8>> {
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
    let row = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(9)?.parse() == Ok(inode);
        is_it.then(|| Some((end(fields.get(1)?)?, end(fields.get(2)?)?)))?
    });
    let (own, peer) = row?;
    Some(if peer.port() == 0 && peer.ip().is_unspecified() {
        own.to_string().into_bytes()
    } else {
        format!("{own}->{peer}").into_bytes()
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
fn netlink(tid: Tid, inode: u64) -> Option<Vec<u8>> {
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
    let (protocol, port) = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = fields.get(9)?.parse() == Ok(inode);
        is_it.then(|| {
            Some((
                fields.get(1)?.parse::<u32>().ok()?,
                fields.get(2)?.parse::<u32>().ok()?,
            ))
        })?
    })?;
    if port == 0 {
        return None;
    }
    let name = NAMES.iter().find(|(number, _)| *number == protocol);
    Some(match name {
        Some((_, name)) => format!("{name}:{port}").into_bytes(),
        None => format!("{protocol}:{port}").into_bytes(),
    })
}

/// Inode, peer, and name.
fn unix_names(inode: u64) -> Vec<u8> {
    let mut out = inode.to_string().into_bytes();
    let (peer, name) = ask_unix(inode).unwrap_or_default();
    if peer != 0 {
        out.extend_from_slice(format!("->{peer}").as_bytes());
    }
    if let Some((first, rest)) = name.split_first() {
        out.push(b',');
        let (mark, name): (&[u8], &[u8]) = match first {
            0 => (b"@", rest),
            _ => (b"", &name),
        };
        out.extend_from_slice(mark);
        out.push(b'"');
        out.extend(name.iter().take_while(|byte| **byte != 0));
        out.push(b'"');
    }
    out
}

/// Asks the kernel for one socket (struct unix_diag_req, linux/unix_diag.h). That it is
/// in our own network namespace is all that it can tell of.
fn ask_unix(inode: u64) -> Option<(u32, Vec<u8>)> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const NLM_F_REQUEST: u16 = 1;
    const SHOW_NAME_AND_PEER: u32 = 1 | 4;
    const NAME: u16 = 0;
    const PEER: u16 = 2;
    let inode = u32::try_from(inode).ok()?;
    let mut request = Vec::new();
    request.extend(40_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    request.extend([0; 8]);
    request.extend([1, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(inode.to_ne_bytes());
    request.extend(SHOW_NAME_AND_PEER.to_ne_bytes());
    request.extend([0xff; 8]);
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .ok()?;
    send(kernel.as_raw_fd(), &request, MsgFlags::empty()).ok()?;
    let mut answer = [0; 4096];
    let len = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
    let answer = answer.get(..len)?;
    if half(answer, 4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    // Header, struct unix_diag_msg, attributes.
    let mut rest = answer.get(16 + 16..)?;
    let (mut peer, mut name) = (0, Vec::new());
    while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let len = usize::from(len);
        let Some(value) = rest.get(4..len) else { break };
        match (kind, value) {
            (PEER, [a, b, c, d]) => peer = u32::from_ne_bytes([*a, *b, *c, *d]),
            (NAME, value) => name = value.to_vec(),
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((peer, name))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
