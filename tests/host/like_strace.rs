//! The same programs under the installed strace and under ours. A line that strace shows
//! in every run shows in ours too, or is one that a rule of docs/STRACE-COMPAT.md is
//! about.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use pai_tests::lines::{self, Change};
use regex_lite::Regex;

use crate::common::{OURS, STRACE, finish, plain, status, stderr, under};

mod cases;
mod counts;
mod descriptors;
mod rules;

use cases::Case;
use rules::{LINES, Rules};

/// Of the lines that strace shows in every run, at least so many of 1000 are the same in
/// ours, whatever rules say: as many as the document says.
fn floor() -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STRACE-COMPAT.md");
    let text = fs::read_to_string(path).expect("a document");
    let share = Regex::new(r"lines are the same, (\d+)\.(\d) %").expect("a pattern");
    let share = share.captures(&text).expect("a share in the document");
    let number = |at: usize| share[at].parse::<usize>().expect("a number");
    number(1) * 10 + number(2)
}

/// Times, which are different in every run.
static TIMES: LazyLock<Patterns> = LazyLock::new(|| {
    patterns(&[
        (r" <\d+\.\d{6}>$", " <TIME>"),
        (r"^(\d+) +\d\d:\d\d:\d\d ", "$1 TIME "),
        (r"^(\d+) +\d\d:\d\d:\d\d\.\d{6} ", "$1 TIME.MICROS "),
        (r"^(\d+) +\d+\.\d{6} ", "$1 SECONDS.MICROS "),
    ])
});

/// What else is no difference between tracers but one between runs, where chance could
/// make runs of one tracer agree and those of the other too.
static VARIES: LazyLock<Patterns> = LazyLock::new(|| {
    patterns(&[
        (r"\bsysinfo\(\{.*\}\)", "sysinfo({...})"),
        (r"\b(f_bfree|f_bavail|f_ffree|stx?_ino)=\d+", "$1=N"),
        (r"\b(pipe|socket|TCP):\[\d+\]", "$1:[N]"),
        (r"\b([rt]x_(?:packets|bytes)|nlmsg_seq)=\d+", "$1=N"),
        // A register of what the signal has interrupted.
        (r"^(rt_sigreturn\(.*\)) = .*", "$1 = ?"),
        (r#"\bgetrandom\("[^"]*""#, r#"getrandom("BYTES""#),
    ])
});

type Patterns = Vec<(Regex, &'static str)>;

fn patterns(list: &[(&str, &'static str)]) -> Patterns {
    let of = |(pattern, with): &(&str, _)| (Regex::new(pattern).expect("a pattern"), *with);
    list.iter().map(of).collect()
}

fn without(line: &str, patterns: &Patterns) -> String {
    patterns.iter().fold(line.to_owned(), |line, (of, with)| {
        of.replace_all(&line, *with).into_owned()
    })
}

/// A folder as it was before, and where everybody finds it.
fn prepare(folder: &Path, how: &str) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("our own");
    }
    fs::create_dir(folder).expect("a folder");
    let mut shell = Command::new("sh");
    plain(&mut shell);
    let made = finish(shell.args(["-c", how]).current_dir(folder));
    assert_eq!(status(&made), 0, "{how}: {}", stderr(&made));
}

/// Answers one request after the other, as long as the process lives. Returns its port.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // One that goes away has nothing to be told.
            answer(client).ok();
        }
    });
    port
}

fn answer(client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    reader.get_mut().write_all(text.as_bytes())
}

/// Runs a case under a tracer; returns what that writes.
fn log(case: &Case<'_>, folder: &Path, port: u16, tracer: &[&str]) -> String {
    prepare(folder, case.prepare);
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = under(tracer);
    command.args(case.options).arg("-o").arg(log.path());
    for word in case.command {
        command.arg(word.replace("PORT", &port.to_string()));
    }
    finish(command.current_dir(folder));
    let log = fs::read(log.path()).expect("a log");
    String::from_utf8_lossy(&log).into_owned()
}

/// The lines of a case, without what differs from run to run.
fn run(case: &Case<'_>, folder: &Path, port: u16, tracer: &[&str]) -> Vec<String> {
    let mut tracer = tracer.to_vec();
    tracer.extend(["-f", "-a1"]);
    let log = log(case, folder, port, &tracer);
    let log: Vec<String> = log.lines().map(|line| without(line, &TIMES)).collect();
    let lines = lines::all_of_log(&log.join("\n"));
    // Whether a signal finds a program in a call is chance, and so is how often curl
    // looks whether there is an answer, and for how long.
    let waits = case.command[0] == "curl";
    let is_chance =
        |line: &&String| line.contains(" = ? ERESTART") || waits && line.starts_with("poll(");
    let lines = lines.iter().filter(|line| !is_chance(line));
    lines.map(|line| without(line, &VARIES)).collect()
}

