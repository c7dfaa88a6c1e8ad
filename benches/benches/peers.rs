//! Other tools beside the host, each asked for every getppid of a loop.
//!
//! What they do with a call differs: some count in the kernel, some write a line. So no
//! ratio here is a limit; the table says what a user of another tool can expect.
//! All run in turn on one CPU, and each must have seen as many calls as the target says
//! that it made.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::{Options, Place, Samples, Table, place, print_end};

/// A tool that can be asked for one call.
struct Tool {
    name: &'static str,
    /// What it does with each call.
    does: &'static str,
    /// Its program; `None` is the host.
    program: Option<&'static str>,
    /// Its arguments for an output file and a target.
    arguments: fn(&str, &[String]) -> Vec<String>,
    /// How often its output has the call.
    count: fn(&str) -> u64,
    /// One in so many operations: the slow ones would take minutes.
    one_in: u64,
}

/// Counts lines with this text in them.
macro_rules! lines_with {
    ($text:literal) => {
        |output| {
            let found = output.lines().filter(|line| line.contains($text));
            found.count() as u64
        }
    };
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "host, strace",
        does: "line",
        program: None,
        arguments: |output, target| words(&["run", "-o", output, "strace", "--"], target),
        count: lines_with!("getppid()"),
        one_in: 1,
    },
    Tool {
        name: "host, strace -e getppid",
        does: "line",
        program: None,
        arguments: |output, target| {
            words(
                &["run", "-o", output, "strace", "--trace=getppid", "--"],
                target,
            )
        },
        count: lines_with!("getppid()"),
        one_in: 1,
    },
    Tool {
        name: "host, count",
        does: "count",
        program: None,
        arguments: |output, target| words(&["run", "--json", "-o", output, "count", "--"], target),
        count: |text| number_behind(text, r#""syscall":"getppid","calls":"#),
        one_in: 1,
    },
    Tool {
        name: "strace -f",
        does: "line",
        program: Some("strace"),
        arguments: |output, target| words(&["-f", "-o", output], target),
        count: lines_with!("getppid()"),
        one_in: 1,
    },
    Tool {
        name: "strace -f --seccomp-bpf -e getppid",
        does: "line",
        program: Some("strace"),
        arguments: |output, target| {
            let filter = ["-f", "--seccomp-bpf", "-e", "trace=getppid", "-o", output];
            words(&filter, target)
        },
        count: lines_with!("getppid()"),
        one_in: 1,
    },
    Tool {
        name: "strace -c -f",
        does: "count",
        program: Some("strace"),
        arguments: |output, target| words(&["-c", "-f", "-o", output], target),
        count: of_summary,
        one_in: 1,
    },
    Tool {
        name: "perf trace",
        does: "line",
        program: Some("perf"),
        arguments: |output, target| words(&["trace", "-o", output, "-e", "getppid"], target),
        count: lines_with!("getppid()"),
        one_in: 1,
    },
    Tool {
        name: "bpftrace",
        does: "count, in the kernel",
        program: Some("bpftrace"),
        arguments: |output, target| {
            let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }";
            words(
                &["-q", "-o", output, "-e", script, "-c"],
                &[target.join(" ")],
            )
        },
        count: |text| number_behind(text, "@: "),
        one_in: 1,
    },
    Tool {
        name: "ltrace -S -f",
        does: "line",
        program: Some("ltrace"),
        arguments: |output, target| words(&["-S", "-f", "-o", output], target),
        count: lines_with!("SYS_getppid("),
        one_in: 10,
    },
];

fn words(own: &[&str], target: &[String]) -> Vec<String> {
    let own = own.iter().map(|&word| word.to_owned());
    own.chain(target.iter().cloned()).collect()
}

fn number_behind(text: &str, start: &str) -> u64 {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().unwrap_or(0)
}

/// Of the table that strace -c makes: the fourth column of the call's row.
fn of_summary(text: &str) -> u64 {
    let row = text.lines().find(|line| line.ends_with(" getppid"));
    let calls = row.and_then(|row| row.split_whitespace().nth(3));
    calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
}

impl Tool {
    fn path(&self) -> Result<String, String> {
        let path = match self.program {
            Some(program) => programs::in_path(program),
            None => programs::host(),
        };
        path.map(|path| path.to_string_lossy().into_owned())
            .ok_or_else(|| match self.program {
                Some(program) => format!("{program} is not installed"),
                None => "pai-host is not built".to_owned(),
            })
    }

    /// Runs the target under it; nanoseconds for each call.
    fn run(&self, path: &str, ops: u64) -> Result<f64> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let output = folder.path().join("output");
        let ops = ops / self.one_in;
        let target = [built::GETPPID.to_owned(), ops.to_string()];
        let mut command = Command::new(path);
        command
            .args((self.arguments)(&output.to_string_lossy(), &target))
            .env("LC_ALL", "C");
        let done = command
            .output()
            .with_context(|| format!("cannot start {command:?}"))?;
        let said = String::from_utf8_lossy(&done.stdout);
        ensure!(
            done.status.success(),
            "{command:?}: {}\n{}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
        let written = std::fs::read(&output).with_context(|| format!("{command:?}: no output"))?;
        let seen = (self.count)(&String::from_utf8_lossy(&written));
        ensure!(
            seen == ops,
            "{}: wrong count: {seen} calls, {ops} expected",
            self.name
        );
        ns_of(&said)
    }
}

/// What the target says of itself.
fn ns_of(said: &str) -> Result<f64> {
    let figure = said
        .split_whitespace()
        .find_map(|word| word.strip_prefix("ns_per_op="));
    let figure = figure.with_context(|| format!("the target does not say ns_per_op: {said}"))?;
    Ok(figure.parse()?)
}

fn native(ops: u64) -> Result<f64> {
    let done = Command::new(built::GETPPID)
        .arg((ops * 10).to_string())
        .output()
        .context("cannot start the target")?;
    ns_of(&String::from_utf8_lossy(&done.stdout))
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 7 });
    let ops = options
        .ops
        .unwrap_or(if options.quick { 1_000 } else { 20_000 });
    println!("## Other tools\n");
    println!(
        "Every getppid of a loop of {ops}, on one CPU. Rounds: {rounds}. Nanoseconds for each \
         call: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let mut tools = Vec::new();
    for tool in TOOLS {
        match tool.path() {
            Ok(path) => tools.push((tool, path)),
            Err(missing) => println!("- skipped: {}: {missing}", tool.name),
        }
    }
    let _placed = Place::OneCpu.take()?;
    let mut untraced = Samples::default();
    let mut all = vec![Samples::default(); tools.len()];
    for round in 0..rounds {
        eprintln!("peers: round {}", round + 1);
        untraced.push(native(ops)?);
        for ((tool, path), samples) in tools.iter().zip(&mut all) {
            samples.push(tool.run(path, ops)?);
        }
    }
    let mut table = Table::new(&["tool", "what it does", "ns per call", "/ native", "/ first"]);
    let figures = |samples: &Samples| format!("{:.0} ({:.0})", samples.median(), samples.min());
    table.row(vec![
        "native".to_owned(),
        String::new(),
        figures(&untraced),
        "1.0".to_owned(),
        String::new(),
    ]);
    for ((tool, _), samples) in tools.iter().zip(&all) {
        let first = all
            .first()
            .map_or(f64::NAN, |first| samples.ratio_to(first));
        table.row(vec![
            tool.name.to_owned(),
            tool.does.to_owned(),
            figures(samples),
            format!("{:.1}", samples.ratio_to(&untraced)),
            format!("{first:.2}"),
        ]);
    }
    println!("{table}");
    print_end(&[]);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
