//! `pai-bench-tracer (minimal|engine) PROGRAM [ARG...]`: traces every entry and
//! exit without Wasm. The counts go to standard error; the exit code is the
//! program's.

#![expect(clippy::print_stderr, reason = "a command line program")]

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};
use pai_benches::{engine, minimal, programs};
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
    let program = programs::program(program)?;
    let (counts, status) = match mode.as_str() {
        "minimal" => minimal::trace(&program)?,
        "engine" => engine::trace(&program)?,
        _ => bail!("no tracer named {mode}"),
    };
    eprint!("{counts}");
    Ok(match status {
        Some(ExitStatus::Exited(code)) => code,
        _ => 125,
    })
}
