//! Prints system calls and signals as `strace -f -e raw=all` does, with the
//! results decoded. Formats on a thread of its own: the target does not wait.

use pai_plugin::output::{print, structured};
use pai_plugin::{
    End, Event, Item, Observer, Overflow, Result, SyscallFilter, SyscallSet, Topic, options,
};

mod call;
mod json;
mod lines;
mod siginfo;

pai_plugin::plugin! {
    name: "strace",
    description: "prints system calls and signals as they happen",
    wants: [Control("the target waits rather than that a line is lost")],
    options: [
        OptionSpec::text("trace", "only these calls: names, separated by commas")
            .metavar("NAMES"),
    ],
    run: run,
}
pai_plugin::without_wasi!();

fn run() -> Result<()> {
    if structured() {
        return as_json();
    }
    let mut lines = lines::Lines::default();
    for task in Observer::tasks(None)? {
        lines.started(task.tid);
    }
    observer(true).run(|item| {
        match item {
            Item::Call(record) => lines.call(record),
            Item::Event(event) => write_event(&mut lines, event),
            Item::Lost(records) => lines.lost(records),
            Item::Flush => lines.take(print),
        }
        Ok(())
    })?;
    Ok(())
}

fn as_json() -> Result<()> {
    observer(false).run(|item| match item {
        Item::Call(record) => json::call(record),
        Item::Event(event) => json::event(event),
        Item::Lost(records) => json::lost(records),
        Item::Flush => Ok(()),
    })?;
    Ok(())
}

/// With `entries` calls show before they return, if they take long.
fn observer(entries: bool) -> Observer {
    let which = match options::get("trace") {
        None => SyscallSet::All,
        Some(names) => SyscallSet::Names(names.split(',').map(str::to_owned).collect()),
    };
    Observer::new()
        .overflow(Overflow::Block)
        .topic(Topic::Syscalls(SyscallFilter {
            which,
            enter: entries,
            exit: true,
            tasks: Vec::new(),
            extra: Vec::new(),
        }))
        .topic(Topic::Signals(Vec::new()))
        .topic(Topic::Tasks)
        .topic(Topic::Execs)
        .topic(Topic::JobControl)
}

fn write_event(lines: &mut lines::Lines, event: &Event) {
    match event {
        Event::TaskStarted(start) => lines.started(start.tid),
        Event::TaskExited(end) => lines.exited(end.tid, &end.status),
        Event::Signal(stop) => lines.signal(stop),
        Event::Execed(exec) => lines.execed(exec),
        Event::JobControl(event) => lines.job_control(event),
        Event::Lost(events) => lines.lost(*events),
        Event::Ended(End::Detached | End::Interrupted) => lines.detached(),
        _ => {}
    }
}
