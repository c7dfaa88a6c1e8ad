//! The command line: what is shown, and how.

use pai_plugin::decode::text::{Hex, Names, Style};
use pai_plugin::decode::{Descriptors, Limits};
use pai_plugin::output::{separate, structured};
use pai_plugin::{ErrorKind, ExitStatus, Result, options};

use crate::call::Detail;
use crate::select::{self, Calls, Quiet, Signals, Statuses};
use crate::summary::{self, Columns, Sort};
use crate::time::Times;

/// Where results start.
const COLUMNS: usize = 40;

/// What the options say.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) trace: Calls,
    /// Calls that show registers.
    pub(crate) raw: Calls,
    /// Calls that show everything.
    pub(crate) verbose: Calls,
    /// Calls that show structures, not only where they are.
    pub(crate) structures: Calls,
    pub(crate) signals: Signals,
    pub(crate) statuses: Statuses,
    /// Descriptors whose bytes are dumped.
    pub(crate) reads: select::Descriptors,
    pub(crate) writes: select::Descriptors,
    pub(crate) detail: Detail,
    pub(crate) limits: Limits,
    pub(crate) style: Style<'static>,
    pub(crate) times: Times,
    /// Behind each line the functions that the task is in.
    pub(crate) stacks: bool,
    pub(crate) instruction_pointer: bool,
    pub(crate) number: bool,
    /// Results are in this column, or later.
    pub(crate) columns: usize,
    pub(crate) task_ids: TaskIds,
    /// Only calls that concern one of these paths, if any.
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) summary: Summary,
    pub(crate) sort: Sort,
    pub(crate) table: Columns,
    /// What each call is too long by, nanoseconds.
    pub(crate) overhead: u64,
    pub(crate) quiet: Quiet,
}

/// When lines say whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskIds {
    /// `[pid 123] ` while there are several tasks.
    Several,
    /// `123 ` always, as in files.
    Always,
    /// Never.
    Never,
}

