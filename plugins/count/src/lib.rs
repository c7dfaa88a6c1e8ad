//! Counts system calls by name: how often each was made, and how often it
//! failed.

use std::collections::BTreeMap;
use std::fmt::Write;

use pai_plugin::output::{emit, print, push_json_string, structured};
use pai_plugin::{
    Error, Item, Observer, Overflow, RecordFlags, Result, SyscallRecord, names, options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "count",
    description: "counts system calls and errors by name",
    wants: [Control("the target waits rather than that a call is not counted")],
    options: [
        OptionSpec::text("sort", "order of the rows: calls, errors or name")
            .short("S")
            .metavar("KEY")
            .default("calls"),
    ],
    run: run,
}

/// What is known of one call.
#[derive(Clone, Copy, Default)]
struct Counts {
    calls: u64,
    errors: u64,
}

fn run() -> Result<()> {
    let sort = Sort::parse(&options::get("sort").unwrap_or_default())?;
    let mut counts: BTreeMap<(u32, u32), Counts> = BTreeMap::new();
    let mut lost = 0;
    let observer = Observer::new().syscalls(false).overflow(Overflow::Block);
    observer.run(|item| {
        match item {
            Item::Call(call) => {
                let counts = counts.entry((call.call.abi, call.call.nr)).or_default();
                counts.calls += 1;
                counts.errors += u64::from(failed(&call));
            }
            Item::Lost(n) => lost += n,
            Item::Event(_) | Item::Flush => {}
        }
        Ok(())
    })?;
    let rows = rows(&counts, sort);
    if structured() {
        return emit_rows(&rows, lost);
    }
    print(&table(&rows, lost));
    Ok(())
}

/// A result between -4095 and -1 is an errno; the kernel's restart codes are
/// no results.
fn failed(call: &SyscallRecord) -> bool {
    (-4095..0).contains(&call.ret) && !call.record_flags.contains(RecordFlags::RESTARTS)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Sort {
    Calls,
    Errors,
    Name,
}

impl Sort {
    fn parse(key: &str) -> Result<Self> {
        match key {
            "calls" => Ok(Sort::Calls),
            "errors" => Ok(Sort::Errors),
            "name" => Ok(Sort::Name),
            other => Err(Error::new(format!(
                "--sort {other:?}: use calls, errors or name"
            ))),
        }
    }
}

struct Row {
    name: String,
    counts: Counts,
}

/// One row per name: the ABIs of a name are added up.
fn rows(counts: &BTreeMap<(u32, u32), Counts>, sort: Sort) -> Vec<Row> {
    let mut by_name: BTreeMap<String, Counts> = BTreeMap::new();
    for (&(abi, nr), counts) in counts {
        let call = pai_plugin::SyscallId { abi, nr };
        let name = names::syscall(call).map_or_else(|| format!("syscall_{nr:#x}"), Into::into);
        let sum = by_name.entry(name).or_default();
        sum.calls += counts.calls;
        sum.errors += counts.errors;
    }
    let mut rows: Vec<Row> = by_name
        .into_iter()
        .map(|(name, counts)| Row { name, counts })
        .collect();
    match sort {
        Sort::Name => {}
        Sort::Calls => rows.sort_by_key(|row| std::cmp::Reverse(row.counts.calls)),
        Sort::Errors => rows.sort_by_key(|row| std::cmp::Reverse(row.counts.errors)),
    }
    rows
}

fn sum(rows: &[Row]) -> Counts {
    rows.iter().fold(Counts::default(), |sum, row| Counts {
        calls: sum.calls + row.counts.calls,
        errors: sum.errors + row.counts.errors,
    })
}

fn table(rows: &[Row], lost: u64) -> String {
    let mut text =
        String::from("    calls    errors syscall\n--------- --------- ----------------\n");
    let mut line = |counts: Counts, name: &str| {
        let errors = match counts.errors {
            0 => String::new(),
            n => n.to_string(),
        };
        // Writing to a string does not fail.
        if writeln!(text, "{:>9} {errors:>9} {name}", counts.calls).is_err() {
            text.push('\n');
        }
    };
    for row in rows {
        line(row.counts, &row.name);
    }
    text.push_str("--------- --------- ----------------\n");
    let total = sum(rows);
    text.push_str(&format!("{:>9} {:>9} total\n", total.calls, total.errors));
    if lost > 0 {
        text.push_str(&format!(
            "{lost} records were lost: the counts are too low\n"
        ));
    }
    text
}

fn emit_rows(rows: &[Row], lost: u64) -> Result<()> {
    for row in rows {
        let mut json = String::from("{\"syscall\":");
        push_json_string(&mut json, &row.name);
        json.push_str(&format!(
            ",\"calls\":{},\"errors\":{}}}",
            row.counts.calls, row.counts.errors
        ));
        emit("count", &json)?;
    }
    let total = sum(rows);
    emit(
        "total",
        &format!(
            "{{\"calls\":{},\"errors\":{},\"lost\":{lost}}}",
            total.calls, total.errors
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, calls: u64, errors: u64) -> Row {
        Row {
            name: name.to_owned(),
            counts: Counts { calls, errors },
        }
    }

    #[test]
    fn the_table_adds_up() {
        let text = table(&[row("read", 10, 0), row("openat", 3, 2)], 0);
        assert_eq!(
            text,
            "    calls    errors syscall\n\
             --------- --------- ----------------\n\
             \x20      10           read\n\
             \x20       3         2 openat\n\
             --------- --------- ----------------\n\
             \x20      13         2 total\n"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert_eq!(Sort::parse("name").unwrap(), Sort::Name);
        assert!(
            Sort::parse("size")
                .unwrap_err()
                .to_string()
                .contains("size")
        );
    }
}
