//! Options of strace(1) beyond those that change a line: the same command under the
//! installed strace and under ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pai_tests::{fixtures, guests, lines};

use crate::common::{OURS, STRACE, finish, pai_host, plain, status, stderr, stdout, under};

/// A tracer with these options over a command.
pub(crate) fn traced(tracer: &[&str], options: &[&str], command: &[&str]) -> Output {
    finish(under(tracer).args(options).args(command))
}

/// What it writes to the file of `-o`.
pub(crate) fn log(tracer: &[&str], options: &[&str], command: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a plain path");
    let options = [&["-o", path], options].concat();
    traced(tracer, &options, command);
    fs::read_to_string(path).expect("a log")
}

/// A line of a stack.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    file: String,
    symbol: String,
    address: String,
}

/// Lines up to the first parenthesis, each with its stack.
fn stacks(log: &str) -> Vec<(String, Vec<Frame>)> {
    let mut all: Vec<(String, Vec<Frame>)> = Vec::new();
    for line in log.lines() {
        let Some(frame) = line.strip_prefix(" > ") else {
            let what = line.split(['(', '{']).next().unwrap_or(line);
            all.push((what.to_owned(), Vec::new()));
            continue;
        };
        let (place, address) = frame.rsplit_once(" [").expect("an address");
        let (file, symbol) = place.split_once('(').expect("a symbol");
        all.last_mut().expect("a line before").1.push(Frame {
            file: file.to_owned(),
            symbol: symbol.trim_end_matches(')').to_owned(),
            address: address.trim_end_matches(']').to_owned(),
        });
    }
    all
}

