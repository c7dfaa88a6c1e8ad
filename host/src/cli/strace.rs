//! `pai-host strace`: a command line of strace(1) as it is.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, ValueHint};
use pai_host::session::Target;
use pai_ptrace::{Pid, Program};

use super::message::Halt;
use super::pids::Pids;
use super::plugin_options::{self, Place};
use super::{program, trace, user};
use crate::diagnose;
use crate::exit::{self, Code, Exit, Whose};

/// Trace as strace(1) does, with its options
///
/// The same as `pai-host run strace` with the options of the host and of the plugin
/// `strace` under the letters that they have there.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "pai-host strace [OPTIONS] COMMAND [ARGS]...\n       \
                      pai-host strace [OPTIONS] -p PID...",
    after_long_help = exit::HELP,
    disable_version_flag = true,
    args_override_self = true,
)]
pub(crate) struct Args {
    /// Trace the processes that the target starts, too
    #[arg(short, long = "follow-forks", action = ArgAction::Count)]
    follow: u8,
    /// The old name of -f
    #[arg(short = 'F', hide = true)]
    follow_too: bool,
    /// Trace a process that runs already
    #[arg(short = 'p', long = "attach", value_name = "PID", value_parser = Pids::parse)]
    pids: Vec<Pids>,
    /// Write to FILE instead of standard error
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// With -o: a file for each task, FILE.TID; the same as -ff
    #[arg(long)]
    output_separately: bool,
    /// With -o: keep what is in FILE already
    #[arg(short = 'A', long = "output-append-mode")]
    append: bool,
    /// Run the command as this user
    #[arg(short, long, value_name = "USER")]
    user: Option<OsString>,
    /// The command's own name, in place of its file's (not in strace 6.1)
    #[arg(long, value_name = "NAME")]
    argv0: Option<OsString>,
    /// Let go of processes that execute another program
    #[arg(short = 'b', long = "detach-on", value_name = "CALL", value_parser = ["execve"])]
    detach_on: Option<String>,
    /// JSON Lines: one object for each record, as in docs/strace.schema.json (not in strace)
    #[arg(long)]
    json: bool,
    /// Set a variable for the command, or without =VALUE remove it
    #[arg(short = 'E', long = "env", value_name = "NAME=VALUE")]
    env: Vec<OsString>,

