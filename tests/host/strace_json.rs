//! `pai-host run --json strace`: calls in typed form, as docs/strace.schema.json has them.

use pai_tests::fixtures;
use serde_json::{Value, json};

use crate::common::{Ran, json_lines};
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
