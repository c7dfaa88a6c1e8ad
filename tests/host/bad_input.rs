//! Bad input: one clear message, the documented exit status, the target
//! unharmed or never started.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{finish, pai_host, status, stderr, stdout};
use pai_tests::target::Target;
use pai_tests::{fixtures, guests};

/// Runs pai-host, expects a status and a message, and that the target did not
/// start (it would print).
#[track_caller]
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let output = finish(&mut pai_host(args));
    let message = stderr(&output);
    assert_eq!(status(&output), code, "{message}");
    assert_eq!(stdout(&output), "", "the target ran");
    assert!(message.starts_with("pai-host: "), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn more_plugins_than_there_can_be() {
    // Participants, and observers, which ask for tasks before they are served.
    for plugin in ["minimal", "exec-tree", "strace"] {
        let plugins = ["-t", plugin].repeat(65);
        let args = [&["run"], &plugins[..], &["--", "echo", "started"]].concat();
        refused(&args, 125, &["64"]);
    }
}

/// It may be there to keep the target from something.
#[test]
fn a_plugin_that_fails_before_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("kept");
    fs::write(&file, "").expect("a file");
    let path = file.to_str().expect("a plain path");
    for plugins in [
        &["fault -c unlinkat -e FOO"][..],
        &["fault"],
        &["count", "minimal", "fault -c unlinkat -e FOO"],
        // On a thread of its own.
        &["strace -e trace=no_such_call"],
        &["minimal", "strace -e trace=no_such_call"],
    ] {
        let plugins = plugins.iter().flat_map(|plugin| ["-t", plugin]);
        let command = ["run"].into_iter().chain(plugins);
        let args: Vec<&str> = command.chain(["--", "rm", path]).collect();
        refused(&args, 125, &["plugin ", " failed: "]);
        assert!(file.exists(), "{args:?}");
    }
}

#[test]
fn a_command_that_does_not_exist() {
    refused(
        &["run", "minimal", "--", "no-such-command"],
        127,
        &["no-such-command", "not found"],
    );
    refused(
        &["run", "minimal", "--", "/no/such/file"],
        127,
        &["/no/such/file"],
    );
}

#[test]
fn a_file_that_cannot_be_executed() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("text");
    fs::write(&file, "no program").expect("a file");
    let path = file.to_str().expect("a plain path");
    refused(&["run", "minimal", "--", path], 126, &[path]);
    refused(&["run", "minimal", "--", "/"], 126, &["/"]);
    // Executable by its mode, but in no format that the kernel knows.
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its owner");
    refused(&["run", "minimal", "--", path], 126, &[path]);
}

#[test]
fn a_cpu_that_does_not_exist() {
    let allowed = fs::read_to_string("/proc/self/status").expect("our status");
    let allowed = allowed
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = allowed.expect("a list").trim();
    for cpu in ["1023", "1024", "99999999"] {
        refused(
            &["run", "--cpu", cpu, "minimal", "--", "echo", "started"],
            125,
            &[&format!("CPU {cpu}"), &format!("may run on {allowed} ")],
        );
    }
    for cpu in ["", "any", "-1", "0,1", "18446744073709551616"] {
        refused(
            &[
                "run",
                &format!("--cpu={cpu}"),
                "minimal",
                "--",
                "echo",
                "started",
            ],
            125,
            &[
                "--cpu",
                "`auto`, `free`, `awake`, `same` or the number of a CPU",
            ],
        );
    }
}

#[test]
fn a_process_that_does_not_exist() {
    refused(&["attach", "-p", "4194303", "minimal"], 125, &["4194303"]);
    refused(&["attach", "-p", "0", "minimal"], 125, &["0"]);
    refused(&["attach", "-p", "abc", "minimal"], 125, &["abc"]);
    refused(
        &["attach", "--name", "no-such-process", "minimal"],
        125,
        &["no-such-process"],
    );
}

