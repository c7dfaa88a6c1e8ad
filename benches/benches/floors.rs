//! What the kinds of events cost that are not every entry and exit: entries of one call,
//! signals, new processes, and records that the plugin `count` adds up.
//!
//! Each is compared with the least that there is to do, a loop in C if there is one. As in
//! `per_call`: the target times its own loop, ways run in turn, round after round, all
//! on one CPU, and ratios are medians of each round's ratio. Each run must have seen as
//! many events as the target made.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use pai_benches::programs::{self, built};
use pai_benches::way::{by_turns, present};
use pai_benches::{Options, Place, Ran, Samples, Table, Way, counts, missed, place, print_end};

/// A call that no target makes.
const NEVER: &str = "reboot";

const FLOOR: &str = "C floor";
const INFORMED: &str = "C floor, PTRACE_GETSIGINFO";
const NATIVE: &str = "native";
const ENGINE: &str = "engine, native client";
const PLUGIN: &str = "host, plugin";
const PLUGIN_INFORMED: &str = "host, plugin, siginfo and ip";
const OBSERVER: &str = "host, observer";
const STRACE: &str = "strace -f";
const STRACE_FILTER: &str = "strace -f --seccomp-bpf";

/// How many events of this kind, or of the call of this name, a run has seen.
type Seen = fn(&Ran, &str) -> Result<u64>;

/// One kind of event, and the ways to trace it.
struct Contest {
    kind: &'static str,
    /// Of what is counted: a call, or nothing.
    call: &'static str,
    program: &'static str,
    ops: u64,
    ways: Vec<(Way, Seen)>,
    /// Which the others are compared with.
    floor: &'static str,
    /// The documented limits: of this way, compared with that one.
    limits: &'static [(&'static str, &'static str, f64)],
}

fn entries_counted(ran: &Ran, call: &str) -> Result<u64> {
    Ok(ran.counts()?.of(call)?.entries)
}

fn exits_counted(ran: &Ran, call: &str) -> Result<u64> {
    let counts = ran.counts()?;
    let call = counts.of(call)?;
    ensure!(call.entries == call.exits, "an exit is missing: {call:?}");
    Ok(call.exits)
}

fn signals_counted(ran: &Ran, _: &str) -> Result<u64> {
    Ok(ran.counts()?.signals)
}

fn calls_written(ran: &Ran, call: &str) -> Result<u64> {
    let calls = counts::of_strace(&ran.lines);
    Ok(calls.get(call).copied().unwrap_or(0))
}

/// Lines of strace about something else than calls.
fn notes_written(ran: &Ran, note: &str) -> Result<u64> {
    let is_one = |line: &&str| {
        line.split_once(' ')
            .is_some_and(|(_, rest)| rest.trim_start().starts_with(note))
    };
    Ok(u64::try_from(ran.lines.lines().filter(is_one).count())?)
}

fn signals_written(ran: &Ran, _: &str) -> Result<u64> {
    notes_written(ran, "--- SIGUSR1 ")
}

fn ends_written(ran: &Ran, _: &str) -> Result<u64> {
    notes_written(ran, "+++ exited with 0 ")
}

/// Nobody looks: the target says what it has made.
fn made(ran: &Ran, _: &str) -> Result<u64> {
    Ok(ran.field("ops")?.parse()?)
}

fn processes(ran: &Ran, _: &str) -> Result<u64> {
    ran.number("processes ")
}

/// Children that the target started and waited for, and itself.
fn processes_made(ran: &Ran, _: &str) -> Result<u64> {
    Ok(ran.field("ops")?.parse::<u64>()? + 1)
}

fn entries(call: &'static str, program: &'static str, ops: u64) -> Result<Contest> {
    let abi = pai_syscalls::abi::X86_64;
    let number = pai_syscalls::number(abi, call).with_context(|| format!("no call {call}"))?;
    let only = format!("-etrace={call}");
    let option = format!("--call={call}");
    let plugin = programs::guest("bench_entries");
    Ok(Contest {
        kind: "entry",
        call,
        program,
        ops,
        ways: vec![
            (
                Way::floor(FLOOR, built::ENTRIES, &[&number.to_string()]),
                entries_counted,
            ),
            (Way::native(), made),
            (Way::guest(PLUGIN, &[], plugin, &[&option]), entries_counted),
            (
                Way::strace(STRACE_FILTER, &["--seccomp-bpf", &only]),
                calls_written,
            ),
            (Way::strace(STRACE, &[&only]), calls_written),
        ],
        floor: FLOOR,
        limits: &[(PLUGIN, FLOOR, 1.35), (PLUGIN, STRACE, 0.5)],
    })
}

fn signals(ops: u64) -> Contest {
    let none = ["-etrace=none", "-esignal=all"];
    let filter = [none[0], none[1], "--seccomp-bpf"];
    let plugin = programs::guest("bench_signals");
    let observer = programs::guest("bench_signals_observer");
    Contest {
        kind: "signal",
        call: "",
        program: built::SIGSTORM,
        ops,
        ways: vec![
            (Way::floor(FLOOR, built::SIGNALS, &[]), signals_counted),
            (Way::native(), made),
            (
                Way::floor(INFORMED, built::SIGNALS, &["-i"]),
                signals_counted,
            ),
            (
                Way::guest(PLUGIN, &[], plugin.clone(), &[]),
                signals_counted,
            ),
            (
                Way::guest(PLUGIN_INFORMED, &[], plugin, &["--details"]),
                signals_counted,
            ),
            (Way::guest(OBSERVER, &[], observer, &[]), signals_counted),
            (Way::strace(STRACE_FILTER, &filter), signals_written),
            (Way::strace(STRACE, &none), signals_written),
        ],
        floor: FLOOR,
        limits: &[(OBSERVER, FLOOR, 1.3), (OBSERVER, STRACE, 0.25)],
    }
}