#[test]
fn stacks_are_straces() {
    let traced = "trace=getppid,close,getuid,tgkill,execve,rt_sigreturn,exit_group";
    let options = ["-k", "-e", traced];
    let command = [fixtures::STACK_LINES];
    let theirs = stacks(&log(STRACE, &options, &command));
    let ours = stacks(&log(OURS, &options, &command));
    let names = |all: &[(String, Vec<Frame>)]| -> Vec<String> {
        all.iter().map(|(what, _)| what.clone()).collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    let mut named = 0;
    for ((what, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        let places = |frames: &[Frame]| -> Vec<(String, String)> {
            let place = |frame: &Frame| (frame.file.clone(), frame.address.clone());
            frames.iter().map(place).collect()
        };
        assert_eq!(places(ours), places(theirs), "{what}");
        // Of stripped libraries strace names the symbol before, and we none.
        for (our, their) in ours.iter().zip(theirs) {
            if our.file == fixtures::STACK_LINES {
                assert_eq!(our, their, "{what}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
    // The last call's comes behind the end, as in strace.
    let (last, stack) = ours.last().expect("an end");
    assert_eq!(last, "+++ exited with 3 +++");
    assert!(stack.iter().any(|frame| frame.symbol.starts_with("leave+")));
}

#[test]
fn stacks_of_other_peoples_programs() {
    for command in [
        &["ls", "-l", "/"][..],
        &["tar", "cf", "/dev/null", "/etc/hostname"],
    ] {
        let places = |tracer| -> Vec<String> {
            let text = log(tracer, &["-k"], command);
            let line = |(what, frames): &(String, Vec<Frame>)| {
                let places = frames.iter().map(|f| format!(" {}[{}]", f.file, f.address));
                what.clone() + &places.collect::<String>()
            };
            stacks(&text).iter().map(line).collect()
        };
        let (theirs, ours) = (places(STRACE), places(OURS));
        if ours != theirs {
            let changes = lines::compare(&ours, &theirs);
            panic!("{command:?}: + ours, - strace\n{}", changes.join("\n"));
        }
    }
}

#[test]
fn stacks_go_on_where_strace_gives_up() {
    let static_program = log(
        OURS,
        &["-k", "-e", "trace=exit_group"],
        &[fixtures::STATIC_PIE],
    );
    let all = stacks(&static_program);
    let (_, stack) = all.last().expect("an end");
    let symbols: Vec<&str> = stack
        .iter()
        .map(|frame| frame.symbol.split('+').next().unwrap_or_default())
        .collect();
    assert!(
        symbols.contains(&"main") || symbols.contains(&"exit"),
        "{symbols:?}"
    );
    assert_eq!(symbols.last(), Some(&"_start"), "{symbols:?}");
}

#[test]
fn no_stack_unless_it_is_asked_for() {
    let log = log(OURS, &["-e", "trace=getppid"], &[fixtures::STACK_LINES]);
    assert!(!log.contains(" > "), "{log}");
}

/// The files of `-ff`, by the order of their numbers, which is that of births.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let number = name.strip_prefix("log.").expect("our name");
        let number: u32 = number.parse().expect("a number");
        all.insert(number, (number.to_string(), path.clone()));
    }
    all.into_values().collect()
}

/// Their lines, as [`lines::from_log`] has them, with ends and at last signals: a
/// child may have ended before its parent waits for it.
fn separate(tracer: &[&str], options: &[&str], command: &[&str]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("log");
    let base = base.to_str().expect("a plain path");
    let options = [&["-ff", "-a1", "-o", base], options].concat();
    traced(tracer, &options, command);
    let files = files(folder.path());
    let tids: Vec<&str> = files.iter().map(|(tid, _)| tid.as_str()).collect();
    let comparable = |path: &PathBuf| -> Vec<String> {
        let text = fs::read_to_string(path).expect("a log");
        let mut all: Vec<String> = text
            .lines()
            .map(|line| lines::comparable(line, &tids))
            .collect();
        all.sort_by_key(|line| line.starts_with("---"));
        all
    };
    files.iter().map(|(_, path)| comparable(path)).collect()
}

#[test]
fn each_task_has_a_file_of_its_own() {
    let script = "(exit 3); sh -c 'kill -9 $$'; /bin/echo x";
    for command in [&["sh", "-c", script][..], &[fixtures::FILES_EACH]] {
        let options = ["-e", "trace=execve,exit,exit_group,wait4,getuid,getgid"];
        let theirs = separate(STRACE, &options, command);
        let ours = separate(OURS, &options, command);
        assert!(theirs.len() > 1, "{command:?}");
        assert_eq!(ours, theirs, "{command:?}");
    }
}

#[test]
fn where_files_cannot_be_is_told_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("none").join("log");
    let missing = missing.to_str().expect("a plain path");
    let output = traced(OURS, &["-ff", "-o", missing], &["echo", "ran"]);
    assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
    let text = stderr(&output);
    let wanted = format!("pai-host: cannot create {missing}.PID: No such file or directory\n");
    assert!(text.starts_with(&wanted), "{text}");
    for (options, why) in [
        (
            &["-ff", "-o", "log", "--json"][..],
            "--json with a file for each task",
        ),
        (&["-ff", "-o", "|cat"], "-o with a command"),
    ] {
        let output = traced(OURS, options, &["true"]);
        assert_eq!(status(&output), 125);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    // Counts are of all tasks together, here and there.
    for tracer in [STRACE, OURS] {
        let base = folder.path().join("log");
        let base = base.to_str().expect("a plain path");
        let output = traced(tracer, &["-c", "-ff", "-o", base], &["true"]);
        assert_ne!(status(&output), 0);
    }
}

#[test]
fn only_who_is_asked_for_files_writes_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("log");
    let path = base.to_str().expect("a plain path");
    let args = [
        "run",
        "-o",
        path,
        "--output-separately",
        "strace",
        "--",
        "true",
    ];
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert_eq!(files(folder.path()).len(), 1);
    let args = ["run", "--output-separately", "strace", "--", "true"];
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), 125);
    assert!(stderr(&output).contains("--output"), "{}", stderr(&output));
}

/// Plugins reach no other files than those of the tasks that they trace, and what is
/// wrong with one of those is no matter for the others.
#[test]
fn files_are_those_of_traced_tasks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("log");
    let path = base.to_str().expect("a plain path");
    let kept = folder.path().join("log.1");
    fs::write(&kept, "kept\n").expect("a file");
    let args = [
        "run",
        "-o",
        path,
        "--output-separately",
        "-t",
        guests::PRINTS_APART,
    ];
    let mut args = args.to_vec();
    args.extend(["--", fixtures::CLONE_THREADS, "4", "10"]);
    let output = finish(&mut pai_host(&args));
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("no task 1 was traced"), "{said}");
    assert_eq!(fs::read_to_string(&kept).expect("a file"), "kept\n");
    fs::remove_file(&kept).expect("it is there");
    let texts = files(folder.path());
    assert_eq!(texts.len(), 4, "{texts:?}");
}

