//! The plugin malloc-check, on fixtures that count what they lose, and on programs
//! that lose nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pai_tests::fixtures;
use pai_tests::target::Target;
use serde_json::{Value, json};

use crate::common::{Ran, Watchdog, bare, finish, pai_host, run, status, stderr, stdout};

/// Runs a command under malloc-check with these options, with records.
#[track_caller]
fn records(options: &str, command: &[&str]) -> Ran {
    let plugin = format!("malloc-check {options}");
    let mut args = vec!["run", "--json", "-t", &plugin, "--"];
    args.extend(command);
    let ran = Ran::of(&args);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran
}

#[test]
fn leaks_are_found() {
    let output = run("malloc-check", &[fixtures::MALLOC_ERRORS], 0);
    let text = stderr(&output);
    assert!(
        text.ends_with(
            "0 errors; 4 blocks, 3047 bytes are lost; 0 blocks, 0 bytes are still reachable\n"
        ),
        "{text}"
    );
    let lines = bare(&text);
    let at = |what: &str| {
        let found = lines.iter().position(|line| line.starts_with(what));
        found.unwrap_or_else(|| panic!("{what:?} is not in {text}"))
    };
    let first = at(": 2 blocks, 40 bytes are definitely lost");
    assert!(lines[first + 1].contains("make+0x"), "{text}");
    assert!(lines[first + 1].contains("malloc_errors.c:"), "{text}");
    assert!(lines[first + 2].contains("leak+0x"), "{text}");
    assert!(lines[first + 3].contains("main+0x"), "{text}");
    let first = at(": 1 block, 3000 bytes are definitely lost");
    assert!(lines[first + 1].contains("main+0x"), "{text}");
    at(": 1 block, 7 bytes are definitely lost");
}

#[test]
fn blocks_that_are_freed_by_mistake_are_found() {
    // Where the C library would end the program, free does nothing.
    let args = [
        "run",
        "-t",
        "malloc-check",
        "-t",
        "override -f libc!free=0",
        "--",
    ];
    let mut args = args.to_vec();
    args.extend([fixtures::MALLOC_ERRORS, "mistakes"]);
    let output = finish(&mut pai_host(&args));
    let text = stderr(&output);
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (0, "done\n"),
        "{text}"
    );
    let lines = bare(&text);
    let at = |what: &str| {
        lines
            .iter()
            .position(|line| line.contains(what))
            .expect(what)
    };
    let line = at("is freed twice");
    assert!(lines[line + 1].contains("twice+0x"), "{text}");
    assert!(lines[line + 2].contains("main+0x"), "{text}");
    let line = at("it was freed before");
    assert!(lines[line + 1].contains("twice+0x"), "{text}");
    let line = at("its 11 bytes were allocated");
    assert!(lines[line + 1].contains("make+0x"), "{text}");
    assert!(lines[line + 2].contains("main+0x"), "{text}");
    let line = at("is freed, and was never allocated");
    assert!(lines[line + 1].contains("unknown+0x"), "{text}");
    assert!(text.contains("2 errors; "), "{text}");

    // The C library's own check comes after ours.
    let output = finish(&mut pai_host(&[
        "run",
        "malloc-check",
        "--",
        fixtures::MALLOC_ERRORS,
        "mistakes",
    ]));
    assert_eq!(status(&output), -6);
    let text = stderr(&output);
    assert!(text.contains("is freed twice"), "{text}");
    assert!(text.contains("\n1 error; "), "{text}");
}

#[test]
fn programs_free_what_they_allocate() {
    for command in [
        &["ls", "-lR", "/etc/apt"][..],
        &["git", "--version"],
        &["sh", "-c", "ls / | wc -l; (exit 3)| true"],
        &["perl", "-e", "print 1"],
    ] {
        let output = run("malloc-check -d 2", command, 0);
        let text = stderr(&output);
        assert!(text.contains("\n0 errors; "), "{command:?} {text}");
    }
}

