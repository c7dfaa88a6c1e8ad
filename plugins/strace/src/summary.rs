//! The table of `-c` and `-C`.

use std::collections::BTreeMap;

use pai_plugin::decode::text::push_name;
use pai_plugin::json::Object;
use pai_plugin::{ErrorKind, RecordFlags, Result, SyscallId, SyscallRecord, select};
use pai_syscalls::abi::I386;

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
    /// Each call that returns; it is taken to be that much shorter, nanoseconds.
    pub(crate) fn add(&mut self, record: &SyscallRecord, overhead: u64) {
        let endless = RecordFlags::UNFINISHED | RecordFlags::DETACHED | RecordFlags::NO_RETURN;
        if record.record_flags.intersects(endless) {
            return;
        }
        let took = record.took.saturating_sub(overhead);
        let key = (record.call.abi, record.call.nr);
        let row = self.0.entry(key).or_insert(Row {
            call: record.call,
            nanos: 0,
            shortest: u64::MAX,
            longest: 0,
            calls: 0,
            errors: 0,
        });
        row.nanos += took;
        row.shortest = row.shortest.min(took);
        row.longest = row.longest.max(took);
        row.calls += 1;
        row.errors += u64::from(error(record).is_some());
    }

    /// The tables, as strace lays them out: calls of 32 bits have one of their own.
    pub(crate) fn table(&self, sort: Sort, columns: &Columns) -> String {
        let mut out = self.table_of(false, sort, columns);
        let narrow = self.table_of(true, sort, columns);
        if !narrow.is_empty() {
            out.push_str("System call usage summary for 32 bit mode:\n");
            out.push_str(&narrow);
        }
        out
    }

    /// Nothing where there are no calls.
    fn table_of(&self, narrow: bool, sort: Sort, columns: &Columns) -> String {
        let rows = self.rows(narrow, sort);
        let Some(all) = sum(&rows) else {
            return String::new();
        };
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut out = columns.line(widest, |column| column.title().to_owned());
        let rule = columns.line(widest, |column| match column {
            Column::Name => "-".repeat((widest + 1).max(16)),
            column => "-".repeat(column.width()),
        });
        out.push_str(&rule);
        for (name, row) in &rows {
            out.push_str(&columns.line(widest, |column| column.cell(name, row, all.nanos)));
        }
        out.push_str(&rule);
        out.push_str(&columns.line(widest, |column| column.cell("total", &all, all.nanos)));
        out
    }

    /// The same as JSON objects, with their kinds: one for each row, and a total.
    pub(crate) fn objects(&self, sort: Sort, columns: &Columns) -> Vec<(&'static str, String)> {
        let mut objects = Vec::new();
        for narrow in [false, true] {
            let rows = self.rows(narrow, sort);
            let Some(all) = sum(&rows) else {
                continue;
            };
            for (name, row) in &rows {
                let object = Object::new()
                    .text("syscall", name)
                    .number("nr", row.call.nr)
                    .number("abi", row.call.abi);
                objects.push(("summary", columns.object(object, row, all.nanos)));
            }
            let object = Object::new().number("abi", all.call.abi);
            objects.push(("summary-total", columns.object(object, &all, all.nanos)));
        }
        objects
    }

    /// Of calls of 32 bits, or of all others, with their names.
    fn rows(&self, narrow: bool, sort: Sort) -> Vec<(String, Row)> {
        let of_these = self
            .0
            .values()
            .filter(|row| (row.call.abi == I386) == narrow);
        let mut rows: Vec<(String, Row)> = of_these
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
        rows
    }
}

/// `None` of no rows.
fn sum(rows: &[(String, Row)]) -> Option<Row> {
    let rows = rows.iter().map(|(_, row)| *row);
    rows.reduce(|all, row| Row {
        call: all.call,
        nanos: all.nanos + row.nanos,
        shortest: all.shortest.min(row.shortest),
        longest: all.longest.max(row.longest),
        calls: all.calls + row.calls,
        errors: all.errors + row.errors,
    })
}

/// One column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Percent,
    Total,
    Average,
    Shortest,
    Longest,
    Calls,
    Errors,
    Name,
}

impl Column {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "time-percent" | "time" => Self::Percent,
            "total-time" | "time-total" => Self::Total,
            "avg-time" | "time-avg" => Self::Average,
            "min-time" | "shortest" | "time-min" => Self::Shortest,
            "max-time" | "longest" | "time-max" => Self::Longest,
            "calls" | "count" => Self::Calls,
            "errors" | "error" => Self::Errors,
            "name" | "syscall" | "syscall-name" => Self::Name,
            _ => return None,
        })
    }

    fn title(self) -> &'static str {
        match self {
            Self::Percent => "% time",
            Self::Total => "seconds",
            Self::Average => "usecs/call",
            Self::Shortest => "shortest",
            Self::Longest => "longest",
            Self::Calls => "calls",
            Self::Errors => "errors",
            Self::Name => "syscall",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Percent => 6,
            Self::Total | Self::Average => 11,
            Self::Shortest | Self::Longest => 8,
            Self::Calls | Self::Errors => 9,
            Self::Name => 16,
        }
    }

    fn cell(self, name: &str, row: &Row, total: u64) -> String {
        match self {
            Self::Percent => percent(row.nanos, total),
            Self::Total => seconds(row.nanos),
            Self::Average => (row.nanos / 1000 / row.calls.max(1)).to_string(),
            Self::Shortest => seconds(row.shortest),
            Self::Longest => seconds(row.longest),
            Self::Calls => row.calls.to_string(),
            Self::Errors if row.errors == 0 => String::new(),
            Self::Errors => row.errors.to_string(),
            Self::Name => name.to_owned(),
        }
    }
}