    #[command(flatten)]
    expressions: Expressions,
    /// Only calls that concern this path
    #[arg(short = 'P', long = "trace-path", value_name = "PATH")]
    paths: Vec<String>,
    /// Only calls that have not failed
    #[arg(short = 'z', long = "successful-only")]
    successful: bool,
    /// Only calls that have failed
    #[arg(short = 'Z', long = "failed-only")]
    failed: bool,
    /// Show so many bytes of a string, at most 1 MiB
    #[arg(short, long, value_name = "BYTES")]
    string_limit: Option<u32>,
    /// Show all of structures and arrays
    #[arg(short = 'v', long = "no-abbrev")]
    no_abbrev: bool,
    /// Strings with odd bytes in hexadecimal; -xx: all
    #[arg(short = 'x', action = ArgAction::Count)]
    hex: u8,
    /// All strings in hexadecimal, or none, non-ascii-chars, non-ascii, all
    #[arg(long, value_name = "WHICH", conflicts_with = "hex",
          num_args = 0..=1, require_equals = true, default_missing_value = "all",
          value_parser = ["none", "non-ascii-chars", "non-ascii", "all"],
          hide_possible_values = true)]
    strings_in_hex: Vec<String>,
    /// Names as raw numbers, abbrev or verbose
    #[arg(short = 'X', long = "const-print-style", value_name = "STYLE")]
    names: Option<String>,
    /// Paths of descriptors; -yy: more about them
    #[arg(short = 'y', action = ArgAction::Count)]
    descriptors: u8,
    /// The same: a set of path, socket, dev, pidfd
    #[arg(long = "decode-fds", value_name = "SET",
          num_args = 0..=1, require_equals = true, default_missing_value = "")]
    descriptor_sets: Vec<String>,
    /// Names of commands behind ids
    #[arg(short = 'Y')]
    tasks: bool,
    /// Not here: ids are not translated
    #[arg(long = "pidns-translation", hide = true)]
    pidns: bool,
    /// Names of arguments
    #[arg(short = 'N', long = "arg-names")]
    arg_names: bool,
    /// Time of day; -tt: microseconds; -ttt: since 1970
    #[arg(short = 't', action = ArgAction::Count)]
    times: u8,
    /// The same: none, time or unix, and s, ms, us or ns, as in unix,ns
    #[arg(long = "absolute-timestamps", alias = "timestamps", value_name = "FORMAT",
          num_args = 0..=1, require_equals = true, default_missing_value = "")]
    timestamps: Option<String>,
    /// Time since the line before
    #[arg(short)]
    relative: bool,
    /// The same, in s, ms, us or ns
    #[arg(long = "relative-timestamps", value_name = "UNIT", value_parser = UNITS,
          num_args = 0..=1, require_equals = true, default_missing_value = "us",
          hide_possible_values = true)]
    relative_unit: Option<String>,
    /// Time spent in each call
    #[arg(short = 'T')]
    took: bool,
    /// The same, in s, ms, us or ns
    #[arg(long = "syscall-times", value_name = "UNIT", value_parser = UNITS,
          num_args = 0..=1, require_equals = true, default_missing_value = "us",
          hide_possible_values = true)]
    took_unit: Option<String>,
    /// Who called whom, behind each line
    #[arg(short = 'k', long = "stack-traces")]
    stacks: bool,
    /// Where the call was made
    #[arg(short, long = "instruction-pointer")]
    instruction_pointer: bool,
    /// Numbers of calls
    #[arg(short, long = "syscall-number")]
    number: bool,
    /// Results start in this column
    #[arg(short = 'a', long = "columns", value_name = "COLUMN")]
    columns: Option<u32>,
    /// Only a table of counts at the end
    #[arg(short = 'c', long = "summary-only")]
    summary_only: bool,
    /// A table of counts at the end, too
    #[arg(short = 'C', long = "summary")]
    summary: bool,
    /// time, calls, errors, name, min-time, max-time, avg-time, nothing
    #[arg(short = 'S', long = "summary-sort-by", value_name = "COLUMN")]
    sort: Option<String>,
    /// Columns of the table: time-percent, total-time, avg-time, min-time, max-time,
    /// calls, errors, name
    #[arg(short = 'U', long = "summary-columns", value_name = "COLUMNS")]
    table: Option<String>,
    /// Time to take off each call in the table: 100 (microseconds), 1ms
    #[arg(short = 'O', long = "summary-syscall-overhead", value_name = "TIME")]
    overhead: Option<String>,
    /// Count wall-clock time; it is what is always counted
    #[arg(short = 'w', long = "summary-wall-clock")]
    wall_clock: bool,
    /// -qq: do not tell of exits, -qqq: nor of execs in threads
    #[arg(short, action = ArgAction::Count)]
    quiet: u8,
    /// The same: a set of attach, exit, path-resolution, personality, thread-execve
    #[arg(long = "quiet", alias = "silent", alias = "silence", value_name = "SET",
          num_args = 0..=1, require_equals = true, default_missing_value = "")]
    quiet_sets: Vec<String>,
    /// Not here: the tracer stays the parent of the command
    #[arg(short = 'D', long = "daemonize", action = ArgAction::Count, hide = true)]
    daemonize: u8,
    /// When the tracer can be interrupted; it always can
    #[arg(short = 'I', long = "interruptible", value_name = "WHEN", hide = true,
          value_parser = ["1", "2", "3", "4", "anywhere", "waiting", "never", "never_tstp"])]
    interruptible: Option<String>,
    /// With -f, stop only at calls that are shown: quicker, and what is traced ends
    /// with pai-host
    #[arg(long = "seccomp-bpf")]
    seccomp: bool,
    /// Tell on standard error what pai-host itself does
    #[arg(short = 'd', long)]
    debug: bool,
    /// Not here: there are no tips
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true,
          default_missing_value = "random", hide = true)]
    tips: Option<String>,
    /// Print the version, and whose options these are
    #[arg(short = 'V', long)]
    version: bool,

    /// The command to run
    #[arg(value_name = "COMMAND", trailing_var_arg = true,
          value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl Args {
    /// The options of the plugin.
    fn words(&self) -> Vec<OsString> {
        let mut words = vec![OsString::from("strace")];
        let mut push = |word: String| words.push(word.into());
        for (name, value) in &self.expressions.0 {
            if !is_tampering(name) {
                push(format!("--expr={name}={value}"));
            }
        }
        for path in &self.paths {
            push(format!("--trace-path={path}"));
        }
        for (flag, times) in [
            ("--successful-only", u8::from(self.successful)),
            ("--failed-only", u8::from(self.failed)),
            ("--no-abbrev", u8::from(self.no_abbrev)),
            ("--decode-pids", u8::from(self.tasks)),
            ("--arg-names", u8::from(self.arg_names)),
            ("--absolute-timestamps", self.times),
            ("--relative-timestamps", u8::from(self.relative)),
            ("--syscall-times", u8::from(self.took)),
            ("--quiet", self.quiet),
            ("--decode-fds", self.descriptors),
            ("--stack-traces", u8::from(self.stacks)),
            ("--instruction-pointer", u8::from(self.instruction_pointer)),
            ("--syscall-number", u8::from(self.number)),
            ("--summary-only", u8::from(self.summary_only)),
            ("--summary", u8::from(self.summary)),
        ] {
            for _ in 0..times {
                push(flag.to_owned());
            }
        }
        for (option, expression, sets) in [
            ("--quiet", "quiet", &self.quiet_sets),
            ("--decode-fds", "decode-fds", &self.descriptor_sets),
        ] {
            for set in sets {
                push(match set.as_str() {
                    "" => option.to_owned(),
                    set => format!("--expr={expression}={set}"),
                });
            }
        }
        let times = match self.strings_in_hex.last().map(String::as_str) {
            None => self.hex,
            Some("non-ascii") => 1,
            Some("all") => 2,
            Some("non-ascii-chars") => {
                push("--escapes-in-hex".to_owned());
                0
            }
            Some(_) => 0,
        };
        for _ in 0..times {
            push("--strings-in-hex".to_owned());
        }
        if self.pidns {
            push("--expr=decode-pids=pidns".to_owned());
        }
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        for (option, value) in [
            ("--string-limit", number(self.string_limit)),
            ("--const-print-style", self.names.clone()),
            ("--columns", number(self.columns)),
            ("--timestamp-format", self.timestamps.clone()),
            ("--relative-precision", self.relative_unit.clone()),
            ("--syscall-precision", self.took_unit.clone()),
            ("--summary-sort-by", self.sort.clone()),
            ("--summary-columns", self.table.clone()),
            ("--summary-syscall-overhead", self.overhead.clone()),
            ("--task-ids", Some(self.task_ids().to_owned())),
        ] {
            if let Some(value) = value {
                push(format!("{option}={value}"));
            }
        }
        words
    }

    /// The options of the plugin that tampers, if one has to.
    fn tampering(&self) -> Option<Vec<OsString>> {
        let expressions = &self.expressions.0;
        if !expressions.iter().any(|(name, _)| is_tampering(name)) {
            return None;
        }
        let mut words = vec![OsString::from("fault"), "--quiet".into()];
        for (name, value) in expressions {
            match name.as_str() {
                name if is_tampering(name) => words.push(format!("--{name}={value}").into()),
                // What is not traced is not tampered with.
                "trace" | "t" => words.push(format!("--trace={value}").into()),
                _ => {}
            }
        }
        let paths = self.paths.iter();
        words.extend(paths.map(|path| format!("--trace-path={path}").into()));
        Some(words)
    }

    fn follows(&self) -> bool {
        self.follow > 0 || self.follow_too
    }

    /// Each once.
    fn pids(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = Pids::all(&self.pids).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// What strace refuses, too, and what there is not here.
    fn check(&self) -> Result<(), Halt> {
        if self.daemonize > 0 {
            return Err(
                Halt::failed("-D: the tracer stays the parent of the command")
                    .help("put & behind the command to have the shell back"),
            );
        }
        let tips = self.tips.as_deref().unwrap_or("none");
        if !tips.split([',', ':']).any(|word| word == "none") {
            return Err(Halt::failed(format!("--tips={tips}: there are none"))
                .help("docs/STRACE-COMPAT.md has what differs from strace"));
        }
        if self.times > 0 && self.timestamps.is_some() {
            return Err(Halt::failed("-t and --absolute-timestamps: one of them"));
        }
        if self.wall_clock && !self.summary && !self.summary_only {
            return Err(Halt::failed(
                "-w is about the table of -c or -C: with one of them",
            ));
        }
        Ok(())
    }

    fn task_ids(&self) -> &'static str {
        match (self.follows() || self.pids().len() > 1, &self.output) {
            (true, Some(_)) => "always",
            (true, None) => "several",
            (false, _) => "never",
        }
    }
}

