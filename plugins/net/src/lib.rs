//! Connections: addresses, and what was sent and received.

use std::collections::BTreeMap;

use pai_plugin::decode::{Decoded, Limits, SocketAddress, Value, is_error};
use pai_plugin::descriptors::{self, Descriptors, fd};
use pai_plugin::json::Object;
use pai_plugin::output::{emit, print, structured};
use pai_plugin::{Call, Item, Observer, Overflow, Pid, RecordFlags, Result, Topic, names};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "net",
    description: "connections: addresses, and bytes sent and received by socket",
    wants: [
        Control("the target waits rather than that a call is not counted"),
        MemoryRead("to see the addresses"),
    ],
    run: run,
}

/// Calls that make sockets and tell their addresses, that receive and that send.
const CALLS: &str = "socket socketpair accept accept4 connect bind getsockname getpeername \
    recvfrom recvmsg recvmmsg read readv preadv2 sendto sendmsg sendmmsg write \
    writev pwritev2 sendfile sendfile64";

/// Addresses, and all messages of a call that has several (UIO_MAXIOV in linux/uio.h).
const LIMITS: Limits = Limits {
    text: 0,
    items: 1024,
    ..Limits::NONE
};

fn run() -> Result<()> {
    let mut net = Net::default();
    for target in Observer::targets()? {
        for fd in 0..if target.attached { 1024 } else { 3 } {
            let name = Observer::descriptor(target.pid, fd).unwrap_or_default();
            if name.starts_with(b"socket:[") {
                let socket = net.add(Socket::new(target.pid, "?"));
                net.open.found(target.pid, fd, socket);
            }
        }
    }
    let others = descriptors::CALLS.iter().copied();
    let calls = CALLS.split_whitespace().chain(others);
    let observer = Observer::new()
        .overflow(Overflow::Block)
        .topic(Topic::Forks)
        .topic(Topic::Execs)
        .calls(calls, Some(LIMITS.into()));
    observer.run(|item| {
        match item {
            Item::Call(call) => net.call(call),
            Item::Event(event) => net.open.event(event),
            Item::Lost(records) => net.lost += records,
            Item::Flush => {}
        }
        Ok(())
    })?;
    if structured() {
        return net.emit();
    }
    print(&net.text());
    Ok(())
}

/// A socket, by whatever descriptors it is known.
struct Socket {
    /// Who made it.
    pid: Pid,
    protocol: &'static str,
    accepted: bool,
    local: Option<SocketAddress>,
    peer: Option<SocketAddress>,
    /// By the other side: without a connection each message has its own.
    traffic: BTreeMap<Option<SocketAddress>, Traffic>,
    /// Failures of calls that have nothing to do with the traffic.
    errors: u64,
}

#[derive(Clone, Copy, Default)]
struct Traffic {
    sent: u64,
    received: u64,
    errors: u64,
}

impl Socket {
    fn new(pid: Pid, protocol: &'static str) -> Self {
        Self {
            pid,
            protocol,
            accepted: false,
            local: None,
            peer: None,
            traffic: BTreeMap::new(),
            errors: 0,
        }
    }

    /// Other sides with what went to and fro, and one without traffic if that is all.
    fn rows(&self) -> impl Iterator<Item = (Option<&SocketAddress>, Traffic)> {
        let idle = self.traffic.is_empty()
            && (self.errors > 0 || self.local.is_some() || self.peer.is_some());
        let idle = idle.then_some((self.peer.as_ref(), Traffic::default()));
        let busy = self.traffic.iter();
        let rows = busy.map(|(peer, traffic)| (peer.as_ref(), *traffic));
        let errors = self.errors;
        rows.chain(idle).enumerate().map(move |(place, row)| {
            let (peer, mut traffic) = row;
            traffic.errors += if place == 0 { errors } else { 0 };
            (peer, traffic)
        })
    }

    /// `127.0.0.1:80 <- 127.0.0.1:50000`
    fn name(&self, peer: Option<&SocketAddress>) -> String {
        let arrow = if self.accepted { "<-" } else { "->" };
        let local = self.local.as_ref().map(SocketAddress::to_string);
        let peer = peer.map(|peer| format!("{arrow} {peer}"));
        let parts: Vec<String> = local.into_iter().chain(peer).collect();
        // What the target calls its sockets cannot play tricks on a terminal.
        let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        parts.join(" ").chars().map(plain).collect()
    }
}

#[derive(Default)]
struct Net {
    /// In the order in which they were made.
    sockets: Vec<Socket>,
    open: Descriptors<usize>,
    lost: u64,
}

impl Net {
    fn add(&mut self, socket: Socket) -> usize {
        self.sockets.push(socket);
        self.sockets.len() - 1
    }

    fn call(&mut self, call: Call<'_>) {
        const EINPROGRESS: i64 = -115;
        const EAGAIN: i64 = -11;
        let no_result = RecordFlags::RESTARTS | RecordFlags::NO_RETURN | RecordFlags::DETACHED;
        if call.record_flags.intersects(no_result) {
            return;
        }
        let Some(name) = names::syscall(call.call) else {
            return;
        };
        let failed = is_error(call.ret) && ![EINPROGRESS, EAGAIN].contains(&call.ret);
        match (&*name, fd(call.a0)) {
            ("socket" | "socketpair", _) if !is_error(call.ret) => self.made(call, &name),
            ("accept" | "accept4", fd) if !is_error(call.ret) => self.accepted(call, &name, fd),
            ("accept" | "accept4" | "connect" | "bind" | "getsockname" | "getpeername", fd) => {
                let Some(socket) = self.socket(call.pid, fd) else {
                    return;
                };
                let address = call.decode(LIMITS).as_ref().and_then(named);
                // A socket without a peer is asked for its name all the same.
                socket.errors += u64::from(failed && !name.starts_with("get"));
                match &*name {
                    "connect" => socket.peer = address,
                    "bind" | "getsockname" if !failed => socket.local = address,
                    "getpeername" if !failed && socket.peer.is_none() => socket.peer = address,
                    _ => {}
                }
            }
            ("recvfrom" | "recvmsg" | "recvmmsg" | "read" | "readv" | "preadv2", fd) => {
                self.moved(call, fd, failed, |traffic| &mut traffic.received);
            }
            (
                "sendto" | "sendmsg" | "sendmmsg" | "write" | "writev" | "pwritev2" | "sendfile"
                | "sendfile64",
                fd,
            ) => self.moved(call, fd, failed, |traffic| &mut traffic.sent),
            _ => self.open.call(&call),
        }
    }

