//! The command line: what each command prints, and how options work.

use std::fs;
use std::process::{Command, Output};

use pai_tests::target::copy_program;
use pai_tests::{fixtures, guests};

use crate::common::{PAI_HOST, Ran, finish, json_lines, pai_host, plain, status, stderr, stdout};

const BUNDLED: [&str; 13] = [
    "count",
    "coverage",
    "exec-tree",
    "exits",
    "fault",
    "files",
    "malloc-check",
    "minimal",
    "net",
    "override",
    "strace",
    "trace-funcs",
    "watch",
];

/// Runs pai-host, which has to succeed; what it printed.
#[track_caller]
fn says(args: &[&str]) -> String {
    let output = finish(&mut pai_host(args));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    stdout(&output)
}

#[test]
fn list_shows_the_bundled_plugins() {
    let text = says(&["list"]);
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, BUNDLED);
    let lines = json_lines(&says(&["list", "--json"]));
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str()).collect();
    assert_eq!(names, BUNDLED.map(Some));
    assert_eq!(lines[0]["world"], "observer");
    assert_eq!(lines[1]["world"], "plugin");
}

#[test]
fn inspect_shows_what_a_plugin_is() {
    let text = says(&["inspect", guests::MEMORY_PROBE]);
    for part in [
        "memory-probe 0.1.0\nreads memory at getppid\n",
        "world    plugin\n",
        "api      0.1\n",
        "wants    memory-read",
        "imports  pai:plugin/types@0.1.0\n",
        "         pai:plugin/memory@0.1.0\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let text = says(&["inspect", guests::OPTIONS_PROBE]);
    assert!(text.contains("options  -f, --flag"), "{text}");

    for plugin in BUNDLED
        .into_iter()
        .chain([guests::OPTIONS_PROBE, guests::TAMPERS])
    {
        let lines = json_lines(&says(&["inspect", "--json", plugin]));
        let [one] = &lines[..] else {
            panic!("{lines:?}")
        };
        let (name, manifest) = (&one["name"], &one["manifest"]);
        assert_eq!(&manifest["name"], name);
        assert_eq!(manifest["api"], "0.1");
        let imports = one["imports"].as_array().expect("a list");
        assert!(imports.contains(&"pai:plugin/types@0.1.0".into()), "{one}");
        let world = if imports.contains(&"pai:plugin/observe@0.1.0".into()) {
            "observer"
        } else {
            "plugin"
        };
        assert_eq!(one["world"], world);
        let file = fs::read(plugin).ok();
        assert!(file.is_none_or(|file| one["size"] == file.len()), "{one}");
    }
    let tampers = &json_lines(&says(&["inspect", "--json", guests::TAMPERS]))[0]["manifest"];
    assert_eq!(tampers["wants"][0]["capability"], "tamper");
    assert_eq!(tampers["options"][0]["name"], "skip-write");
}

#[test]
fn doctor_finds_nothing_wrong_here() {
    let text = says(&["doctor"]);
    let verdicts: Vec<_> = text.lines().map(|line| line.split(' ').next()).collect();
    assert!(
        verdicts.iter().all(|verdict| *verdict != Some("fail")),
        "{text}"
    );
    let lines = json_lines(&says(&["doctor", "--json"]));
    let checks: Vec<_> = lines
        .iter()
        .filter_map(|line| line["check"].as_str())
        .collect();
    assert_eq!(
        checks,
        ["kernel", "trace", "attach", "users", "sandbox", "cache"]
    );
}

/// Somebody else's processes, without root's rights.
#[test]
fn doctor_and_attach_explain_what_nobody_may_do() {
    let own = std::process::id().to_string();
    // A folder that nobody can enter holds the program in some checkouts.
    let dir = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in("/tmp")
        .expect("a folder");
    let copy = dir.path().join("pai-host");
    copy_program(PAI_HOST, &copy);
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(&copy).args(args);
        plain(&mut command);
        finish(&mut command)
    };
    let output = as_nobody(&["attach", "-p", &own, "minimal"]);
    let text = stderr(&output);
    assert_eq!(status(&output), 125, "{text}");
    assert!(
        text.contains(&format!("cannot attach to process {own}")),
        "{text}"
    );
    assert!(
        text.contains("it belongs to root (uid 0), and pai-host runs as nobody (uid 65534)"),
        "{text}"
    );
    assert!(
        text.contains("\nhelp: run the same command with sudo\n"),
        "{text}"
    );

    let output = as_nobody(&["doctor"]);
    let text = stdout(&output);
    assert!(
        text.contains("only your own processes can be traced; others with sudo"),
        "{text}"
    );
    // It can trace what is its own.
    let output = as_nobody(&["run", "minimal", "--", "sh", "-c", "exit 3"]);
    assert_eq!(status(&output), 3, "{}", stderr(&output));
    // Its calls can be filtered only if it gains no rights, which the user is told.
    let look = ["grep", "NoNewPrivs", "/proc/self/status"];
    let some = ["run", "--stats", "-t", "strace -e trace=openat", "--"];
    let output = as_nobody(&[&some[..], &look[..]].concat());
    assert_eq!(stdout(&output), "NoNewPrivs:\t1\n");
    let text = stderr(&output);
    assert!(text.contains("no program gains rights"), "{text}");
    let unfiltered = [&["run", "--no-seccomp"][..], &some[1..], &look[..]].concat();
    let output = as_nobody(&unfiltered);
    assert_eq!(stdout(&output), "NoNewPrivs:\t0\n");

    // Who may trace anything takes no rights away, either.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", PAI_HOST]);
    command.args(some).args(look);
    let output = finish(&mut command);
    assert_eq!(stdout(&output), "NoNewPrivs:\t0\n");
    let text = stderr(&output);
    assert!(text.contains("not filtered: programs would gain"), "{text}");
}