/// Where the blocks that are freed by mistake are freed, and how often, innermost two.
fn mistakes(ran: &Ran) -> BTreeMap<Vec<String>, usize> {
    let mut places = BTreeMap::new();
    for error in ran.records("error") {
        assert_eq!(error["data"]["what"], "freed twice", "{error}");
        let stack = error["data"]["stack"].as_array().expect("a list");
        let name = |text: &Value| {
            let text = text.as_str().expect("a text");
            text.split_once('+').map_or("", |(name, _)| name).to_owned()
        };
        let names = stack.iter().map(name).collect();
        *places.entry(names).or_insert(0) += 1;
    }
    places
}

#[test]
fn what_the_c_library_frees_of_threads_is_no_mistake() {
    for (program, free) in [
        (fixtures::MALLOC_THREADS, "libc!free=0"),
        (fixtures::MALLOC_THREADS_STATIC, "free=0"),
    ] {
        let ran = records("", &[program]);
        assert_eq!(ran.stdout, "done\n");
        assert_eq!(ran.records("error").count(), 0, "{}", ran.stderr);
        // If it is linked statically, it has blocks that only read-only data leads to.
        assert_eq!(ran.records("leak").count(), 0, "{}", ran.stderr);

        // What it frees for the program still counts.
        let replaced = format!("override -f {free}");
        let plugins = ["-t", "malloc-check -d 2", "-t", &replaced];
        let args = [
            &["run", "--json"],
            &plugins[..],
            &["--", program, "mistakes"],
        ]
        .concat();
        let ran = Ran::of(&args);
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (0, "done\n"),
            "{}",
            ran.stderr
        );
        let places = mistakes(&ran);
        assert_eq!(places.values().sum::<usize>(), 6, "{places:?}");
        let closed: usize = places
            .iter()
            .filter(|(names, _)| names[1] == "close_twice")
            .map(|(_, times)| times)
            .sum();
        assert_eq!(closed, 3, "{places:?}");
    }
}

