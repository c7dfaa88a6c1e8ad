//! `pai-host strace -e inject=...` and strace with the same options: the same lines, and
//! the same done to the target.

use std::collections::BTreeMap;

use pai_tests::{fixtures, lines};
use serde_json::json;

use crate::common::{OURS, Ran, STRACE, finish, pai_host, status, stderr, stdout, under};

/// What a tracer wrote, and what the target saw of it.
#[derive(PartialEq, Eq, Debug)]
struct Traced {
    status: i32,
    stdout: String,
    /// Calls by task.
    calls: Vec<String>,
    /// Signals but SIGCHLD, in their order, and the calls before them.
    signals: Vec<String>,
}

fn traced(tracer: &[&str], options: &[&str], mode: &str) -> Traced {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = under(tracer);
    command.args(["-f", "-a1", "-o"]).arg(log.path());
    let output = finish(command.args(options).args([fixtures::INJECT_TARGETS, mode]));
    let log = std::fs::read(log.path()).expect("a log");
    let log = String::from_utf8_lossy(&log);
    Traced {
        status: status(&output),
        stdout: stdout(&output),
        calls: lines::from_log(&log),
        signals: signals(&log),
    }
}

/// Each with the name of the call whose line is the last before it.
fn signals(log: &str) -> Vec<String> {
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    let mut signals = Vec::new();
    for line in log.lines() {
        let (tid, line) = line.split_once(' ').expect("a task");
        let line = line.trim_start();
        match line.split_once('(') {
            _ if line.starts_with("--- SIGCHLD") => {}
            _ if line.starts_with("---") => {
                signals.push(format!("{}: {line}", last.get(tid).unwrap_or(&"")));
            }
            Some((name, _)) => drop(last.insert(tid, name)),
            None => {}
        }
    }
    signals
}

/// Panics unless both do the same; returns what.
#[track_caller]
fn same(mode: &str, options: &[&str]) -> Traced {
    let theirs = traced(STRACE, options, mode);
    let ours = traced(OURS, options, mode);
    assert_eq!(ours, theirs, "{options:?}");
    ours
}

/// The lines that tell of tampering.
fn marked(traced: &Traced) -> Vec<&str> {
    let calls = traced.calls.iter().map(String::as_str);
    calls
        .filter(|line| line.ends_with(')') && line.contains("ED"))
        .collect()
}

const CALLS: &str = "trace=openat,read,chdir,close,/^[f]?chdir";

#[test]
fn errors_and_results() {
    let seen = same(
        "calls",
        &["-e", CALLS, "-e", "inject=openat:error=EMFILE:when=2"],
    );
    assert_eq!(
        marked(&seen),
        ["openat(AT_FDCWD, \"/dev/zero\", O_RDONLY) = -1 EMFILE (Too many open files) (INJECTED)"]
    );
    assert!(seen.stdout.contains("open -24, "), "{}", seen.stdout);
    let seen = same("calls", &["-e", CALLS, "-e", "inject=chdir:retval=7"]);
    assert_eq!(marked(&seen), ["chdir(\"/nonexistent\") = 7 (INJECTED)"; 5]);
    for expression in [
        "inject=chdir:error=4095",
        "inject=chdir:error=512:when=1",
        "inject=read:retval=0x10:when=2",
        "fault=chdir",
        "fault=chdir:error=eperm:when=3+",
    ] {
        let seen = same("calls", &["-e", CALLS, "-e", expression]);
        assert!(!marked(&seen).is_empty(), "{expression}");
    }
}

#[test]
fn which_of_the_calls() {
    for (when, times) in [
        ("1", 1),
        ("2+2", 2),
        ("1..3", 3),
        ("1..4+2", 2),
        ("2..3+", 2),
        ("4+", 2),
        ("6", 0),
        ("1:when=2+", 4),
    ] {
        let expression = format!("inject=chdir:error=EIO:when={when}");
        let seen = same("calls", &["-e", CALLS, "-e", &expression]);
        assert_eq!(marked(&seen).len(), times, "{when}");
    }
}

#[test]
fn sets_of_calls() {
    for set in [
        "%file",
        "file",
        "/^ch",
        "chdir,?nosuch",
        "!openat,read,close,write",
    ] {
        let expression = format!("inject={set}:error=EIO:when=2");
        let seen = same(
            "calls",
            &["-e", "trace=chdir,read,openat", "-e", &expression],
        );
        assert!(!marked(&seen).is_empty(), "{set}");
    }
    // Only what is traced is tampered with, and counted.
    let seen = same(
        "calls",
        &["-e", "trace=read", "-e", "inject=chdir:error=EIO"],
    );
    assert!(seen.stdout.contains("chdir -2"), "{}", seen.stdout);
    let seen = same(
        "calls",
        &[
            "-y",
            "-P",
            "/dev/zero",
            "-e",
            "inject=%file,read:error=EIO:when=2",
        ],
    );
    assert_eq!(marked(&seen).len(), 2);
    assert!(!seen.stdout.contains("chdir -5"), "{}", seen.stdout);
}

