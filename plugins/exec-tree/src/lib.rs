//! The tree of processes: who started whom, with command lines, durations and ends.

use std::collections::BTreeMap;
use std::fmt::Write;

use pai_plugin::json::Object;
use pai_plugin::output::{emit, print, structured};
use pai_plugin::show::{command_line, ending, seconds};
use pai_plugin::{Event, ExitStatus, Item, Observer, Overflow, Pid, Result, Topic};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "exec-tree",
    description: "the tree of processes: command lines, durations, exit status",
    wants: [Control("the target waits rather than that a process is missed")],
    run: run,
}

fn run() -> Result<()> {
    let mut tree = Tree::default();
    for target in Observer::targets()? {
        let at = tree.process(target.pid);
        if target.attached {
            tree.all[at].argv = target.argv;
        }
        if let Some(&parent) = tree.alive.get(&target.parent) {
            tree.adopt(parent, at);
        }
    }
    let observer = Observer::new().topic(Topic::Forks).topic(Topic::Execs);
    observer.overflow(Overflow::Block).run(|item| {
        match item {
            Item::Event(event) => tree.event(event),
            Item::Lost(events) => tree.lost += events,
            Item::Call(_) | Item::Flush => {}
        }
        Ok(())
    })?;
    if structured() {
        return tree.all.iter().try_for_each(Process::emit);
    }
    print(&tree.text());
    Ok(())
}

#[derive(Default)]
struct Process {
    pid: Pid,
    parent: Option<Pid>,
    /// Where its children are in the list of all.
    children: Vec<usize>,
    /// What it executes: its parent's program before its first exec.
    argv: Vec<String>,
    execs: u32,
    /// When it was first seen, and when it ended.
    start: Option<u64>,
    end: Option<u64>,
    status: Option<ExitStatus>,
}

#[derive(Default)]
struct Tree {
    /// In the order of their births.
    all: Vec<Process>,
    alive: BTreeMap<Pid, usize>,
    lost: u64,
}

impl Tree {
    fn process(&mut self, pid: Pid) -> usize {
        *self.alive.entry(pid).or_insert_with(|| {
            self.all.push(Process {
                pid,
                ..Process::default()
            });
            self.all.len() - 1
        })
    }

    fn adopt(&mut self, parent: usize, child: usize) {
        self.all[child].parent = Some(self.all[parent].pid);
        self.all[parent].children.push(child);
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Forked(fork) if fork.followed => {
                let parent = self.process(fork.pid);
                // Another process may have had that id.
                self.alive.remove(&fork.child);
                let child = self.process(fork.child);
                self.adopt(parent, child);
                self.all[child].argv = self.all[parent].argv.clone();
                self.all[child].start = Some(fork.at);
            }
            Event::Execed(exec) => {
                let at = self.process(exec.pid);
                let process = &mut self.all[at];
                process.argv.clone_from(&exec.argv);
                process.execs += 1;
                process.start.get_or_insert(exec.at);
            }
            Event::ProcessExited(end) => {
                let at = self.process(end.pid);
                self.all[at].end = Some(end.at);
                self.all[at].status = Some(end.status.clone());
                self.alive.remove(&end.pid);
            }
            _ => {}
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let roots = self.all.iter().filter(|process| process.parent.is_none());
        for root in roots {
            self.push(&mut text, root, "", "");
        }
        if self.lost > 0 {
            text.push_str(&format!("{} events were lost\n", self.lost));
        }
        text
    }

    fn push(&self, text: &mut String, process: &Process, first: &str, others: &str) {
        // Writing to a string does not fail.
        if writeln!(text, "{first}{}", process.line()).is_err() {
            text.push('\n');
        }
        for (place, &child) in process.children.iter().enumerate() {
            let (first, below) = match place + 1 == process.children.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            let child = &self.all[child];
            let (first, below) = (format!("{others}{first}"), format!("{others}{below}"));
            self.push(text, child, &first, &below);
        }
    }
}

impl Process {
    fn nanoseconds(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.start?))
    }

    /// `1234 ls -l: 0.012 s, exited with 0`; in parentheses what it has not executed
    /// itself.
    fn line(&self) -> String {
        let command = command_line(&self.argv);
        let command = match self.execs {
            0 => format!("({command})"),
            _ => command,
        };
        let lived = self.nanoseconds();
        let lived = lived.map(|nanos| format!("{}, ", seconds(nanos)));
        let end = self.status.as_ref().map(ending);
        let (lived, end) = (lived.unwrap_or_default(), end.as_deref());
        format!(
            "{} {command}: {lived}{}",
            self.pid,
            end.unwrap_or("goes on")
        )
    }

    fn emit(&self) -> Result<()> {
        let mut object = Object::new()
            .number("pid", self.pid)
            .texts("argv", &self.argv)
            .number("execs", self.execs);
        if let Some(parent) = self.parent {
            object = object.number("parent", parent);
        }
        if let Some(start) = self.start {
            object = object.number("at", start);
        }
        if let Some(nanos) = self.nanoseconds() {
            object = object.number("nanoseconds", nanos);
        }
        object = match &self.status {
            None => object,
            Some(ExitStatus::Exited(code)) => object.number("code", *code),
            Some(ExitStatus::Killed((signal, core))) => {
                object.number("signal", *signal).flag("core", *core)
            }
            Some(ExitStatus::Other(text)) => object.text("other", text),
        };
        emit("process", &object.end())
    }
}

#[cfg(test)]
mod tests {
    use pai_plugin::{ForkInfo, ProcessEnd};

    use super::*;

    #[test]
    fn branches_are_drawn() {
        let mut tree = Tree::default();
        let root = tree.process(1);
        tree.all[root].argv = vec!["make".into()];
        tree.all[root].execs = 1;
        for (pid, child) in [(1, 2), (2, 3), (1, 4)] {
            tree.event(&Event::Forked(ForkInfo {
                pid,
                tid: pid,
                child,
                kind: "fork".into(),
                followed: true,
                at: 0,
            }));
        }
        tree.event(&Event::ProcessExited(ProcessEnd {
            pid: 3,
            status: ExitStatus::Exited(2),
            at: 1_500_000_000,
        }));
        assert_eq!(
            tree.text(),
            "1 make: goes on\n\
             ├─ 2 (make): goes on\n\
             │  └─ 3 (make): 1.500 s, exited with 2\n\
             └─ 4 (make): goes on\n"
        );
    }
}
