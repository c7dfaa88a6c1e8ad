//! Several plugins that break, step, call and allocate in one target, unaware
//! of each other.

use std::collections::BTreeMap;

use pai_tests::{fixtures, guests};

use crate::common::{self, finish, pai_host, status, stderr, stdout};

/// Runs plugins in this order on a command; the target must not notice. Returns
/// what they said.
#[track_caller]
fn run(options: &[&str], plugins: &[&str], command: &[&str]) -> String {
    let (said, text) = run_changed(options, plugins, command);
    let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let alone = common::untraced(&words);
    assert_eq!(said, (status(&alone), stdout(&alone)), "{text}");
    text
}

/// The same for a target that is changed: how it ended, and what it said.
fn run_changed(options: &[&str], plugins: &[&str], command: &[&str]) -> ((i32, String), String) {
    let mut args = vec!["run"];
    args.extend(options);
    for plugin in plugins {
        args.extend(["-t", plugin]);
    }
    args.push("--");
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    ((status(&output), stdout(&output)), stderr(&output))
}

/// Runs them in this order, and the other way round.
#[track_caller]
fn run_both_ways(options: &[&str], plugins: &[&str], command: &[&str]) -> [String; 2] {
    let back: Vec<&str> = plugins.iter().rev().copied().collect();
    [run(options, plugins, command), run(options, &back, command)]
}

fn breakpoints(label: &str, options: &str) -> String {
    format!("{} --label {label} {options}", guests::BREAKPOINTS)
}

/// What a plugin of this label said, line by line.
fn lines<'a>(text: &'a str, label: &str) -> Vec<&'a str> {
    let own = format!("{label}: ");
    let lines = text.lines();
    lines.filter_map(|line| line.strip_prefix(&own)).collect()
}

/// Hits by the number of the address.
#[track_caller]
fn hits(text: &str, label: &str) -> BTreeMap<usize, u64> {
    let of = |line: &str| {
        let (hits, index) = line.split_once(" hits at ")?;
        Some((index.parse().ok()?, hits.parse().ok()?))
    };
    lines(text, label).into_iter().filter_map(of).collect()
}

/// Entries and exits by the name of the call.
#[track_caller]
fn calls(text: &str, label: &str) -> BTreeMap<String, (usize, usize)> {
    let of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, enters, exits] = words[..] else {
            return None;
        };
        Some((name.to_owned(), (enters.parse().ok()?, exits.parse().ok()?)))
    };
    lines(text, label).into_iter().filter_map(of).collect()
}

/// What strace counts without us, but for calls whose number depends on how
/// threads wait for each other.
fn calls_untraced(command: &[&str], without: &[&str]) -> BTreeMap<String, usize> {
    let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let (_, calls) = common::strace(&words);
    let mut counts = common::counts(&calls);
    counts.retain(|name, _| !without.contains(&name.as_str()));
    counts
}

/// A plugin counted what strace counts, and each call has its exit. (The last
/// one has none, and neither has the end of a thread.)
#[track_caller]
fn assert_calls(text: &str, label: &str, command: &[&str], without: &[&str]) {
    let mut seen = calls(text, label);
    seen.retain(|name, _| !without.contains(&name.as_str()));
    for (name, (enters, exits)) in &seen {
        match name.as_str() {
            "exit" | "exit_group" => assert_eq!(*exits, 0, "{name}: {text}"),
            _ => assert_eq!(enters, exits, "{name}: {text}"),
        }
    }
    let entered: BTreeMap<String, usize> = seen
        .into_iter()
        .map(|(name, (enters, _))| (name, enters))
        .collect();
    assert_eq!(entered, calls_untraced(command, without), "{text}");
}

/// The counter of that name in what `--stats` printed.
#[track_caller]
fn counter(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("a counter").trim().parse().expect("a number")
}

/// One address and three opinions on it: each plugin gets what it asked for.
#[test]
fn each_has_an_opinion_of_its_own_on_one_place() {
    let plugins = [
        breakpoints("leaves", "--remove-after 100"),
        breakpoints("stays", ""),
        breakpoints("once", "--once --skip 7"),
    ];
    let [a, b, c] = [0, 1, 2].map(|n: usize| plugins[n].as_str());
    for command in [
        &[fixtures::BP_THREADS, "8", "500"][..],
        &[fixtures::BP_THREADS, "4", "1000", "timer"],
    ] {
        for order in [[a, b, c], [c, b, a], [b, c, a]] {
            let text = run(&[], &order, command);
            assert_eq!(hits(&text, "leaves"), [(0, 100)].into(), "{text}");
            assert_eq!(hits(&text, "stays"), [(0, 4000)].into(), "{text}");
            assert_eq!(hits(&text, "once"), [(0, 1)].into(), "{text}");
        }
    }
}