/// Whether there is a table at the end, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summary {
    None,
    Also,
    Only,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trace: Calls::all(true),
            raw: Calls::all(false),
            verbose: Calls::all(false),
            structures: Calls::all(true),
            signals: Signals::ALL,
            statuses: Statuses::ALL,
            reads: select::Descriptors::NONE,
            writes: select::Descriptors::NONE,
            detail: Detail::Full,
            limits: Limits::default(),
            style: Style::default(),
            times: Times::default(),
            stacks: false,
            instruction_pointer: false,
            number: false,
            columns: COLUMNS,
            task_ids: TaskIds::Several,
            paths: Vec::new(),
            summary: Summary::None,
            sort: Sort::Time,
            table: Columns::default(),
            overhead: 0,
            quiet: Quiet::NONE,
        }
    }
}

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// What makes no sense, by option.
    pub(crate) fn read() -> Result<Self> {
        // What is more than can be had is all that can be had.
        let text_limit = number("string-limit", 32, usize::MAX)?.min(Limits::MOST_TEXT);
        let verbose = options::flag("no-abbrev");
        let mut settings = Self {
            verbose: Calls::all(verbose),
            statuses: statuses(),
            detail: detail()?,
            limits: Limits {
                text: text_limit,
                items: text_limit.min(Limits::MOST_ITEMS),
                descriptors: match count("decode-fds") {
                    0 => Descriptors::NONE,
                    1 => Descriptors::PATHS,
                    _ => Descriptors::ALL,
                },
                brief: false,
                tasks: options::flag("decode-pids"),
                frames: 0,
            },
            style: Style {
                verbose,
                hex: match count("strings-in-hex") {
                    0 if options::flag("escapes-in-hex") => Hex::Escapes,
                    0 => Hex::No,
                    1 => Hex::Odd,
                    _ => Hex::All,
                },
                names: names()?,
                argument_names: options::flag("arg-names"),
                ..Style::default()
            },
            times: Times::read()?,
            stacks: options::flag("stack-traces"),
            instruction_pointer: options::flag("instruction-pointer"),
            number: options::flag("syscall-number"),
            columns: number("columns", COLUMNS, 1 << 16)?,
            task_ids: match options::get("task-ids").as_deref() {
                None | Some("several") => TaskIds::Several,
                Some("always") => TaskIds::Always,
                Some("never") => TaskIds::Never,
                Some(other) => return Err(invalid("task-ids", other, "several, always or never")),
            },
            paths: options::all("trace-path")
                .into_iter()
                .map(String::into_bytes)
                .collect(),
            summary: match (options::flag("summary-only"), options::flag("summary")) {
                (true, true) => {
                    let text = "-c and -C: one of them, only the table or the calls too";
                    return Err(ErrorKind::Invalid(text.to_owned()).into());
                }
                (true, false) => Summary::Only,
                (false, true) => Summary::Also,
                (false, false) => Summary::None,
            },
            sort: Sort::parse(options::get("summary-sort-by").as_deref())?,
            table: match options::get("summary-columns") {
                Some(list) => Columns::parse(&list)?,
                None => Columns::default(),
            },
            overhead: match options::get("summary-syscall-overhead") {
                Some(time) => summary::nanoseconds(&time)?,
                None => 0,
            },
            quiet: Quiet::level(count("quiet")),
            ..Self::default()
        };
        if let Some(list) = options::get("trace") {
            settings.trace = Calls::parse(&list)?;
        }
        for expression in options::all("expr") {
            settings.qualify(&expression)?;
        }
        if settings.summary != Summary::None && separate() {
            let text = "-c and -C count for all tasks together: not with a file for each";
            return Err(ErrorKind::Invalid(text.to_owned()).into());
        }
        if structured() {
            settings.check_records()?;
        }
        Ok(settings)
    }

    /// What only changes how lines look makes no sense where there are none.
    fn check_records(&self) -> Result<()> {
        let dumps = "they are lines; with --json, -s N has the first N bytes of each call";
        let style = &self.style;
        for (is_there, option, why) in [
            (self.columns != COLUMNS, "-a", "records have no columns"),
            (
                style.hex != Hex::No,
                "-x",
                "records have all bytes: as text, or as hex",
            ),
            (
                style.names != Names::Abbrev,
                "-X",
                "records have numbers and names",
            ),
            (!self.reads.is_none(), "-e read", dumps),
            (!self.writes.is_none(), "-e write", dumps),
        ] {
            if is_there {
                let text = format!("{option} with --json: {why}");
                return Err(ErrorKind::Invalid(text).into());
            }
        }
        Ok(())
    }

    /// Whether anything is told of descriptors.
    pub(crate) fn describes(&self) -> bool {
        self.limits.descriptors != Descriptors::NONE
    }

    /// Whether it is told that a task ended so.
    pub(crate) fn tells_end(&self, status: &ExitStatus) -> bool {
        match status {
            ExitStatus::Exited(_) => !self.quiet.exits,
            ExitStatus::Killed((signal, _)) => self.signals.has(*signal),
            ExitStatus::Other(_) => true,
        }
    }

    /// How many elements of an array show in a call, with everything or without.
    pub(crate) fn items(&self, verbose: bool) -> usize {
        match verbose {
            true => self.limits.items.max(Limits::ALL),
            false => self.limits.items,
        }
    }

    /// What has to be read for all that may be shown.
    pub(crate) fn captured(&self) -> Limits {
        // What is dumped is dumped whole.
        let dumps = !self.reads.is_none() || !self.writes.is_none();
        Limits {
            text: match dumps {
                true => Limits::MOST_TEXT,
                false => self.limits.text,
            },
            items: self.items(dumps || self.verbose.has_any()),
            ..self.limits
        }
    }

    /// One `-e`: `trace=openat`, or without a name the same.
    fn qualify(&mut self, expression: &str) -> Result<()> {
        let (name, list) = match expression.split_once('=') {
            Some((name, list)) => (name, list),
            None => ("trace", expression),
        };
        match name {
            "trace" | "t" => self.trace = Calls::parse(list)?,
            "raw" | "x" => self.raw = Calls::parse(list)?,
            "verbose" | "v" => self.structures = Calls::parse(list)?,
            "abbrev" | "a" => {
                let abbreviated = Calls::parse(list)?;
                self.verbose = abbreviated.negated();
            }
            "signal" | "signals" | "s" => self.signals = Signals::parse(list)?,
            "status" => self.statuses = Statuses::parse(list)?,
            "read" | "reads" | "r" => self.reads = select::Descriptors::parse(list)?,
            "write" | "writes" | "w" => self.writes = select::Descriptors::parse(list)?,
            "decode-fds" | "decode-fd" => self.limits.descriptors = select::described(list)?,
            "decode-pids" | "decode-pid" => self.limits.tasks = select::named_tasks(list)?,
            "quiet" | "silent" | "silence" | "q" => self.quiet = Quiet::parse(list)?,
            "kvm" => {
                let text = "-e kvm: why a virtual processor stopped is not shown";
                return Err(ErrorKind::Unsupported(text.to_owned()).into());
            }
            "inject" | "fault" => {
                let text = "-e inject and -e fault change what the target does: `pai-host strace` \
                            and the plugin `fault` can";
                return Err(ErrorKind::Unsupported(text.to_owned()).into());
            }
            _ => {
                let text = format!(
                    "-e {expression}: {name:?} is none of trace, abbrev, verbose, raw, signal, \
                     read, write, status, decode-fds, decode-pids, quiet"
                );
                return Err(ErrorKind::NotFound(text).into());
            }
        }
        Ok(())
    }
}

fn invalid(option: &str, value: &str, known: &str) -> pai_plugin::Error {
    ErrorKind::Invalid(format!("--{option}: {value:?} is not {known}")).into()
}

fn count(option: &str) -> usize {
    options::all(option).len()
}

fn number(option: &str, default: usize, most: usize) -> Result<usize> {
    let Some(given) = options::integer(option)? else {
        return Ok(default);
    };
    let number = usize::try_from(given).ok().filter(|number| *number <= most);
    number.ok_or_else(|| invalid(option, &given.to_string(), &format!("between 0 and {most}")))
}

fn detail() -> Result<Detail> {
    match options::get("detail").as_deref() {
        None | Some("full") => Ok(Detail::Full),
        Some("basic") => Ok(Detail::Basic),
        Some("raw") => Ok(Detail::Raw),
        Some(other) => Err(invalid("detail", other, "raw, basic or full")),
    }
}

fn names() -> Result<Names> {
    match options::get("const-print-style").as_deref() {
        None | Some("abbrev") => Ok(Names::Abbrev),
        Some("raw") => Ok(Names::Raw),
        Some("verbose") => Ok(Names::Verbose),
        Some(other) => Err(invalid(
            "const-print-style",
            other,
            "raw, abbrev or verbose",
        )),
    }
}

fn statuses() -> Statuses {
    let (good, bad) = (
        options::flag("successful-only"),
        options::flag("failed-only"),
    );
    match (good, bad) {
        (false, false) => Statuses::ALL,
        _ => Statuses {
            successful: good,
            failed: bad,
            ..Statuses::NONE
        },
    }
}
