//! `pai-bench-tracer MODE PROGRAM [ARG...]` traces without Wasm. The modes:
//!
//! * `minimal`, `engine`: every entry and exit
//! * `awake`: the same, while idle CPUs are kept from sleeping
//! * `follow`: the same, while the tracer moves to the CPU where the target was last
//! * `clients COUNT`: the same, with so many clients of the engine
//! * `watch`: every exit, with a client that only watches
//! * `ask CALL IMPORT TIMES`: entries of one call, with questions at each
//! * `reads`: entries of openat, with the path read at each
//! * `memory LEN PIECES TIMES`: the buffer of `targets/membuf.c` read in pieces
//! * `breakpoints FUNCTION COUNT`: breakpoints on a function and on those behind it
//!
//! The counts go to standard error; the exit code is the program's.

#![expect(clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pai_benches::breakpoints::Seen;
use pai_benches::engine::Reading;
use pai_benches::{Counts, breakpoints, engine, minimal, place, programs};
use pai_engine::ExitStatus;

fn main() -> ExitCode {
    match trace() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("pai-bench-tracer: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn trace() -> Result<u8> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, program @ ..] = &arguments[..] else {
        bail!("nothing to trace");
    };
    let (text, status) = match (mode.as_str(), program) {
        ("minimal", program) => told(minimal::trace(&programs::program(program)?)?),
        ("engine", program) => told(engine::trace(&programs::program(program)?)?),
        ("awake", program) => {
            let _request = place::keep_awake()?;
            told(engine::trace(&programs::program(program)?)?)
        }
        ("follow", program) => told(engine::follow(&programs::program(program)?)?),
        ("clients", [count, program @ ..]) => {
            let program = programs::program(program)?;
            let count = count.parse().context("COUNT is a number")?;
            let (all, status) = engine::trace_for(&program, count)?;
            (all.iter().map(Counts::to_string).collect(), status)
        }
        ("watch", program) => told(engine::watch(&programs::program(program)?)?),
        ("ask", [call, import, times, program @ ..]) => {
            let program = programs::program(program)?;
            let times = times.parse().context("TIMES is a number")?;
            let (counts, answers, status) = engine::ask(&program, call, import, times)?;
            (format!("{counts}answers {answers}\n"), status)
        }
        ("reads", program) => {
            let (hits, status) = engine::read(&programs::program(program)?)?;
            (format!("hits {hits}\n"), status)
        }
        ("memory", [len, pieces, times, program @ ..]) => {
            let how = Reading {
                len: len.parse().context("LEN is a number")?,
                pieces: pieces.parse().context("PIECES is a number")?,
                times: times.parse().context("TIMES is a number")?,
            };
            let program = programs::program(program)?;
            let (right, took, status) = engine::read_memory(&program, how)?;
            let nanoseconds = took.as_nanos();
            (
                format!("bytes {right}\nnanoseconds {nanoseconds}\n"),
                status,
            )
        }
        ("breakpoints", [function, count, program @ ..]) => {
            let program = programs::program(program)?;
            let count = count.parse().context("COUNT is a number")?;
            let (Seen { hits, inserting }, status) = breakpoints::trace(&program, function, count)?;
            let nanoseconds = inserting.as_nanos();
            (format!("hits {hits}\ninserting {nanoseconds}\n"), status)
        }
        _ => bail!("no tracer named {mode}"),
    };
    eprint!("{text}");
    Ok(match status {
        Some(ExitStatus::Exited(code)) => code,
        _ => 125,
    })
}

fn told((counts, status): (Counts, Option<ExitStatus>)) -> (String, Option<ExitStatus>) {
    (counts.to_string(), status)
}