/// The host looks at conditions; a plugin is not woken for what does not hold.
#[test]
fn each_has_conditions_of_its_own() {
    let plugins = [
        breakpoints("one", "--equals 17"),
        breakpoints("few", "--below 30 --skip 20"),
        breakpoints("none", "--equals 17 --below 17"),
        breakpoints("all", ""),
    ];
    let plugins: Vec<&str> = plugins.iter().map(String::as_str).collect();
    let text = run(&["--stats"], &plugins, &[fixtures::BP_THREADS, "4", "500"]);
    // Each thread calls with 0 to 499.
    assert_eq!(hits(&text, "one"), [(0, 4)].into(), "{text}");
    assert_eq!(hits(&text, "few"), [(0, 100)].into(), "{text}");
    assert_eq!(hits(&text, "none"), [].into(), "{text}");
    assert_eq!(hits(&text, "all"), [(0, 2000)].into(), "{text}");
    // The call that tells the address, and the hits.
    for (name, stops) in [("", 5), ("#2", 101), ("#3", 1), ("#4", 2001)] {
        let start = format!("breakpoints{name} ");
        let row = text.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.unwrap_or_else(|| panic!("no {start:?} in: {text}"));
        let told = row.split_whitespace().next();
        assert_eq!(told, Some(&*stops.to_string()), "{text}");
    }
}

/// What is stepped by one makes the events of the other.
#[test]
fn one_steps_where_the_other_counts() {
    const N: &str = "16";
    let command = [fixtures::STEP_CODE, "5", N, "r11"];
    let counts = breakpoints("counts", "--args 0,1,4 --calls");
    for (how, steps) in [("--each", 5 * (19 + 16)), ("--until", 0)] {
        let steps_so = format!("{} {how}", guests::STEPS);
        for text in run_both_ways(&[], &[&steps_so, &counts], &command) {
            let said = format!("5 rounds, {steps} steps, 0 astray");
            assert_eq!(lines(&text, "steps"), [said], "{text}");
            let each = [(0, 5), (1, 5), (4, 5)].into();
            assert_eq!(hits(&text, "counts"), each, "{text}");
            assert_calls(&text, "counts", &command, &[]);
        }
    }
}

/// The same in many threads at once.
#[test]
fn one_steps_all_threads_where_the_other_counts() {
    let command = [fixtures::BP_THREADS, "4", "200"];
    let counts = breakpoints("counts", "--calls");
    let steps = format!("{} --count 3", guests::STEPS);
    for text in run_both_ways(&[], &[&steps, &counts], &command) {
        let said = "800 rounds, 2400 steps, 0 astray";
        assert_eq!(lines(&text, "steps"), [said], "{text}");
        assert_eq!(hits(&text, "counts"), [(0, 800)].into(), "{text}");
        assert_calls(&text, "counts", &command, WAITS);
    }
}

/// How often threads wait for each other, and whether the second has one of the
/// heap's arenas before the first gives it back, nobody knows.
const WAITS: &[&str] = &["futex", "madvise", "sched_yield"];

/// Two step each task, from the same place.
#[test]
fn both_step() {
    let command = [fixtures::BP_THREADS, "4", "100"];
    let steps = |label| format!("{} --label {label} --count 3", guests::STEPS);
    let (a, b) = (steps("a"), steps("b"));
    for text in run_both_ways(&[], &[&a, &b], &command) {
        for label in ["a", "b"] {
            let said = "400 rounds, 1200 steps, 0 astray";
            assert_eq!(lines(&text, label), [said], "{text}");
        }
    }
}

/// What one calls hits the breakpoint of the other, who sees nothing else of it.
#[test]
fn one_calls_what_the_other_watches() {
    let watches = breakpoints("watches", "--code 0x1236 --args 4 --calls");
    let calls = format!("{} --times 5", guests::CALLS);
    for (command, without) in [
        (&[fixtures::CALL_TARGETS, "200"][..], &[][..]),
        (&[fixtures::CALL_TARGETS, "200", "lock"], WAITS),
    ] {
        for text in run_both_ways(&[], &[&calls, &watches], command) {
            let said = "43 came back 5 times";
            assert_eq!(lines(&text, "calls"), [said], "{text}");
            assert_eq!(hits(&text, "watches"), [(4, 5)].into(), "{text}");
            assert_calls(&text, "watches", command, without);
        }
    }
}

