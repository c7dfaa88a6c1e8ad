//! Prints system calls and signals as strace(1) does. Decodes and formats on a thread
//! of its own: the target waits only while it is looked at.

use pai_plugin::decode::{Descriptors, Limits};
use pai_plugin::output::{print, print_to, separate, structured};
use pai_plugin::{End, Event, Item, Observer, Overflow, Result, SyscallFilter, SyscallSet, Topic};

mod addresses;
mod call;
mod json;
mod lines;
mod select;
mod settings;
mod siginfo;
mod stack;
mod summary;
mod time;

use call::Detail;
use json::Records;
use lines::separate::Sheets;
use settings::{Settings, Summary};
use time::Clock;

pai_plugin::plugin! {
    name: "strace",
    description: "prints system calls and signals as they happen",
    wants: [
        Control("the target waits rather than that a line is lost"),
        MemoryRead("to show what arguments lead to"),
    ],
    options: [
        OptionSpec::text("expr", "trace=, abbrev=, verbose=, raw=, signal=, status=, read=, write=, ...")
            .short("e").metavar("EXPR").repeated(),
        OptionSpec::text("trace", "only these calls: names, %classes, /regex/, !all-but, ?maybe")
            .metavar("SET"),
        OptionSpec::text("trace-path", "only calls that concern this path")
            .short("P").metavar("PATH").repeated(),
        OptionSpec::flag("successful-only", "only calls that have not failed").short("z"),
        OptionSpec::flag("failed-only", "only calls that have failed").short("Z"),
        OptionSpec::text("detail", "raw (registers), basic (names) or full (what they lead to)")
            .default("full"),
        OptionSpec::integer("string-limit", "show so many bytes of a string, at most 1 MiB")
            .short("s").default("32"),
        OptionSpec::flag("no-abbrev", "show all of structures and arrays").short("v"),
        OptionSpec::flag("strings-in-hex", "strings with odd bytes in hexadecimal; -xx: all")
            .short("x").repeated(),
        OptionSpec::flag("escapes-in-hex", "only odd bytes in hexadecimal"),
        OptionSpec::text("const-print-style", "names as raw numbers, abbrev or verbose")
            .short("X").metavar("STYLE"),
        OptionSpec::flag("decode-fds", "paths of descriptors; -yy: devices too")
            .short("y").repeated(),
        OptionSpec::flag("decode-pids", "names of commands behind ids").short("Y"),
        OptionSpec::flag("arg-names", "names of arguments").short("N"),
        OptionSpec::flag("absolute-timestamps", "time of day; -tt: microseconds; -ttt: since 1970")
            .short("t").repeated(),
        OptionSpec::text("timestamp-format", "as -t: none, time or unix, and s, ms, us or ns")
            .metavar("FORMAT"),
        OptionSpec::flag("relative-timestamps", "time since the line before").short("r"),
        OptionSpec::text("relative-precision", "as -r: in s, ms, us or ns").metavar("UNIT"),
        OptionSpec::flag("syscall-times", "time spent in each call").short("T"),
        OptionSpec::text("syscall-precision", "as -T: in s, ms, us or ns").metavar("UNIT"),
        OptionSpec::flag("stack-traces", "who called whom, behind each line").short("k"),
        OptionSpec::flag("instruction-pointer", "where the call was made").short("i"),
        OptionSpec::flag("syscall-number", "numbers of calls").short("n"),
        OptionSpec::integer("columns", "results start in this column").short("a").default("40"),
        OptionSpec::text("task-ids", "several (while there are several tasks), always, never")
            .metavar("WHEN"),
        OptionSpec::flag("summary-only", "only a table of counts at the end").short("c"),
        OptionSpec::flag("summary", "a table of counts at the end, too").short("C"),
        OptionSpec::text("summary-sort-by", "time, calls, errors, name, min-, max-, avg-time")
            .short("S").metavar("COLUMN"),
        OptionSpec::text("summary-columns", "what the table has: time, total-time, calls, ...")
            .short("U").metavar("COLUMNS"),
        OptionSpec::text("summary-syscall-overhead", "time to take off each call in the table")
            .short("O").metavar("TIME"),
        OptionSpec::flag("quiet", "-qq: do not tell of exits; -qqq: nor of execs in threads")
            .short("q").repeated(),
    ],
    run: run,
}
pai_plugin::without_wasi!();

/// As in strace.
const MOST_FRAMES: usize = 256;

fn run() -> Result<()> {
    let settings = Settings::read()?;
    if structured() {
        return as_json(&settings);
    }
    let observer = observer(true, &settings);
    let mut lines = Sheets::new(settings, Clock::now(), separate());
    for task in Observer::tasks(None)? {
        lines.started(task.tid);
    }
    observer.run(|item| {
        match item {
            Item::Call(call) => lines.call(call),
            Item::Event(event) => write_event(&mut lines, event),
            Item::Lost(records) => lines.lost(records),
            Item::Flush => lines.take(|task, text| match task {
                Some(task) => print_to(task, text),
                None => print(text),
            }),
        }
        Ok(())
    })?;
    if let Some(table) = lines.table() {
        print(&table);
    }
    Ok(())
}

fn as_json(settings: &Settings) -> Result<()> {
    let mut records = Records::new(settings, Clock::now());
    observer(false, settings).run(|item| match item {
        Item::Call(call) => records.call(call),
        Item::Event(event) => records.event(event),
        Item::Lost(records) => json::lost(records),
        Item::Flush => Ok(()),
    })?;
    records.end()
}

/// With `entries` calls show before they return, if they take long.
fn observer(entries: bool, settings: &Settings) -> Observer {
    let only_counted = settings.summary == Summary::Only;
    // Signals and ends have the number of the last call, which need not be shown itself.
    let all_numbers = entries && settings.number && !only_counted;
    let which = match all_numbers || settings.trace.is_all() {
        true => SyscallSet::All,
        false => SyscallSet::Only(settings.trace.ids()),
    };
    let capture = settings.detail == Detail::Full && !only_counted;
    let limits = Limits {
        frames: if settings.stacks { MOST_FRAMES } else { 0 },
        // A descriptor concerns the path that it was opened by.
        descriptors: match settings.paths.is_empty() {
            true => settings.limits.descriptors,
            false => settings.limits.descriptors.or(Descriptors::PATHS),
        },
        ..settings.captured()
    };
    let wanted = match capture {
        true => Some(limits),
        false if settings.stacks && !only_counted => Some(Limits {
            frames: MOST_FRAMES,
            ..Limits::NONE
        }),
        false => None,
    };
    Observer::new()
        .overflow(Overflow::Block)
        .topic(Topic::Syscalls(SyscallFilter {
            which,
            enter: entries && !only_counted,
            exit: true,
            tasks: Vec::new(),
            capture: wanted.map(Into::into),
            extra: Vec::new(),
        }))
        .topic(Topic::Signals(Vec::new()))
        .topic(Topic::Tasks)
        .topic(Topic::Execs)
        .topic(Topic::JobControl)
}

fn write_event(lines: &mut Sheets, event: &Event) {
    match event {
        Event::TaskStarted(start) => lines.born(start),
        Event::TaskExited(end) => lines.exited(end),
        Event::ProcessExited(end) => lines.process_exited(end),
        Event::Signal(stop) => lines.signal(stop),
        Event::Execed(exec) => lines.execed(exec),
        Event::JobControl(event) => lines.job_control(event),
        Event::Lost(events) => lines.lost(*events),
        Event::Ended(End::Detached | End::Interrupted) => lines.detached(),
        _ => {}
    }
}
