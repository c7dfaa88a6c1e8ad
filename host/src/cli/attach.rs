//! `pai-host attach`

use std::ffi::OsString;
use std::fs;

use pai_engine::procfs;
use pai_host::session::Target;
use pai_ptrace::Pid;

use super::message::{Halt, cause};
use super::pids::Pids;
use super::plugin_options::{self, Place};
use super::trace;
use crate::diagnose;
use crate::exit::{self, Exit, Whose};

const EXAMPLES: &str = "\
Examples:
  pai-host attach -p 1234 strace
  pai-host attach -p 1234,1240 -o calls.txt strace --trace=openat
  pai-host attach --name nginx count
  pai-host attach -p $$ -t strace -t exits";

/// Trace processes that run already
///
/// All threads are traced, and processes that they start. Ctrl-C ends the trace;
/// the processes run on.
///
/// Do not end it by SIGKILL: breakpoints of plugins stay behind then, and a process
/// that comes to one dies of SIGTRAP.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "pai-host attach [HOST OPTIONS] -p PID[,PID]... PLUGIN [PLUGIN OPTIONS]\n       \
                      pai-host attach [HOST OPTIONS] --name NAME PLUGIN [PLUGIN OPTIONS]",
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
    group = clap::ArgGroup::new("who").required(true).args(["pids", "name"]),
)]
pub(crate) struct Args {
    /// Processes to trace
    #[arg(
        short = 'p',
        long = "pid",
        value_name = "PID",
        value_parser = Pids::parse,
        help_heading = "Target"
    )]
    pids: Vec<Pids>,

    /// Trace the one process with this name, or this executable
    #[arg(long, help_heading = "Target")]
    name: Option<String>,

    #[command(flatten)]
    options: trace::Options,

    /// The plugin: the name of a bundled one or the path of a .wasm file; its
    /// options
    #[arg(value_name = "PLUGIN ...", trailing_var_arg = true, hide = true)]
    pub(crate) words: Vec<OsString>,
}

/// Attaches and traces.
///
/// # Errors
/// When anything is wrong before, or the session fails.
pub(crate) fn run(args: &Args, color: clap::ColorChoice) -> Result<Exit, Halt> {
    let plugins = if args.options.plugins.is_empty() {
        let (plugin, _) = plugin_options::select(&args.words, Place::Attach, color)?;
        vec![plugin]
    } else {
        if let Some(word) = args.words.first() {
            return Err(Halt::failed(format!(
                "unexpected word {:?} after the options",
                word.display().to_string()
            ))
            .help("with -t, all plugins are given with -t"));
        }
        args.options.quoted_plugins(color)?
    };
    let pids = match &args.name {
        Some(name) => vec![find(name)?],
        None => {
            let mut pids: Vec<Pid> = Vec::new();
            for pid in Pids::all(&args.pids) {
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
            pids
        }
    };
    for pid in &pids {
        diagnose::before_attach(*pid)?;
    }
    args.options
        .trace(Target::Attach(pids), plugins, Whose::Ours)
}

/// The one process of this name.
fn find(name: &str) -> Result<Pid, Halt> {
    let ours = std::process::id().cast_signed();
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .map_err(|error| Halt::failed(format!("cannot read /proc: {}", cause(&error))))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != ours && is_named(Pid::new(*pid), name))
        .collect();
    pids.sort_unstable();
    match pids[..] {
        [] => Err(Halt::failed(format!("no process is named {name:?}"))
            .help("it must be the whole name, as in /proc/PID/comm; `ps -e` shows them")),
        [pid] => Ok(Pid::new(pid)),
        _ => {
            let list: Vec<String> = pids.iter().map(i32::to_string).collect();
            Err(Halt::failed(format!(
                "{} processes are named {name:?}: {}",
                list.len(),
                list.join(", ")
            ))
            .help(format!(
                "trace one with -p {}, or all with -p {}",
                list[0],
                list.join(",")
            )))
        }
    }
}

/// By its own name or that of its executable. Zombies have neither.
fn is_named(pid: Pid, name: &str) -> bool {
    let task = pid.leader();
    if procfs::has_ended(task) {
        return false;
    }
    if procfs::comm(task).as_deref() == Some(name) {
        return true;
    }
    let exe = procfs::exe(task);
    let exe = exe.strip_suffix(b" (deleted)").unwrap_or(&exe);
    exe.rsplit(|b| *b == b'/').next() == Some(name.as_bytes()) && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_have_two_names() {
        let ours = Pid::new(std::process::id().cast_signed());
        let comm = procfs::comm(ours.leader()).unwrap();
        assert!(is_named(ours, &comm));
        let exe = std::env::current_exe().unwrap();
        assert!(is_named(ours, exe.file_name().unwrap().to_str().unwrap()));
        assert!(!is_named(ours, ""));
        assert!(!is_named(ours, "no such process"));
        assert!(find("no such process").is_err());
    }
}
