//! `cargo xtask bench`: runs all benches and writes what they say into one file.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, run};
use crate::{target, workspace};

const RESULTS: &str = "benches/RESULTS.md";

/// Benches of whole runs, under criterion.
const WHOLE_RUNS: &[&str] = &["baseline", "trace", "plugin"];

/// Benches that print tables of their own.
const TABLES: &[&str] = &["per_call", "start_up"];

/// How such a bench begins the line of a limit that was missed.
const MISSED: &str = "- limit missed:";

#[derive(Default)]
struct Options {
    quick: bool,
    check: bool,
}

/// Runs them. `--quick` takes few rounds, which shows that everything works,
/// and writes no file; `--check` fails when a documented limit was missed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut options = Options::default();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--check" => options.check = true,
            _ => bail!("unexpected option: {argument}"),
        }
    }
    build()?;
    let mut report = heading()?;
    report += &whole_runs(&options)?;
    for bench in TABLES {
        report.push('\n');
        report += &output(bench_command(&[bench], &options, &[]))?;
    }
    println!("{report}");
    if !options.quick {
        fs::write(workspace().join(RESULTS), &report)
            .with_context(|| format!("cannot write {RESULTS}"))?;
        println!("wrote {RESULTS}");
    }
    let missed = report.lines().filter(|line| line.starts_with(MISSED));
    let missed = missed.count();
    ensure!(!options.check || missed == 0, "{missed} limits missed");
    Ok(())
}

/// The host, and the plugin that the benches run in it.
fn build() -> Result<()> {
    target::ensure()?;
    run(&mut cargo(&["build", "--release", "--package=pai-host"]))?;
    run(
        cargo(&["build", "--profile=guest", "--package=pai-bench-guest"])
            .arg(format!("--target={}", target::WASM))
            .arg("--target-dir")
            .arg(workspace().join("target/guests")),
    )
}

/// `cargo bench` of these benches.
fn bench_command(benches: &[&str], options: &Options, arguments: &[&str]) -> std::process::Command {
    let mut command = cargo(&["bench", "--package=pai-benches"]);
    for bench in benches {
        command.args(["--bench", bench]);
    }
    command.arg("--").args(arguments);
    if options.quick {
        command.arg("--quick");
    }
    command
}

/// Runs a command and returns what it printed.
fn output(mut command: std::process::Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    eprintln!("+ {shown}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    let text = String::from_utf8(output.stdout).context("a bench printed no UTF-8")?;
    ensure!(
        output.status.success(),
        "{text}\n{shown} failed: {}",
        output.status
    );
    Ok(text)
}

/// A table of the benches under criterion.
fn whole_runs(options: &Options) -> Result<String> {
    let printed = output(bench_command(
        WHOLE_RUNS,
        options,
        &["--output-format", "bencher"],
    ))?;
    let mut table = String::from(
        "## Whole runs of `true`\n\n\
         From before the start of everything to after its end, each bench on its own; \
         `trace_inner` and `trace_outer` trace in the process of the bench.\n\n\
         | bench | ms | ± |\n|---|---|---|\n",
    );
    for line in printed.lines() {
        // test NAME ... bench:     1,234 ns/iter (+/- 56)
        let Some((name, figures)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... bench:"))
        else {
            continue;
        };
        let numbers: Vec<f64> = figures
            .split([' ', '(', ')'])
            .filter_map(|word| word.replace(',', "").parse().ok())
            .collect();
        let [time, spread] = numbers[..] else {
            bail!("no figures in '{line}'");
        };
        table += &format!("| `{name}` | {:.2} | {:.2} |\n", time / 1e6, spread / 1e6);
    }
    Ok(table)
}

/// What is measured, on which machine.
fn heading() -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let cpu = read("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let count = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let virtual_machine = cpu
        .lines()
        .any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    Ok(format!(
        "# Bench results\n\n\
         Written by `cargo xtask bench`, all from one run; compare within a table only.\n\n\
         | machine | |\n|---|---|\n\
         | CPU | {model}{} |\n\
         | CPUs | {count} |\n\
         | kernel | {} |\n\
         | load before | {} |\n\n",
        if virtual_machine { ", virtual" } else { "" },
        kernel.trim(),
        load.join(" "),
    ))
}
