//! `cargo xtask bench`: runs all benches and writes what they say into one file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{cargo, run};
use crate::{target, workspace};

const RESULTS: &str = "benches/RESULTS.md";

/// Written by hand: where the time goes that limits were missed by. The results end with it.
const PROFILES: &str = "benches/PROFILES.md";

/// How a bench begins the line of a limit that was missed.
const MISSED: &str = "- limit missed:";

/// Runs them. `--quick` takes few rounds, which shows that everything works,
/// and writes no file; `--check` fails when a documented limit was missed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let mut quick = false;
    let mut check = false;
    for argument in arguments {
        match argument.as_str() {
            "--quick" => quick = true,
            "--check" => check = true,
            _ => bail!("unexpected option: {argument}"),
        }
    }
    build()?;
    let mut report = heading()?;
    report += &sections(&benches(quick)?)?;
    report += &read(workspace().join(PROFILES))?;
    if !quick {
        fs::write(workspace().join(RESULTS), &report)
            .with_context(|| format!("cannot write {RESULTS}"))?;
        println!("wrote {RESULTS}");
    }
    let missed = report.lines().filter(|line| line.starts_with(MISSED));
    let missed = missed.count();
    ensure!(!check || missed == 0, "{missed} limits missed");
    Ok(())
}

/// The host, and the plugins that the benches run in it.
fn build() -> Result<()> {
    target::ensure()?;
    run(&mut cargo(&["build", "--release", "--package=pai-host"]))?;
    run(
        cargo(&["build", "--profile=guest", "--package=pai-bench-guest"])
            .args(["--lib", "--examples"])
            .arg(format!("--target={}", target::WASM))
            .arg("--target-dir")
            .arg(workspace().join("target/guests")),
    )
}

/// Runs all benches, in one go: they are built once. Shows and returns what they
/// print.
fn benches(quick: bool) -> Result<String> {
    let mut command = cargo(&["bench", "--package=pai-benches", "--"]);
    command.args(["--output-format", "bencher"]);
    if quick {
        command.arg("--quick");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo bench")?;
    let output = child.stdout.take().context("no output of cargo bench")?;
    let mut text = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what cargo bench prints")?;
        println!("{line}");
        text += &line;
        text.push('\n');
    }
    let status = child.wait().context("no end of cargo bench")?;
    ensure!(status.success(), "cargo bench failed: {status}");
    Ok(text)
}

/// Makes a table of what criterion printed; the other benches print sections of
/// their own.
fn sections(printed: &str) -> Result<String> {
    let mut table = String::from(
        "## Whole runs of `true`\n\n\
         From before the start of everything to after its end, each bench on its own; \
         `trace_inner` and `trace_outer` trace in the process of the bench.\n\n\
         | bench | ms | ± |\n|---|---|---|\n",
    );
    let mut others = String::new();
    let mut inside = false;
    for line in printed.lines() {
        if let Some(row) = line.strip_prefix("test ") {
            inside = false;
            table += &row_of(row).with_context(|| format!("no figures in '{line}'"))?;
        } else {
            inside |= line.starts_with("## ");
            if inside {
                others += line;
                others.push('\n');
            }
        }
    }
    Ok(format!("{table}\n{}\n\n", others.trim_end()))
}

/// From `NAME ... bench:     1,234 ns/iter (+/- 56)`.
fn row_of(line: &str) -> Option<String> {
    let (name, figures) = line.split_once(" ... bench:")?;
    let mut milliseconds = figures
        .split([' ', '(', ')'])
        .filter_map(|word| word.replace(',', "").parse::<f64>().ok())
        .map(|nanoseconds| nanoseconds / 1e6);
    let (time, spread) = (milliseconds.next()?, milliseconds.next()?);
    Some(format!("| `{name}` | {time:.2} | {spread:.2} |\n"))
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What is measured, on which machine.
fn heading() -> Result<String> {
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
         Written by `cargo xtask bench`, all but the end from one run; compare within a table \
         only.\n\n\
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
