//! Plugins with breakpoints, hooks and calls, on real programs.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::target::Target;
use pai_tests::{fixtures, guests};

use crate::common::{
    PAI_HOST, Watchdog, bare, finish, pai_host, plain, run, status, stderr, stdout,
};

#[test]
fn state_counts() {
    let output = run(guests::STATE, &[fixtures::SYM_STATIC], 0);
    let said = stderr(&output);
    let count = said.strip_suffix(" syscalls\n").expect("one line");
    let counted = run("count", &[fixtures::SYM_STATIC], 0);
    let counted = stderr(&counted);
    let total = counted.lines().last().expect("a table");
    assert_eq!(total.split_whitespace().next(), Some(count), "{counted}");
}

#[test]
fn functions_of_the_target_are_called() {
    for plugin in [guests::BREAKPOINT, guests::BREAKPOINT_NOEVENT] {
        for command in [&["echo", "hello"][..], &["python3", "-c", "print('hello')"]] {
            let output = run(plugin, command, 0);
            assert_eq!(stdout(&output), "hello\n");
            let said = stderr(&output);
            let pid = said.strip_prefix("getpid() is ").expect("its line");
            assert!(pid.trim_end().parse::<u32>().is_ok(), "{said}");
        }
    }
}

/// A fixture's own functions and no others.
fn trace_funcs(patterns: &[&str]) -> String {
    let mut plugin = "trace-funcs".to_owned();
    for pattern in patterns {
        plugin.push_str(&format!(" -i '{pattern}'"));
    }
    plugin
}

#[test]
fn calls_are_traced_with_arguments_and_results() {
    let plugin = format!("{} -a 1", trace_funcs(&["fib", "factorial"]));
    let output = run(&plugin, &[fixtures::HOOK_RECURSION, "3"], 0);
    assert_eq!(
        bare(&stderr(&output)),
        [
            "-> fib(3)",
            "  -> fib(2)",
            "    -> fib(1)",
            "    <- fib = 1",
            "    -> fib(0)",
            "    <- fib = 0",
            "  <- fib = 1",
            "  -> fib(1)",
            "  <- fib = 1",
            "<- fib = 2",
            "-> factorial(3)",
            "  -> factorial(2)",
            "    -> factorial(1)",
            "    <- factorial = 1",
            "  <- factorial = 2",
            "<- factorial = 6",
        ]
    );
}

/// Of more processes than pai-host may have files open.
#[test]
fn calls_of_a_crowd_are_traced() {
    let plugin = trace_funcs(&["hot_leaf"]);
    let limited = r#"ulimit -Sn 64 && exec "$0" run -t "$1" "$2" 150"#;
    let args = ["-c", limited, PAI_HOST, &plugin, fixtures::CROWD_CALLS];
    let mut command = Command::new("sh");
    plain(&mut command);
    let output = finish(command.args(args));
    assert_eq!(stdout(&output), "150 calls\n");
    let said = bare(&stderr(&output));
    for line in ["-> hot_leaf", "<- hot_leaf"] {
        let lines = said.iter().filter(|said| said.starts_with(line));
        assert_eq!(lines.count(), 150, "{line}: {said:?}");
    }
}

#[test]
fn calls_that_do_not_return_are_traced() {
    let plugin = format!("{} -a 2", trace_funcs(&["deep", "shallow"]));
    let output = run(&plugin, &[fixtures::HOOK_LONGJMP, "1", "2"], 0);
    assert_eq!(
        bare(&stderr(&output)),
        [
            "-> deep(2, 1)",
            "  -> deep(1, 1)",
            "  <- deep was left",
            "<- deep was left",
            "-> deep(2, 0)",
            "  -> deep(1, 0)",
            "  <- deep = 1",
            "<- deep = 3",
            "-> shallow(1, 0)",
            "<- shallow = 2",
        ]
    );
}

#[test]
fn calls_in_children_are_traced() {
    let plugin = format!("{} -a 1", trace_funcs(&["outer", "forking", "plain"]));
    let output = run(&plugin, &[fixtures::HOOK_FORK, "1"], 0);
    // The two processes run at once.
    let mut lines = bare(&stderr(&output));
    lines.sort();
    assert_eq!(
        lines,
        [
            "  -> forking(0)",
            "  <- forking = 1",
            "  <- forking = 2",
            "-> outer(0)",
            "-> plain(0)",
            "<- outer = 101",
            "<- outer = 102",
            "<- plain = 5",
        ]
    );
}

