//! Where the text of plugins goes.
//!
//! A write from the tracer thread would cost as much as a stop, so text is put
//! into a buffer and a thread writes it: at once when it had nothing to do, else
//! in pieces every few milliseconds. Text is never lost while the other end
//! takes it: when the buffer is full, whoever prints waits.

mod files;
mod notes;
mod stderr;
mod text;
mod writer;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pai_engine::SeenTasks;

pub use files::TaskFiles;
pub(crate) use notes::Notes;
pub use stderr::OwnStderr;
pub use text::NotAnObject;
pub(crate) use text::escape;
use text::{json_line, json_object};
use writer::Shared;

/// What plugins write to.
#[derive(Debug)]
pub enum OutputTarget {
    /// Standard error of this process.
    Stderr,
    /// A file.
    File {
        /// Open for writing.
        file: File,
        /// Its name, for messages.
        path: PathBuf,
    },
    /// A file for each task.
    Files(TaskFiles),
}

impl OutputTarget {
    fn is_terminal(&self) -> bool {
        match self {
            OutputTarget::Stderr => io::stderr().is_terminal(),
            OutputTarget::File { file, .. } => file.is_terminal(),
            OutputTarget::Files(_) => false,
        }
    }

    fn write(&mut self, task: Option<u32>, bytes: &[u8]) -> io::Result<usize> {
        match self {
            OutputTarget::Stderr => io::stderr().write(bytes),
            OutputTarget::File { file, .. } => file.write(bytes),
            OutputTarget::Files(files) => files.write(task, bytes),
        }
    }

    /// After an error: whether only this task's text goes nowhere from now on.
    fn gives_up(&mut self, task: Option<u32>) -> bool {
        match (self, task) {
            (OutputTarget::Files(files), Some(task)) => {
                files.give_up(task);
                true
            }
            _ => false,
        }
    }

    /// For messages: where the text of a task goes.
    fn name(&self, task: Option<u32>) -> String {
        match self {
            OutputTarget::Files(files) => files.path(task).display().to_string(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for OutputTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputTarget::Stderr => f.write_str("standard error"),
            OutputTarget::File { path, .. } => path.display().fmt(f),
            OutputTarget::Files(files) => files.base().display().fmt(f),
        }
    }
}

/// The writing thread's owner.
#[derive(Debug)]
pub(crate) struct Output {
    sink: Sink,
    thread: Option<JoinHandle<()>>,
}

/// An end for printing into; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    shared: Arc<Shared>,
    terminal: bool,
    structured: bool,
    /// Each task has a file of its own: these.
    separate: Option<SeenTasks>,
}

impl Output {
    pub(crate) fn open(target: OutputTarget, structured: bool) -> io::Result<Self> {
        let sink = Sink {
            shared: Arc::new(Shared::default()),
            terminal: target.is_terminal(),
            structured,
            separate: matches!(target, OutputTarget::Files(_)).then(SeenTasks::default),
        };
        let thread = thread::Builder::new().name("pai-output".into()).spawn({
            let shared = Arc::clone(&sink.shared);
            move || shared.write_all_to(target)
        })?;
        Ok(Self {
            sink,
            thread: Some(thread),
        })
    }

    pub(crate) fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// Waits until everything is written; `impatient` is asked from time to
    /// time whether that takes too long. What went wrong with the output, if
    /// anything did.
    pub(crate) fn finish(mut self, impatient: impl FnMut() -> bool) -> Option<String> {
        self.sink.shared.close();
        if self.sink.shared.await_end(impatient)
            && let Some(thread) = self.thread.take()
        {
            // It has ended.
            drop(thread.join());
        }
        self.sink.shared.problem()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.sink.shared.close();
        }
    }
}

impl Sink {
    /// The other end does not take what was printed: whoever prints waits.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Whether there are JSON lines instead of text.
    pub(crate) fn is_structured(&self) -> bool {
        self.structured
    }

    /// Whether each task has a file of its own.
    pub(crate) fn is_separate(&self) -> bool {
        self.separate.is_some()
    }

