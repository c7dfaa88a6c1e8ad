//! Counts of what a tracer saw, as text between processes.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};

/// Numbers from here on share the last slot; none is assigned so far up.
const SLOTS: usize = 1024;

/// Entries and exits of one call.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Call {
    /// Seen at entry.
    pub entries: u64,
    /// Seen at exit.
    pub exits: u64,
}

/// What a tracer saw of one run, by call number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counts {
    calls: Vec<Call>,
    /// Signals that were delivered.
    pub signals: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            calls: vec![Call::default(); SLOTS],
            signals: 0,
        }
    }
}

impl Counts {
    fn slot(&mut self, nr: u32) -> &mut Call {
        let slot = usize::try_from(nr).unwrap_or(SLOTS).min(SLOTS - 1);
        &mut self.calls[slot]
    }

    /// Counts an entry.
    #[inline]
    pub fn enter(&mut self, nr: u32) {
        self.slot(nr).entries += 1;
    }

    /// Counts an exit.
    #[inline]
    pub fn exit(&mut self, nr: u32) {
        self.slot(nr).exits += 1;
    }

    /// Of all calls together.
    pub fn all(&self) -> Call {
        self.calls.iter().fold(Call::default(), |sum, call| Call {
            entries: sum.entries + call.entries,
            exits: sum.exits + call.exits,
        })
    }

    /// Of the call of this name.
    ///
    /// # Errors
    /// When there is no such call.
    pub fn of(&self, name: &str) -> Result<Call> {
        let nr = pai_syscalls::number(pai_syscalls::abi::X86_64, name)
            .with_context(|| format!("no system call named {name}"))?;
        Ok(self.calls[usize::try_from(nr)?])
    }

    /// Reads what [`fmt::Display`] wrote, among other lines.
    ///
    /// # Errors
    /// When the text holds no counts.
    pub fn parse(text: &str) -> Result<Self> {
        let mut counts = Self::default();
        let mut totals = None;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("counts") => {
                    let mut field = |name: &str| -> Result<u64> {
                        words
                            .next()
                            .and_then(|word| word.strip_prefix(name)?.parse().ok())
                            .with_context(|| format!("no {name} in '{line}'"))
                    };
                    let entries = field("entries=")?;
                    let exits = field("exits=")?;
                    counts.signals = field("signals=")?;
                    totals = Some(Call { entries, exits });
                }
                Some("call") => {
                    let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
                    let [nr, entries, exits] = numbers[..] else {
                        bail!("'{line}' is no count of a call");
                    };
                    *counts.slot(u32::try_from(nr)?) = Call { entries, exits };
                }
                _ => {}
            }
        }
        let totals = totals.with_context(|| format!("no counts in the output:\n{text}"))?;
        ensure!(
            totals == counts.all(),
            "the counts do not add up: {totals:?}, {:?}",
            counts.all()
        );
        Ok(counts)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { entries, exits } = self.all();
        let signals = self.signals;
        writeln!(
            f,
            "counts entries={entries} exits={exits} signals={signals}"
        )?;
        for (nr, call) in self.calls.iter().enumerate() {
            if *call != Call::default() {
                writeln!(f, "call {nr} {} {}", call.entries, call.exits)?;
            }
        }
        Ok(())
    }
}

/// Counts the calls in the output of strace, ours or the other one: a line per
/// call, with the task before it when there are several. A call that was
/// interrupted by another task's has a second line, which is not counted.
pub fn of_strace(text: &str) -> BTreeMap<&str, u64> {
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim_start();
        let line = match line.strip_prefix("[pid ") {
            Some(rest) => rest.split_once("] ").map_or(rest, |(_, call)| call),
            None => line.trim_start_matches(|c: char| c.is_ascii_digit()),
        };
        let Some((name, _)) = line.trim_start().split_once('(') else {
            continue;
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.is_empty() && name.chars().all(is_name) {
            *calls.entry(name).or_insert(0) += 1;
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let mut counts = Counts::default();
        counts.enter(39);
        counts.enter(39);
        counts.exit(39);
        counts.enter(231);
        counts.signals = 7;
        let text = format!("something\n{counts}else 3\n");
        assert_eq!(Counts::parse(&text).unwrap(), counts);
        assert!(Counts::parse("nothing").is_err());
        assert!(Counts::parse("counts entries=3 exits=0 signals=0").is_err());
    }

    #[test]
    fn lines_of_strace() {
        let text = "execve(\"/bin/true\", [\"true\"], 0x7ffd /* 8 vars */) = 0\n\
                    1234  getppid()                 = 1\n\
                    1234  getppid( <unfinished ...>\n\
                    [pid  1235] getppid() = 1\n\
                    1234  <... getppid resumed>)    = 1\n\
                    --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL (x)} ---\n\
                    1234 +++ exited with 0 +++\n";
        let calls = of_strace(text);
        assert_eq!(calls["execve"], 1);
        assert_eq!(calls["getppid"], 3);
        assert_eq!(calls.len(), 2);
    }
}