#[test]
fn calls_are_filtered_where_that_is_of_use() {
    let own = fs::read_to_string("/proc/self/status").expect("our own");
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    let own: u32 = own.map_or(0, |number| number.trim().parse().expect("a number"));
    let some: &[&str] = &["-t", "strace -e trace=openat"];
    for (options, said) in [
        (some, "filtered"),
        (&["-t", "files", "-t", "exec-tree"], "filtered"),
        (&["--no-seccomp", "-t", "files"], "not filtered: not wanted"),
        (
            &["--no-follow", "-t", "files"],
            "not filtered: processes are let go",
        ),
        (&["-t", "strace"], "not filtered: all calls are wanted"),
        (&["-t", "minimal"], "not filtered: no call is wanted"),
        (
            &["-t", guests::RUN_UNTIL_THINGS],
            "not filtered: more were wanted later",
        ),
    ] {
        let command = ["--", "grep", "^Seccomp_filters:", "/proc/self/status"];
        let args = [&["run", "--json", "--stats"], options, &command].concat();
        let ran = Ran::of(&args);
        let stats = ran.records("stats").next().expect("counters");
        assert_eq!(stats["data"]["system_calls"], said);
        let filters = own + u32::from(said == "filtered");
        assert_eq!(ran.stdout, format!("Seccomp_filters:\t{filters}\n"));
    }
}

/// The tracer's own CPUs, and those of observers, are nobody's business.
#[test]
fn the_target_starts_where_it_is_told() {
    let script = "import os; print(*sorted(os.sched_getaffinity(0)))";
    let anywhere = says_with(&["run", "minimal", "--", "python3", "-c", script], 0);
    let untraced = Command::new("python3").args(["-c", script]).output();
    assert_eq!(anywhere, stdout(&untraced.expect("python3")));
    let args = [
        "run", "--cpu", "free", "minimal", "--", "python3", "-c", script,
    ];
    assert_eq!(says_with(&args, 0), anywhere);
    for cpu in anywhere.split_whitespace() {
        let here = "import os, sys; os.sched_setaffinity(0, [int(sys.argv[1])]); \
                    os.execv(sys.argv[2], sys.argv[2:])";
        let args = [
            "-c", here, cpu, PAI_HOST, "run", "--cpu", "same", "minimal", "--",
        ];
        let mut command = Command::new("python3");
        command.args(args).args(["python3", "-c", script]);
        assert_eq!(stdout(&finish(&mut command)), format!("{cpu}\n"));
        for plugin in ["minimal", "strace", guests::NOOP] {
            let args = ["run", "-o", "/dev/null", "--cpu", cpu, plugin, "--"];
            let said = says_with(&[&args[..], &["python3", "-c", script]].concat(), 0);
            assert_eq!(said, format!("{cpu}\n"));
        }
    }
}