fn spawns(ops: u64) -> Contest {
    let never = format!("-etrace={NEVER}");
    Contest {
        kind: "fork and exec",
        call: "",
        program: built::SPAWN,
        ops,
        ways: vec![
            (Way::native(), processes_made),
            (Way::bundled(PLUGIN, &["--stats"], &["minimal"]), processes),
            (
                Way::strace(STRACE_FILTER, &["--seccomp-bpf", &never]),
                ends_written,
            ),
        ],
        floor: NATIVE,
        limits: &[(PLUGIN, NATIVE, 1.25), (PLUGIN, STRACE_FILTER, 0.5)],
    }
}

fn counting(ops: u64) -> Contest {
    Contest {
        kind: "count",
        call: "getppid",
        program: built::GETPPID,
        ops,
        ways: vec![
            (Way::tracer(ENGINE, &["engine"]), exits_counted),
            (Way::bundled(OBSERVER, &[], &["count"]), Ran::count_of),
        ],
        floor: ENGINE,
        limits: &[(OBSERVER, ENGINE, 1.1)],
    }
}

impl Contest {
    fn target(&self, ops: u64) -> [String; 2] {
        [self.program.to_owned(), ops.to_string()]
    }

    /// What the target does besides one per operation.
    fn base(&self) -> Result<u64> {
        let (floor, seen) = self.ways.first().context("no floor")?;
        seen(&floor.run(&self.target(0))?, self.call)
    }

    /// One run, with its count checked: nanoseconds per operation.
    fn run(&self, (way, seen): &(Way, Seen), ops: u64, base: u64) -> Result<f64> {
        let ran = way.run(&self.target(ops))?;
        let made: u64 = ran.field("ops")?.parse()?;
        let seen = seen(&ran, self.call).context(way.name)?;
        let base = match way.name == NATIVE && self.floor != NATIVE {
            true => 0,
            false => base,
        };
        for (what, count, expected) in [("operations", made, ops), ("events", seen, ops + base)] {
            ensure!(
                count == expected,
                "{}: wrong count: {count} {what}, {expected} expected",
                way.name
            );
        }
        Ok(ran.field("ns_per_op")?.parse()?)
    }

    fn title(&self) -> String {
        match self.call {
            "" => self.kind.to_owned(),
            call => format!("{}, {call}", self.kind),
        }
    }

    /// The figures of this way, if it took part.
    fn of<'a>(&self, all: &'a [Samples], name: &str) -> Option<&'a Samples> {
        all.get(self.ways.iter().position(|(way, _)| way.name == name)?)
    }

    fn measure(&self, rounds: usize) -> Result<Vec<Samples>> {
        let _placed = Place::OneCpu.take()?;
        let base = self.base()?;
        for way in &self.ways {
            self.run(way, (self.ops / 10).max(1), base)?;
        }
        by_turns(&self.ways, rounds, |way| self.run(way, self.ops, base))
    }

    fn rows(&self, all: &[Samples], table: &mut Table) {
        for ((way, _), own) in self.ways.iter().zip(all) {
            let ratio = |peer: &str| {
                let peer = self.of(all, peer);
                peer.map_or_else(
                    || "-".to_owned(),
                    |peer| format!("{:.2}", own.ratio_to(peer)),
                )
            };
            table.row(vec![
                self.title(),
                self.ops.to_string(),
                way.name.to_owned(),
                own.shown(0),
                ratio(NATIVE),
                ratio(self.floor),
                ratio(STRACE_FILTER),
                ratio(STRACE),
            ]);
        }
    }

    fn misses(&self, all: &[Samples]) -> impl Iterator<Item = String> {
        self.limits.iter().filter_map(|(name, peer, limit)| {
            let (own, other) = (self.of(all, name)?, self.of(all, peer)?);
            missed(&self.title(), (name, own), (peer, other), *limit)
        })
    }
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(3, 9);
    let ops = options.ops(4_000, 20_000);
    println!("## Kinds of events\n");
    println!(
        "Each kind with the least that there is to do for it as its floor: a loop in C, for \
         processes none, for `count` the engine with a native client that wants as much. Rounds: \
         {rounds}, all on one CPU. Nanoseconds per operation: median (minimum); ratios are of \
         these. Load before: {}.\n",
        place::load()
    );
    let mut contests = vec![
        entries("getppid", built::GETPPID, ops)?,
        entries("pread64", built::PREAD64, ops)?,
        signals(ops),
        spawns((ops / 40).max(1)),
        counting(ops),
    ];
    let columns = [
        "event",
        "operations",
        "variant",
        "ns per operation",
        "/ native",
        "/ floor",
        "/ strace --seccomp-bpf",
        "/ strace",
    ];
    let mut table = Table::new(&columns);
    let mut misses = Vec::new();
    for contest in &mut contests {
        let title = contest.title();
        eprintln!("floors: {title}");
        contest.ways = present(&title, std::mem::take(&mut contest.ways), |(way, _)| way);
        let all = contest.measure(rounds).with_context(|| title.clone())?;
        contest.rows(&all, &mut table);
        misses.extend(contest.misses(&all));
    }
    println!("{table}");
    print_end(&misses);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