#[test]
fn output_is_appended_or_goes_to_a_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("log");
    let path = file.to_str().expect("a plain path");
    for tracer in [STRACE, OURS] {
        fs::write(&file, "before\n").expect("a file");
        traced(tracer, &["-A", "-o", path, "-e", "trace=none"], &["true"]);
        let text = fs::read_to_string(&file).expect("a log");
        assert_eq!(text, "before\n+++ exited with 0 +++\n");
        for mark in ["|", "!"] {
            let command = format!("{mark}sed s/exited/went/ > {path}");
            let options = ["-o", &command, "-e", "trace=none"];
            let output = traced(tracer, &options, &["sh", "-c", "exit 4"]);
            assert_eq!(status(&output), 4, "{}", stderr(&output));
            let text = fs::read_to_string(&file).expect("a log");
            assert_eq!(text, "+++ went with 4 +++\n");
        }
    }
    // One that reads nothing harms nobody.
    let output = traced(OURS, &["-o", "|exit 1"], &["sh", "-c", "exit 4"]);
    assert_eq!(status(&output), 4, "{}", stderr(&output));
}

#[test]
fn commands_run_as_other_users() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skip: only root can be another user");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let id = folder.path().join("id");
    let script = "chmod 755 \"$0\" && cp \"$(command -v id)\" \"$0/id\" && chmod 4755 \"$0/id\"";
    let mut shell = Command::new("sh");
    plain(&mut shell);
    let made = finish(shell.args(["-c", script]).arg(folder.path()));
    assert_eq!(status(&made), 0, "{}", stderr(&made));
    let privileged = id.to_str().expect("a plain path");
    for command in [&["id"][..], &[privileged]] {
        let seen = [STRACE, OURS].map(|tracer| {
            let output = traced(tracer, &["-u", "nobody", "-o", "/dev/null"], command);
            assert_eq!(status(&output), 0, "{}", stderr(&output));
            stdout(&output)
        });
        assert_eq!(seen[1], seen[0]);
        assert!(seen[1].contains("(nobody)"), "{}", seen[1]);
        assert_eq!(seen[1].contains("euid=0"), command == [privileged]);
    }
    let output = traced(OURS, &["-u", "no such user"], &["echo", "ran"]);
    assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
    assert_eq!(
        stderr(&output),
        "pai-host: -u no such user: no user of this name\n"
    );
}

#[test]
fn processes_that_execute_are_let_go() {
    let command = ["sh", "-c", "exec sh -c 'echo two; exit 7'"];
    let options = ["-f", "-b", "execve", "-e", "trace=execve,wait4,write"];
    let seen = [STRACE, OURS].map(|tracer| {
        let text = log(tracer, &options, &command);
        assert!(text.contains("<detached ...>"), "{text}");
        lines::from_log(&text)
    });
    assert_eq!(seen[1], seen[0]);
    let command = ["sh", "-c", "/bin/echo one; exec sh -c 'echo two; exit 7'"];
    let output = traced(OURS, &["-f", "-b", "execve"], &command);
    assert_eq!(
        (status(&output), stdout(&output).as_str()),
        (7, "one\ntwo\n")
    );
    let text = stderr(&output);
    assert_eq!(text.matches("<detached ...>").count(), 2, "{text}");
    assert_eq!(text.matches("+++").count(), 0, "{text}");
    let output = traced(OURS, &["-b", "open"], &command);
    assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
}

#[test]
fn the_name_of_a_command_can_be_chosen() {
    let text = log(
        OURS,
        &["--argv0", "other", "-e", "trace=execve"],
        &["sh", "-c", "exit 0"],
    );
    let line = text.lines().next().unwrap_or_default();
    assert!(
        line.contains("sh\", [\"other\", \"-c\", \"exit 0\"], "),
        "{line}"
    );
}

#[test]
fn the_tracer_stays_a_parent() {
    let output = traced(OURS, &["-D"], &["echo", "ran"]);
    assert_eq!((status(&output), stdout(&output).as_str()), (125, ""));
    assert!(
        stderr(&output).starts_with("pai-host: -D: "),
        "{}",
        stderr(&output)
    );
}

