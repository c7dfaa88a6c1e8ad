//! System calls of a program as lines, decoded natively: what descriptions make of
//! them, compared with strace.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use pai_engine::{Action, Event, SyscallStop};
use pai_syscalls::decode::text::{self, Style};
use pai_syscalls::decode::{self, Captured, Limits};

use crate::trace::{ENVIRONMENT, Trace, all_syscalls};

/// The calls of a program, one line each, as `strace -f -a1` has them without signals
/// and ends. Those of one task after those of the other, in the order in which tasks
/// first show. Ids of tasks are `PID1`, `PID2`, and so on, addresses `0xADDR`.
///
/// # Panics
/// When it cannot be traced.
pub fn of(program: &Path, args: &[&str], limits: Limits, style: Style<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut entered: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    let mut trace = Trace::of(program);
    for arg in args {
        trace = trace.arg(arg);
    }
    trace
        .client(vec![all_syscalls()], |engine, _, delivery| {
            match &delivery.event {
                Event::SyscallEnter(stop) => {
                    let mut captured = Vec::new();
                    engine.capture(stop, limits, &mut captured);
                    if ["exit", "exit_group"].map(Some).contains(&name(stop)) {
                        let line = line(stop, &captured, limits, style);
                        lines.push((stop.tid.to_string(), line));
                    }
                    entered.insert(stop.tid, captured);
                }
                Event::SyscallExit(stop) => {
                    let mut captured = entered.remove(&stop.tid).unwrap_or_default();
                    engine.capture(stop, limits, &mut captured);
                    let line = line(stop, &captured, limits, style);
                    lines.push((stop.tid.to_string(), line));
                }
                _ => {}
            }
            Some(Action::Proceed)
        })
        .run();
    by_task(lines)
}

/// The same lines by strace.
///
/// # Panics
/// When it cannot be run.
pub fn by_strace(program: &Path, args: &[&str], options: &[&str]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let status = Command::new("strace")
        .args(["-f", "-a1", "-o"])
        .arg(file.path())
        .args(options)
        .arg("--")
        .arg(program)
        .args(args)
        .env_clear()
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(tempfile::tempfile().expect("a temporary file"))
        .status()
        .expect("strace is installed");
    assert!(status.code().is_some(), "{status}");
    let text = std::fs::read(file.path()).expect("its file");
    let text = String::from_utf8_lossy(&text).into_owned();
    from_log(&text)
}

/// The lines of a log of `strace -f -o FILE`, or of ours, as [`of`] has them.
pub fn from_log(text: &str) -> Vec<String> {
    let is_call = |line: &str| !line.starts_with("---") && !line.starts_with("+++");
    some_of_log(text, is_call)
}

/// The same with signals and ends.
pub fn all_of_log(text: &str) -> Vec<String> {
    some_of_log(text, |_| true)
}

fn some_of_log(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    by_task(whole_lines(text, is_wanted))
}

/// The lines of such a log, in its order, with the id in front of each; what other
/// tasks came between is put together again, with the id of its start.
pub fn whole_lines(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut begun: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in text.lines() {
        let Some((tid, line)) = line.split_once(' ') else {
            continue;
        };
        let line = line.trim_start();
        // With -n numbers of calls are in front.
        let bare = match line.split_once("] ") {
            Some((number, bare)) if number.starts_with('[') => bare,
            _ => line,
        };
        if !is_wanted(bare) {
            continue;
        }
        // With -Y a name is behind it, which execve changes.
        let number = tid.split('<').next().unwrap_or_default();
        if let Some(start) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(number, (tid, start));
            continue;
        }
        let rest = line
            .strip_prefix("<... ")
            .and_then(|line| line.split_once(" resumed>"));
        lines.push(match rest {
            Some((_, rest)) => {
                let (tid, start) = begun.remove(number).unwrap_or_default();
                (tid.to_owned(), format!("{start}{rest}"))
            }
            None => (tid.to_owned(), line.to_owned()),
        });
    }
    lines
}

/// The name of a network interface, as strace finds it.
pub fn interface(out: &mut Vec<u8>, index: u32) {
    let Ok(all) = std::fs::read_dir("/sys/class/net") else {
        return;
    };
    for entry in all.flatten() {
        let number = std::fs::read_to_string(entry.path().join("ifindex"));
        if number.is_ok_and(|number| number.trim() == index.to_string()) {
            out.extend_from_slice(entry.file_name().as_encoded_bytes());
        }
    }
}

/// Panics unless what this fixture does from its mark on, `MARK()` of `decode.h`, reads
/// the same in strace's words and in ours.
#[track_caller]
pub fn assert_same(program: &str, args: &[&str], verbose: bool) {
    assert_alike(program, args, verbose, |line| Some(line.to_owned()));
}

/// As [`assert_same`], of what `part` makes of the lines: without what differs from run
/// to run.
#[track_caller]
pub fn assert_alike(
    program: &str,
    args: &[&str],
    verbose: bool,
    part: impl Fn(&str) -> Option<String>,
) {
    let program = Path::new(program);
    let style = Style {
        verbose,
        interface: Some(&interface),
        ..Style::default()
    };
    let options: &[&str] = if verbose { &["-v"] } else { &[] };
    let mut limits = Limits {
        brief: !verbose,
        ..Limits::default()
    };
    if verbose {
        limits.items = Limits::ALL;
    }
    let ours = of(program, args, limits, style);
    let theirs = by_strace(program, args, options);
    let parts = |lines: &[String]| -> Vec<String> {
        let lines = marked(lines).iter();
        lines.filter_map(|line| part(line)).collect()
    };
    let (ours, theirs) = (parts(&ours), parts(&theirs));
    assert!(!theirs.is_empty(), "strace shows no mark");
    if ours != theirs {
        let changes = compare(&ours, &theirs);
        panic!("+ ours, - strace\n{}", changes.join("\n"));
    }
}

