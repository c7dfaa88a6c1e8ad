//! The plugin net: connections of real programs on the loopback device.

use serde_json::{Value, json};

use crate::common::{Ran, finish, pai_host, status, stderr};

/// Runs a script of Python under the plugin; what it says of each socket, without ids.
#[track_caller]
fn sockets(script: &str) -> Vec<Value> {
    let ran = Ran::of(&["run", "--json", "net", "--", "python3", "-c", script]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let total = &ran.records("total").next().expect("a total")["data"];
    assert_eq!(*total, json!({"lost": 0}));
    let rows = ran.records("socket").map(|line| line["data"].clone());
    rows.collect()
}

/// What differs from run to run is the port that the kernel chooses.
fn without_port(address: &Value) -> Option<&str> {
    let (host, _) = address.as_str()?.rsplit_once(':')?;
    Some(host)
}

#[test]
fn a_server_and_its_client() {
    let rows = sockets(
        "import os, socket
server = socket.create_server(('127.0.0.1', 0))
address = server.getsockname()
if os.fork() == 0:
    server.close()
    client = socket.create_connection(address)
    client.sendall(b'x' * 1000)
    os.write(client.fileno(), b'yz')
    client.shutdown(socket.SHUT_WR)
    copy = os.dup(client.fileno())
    client.close()
    while os.read(copy, 100): pass
    os._exit(0)
peer, _ = server.accept()
while peer.recv(4096): pass
peer.sendmsg([b'abc', b'de'])
peer.close()
os.wait()
",
    );
    let listener = &rows[0];
    let port = listener["local"].clone();
    assert_eq!(without_port(&port), Some("127.0.0.1"));
    let [accepted] = rows
        .iter()
        .filter(|row| row["accepted"] == true)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{rows:?}")
    };
    let [client] = rows
        .iter()
        .filter(|row| row["peer"] == port)
        .collect::<Vec<_>>()[..]
    else {
        panic!("{rows:?}")
    };
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!(accepted["local"], port);
    assert_eq!(without_port(&accepted["peer"]), Some("127.0.0.1"));
    assert_ne!(accepted["pid"], client["pid"]);
    for (row, sent, received) in [(accepted, 5, 1002), (client, 1002, 5), (listener, 0, 0)] {
        assert_eq!(
            (&row["sent"], &row["received"]),
            (&json!(sent), &json!(received))
        );
        assert_eq!(
            (&row["protocol"], &row["errors"]),
            (&json!("tcp"), &json!(0))
        );
    }
}

#[test]
fn messages_without_connections() {
    let rows = sockets(
        "import socket
one, other, third = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(3)]
one.bind(('::1', 0))
other.bind(('::1', 0))
names = [one.getsockname(), other.getsockname()]
third.sendto(b'abc', names[0])
third.sendto(b'defgh', names[1])
third.sendto(b'i', names[0])
one.recvfrom(100)
one.recvmsg(100)
other.recv(100)
",
    );
    let [one, other, to_one, to_other] = &rows[..] else {
        panic!("{rows:?}")
    };
    for row in &rows {
        assert_eq!(
            (&row["protocol"], &row["errors"]),
            (&json!("udp"), &json!(0))
        );
    }
    assert_eq!(
        (&one["received"], &other["received"]),
        (&json!(4), &json!(5))
    );
    let mut sent = [to_one, to_other].map(|row| (row["peer"].clone(), row["sent"].clone()));
    let mut expected = [
        (one["local"].clone(), json!(4)),
        (other["local"].clone(), json!(5)),
    ];
    sent.sort_by_key(|(_, sent)| sent.as_u64());
    expected.sort_by_key(|(_, sent)| sent.as_u64());
    assert_eq!(sent, expected);
    assert_eq!(without_port(&one["local"]), Some("[::1]"));
}

#[test]
fn a_table_for_people() {
    let script = "import socket
one, other = socket.socketpair()
one.send(b'1234')
other.recv(2)
try: socket.create_connection(('127.0.0.1', 1))
except OSError: pass
try: socket.socket(socket.AF_UNIX).connect('/nonexistent/socket')
except OSError: pass
";
    let output = finish(&mut pai_host(&[
        "run", "net", "--", "python3", "-c", script,
    ]));
    assert_eq!(status(&output), 0);
    assert_eq!(
        stderr(&output),
        "        sent     received   errors proto socket\n\
         ------------ ------------ -------- ----- ----------------\n\
         \x20          4                       unix\n\
         \x20                       2          unix\n\
         \x20                                1 tcp   -> 127.0.0.1:1\n\
         \x20                                1 unix  -> /nonexistent/socket\n"
    );
}
