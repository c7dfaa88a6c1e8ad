//! Plugins that misbehave are quarantined; the target and the others go on, or are not
//! started.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::{fixtures, guests};

use crate::common::{Watchdog, finish, pai_host, status, stderr, stdout};

/// Five threads making calls, getppid among them.
const TARGET: [&str; 3] = [fixtures::CLONE_THREADS, "4", "100"];
const SAYS: &str = "4 threads, 100 calls each\n";

/// Runs the target with a bad plugin alone, and then between two good ones:
/// its message, the exit status, and that the others saw everything.
#[track_caller]
fn quarantined(bad: &str, words: &[&str]) {
    let mut args = vec!["run", "--limit", "time=200ms", "-t", bad, "--"];
    args.extend(TARGET);
    let alone = finish(&mut pai_host(&args));
    let message = stderr(&alone);
    assert_eq!(stdout(&alone), SAYS, "{message}");
    assert_eq!(status(&alone), 125, "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }

    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let mut args = vec!["run", "--limit", "time=200ms", "--json", "-o", path];
    args.extend(["-t", "count", "-t", bad, "-t", guests::NOOP, "--"]);
    args.extend(TARGET);
    let output = finish(&mut pai_host(&args));
    assert_eq!(stdout(&output), SAYS, "{}", stderr(&output));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let log = std::fs::read_to_string(log.path()).expect("a log");
    let getppid = log
        .lines()
        .find(|line| line.contains("\"getppid\""))
        .expect("getppid was counted");
    assert!(getppid.contains("\"calls\":400"), "{getppid}");

    args.insert(1, "--strict");
    assert_eq!(status(&finish(&mut pai_host(&args))), 120);
}

/// Before the target runs, alone and between two others: it does not.
#[track_caller]
fn never_started(bad: &str, words: &[&str]) {
    for plugins in [
        &["-t", bad][..],
        &["-t", "count", "-t", bad, "-t", guests::NOOP],
        &["--strict", "-t", bad, "-t", "minimal"],
    ] {
        let mut args = vec!["run", "--limit", "time=200ms"];
        args.extend(plugins);
        args.push("--");
        args.extend(TARGET);
        let output = finish(&mut pai_host(&args));
        let message = stderr(&output);
        assert_eq!(stdout(&output), "", "{message}");
        assert_eq!(status(&output), 125, "{message}");
        for word in words {
            assert!(message.contains(word), "{word:?} is not in: {message}");
        }
    }
}

#[test]
fn one_that_computes_for_ever() {
    never_started(guests::LOOPS, &["loops failed", "200ms"]);
}

#[test]
fn one_that_computes_for_ever_in_a_callback() {
    quarantined(
        guests::LOOPS_IN_CALLBACK,
        &["loops-in-callback failed", "200ms"],
    );
}

#[test]
fn one_that_allocates_without_end() {
    quarantined(guests::ALLOCATES, &["allocates failed", "64 MiB"]);
}

#[test]
fn one_that_recurses_without_end() {
    quarantined(guests::RECURSES, &["recurses failed", "deeper"]);
}

#[test]
fn one_that_panics_at_once() {
    never_started(
        guests::PANICS_IN_RUN,
        &["panics-in-run failed", "nothing works today"],
    );
}

#[test]
fn one_that_panics_in_a_callback() {
    quarantined(
        guests::PANICS_IN_CALLBACK,
        &["panics-in-callback failed", "not the call I wanted"],
    );
}

#[test]
fn one_that_gives_up() {
    quarantined(
        guests::RETURNS_ERROR,
        &["returns-error failed", "I have seen enough"],
    );
}

#[test]
fn observers_are_quarantined_too() {
    quarantined(
        guests::OBSERVER_PANICS,
        &["observer-panics failed", "a record too many"],
    );
    quarantined(guests::OBSERVER_LOOPS, &["observer-loops failed", "200ms"]);
}

/// A guest that sleeps a minute through WASI steps aside: the target and the
/// other plugin do not wait. It wakes when the session ends, and comes to its own end.
#[test]
fn one_that_sleeps() {
    for sleeper in [
        guests::SLEEPS,
        guests::SLEEPS_IN_CALLBACK,
        guests::OBSERVER_SLEEPS,
    ] {
        let mut args = vec!["run", "--strict", "-t", sleeper, "-t", "count", "--"];
        args.extend(TARGET);
        let start = std::time::Instant::now();
        let output = finish(&mut pai_host(&args));
        assert_eq!(stdout(&output), SAYS, "{}", stderr(&output));
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        // It did not wait for the minute; how quick it was is not the point.
        assert!(start.elapsed() < std::time::Duration::from_secs(50));
        assert!(stderr(&output).contains("sleep"), "{}", stderr(&output));
        let last = "slept and ended\n";
        assert!(stderr(&output).contains(last), "{}", stderr(&output));
    }
}

/// pai-host with a plugin that has said its first line.
fn busy(args: &[&str]) -> (Child, BufReader<ChildStderr>, Watchdog) {
    let mut host = pai_host(args);
    let mut host = host
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let watchdog = Watchdog::over(&host);
    let mut said = BufReader::new(host.stderr.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("UTF-8");
    assert_ne!(line, "");
    (host, said, watchdog)
}

fn terminate(host: &Child) {
    let pid = Pid::from_raw(host.id().cast_signed());
    kill(pid, Signal::SIGTERM).expect("it is not waited for");
}

/// One for the target, if it still runs, and those that are for pai-host.
fn terminate_until_ended(host: &mut Child) -> ExitStatus {
    loop {
        terminate(host);
        if let Some(ended) = host.try_wait().expect("a child") {
            return ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// One that does not come to an end, and lets nothing start, can be ended by who waits.
#[test]
fn one_that_lets_nothing_start_is_ended_by_a_signal() {
    let args = [
        "run",
        "--limit",
        "time=60m",
        "-t",
        guests::LOOPS,
        "--",
        "true",
    ];
    let (mut host, _said, _watchdog) = busy(&args);
    terminate(&host);
    let ended = host.wait().expect("a child");
    assert_eq!(ended.signal(), Some(Signal::SIGTERM as i32));
}

/// Also one that has filled standard error, which nobody reads.
#[test]
fn one_that_logs_what_nobody_reads_is_ended_by_signals() {
    let target = ["--", fixtures::REPEAT_CALLS, "100000"];
    let mut args = vec!["run", "-t", guests::LOGS_MUCH];
    args.extend(target);
    let (mut host, _said, _watchdog) = busy(&args);
    let ended = terminate_until_ended(&mut host);
    assert_ne!(ended.signal(), Some(Signal::SIGKILL as i32));
}

/// Also one that takes its time with what is left when the target has ended.
#[test]
fn one_that_takes_its_time_at_the_end_is_ended_by_signals() {
    let args = [
        "run",
        "-t",
        guests::BURNS,
        "--",
        fixtures::CLONE_THREADS,
        "200",
        "1",
    ];
    let (mut host, _said, _watchdog) = busy(&args);
    let ended = terminate_until_ended(&mut host);
    assert_ne!(ended.signal(), Some(Signal::SIGKILL as i32));
}

#[test]
fn calls_are_skipped_rewritten_and_replaced() {
    let run = |options: &str, command: &[&str]| {
        let plugin = format!("{} {options}", guests::TAMPERS);
        let mut args = vec!["run", "-t", &plugin, "--"];
        args.extend(command);
        finish(&mut pai_host(&args))
    };
    let output = run("--skip-write 5", &["sh", "-c", "echo 1234; exit 3"]);
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (3, ""),
        "{}",
        stderr(&output)
    );
    let script = "import os; print(os.getppid() == os.getpid())";
    let output = run("--getppid-to-getpid", &["python3", "-c", script]);
    assert_eq!(stdout(&output), "True\n", "{}", stderr(&output));
    let output = run(
        "--getppid-returns 4242",
        &["python3", "-c", "import os; print(os.getppid())"],
    );
    assert_eq!(stdout(&output), "4242\n", "{}", stderr(&output));
    let output = run("--deliver 0", &["sh", "-c", "kill -USR1 $$; echo alive"]);
    assert_eq!(stdout(&output), "alive\n", "{}", stderr(&output));
    let output = run("--deliver 15", &["sh", "-c", "kill -USR1 $$; echo alive"]);
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (-15, ""),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_plugin_may_kill_only_if_it_wants_to() {
    let mut args = vec!["run", "-t", guests::KILLS, "--"];
    args.extend(TARGET);
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), -9, "{}", stderr(&output));
}

#[test]
fn what_is_not_wanted_is_denied() {
    let mut args = vec!["run", guests::DENIED, "--"];
    args.extend(TARGET);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(stdout(&output), SAYS, "{text}");
    for (what, capability) in [
        ("memory", "memory-read"),
        ("write", "memory-write"),
        ("find", "memory-read"),
        ("maps", "memory-read"),
        ("set-register", "registers-write"),
        ("signal", "tamper"),
        ("raise", "tamper"),
        ("delay", "control"),
        ("kill", "kill"),
        ("breakpoint", "control"),
        ("watchpoint", "control"),
        ("hook", "control"),
        ("step", "control"),
        ("interrupt", "control"),
        ("call", "inject"),
        ("call-syscall", "inject"),
        ("allocate", "inject"),
        ("set-vector", "registers-write"),
        ("lookup", "memory-read"),
        ("search", "memory-read"),
        ("resolve", "memory-read"),
        ("modules", "memory-read"),
        ("entry", "memory-read"),
        ("imports", "memory-read"),
        ("backtrace", "memory-read"),
        ("skip", "tamper"),
    ] {
        let line = format!("{what}: the plugin does not want the capability {capability}: add ");
        assert!(text.contains(&line), "{line:?} is not in: {text}");
    }
    assert!(text.contains("registers: done"), "{text}");
}

/// What was made to run is not held without the capability for that.
#[test]
fn a_call_is_no_way_to_hold_a_task() {
    let mut args = vec!["run", guests::HOLDS_AFTER_CALL, "--"];
    args.extend(TARGET);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(stdout(&output), SAYS, "{text}");
    assert!(text.contains("done\n"), "{text}");
    assert!(
        text.contains("kept: Err(Error::Denied(\"control\"))"),
        "{text}"
    );
    assert!(text.contains("then: true"), "{text}");
}

#[test]
fn options_reach_the_plugin() {
    let run = |options: &[&str]| {
        let mut args = vec!["run", guests::OPTIONS_PROBE];
        args.extend(options);
        args.extend(["--", "true"]);
        stderr(&finish(&mut pai_host(&args)))
    };
    assert_eq!(
        run(&[]),
        "flag false\ntext Some(\"none\")\nnumber None\nmany []\n"
    );
    assert_eq!(
        run(&["-f", "-t", "a b", "--number=-3", "--many", "x", "--many=y"]),
        "flag true\ntext Some(\"a b\")\nnumber Some(-3)\nmany [\"x\", \"y\"]\n"
    );
}

/// With the cargo feature `syscalls` nothing but the imports changes.
#[test]
fn names_come_from_the_host_or_from_tables() {
    let ask = |plugin| stderr(&finish(&mut pai_host(&["run", plugin, "--", "true"])));
    let from_host = ask(guests::NAMES_PROBE);
    assert!(
        from_host.contains("59: Some(\"execve\") Some(59) Some(3)\n"),
        "{from_host}"
    );
    assert!(from_host.contains("2: Some(\"ENOENT\") Some(\"No such file or directory\")\n"));
    assert!(from_host.contains("9: Some(\"SIGKILL\")\n"));
    assert_eq!(ask(guests::NAMES_PROBE_TABLES), from_host);
    let imports = |plugin| stdout(&finish(&mut pai_host(&["inspect", plugin])));
    assert!(imports(guests::NAMES_PROBE).contains("pai:plugin/syscalls@"));
    assert!(!imports(guests::NAMES_PROBE_TABLES).contains("pai:plugin/syscalls@"));
}

/// Megabytes of arguments are cut in what plugins are told; nothing else is lost.
#[test]
fn huge_command_lines_blind_nobody() {
    let words = "x".repeat(120_000);
    let script = "\"$0\" \"$@\" & \"$0\" \"$@\" & wait; exit 6";
    let mut args = vec!["--strict", "exits", "--", "sh", "-c", script, "/bin/true"];
    args.extend([words.as_str(); 12]);
    args.insert(0, "run");
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(status(&output), 6);
    assert_eq!(text.matches(" executes /").count(), 3);
    assert_eq!(text.matches(" exited with 0 after").count(), 2);
    assert_eq!(text.matches(" exited with 6 after").count(), 1);
    for plugin in ["exits", "strace"] {
        let mut args = vec!["run", "--json", plugin, "--", "/bin/true"];
        args.extend([words.as_str(); 12]);
        let ran = crate::common::Ran::of(&args);
        assert_eq!(ran.status, 0);
        let exec = ran.records("exec").next().expect("an exec");
        let argv = exec["data"]["argv"].as_array().expect("a list");
        let last = argv.last().and_then(|word| word.as_str()).expect("a text");
        assert!(last.ends_with('…') && exec.to_string().len() < 100_000);
    }
}

#[test]
fn straight_line_code_runs_between_events() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::RUN_UNTIL_THINGS,
        "--",
        fixtures::SKIP_TARGETS,
    ]));
    let text = stderr(&output);
    assert!(text.contains("exec, 1 task\n"), "{text}");
    assert!(
        text.contains("first: [\"enter\", \"exit\"] true\n"),
        "{text}"
    );
    assert!(text.contains("write held: State::Stopped\n"), "{text}");
    assert!(text.contains("rax Some(1)\n"), "{text}");
}