/// The machine's limit of latency, in microseconds, is what the device says.
#[test]
fn idle_cpus_are_kept_awake_where_that_is_wanted() {
    const DEVICE: &str = "/dev/cpu_dma_latency";
    let run = |place| {
        let host = ["run", "--json", "--stats", "--cpu", place, "minimal", "--"];
        finish(&mut pai_host(
            &[&host[..], &["od", "-An", "-td4", "-N4", DEVICE]].concat(),
        ))
    };
    let said = |output: &Output| {
        let lines = json_lines(&stderr(output));
        let stats = lines.iter().find(|line| line["kind"] == "stats");
        stats.expect("counters")["data"]["idle_cpus"].clone()
    };
    let output = run("awake");
    if fs::File::options().write(true).open(DEVICE).is_ok() {
        assert_eq!(stdout(&output).trim(), "0");
        assert_eq!(said(&output), "kept from sleeping");
    } else {
        let text = stderr(&output);
        assert_eq!(status(&output), 125);
        assert!(
            text.contains("cannot keep idle CPUs from sleeping"),
            "{text}"
        );
        assert!(text.contains(DEVICE), "{text}");
    }
    for place in ["free", "same"] {
        assert_eq!(said(&run(place)), "left alone");
    }
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = says(&["completions", shell]);
        assert!(script.contains("pai-host"), "{shell}");
    }
    // What bash makes of it.
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("completions");
    fs::write(&file, says(&["completions", "bash"])).expect("a file");
    for (line, last, before) in [
        ("run st", "st", "run"),
        ("run -t st", "st", "-t"),
        ("attach --plugin st", "st", "--plugin"),
        ("inspect st", "st", "inspect"),
    ] {
        let script = format!(
            "source {}; COMP_WORDS=(pai-host {line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _pai__host pai-host {last} {before}; echo ${{COMPREPLY[@]}}",
            file.display()
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &script]);
        plain(&mut bash);
        let output = finish(&mut bash);
        assert_eq!(stdout(&output), "strace\n", "{line}: {}", stderr(&output));
    }
}

#[test]
fn help_and_versions() {
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["attach", "--help"],
        &["list", "--help"],
        &["inspect", "--help"],
        &["doctor", "--help"],
        &["completions", "--help"],
        &["help", "run"],
    ] {
        assert!(says(args).contains("Usage: pai-host"), "{args:?}");
    }
    assert_eq!(
        says(&["-V"]),
        concat!("pai-host ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert!(says(&["--version"]).contains("\npai:plugin 0.1.0\n"));
    // The options of a plugin are those of its manifest.
    let help = says(&["run", guests::OPTIONS_PROBE, "--help"]);
    assert!(
        help.contains(&format!("pai-host run {} [OPTIONS]", guests::OPTIONS_PROBE)),
        "{help}"
    );
    for option in ["-f, --flag", "--number <N>", "[default: none]"] {
        assert!(help.contains(option), "{option} is not in: {help}");
    }
    let help = says(&["run", guests::TAMPERS, "--help"]);
    assert!(help.contains("Capabilities:\n  tamper"), "{help}");
}

#[test]
fn colors_are_for_terminals_or_on_demand() {
    let run = |args: &[&str], variable: Option<(&str, &str)>| {
        let mut command = pai_host(args);
        command.envs(variable);
        stderr(&finish(&mut command)).contains('\x1b')
    };
    const UNKNOWN: [&str; 2] = ["inspect", "no-such-plugin"];
    assert!(!run(&UNKNOWN, None));
    assert!(run(&["--color=always", "inspect", "x"], None));
    assert!(run(
        &["inspect", "--color", "always", "x"],
        Some(("NO_COLOR", "1"))
    ));
    assert!(run(&UNKNOWN, Some(("CLICOLOR_FORCE", "1"))));
    assert!(!run(
        &["--color=never", "inspect", "x"],
        Some(("CLICOLOR_FORCE", "1"))
    ));
    assert!(!run(&UNKNOWN, Some(("NO_COLOR", "1"))));
}

#[test]
fn output_goes_to_a_file() {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = log.path().to_str().expect("a plain path");
    let printed = says(&["run", "-o", path, "strace", "--", "echo", "hello"]);
    assert_eq!(printed, "hello\n");
    let text = fs::read_to_string(log.path()).expect("a log");
    assert!(text.starts_with("execve("), "{text}");
    assert!(
        text.ends_with("exit_group(0)                           = ?\n+++ exited with 0 +++\n"),
        "{text}"
    );
    // The target does not inherit the file.
    let script = format!("for fd in /proc/self/fd/*; do readlink $fd; done | grep -c {path}");
    assert_eq!(
        says_with(
            &["run", "-o", path, "minimal", "--", "sh", "-c", &script],
            1
        ),
        "0\n"
    );
}

#[track_caller]
fn says_with(args: &[&str], code: i32) -> String {
    let output = finish(&mut pai_host(args));
    assert_eq!(status(&output), code, "{}", stderr(&output));
    stdout(&output)
}

/// Every plugin's records are lines of one format, and name the plugin.
#[test]
fn json_is_lines_of_objects() {
    let script = "ls /nonexistent 2>/dev/null; kill -USR1 $$";
    for (plugin, kinds) in [
        ("count", &["count", "total"][..]),
        ("exits", &["exec", "fork", "exit"]),
        ("exec-tree", &["process"]),
        ("files", &["file", "total"]),
        ("strace", &["syscall", "signal", "exec", "exit"]),
        ("minimal", &[]),
    ] {
        let ran = Ran::of(&["run", "--json", "--stats", plugin, "--", "sh", "-c", script]);
        assert_eq!(ran.status, -10, "{}", ran.stderr);
        for kind in kinds {
            let record = ran.records(kind).next();
            let record = record.unwrap_or_else(|| panic!("no {kind}: {}", ran.stderr));
            assert_eq!(record["plugin"], plugin);
            assert!(record["data"].is_object(), "{record}");
        }
        let stats = ran.records("stats").next().expect("counters");
        assert_eq!(stats["data"]["processes"], 2);
        assert_eq!(stats["data"]["plugins"][0]["name"], plugin);
    }
}

#[test]
fn quiet_and_verbose() {
    let run = |option: &str| {
        let mut args = vec!["run", guests::TAMPERS, "--", "true"];
        if !option.is_empty() {
            args.insert(1, option);
        }
        stderr(&finish(&mut pai_host(&args)))
    };
    assert_eq!(run(""), "");
    assert_eq!(run("-q"), "");
    assert_eq!(
        run("-v"),
        "pai-host: tampers may: tamper (that is what it is for)\n"
    );
    // What failed is told even then.
    let output = finish(&mut pai_host(&[
        "run",
        "-q",
        guests::RETURNS_ERROR,
        "--",
        fixtures::CLONE_THREADS,
    ]));
    assert!(
        stderr(&output).contains("I have seen enough"),
        "{}",
        stderr(&output)
    );
    // What the user should know is not.
    let sleeper = |options: &[&str]| {
        let rest = ["-t", guests::SLEEPS, "-t", "minimal", "--", "true"];
        stderr(&finish(&mut pai_host(&[&["run"], options, &rest].concat())))
    };
    assert!(sleeper(&[]).contains("sleeps through WASI"));
    assert_eq!(sleeper(&["-q"]), "slept and ended\n");
}

/// The binary works alone: from any folder, without a home, without the
/// checkout's files.
#[test]
fn the_binary_works_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let copy = dir.path().join("tracer");
    copy_program(PAI_HOST, &copy);
    for plugin in BUNDLED {
        // They have to be told of what.
        let plugin = match plugin {
            "fault" => "fault -c vhangup -e EPERM",
            "override" => "override -f absent=1",
            "watch" => "watch -v absent",
            other => other,
        };
        let mut command = Command::new("./tracer");
        command.env_clear().current_dir(dir.path());
        command.args(["run", "-t", plugin, "--", "/bin/sh", "-c", "exit 5"]);
        let output = finish(&mut command);
        assert_eq!(status(&output), 5, "{}", stderr(&output));
    }
}

