//! `pai-host doctor`

use std::fmt;

use anstyle::{AnsiColor, Style};
use nix::errno::Errno;
use pai_host::cache;
use pai_ptrace::wait::{self, Block};
use pai_ptrace::{Options, Signal};
use serde::Serialize;
use serde_json::json;

use super::message::{self, Halt};
use crate::diagnose::{self, Host};
use crate::exit::{Code, Exit};

/// Check whether this machine lets pai-host trace
///
/// Exits with 1 when something fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write JSON Lines: one object for each check
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    text: String,
    help: Option<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, color) = match self {
            Verdict::Ok => ("ok", AnsiColor::Green),
            Verdict::Warn => ("warn", AnsiColor::Yellow),
            Verdict::Fail => ("fail", AnsiColor::Red),
        };
        let style = Style::new().fg_color(Some(color.into())).bold();
        write!(f, "{style}{word:<4}{style:#}")
    }
}

impl Check {
    fn new(name: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            name,
            verdict,
            text: text.into(),
            help: None,
        }
    }

    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Verdict::Ok, text)
    }

    fn cause(name: &'static str, verdict: Verdict, cause: diagnose::Cause) -> Self {
        Self {
            name,
            verdict,
            text: cause.why,
            help: cause.help,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Makes and prints the checks.
///
/// # Errors
/// When they cannot be printed.
pub(crate) fn run(args: &Args) -> Result<Exit, Halt> {
    let host = Host::now();
    let checks = [
        kernel(),
        child(&host),
        attach(&host),
        others(&host),
        container(&host),
        cache(),
    ];
    let mut text = String::new();
    for check in &checks {
        if args.json {
            let object = json!({
                "v": 1,
                "check": check.name,
                "status": check.verdict,
                "text": check.text,
                "help": check.help,
            });
            text.push_str(&format!("{object}\n"));
        } else {
            let (shown, name) = (message::escape(&check.text), check.name);
            text.push_str(&format!("{}  {name:<9}  {shown}\n", check.verdict));
            if let Some(help) = &check.help {
                text.push_str(&format!(
                    "                 help: {}\n",
                    message::escape(help)
                ));
            }
        }
    }
    message::styled_stdout(&text)?;
    let fails = checks.iter().any(|check| check.verdict == Verdict::Fail);
    Ok(Exit::Code(if fails { Code::UNFIT } else { Code::SUCCESS }))
}

/// PTRACE_GET_SYSCALL_INFO came with Linux 5.3 (ptrace(2)).
fn kernel() -> Check {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    match version(release) {
        Some(version) if version < (5, 3) => Check::new(
            "kernel",
            Verdict::Fail,
            format!("Linux {release} is too old"),
        )
        .help("use Linux 5.3 or newer"),
        Some(_) => Check::ok("kernel", format!("Linux {release}")),
        None => Check::new(
            "kernel",
            Verdict::Warn,
            format!("the kernel's version is not known ({release:?})"),
        ),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Not a look at settings: a child is traced.
fn child(host: &Host) -> Check {
    match trace_a_child() {
        Ok(()) => Check::ok("trace", "commands can be traced"),
        Err(error) => {
            let cause = match Errno::from_raw(error.errno()) {
                Errno::EPERM | Errno::ENOSYS => diagnose::no_tracing(host),
                _ => {
                    return Check::new("trace", Verdict::Fail, error.to_string())
                        .help("this kernel or sandbox does not offer all of ptrace");
                }
            };
            Check::cause("trace", Verdict::Fail, cause)
        }
    }
}

fn trace_a_child() -> Result<(), pai_ptrace::Error> {
    // It is never executed: the child ends in its first stop.
    let program = pai_ptrace::Program {
        path: c"/proc/self/exe".to_owned(),
        argv: vec![c"pai-host".to_owned()],
        env: Vec::new(),
        cwd: None,
        stdio: [None, None, None],
        user: None,
    };
    let spawned = pai_ptrace::spawn(&program, Options::EXITKILL)?;
    let (stopped, gate) = spawned.into_parts();
    let tid = stopped.tid();
    let result = stopped.syscall_info().and(stopped.regs()).map(drop);
    pai_ptrace::kill(tid.as_pid(), Signal::KILL)?;
    drop((stopped, gate));
    wait::one(tid, Block::Yes)?;
    result
}

fn attach(host: &Host) -> Check {
    match host.yama {
        Some(scope @ 3..) => Check::cause("attach", Verdict::Fail, diagnose::yama(scope, "it")),
        Some(scope @ 1..) if !host.sys_ptrace => Check::cause(
            "attach",
            Verdict::Warn,
            diagnose::yama(scope, "the program"),
        ),
        Some(scope) => Check::ok(
            "attach",
            format!("running processes can be traced (kernel.yama.ptrace_scope is {scope})"),
        ),
        None => Check::ok("attach", "running processes can be traced (no Yama)"),
    }
}

fn others(host: &Host) -> Check {
    if host.sys_ptrace {
        Check::ok(
            "users",
            "processes of all users can be traced (CAP_SYS_PTRACE)",
        )
    } else if host.euid == 0 {
        Check::cause("users", Verdict::Warn, diagnose::no_capability(host))
    } else {
        Check::ok(
            "users",
            "only your own processes can be traced; others with sudo",
        )
    }
}

fn container(host: &Host) -> Check {
    let mut notes = Vec::new();
    if let Some(kind) = host.container {
        notes.push(format!("in a {kind} container"));
    }
    if host.seccomp {
        notes.push("under a seccomp filter".to_owned());
    }
    if host.no_new_privs {
        notes.push("no_new_privs is set: sudo and set-user-id programs get no rights".to_owned());
    }
    if notes.is_empty() {
        Check::ok("sandbox", "none around pai-host")
    } else {
        Check::ok("sandbox", notes.join("; "))
    }
}

/// Without it everything works, and starts slowly.
fn cache() -> Check {
    let usable = cache::folder().and_then(|folder| match tempfile::tempfile_in(&folder) {
        Ok(_) => Ok(folder),
        Err(error) => Err(format!("{}: {}", folder.display(), message::cause(&error))),
    });
    match usable {
        Ok(folder) => Check::ok(
            "cache",
            format!("compiled plugins are kept in {}", folder.display()),
        ),
        Err(why) => Check::new(
            "cache",
            Verdict::Warn,
            format!("plugins are compiled at each start: {why}"),
        )
        .help("set PAI_CACHE_DIR to a folder that is yours alone (mode 0700)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("5.3-rc1"), Some((5, 3)));
        assert_eq!(version("4.19"), Some((4, 19)));
        assert_eq!(version("x"), None);
        assert_eq!(version("6"), None);
    }

    #[test]
    fn children_can_be_traced_here() {
        trace_a_child().unwrap();
    }
}