#[test]
fn libraries_that_come_and_go_are_traced() {
    let plugin = format!("{} -a 0", trace_funcs(&["libm.so*!cos"]));
    let output = run(&plugin, &[fixtures::BP_DLOPEN, "5"], 0);
    let lines = bare(&stderr(&output));
    assert_eq!(lines.len(), 30, "{lines:?}");
    for pair in lines.chunks(2) {
        assert_eq!(pair[0], "-> cos()");
        assert!(pair[1].starts_with("<- cos = "), "{pair:?}");
    }
}

#[test]
fn every_program_that_a_shell_executes_is_traced() {
    let plugin = trace_funcs(&["libc.so*!setlocale"]);
    let output = run(
        &plugin,
        &["sh", "-c", "ls / >/dev/null; cat /dev/null; exit 4"],
        4,
    );
    let text = stderr(&output);
    let entries = text
        .lines()
        .filter(|line| line.contains("-> setlocale(6, "));
    let tasks: std::collections::BTreeSet<_> = entries
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(tasks.len(), 2, "{text}");
}

#[test]
fn functions_of_coreutils_are_traced() {
    // Indirect functions, chosen by the loader or at the first call.
    let output = run(
        "trace-funcs -i 'libc.so*!mem*' -x '*!memset*'",
        &["ls", "-l", "/"],
        0,
    );
    assert!(stdout(&output).contains("usr\n"));
    let text = stderr(&output);
    assert!(text.contains("-> memcpy(0x"), "{text}");
    assert!(!text.contains("memset"), "{text}");
    let entries = text.lines().filter(|line| line.contains(" -> "));
    let returns = text.lines().filter(|line| line.contains(" <- "));
    assert_eq!(entries.count(), returns.count(), "{text}");
}

#[test]
fn too_many_functions_are_not_hooked() {
    let output = run("trace-funcs --max 2", &[fixtures::HOOK_RECURSION, "2"], 0);
    let text = stderr(&output);
    assert!(text.contains("2 functions were hooked; "), "{text}");
    assert!(
        text.contains("narrow --include, or raise --max\n"),
        "{text}"
    );
    let output = run("trace-funcs -i nothing_here", &["true"], 0);
    assert_eq!(stderr(&output), "no function fits\n");
}

#[test]
fn a_process_that_runs_is_hooked() {
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let pid = target.pid().to_string();
    let mut host = pai_host(&[
        "attach",
        "-p",
        &pid,
        "-t",
        "trace-funcs -i libc!syscall -a 1",
    ])
    .stderr(Stdio::piped())
    .spawn()
    .expect("pai-host");
    let _watchdog = Watchdog::over(&host);
    let mut lines = BufReader::new(host.stderr.take().expect("a pipe")).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("-> syscall(")));
    assert!(line.is_some(), "no call was shown");
    kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGINT).expect("not waited for");
    lines.for_each(drop);
    assert!(host.wait().expect("a child").success());
    target.expect_ok();
}

