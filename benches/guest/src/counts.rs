//! Counts of system calls, in the form that all tracers of the benches print.

use std::fmt::Write;

/// Numbers from here on share the last slot.
const SLOTS: usize = 1024;

/// Entries and exits of one call.
#[derive(Clone, Copy, Default)]
struct Call {
    entries: u64,
    exits: u64,
}

/// Of all calls.
pub(crate) struct Counts(Vec<Call>);

impl Counts {
    pub(crate) fn new() -> Self {
        Self(vec![Call::default(); SLOTS])
    }

    pub(crate) fn enter(&mut self, nr: u32) {
        self.slot(nr).entries += 1;
    }

    pub(crate) fn exit(&mut self, nr: u32) {
        self.slot(nr).exits += 1;
    }

    fn slot(&mut self, nr: u32) -> &mut Call {
        let slot = usize::try_from(nr).unwrap_or(SLOTS).min(SLOTS - 1);
        &mut self.0[slot]
    }

    pub(crate) fn text(&self) -> String {
        let entries: u64 = self.0.iter().map(|call| call.entries).sum();
        let exits: u64 = self.0.iter().map(|call| call.exits).sum();
        let mut text = format!("counts entries={entries} exits={exits} signals=0\n");
        for (nr, call) in self.0.iter().enumerate() {
            if call.entries + call.exits > 0 {
                // Writing to a string does not fail.
                let _written = writeln!(text, "call {nr} {} {}", call.entries, call.exits);
            }
        }
        text
    }
}