fn marked(lines: &[String]) -> &[String] {
    let mark = lines
        .iter()
        .position(|line| line.starts_with("getpriority("));
    mark.map_or(&[], |mark| &lines[mark + 1..])
}

fn by_task(lines: Vec<(String, String)>) -> Vec<String> {
    let mut tids: Vec<String> = Vec::new();
    for (tid, _) in &lines {
        if !tids.contains(tid) {
            tids.push(tid.clone());
        }
    }
    // That of their births: which of several first does something is chance.
    tids.sort_by_key(|tid| tid.parse::<u32>().ok());
    let mut out = Vec::new();
    for tid in &tids {
        for (of, line) in &lines {
            if of == tid {
                out.push(normal(line, &tids));
            }
        }
    }
    out
}

fn name(stop: &SyscallStop) -> Option<&'static str> {
    pai_syscalls::name(stop.call.abi, stop.call.nr)
}

fn line(stop: &SyscallStop, captured: &[u8], limits: Limits, style: Style<'_>) -> String {
    let (abi, number) = (stop.call.abi, stop.call.nr);
    let mut out = Vec::new();
    let described = decode::describe(abi, number);
    let decoded = described.map(|call| {
        let captured = Captured::decode(captured);
        decode::decode(call, abi, stop.args, stop.ret, limits, &captured)
    });
    match &decoded {
        Some(decoded) => {
            decoded.push_name(&mut out);
            out.push(b'(');
            style.push_arguments(&mut out, decoded, 0..decoded.args.len());
        }
        None => {
            text::push_name(&mut out, abi, number);
            out.push(b'(');
            text::push_raw_arguments(&mut out, abi, number, stop.args);
        }
    }
    out.extend_from_slice(b") ");
    match (stop.ret, &decoded) {
        (None, _) => out.extend_from_slice(b"= ?"),
        (Some(ret), _) if stop.restarts => {
            out.extend_from_slice(b"= ");
            text::push_restart(&mut out, ret);
        }
        (Some(ret), Some(decoded)) => style.push_result(&mut out, decoded, ret),
        (Some(ret), None) => out.extend_from_slice(format!("= {ret}").as_bytes()),
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// One line as [`of`] has them, where tasks have these ids.
pub fn comparable(line: &str, tids: &[&str]) -> String {
    let tids: Vec<String> = tids.iter().map(|tid| (*tid).to_owned()).collect();
    normal(line, &tids)
}

/// Calls whose numbers are sizes and places, which an id may equal by chance.
const NO_IDS: &[&str] = &[
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "brk",
    "fstat",
    "newfstatat",
    "statx",
    "lseek",
    "pread64",
    "read",
];

/// A line without what differs from run to run.
fn normal(line: &str, tids: &[String]) -> String {
    let call = line.split_once('(').map_or("", |(call, _)| call);
    let tids = match NO_IDS.contains(&call) {
        true => &[],
        false => tids,
    };
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        out.push_str(before);
        let of_number = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (number, after) =
            number.split_at(number.find(|c| !of_number(c)).unwrap_or(number.len()));
        let digits = number.strip_prefix("0x");
        let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        // Programs, their heaps, stacks and libraries are above 64 TiB.
        if value.is_some_and(|value| value >> 46 != 0 && value >> 47 == 0) {
            out.push_str("0xADDR");
        } else if let Some(index) = tids.iter().position(|tid| tid == number) {
            out.push_str(&format!("PID{}", index + 1));
        } else {
            out.push_str(number);
        }
        rest = after;
    }
    out.push_str(rest);
    for name in ["si_utime=", "si_stime="] {
        out = without_value(&out, name);
    }
    out
}

/// A line with `...` for the value of such a field.
fn without_value(line: &str, name: &str) -> String {
    let mut parts = line.split(name);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', '}']).unwrap_or(part.len());
        out.push_str(name);
        out.push_str("...");
        out.push_str(&part[end..]);
    }
    out
}

/// A line, and who has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    /// Both.
    Same(&'a str),
    /// We alone.
    Ours(&'a str),
    /// strace alone.
    Theirs(&'a str),
}

/// The shortest way from theirs to ours.
pub fn changes<'a>(ours: &'a [String], theirs: &'a [String]) -> Vec<Change<'a>> {
    let of = |op: similar::DiffOp| {
        op.iter_changes(theirs, ours)
            .map(|change| match change.tag() {
                similar::ChangeTag::Equal => (similar::ChangeTag::Equal, change.new_index()),
                tag => (tag, change.new_index().or(change.old_index())),
            })
            .collect::<Vec<_>>()
    };
    let ops = similar::capture_diff_slices(similar::Algorithm::Myers, theirs, ours);
    let line = |(tag, index): (similar::ChangeTag, Option<usize>)| {
        let index = index.expect("a line is somewhere");
        match tag {
            similar::ChangeTag::Equal => Change::Same(&ours[index]),
            similar::ChangeTag::Insert => Change::Ours(&ours[index]),
            similar::ChangeTag::Delete => Change::Theirs(&theirs[index]),
        }
    };
    ops.into_iter().flat_map(of).map(line).collect()
}

/// The same as text, with a sign in front.
pub fn compare(ours: &[String], theirs: &[String]) -> Vec<String> {
    let text = |change: Change<'_>| match change {
        Change::Same(line) => format!("  {line}"),
        Change::Ours(line) => format!("+ {line}"),
        Change::Theirs(line) => format!("- {line}"),
    };
    changes(ours, theirs).into_iter().map(text).collect()
}