/// What a process has at the end of the trace and not at its own is in use; more is not
/// said of it.
#[test]
fn a_process_that_goes_on_is_not_looked_at() {
    let mut target = Target::start(fixtures::MALLOC_ATTACHED, &[]);
    let mut host = pai_host(&["attach", "-p", &target.pid().to_string(), "malloc-check"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("pai-host");
    let _watchdog = Watchdog::over(&host);
    let mut lines = BufReader::new(host.stderr.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("text");
    assert!(
        first.starts_with("pai-host: attached to process "),
        "{first}"
    );
    target.signal(Signal::SIGUSR1);
    assert_eq!(target.line(), "allocated");
    kill(Pid::from_raw(host.id().cast_signed()), Signal::SIGTERM).expect("not waited for");
    let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
    let process = format!(
        "{}: 3 blocks, 150 bytes that were allocated since the attach were in use, and its \
         memory was not looked at",
        target.pid()
    );
    let total = "0 errors; 3 blocks, 150 bytes were in use, and not looked at";
    assert_eq!(rest, [&process, total]);
    assert!(host.wait().expect("a child").success());
    target.expect_ok();
}

/// A child that shares memory frees and allocates what is its parent's; after its exec it
/// has a heap of its own.
#[test]
fn processes_that_share_memory_have_one_heap() {
    let ran = records("", &[fixtures::MALLOC_VFORK]);
    assert_eq!(ran.stdout, "done\n");
    assert_eq!(ran.records("error").count(), 0, "{}", ran.stderr);
    let lost = |size| ("definitely lost".to_owned(), size);
    assert_eq!(
        by_size(&ran),
        BTreeMap::from([(lost(20), 2), (lost(22), 1)])
    );
    let mut lost = ran
        .records("summary")
        .map(|line| &line["data"]["lost_blocks"]);
    assert!(
        lost.all(|blocks| *blocks == 3 || *blocks == 0),
        "{}",
        ran.stderr
    );
}

/// How many blocks of each size, by what is said of them. The C library's own have
/// sizes of its choice.
#[track_caller]
fn by_size(ran: &Ran) -> BTreeMap<(String, u64), u64> {
    let mut sizes = BTreeMap::new();
    for leak in ran.records("leak") {
        let data = &leak["data"];
        let number = |key: &str| data[key].as_u64().expect("a number");
        let stack = data["stack"].as_array().expect("a list");
        let is_own = |text: &Value| {
            text.as_str()
                .is_some_and(|text| text.starts_with("make+0x"))
        };
        if !stack.first().is_some_and(is_own) {
            continue;
        }
        let (blocks, bytes) = (number("blocks"), number("bytes"));
        assert_eq!(bytes % blocks, 0, "{leak}");
        let what = data["what"].as_str().expect("a text").to_owned();
        *sizes.entry((what, bytes / blocks)).or_insert(0) += blocks;
    }
    sizes
}

#[test]
fn what_is_lost_is_told_from_what_is_reachable() {
    const LOST: &str = "definitely lost";
    const INDIRECT: &str = "indirectly lost";
    const REACHABLE: &str = "still reachable";
    let lost = [
        (LOST, 24, 1),
        (LOST, 101, 3),
        (LOST, 109, 1),
        (LOST, 113, 1),
        (LOST, 117, 1),
        (INDIRECT, 113, 3),
        (INDIRECT, 117, 1),
    ];
    let reachable = [
        (REACHABLE, 127, 2),
        (REACHABLE, 131, 5),
        (REACHABLE, 137, 1),
        (REACHABLE, 139, 1),
        (REACHABLE, 149, 1),
        (REACHABLE, 151, 1),
        (REACHABLE, 157, 1),
        (REACHABLE, 163, 1),
        (REACHABLE, 300_000, 1),
    ];
    let expected = |groups: &[(&str, u64, u64)]| -> BTreeMap<(String, u64), u64> {
        let group =
            |(what, size, blocks): &(&str, u64, u64)| (((*what).to_owned(), *size), *blocks);
        groups.iter().map(group).collect()
    };
    let ran = records("", &[fixtures::MALLOC_LOST]);
    assert_eq!(by_size(&ran), expected(&lost));
    let ran = records("--reachable", &[fixtures::MALLOC_LOST]);
    assert_eq!(by_size(&ran), expected(&[&lost[..], &reachable].concat()));

    // The first thread's own memory, of the C library, is reachable besides.
    let summaries: Vec<&Value> = ran.records("summary").map(|line| &line["data"]).collect();
    let [summary] = summaries[..] else {
        panic!("{}", ran.stderr)
    };
    for (key, value) in [
        ("lost_blocks", 7),
        ("lost_bytes", 666),
        ("indirect_blocks", 4),
        ("indirect_bytes", 456),
        ("unknown_blocks", 0),
        ("unknown_bytes", 0),
        ("unread_bytes", 0),
    ] {
        assert_eq!(summary[key], value, "{key}: {summary}");
    }
    let reachable = |key: &str| summary[key].as_u64().expect("a number");
    assert!(reachable("reachable_blocks") >= 14, "{summary}");
    assert!(reachable("reachable_bytes") >= 301_805, "{summary}");
}

#[test]
fn leaks_have_records() {
    let ran = records("-d 2", &[fixtures::MALLOC_ERRORS]);
    assert_eq!(ran.stdout, "done\n");
    let mut leaks = Vec::new();
    for line in ran.records("leak") {
        let mut data = line["data"].clone();
        assert!(data["pid"].is_u64(), "{line}");
        data["pid"] = json!(0);
        // Names, without distances and lines.
        for place in data["stack"].as_array_mut().expect("a list") {
            let text = place.as_str().expect("a text");
            assert!(
                text.contains("malloc_errors.c:") || text.starts_with("__libc"),
                "{text}"
            );
            *place = json!(text.split_once('+').expect("a distance").0);
        }
        leaks.push(data);
    }
    leaks.sort_by_key(|leak| leak["bytes"].as_u64());
    let leak = |blocks: u32, bytes: u32, stack: [&str; 2]| {
        json!({
            "pid": 0, "what": "definitely lost", "blocks": blocks, "bytes": bytes,
            "stack": stack,
        })
    };
    assert_eq!(
        leaks,
        [
            leak(1, 7, ["make", "main"]),
            leak(2, 40, ["make", "leak"]),
            leak(1, 3000, ["main", "__libc_start_call_main"]),
        ]
    );
    let totals: Vec<&Value> = ran.records("total").map(|line| &line["data"]).collect();
    assert_eq!(
        totals,
        [&json!({
            "errors": 0,
            "lost_blocks": 4, "lost_bytes": 3047,
            "indirect_blocks": 0, "indirect_bytes": 0,
            "reachable_blocks": 0, "reachable_bytes": 0,
            "unknown_blocks": 0, "unknown_bytes": 0,
        })]
    );
    // Nothing else: the child's leak and summary, the parent's two and summary.
    assert_eq!(ran.all().len(), 3 + 2 + 1);
}

#[test]
fn mistakes_have_records() {
    let ran = Ran::of(&[
        "run",
        "--json",
        "-t",
        "malloc-check -d 1",
        "-t",
        "override -f libc!free=0",
        "--",
        fixtures::MALLOC_ERRORS,
        "mistakes",
    ]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let errors: Vec<&Value> = ran.records("error").map(|line| &line["data"]).collect();
    let [twice, unknown] = errors[..] else {
        panic!("{}", ran.stderr)
    };
    let first = |data: &Value, key: &str| {
        let list = data[key].as_array().expect("a list");
        assert_eq!(list.len(), 1, "{data}");
        let text = list[0].as_str().expect("a text");
        text.split_once('+').expect("a distance").0.to_owned()
    };
    let keys = |data: &Value| {
        data.as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    let all: Vec<String> = keys(twice);
    assert_eq!(
        all,
        ["addr", "allocated", "freed", "pid", "size", "stack", "what"]
    );
    assert_eq!(
        (&twice["what"], &twice["size"]),
        (&json!("freed twice"), &json!(11))
    );
    assert!(twice["addr"].is_u64() && twice["pid"].is_u64(), "{twice}");
    assert_eq!(first(twice, "stack"), "twice");
    assert_eq!(first(twice, "freed"), "twice");
    assert_eq!(first(twice, "allocated"), "make");
    let all: Vec<String> = keys(unknown);
    assert_eq!(all, ["addr", "pid", "stack", "what"]);
    assert_eq!(unknown["what"], "freed, and was never allocated");
    assert_eq!(first(unknown, "stack"), "unknown");
    assert_eq!(
        ran.records("total").next().expect("a total")["data"]["errors"],
        2
    );
}

#[test]
fn one_is_not_several() {
    let plugins = ["-t", "malloc-check -d 1", "-t", "override -f libc!free=0"];
    let command = ["--", fixtures::MALLOC_ERRORS, "mistakes"];
    let output = finish(&mut pai_host(&[&["run"], &plugins[..], &command].concat()));
    let text = stderr(&output);
    assert!(
        text.contains(": 1 block, 7 bytes are definitely lost\n"),
        "{text}"
    );
    assert!(!text.contains(" 1 blocks"), "{text}");
}

/// They end with much that is reachable, and nothing lost, each time the same.
#[test]
fn programs_lose_nothing() {
    // More than is looked at in one turn.
    let python = "import os; x = [b'x' * 30_000_000, bytearray(30_000_000)]; os._exit(0)";
    for command in [&["ls", "/"][..], &["/usr/bin/env", "python3", "-c", python]] {
        let mut args = vec!["run", "--json", "malloc-check", "--"];
        args.extend(["setarch", "x86_64", "-R"]);
        args.extend(command);
        let seen = [(), ()].map(|()| {
            let ran = Ran::of(&args);
            let total = ran.records("total").next().expect("a total")["data"].clone();
            assert_eq!(ran.records("leak").count(), 0, "{}", ran.stderr);
            assert_eq!(
                (&total["errors"], &total["unknown_blocks"]),
                (&json!(0), &json!(0))
            );
            assert!(total["reachable_blocks"].as_u64() > Some(10), "{total}");
            for summary in ran.records("summary") {
                assert_eq!(summary["data"]["unread_bytes"], 0, "{summary}");
            }
            total["reachable_blocks"].clone()
        });
        assert_eq!(seen[0], seen[1], "{command:?}");
    }
}
