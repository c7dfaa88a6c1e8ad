//! `--stats`

use pai_host::session::Outcome;

use super::message;

/// Prints the counters of a session to standard error.
pub(crate) fn print(outcome: &Outcome) {
    let engine = &outcome.stats.engine;
    let row = |name: &str, value: u64| vec![name.to_owned(), value.to_string()];
    let rows = [
        row("stops", engine.stops),
    ];
    message::stderr(&message::table(&rows, 1));
}