fn is_installed(program: &str) -> bool {
    let mut shell = Command::new("sh");
    plain(&mut shell);
    status(&finish(shell.args(["-c", "command -v \"$0\"", program]))) == 0
}

/// What is in both, in order.
fn agreed(one: &[String], other: &[String]) -> Vec<String> {
    let same = |change: &Change<'_>| match change {
        Change::Same(line) => Some((*line).to_owned()),
        Change::Ours(_) | Change::Theirs(_) => None,
    };
    lines::changes(one, other).iter().filter_map(same).collect()
}

/// For each line of strace's that is not in ours as often as there, what ours has in its
/// place; `None` for one that is, be it elsewhere.
fn places<'a>(ours: &'a [String], theirs: &'a [String]) -> Vec<Option<Vec<&'a str>>> {
    let mut places = Vec::with_capacity(theirs.len());
    let (mut missing, mut instead) = (0, Vec::new());
    let mut changes = lines::changes(ours, theirs);
    // Ends the last place.
    changes.push(Change::Same(""));
    for change in changes {
        match change {
            Change::Theirs(_) => missing += 1,
            Change::Ours(line) => instead.push(line),
            Change::Same(_) => {
                let place = std::mem::take(&mut instead);
                places.extend(std::iter::repeat_n(Some(place), missing));
                places.push(None);
                missing = 0;
            }
        }
    }
    places.pop();
    // What is in its place already is not there for another.
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for line in ours {
        *left.entry(line).or_default() += 1;
    }
    let (same, others): (Vec<usize>, Vec<usize>) =
        (0..places.len()).partition(|at| places[*at].is_none());
    for at in same.into_iter().chain(others) {
        if let Some(count) = left
            .get_mut(theirs[at].as_str())
            .filter(|count| **count > 0)
        {
            *count -= 1;
            places[at] = None;
        }
    }
    places
}

/// How far they are the same from the beginning.
fn alike(one: &str, other: &str) -> usize {
    let both = one.bytes().zip(other.bytes());
    both.take_while(|(one, other)| one == other).count()
}

#[test]
fn lines_are_straces() {
    let base = tempfile::tempdir().expect("a temporary folder");
    let folder = base.path().join("work");
    let port = serve();
    let mut rules = Rules::read(&[LINES]);
    let (mut all, mut same) = (0, 0);
    let (mut report, mut unexplained) = (String::new(), String::new());
    for case in cases::all() {
        if !is_installed(case.command[0]) {
            report.push_str(&format!("skip: {} is not installed\n", case.command[0]));
            continue;
        }
        // By turns: what changes in one direction, such as the time, does not divide them.
        let turns = [STRACE, OURS, STRACE, OURS, STRACE];
        let [first, ours, second, again, third] =
            turns.map(|tracer| run(case, &folder, port, tracer));
        let theirs = agreed(&agreed(&first, &second), &third);
        assert!(!theirs.is_empty(), "{}: strace shows nothing", case.name);
        let mut hits = 0;
        // What the program itself does depends on time: one run of ours is enough.
        let ours = places(&ours, &theirs).into_iter();
        let both = ours.zip(places(&again, &theirs));
        for (line, place) in theirs.iter().zip(both) {
            let (Some(ours), Some(again)) = place else {
                hits += 1;
                continue;
            };
            let instead = [ours, again].concat();
            let known = rules.cover(line, &instead);
            let sign = if known { '~' } else { '-' };
            let likest = instead.iter().max_by_key(|ours| alike(ours, line));
            let likest = likest.copied().unwrap_or_default();
            let text = format!("{}: {sign} {line}\n    + {likest}\n", case.name);
            report.push_str(&text);
            if !known {
                unexplained.push_str(&text);
            }
        }
        report.push_str(&format!("{}: {hits} of {}\n", case.name, theirs.len()));
        all += theirs.len();
        same += hits;
    }
    let share = same * 1000 / all;
    let words = format!("{same} of {all} lines, {}.{} %", share / 10, share % 10);
    // Shown with --nocapture, and when it fails.
    eprintln!("{report}{}{words}", rules.report());
    assert!(unexplained.is_empty(), "no rule for\n{unexplained}");
    assert!(rules.idle().is_empty(), "not needed: {:?}", rules.idle());
    assert!(share >= floor(), "{words}");
}
