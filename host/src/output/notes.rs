//! What the host itself tells the user.

use std::io::Write;

use super::{OwnStderr, Sink, escape};
use crate::session::Verbosity;

/// Messages of the host: `pai-host: …` on standard error. With structured
/// output each is a record of kind `diagnostic`, among the others or beside the
/// message.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    verbosity: Verbosity,
    sink: Sink,
    /// The sink is standard error: messages go there in order with the rest.
    shared: bool,
}

impl Notes {
    pub(crate) fn new(verbosity: Verbosity, sink: Sink, shared: bool) -> Self {
        Self {
            verbosity,
            sink,
            shared,
        }
    }

    /// Even when quiet: something failed.
    pub(crate) fn must(&self, plugin: Option<&str>, text: &str) {
        let text = escape(text);
        let line = format!("pai-host: {text}\n");
        let structured = self.sink.is_structured();
        if structured {
            let data = serde_json::json!({ "message": text });
            // It is an object.
            drop(self.sink.emit(plugin, "diagnostic", &data.to_string()));
        }
        match (self.shared, structured) {
            (true, true) => {}
            (true, false) => self.sink.note(&line),
            // If standard error is closed, nobody can be told.
            (false, _) => drop(OwnStderr.write_all(line.as_bytes())),
        }
    }

    /// Unless quiet: what the user should know.
    pub(crate) fn tell(&self, plugin: Option<&str>, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            self.must(plugin, text);
        }
    }

    /// When verbose: what a curious user wants to know.
    pub(crate) fn detail(&self, plugin: Option<&str>, text: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.must(plugin, text);
        }
    }
}
