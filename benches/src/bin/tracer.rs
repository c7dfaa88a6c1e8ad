//! `pai-bench-tracer (minimal|engine) PROGRAM [ARG...]`: traces every entry and
//! exit without Wasm. `pai-bench-tracer clients COUNT PROGRAM [ARG...]`: the engine
//! with so many clients that do. `pai-bench-tracer breakpoints FUNCTION COUNT PROGRAM
//! [ARG...]`: has breakpoints on a function and on those behind it. `pai-bench-tracer
//! reads PROGRAM [ARG...]`: reads the path of every openat. The counts go to standard
//! error; the exit code is the program's.

#![expect(clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use pai_benches::breakpoints::Seen;
use pai_benches::{Counts, breakpoints, engine, minimal, programs, reads};
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
        ("minimal", program) => {
            let (counts, status) = minimal::trace(&programs::program(program)?)?;
            (counts.to_string(), status)
        }
        ("engine", program) => engine(1, program)?,
        ("clients", [count, program @ ..]) => engine(count.parse()?, program)?,
        ("breakpoints", [function, count, program @ ..]) => {
            let program = programs::program(program)?;
            let (seen, status) = breakpoints::trace(&program, function, count.parse()?)?;
            let Seen { hits, inserting } = seen;
            let nanoseconds = inserting.as_nanos();
            (format!("hits {hits}\ninserting {nanoseconds}\n"), status)
        }
        ("reads", program) => {
            let (hits, status) = reads::trace(&programs::program(program)?)?;
            (format!("hits {hits}\n"), status)
        }
        _ => bail!("no tracer named {mode}"),
    };
    eprint!("{text}");
    Ok(match status {
        Some(ExitStatus::Exited(code)) => code,
        _ => 125,
    })
}

fn engine(clients: usize, program: &[String]) -> Result<(String, Option<ExitStatus>)> {
    let (all, status) = engine::trace_for(&programs::program(program)?, clients)?;
    let text = all.iter().map(Counts::to_string).collect();
    Ok((text, status))
}
