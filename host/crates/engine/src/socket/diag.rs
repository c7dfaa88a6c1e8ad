//! What the kernel says of sockets when it is asked (sock_diag(7)). That they are in our own
//! network namespace is all that it can tell of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;

/// `struct nlmsghdr` is so long.
const HEADER: usize = 16;

/// Sends a request to the kernel, which answers there.
fn ask(flags: u16, request: &[u8]) -> Option<OwnedFd> {
    let mut message = Vec::new();
    let len = u32::try_from(HEADER + request.len()).ok()?;
    message.extend(len.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .ok()?;
    send(kernel.as_raw_fd(), &message, MsgFlags::empty()).ok()?;
    Some(kernel)
}

/// The peer of a Unix socket, 0 for none, and its name (struct unix_diag_req and struct
/// unix_diag_msg, linux/unix_diag.h).
pub(super) fn unix(inode: u32) -> Option<(u32, Vec<u8>)> {
    const SHOW_NAME_AND_PEER: u32 = 1 | 4;
    const NAME: u16 = 0;
    const PEER: u16 = 2;
    let mut request = Vec::new();
    request.extend([1, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(inode.to_ne_bytes());
    request.extend(SHOW_NAME_AND_PEER.to_ne_bytes());
    request.extend([0xff; 8]);
    let kernel = ask(0, &request)?;
    let mut answer = [0; 4096];
    let len = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
    let answer = answer.get(..len)?;
    if half(answer, 4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    // Behind the message are attributes.
    let mut rest = answer.get(HEADER + 16..)?;
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

/// The address of a TCP socket that is bound and no more, which no table in /proc has, as
/// far as the kernel tells of those: since Linux 6.8 (struct inet_diag_req_v2 and struct
/// inet_diag_msg, linux/inet_diag.h).
pub(super) fn bound(inode: u64, six: bool) -> Option<SocketAddr> {
    const AF_INET: u8 = 2;
    const AF_INET6: u8 = 10;
    const IPPROTO_TCP: u8 = 6;
    const CLOSED: u32 = 1 << 7;
    const BOUND_INACTIVE: u32 = 1 << 13;
    const WHERE: usize = 48;
    let family = if six { AF_INET6 } else { AF_INET };
    let mut request = Vec::from([family, IPPROTO_TCP, 0, 0]);
    request.extend((CLOSED | BOUND_INACTIVE).to_ne_bytes());
    request.extend([0; WHERE]);
    let kernel = ask(NLM_F_DUMP, &request)?;
    let mut answer = vec![0; 32 << 10];
    loop {
        let len = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::empty()).ok()?;
        let mut rest = answer.get(..len)?;
        while !rest.is_empty() {
            let size = usize::try_from(word(rest, 0)?).ok()?;
            if half(rest, 4)? != SOCK_DIAG_BY_FAMILY {
                return None;
            }
            let message = rest.get(HEADER..size)?;
            if word(message, 68).map(u64::from) == Some(inode) {
                return address(message);
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Its own, of a `struct inet_diag_msg`.
fn address(message: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be(half(message, 4)?);
    let bytes: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let [a, b, c, d, ..] = bytes;
    let ip = match message.first()? {
        2 => IpAddr::from(Ipv4Addr::from([a, b, c, d])),
        _ => Ipv6Addr::from(bytes).into(),
    };
    (port != 0).then(|| SocketAddr::new(ip, port))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