#[test]
fn a_process_that_is_traced_already() {
    let mut tracer = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", fixtures::ATTACH_SLEEPER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(tracer.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut out, &mut line).expect("ready");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", tracer.id()));
    let target = children.expect("a child").trim().to_owned();
    refused(
        &["attach", "-p", &target, "minimal"],
        125,
        &[&target, "strace", "traces it already"],
    );
    drop(tracer.stdin.take());
    assert!(tracer.wait().expect("strace").success());
}

/// Runs `script` in a shell that knows pai-host as `$0`.
#[track_caller]
fn refused_in_shell(script: &str, words: &[&str]) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, crate::common::PAI_HOST]);
    crate::common::plain(&mut shell);
    let output = finish(&mut shell);
    let message = stderr(&output);
    assert_eq!(status(&output), 125, "{message}");
    assert!(
        message.starts_with("pai-host: cannot attach to process "),
        "{message}"
    );
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn processes_that_nobody_can_want() {
    refused_in_shell(
        "exec \"$0\" attach -p $$ minimal",
        &["it is this pai-host itself"],
    );
    // Its tracer: each would wait for the other.
    refused_in_shell(
        "\"$0\" run minimal -- sh -c 'exec \"$0\" attach -p $PPID minimal' \"$0\"",
        &[
            "it traces this pai-host itself",
            "help: start pai-host outside of it",
        ],
    );
    let target = Target::start(fixtures::ATTACH_TARGET, &[]);
    let pid = target.pid().to_string();
    let thread = target.tasks()[1].to_string();
    refused(
        &["attach", "-p", &thread, "minimal"],
        125,
        &[
            &format!("it is a thread of process {pid}"),
            &format!("-p {pid}"),
        ],
    );
    refused(
        &["attach", "-p", "2", "minimal"],
        125,
        &["it is a thread of the kernel"],
    );
    target.assert_untraced();
    target.expect_ok();
}

/// Who is traced by somebody that follows cannot trace its own children.
#[test]
fn a_tracer_under_another() {
    let inner = ["--", crate::common::PAI_HOST, "run", "minimal", "--"];
    let run = |outer: &[&str], command: &[&str]| {
        finish(&mut pai_host(&[outer, &inner, command].concat()))
    };
    let output = run(&["run", "minimal"], &["true"]);
    let message = stderr(&output);
    assert_eq!(status(&output), 125, "{message}");
    assert!(
        message.contains("traces this pai-host, and its children too"),
        "{message}"
    );
    let output = run(&["run", "--no-follow", "minimal"], &["sh", "-c", "exit 3"]);
    assert_eq!(status(&output), 3, "{}", stderr(&output));
}

/// Nothing can be traced in a zombie; its parent is named.
#[test]
fn a_process_that_has_ended() {
    let mut child = Command::new("true").spawn().expect("a child");
    let pid = child.id().to_string();
    let ended = nix::sys::wait::waitid(
        nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(child.id().cast_signed())),
        nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
    );
    ended.expect("a child");
    let parent = std::process::id().to_string();
    refused(
        &["attach", "-p", &pid, "minimal"],
        125,
        &["it has ended, and its parent", &parent],
    );
    assert!(child.wait().expect("a child").success());
}

#[test]
fn plugins_that_are_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| {
        dir.path()
            .join(name)
            .to_str()
            .expect("a plain path")
            .to_owned()
    };
    let write = |name: &str, bytes: &[u8]| {
        fs::write(path(name), bytes).expect("a file");
        path(name)
    };
    let run = |file: &str, words: &[&str]| {
        refused(&["run", file, "--", "echo", "ran"], 125, words);
    };
    let good = fs::read(guests::NOOP).expect("a plugin");

    run("strcae", &["strcae", "strace"]);
    run(&path("missing.wasm"), &["missing.wasm"]);
    run(&write("text.wasm", b"hello"), &["text.wasm"]);
    run(&write("empty.wasm", b""), &["empty.wasm"]);
    run(&write("core.wasm", b"\0asm\x01\0\0\0"), &["component"]);
    run(
        &write("elf.wasm", b"\x7fELF\x02\x01\x01\0"),
        &["native code"],
    );
    run(&write("cut.wasm", &good[..good.len() / 2]), &["cut.wasm"]);
    run(guests::TWO_WORLDS, &["observe", "client"]);
    run("/", &["/"]);
}

