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

use std::process::ExitCode;

use anyhow::{Result, ensure};
use pai_benches::programs::{built, in_path};
use pai_benches::way::{OUTPUT, by_turns, present};
use pai_benches::{Options, Place, Ran, Table, Way, counts, place, print_end};

/// What is traced.
const CALL: &str = "getppid";

/// A tool that can be asked for one call.
struct Tool {
    way: Way,
    /// What it does with each call.
    does: &'static str,
    /// How often it says that there was the call.
    seen: fn(&Ran) -> u64,
    /// One in so many operations: the slow ones would take minutes.
    one_in: u64,
}

fn tools() -> Vec<Tool> {
    let tool = |way, does, seen: fn(&Ran) -> u64| Tool {
        way,
        does,
        seen,
        one_in: 1,
    };
    let other = |name, program, missing, words: &[&str]| {
        Way::program(name, in_path(program).ok_or(missing), words)
    };
    // The target is one word of its own.
    let bpftrace =
        r#"output=$1 script=$2; shift 2; exec bpftrace -q -o "$output" -e "$script" -c "$*""#;
    let script = "tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { @ = count(); }";
    let shell = in_path("sh").filter(|_| in_path("bpftrace").is_some());
    vec![
        tool(Way::lines("host, strace", &["strace"]), "line", lines),
        tool(
            Way::lines("host, strace -e getppid", &["strace", "--trace=getppid"]),
            "line",
            lines,
        ),
        tool(
            Way::bundled("host, count", &[], &["count"]),
            "count",
            |ran| ran.count_of(CALL).unwrap_or(0),
        ),
        tool(Way::strace("strace -f", &[]), "line", lines),
        tool(
            Way::strace(
                "strace -f --seccomp-bpf -e getppid",
                &["--seccomp-bpf", "-etrace=getppid"],
            ),
            "line",
            lines,
        ),
        tool(Way::strace("strace -c -f", &["-c"]), "count", of_summary),
        tool(
            other(
                "perf trace",
                "perf",
                "perf is not installed",
                &["trace", "-o", OUTPUT, "-e", CALL],
            ),
            "line",
            |ran| lines_with(ran, "getppid()"),
        ),
        tool(
            Way::program(
                "bpftrace",
                shell.ok_or("bpftrace is not installed"),
                &["-c", bpftrace, "sh", OUTPUT, script],
            ),
            "count, in the kernel",
            |ran| {
                let number = ran.lines.lines().find_map(|line| line.strip_prefix("@: "));
                number.and_then(|number| number.parse().ok()).unwrap_or(0)
            },
        ),
        Tool {
            one_in: 10,
            ..tool(
                other(
                    "ltrace -S -f",
                    "ltrace",
                    "ltrace is not installed",
                    &["-S", "-f", "-o", OUTPUT],
                ),
                "line",
                |ran| lines_with(ran, "SYS_getppid("),
            )
        },
    ]
}

/// Lines as strace writes them.
fn lines(ran: &Ran) -> u64 {
    counts::of_strace(&ran.lines)
        .get(CALL)
        .copied()
        .unwrap_or(0)
}

fn lines_with(ran: &Ran, text: &str) -> u64 {
    let found = ran.lines.lines().filter(|line| line.contains(text));
    found.count() as u64
}

/// Of the table that strace -c makes: the fourth column of the call's row.
fn of_summary(ran: &Ran) -> u64 {
    let row = ran.lines.lines().find(|line| line.ends_with(" getppid"));
    let calls = row.and_then(|row| row.split_whitespace().nth(3));
    calls.and_then(|calls| calls.parse().ok()).unwrap_or(0)
}

/// Runs so many operations; nanoseconds for each, and what came of it.
fn run(way: &Way, ops: u64) -> Result<(f64, Ran)> {
    let ran = way.run(&[built::GETPPID.to_owned(), ops.to_string()])?;
    Ok((ran.field("ns_per_op")?.parse()?, ran))
}

impl Tool {
    /// The same under it, with its count checked.
    fn run(&self, ops: u64) -> Result<f64> {
        let ops = ops / self.one_in;
        let (figure, ran) = run(&self.way, ops)?;
        let seen = (self.seen)(&ran);
        ensure!(
            seen == ops,
            "{}: wrong count: {seen} calls, {ops} expected",
            self.way.name
        );
        Ok(figure)
    }
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 7);
    let ops = options.ops(1_000, 20_000);
    println!("## Other tools\n");
    println!(
        "Every getppid of a loop of {ops}, on one CPU. Rounds: {rounds}. Nanoseconds for each \
         call: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let tools = present("other tools", tools(), |tool| &tool.way);
    // Untraced first.
    let all: Vec<Option<&Tool>> = std::iter::once(None)
        .chain(tools.iter().map(Some))
        .collect();
    let _placed = Place::OneCpu.take()?;
    eprintln!("peers: {rounds} rounds");
    let figures = by_turns(&all, rounds, |tool| match tool {
        Some(tool) => tool.run(ops),
        None => Ok(run(&Way::native(), ops * 10)?.0),
    })?;
    let [untraced, traced @ ..] = &figures[..] else {
        return Ok(());
    };
    let mut table = Table::new(&["tool", "what it does", "ns per call", "/ native", "/ first"]);
    table.row(vec![
        "native".to_owned(),
        String::new(),
        untraced.shown(0),
        "1.0".to_owned(),
        String::new(),
    ]);
    for (tool, samples) in tools.iter().zip(traced) {
        let first = traced
            .first()
            .map_or(f64::NAN, |first| samples.ratio_to(first));
        table.row(vec![
            tool.way.name.to_owned(),
            tool.does.to_owned(),
            samples.shown(0),
            format!("{:.1}", samples.ratio_to(untraced)),
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
