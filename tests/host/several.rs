//! Several plugins on one target, unaware of each other.

use pai_tests::{fixtures, guests};

use crate::common::{finish, pai_host, status, stderr, stdout};

/// Runs these plugins on a command.
fn run(options: &[&str], plugins: &[&str], command: &[&str]) -> (i32, String, String) {
    let mut args = vec!["run"];
    args.extend(options);
    for plugin in plugins {
        args.extend(["-t", plugin]);
    }
    args.push("--");
    args.extend(command);
    let output = finish(&mut pai_host(&args));
    (status(&output), stdout(&output), stderr(&output))
}

/// What the plugin events-log said of a call: `enter getppid`, `exit getppid = 1`.
fn events<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    let event = |line: &'a str| line.split_once(' ').map(|(_, event)| event);
    let of_call = |event: &&str| event.split(' ').nth(1) == Some(call);
    text.lines().filter_map(event).filter(of_call).collect()
}

/// One holds a stop until its time is over, while another waits to be offered
/// it: that one gets every stop, and the target is unharmed.
#[test]
fn one_is_killed_while_another_waits_for_its_stop() {
    let (code, said, text) = run(
        &["--limit", "time=200ms"],
        &["count", guests::LOOPS_IN_CALLBACK, guests::EVENTS_LOG],
        &[fixtures::CLONE_THREADS, "4", "100"],
    );
    assert_eq!(
        (code, said.as_str()),
        (0, "4 threads, 100 calls each\n"),
        "{text}"
    );
    assert!(
        text.contains("plugin loops-in-callback failed: it computed for more than 200ms"),
        "{text}"
    );
    let seen = events(&text, "getppid");
    assert_eq!(
        seen.iter()
            .filter(|event| event.starts_with("enter"))
            .count(),
        400
    );
    assert_eq!(
        seen.iter()
            .filter(|event| event.starts_with("exit"))
            .count(),
        400
    );
    assert!(text.contains("      400           getppid\n"), "{text}");
}

/// A task that one holds stops only that task, and only until it is answered;
/// the others see it when it goes on.
#[test]
fn one_holds_a_task_while_the_others_run() {
    let progress: String = (1..=10).map(|n| format!("progress {n}\n")).collect();
    let (code, said, text) = run(
        &[],
        &[guests::HOLDS, guests::EVENTS_LOG],
        &[fixtures::HELD_STOP],
    );
    assert_eq!((code, said), (0, format!("{progress}ok\n")), "{text}");
    assert!(text.contains("held until the tenth write\n"), "{text}");
    assert_eq!(
        events(&text, "getpriority"),
        ["enter getpriority", "exit getpriority = -22"]
    );
    let lines: Vec<&str> = text.lines().collect();
    let at = |end: &str| {
        lines
            .iter()
            .position(|line| line.ends_with(end))
            .expect(end)
    };
    assert!(
        at("held until the tenth write") < at("enter getpriority"),
        "{text}"
    );
}

/// One that holds every task and waits for something else would wait for ever.
#[test]
fn one_holds_all_there_is() {
    let holds = format!("{} --call getppid --for-ever", guests::HOLDS);
    let alone = finish(std::process::Command::new(fixtures::SKIP_TARGETS).env_clear());
    let (code, said, text) = run(&[], &[&holds, "count"], &[fixtures::SKIP_TARGETS]);
    assert_eq!((code, said), (0, stdout(&alone)), "{text}");
    assert!(
        text.contains("pai-host: plugin holds held every task and waited for something else"),
        "{text}"
    );
    assert!(text.contains("held until the end\n"), "{text}");
}

