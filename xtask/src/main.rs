//! Tasks of the project's own development, run as `cargo xtask TASK`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod bench;
mod check;
mod codegen;
mod process;
mod run;
mod target;
mod test;

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// One task: what the usage text says about it, and what runs it.
struct Task {
    name: &'static str,
    options: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "run",
        options: "PLUGIN -- COMMAND",
        about: "build the program and trace a command with it",
        run: run::main,
    },
    Task {
        name: "test",
        options: "[CARGO TEST OPTIONS]",
        about: "run all tests",
        run: test::main,
    },
    Task {
        name: "check",
        options: "",
        about: "formatting, lints, generated files, plugins",
        run: check::main,
    },
    Task {
        name: "bench",
        options: "[--quick] [--check]",
        about: "run all benches; write benches/RESULTS.md, or only print with --quick",
        run: bench::main,
    },
    Task {
        name: "codegen",
        options: "[--check]",
        about: "write the tables of plugin-sdk/syscalls, or check that they are current",
        run: codegen::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, options)) = arguments.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprint!("error: no task named '{name}'\n\n{}", usage());
        return ExitCode::from(2);
    };
    match (task.run)(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask TASK [OPTIONS]\n\nTasks:\n");
    for task in TASKS {
        let call = format!("{} {}", task.name, task.options);
        text.push_str(&format!("  {call:<28} {}\n", task.about));
    }
    text
}

/// The folder of the workspace, so that tasks work from any folder in it.
fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a folder of the workspace")
}