/// Lines of a program whose calls are the same in every run, both ways.
#[track_caller]
pub(crate) fn assert_same_lines(options: &[&str], command: &[&str]) {
    let options = [&["-f", "-a1"], options].concat();
    let [theirs, ours] = [STRACE, OURS].map(|tracer| {
        let text = log(tracer, &options, command);
        lines::from_log(&text)
    });
    assert!(!theirs.is_empty(), "{options:?}");
    if ours != theirs {
        let changes = lines::compare(&ours, &theirs);
        panic!("{options:?}: + ours, - strace\n{}", changes.join("\n"));
    }
}

#[test]
fn structures_are_shown_or_where_they_are() {
    let script = "import os, select, socket, signal
a, b = socket.socketpair()
a.sendmsg([b'x', b'y'])
b.recvmsg(10, 100)
a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
os.writev(2, [b'a', b'b'])
p = select.poll()
p.register(2, select.POLLOUT)
p.poll(0)
select.select([], [2], [], 5)
signal.pthread_sigmask(signal.SIG_BLOCK, [10])
os.pipe(), os.uname(), os.stat('/'), os.readlink('/proc/self/cwd'), os.getcwd()";
    let calls = "trace=execve,socketpair,sendmsg,recvmsg,setsockopt,writev,poll,pselect6,\
                 rt_sigprocmask,pipe2,uname,newfstatat,readlink,getcwd,wait4,openat,read";
    let command = ["/usr/bin/python3", "-I", "-S", "-c", script];
    for set in ["none", "execve,poll", "!sendmsg,pselect6"] {
        let set = format!("verbose={set}");
        assert_same_lines(&["-e", calls, "-e", &set], &command);
    }
}

#[test]
fn strings_in_hexadecimal() {
    let command = ["printf", "a\x01\u{e9}b\n"];
    for option in ["", "=none", "=non-ascii-chars", "=non-ascii", "=all"] {
        let option = format!("--strings-in-hex{option}");
        assert_same_lines(&[&option, "-e", "trace=write"], &command);
        assert_same_lines(&[&option, "-e", "trace=write"], &["printf", "plain"]);
    }
    for option in ["-x", "-xx"] {
        assert_same_lines(&[option, "-e", "trace=write"], &command);
    }
    let both = traced(OURS, &["-x", "--strings-in-hex"], &command);
    assert_eq!(status(&both), 125, "{}", stderr(&both));
}

#[test]
fn descriptors_are_decoded_as_far_as_is_wanted() {
    let script = "import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 0))
s.close()
p = os.pidfd_open(os.getppid())
os.close(p)
open('/dev/null').close()
os.close(os.open('/', 0))";
    let traced = "trace=socket,pidfd_open,close,openat";
    let command = ["sh", "-c", "\"$@\"; exit 0", "x"];
    let python = ["/usr/bin/python3", "-I", "-S", "-c", script];
    let command = [&command[..], &python].concat();
    let stable = |text: &str| -> Vec<String> {
        let lines = lines::from_log(text);
        let varies = |line: &&String| line.contains("socket:[") || line.contains("UDP:[");
        let stable = lines.iter().filter(|line| !varies(line));
        stable.cloned().collect()
    };
    for set in [
        "path",
        "socket",
        "dev",
        "pidfd",
        "all",
        "none",
        "dev,pidfd",
        "!path",
    ] {
        let option = format!("--decode-fds={set}");
        let options = ["-f", "-a1", &option, "-e", traced];
        let [theirs, ours] = [STRACE, OURS].map(|tracer| log(tracer, &options, &command));
        assert_eq!(stable(&ours), stable(&theirs), "{set}");
        assert_eq!(ours.contains("UDP:["), theirs.contains("UDP:["), "{set}");
        assert_eq!(
            ours.contains("socket:["),
            theirs.contains("socket:["),
            "{set}"
        );
        assert_eq!(ours.contains("<pid:"), theirs.contains("<pid:"), "{set}");
    }
}

