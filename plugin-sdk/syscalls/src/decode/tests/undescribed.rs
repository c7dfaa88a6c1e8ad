//! What is still to be described.

/// Calls of x86_64 that have no description yet, by name. Whoever describes one takes it
/// from here.
pub(super) const UNDESCRIBED: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "listns",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
];