    /// The tasks that have files of their own, if they have.
    pub(crate) fn tasks(&self) -> Option<&SeenTasks> {
        self.separate.as_ref()
    }

    /// Text of a plugin, for the file of a task if it is about one; how many bytes it
    /// was.
    pub(crate) fn print(&self, task: Option<u32>, text: &str) -> usize {
        if self.structured || text.is_empty() {
            return 0;
        }
        if self.terminal {
            self.shared.push(task, escape(text).as_bytes());
        } else {
            self.shared.push(task, text.as_bytes());
        }
        text.len()
    }

    /// One record of a plugin, or of the host: a line of JSON, if that is
    /// wanted. How many bytes it was.
    pub(crate) fn emit(
        &self,
        plugin: Option<&str>,
        kind: &str,
        data: &str,
    ) -> Result<usize, NotAnObject> {
        let data = json_object(data)?;
        if !self.structured {
            return Ok(0);
        }
        let line = json_line(plugin, kind, &data, self.terminal);
        self.shared.push(None, line.as_bytes());
        Ok(line.len())
    }

    /// Text of the host among that of plugins.
    fn note(&self, text: &str) {
        self.shared.push(None, text.as_bytes());
    }

    /// Nobody waits for room any more; what does not fit is dropped.
    pub(crate) fn abandon(&self) {
        self.shared.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn pipe() -> (io::PipeReader, OutputTarget) {
        let (reader, writer) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let path = PathBuf::from("the pipe");
        (reader, OutputTarget::File { file, path })
    }

    #[test]
    fn everything_is_written_in_order() {
        let (mut reader, target) = pipe();
        let output = Output::open(target, false).unwrap();
        let sink = output.sink();
        let printer = thread::spawn(move || {
            for n in 0..100_000 {
                sink.print(None, &format!("{n}\n"));
            }
            assert_eq!(output.finish(|| false), None);
        });
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        printer.join().unwrap();
        assert!(
            text.lines()
                .map(|line| line.parse())
                .eq((0..100_000).map(Ok::<u32, _>))
        );
    }

    #[test]
    fn a_reader_that_leaves_stops_nobody() {
        let (reader, target) = pipe();
        drop(reader);
        let output = Output::open(target, false).unwrap();
        let sink = output.sink();
        for _ in 0..100 {
            sink.print(None, &"x".repeat(1 << 20));
        }
        assert!(output.finish(|| false).unwrap().contains("Broken pipe"));
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_only_the_patient() {
        let (reader, target) = pipe();
        let output = Output::open(target, false).unwrap();
        let sink = output.sink();
        sink.abandon();
        for _ in 0..100 {
            sink.print(None, &"x".repeat(1 << 20));
        }
        output.finish(|| true);
        drop(reader);
    }

    #[test]
    fn a_full_disk_is_told() {
        let Ok(file) = File::options().write(true).open("/dev/full") else {
            return;
        };
        let path = PathBuf::from("/dev/full");
        let output = Output::open(OutputTarget::File { file, path }, true).unwrap();
        let sink = output.sink();
        assert!(sink.emit(Some("x"), "k", "{}").unwrap() > 0);
        let problem = output.finish(|| false).unwrap();
        assert!(problem.contains("No space left on device"), "{problem}");
    }

    #[test]
    fn structured_output_has_records_only() {
        let (mut reader, target) = pipe();
        let output = Output::open(target, true).unwrap();
        let sink = output.sink();
        assert_eq!(sink.print(None, "text\n"), 0);
        sink.emit(Some("demo"), "call", "{\"a\":\n 1}").unwrap();
        assert!(sink.emit(Some("demo"), "call", "[1]").is_err());
        sink.emit(None, "diagnostic", "{}").unwrap();
        output.finish(|| false);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            text,
            "{\"v\":1,\"plugin\":\"demo\",\"kind\":\"call\",\"data\":{\"a\":  1}}\n\
             {\"v\":1,\"plugin\":null,\"kind\":\"diagnostic\",\"data\":{}}\n"
        );
    }
}