/// Traces as the command line says.
///
/// # Errors
/// When anything is wrong before, or the session fails.
pub(crate) fn run(args: &Args, color: clap::ColorChoice) -> Result<Exit, Halt> {
    if args.version {
        return version();
    }
    args.check()?;
    let separate = (args.follow > 1 || args.output_separately) && args.output.is_some();
    if separate && args.json {
        return Err(
            Halt::failed("--json with a file for each task: one of them")
                .help("each record says whose it is"),
        );
    }
    let mut plugins = Vec::new();
    for words in args.tampering().into_iter().chain([args.words()]) {
        plugins.push(plugin_options::select(&words, Place::Attach, color)?.0);
    }
    let options = trace::Options {
        output: args.output.clone(),
        append: args.append,
        output_separately: separate,
        json: args.json,
        quiet: args.quiet > 0 || args.quiet_sets.iter().any(|set| is_of_attach(set)),
        verbose: args.debug,
        no_follow: !args.follows(),
        detach_on_exec: args.detach_on.is_some(),
        no_seccomp: !args.seccomp,
        ..trace::Options::default()
    };
    if !args.pids.is_empty() {
        if let Some(word) = args.command.first() {
            let word = word.display();
            return Err(Halt::failed(format!(
                "-p and the command {word}: one of them"
            )));
        }
        if args.user.is_some() || args.argv0.is_some() {
            return Err(Halt::failed(
                "-u and --argv0 are for a command, not with -p",
            ));
        }
        let pids = args.pids();
        for pid in &pids {
            diagnose::before_attach(*pid)?;
        }
        return options.trace(Target::Attach(pids), plugins, Whose::Ours);
    }
    let mut program = program::find(
        &args.command,
        "put it after the options: pai-host strace [OPTIONS] COMMAND [ARGS]",
    )?;
    for change in &args.env {
        set(&mut program, change)?;
    }
    if let Some(name) = &args.argv0 {
        let name = CString::new(name.as_bytes());
        let name = name.map_err(|_| Halt::failed("--argv0: it holds a NUL byte"))?;
        if let Some(first) = program.argv.first_mut() {
            *first = name;
        }
    }
    if let Some(name) = &args.user {
        program.user = Some(user::find(name)?);
    }
    options.trace(Target::Spawn(program), plugins, Whose::Target)
}

