//! `cargo xtask codegen`: the system call tables of `pai-syscalls`.
//!
//! Reads the two lists in plugin-sdk/syscalls/data and writes one Rust file per
//! ABI into plugin-sdk/syscalls/src/generated. The files are committed, so that
//! building the crate needs neither this program nor a build script; `--check`
//! tells whether they are current.

mod arguments;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use arguments::Arguments;

const DATA: &str = "plugin-sdk/syscalls/data";
const NUMBERS: &str = "syscall-numbers.tsv";
const ARGUMENTS: &str = "syscall-args.tsv";
const GENERATED: &str = "plugin-sdk/syscalls/src/generated";

/// An ABI: a column of the list of numbers, and a generated file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abi {
    X86_64,
    I386,
    Aarch64,
}

impl Abi {
    /// In the order of the columns.
    const ALL: [Self; 3] = [Self::X86_64, Self::I386, Self::Aarch64];

    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// The calls of an ABI: name by number.
type Calls = BTreeMap<u16, String>;

enum Mode {
    Write,
    Check,
}

/// Writes the tables, or with `--check` compares them with what is there.
pub(crate) fn run(options: &[String]) -> Result<()> {
    let mode = match options {
        [] => Mode::Write,
        [option] if option == "--check" => Mode::Check,
        _ => bail!("unexpected options: {}", options.join(" ")),
    };
    let root = crate::workspace();
    let data = root.join(DATA);
    let numbers = read_numbers(&data.join(NUMBERS))?;
    let arguments = Arguments::read(&data.join(ARGUMENTS), &numbers)?;

    fs::create_dir_all(root.join(GENERATED))
        .with_context(|| format!("cannot create {GENERATED}"))?;
    let mut stale = Vec::new();
    for (abi, calls) in Abi::ALL.into_iter().zip(&numbers) {
        let file = format!("{GENERATED}/{}.rs", abi.name());
        let path = root.join(&file);
        let wanted = rustfmt(&render(abi, calls, &arguments), root)?;
        if fs::read_to_string(&path).is_ok_and(|present| present == wanted) {
            continue;
        }
        match mode {
            Mode::Write => {
                fs::write(&path, wanted).with_context(|| format!("cannot write {file}"))?;
                println!("wrote {file}");
            }
            Mode::Check => stale.push(file),
        }
    }
    ensure!(
        stale.is_empty(),
        "not what {DATA} generates: {}\nhelp: run `cargo xtask codegen` and commit the result",
        stale.join(", ")
    );
    Ok(())
}

/// Reads the list of numbers: for each ABI its calls, in the order of
/// [`Abi::ALL`].
fn read_numbers(path: &Path) -> Result<[Calls; 3]> {
    let mut tables: [Calls; 3] = Default::default();
    for_each_row(path, |columns| {
        let [name, numbers @ ..] = columns else {
            bail!("an empty row");
        };
        ensure!(numbers.len() == Abi::ALL.len(), "a number column per ABI");
        ensure!(is_identifier(name), "'{name}' is not a system call name");
        for ((table, abi), number) in tables.iter_mut().zip(Abi::ALL).zip(numbers) {
            if *number == "-" {
                continue;
            }
            let number = number
                .parse()
                .with_context(|| format!("'{number}' is not a system call number"))?;
            if let Some(other) = table.insert(number, (*name).to_owned()) {
                bail!("{} {number} is both {other} and {name}", abi.name());
            }
        }
        Ok(())
    })?;
    for (table, abi) in tables.iter().zip(Abi::ALL) {
        let mut names: Vec<&String> = table.values().collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("{} has two numbers for {}", abi.name(), pair[0]);
        }
    }
    Ok(tables)
}

/// Hands each row of a tab-separated file to `read`; `#` starts a comment line.
fn for_each_row(path: &Path, mut read: impl FnMut(&[&str]) -> Result<()>) -> Result<()> {
    let file = path.file_name().unwrap_or_default().display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    for (line, row) in (1..).zip(text.lines()) {
        if row.starts_with('#') {
            continue;
        }
        let columns: Vec<&str> = row.split('\t').collect();
        read(&columns).with_context(|| format!("{file}, line {line}"))?;
    }
    Ok(())
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// The Rust source of one table, before formatting.
fn render(abi: Abi, calls: &Calls, arguments: &Arguments) -> String {
    let mut by_name: Vec<(&String, u16)> = calls.iter().map(|(nr, name)| (name, *nr)).collect();
    by_name.sort();
    let end = calls.keys().next_back().map_or(0, |last| last + 1);

    let mut rows = String::new();
    for number in 0..end {
        let row = match calls.get(&number) {
            Some(name) => format!("Some((\"{name}\", {:?})),", arguments.count(abi, name)),
            None => "None,".to_owned(),
        };
        // Every tenth number, to find a row by eye.
        let mark = if number % 10 == 0 {
            format!(" // {number}")
        } else {
            String::new()
        };
        rows.push_str(&format!("{row}{mark}\n"));
    }
    let numbers: String = by_name
        .iter()
        .map(|(_, number)| format!("{number}, "))
        .collect();
    format!(
        "// Generated by `cargo xtask codegen` from data/{NUMBERS} and\n\
         // data/{ARGUMENTS}; do not edit.\n\
         \n\
         use crate::table::Table;\n\
         \n\
         pub(crate) static TABLE: Table = Table {{\n\
         by_number: &[\n{rows}],\n\
         by_name: &[{numbers}],\n\
         }};\n"
    )
}

/// Formats Rust source as `cargo fmt` would.
fn rustfmt(source: &str, root: &Path) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt")?;
    // rustfmt reads all of its input before it writes, so this cannot deadlock.
    child
        .stdin
        .take()
        .context("rustfmt has no standard input")?
        .write_all(source.as_bytes())
        .context("cannot write to rustfmt")?;
    let output = child.wait_with_output().context("cannot read rustfmt")?;
    ensure!(output.status.success(), "rustfmt: {}", output.status);
    String::from_utf8(output.stdout).context("rustfmt wrote no UTF-8")
}
