//! `pai-host run --json strace`: calls in typed form, as docs/strace.schema.json has them.

use pai_tests::fixtures;
use serde_json::{Value, json};

use crate::common::{Ran, finish, json_lines, pai_host, status, stderr, stdout};
use crate::schema::Schema;

const SCHEMA: &str = include_str!("../../docs/strace.schema.json");

/// Runs a command; every line has to fit the schema.
#[track_caller]
fn traced(options: &[&str], command: &[&str]) -> Ran {
    let args = [&["run", "--json", "strace"], options, &["--"], command].concat();
    let ran = Ran::of(&args);
    let schema = Schema::new(SCHEMA);
    for line in ran
        .stderr
        .lines()
        .filter(|line| line.contains("\"strace\""))
    {
        schema.assert_fits(&json_lines(line)[0]);
    }
    ran
}

/// The calls of this name.
fn calls<'r>(ran: &'r Ran, name: &str) -> Vec<&'r Value> {
    let calls = ran.records("syscall").map(|line| &line["data"]);
    calls.filter(|call| call["syscall"] == name).collect()
}

/// The value of an argument.
#[track_caller]
fn argument<'c>(call: &'c Value, name: &str) -> &'c Value {
    let args = call["args"].as_array().expect("arguments");
    let arg = args.iter().find(|arg| arg["name"] == name);
    &arg.unwrap_or_else(|| panic!("no {name}: {call}"))["value"]
}

#[test]
fn arguments_are_what_they_mean() {
    let script = "import os; os.write(1, b'\\xff\"\\n'); os.path.exists('/nonexistent'); \
        os.readv(os.open('/proc/self/mounts', 0), [bytearray(2), bytearray(3)])";
    let ran = traced(
        &["--trace", "write,readv,openat,newfstatat"],
        &["python3", "-c", script],
    );
    let write = *calls(&ran, "write").last().expect("a write");
    assert_eq!(argument(write, "fd"), &json!(1));
    assert_eq!(argument(write, "buf"), &json!({"hex": "ff220a"}));
    assert_eq!((&write["ret"], &write["result"]), (&json!(3), &json!(3)));
    let stat = calls(&ran, "newfstatat");
    let missing = stat.iter().find(|call| call["error"] == "ENOENT");
    let missing = missing.expect("something is not there");
    assert!(missing.get("result").is_none(), "{missing}");
    assert_eq!(argument(missing, "dfd"), &json!(-100));
    let found = stat
        .iter()
        .find(|call| call["result"] == 0)
        .expect("a file");
    let status = argument(found, "statbuf");
    assert!(
        status["st_ino"].is_u64() && status["st_dev"]["major"].is_u64(),
        "{status}"
    );
    assert!(status["st_mode"]["type"].is_string(), "{status}");
    let open = *calls(&ran, "openat").last().expect("a file");
    assert_eq!(
        argument(open, "filename"),
        &json!({"text": "/proc/self/mounts"})
    );
    let flags = json!({"value": 0o2_000_000, "flags": ["O_RDONLY", "O_CLOEXEC"]});
    assert_eq!(argument(open, "flags"), &flags);
    let readv = *calls(&ran, "readv").last().expect("a read");
    let vectors = argument(readv, "vec").as_array().expect("an array");
    let lengths: Vec<_> = vectors.iter().map(|one| &one["iov_len"]).collect();
    assert_eq!(lengths, [&json!(2), &json!(3)]);
    let pieces = vectors.iter().map(|one| one["iov_base"]["text"].as_str());
    assert_eq!(
        pieces.map(|text| text.map(str::len)).collect::<Vec<_>>(),
        [Some(2), Some(3)]
    );
}

#[test]
fn details_are_a_matter_of_choice() {
    let command = ["sh", "-c", "cat /nonexistent/file 2>/dev/null || true"];
    let open = |detail| {
        let ran = traced(&["--detail", detail, "--trace", "openat"], &command);
        let calls = calls(&ran, "openat");
        (*calls
            .iter()
            .rfind(|call| call["error"] == "ENOENT")
            .expect("a failure"))
        .clone()
    };
    let raw = open("raw");
    let registers = raw["args"].as_array().expect("registers");
    assert_eq!(registers.len(), 4);
    assert_eq!(registers[0], "0xffffff9c");
    let basic = open("basic");
    let address = argument(&basic, "filename").as_str().expect("an address");
    assert!(address.starts_with("0x7ff"), "{address}");
    assert_eq!(argument(&basic, "flags")["flags"], json!(["O_RDONLY"]));
}

