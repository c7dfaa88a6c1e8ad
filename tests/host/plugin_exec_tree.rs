//! The plugin exec-tree: who started whom, drawn at the end.

use serde_json::{Value, json};

use crate::common::{Ran, finish, pai_host, status, stderr};

/// One process that executes nothing, one that does, and one below it.
const SCRIPT: &str = "(exit 4); sh -c 'env true; exit 5'; exit 3";

/// Each number becomes one `N`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            c => out.push(c),
        }
    }
    out
}

#[test]
fn a_tree_with_commands_and_ends() {
    let output = finish(&mut pai_host(&[
        "run",
        "exec-tree",
        "--",
        "sh",
        "-c",
        SCRIPT,
    ]));
    assert_eq!(status(&output), 3);
    let script = "'(exit N); sh -c '\\''env true; exit N'\\''; exit N'";
    assert_eq!(
        without_numbers(&stderr(&output)),
        format!(
            "N sh -c {script}: N.N s, exited with N\n\
             ├─ N (sh -c {script}): N.N s, exited with N\n\
             └─ N sh -c 'env true; exit N': N.N s, exited with N\n\
             \x20  └─ N true: N.N s, exited with N\n"
        )
    );
}

#[test]
fn one_object_for_each_process() {
    let ran = Ran::of(&["run", "--json", "exec-tree", "--", "sh", "-c", SCRIPT]);
    assert_eq!(ran.status, 3);
    let all: Vec<&Value> = ran.records("process").map(|line| &line["data"]).collect();
    let [root, copy, shell, leaf] = all[..] else {
        panic!("{}", ran.stderr)
    };
    let inner = json!(["sh", "-c", "env true; exit 5"]);
    for (process, parent, argv, execs, code) in [
        (root, None, &json!(["sh", "-c", SCRIPT]), 1, 3),
        (copy, Some(root), &json!(["sh", "-c", SCRIPT]), 0, 4),
        (shell, Some(root), &inner, 1, 5),
        (leaf, Some(shell), &json!(["true"]), 2, 0),
    ] {
        assert_eq!(process.get("parent"), parent.map(|parent| &parent["pid"]));
        assert_eq!(&process["argv"], argv);
        assert_eq!(
            (&process["execs"], &process["code"]),
            (&json!(execs), &json!(code))
        );
        assert!(process["nanoseconds"].is_u64() && process["at"].is_u64());
    }
    let ran = Ran::of(&["run", "--json", "exec-tree", "--", "sh", "-c", "kill -9 $$"]);
    let killed = &ran.records("process").next().expect("a process")["data"];
    assert_eq!(
        (&killed["signal"], &killed["core"]),
        (&json!(9), &json!(false))
    );
}
