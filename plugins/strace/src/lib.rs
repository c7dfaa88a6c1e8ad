//! Prints system calls and signals as strace(1) does. Decodes and formats on a thread
//! of its own: the target waits only while it is looked at.

use pai_plugin::decode::Limits;
use pai_plugin::output::{print, structured};
use pai_plugin::{
    End, Event, Item, Observer, Overflow, Result, SyscallFilter, SyscallSet, Topic, clock,
};

mod call;
mod json;
mod lines;
mod select;
mod settings;
mod siginfo;
mod summary;

use call::Detail;
use settings::{Settings, Summary};

pai_plugin::plugin! {
    name: "strace",
    description: "prints system calls and signals as they happen",
    wants: [
        Control("the target waits rather than that a line is lost"),
        MemoryRead("to show what arguments lead to"),
    ],
    options: [
        OptionSpec::text("expr", "trace=, abbrev=, raw=, signal=, status=, read=, write=, decode-fds=")
            .short("e").metavar("EXPR").repeated(),
        OptionSpec::text("trace", "only these calls: names, %classes, /regex/, !all-but, ?maybe")
            .metavar("SET"),
        OptionSpec::text("trace-path", "only calls that concern this path")
            .short("P").metavar("PATH").repeated(),
        OptionSpec::flag("successful-only", "only calls that have not failed").short("z"),
        OptionSpec::flag("failed-only", "only calls that have failed").short("Z"),
        OptionSpec::text("detail", "raw (registers), basic (names) or full (what they lead to)")
            .default("full"),
        OptionSpec::integer("string-limit", "show so many bytes of a string")
            .short("s").default("32"),
        OptionSpec::flag("no-abbrev", "show all of structures and arrays").short("v"),
        OptionSpec::flag("strings-in-hex", "strings with odd bytes in hexadecimal; -xx: all")
            .short("x").repeated(),
        OptionSpec::text("const-print-style", "names as raw numbers, abbrev or verbose")
            .short("X").metavar("STYLE"),
        OptionSpec::flag("decode-fds", "paths of descriptors; -yy: devices too")
            .short("y").repeated(),
        OptionSpec::flag("arg-names", "names of arguments").short("N"),
        OptionSpec::flag("absolute-timestamps", "time of day; -tt: microseconds; -ttt: since 1970")
            .short("t").repeated(),
        OptionSpec::flag("relative-timestamps", "time since the line before").short("r"),
        OptionSpec::flag("syscall-times", "time spent in each call").short("T"),
        OptionSpec::flag("instruction-pointer", "where the call was made").short("i"),
        OptionSpec::flag("syscall-number", "numbers of calls").short("n"),
        OptionSpec::integer("columns", "results start in this column").short("a").default("40"),
        OptionSpec::text("task-ids", "several (while there are several tasks), always, never")
            .metavar("WHEN"),
        OptionSpec::flag("summary-only", "only a table of counts at the end").short("c"),
        OptionSpec::flag("summary", "a table of counts at the end, too").short("C"),
        OptionSpec::text("summary-sort-by", "time, calls, errors, name, min-, max-, avg-time")
            .short("S").metavar("COLUMN"),
        OptionSpec::flag("quiet", "do not tell of ends").short("q").repeated(),
    ],
    run: run,
}
pai_plugin::without_wasi!();

fn run() -> Result<()> {
    let settings = Settings::read()?;
    if structured() {
        return as_json(&settings);
    }
    let observer = observer(true, &settings);
    let realtime = clock::realtime();
    let mut lines = lines::Lines::default();
    lines.settings = settings;
    lines.clock = lines::Clock {
        realtime,
        ahead: clock::utc_offset(realtime / 1_000_000_000).into(),
    };
    for task in Observer::tasks(None)? {
        lines.started(task.tid);
    }
    observer.run(|item| {
        match item {
            Item::Call(call) => lines.call(call),
            Item::Event(event) => write_event(&mut lines, event),
            Item::Lost(records) => lines.lost(records),
            Item::Flush => lines.take(print),
        }
        Ok(())
    })?;
    if lines.settings.summary != Summary::None {
        print(&lines.counts.table(lines.settings.sort));
    }
    Ok(())
}

fn as_json(settings: &Settings) -> Result<()> {
    observer(false, settings).run(|item| match item {
        Item::Call(call) if settings.trace.has(call.call) => json::call(call, settings),
        Item::Event(event) => json::event(event),
        Item::Lost(records) => json::lost(records),
        Item::Call(_) | Item::Flush => Ok(()),
    })?;
    Ok(())
}

/// With `entries` calls show before they return, if they take long.
fn observer(entries: bool, settings: &Settings) -> Observer {
    let which = match settings.trace.is_all() {
        true => SyscallSet::All,
        false => SyscallSet::Only(settings.trace.ids()),
    };
    let only_counted = settings.summary == Summary::Only;
    let capture = settings.detail == Detail::Full && !only_counted;
    let limits = Limits {
        text: match settings.reads.is_none() && settings.writes.is_none() {
            true => settings.limits.text,
            false => call::MOST_DUMPED.max(settings.limits.text),
        },
        ..settings.limits
    };
    Observer::new()
        .overflow(Overflow::Block)
        .topic(Topic::Syscalls(SyscallFilter {
            which,
            enter: entries && !only_counted,
            exit: true,
            tasks: Vec::new(),
            capture: capture.then(|| limits.into()),
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
        Event::TaskExited(end) => lines.exited(end.tid, &end.status, end.at),
        Event::Signal(stop) => lines.signal(stop),
        Event::Execed(exec) => lines.execed(exec),
        Event::JobControl(event) => lines.job_control(event),
        Event::Lost(events) => lines.lost(*events),
        Event::Ended(End::Detached | End::Interrupted) => lines.detached(),
        _ => {}
    }
}
