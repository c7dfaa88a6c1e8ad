//! What plugins with breakpoints and hooks write with `--json`.

use std::collections::BTreeMap;

use pai_tests::fixtures;
use serde_json::{Value, json};

use crate::common::Ran;

/// Runs a command under a plugin, which says nothing but records.
#[track_caller]
fn records(plugin: &str, command: &[&str]) -> Ran {
    let mut args = vec!["run", "--json", "-t", plugin, "--"];
    args.extend(command);
    let ran = Ran::of(&args);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let name = plugin.split(' ').next().expect("a name");
    assert!(
        ran.all().iter().all(|line| line["plugin"] == name),
        "{}",
        ran.stderr
    );
    ran
}

/// Takes out a number that is another one each time.
#[track_caller]
fn take(data: &mut Value, key: &str) -> u64 {
    let value = data.as_object_mut().and_then(|data| data.remove(key));
    let value = value.as_ref().and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{key} is no number in {data}"))
}

/// Kind and fields of each record, without tasks and times. Calls are numbered from 0.
#[track_caller]
fn of_one_task(ran: &Ran) -> Vec<(String, Value)> {
    let mut task = None;
    let mut calls: Vec<u64> = Vec::new();
    let mut seen = Vec::new();
    for line in ran.all() {
        let kind = line["kind"].as_str().expect("a text").to_owned();
        let mut data = line["data"].clone();
        if kind != "total" {
            let own = (take(&mut data, "pid"), take(&mut data, "tid"));
            assert_eq!(own, *task.get_or_insert(own), "{line}");
            assert_eq!(own.0, own.1, "{line}");
        }
        if data.get("call").is_some() {
            let call = take(&mut data, "call");
            if !calls.contains(&call) {
                assert_eq!(kind, "enter", "{line}");
                calls.push(call);
            }
            data["call"] = json!(calls.iter().position(|known| *known == call));
        }
        if kind == "return" {
            take(&mut data, "took");
        }
        seen.push((kind, data));
    }
    seen
}

#[test]
fn trace_funcs_has_entries_and_returns() {
    let enter = |call: u32, depth: u32, arg: u32| {
        let data = json!({"call": call, "depth": depth, "function": "fib", "args": [arg]});
        ("enter".to_owned(), data)
    };
    let leave = |call: u32, depth: u32, ret: u32| {
        let data = json!({"call": call, "depth": depth, "function": "fib", "ret": ret});
        ("return".to_owned(), data)
    };
    let total = |hooked: u32, too_many: u32| {
        let data = json!({"hooked": hooked, "too_many": too_many});
        ("total".to_owned(), data)
    };
    let ran = records("trace-funcs -i fib -a 1", &[fixtures::HOOK_RECURSION, "2"]);
    assert_eq!(
        of_one_task(&ran),
        [
            enter(0, 0, 2),
            enter(1, 1, 1),
            leave(1, 1, 1),
            enter(2, 1, 0),
            leave(2, 1, 0),
            leave(0, 0, 1),
            total(1, 0),
        ]
    );
    let plugin = "trace-funcs -i fib -i factorial --max 0";
    let ran = records(plugin, &[fixtures::HOOK_RECURSION, "2"]);
    assert_eq!(of_one_task(&ran), [total(0, 2)]);
}

#[test]
fn trace_funcs_has_no_result_of_what_was_left() {
    let ran = records(
        "trace-funcs -i deep -a 2",
        &[fixtures::HOOK_LONGJMP, "1", "2"],
    );
    let seen = of_one_task(&ran);
    let rets: Vec<&Value> = seen
        .iter()
        .filter(|(kind, _)| kind == "return")
        .map(|(_, data)| &data["ret"])
        .collect();
    assert_eq!(rets, [&Value::Null, &Value::Null, &json!(1), &json!(3)]);
    assert_eq!(seen[0].1["args"], json!([2, 1]));
}