fn without_digits(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[test]
fn names_of_commands_stand_behind_ids() {
    let calls = "trace=getpid,clone,kill,execve,vfork";
    let script = "(exit 3); sh -c 'kill -9 $$'; /bin/echo x";
    let heads = [STRACE, OURS].map(|tracer| {
        let options = ["-f", "-a1", "-Y", "-e", calls, "-e", "signal=none"];
        let text = log(tracer, &options, &["sh", "-c", script]);
        let name = |(head, rest): &(String, String)| {
            let name = head.trim_start_matches(|c: char| c.is_ascii_digit());
            let call = rest.split('(').next().unwrap_or_default();
            let result = rest.rsplit_once('<').map_or("", |(_, name)| name);
            let line = format!("{name} {call} {result}");
            without_digits(&line)
        };
        // The first call is the tracer's.
        let all = lines::whole_lines(&text, |_| true);
        let mut all: Vec<String> = all.iter().skip(1).map(name).collect();
        all.sort();
        all
    });
    assert_eq!(heads[1], heads[0]);
    assert!(heads[0].iter().any(|line| line.starts_with("<echo> +++")));
}

#[test]
fn what_is_not_told() {
    let none = ["-e", "trace=none"];
    for option in [
        "-q",
        "-qq",
        "-qqq",
        "--quiet",
        "--quiet=exit",
        "--quiet=attach,personality",
        "--quiet=!exit",
        "--silent=all",
        "-eq=thread-execve",
        "-esignal=none",
        "-esignal=!SIGKILL",
        "-esignal=!TERM",
    ] {
        for command in [&["true"][..], &["sh", "-c", "kill -9 $$"]] {
            let options = [&none[..], &[option]].concat();
            let [theirs, ours] = [STRACE, OURS].map(|tracer| log(tracer, &options, command));
            assert_eq!(ours, theirs, "{option}");
        }
    }
    for option in ["--quiet=thread-execve", "-qq", "-qqq"] {
        let options = [&none[..], &["-f", option]].concat();
        let [theirs, ours] = [STRACE, OURS].map(|tracer| {
            let text = log(tracer, &options, &[fixtures::FILES_EACH]);
            text.matches("superseded").count()
        });
        assert_eq!(ours, theirs, "{option}");
    }
    let output = traced(OURS, &["--quiet=noise"], &["true"]);
    assert!(stderr(&output).contains("\"noise\""), "{}", stderr(&output));
}

#[test]
fn numbers_and_places_stand_in_front_of_ends_too() {
    let options = ["-n", "-i", "-e", "trace=kill,exit_group"];
    let script = "trap : USR1; kill -USR1 $$; exit 2";
    let [theirs, ours] = [STRACE, OURS].map(|tracer| {
        let text = log(tracer, &options, &["sh", "-c", script]);
        let numbers = text.lines().map(|line| {
            let (number, rest) = line.split_once("] [").expect("a number");
            let (place, rest) = rest.split_once("] ").expect("a place");
            let known = if place.contains('?') { "?" } else { "0" };
            let word = rest.split('(').next().unwrap_or_default();
            format!(
                "{number} {known} {}",
                word.split('{').next().unwrap_or_default()
            )
        });
        numbers.collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
}

#[test]
fn tables_have_the_columns_that_are_wanted() {
    let head = |text: &str| -> Vec<String> {
        let head = text.lines().take(2);
        head.map(str::to_owned).collect()
    };
    for columns in [
        "calls,name",
        "name,min-time,max-time,avg-time,calls,total-time,time-percent,errors",
        "errors",
        "shortest,longest,time,count",
    ] {
        let options = ["-c", "-U", columns];
        let [theirs, ours] = [STRACE, OURS].map(|tracer| log(tracer, &options, &["true"]));
        assert_eq!(head(&ours), head(&theirs), "{columns}");
    }
    for options in [
        ["-c", "-U", "calls,calls"],
        ["-c", "-U", "speed"],
        ["-c", "-O", "soon"],
    ] {
        for tracer in [STRACE, OURS] {
            let output = traced(tracer, &options, &["true"]);
            assert_ne!(status(&output), 0, "{options:?}");
        }
    }
    // A second less of each leaves nothing.
    let table = log(OURS, &["-c", "-O", "1s"], &["true"]);
    let total = table.lines().last().unwrap_or_default();
    assert!(total.contains(" 0.000000 "), "{table}");
}

#[test]
fn what_is_not_there_says_so() {
    for (option, why) in [
        (
            "--kvm=vcpu",
            "-e kvm: why a virtual processor stopped is not shown",
        ),
        ("--decode-pids=pidns", "they are not translated"),
    ] {
        let output = traced(OURS, &[option], &["true"]);
        assert_eq!(status(&output), 125);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
}
