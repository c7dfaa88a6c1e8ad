//! Reading the memory of a target that waits: pieces of several sizes, and many at once.
//!
//! All reads of a run are made at one stop, so that the stop costs nothing here. Each run
//! counts the bytes that are what the target wrote.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

use std::process::ExitCode;

use anyhow::{Result, ensure};
use pai_benches::programs::built;
use pai_benches::way::{by_turns, present};
use pai_benches::{Options, Place, Table, Way, place, print_end, programs};

/// Bytes of a piece, and how many pieces.
const READS: &[(usize, u64)] = &[
    (8, 1),
    (64, 1),
    (4 << 10, 1),
    (64 << 10, 1),
    (1 << 20, 1),
    (64, 4),
    (64, 16),
    (64, 64),
    (64, 256),
];

const READV: &str = "C floor, process_vm_readv";
const MEM: &str = "C floor, /proc/PID/mem";
const ENGINE: &str = "engine, native client";

/// What many small reads cost as much as, roughly, in bytes.
const SMALL: usize = 4 << 10;

/// A way to read, and how.
fn ways(len: usize, pieces: u64, times: u64) -> Vec<Way> {
    let (len, pieces, times) = (len.to_string(), pieces.to_string(), times.to_string());
    let floor = |name, how: &str| Way::floor(name, built::MEMORY, &[how, &len, &pieces, &times]);
    let plugin = programs::guest("bench_memory");
    let own = [
        format!("--len={len}"),
        format!("--pieces={pieces}"),
        format!("--times={times}"),
    ];
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    vec![
        floor(READV, "vectors"),
        floor(MEM, "file"),
        Way::tracer(ENGINE, &["memory", &len, &pieces, &times]),
        Way::guest("host, plugin", &[], plugin, &own),
    ]
}

/// Nanoseconds for all pieces once.
fn run(way: &Way, bytes: u64, times: u64) -> Result<f64> {
    let ran = way.run(&[built::MEMBUF.to_owned()])?;
    let right = ran.number("bytes ")?;
    ensure!(
        right == bytes,
        "{}: wrong bytes: {right} of {bytes} are right",
        way.name
    );
    Ok(ran.number("nanoseconds ")? as f64 / times as f64)
}

fn bench(options: Options) -> Result<()> {
    let rounds = options.rounds(2, 7);
    let ops = options.ops(400, 20_000);
    let _placed = Place::OneCpu.take()?;
    println!("## Reading memory\n");
    println!(
        "Of a target that waits at a stop. Rounds: {rounds}, up to {ops} times each, on one CPU. \
         Nanoseconds for all pieces: median (minimum); ratios are of these. Load before: {}.\n",
        place::load()
    );
    let columns = [
        "bytes", "pieces", "variant", "ns", "/ readv", "/ mem", "/ engine",
    ];
    let mut table = Table::new(&columns);
    for (len, pieces) in READS.iter().copied() {
        let title = format!("{pieces} of {len} bytes");
        eprintln!("memory: {title}");
        let bytes = len as u64 * pieces;
        let cost = (bytes + SMALL as u64 * pieces) / SMALL as u64;
        let times = (ops / cost).max(10);
        let ways = present(&title, ways(len, pieces, times), |way| way);
        let all = by_turns(&ways, rounds, |way| run(way, bytes, times))?;
        for (way, own) in ways.iter().zip(&all) {
            let ratio = |name| {
                let mut pairs = ways.iter().zip(&all);
                let to = pairs.find(|(way, _)| way.name == name);
                to.map_or_else(String::new, |(_, to)| format!("{:.2}", own.ratio_to(to)))
            };
            table.row(vec![
                len.to_string(),
                pieces.to_string(),
                way.name.to_owned(),
                own.shown(0),
                ratio(READV),
                ratio(MEM),
                ratio(ENGINE),
            ]);
        }
    }
    println!("{table}");
    print_end(&[]);
    Ok(())
}

fn main() -> ExitCode {
    Options::run(bench)
}
