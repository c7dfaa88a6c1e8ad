//! `pai-bench-tracer MODE PROGRAM [ARG...]` traces without Wasm. The modes:
//!
//! * `minimal`, `engine`: every entry and exit
//! * `watch`: every exit, with a client that only watches
//! * `ask CALL IMPORT TIMES`: entries of one call, with questions at each
//! * `breakpoints FUNCTION`: a breakpoint on a function
//!
//! The counts go to standard error; the exit code is the program's.

#![expect(clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pai_benches::{Counts, breakpoints, engine, minimal, programs};
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
        ("watch", program) => told(engine::watch(&programs::program(program)?)?),
        ("ask", [call, import, times, program @ ..]) => {
            let program = programs::program(program)?;
            let times = times.parse().context("TIMES is a number")?;
            let (counts, answers, status) = engine::ask(&program, call, import, times)?;
            (format!("{counts}answers {answers}\n"), status)
        }
        ("breakpoints", [function, program @ ..]) => {
            let (hits, status) = breakpoints::trace(&programs::program(program)?, function)?;
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

fn told((counts, status): (Counts, Option<ExitStatus>)) -> (String, Option<ExitStatus>) {
    (counts.to_string(), status)
}
