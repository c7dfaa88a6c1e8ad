//! Who started whom, what they executed, and how they ended.

use std::collections::BTreeMap;
use std::fmt::Write;

use pai_plugin::output::{emit, print, push_json_string, structured};
use pai_plugin::show::{command_line, ending, seconds, word};
use pai_plugin::{
    Event, ExecInfo, ExitStatus, ForkInfo, Item, Observer, Pid, ProcessEnd, Result, Topic,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "exits",
    description: "processes: who started whom, what they executed, how they ended",
    run: run,
}

fn run() -> Result<()> {
    let mut report = Report::new(structured());
    let observer = Observer::new().topic(Topic::Forks).topic(Topic::Execs);
    observer.run(|item| match item {
        Item::Event(Event::Forked(fork)) => report.forked(fork),
        Item::Event(Event::Execed(exec)) => report.execed(exec),
        Item::Event(Event::ProcessExited(end)) => report.ended(end),
        Item::Lost(n) => {
            report.line(|out| writeln!(out, "{n} events were lost"));
            Ok(())
        }
        Item::Flush => {
            report.flush();
            Ok(())
        }
        Item::Call(_) | Item::Event(_) => Ok(()),
    })?;
    Ok(())
}

/// What is known of a live process.
#[derive(Default)]
struct Process {
    /// When it was first seen.
    since: Option<u64>,
    /// What it executes, quoted.
    command: String,
}

struct Report {
    json: bool,
    processes: BTreeMap<Pid, Process>,
    text: String,
}

impl Report {
    fn new(json: bool) -> Self {
        Self {
            json,
            processes: BTreeMap::new(),
            text: String::new(),
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            print(&self.text);
            self.text.clear();
        }
    }

    /// Writing to a string does not fail.
    fn line(&mut self, write: impl FnOnce(&mut String) -> std::fmt::Result) {
        if write(&mut self.text).is_err() {
            self.text.push('\n');
        }
    }

    fn forked(&mut self, fork: &ForkInfo) -> Result<()> {
        let command = self
            .processes
            .get(&fork.pid)
            .map(|parent| parent.command.clone())
            .unwrap_or_default();
        if fork.followed {
            let since = Some(fork.at);
            self.processes
                .insert(fork.child, Process { since, command });
        }
        if self.json {
            return emit(
                "fork",
                &format!(
                    "{{\"pid\":{},\"tid\":{},\"child\":{},\"how\":\"{}\",\"followed\":{}}}",
                    fork.pid, fork.tid, fork.child, fork.kind, fork.followed
                ),
            );
        }
        let note = if fork.followed { "" } else { " (not followed)" };
        let did = match fork.kind.as_str() {
            "clone" => "cloned",
            "vfork" => "vforked",
            _ => "forked",
        };
        self.line(|out| writeln!(out, "{} {did} {}{note}", fork.pid, fork.child));
        Ok(())
    }

    fn execed(&mut self, exec: &ExecInfo) -> Result<()> {
        let process = self.processes.entry(exec.pid).or_default();
        process.since.get_or_insert(exec.at);
        process.command = command_line(&exec.argv);
        let command = process.command.clone();
        if self.json {
            let mut json = format!("{{\"pid\":{},\"path\":", exec.pid);
            push_json_string(&mut json, &exec.path);
            json.push_str(",\"argv\":[");
            for (i, arg) in exec.argv.iter().enumerate() {
                if i > 0 {
                    json.push(',');
                }
                push_json_string(&mut json, arg);
            }
            json.push_str("]}");
            return emit("exec", &json);
        }
        self.line(|out| writeln!(out, "{} executes {}: {command}", exec.pid, word(&exec.path)));
        Ok(())
    }

    fn ended(&mut self, end: &ProcessEnd) -> Result<()> {
        let process = self.processes.remove(&end.pid).unwrap_or_default();
        let lived = process.since.map(|since| end.at.saturating_sub(since));
        if self.json {
            let mut json = format!("{{\"pid\":{},", end.pid);
            match &end.status {
                ExitStatus::Exited(code) => json.push_str(&format!("\"code\":{code}")),
                ExitStatus::Killed((signal, core)) => {
                    json.push_str(&format!("\"signal\":{signal},\"core\":{core}"));
                }
                ExitStatus::Other(text) => {
                    json.push_str("\"other\":");
                    push_json_string(&mut json, text);
                }
            }
            if let Some(nanos) = lived {
                json.push_str(&format!(",\"nanoseconds\":{nanos}"));
            }
            json.push('}');
            return emit("exit", &json);
        }
        let how = ending(&end.status);
        let after = lived.map(|nanos| format!(" after {}", seconds(nanos)));
        let after = after.unwrap_or_default();
        self.line(|out| writeln!(out, "{} {how}{after}: {}", end.pid, process.command));
        Ok(())
    }
}