/// Two change one call while two have breakpoints: the first is heard, and each
/// clash is counted.
#[test]
fn two_change_one_call_while_breakpoints_are_set() {
    let command = [fixtures::TAMPER_THREADS, "4", "100"];
    let skips = |result| format!("{} --skip-getppid {result}", guests::TAMPERS);
    let [five, seven] = [skips(5), skips(7)];
    let rewrites = format!("{} --getppid-to-getpid", guests::TAMPERS);
    let returns = format!("{} --getppid-returns 9", guests::TAMPERS);
    let [a, b] = [breakpoints("a", ""), breakpoints("b", "--calls")];
    for (first, second, result, clashes) in [
        (&five, &seven, "5", 400),
        (&seven, &five, "7", 400),
        // Who comes second sees another call, which it does not know.
        (&rewrites, &five, "process", 0),
        (&rewrites, &returns, "process", 0),
        (&rewrites, &rewrites, "process", 0),
        // What is skipped is not executed, whatever it is.
        (&five, &rewrites, "5", 0),
        // It has a result, which can be replaced where it returns.
        (&five, &returns, "9", 0),
        (&returns, &five, "9", 0),
        (&returns, &returns, "9", 400),
    ] {
        for order in [[first, &a, second, &b], [&a, first, &b, second]] {
            let order = order.map(String::as_str);
            let (said, text) = run_changed(&["--stats"], &order, &command);
            let expected = (0, format!("4 threads, 100 calls each: {result}\n"));
            assert_eq!(said, expected, "{first}, {second}: {text}");
            assert_eq!(counter(&text, "clashing answers "), clashes, "{text}");
            for label in ["a", "b"] {
                assert_eq!(hits(&text, label), [(0, 400)].into(), "{text}");
            }
        }
    }
}

/// Four plugins and sixteen threads.
#[test]
fn four_count_sixteen_threads() {
    let labels = ["a", "b", "c", "d"];
    let plugins = labels.map(|label| breakpoints(label, ""));
    let plugins = plugins.each_ref().map(String::as_str);
    let command = [fixtures::BP_THREADS, "16", "250"];
    for text in run_both_ways(&[], &plugins, &command) {
        for label in labels {
            assert_eq!(hits(&text, label), [(0, 4000)].into(), "{text}");
        }
    }
}

/// Many hits in many threads, also with signals and children.
#[test]
fn no_hit_of_many_is_lost() {
    let [a, b] = [breakpoints("a", ""), breakpoints("b", "")];
    for (options, hits_expected, processes) in [
        (&["8", "5000"][..], 40_000, 1),
        (&["8", "5000", "timer"], 40_000, 1),
        (&["8", "5000", "fork", "20", "10"], 40_200, 21),
    ] {
        let command: Vec<&str> = [&[fixtures::BP_THREADS], options].concat();
        let text = run(&[], &[&a, &b], &command);
        for label in ["a", "b"] {
            assert_eq!(hits(&text, label), [(0, hits_expected)].into(), "{text}");
            let said = format!("{processes} processes");
            assert!(lines(&text, label).contains(&said.as_str()), "{text}");
        }
    }
}

/// Calls in the middle of a storm of signals, while another has a breakpoint in
/// what is called: no signal is lost and no register changed.
#[test]
fn calls_in_a_storm_of_signals() {
    let calls = format!(
        "{} --code 0x1234 --function 1 --signal 34 --times 1000 --flag 0x1234",
        guests::CALLS
    );
    let watches = breakpoints("watches", "--args 1");
    let command = [fixtures::CALL_STORM, "1000"];
    let back = [watches.as_str(), &calls];
    for order in [[&*calls, &watches], back] {
        let (said, text) = run_changed(&[], &order, &command);
        assert_eq!(said, (0, "1000 signals\n".to_owned()), "{text}");
        let said = "42 came back 1000 times";
        assert_eq!(lines(&text, "calls"), [said], "{text}");
        assert_eq!(hits(&text, "watches"), [(1, 1000)].into(), "{text}");
    }
}

/// One fails or leaves in the middle of something; the other counts on, and
/// nothing is left in the target.
#[track_caller]
fn one_goes(doing: &str) {
    let command = [fixtures::BP_THREADS, "4", "500", "clean"];
    let stays = breakpoints("stays", "--clean 0x1235 --pages 302");
    for (by, failed) in [
        ("panic", true),
        ("time", true),
        ("memory", true),
        ("error", true),
        ("leave", false),
        ("detach", false),
        ("process", false),
    ] {
        let goes = format!("{} --while {doing} --by {by}", guests::FAILS);
        let options = ["--limit", "time=200ms"];
        for text in run_both_ways(&options, &[&goes, &stays], &command) {
            assert_eq!(hits(&text, "stays"), [(0, 2000)].into(), "{by}: {text}");
            let left = "0 mappings of 302 pages";
            assert!(lines(&text, "stays").contains(&left), "{by}: {text}");
            let told = text.contains("plugin fails failed");
            // The stop of a task that is at work for it cannot be answered.
            let busy = by == "process" && !["hit", "memory"].contains(&doing);
            assert_eq!(told, failed || busy, "{by}: {text}");
        }
    }
}