/// Every line of programs that do all kinds of things.
#[test]
fn every_line_fits_the_schema() {
    let script = "ls -l / >/dev/null; kill -USR1 $$ & wait; exec python3 -c 'import json'";
    let shell = traced(&[], &["sh", "-c", &format!("trap : USR1; {script}")]);
    for kind in ["syscall", "signal", "exec", "exit"] {
        assert!(shell.records(kind).next().is_some(), "no {kind}");
    }
    traced(&["-v"], &["sh", "-c", "kill -SEGV $$"]);
    for options in [
        &[][..],
        &["-v"],
        &["--detail", "basic"],
        &["--detail", "raw"],
        &["-s", "0"],
    ] {
        let fixture = traced(options, &[fixtures::DECODE_FILES]);
        assert!(!calls(&fixture, "openat").is_empty(), "{}", fixture.stderr);
    }
    for area in [
        fixtures::DECODE_IOCTL_TERMINALS,
        fixtures::DECODE_MEMORY,
        fixtures::DECODE_NAMES,
        fixtures::DECODE_POLLS,
        fixtures::DECODE_PROCESS,
        fixtures::DECODE_SIGNALS,
        fixtures::DECODE_SOCKETS,
        fixtures::DECODE_SOCKOPTS,
        fixtures::DECODE_STAT,
        fixtures::DECODE_TIMES,
    ] {
        let fixture = traced(&[], &[area]);
        assert!(
            !calls(&fixture, "getpriority").is_empty(),
            "{area}: no mark"
        );
    }
}