    /// socket(2), socketpair(2)
    fn made(&mut self, call: Call<'_>, name: &str) {
        let protocol = protocol(call.a0, call.a1);
        let fds = match name {
            "socket" => vec![fd(call.ret.cast_unsigned())],
            _ => call
                .decode(LIMITS)
                .map(|call| pair(&call))
                .unwrap_or_default(),
        };
        for fd in fds {
            let socket = self.add(Socket::new(call.pid, protocol));
            self.open.open(&call, fd, socket, call.a1);
        }
    }

    /// It has the listener's address.
    fn accepted(&mut self, call: Call<'_>, name: &str, listener: i32) {
        let listener = self.socket(call.pid, listener);
        let (protocol, local) = match listener {
            Some(listener) => (listener.protocol, listener.local.clone()),
            None => ("?", None),
        };
        let socket = self.add(Socket {
            accepted: true,
            local,
            peer: call.decode(LIMITS).as_ref().and_then(named),
            ..Socket::new(call.pid, protocol)
        });
        let flags = if name == "accept4" { call.a3 } else { 0 };
        let made = fd(call.ret.cast_unsigned());
        self.open.open(&call, made, socket, flags);
    }

    fn moved(
        &mut self,
        call: Call<'_>,
        fd: i32,
        failed: bool,
        way: impl FnOnce(&mut Traffic) -> &mut u64,
    ) {
        let Some(socket) = self.socket(call.pid, fd) else {
            return;
        };
        let decoded = call.decode(LIMITS);
        let address = decoded.as_ref().and_then(named);
        let peer = address.or_else(|| socket.peer.clone());
        let several = decoded.as_ref().and_then(bytes_of_several);
        // Not negative: what is, is an error.
        let bytes = several.unwrap_or_else(|| u64::try_from(call.ret).unwrap_or(0));
        let traffic = socket.traffic.entry(peer).or_default();
        traffic.errors += u64::from(failed);
        *way(traffic) += bytes;
    }

    fn socket(&mut self, pid: Pid, fd: i32) -> Option<&mut Socket> {
        self.sockets.get_mut(*self.open.get(pid, fd)?)
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "        sent     received   errors proto socket\n\
             ------------ ------------ -------- ----- ----------------\n",
        );
        for socket in &self.sockets {
            for (peer, traffic) in socket.rows() {
                let [sent, received, errors] = [traffic.sent, traffic.received, traffic.errors]
                    .map(|count| match count {
                        0 => String::new(),
                        count => count.to_string(),
                    });
                let line = format!(
                    "{sent:>12} {received:>12} {errors:>8} {:<5} {}",
                    socket.protocol,
                    socket.name(peer)
                );
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        if self.lost > 0 {
            text.push_str(&format!(
                "{} records were lost: the counts are too low\n",
                self.lost
            ));
        }
        text
    }

    fn emit(&self) -> Result<()> {
        for socket in &self.sockets {
            for (peer, traffic) in socket.rows() {
                let mut object = Object::new()
                    .number("pid", socket.pid)
                    .text("protocol", socket.protocol)
                    .flag("accepted", socket.accepted);
                for (key, address) in [("local", socket.local.as_ref()), ("peer", peer)] {
                    if let Some(address) = address {
                        object = object.text(key, &address.to_string());
                    }
                }
                let object = object
                    .number("sent", traffic.sent)
                    .number("received", traffic.received)
                    .number("errors", traffic.errors);
                emit("socket", &object.end())?;
            }
        }
        emit("total", &Object::new().number("lost", self.lost).end())
    }
}

/// The address of a call; the name of a socket that has none is no address.
fn named(call: &Decoded) -> Option<SocketAddress> {
    let nameless = SocketAddress::Unix(Vec::new());
    call.address().filter(|address| *address != nameless)
}

/// What people call a family and a type (bits/socket.h).
fn protocol(family: u64, of_type: u64) -> &'static str {
    match (family, of_type & 0xf) {
        (1, _) => "unix",
        (2 | 10, 1) => "tcp",
        (2 | 10, 2) => "udp",
        (2 | 10, _) => "ip",
        (16, _) => "netlink",
        (17, _) => "packet",
        (40, _) => "vsock",
        _ => "other",
    }
}

/// Descriptors that a call has written to memory.
fn pair(call: &Decoded) -> Vec<i32> {
    let arrays = call.args.iter().filter_map(|arg| arg.value.items());
    let fds = arrays.flatten().filter_map(|item| match item {
        Value::Fd(fd) => Some(*fd),
        _ => None,
    });
    fds.collect()
}

/// sendmmsg(2) and recvmmsg(2) return messages, not bytes.
fn bytes_of_several(call: &Decoded) -> Option<u64> {
    let messages = call.argument("mmsg")?.items()?;
    let count = match call.ret.as_ref().and_then(Value::number) {
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        None => 0,
    };
    let len = |message: &Value| message.fields()?.get("msg_len")?.number();
    Some(messages.iter().take(count).filter_map(len).sum())
}
