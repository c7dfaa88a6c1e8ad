//! The command line of pai-host.

mod cli;
mod diagnose;
mod exit;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args_os()).leave()
}