/// The next in turn is offered a stop with all changes made so far; the one
/// before saw it as it was.
#[test]
fn changes_show_to_those_that_come_later() {
    let tampers = format!("{} --getppid-returns 4242", guests::TAMPERS);
    let changed = "exit getppid = 4242";
    let (_, said, text) = run(
        &[],
        &[&tampers, guests::EVENTS_LOG],
        &[fixtures::SKIP_TARGETS],
    );
    assert!(said.contains("getppid: 4242, 4242, 4242\n"), "{said}");
    let exits = |text| {
        let seen: Vec<String> = events(text, "getppid")
            .iter()
            .map(|e| (*e).to_owned())
            .collect();
        seen.into_iter()
            .filter(|event| event.starts_with("exit"))
            .collect::<Vec<_>>()
    };
    assert_eq!(exits(&text), [changed; 3]);
    let (_, said, text) = run(
        &[],
        &[guests::EVENTS_LOG, &tampers],
        &[fixtures::SKIP_TARGETS],
    );
    assert!(said.contains("getppid: 4242, 4242, 4242\n"), "{said}");
    assert!(exits(&text).iter().all(|event| event != changed), "{text}");
    // Observers see what became of it, wherever they stand.
    let (_, _, text) = run(
        &[],
        &[guests::OBSERVE_LOG, &tampers],
        &[fixtures::SKIP_TARGETS],
    );
    assert_eq!(text.matches(" getppid = 4242\n").count(), 3, "{text}");
}

/// A call that is skipped is entered and left for everybody; the first of two
/// answers counts, and the second is told.
#[test]
fn the_first_of_two_answers_counts() {
    let skips = |value| format!("{} --skip-write {value}", guests::TAMPERS);
    let (first, second) = (skips(5), skips(7));
    let (code, said, text) = run(
        &[],
        &[&first, guests::EVENTS_LOG, &second],
        &[fixtures::SKIP_TARGETS],
    );
    assert_eq!(code, 0, "{text}");
    assert!(
        !said.contains("skip_targets wrote this") && said.contains("write: 5\n"),
        "{said}"
    );
    assert_eq!(events(&text, "write"), ["enter write", "exit write = 5"]);
    let clash = "pai-host: plugins tampers and tampers#2 both changed the same stop of task ";
    assert_eq!(text.matches(clash).count(), 1, "{text}");
    assert!(text.contains("; tampers was heard\n"), "{text}");
}

/// One that has seen enough leaves; the target and the others stay.
#[test]
fn one_detaches() {
    for option in ["", " --process"] {
        let detaches = format!("{}{option}", guests::DETACHES);
        let (code, said, text) = run(
            &[],
            &[&detaches, guests::EVENTS_LOG],
            &[fixtures::CLONE_THREADS, "2", "50"],
        );
        assert_eq!(
            (code, said.as_str()),
            (0, "2 threads, 50 calls each\n"),
            "{text}"
        );
        assert_eq!(events(&text, "getppid").len(), 2 * 100, "{text}");
        let end = if option.is_empty() {
            "End::Detached"
        } else {
            "End::Exited("
        };
        assert!(text.contains(&format!("3 calls, {end}")), "{text}");
    }
    // The last one leaves: the target runs on to its end without a tracer.
    let (code, said, text) = run(
        &[],
        &[guests::DETACHES],
        &[fixtures::CLONE_THREADS, "2", "50"],
    );
    assert_eq!(
        (code, said.as_str()),
        (0, "2 threads, 50 calls each\n"),
        "{text}"
    );
}

/// An observer and one that takes part tell of the same calls, in the same
/// order for each task, and of the same ends.
#[test]
fn watching_and_taking_part_see_the_same() {
    let (code, _, text) = run(
        &[],
        &[guests::EVENTS_LOG, guests::OBSERVE_LOG],
        &["sh", "-c", "ls / | wc -l; exit 3"],
    );
    assert_eq!(code, 3, "{text}");
    let mut ours: Vec<(&str, String)> = Vec::new();
    let mut theirs: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let Some((tid, event)) = line.split_once(' ') else {
            continue;
        };
        if let Some(exit) = event.strip_prefix("exit ") {
            ours.push((tid, exit.to_owned()));
        } else if event.contains(" = ") && !event.ends_with(" = ?") {
            theirs.push((tid, event.to_owned()));
        } else if event.starts_with("ended: ") && tid.parse::<u32>().is_ok() {
            // Once from each.
            match ours
                .iter()
                .filter(|(task, end)| *task == tid && end == event)
                .count()
            {
                0 => ours.push((tid, event.to_owned())),
                _ => theirs.push((tid, event.to_owned())),
            }
        }
    }
    // Tasks interleave in their own ways only when one looks at entries.
    ours.sort_by_key(|(tid, _)| *tid);
    theirs.sort_by_key(|(tid, _)| *tid);
    assert!(ours.len() > 100, "{text}");
    assert_eq!(ours, theirs);
}