#[test]
fn of_several_expressions_the_last_counts() {
    let pair = [
        "inject=chdir:error=EIO",
        "inject=chdir,read:error=EPERM:when=2",
    ];
    let seen = same("calls", &["-e", CALLS, "-e", pair[0], "-e", pair[1]]);
    assert_eq!(marked(&seen).len(), 2);
    let seen = same("calls", &["-e", CALLS, "-e", pair[1], "-e", pair[0]]);
    assert_eq!(marked(&seen).len(), 6);
    let long = [
        "--fault=chdir:error=EPERM",
        "-e",
        "inject=chdir:error=EIO:when=1",
    ];
    let seen = same("calls", &[&["--trace=chdir"], &long[..]].concat());
    assert_eq!(marked(&seen).len(), 1);
    let long = [
        "--inject=chdir:error=EIO:when=1",
        "--fault=chdir:error=EPERM",
    ];
    let seen = same("calls", &[&["--trace=chdir"], &long[..]].concat());
    assert_eq!(marked(&seen).len(), 5);
}

#[test]
fn signals_are_the_kernels_own() {
    let seen = same(
        "calls",
        &["-e", CALLS, "-e", "inject=chdir:signal=SIGUSR1:when=2+2"],
    );
    let signal = "chdir: --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_KERNEL} ---";
    assert_eq!(seen.signals, [signal; 2]);
    assert!(seen.stdout.ends_with("signals: 200\n"), "{}", seen.stdout);
    assert_eq!(marked(&seen), [""; 0]);
    let seen = same(
        "calls",
        &["-e", CALLS, "-e", "inject=chdir:signal=10:error=EIO:when=2"],
    );
    assert_eq!(
        (seen.signals, seen.stdout.contains("chdir -5")),
        (vec![signal.to_owned()], true)
    );
    let seen = same(
        "calls",
        &["-e", CALLS, "-e", "inject=chdir:signal=KILL:when=3"],
    );
    assert_eq!(seen.status, -9);
}

#[test]
fn memory_that_arguments_point_to() {
    let seen = same(
        "calls",
        &[
            "-e",
            CALLS,
            "-e",
            "inject=chdir:poke_enter=@arg1=2f00:when=2",
        ],
    );
    assert_eq!(marked(&seen), ["chdir(\"/\") = 0 (INJECTED: args)"]);
    assert!(seen.stdout.contains("chdir 0 to /\n"), "{}", seen.stdout);
    let seen = same(
        "calls",
        &["-e", CALLS, "-e", "inject=read:poke_exit=@arg2=0102:when=2"],
    );
    assert_eq!(
        marked(&seen),
        ["read(3, \"\\1\\2\\0\\0\", 4) = 4 (INJECTED: args)"]
    );
    assert!(seen.stdout.contains("read 4: 0102,"), "{}", seen.stdout);
    for part in [
        "read:poke_exit=@arg2=41424344:retval=4",
        "chdir:poke_enter=@arg1=2f:poke_exit=@arg1=2f78:error=EIO",
        "chdir:poke_exit=@arg1=78:delay_exit=1:signal=URG",
        // It has one argument.
        "chdir:poke_enter=@arg2=00",
        "chdir:poke_exit=@arg1=78,@arg2=00,@arg7=00",
        // Nothing is there.
        "openat:poke_enter=@arg1=00",
    ] {
        let expression = format!("inject={part}:when=3");
        same("calls", &["-e", CALLS, "-e", &expression]);
    }
}

#[test]
fn another_call_in_its_place_is_what_filters_see() {
    let trace = ["-e", "trace=chdir", "-e"];
    let options = [&trace[..], &["inject=chdir:error=EIO:syscall=getpid"]].concat();
    let seen = same("filter", &options);
    assert_eq!((seen.status, seen.stdout.as_str()), (0, "chdir -5\n"));
    let seen = same(
        "filter",
        &[&trace[..], &["inject=chdir:retval=3:syscall=getpid"]].concat(),
    );
    assert_eq!(seen.stdout, "chdir 0\n");
    let seen = same(
        "calls",
        &[&trace[..], &["inject=chdir:syscall=getuid:error=EINTR"]].concat(),
    );
    assert_eq!(marked(&seen).len(), 5);
    // Without it the number is -1, which the filter has not on its list.
    let options = [&trace[..], &["inject=chdir:error=EIO"]].concat();
    let ours = traced(OURS, &options, "filter");
    assert_eq!((ours.status, ours.stdout.as_str()), (-31, ""));
}

#[test]
fn each_call_of_each_task_is_counted_by_itself() {
    let trace = ["-e", "trace=chdir,chroot,execve", "-e"];
    for (expression, times) in [
        ("inject=chdir,chroot:error=EIO:when=2", 4),
        ("inject=chdir:error=EIO:when=3", 2),
        ("inject=execve:error=EIO", 1),
        ("inject=execve:error=EIO:when=2", 0),
    ] {
        let theirs = traced(
            &["strace"],
            &[&trace[..], &[expression]].concat(),
            "threads",
        );
        let ours = traced(OURS, &[&trace[..], &[expression]].concat(), "threads");
        // The environment of execve has an address and a size.
        let bare = |traced: &Traced| -> Vec<String> {
            let calls = traced.calls.iter();
            calls
                .map(|line| line.split(" /* ").next().unwrap_or(line).to_owned())
                .collect()
        };
        assert_eq!(bare(&ours), bare(&theirs), "{expression}");
        assert_eq!(marked(&ours).len(), times, "{expression}: {ours:?}");
    }
}