#[test]
fn one_goes_while_it_holds_a_hit() {
    one_goes("hit");
}

#[test]
fn one_goes_in_the_middle_of_its_steps() {
    one_goes("step");
}

#[test]
fn one_goes_in_the_middle_of_its_system_call() {
    one_goes("syscall");
}

#[test]
fn one_goes_in_the_middle_of_its_call() {
    one_goes("function");
}

#[test]
fn one_goes_and_has_memory_in_the_target() {
    one_goes("memory");
}

/// What makes no sense is refused, by errors that say what is wrong.
#[test]
fn bad_requests_are_told_what_is_wrong() {
    let command = [fixtures::CALL_TARGETS, "200", "lock"];
    let text = run(&[], &[guests::BAD_REQUESTS], &command);
    let line = |what: &str| {
        let start = format!("{what}: ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {what:?} in: {text}"))
    };
    let word = |start: &str, index: usize| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        let word = line.and_then(|line| line.split(' ').nth(index));
        word.unwrap_or_else(|| panic!("no {start:?} in: {text}"))
    };
    let [pid, tid, add10, data] = [0, 1, 2, 3].map(|n| word("addresses ", n));
    let running = word("running ", 0);
    assert_ne!(tid, running);
    for (what, kind, words) in [
        ("data", "invalid", &[data, pid][..]),
        ("null", "bad-address", &["address 0x0 ", pid]),
        ("unmapped", "bad-address", &["address 0x100000 ", pid]),
        ("kernel", "bad-address", &["0xffffffff81000000", pid]),
        ("not canonical", "bad-address", &["0x4000000000000000", pid]),
        ("nobody's", "no-such-process", &["2147418112"]),
        ("middle", "invalid", &["middle of an instruction", pid]),
        ("twice", "invalid", &[add10, "already"]),
        ("of no task", "no-such-task", &["2147418112"]),
        ("of an unknown kind", "unsupported", &["laser"]),
        ("with an unknown register", "not-found", &["xyz"]),
        ("of three bytes", "invalid", &["3 bytes"]),
        ("hook of data", "invalid", &[data, pid]),
        ("call of data", "invalid", &[data, pid]),
        ("call of null", "invalid", &["0x0 ", pid]),
        (
            "call of the kernel",
            "invalid",
            &["0xffffffff81000000", pid],
        ),
        ("call of nothing", "invalid", &["0x100000", pid]),
        ("call in no task", "no-such-task", &["2147418112"]),
        ("too many arguments", "limit", &["call-arguments"]),
        ("too much of an argument", "limit", &["call-arguments"]),
        ("syscall in no task", "no-such-task", &["2147418112"]),
        (
            "too many arguments of a syscall",
            "invalid",
            &["7 arguments", "six"],
        ),
        ("step of no task", "no-such-task", &["2147418112"]),
        ("no step", "invalid", &["step"]),
        ("interrupt of no task", "no-such-task", &["2147418112"]),
        ("step of a running task", "not-stopped", &[running]),
        ("call in a running task", "not-stopped", &[running]),
        ("backtrace of a running task", "not-stopped", &[running]),
        ("registers of a running task", "not-stopped", &[running]),
        ("no memory", "invalid", &[]),
        ("too much memory", "limit", &[]),
        ("memory in no task", "no-such-task", &["2147418112"]),
        ("unknown register", "not-found", &["rxx"]),
        ("unknown vector", "not-found", &["xmm99"]),
        ("unknown set", "not-found", &["0x9999"]),
        ("general set", "unsupported", &["general registers"]),
        ("general set to be", "unsupported", &["general registers"]),
        ("too many reads", "limit", &["reads"]),
        ("wrong size", "invalid", &["xmm0", "3", "16"]),
        ("unknown symbol", "not-found", &["no_such_symbol", pid]),
        ("symbol of nobody", "no-such-process", &["2147418112"]),
        (
            "symbol of no module",
            "not-found",
            &["nowhere.so!main", pid],
        ),
    ] {
        let said = line(what);
        assert!(said.starts_with(&format!("{kind}: ")), "{what}: {said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {what}: {said}");
        }
    }
    assert_eq!(line("at"), "done");
}
