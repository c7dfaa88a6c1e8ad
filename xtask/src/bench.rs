//! `cargo xtask bench`: runs all benches and writes what they say into one file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

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
    as_installed(&workspace().join("target/release/pai-host"))?;
    run(
        cargo(&["build", "--profile=guest", "--package=pai-bench-guest"])
            .args(["--lib", "--examples"])
            .arg(format!("--target={}", target::WASM))
            .arg("--target-dir")
            .arg(workspace().join("target/guests")),
    )
}

/// Copies a program over itself. The kernel keeps what a linker has written in other pieces
/// than what was copied or read from a disk, and programs start quicker from the latter.
fn as_installed(program: &Path) -> Result<()> {
    let copy = program.with_extension("copy");
    fs::copy(program, &copy)
        .and_then(|_| fs::rename(&copy, program))
        .with_context(|| format!("cannot copy {}", program.display()))
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
         `trace_inner` and `trace_outer` trace in the process of the bench. Median (minimum).\n\n\
         | bench | ms | / true | / strace |\n|---|---|---|---|\n",
    );
    let mut names = Vec::new();
    let mut others = String::new();
    let mut inside = false;
    for line in printed.lines() {
        if let Some(row) = line.strip_prefix("test ") {
            inside = false;
            let name = row.split(' ').next().unwrap_or_default();
            names.push(name.to_owned());
        } else {
            inside |= line.starts_with("## ");
            if inside {
                others += line;
                others.push('\n');
            }
        }
    }
    let all: Vec<(String, Times)> = names
        .into_iter()
        .map(|name| Times::of(&name).map(|times| (name, times)))
        .collect::<Result<_>>()?;
    let median = |of: &str| {
        let times = all.iter().find(|(name, _)| name == of);
        times.map_or(f64::NAN, |(_, times)| times.median)
    };
    let (untraced, strace) = (
        median("bench_baseline_true"),
        median("bench_baseline_strace"),
    );
    for (name, Times { median, min }) in &all {
        table += &format!(
            "| `{name}` | {median:.2} ({min:.2}) | {:.2} | {:.2} |\n",
            median / untraced,
            median / strace
        );
    }
    Ok(format!("{table}\n{}\n\n", others.trim_end()))
}

/// Of one bench of criterion's, milliseconds.
struct Times {
    median: f64,
    min: f64,
}

impl Times {
    fn of(bench: &str) -> Result<Self> {
        // So many turns took so many nanoseconds.
        let path = format!("target/criterion/{bench}/new/sample.json");
        let text = read(workspace().join(&path))?;
        let sample: Value = serde_json::from_str(&text).context(path)?;
        let numbers = |of: &str| {
            let all = sample[of].as_array().map_or(&[][..], Vec::as_slice);
            all.iter().filter_map(Value::as_f64).collect::<Vec<f64>>()
        };
        let (iters, times) = (numbers("iters"), numbers("times"));
        let mut each: Vec<f64> = times.iter().zip(iters).map(|(t, n)| t / n / 1e6).collect();
        each.sort_by(f64::total_cmp);
        let median = *each.get(each.len() / 2).context("no times")?;
        Ok(Self {
            median,
            min: each[0],
        })
    }
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
         | load before | {} |\n\
         | peers | {} |\n\n",
        if virtual_machine { ", virtual" } else { "" },
        kernel.trim(),
        load.join(" "),
        peers().join("; "),
    ))
}

/// What there is to compare with, and of which version.
fn peers() -> Vec<String> {
    let version = |program: &str| {
        let said = Command::new(program).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let line = said.lines().next()?.trim();
        // Some say their name, some do not.
        Some(match line.contains(program) || line.contains("GNU gdb") {
            true => line.to_owned(),
            false => format!("{program} {line}"),
        })
    };
    let all = ["strace", "gdb", "ltrace", "bpftrace", "perf", "frida"];
    let all = all.map(|name| version(name).unwrap_or_else(|| format!("no {name}")));
    all.to_vec()
}