#[test]
fn delays_are_marked_and_last() {
    for expression in [
        "inject=chdir:delay_enter=20ms:when=1",
        "inject=chdir:delay_exit=20000:when=1",
        "inject=chdir:delay_enter=10ms:delay_exit=.01s:error=EIO:when=1",
    ] {
        let seen = same("clock", &["-e", "trace=chdir", "-e", expression]);
        let first = seen.stdout.lines().next();
        assert_eq!(first, Some("20 ms or more"), "{expression}");
        assert_eq!(marked(&seen).len(), 1);
        assert!(seen.calls[0].ends_with(" (DELAYED)"), "{:?}", seen.calls);
    }
}

#[test]
fn a_delay_holds_up_nobody_else() {
    for (expression, how, call) in [
        ("inject=chdir:delay_enter=3600s:when=2", "held", "= ?"),
        (
            "inject=chdir:delay_exit=3600s:when=2",
            "held-done",
            "= 0 (DELAYED)",
        ),
    ] {
        let options = ["-e", "trace=chdir", "-e", expression];
        let ours = traced(OURS, &options, how);
        assert_eq!(
            (ours.status, ours.stdout.as_str()),
            (0, "the leader is in chdir\n")
        );
        let first = "chdir(\"/proc\") = 0".to_owned();
        assert_eq!(ours.calls, [first, format!("chdir(\"/\") {call}")]);
    }
}

#[test]
fn a_signal_comes_with_a_delay() {
    let expression = "inject=chdir:delay_enter=1ms:signal=USR1:when=2";
    let ours = traced(OURS, &["-e", CALLS, "-e", expression], "calls");
    assert_eq!(ours.signals.len(), 1, "{ours:?}");
    assert!(ours.stdout.ends_with("signals: 100\n"), "{}", ours.stdout);
}

#[test]
fn json_has_what_was_done() {
    let expression = "inject=chdir:poke_enter=@arg1=2f00:error=EIO:delay_exit=1:when=2";
    let ran = Ran::of(&[
        "strace",
        "--json",
        "-e",
        "trace=chdir",
        "-e",
        expression,
        fixtures::INJECT_TARGETS,
        "calls",
    ]);
    let calls: Vec<_> = ran.records("syscall").map(|line| &line["data"]).collect();
    assert_eq!(ran.records("syscall").count(), 5);
    let done = |n: usize| ["tampered", "poked", "delayed"].map(|name| calls[n].get(name));
    assert_eq!(done(0), [None; 3]);
    assert_eq!(done(1), [Some(&json!(true)); 3]);
    assert_eq!(calls[1]["error"], "EIO");
    let schema = crate::schema::Schema::new(include_str!("../../docs/strace.schema.json"));
    for line in ran.all() {
        assert_eq!(line["plugin"], "strace");
        schema.assert_fits(line);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_started() {
    for (expression, why) in [
        ("inject=", "no system call named \"\""),
        ("inject=chdir", "nothing is done to the calls"),
        ("inject=chdir:when=2", "nothing is done to the calls"),
        ("inject=chdri:error=EIO", "is it \"chdir\"?"),
        ("inject=chdir:error=EFOO", "\"EFOO\" is no error"),
        (
            "inject=chdir:error=EIO:retval=1",
            "error or retval is there twice",
        ),
        (
            "inject=chdir:error=EIO:when=3..2",
            "\"3..2\" is none of the forms",
        ),
        ("inject=chdir:signal=65", "65 is no signal"),
        (
            "inject=chdir:syscall=write:error=EIO",
            "syscall \"write\" is none of %pure",
        ),
        ("inject=chdir:delay_enter=1h", "\"1h\" is no time"),
        (
            "inject=chdir:poke_enter=@arg8=00",
            "\"@arg8=00\" is not @argN=HEX",
        ),
        ("inject=chdir:frob=1", "\"frob=1\" is none of error, retval"),
        (
            "fault=chdir:signal=INT",
            "\"signal=INT\" is none of error, syscall, when",
        ),
        ("trace=chdri", "is it \"chdir\"?"),
    ] {
        let args = [
            "strace",
            "-e",
            expression,
            "-e",
            "inject=read:error=EIO:when=9",
            "echo",
            "hi",
        ];
        let output = finish(&mut pai_host(&args));
        let text = stderr(&output);
        assert_eq!(
            (status(&output), stdout(&output).as_str()),
            (125, ""),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
        let kind = expression.split('=').next();
        if kind != Some("trace") {
            let start = format!("pai-host: plugin fault failed: {expression}: ");
            assert!(text.starts_with(&start), "{text}");
        }
    }
}