#[test]
fn override_has_each_call() {
    let plugin = "override -f ints8=0x10 -f by_value=-7";
    let ran = records(plugin, &[fixtures::HOOK_ARGS]);
    let call = |function: &str, result: i32| {
        let data = json!({"function": function, "result": result});
        ("override".to_owned(), data)
    };
    let total = |results: u32, found: bool| {
        let data = json!({"results": results, "found": found});
        ("total".to_owned(), data)
    };
    assert_eq!(
        of_one_task(&ran),
        [call("ints8", 16), call("by_value", -7), total(2, true)]
    );
    let ran = records(
        "override --after -f fib=8",
        &[fixtures::HOOK_RECURSION, "1"],
    );
    assert_eq!(of_one_task(&ran), [call("fib", 8), total(1, true)]);
    let ran = records("override -f nothing_here=1", &["true"]);
    assert_eq!(of_one_task(&ran), [total(0, false)]);
}

#[test]
fn watch_has_each_access() {
    // The first thread writes 0 and 1, two others and the child 1 and 2, all to w8.
    let ran = records("watch -v w1 -v w8", &[fixtures::WATCH_WRITES, "2", "1"]);
    let mut writes: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for line in ran.records("access") {
        let mut data = line["data"].clone();
        let (pid, tid) = (take(&mut data, "pid"), take(&mut data, "tid"));
        assert!(pid <= tid && take(&mut data, "ip") > 0, "{line}");
        let value = take(&mut data, "value");
        let variable = data["variable"].as_str().expect("a text").to_owned();
        // They are written in assembler, which has no lines.
        let store = if variable == "w1" { "store1" } else { "store8" };
        assert_eq!(
            data,
            json!({"variable": &variable, "function": store}),
            "{line}"
        );
        *writes.entry((variable, value)).or_insert(0) += 1;
    }
    let expected = [
        ("w1", 0, 1),
        ("w1", 1, 1),
        ("w8", 0, 1),
        ("w8", 1, 4),
        ("w8", 2, 3),
    ];
    let expected = expected.map(|(name, value, count)| ((name.to_owned(), value), count));
    assert_eq!(writes, BTreeMap::from(expected));
    let totals: Vec<&Value> = ran.records("total").map(|line| &line["data"]).collect();
    assert_eq!(totals, [&json!({"variables": 2, "accesses": 10})]);
    assert_eq!(ran.all().len(), 11);

    // Written by C.
    let ran = records("watch -v calls", &[fixtures::HOOK_RECURSION, "2"]);
    let line = ran.records("access").next().expect("an access");
    let data = &line["data"];
    assert_eq!(
        (&data["function"], &data["value"]),
        (&json!("fib"), &json!(1)),
        "{line}"
    );
    let file = data["file"].as_str().expect("a text");
    assert!(
        file.ends_with("hook_recursion.c") && data["line"].is_u64(),
        "{line}"
    );
    // Three times by fib, then main begins anew, and twice by factorial.
    assert_eq!(ran.records("access").count(), 6, "{}", ran.stderr);

    let ran = records("watch -v nothing_here", &["true"]);
    assert_eq!(
        of_one_task(&ran),
        [("total".to_owned(), json!({"variables": 0, "accesses": 0}))]
    );
}

#[test]
fn coverage_has_each_function() {
    let ran = records("coverage", &[fixtures::HOOK_RECURSION, "1"]);
    let mut functions = BTreeMap::new();
    for line in ran.all() {
        assert_eq!(line["kind"], "function", "{line}");
        let data = &line["data"];
        let name = data["function"].as_str().expect("a text");
        let hit = data["hit"].as_bool().expect("a flag");
        let module = fixtures::HOOK_RECURSION;
        assert_eq!(
            *data,
            json!({"module": module, "function": name, "hit": hit})
        );
        assert_eq!(functions.insert(name.to_owned(), hit), None, "{line}");
    }
    for (name, hit) in [
        ("_start", true),
        ("main", true),
        ("fib", true),
        ("factorial", true),
        ("say", true),
        ("say_v", true),
        ("fail", false),
    ] {
        assert_eq!(functions.get(name), Some(&hit), "{name}: {functions:?}");
    }
}
