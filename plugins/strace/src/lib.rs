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

use call::{Detail, Look};
use pai_plugin::decode::Limits;
use pai_plugin::decode::text::Style;

pai_plugin::plugin! {
    name: "strace",
    description: "prints system calls and signals as they happen",
    wants: [
        Control("the target waits rather than that a line is lost"),
        MemoryRead("to show what arguments lead to"),
    ],
    options: [
        OptionSpec::text("detail", "raw (numbers), basic (names) or full (what they lead to)")
            .default("full"),
        OptionSpec::integer("string-limit", "show so many bytes of a string")
            .short("s")
            .default("32"),
        OptionSpec::flag("no-abbrev", "show all of structures and arrays").short("v"),
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
    let look = look()?;
    let mut lines = lines::Lines::default();
    lines.look = look;
    for task in Observer::tasks(None)? {
        lines.started(task.tid);
    }
    observer(true, look).run(|item| {
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
    let look = look()?;
    observer(false, look).run(|item| match item {
        Item::Call(call) => json::call(call, look),
        Item::Event(event) => json::event(event),
        Item::Lost(records) => json::lost(records),
        Item::Flush => Ok(()),
    })?;
    Ok(())
}

/// What the options say.
fn look() -> Result<Look> {
    let detail = match options::get("detail").as_deref() {
        None | Some("full") => Detail::Full,
        Some("basic") => Detail::Basic,
        Some("raw") => Detail::Raw,
        Some(other) => {
            let text = format!("--detail: {other:?} is not raw, basic or full");
            return Err(text.as_str().into());
        }
    };
    let text = options::integer("string-limit")?.unwrap_or(32);
    let text = usize::try_from(text).map_err(|_| "--string-limit: too few or too many")?;
    let verbose = options::flag("no-abbrev");
    let items = if verbose { 4096 } else { text.max(1) };
    let limits = Limits { text, items };
    let style = Style {
        verbose,
        ..Style::default()
    };
    Ok(Look {
        detail,
        limits,
        style,
    })
}

/// With `entries` calls show before they return, if they take long.
fn observer(entries: bool, look: Look) -> Observer {
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
            capture: (look.detail == Detail::Full).then(|| look.limits.into()),
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
