//! The table of `-c` and `-C`.

use std::collections::BTreeMap;

use pai_plugin::decode::text::push_name;
use pai_plugin::{ErrorKind, Result, SyscallId, SyscallRecord};

use crate::call::error;

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Time,
    Calls,
    Errors,
    Name,
    Shortest,
    Longest,
    Average,
    Nothing,
}

impl Sort {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self> {
        Ok(match text {
            None | Some("time" | "time-total" | "total-time") => Self::Time,
            Some("calls" | "count") => Self::Calls,
            Some("errors" | "error") => Self::Errors,
            Some("name" | "syscall" | "syscall-name") => Self::Name,
            Some("min-time" | "shortest" | "time-min") => Self::Shortest,
            Some("max-time" | "longest" | "time-max") => Self::Longest,
            Some("avg-time" | "time-avg") => Self::Average,
            Some("nothing" | "none") => Self::Nothing,
            Some(other) => {
                let text = format!(
                    "-S {other}: it is none of time, calls, errors, name, min-time, max-time, \
                     avg-time, nothing"
                );
                return Err(ErrorKind::NotFound(text).into());
            }
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    call: SyscallId,
    nanos: u64,
    shortest: u64,
    longest: u64,
    calls: u64,
    errors: u64,
}

/// Counts calls.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<(u32, u32), Row>);

impl Counts {
    pub(crate) fn add(&mut self, record: &SyscallRecord) {
        let key = (record.call.abi, record.call.nr);
        let row = self.0.entry(key).or_insert(Row {
            call: record.call,
            nanos: 0,
            shortest: u64::MAX,
            longest: 0,
            calls: 0,
            errors: 0,
        });
        row.nanos += record.took;
        row.shortest = row.shortest.min(record.took);
        row.longest = row.longest.max(record.took);
        row.calls += 1;
        row.errors += u64::from(error(record).is_some());
    }

    /// The table, as strace lays it out.
    pub(crate) fn table(&self, sort: Sort) -> String {
        let mut rows: Vec<(String, Row)> = self
            .0
            .values()
            .map(|row| {
                let mut name = Vec::new();
                push_name(&mut name, row.call.abi, row.call.nr);
                (String::from_utf8_lossy(&name).into_owned(), *row)
            })
            .collect();
        let down = |key: fn(&Row) -> u64| {
            move |one: &(String, Row), other: &(String, Row)| key(&other.1).cmp(&key(&one.1))
        };
        match sort {
            Sort::Time => rows.sort_by(down(|row| row.nanos)),
            Sort::Calls => rows.sort_by(down(|row| row.calls)),
            Sort::Errors => rows.sort_by(down(|row| row.errors)),
            Sort::Name => rows.sort_by(|one, other| one.0.cmp(&other.0)),
            Sort::Shortest => rows.sort_by(down(|row| row.shortest)),
            Sort::Longest => rows.sort_by(down(|row| row.longest)),
            Sort::Average => rows.sort_by(down(|row| row.nanos / row.calls.max(1))),
            Sort::Nothing => {}
        }
        let total: u64 = rows.iter().map(|(_, row)| row.nanos).sum();
        let rule = "------ ----------- ----------- --------- --------- ----------------\n";
        let mut out = String::from("% time     seconds  usecs/call     calls    errors syscall\n");
        out.push_str(rule);
        let mut all = (0, 0);
        for (name, row) in &rows {
            all = (all.0 + row.calls, all.1 + row.errors);
            push_row(&mut out, row.nanos, total, (row.calls, row.errors), name);
        }
        out.push_str(rule);
        push_row(&mut out, total, total, all, "total");
        out
    }
}

fn push_row(out: &mut String, nanos: u64, total: u64, (calls, errors): (u64, u64), name: &str) {
    let basis_points = match total {
        0 => 0,
        total => nanos.saturating_mul(10_000) / total,
    };
    let errors = match errors {
        0 => String::new(),
        errors => errors.to_string(),
    };
    let micros = nanos / 1000;
    out.push_str(&format!(
        "{:3}.{:02} {:4}.{:06} {:11} {calls:9} {errors:>9} {name}\n",
        basis_points / 100,
        basis_points % 100,
        micros / 1_000_000,
        micros % 1_000_000,
        micros / calls.max(1),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::tests::record;

    #[test]
    fn rows_are_counted_and_sorted() {
        let mut counts = Counts::default();
        for (name, ret, took) in [("read", 1, 3_000), ("close", -9, 1_000), ("read", 2, 5_999)] {
            let mut record = record(1, name, &[], ret);
            record.took = took;
            counts.add(&record);
        }
        assert_eq!(
            counts.table(Sort::Time),
            "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 89.99    0.000008           4         2           read
 10.00    0.000001           1         1         1 close
------ ----------- ----------- --------- --------- ----------------
100.00    0.000009           3         3         1 total
"
        );
        let by_name = counts.table(Sort::Name);
        assert!(by_name.find("close") < by_name.find("read"));
        assert!(Sort::parse(Some("speed")).is_err());
    }
}
