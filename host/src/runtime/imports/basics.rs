//! `log`, `output`, `config`, `syscalls` and `clock`: what touches no target.

use tracing::Level;

use crate::runtime::bindings::types::{self, Error};
use crate::runtime::bindings::{clock, config, events, log, output, syscalls};
use crate::runtime::convert;
use crate::runtime::state::State;

/// Bytes of one `print` or `emit`.
const MOST_OUTPUT: usize = 1 << 20;
/// Bytes of one log line; the rest is cut off.
const MOST_LOG: usize = 16 << 10;

impl types::Host for State {}
impl events::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        self.enter();
        let mut message = message;
        if message.len() > MOST_LOG {
            message.truncate(message.floor_char_boundary(MOST_LOG));
            message.push('…');
        }
        self.seat.log(tracing_level(level), &message);
    }

    fn enabled(&mut self, level: log::Level) -> bool {
        self.enter();
        match tracing_level(level) {
            Level::TRACE => tracing::enabled!(target: "pai::plugin", Level::TRACE),
            Level::DEBUG => tracing::enabled!(target: "pai::plugin", Level::DEBUG),
            Level::INFO => tracing::enabled!(target: "pai::plugin", Level::INFO),
            Level::WARN => tracing::enabled!(target: "pai::plugin", Level::WARN),
            _ => tracing::enabled!(target: "pai::plugin", Level::ERROR),
        }
    }
}

const fn tracing_level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}

fn bounded(text: &str) -> Result<(), Error> {
    if text.len() > MOST_OUTPUT {
        return Err(Error::Limit("output-size".to_owned()));
    }
    Ok(())
}

impl output::Host for State {
    fn print(&mut self, text: String) -> Result<(), Error> {
        self.enter();
        bounded(&text)?;
        self.seat.print(None, &text);
        Ok(())
    }

    fn print_to(&mut self, task: u32, text: String) -> Result<(), Error> {
        self.enter();
        bounded(&text)?;
        let Some(tasks) = self.seat.sink.tasks() else {
            let text = "a file for each task, which nobody has asked for".to_owned();
            return Err(Error::Unsupported(text));
        };
        let tid = convert::tid(task)?;
        // Other files are not for plugins.
        if !tasks.has(tid) {
            return Err(Error::NotFound(format!("no task {task} was traced")));
        }
        self.seat.print(Some(task), &text);
        Ok(())
    }

    fn separate(&mut self) -> bool {
        self.enter();
        self.seat.sink.is_separate()
    }

    fn emit(&mut self, kind: String, json: String) -> Result<(), Error> {
        self.enter();
        bounded(&json)?;
        bounded(&kind)?;
        let sink = &self.seat.sink;
        let written = sink.emit(Some(&self.seat.name), &kind, &json);
        let written = written.map_err(|problem| Error::Invalid(problem.to_string()))?;
        self.seat.count(written);
        Ok(())
    }

    fn structured(&mut self) -> bool {
        self.enter();
        self.seat.sink.is_structured()
    }
}

impl config::Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        self.enter();
        let options = &self.seat.options;
        let last = options.iter().rev().find(|(name, _)| *name == key);
        last.map(|(_, value)| value.clone())
    }

    fn list(&mut self) -> Vec<(String, String)> {
        self.enter();
        self.seat.options.clone()
    }
}

impl clock::Host for State {
    fn realtime(&mut self) -> i64 {
        self.enter();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_nanos());
        let monotonic = pai_ptrace::monotonic_nanos();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        now.saturating_sub_unsigned(monotonic)
    }

    fn utc_offset(&mut self, at: i64) -> i32 {
        self.enter();
        let at = jiff::Timestamp::from_second(at).unwrap_or_default();
        jiff::tz::TimeZone::system().to_offset(at).seconds()
    }
}

impl syscalls::Host for State {
    fn name(&mut self, call: types::SyscallId) -> Option<String> {
        self.enter();
        pai_syscalls::name(call.abi, call.nr).map(str::to_owned)
    }

    fn number(&mut self, abi: types::Abi, name: String) -> Option<u32> {
        self.enter();
        pai_syscalls::number(abi, &name)
    }

    fn argument_count(&mut self, call: types::SyscallId) -> Option<u32> {
        self.enter();
        pai_syscalls::argument_count(call.abi, call.nr).map(u32::from)
    }

    fn errno_name(&mut self, errno: u32) -> Option<String> {
        self.enter();
        pai_syscalls::errno::name(errno).map(str::to_owned)
    }

    fn errno_text(&mut self, errno: u32) -> Option<String> {
        self.enter();
        pai_syscalls::errno::description(errno).map(str::to_owned)
    }

    fn signal_name(&mut self, signal: u32) -> Option<String> {
        self.enter();
        pai_syscalls::signal::name(signal).map(str::to_owned)
    }
}