/// The cache is the user's alone; what others could have written is not used,
/// and a damaged entry is compiled again.
#[test]
fn compiled_plugins_are_kept_safely() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("cache");
    let run = || {
        let mut command = pai_host(&["run", guests::NOOP, "--", "true"]);
        command
            .env("PAI_CACHE_DIR", &cache)
            .env("PAI_LOG", "pai::host=debug");
        let output = finish(&mut command);
        assert_eq!(status(&output), 0, "{}", stderr(&output));
        stderr(&output)
    };
    let entries = || {
        let entries = fs::read_dir(&cache).expect("a cache");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.collect::<Vec<_>>()
    };
    run();
    assert_eq!(
        fs::metadata(&cache).expect("a cache").mode() & 0o7777,
        0o700
    );
    let [entry] = &entries()[..] else {
        panic!("{:?}", entries())
    };
    assert_eq!(entry.extension(), Some("cwasm".as_ref()));
    let made = fs::metadata(entry).expect("an entry").ino();
    run();
    assert_eq!(
        fs::metadata(entry).expect("an entry").ino(),
        made,
        "compiled twice"
    );

    // An entry is never loaded when it is named as a plugin.
    let output = finish(&mut pai_host(&[
        "run",
        entry.to_str().expect("plain"),
        "--",
        "true",
    ]));
    assert_eq!(status(&output), 125);
    assert!(
        stderr(&output).contains("native code, which is never loaded"),
        "{}",
        stderr(&output)
    );

    fs::write(entry, "damaged").expect("our own");
    assert!(run().contains("not usable"));
    assert_ne!(fs::read(entry).expect("an entry"), b"damaged");

    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("our own");
    assert!(run().contains("is open to others"));
}