#[test]
fn a_plugin_of_another_version() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = fs::read(guests::NOOP).expect("a plugin");
    let change = |from: &[u8], to: &[u8], name: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let mut at = 0;
        let mut found = false;
        while let Some(n) = bytes[at..].windows(from.len()).position(|w| w == from) {
            bytes[at + n..at + n + from.len()].copy_from_slice(to);
            at += n + from.len();
            found = true;
        }
        assert!(found, "nothing to change");
        let file = dir.path().join(name);
        fs::write(&file, bytes).expect("a file");
        file.to_str().expect("a plain path").to_owned()
    };
    let other = change(b"@0.1.0", b"@9.1.0", "other.wasm");
    refused(
        &["run", &other, "--", "echo", "ran"],
        125,
        &["9.1.0", "0.1.0"],
    );
    let unknown = change(b"pai:plugin/client", b"pai:plugin/cliemt", "unknown.wasm");
    refused(&["run", &unknown, "--", "echo", "ran"], 125, &["cliemt"]);
}

#[test]
fn options_that_do_not_exist() {
    refused(
        &["run", "--no-such", "minimal", "--", "echo", "ran"],
        125,
        &["--no-such"],
    );
    refused(
        &["run", "count", "--srot", "name", "--", "echo", "ran"],
        125,
        &["--srot", "--sort"],
    );
    refused(&["frobnicate"], 125, &["frobnicate"]);
    refused(
        &["run", "-t", "count --srot x", "--", "echo", "ran"],
        125,
        &["--srot"],
    );
    refused(
        &[
            "run",
            "--limit",
            "memory=lots",
            "minimal",
            "--",
            "echo",
            "ran",
        ],
        125,
        &["lots"],
    );
}

#[test]
fn output_that_cannot_be_written() {
    refused(
        &[
            "run",
            "-o",
            "/no/such/folder/log",
            "count",
            "--",
            "echo",
            "ran",
        ],
        125,
        &["/no/such/folder/log"],
    );
    // A full disk is noticed only when something is written; the target runs.
    let output = finish(&mut pai_host(&[
        "run",
        "-o",
        "/dev/full",
        "count",
        "--",
        "echo",
        "ran",
    ]));
    assert_eq!(stdout(&output), "ran\n");
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stderr(&output).matches("No space left").count(),
        1,
        "{}",
        stderr(&output)
    );
    let strict = [
        "run",
        "--strict",
        "-o",
        "/dev/full",
        "count",
        "--",
        "echo",
        "ran",
    ];
    assert_eq!(status(&finish(&mut pai_host(&strict))), 120);
}

#[test]
fn a_closed_standard_error() {
    for redirect in ["2>&-", "2>&- 1>&-", "2>/dev/full"] {
        let script = format!("exec \"$0\" run strace -- sh -c 'exit 7' {redirect}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, crate::common::PAI_HOST]);
        crate::common::plain(&mut shell);
        let output = finish(&mut shell);
        assert_eq!(status(&output), 7, "{redirect}");
    }
    // A reader that goes away.
    let script =
        "\"$0\" run strace -- sh -c 'ls / >/dev/null; exit 7' 2>&1 >/dev/null | head -1 >/dev/null";
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        &format!("{script}; exit ${{PIPESTATUS[0]}}"),
        crate::common::PAI_HOST,
    ]);
    crate::common::plain(&mut shell);
    assert_eq!(status(&finish(&mut shell)), 7);
}