#[test]
fn results_are_overridden() {
    let output = run("override -f varargs", &[fixtures::HOOK_ARGS], 125);
    assert!(stderr(&output).contains("varargs: no result is given"));
    let plugin = "override -f ints8=0x10 -f by_value=-7 -f varargs -r 5";
    let output = run(plugin, &[fixtures::HOOK_ARGS], 0);
    let text = stdout(&output);
    for line in [
        "ints8 16\n",
        "by_value -7\n",
        "varargs 5\n",
        "returns_wide 5 6\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(stderr(&output), "3 results were replaced\n");
    // Inside of libc, from a program that is not prepared for it.
    let output = run("override -f 'libc.so*!geteuid=12345'", &["id", "-u"], 0);
    assert_eq!(stdout(&output), "12345\n");
    let output = run("override -f nothing_here=1", &["true"], 0);
    assert_eq!(stderr(&output), "there is no function \"nothing_here\"\n");
    let output = run("override -f varargs=many", &[fixtures::HOOK_ARGS], 125);
    assert!(stderr(&output).contains("varargs=many: \"many\" is no number"));
}

#[test]
fn functions_run_or_not_when_their_results_are_overridden() {
    // Each call counts itself.
    let command = [fixtures::HOOK_RECURSION, "5"];
    let output = run("override -f fib=8", &command, 0);
    assert!(
        stdout(&output).starts_with("fib(5) = 8, 0 calls\n"),
        "{}",
        stdout(&output)
    );
    let output = run("override --after -f fib=8", &command, 0);
    assert!(
        stdout(&output).starts_with("fib(5) = 8, 15 calls\n"),
        "{}",
        stdout(&output)
    );
    assert_eq!(stderr(&output), "15 results were replaced\n");
}

#[test]
fn functions_that_are_called_are_covered() {
    let output = run("coverage", &[fixtures::HOOK_TAIL, "1"], 0);
    let text = stderr(&output);
    for name in [
        "tail_target",
        "tail_self",
        "main",
        "_start",
        "tell",
        "expect",
    ] {
        assert!(
            !text.contains(&format!("  - {name}\n")) && text.contains("  + tail_target\n"),
            "{name}: {text}"
        );
    }
    assert!(text.contains("  - fail\n"), "{text}");
    let (_, counts) = text.split_once("hook_tail: ").expect("its module");
    let numbers: Vec<usize> = counts
        .split_whitespace()
        .take(3)
        .filter_map(|word| word.parse().ok())
        .collect();
    let hit = text.lines().filter(|line| line.starts_with("  + ")).count();
    let not = text.lines().filter(|line| line.starts_with("  - ")).count();
    assert_eq!(numbers, [hit, hit + not], "{text}");
}

#[test]
fn coverage_is_that_of_all_processes_and_of_modules() {
    let output = run(
        "coverage -m hook_fork",
        &["sh", "-c", &format!("exec {} 2", fixtures::HOOK_FORK)],
        0,
    );
    // Only children call it.
    assert!(
        stderr(&output).contains("  + plain\n"),
        "{}",
        stderr(&output)
    );
    let output = run("coverage -m nothing_here", &["true"], 0);
    assert_eq!(stderr(&output), "no module fits \"nothing_here\"\n");
}

#[test]
fn lcov_tracefiles() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let args = [
        "run",
        "-o",
        path,
        "-t",
        "coverage --lcov",
        "--",
        fixtures::HOOK_RECURSION,
        "3",
    ];
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let text = std::fs::read_to_string(path).expect("a log");
    let source = include_str!("../fixtures/hook_recursion.c");
    let (_, record) = text
        .split_once("fixtures/hook_recursion.c\n")
        .expect("its file");
    let (record, _) = record.split_once("end_of_record\n").expect("an end");
    for name in ["fib", "factorial", "main"] {
        let line = source
            .lines()
            .position(|line| line.contains(&format!(" {name}(")) && !line.starts_with([' ', '\t']));
        let line = line.expect("its line") + 1;
        // That of the first instruction may be behind the head.
        let told = record
            .lines()
            .filter_map(|line| line.strip_prefix("FN:")?.split_once(','))
            .find(|(_, of)| *of == name);
        let (told, _) = told.expect("its record");
        let told: usize = told.parse().expect("a number");
        assert!((line..=line + 2).contains(&told), "{name} {record}");
        assert!(record.contains(&format!("FNDA:1,{name}\n")), "{record}");
    }
    assert!(record.contains("FNF:3\nFNH:3\n"), "{record}");
}

#[test]
fn variables_are_watched() {
    // In each of two threads and in the child.
    let output = run("watch -v w1 -v w8", &[fixtures::WATCH_WRITES, "2", "1"], 0);
    let lines = bare(&stderr(&output));
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(count("w1 is 0x"), 2, "{lines:?}");
    assert_eq!(count("w8 is 0x"), 8, "{lines:?}");
    let writers = lines.iter().filter(|line| line.contains(": store8+0x"));
    assert_eq!(writers.count(), 8, "{lines:?}");
    assert_eq!(
        lines.last().map(String::as_str),
        Some("writes"),
        "{lines:?}"
    );
    let output = run("watch -v nothing_here", &["true"], 0);
    assert_eq!(stderr(&output), "there is no variable \"nothing_here\"\n");
}