#[test]
fn the_sandbox_is_closed() {
    let output = finish(&mut pai_host(&["run", guests::READS_WASI, "--", "true"]));
    assert_eq!(
        stderr(&output),
        "file: false\nwrite: false\nenvironment: 0\narguments: 0\nconnect: false\ninput: Some(0)\n"
    );
    let output = finish(&mut pai_host(&["run", guests::PRINTS_WASI, "--", "true"]));
    let text = stderr(&output);
    assert!(text.contains("to standard output"), "{text}");
}

/// What the plugin memory-probe says of `true`, and the counters.
pub(crate) fn memory_probe() -> String {
    let output = finish(&mut pai_host(&[
        "run",
        "--stats",
        guests::MEMORY_PROBE,
        "--",
        "true",
    ]));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    text
}

#[test]
fn memory_is_read_or_typed_errors_returned() {
    let text = memory_probe();
    assert!(
        text.contains("null: Err(\"address 0x0 of process"),
        "{text}"
    );
    assert!(
        text.contains("too much: Err(\"limit reached: read-size\")"),
        "{text}"
    );
    assert!(text.contains("elf: [7f, 45, 4c, 46]"), "{text}");
    assert!(text.contains("as u32: 0x464c457f"), "{text}");
    assert!(text.contains("string: \"ELF\""), "{text}");
    assert!(text.contains("stack: true"), "{text}");
    assert!(
        text.contains("nobody: Err(\"no process 1 in this session\")"),
        "{text}"
    );
}

#[test]
fn memory_is_written_and_searched() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::MEMORY_WRITES,
        "--",
        fixtures::MEM_READABLE,
    ]));
    let text = stderr(&output);
    assert_eq!(status(&output), 0, "{text}");
    assert_eq!(
        text,
        "0x12 -2 0.5 -1.5\ntrue\nunmapped: true\nfound: true\n"
    );
    assert_eq!(
        stdout(&output),
        "writable: changed 1\nread-only: changed 2\nexecutable: changed 3\n"
    );
}

#[test]
fn an_observer_that_is_too_slow_loses_records_and_knows_it() {
    let output = finish(&mut pai_host(&[
        "run",
        guests::SLOW_OBSERVER,
        "--",
        fixtures::CLONE_THREADS,
        "1",
        "5000",
    ]));
    let text = stderr(&output);
    let words: Vec<u64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|w| w.parse().ok())
        .collect();
    let [seen, lost, all] = words[..] else {
        panic!("{text}")
    };
    assert_eq!(seen + lost, all);
    assert!(all > 5000, "{text}");
}