/// The columns of the table (`-U`).
#[derive(Clone, Debug)]
pub(crate) struct Columns(Vec<Column>);

impl Default for Columns {
    fn default() -> Self {
        Self(vec![
            Column::Percent,
            Column::Total,
            Column::Average,
            Column::Calls,
            Column::Errors,
            Column::Name,
        ])
    }
}

impl Columns {
    /// `calls,name`; the name of the call is last if it is not among them.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut columns = Vec::new();
        for item in text.split(',').map(str::trim) {
            let Some(column) = Column::parse(item) else {
                let text = format!(
                    "-U {text}: {item:?} is none of time-percent, total-time, avg-time, min-time, \
                     max-time, calls, errors, name"
                );
                return Err(ErrorKind::NotFound(text).into());
            };
            if columns.contains(&column) {
                let text = format!("-U {text}: {item:?} is there twice");
                return Err(ErrorKind::Invalid(text).into());
            }
            columns.push(column);
        }
        if !columns.contains(&Column::Name) {
            columns.push(Column::Name);
        }
        Ok(Self(columns))
    }

    /// With a key for each column; times are in nanoseconds.
    fn object(&self, mut object: Object, row: &Row, total: u64) -> String {
        for column in &self.0 {
            object = match column {
                Column::Percent => object.json("percent", &percent(row.nanos, total)),
                Column::Total => object.number("total", row.nanos),
                Column::Average => object.number("average", row.nanos / row.calls.max(1)),
                Column::Shortest => object.number("shortest", row.shortest),
                Column::Longest => object.number("longest", row.longest),
                Column::Calls => object.number("calls", row.calls),
                Column::Errors => object.number("errors", row.errors),
                Column::Name => object,
            };
        }
        object.end()
    }

    fn line(&self, widest: usize, cell: impl Fn(Column) -> String) -> String {
        let mut out = String::new();
        for (index, column) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            let cell = cell(*column);
            match column {
                Column::Name if index + 1 == self.0.len() => out.push_str(&cell),
                Column::Name => out.push_str(&format!("{cell:<0$}", widest.max(16))),
                column => out.push_str(&format!("{cell:>0$}", column.width())),
            }
        }
        out.push('\n');
        out
    }
}

/// To the nearest microsecond.
fn seconds(nanos: u64) -> String {
    let micros = nanos.saturating_add(500) / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn percent(nanos: u64, total: u64) -> String {
    let basis_points = match total {
        0 => 0,
        total => (nanos.saturating_mul(20_000) / total).div_ceil(2),
    };
    format!("{}.{:02}", basis_points / 100, basis_points % 100)
}

/// `100` (microseconds), `1ms`, of `-O`.
pub(crate) fn nanoseconds(text: &str) -> Result<u64> {
    let (digits, unit) = select::time(text);
    let is_plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let time = digits.parse::<f64>().ok();
    let time = time.filter(|time| is_plain && *time >= 0.0);
    // What is too long is as long as can be.
    let nanos = time.map(|time| (time * f64::from(unit)).round() as u64);
    nanos.ok_or_else(|| {
        let text = format!("-O {text}: it is no time, such as 100, 0.5us or 1ms");
        ErrorKind::Invalid(text).into()
    })
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
            counts.add(&record, 0);
        }
        assert_eq!(
            counts.table(Sort::Time, &Columns::default()),
            "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.000009           4         2           read
 10.00    0.000001           1         1         1 close
------ ----------- ----------- --------- --------- ----------------
100.00    0.000010           3         3         1 total
"
        );
        let by_name = counts.table(Sort::Name, &Columns::default());
        assert!(by_name.find("close") < by_name.find("read"));
        assert!(Sort::parse(Some("speed")).is_err());
    }

    #[test]
    fn columns_are_chosen() {
        let mut counts = Counts::default();
        for (took, ret) in [(1_500_000, 0), (3_000_000, -9)] {
            let mut record = record(1, "close", &[], ret);
            record.took = took;
            counts.add(&record, 500_000);
        }
        let columns = Columns::parse("name,min-time,longest,calls").unwrap();
        assert_eq!(
            counts.table(Sort::Time, &columns),
            "\
syscall          shortest  longest     calls
---------------- -------- -------- ---------
close            0.001000 0.002500         2
---------------- -------- -------- ---------
total            0.001000 0.002500         2
"
        );
        let columns = Columns::parse("errors").unwrap();
        assert!(
            counts
                .table(Sort::Time, &columns)
                .ends_with("        1 total\n")
        );
        assert!(Columns::parse("speed").is_err());
        assert!(Columns::parse("calls,count").is_err());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(nanoseconds("100").unwrap(), 100_000);
        assert_eq!(nanoseconds("1ms").unwrap(), 1_000_000);
        assert_eq!(nanoseconds("2s").unwrap(), 2_000_000_000);
        assert_eq!(nanoseconds("7ns").unwrap(), 7);
        assert_eq!(nanoseconds("0.1").unwrap(), 100);
        assert_eq!(nanoseconds("1e3").unwrap(), 1_000_000);
        assert_eq!(nanoseconds(".5ms").unwrap(), 500_000);
        assert_eq!(nanoseconds("+5").unwrap(), 5_000);
        assert_eq!(nanoseconds("1e20").unwrap(), u64::MAX);
        for wrong in ["", "x", "ms", "1h", "-1", "0x10", "inf", "nan"] {
            assert!(nanoseconds(wrong).is_err(), "{wrong}");
        }
    }
}