/// Prints the version; nobody reading it is no error.
fn version() -> Result<Exit, Halt> {
    let text = format!(
        "pai-host {} -- options and lines of strace 6.1\n",
        env!("CARGO_PKG_VERSION")
    );
    drop(io::stdout().write_all(text.as_bytes()));
    Err(Halt::Said(Code::SUCCESS))
}

/// Of `--relative-timestamps` and `--syscall-times`.
const UNITS: [&str; 4] = ["s", "ms", "us", "ns"];

/// `-e NAME=VALUE` and the options that are short for it, in the order given: of several
/// for one thing the last counts.
#[derive(Debug)]
struct Expressions(Vec<(String, String)>);

/// Options that are `-e` with this name in front: their values, and what the help says;
/// nothing of those that it does not need to name.
const NAMES: [(&str, &str, &str); 12] = [
    ("trace", "SET", "Only these calls"),
    (
        "decode-pids",
        "SET",
        "What is told of ids: comm (-Y) or none",
    ),
    (
        "inject",
        "EXPR",
        "Tamper with calls: SET[:error=E|:retval=V][:signal=S][:syscall=NAME][:delay_enter=T]\
         [:delay_exit=T][:poke_enter=@argN=HEX,...][:poke_exit=@argN=HEX,...][:when=WHEN]",
    ),
    (
        "fault",
        "EXPR",
        "As --inject=SET:error=ENOSYS: SET[:error=E][:when=WHEN]",
    ),
    ("abbrev", "SET", ""),
    ("verbose", "SET", ""),
    ("raw", "SET", ""),
    ("signal", "SET", ""),
    ("status", "SET", ""),
    ("read", "SET", ""),
    ("write", "SET", ""),
    ("kvm", "SET", ""),
];