#[test]
fn stacks_are_arrays() {
    let ran = traced(
        &["-k", "--trace", "close,exit_group"],
        &[fixtures::STACK_LINES],
    );
    let functions = |stack: &Value| -> Vec<String> {
        let frames = stack.as_array().expect("a stack").iter();
        frames
            .filter(|frame| frame["file"] == fixtures::STACK_LINES)
            .map(|frame| frame["function"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let close = *calls(&ran, "close").last().expect("a call");
    let inner = ["inner", "inner", "inner", "inner", "main", "_start"];
    assert_eq!(functions(&close["stack"]), inner);
    let exit = calls(&ran, "exit_group")[0];
    assert_eq!(exit["no_return"], true);
    assert_eq!(functions(&exit["stack"]), ["leave", "main", "_start"]);
    let signal = ran.records("signal").next().expect("a signal");
    assert_eq!(functions(&signal["data"]["stack"]), ["main", "_start"]);
}

#[test]
fn a_process_that_was_let_go_has_no_result() {
    let args = [
        "run",
        "--json",
        "--detach-on-exec",
        "strace",
        "--trace",
        "execve",
    ];
    let command = ["--", "sh", "-c", "exec /bin/true"];
    let ran = Ran::of(&[&args[..], &command].concat());
    let schema = Schema::new(SCHEMA);
    for line in ran.records("syscall") {
        schema.assert_fits(line);
    }
    let last = *calls(&ran, "execve").last().expect("an exec");
    assert_eq!(last["detached"], true);
    assert!(last.get("ret").is_none(), "{last}");
    assert_eq!(ran.status, 0);
}

/// Names of calls, each once, in order.
fn names(ran: &Ran) -> Vec<&str> {
    let calls = ran.records("syscall");
    let mut names: Vec<_> = calls
        .filter_map(|line| line["data"]["syscall"].as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn records_are_chosen_as_lines_are() {
    let missing = [
        "sh",
        "-c",
        "cat /nonexistent /etc/hostname 2>/dev/null; exit 3",
    ];
    let trace = ["--trace", "openat,newfstatat,exit_group"];
    let failed = |data: &Value| data.get("error").is_some();
    let all = |options: &[&str]| -> Vec<Value> {
        let ran = traced(&[&trace, options].concat(), &missing);
        let calls = ran.records("syscall").map(|line| line["data"].clone());
        calls.collect()
    };
    let everything = all(&[]);
    assert!(everything.iter().any(failed) && !everything.iter().all(failed));
    for options in [&["-z"][..], &["-e", "status=successful"]] {
        let calls = all(options);
        let good = |call: &Value| !failed(call) && call.get("no_return").is_none();
        assert!(!calls.is_empty() && calls.iter().all(good), "{options:?}");
    }
    for options in [&["-Z"][..], &["-e", "status=failed"]] {
        let calls = all(options);
        assert!(!calls.is_empty() && calls.iter().all(failed), "{options:?}");
    }
    let unfinished = all(&["-e", "status=unfinished"]);
    let ended = unfinished.iter().filter(|call| call["no_return"] == true);
    assert_eq!((unfinished.len(), ended.count()), (2, 2));
    // By its name, and by a descriptor.
    let ran = traced(&["-P", "/etc/hostname"], &missing);
    let names = names(&ran);
    assert!(
        names.contains(&"openat") && names.contains(&"read"),
        "{names:?}"
    );
    assert!(!names.contains(&"mmap"), "{names:?}");
}

#[test]
fn signals_and_ends_are_chosen_too() {
    let command = [
        "sh",
        "-c",
        "exec 2>/dev/null; trap : USR1; kill -USR1 $$; sh -c 'kill -9 $$'; exit 3",
    ];
    let counts = |options: &[&str]| {
        let ran = traced(&[&["--trace", "none"], options].concat(), &command);
        let signals = ran.records("signal").map(|line| &line["data"]["signal"]);
        let signals: Vec<Value> = signals.cloned().collect();
        let ends: Vec<_> = ran.records("exit").map(|line| &line["data"]).collect();
        let codes = ends.iter().filter(|end| end["code"] == 3).count();
        (signals, codes, ends.len() - codes)
    };
    let usr1 = json!("SIGUSR1");
    let (signals, codes, killed) = counts(&[]);
    assert!(signals.contains(&usr1) && signals.contains(&json!("SIGCHLD")));
    assert_eq!((codes, killed), (1, 1));
    assert_eq!(counts(&["-e", "signal=usr1"]), (vec![usr1], 1, 0));
    assert_eq!(counts(&["-e", "signal=none"]), (Vec::new(), 1, 0));
    for quiet in [&["-q", "-q"][..], &["-e", "quiet=exit"]] {
        let (signals, codes, killed) = counts(quiet);
        assert_eq!((signals.len(), codes, killed), (2, 0, 1), "{quiet:?}");
    }
    let execs = |options: &[&str]| {
        let ran = traced(options, &[fixtures::FILES_EACH]);
        let in_threads = ran
            .records("exec")
            .filter(|line| line["data"]["pid"] != line["data"]["former_tid"]);
        in_threads.count()
    };
    assert_eq!(execs(&["-q", "-q"]), 1);
    assert_eq!(execs(&["-q", "-q", "-q"]), 0);
}

#[test]
fn descriptors_have_what_they_refer_to() {
    let script = "import os, socket, select
a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()
b = socket.create_connection(a.getsockname()); b.send(b'x')
p = select.poll(); p.register(b.fileno(), select.POLLOUT); p.poll(0)
d = os.open('/dev/null', 1); os.write(d, b'y')
os.pidfd_open(os.getpid())
r, w = os.pipe(); os.write(w, b'z')";
    let command = ["/usr/bin/python3", "-I", "-S", "-c", script];
    let trace = ["--trace", "openat,write,sendto,poll,pidfd_open,pipe2"];
    let plain = traced(&trace, &command);
    assert!(!plain.stderr.contains("\"fds\""), "{}", plain.stderr);
    let ran = traced(&[&["-y"], &trace[..]].concat(), &command);
    let writes = calls(&ran, "write");
    let number = argument(writes[0], "fd");
    assert_eq!(
        writes[0]["fds"],
        json!([{"fd": number, "path": "/dev/null"}])
    );
    let name = writes[1]["fds"][0]["name"].as_str().expect("a pipe");
    assert!(name.starts_with("pipe:["), "{name}");
    // The folder that a path starts in, and the result.
    let open = *calls(&ran, "openat").last().expect("a file");
    let here = std::env::current_dir().expect("a folder");
    let here = json!({"fd": -100, "path": here});
    let made = json!({"fd": open["ret"], "path": "/dev/null"});
    assert_eq!(open["fds"], json!([here, made]));
    let pipes = calls(&ran, "pipe2")[0]["fds"].as_array().expect("two");
    assert_eq!(pipes.len(), 2);
    let poll = calls(&ran, "poll")[0];
    let polled = &argument(poll, "ufds")[0]["fd"];
    assert_eq!(&poll["fds"][0]["fd"], polled, "{poll}");

    let ran = traced(&[&["-y", "-y"], &trace[..]].concat(), &command);
    let device = json!({"type": "char", "major": 1, "minor": 3});
    assert_eq!(calls(&ran, "write")[0]["fds"][0]["device"], device);
    let sent = &calls(&ran, "sendto")[0]["fds"][0]["socket"];
    assert_eq!(sent["protocol"], "TCP");
    for end in ["local", "remote"] {
        let end = sent[end].as_str().expect("an end");
        assert!(end.starts_with("127.0.0.1:"), "{sent}");
    }
    let process = calls(&ran, "pidfd_open")[0];
    assert_eq!(process["fds"][0]["pid"], process["pid"]);
}

#[test]
fn tasks_have_the_names_of_their_commands() {
    let command = ["sh", "-c", "kill -0 $$"];
    let ran = traced(&["-Y", "--trace", "kill"], &command);
    let kill = calls(&ran, "kill")[0];
    assert_eq!(kill["tasks"], json!([{"tid": kill["pid"], "comm": "sh"}]));
}

#[test]
fn times_and_places_are_told_when_they_are_asked_for() {
    let command = ["sh", "-c", "trap : USR1; kill -USR1 $$; exit 3"];
    let trace = ["--trace", "kill,exit_group"];
    let plain = traced(&trace, &command);
    for key in ["time", "since", "ip"] {
        assert!(!plain.stderr.contains(&format!("\"{key}\"")), "{key}");
    }
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("a time");
    let options = ["-t", "-t", "-t", "-r", "-i"];
    let ran = traced(&[&options, &trace[..]].concat(), &command);
    let mut began = None;
    for line in ran.all().iter().filter(|line| line["plugin"] == "strace") {
        let data = &line["data"];
        let time: f64 = data["time"]
            .as_str()
            .and_then(|t| t.parse().ok())
            .expect("a time");
        assert!((0.0..60.0).contains(&(time - now.as_secs_f64())), "{line}");
        let at = data["at"].as_i64().expect("a time");
        let since = began.map_or(0, |before| at - before);
        assert_eq!(data["since"], since, "{line}");
        began = Some(at);
        let has_place = matches!(line["kind"].as_str(), Some("syscall" | "signal"));
        assert_eq!(data["ip"].is_string(), has_place, "{line}");
    }
    let ran = traced(&[&["-t"], &trace[..]].concat(), &command);
    let time = calls(&ran, "kill")[0]["time"].as_str().expect("a time");
    let digits: Vec<usize> = time.split(':').map(str::len).collect();
    assert_eq!(digits, [2, 2, 2], "{time}");
    let options = ["--timestamp-format", "unix,ns"];
    let ran = traced(&[&options, &trace[..]].concat(), &command);
    let time = calls(&ran, "kill")[0]["time"].as_str().expect("a time");
    let (_, part) = time.split_once('.').expect("a fraction");
    assert_eq!(part.len(), 9, "{time}");
}

#[test]
fn tables_are_records() {
    let command = ["sh", "-c", "cat /nonexistent 2>/dev/null; kill -USR1 $$"];
    let only = traced(&["-c", "-S", "calls"], &command);
    for kind in ["syscall", "signal", "exec", "exit"] {
        assert_eq!(only.records(kind).count(), 0, "{kind}");
    }
    let rows: Vec<_> = only.records("summary").map(|line| &line["data"]).collect();
    let sum = |key: &str| -> u64 { rows.iter().filter_map(|row| row[key].as_u64()).sum() };
    let counts: Vec<_> = rows.iter().map(|row| row["calls"].as_u64()).collect();
    assert!(counts.is_sorted_by(|one, other| one >= other), "{counts:?}");
    let [total] = only.records("summary-total").collect::<Vec<_>>()[..] else {
        panic!("no total: {}", only.stderr);
    };
    for key in ["calls", "errors", "total"] {
        assert_eq!(total["data"][key], sum(key), "{key}");
    }
    let open = rows.iter().find(|row| row["syscall"] == "openat");
    assert!(open.expect("a row")["errors"].as_u64() > Some(0));

    let both = traced(&["-C", "-U", "calls,max-time"], &command);
    for kind in ["syscall", "signal", "exec", "exit", "summary"] {
        assert!(both.records(kind).next().is_some(), "no {kind}");
    }
    let row = both.records("summary").next().expect("a row");
    let row = row["data"].as_object().expect("an object");
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    assert_eq!(keys, ["abi", "calls", "longest", "nr", "syscall"]);
    let counted: u64 = both
        .records("summary")
        .filter_map(|row| row["data"]["calls"].as_u64())
        .sum();
    let ended = both
        .records("syscall")
        .filter(|line| line["data"]["ret"].is_i64());
    assert_eq!(counted, ended.count() as u64);
}

#[test]
fn what_only_changes_lines_is_refused() {
    for (options, why) in [
        (&["-a", "1"][..], "-a with --json: records have no columns"),
        (&["-x"], "-x with --json: records have all bytes"),
        (
            &["--escapes-in-hex"],
            "-x with --json: records have all bytes",
        ),
        (
            &["-X", "raw"],
            "-X with --json: records have numbers and names",
        ),
        (&["-e", "read=all"], "-e read with --json: "),
        (&["-e", "write=1"], "-e write with --json: "),
    ] {
        let args = [
            &["run", "--strict", "--json", "strace"],
            options,
            &["--", "true"],
        ]
        .concat();
        let output = finish(&mut pai_host(&args));
        let text = stderr(&output);
        assert!(text.contains(why), "{options:?}: {text}");
        assert_ne!(status(&output), 0, "{options:?}");
        let words = [&["strace", "--json"], options, &["echo", "ran"]].concat();
        let output = finish(&mut pai_host(&words));
        assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
    }
}