fn is_tampering(name: &str) -> bool {
    matches!(name, "inject" | "fault")
}

impl clap::Args for Expressions {
    fn augment_args(command: Command) -> Command {
        let argument = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .hide(help.is_empty())
                .action(ArgAction::Append)
        };
        let expression = argument(
            "expr",
            "EXPR",
            "trace=, abbrev=, verbose=, raw=, signal=, status=, read=, write=, quiet=, decode-fds=, \
             decode-pids=, inject=, fault=",
        );
        let others = NAMES.map(|(name, value, help)| argument(name, value, help));
        let command = command.arg(expression.short('e')).args(others);
        command.mut_arg("signal", |signal| signal.alias("signals"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Expressions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for option in ["expr"].into_iter().chain(NAMES.map(|(name, ..)| name)) {
            let places = matches.indices_of(option).into_iter().flatten();
            let values = matches.get_many::<String>(option).into_iter().flatten();
            for (place, value) in places.zip(values) {
                let (name, value) = match (option, value.split_once('=')) {
                    ("expr", Some((name, value))) => (name, value),
                    ("expr", None) => ("trace", value.as_str()),
                    _ => (option, value.as_str()),
                };
                found.push((place, (name.to_owned(), value.to_owned())));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        Ok(Self(found.into_iter().map(|(_, pair)| pair).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Whether nothing is to be told of attached processes, by `-q` or a set of that.
fn is_of_attach(set: &str) -> bool {
    set.is_empty() || set.split(',').any(|item| matches!(item, "all" | "attach"))
}

/// Changes the environment of a command.
fn set(program: &mut Program, change: &OsStr) -> Result<(), Halt> {
    let change = change.as_bytes();
    let name = change.split(|byte| *byte == b'=').next().unwrap_or(change);
    let is_named = |entry: &CString| {
        let entry = entry.as_bytes();
        entry.starts_with(name) && entry.get(name.len()) == Some(&b'=')
    };
    program.env.retain(|entry| !is_named(entry));
    if name.len() < change.len() {
        let entry = CString::new(change).map_err(|_| Halt::failed("-E: it holds a NUL byte"))?;
        program.env.push(entry);
    }
    Ok(())
}
