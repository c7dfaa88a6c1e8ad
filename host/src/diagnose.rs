//! Why the kernel refuses to let us trace: what, why, and what to run.
//!
//! PTRACE_SEIZE says only EPERM (ptrace(2), "Ptrace access mode checking"). The
//! cause is looked up afterwards, in an order in which the first one that
//! applies is the one to do something about.

mod facts;

use nix::errno::Errno;
use pai_engine::procfs;
use pai_ptrace::{Pid, Tid};

use crate::cli::Halt;
pub(crate) use facts::{Facts, Host};

/// A cause, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// One clause.
    pub(crate) why: String,
    /// One line.
    pub(crate) help: Option<String>,
}

impl Cause {
    fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            help: Some(help.into()),
        }
    }

    fn bare(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            help: None,
        }
    }

    fn halt(self, what: &str) -> Halt {
        let halt = Halt::failed(format!("{what}: {}", self.why));
        match self.help {
            Some(help) => halt.help(help),
            None => halt,
        }
    }
}

/// Refuses what the kernel might allow and nobody can want: a trace of
/// ourselves or of our own tracer would stop for ever.
///
/// # Errors
/// The explanation.
pub(crate) fn before_attach(pid: Pid) -> Result<(), Halt> {
    let cause = ourselves(pid).or_else(|| thread(pid));
    cause.map_or(Ok(()), |cause| Err(cause.halt(&attaching(pid))))
}

/// Explains a PTRACE_SEIZE that failed.
pub(crate) fn attach(pid: Pid, tid: Tid, errno: i32) -> Halt {
    let what = attaching(pid);
    let error = Errno::from_raw(errno);
    let cause = match error {
        Errno::EPERM => match Facts::of(pid, tid) {
            Some(facts) => refused(&facts, &Host::now()),
            None => missing(),
        },
        Errno::ESRCH => missing(),
        _ => Cause::bare(error.desc()),
    };
    cause.halt(&what)
}

/// Explains a process that cannot be found, or has no task to attach to.
pub(crate) fn no_process(pid: Pid) -> Halt {
    let cause = Facts::of(pid, pid.leader())
        .and_then(|facts| dead(&facts))
        .unwrap_or_else(missing);
    cause.halt(&attaching(pid))
}

/// Explains a child that could not be started under trace.
pub(crate) fn spawn(path: &str, error: &pai_ptrace::Error) -> Halt {
    let cause = match Errno::from_raw(error.errno()) {
        Errno::EPERM | Errno::ENOSYS => no_tracing(&Host::now()),
        _ => Cause::bare(error.to_string()),
    };
    cause.halt(&format!("cannot start {path} under trace"))
}

/// Why not even a child of our own can be traced.
pub(crate) fn no_tracing(host: &Host) -> Cause {
    // Whoever traces us and follows is the tracer of our children before we are.
    if let Some((tracer, name)) = &host.tracer {
        return Cause::new(
            format!("process {tracer} ({name}) traces this pai-host, and its children too"),
            "a process can have one tracer: let the outer one not follow (--no-follow)",
        );
    }
    match host.yama {
        Some(scope @ 2..) => yama(scope, "it"),
        _ if host.seccomp => seccomp(host),
        _ => elsewhere(),
    }
}

fn attaching(pid: Pid) -> String {
    match procfs::comm(pid.leader()) {
        Some(name) => format!("cannot attach to process {pid} ({name})"),
        None => format!("cannot attach to process {pid}"),
    }
}

fn missing() -> Cause {
    Cause::new(
        "there is no such process",
        "`ps -e` lists them, and --name finds one by its name",
    )
}

fn ourselves(pid: Pid) -> Option<Cause> {
    let ours = Pid::new(std::process::id().cast_signed());
    let process = procfs::status_id(pid.leader(), "Tgid")?;
    if process == ours {
        return Some(Cause::bare("it is this pai-host itself"));
    }
    // A tracer that we stop cannot let us go on. TracerPid is a thread's id.
    let mut traced = ours.leader();
    for _ in 0..16 {
        let tracer = procfs::status_id(traced, "TracerPid").filter(|tracer| tracer.get() != 0)?;
        if procfs::status_id(tracer.leader(), "Tgid") == Some(process) {
            return Some(Cause::new(
                "it traces this pai-host itself",
                "start pai-host outside of it",
            ));
        }
        traced = tracer.leader();
    }
    None
}

fn thread(pid: Pid) -> Option<Cause> {
    let process = procfs::status_id(pid.leader(), "Tgid")?;
    (process != pid).then(|| {
        Cause::new(
            format!("it is a thread of process {process}"),
            format!("trace the whole process with -p {process}"),
        )
    })
}

/// Nothing can be traced in these, whoever asks.
fn dead(facts: &Facts) -> Option<Cause> {
    if facts.zombie {
        let parent = facts.parent;
        let name = procfs::comm(parent.leader()).unwrap_or_default();
        return Some(Cause::bare(format!(
            "it has ended, and its parent {parent} ({name}) has not collected it yet"
        )));
    }
    facts
        .kernel_thread
        .then(|| Cause::bare("it is a thread of the kernel, which cannot be traced"))
}

/// Why PTRACE_SEIZE was refused.
fn refused(facts: &Facts, host: &Host) -> Cause {
    if let Some((tracer, name)) = &facts.tracer {
        return Cause::new(
            format!("process {tracer} ({name}) traces it already"),
            "a process can have one tracer: end the other trace first",
        );
    }
    if let Some(cause) = dead(facts) {
        return cause;
    }
    // With the capability, users and dumpability do not matter; root without it
    // has other means than sudo.
    if !host.sys_ptrace && host.euid != 0 {
        if facts.uids.iter().any(|uid| *uid != host.euid) {
            let owner = facts::user(facts.uids[0]);
            let us = facts::user(host.euid);
            return Cause::new(
                format!("it belongs to {owner}, and pai-host runs as {us}"),
                "run the same command with sudo",
            );
        }
        if facts.gids.iter().any(|gid| *gid != host.egid) {
            return Cause::new(
                "it runs with the rights of another group",
                "run the same command with sudo",
            );
        }
        if !facts.dumpable {
            return Cause::new(
                "it is protected (not dumpable): it was started with more rights, or asked for it",
                "run the same command with sudo",
            );
        }
    }
    match host.yama {
        Some(3..) => return yama(3, "it"),
        Some(scope @ 1..) if !host.sys_ptrace => return yama(scope, "it"),
        _ => {}
    }
    if host.euid == 0 && !host.sys_ptrace {
        return no_capability(host);
    }
    if host.seccomp {
        return seccomp(host);
    }
    elsewhere()
}

/// What this value of kernel.yama.ptrace_scope forbids (kernel,
/// Documentation/admin-guide/LSM/Yama.rst).
pub(crate) fn yama(scope: u8, what: &str) -> Cause {
    let setting = format!("kernel.yama.ptrace_scope is {scope}");
    match scope {
        1 => Cause::new(
            format!("Yama allows only children to be traced ({setting})"),
            format!(
                "allow it with `sudo sysctl kernel.yama.ptrace_scope=0`, or use sudo, or start \
                 {what} with `pai-host run`"
            ),
        ),
        2 => Cause::new(
            format!("Yama allows only administrators to trace ({setting})"),
            "run the same command with sudo, or allow it with \
             `sudo sysctl kernel.yama.ptrace_scope=1`",
        ),
        _ => Cause::new(
            format!("Yama forbids all tracing ({setting})"),
            "it stays so until the next boot: look for the setting in /etc/sysctl.d",
        ),
    }
}

/// Root, and still not allowed to trace.
pub(crate) fn no_capability(host: &Host) -> Cause {
    let why = match host.container {
        Some(kind) => format!("this {kind} container has no CAP_SYS_PTRACE"),
        None => "pai-host runs as root without CAP_SYS_PTRACE".to_owned(),
    };
    Cause::new(
        why,
        "start the container with --cap-add=SYS_PTRACE (docker, podman), or with SYS_PTRACE in \
         securityContext.capabilities.add (Kubernetes)",
    )
}

fn seccomp(host: &Host) -> Cause {
    let mut why = "a seccomp filter of this process may forbid ptrace".to_owned();
    if let Some(kind) = host.container {
        why = format!("the seccomp filter of this {kind} container may forbid ptrace");
    }
    if host.no_new_privs {
        why.push_str(" (no_new_privs is set, so sudo does not help)");
    }
    Cause::new(
        why,
        "start the container with --cap-add=SYS_PTRACE, or with --security-opt seccomp=unconfined",
    )
}

fn elsewhere() -> Cause {
    Cause::new(
        "the kernel does not permit it, and users, Yama, capabilities and seccomp are not why",
        "a security module may: look into `dmesg`; `pai-host doctor` shows what is possible here",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            tracer: None,
            zombie: false,
            kernel_thread: false,
            parent: Pid::new(1),
            uids: vec![1000; 4],
            gids: vec![1000; 4],
            dumpable: true,
        }
    }

    fn host() -> Host {
        Host {
            tracer: None,
            euid: 1000,
            egid: 1000,
            sys_ptrace: false,
            yama: None,
            seccomp: false,
            no_new_privs: false,
            container: None,
        }
    }

    fn why(facts: impl FnOnce(&mut Facts), host_is: impl FnOnce(&mut Host)) -> (String, String) {
        let (mut f, mut h) = (self::facts(), host());
        facts(&mut f);
        host_is(&mut h);
        let cause = refused(&f, &h);
        (cause.why, cause.help.unwrap_or_default())
    }

    #[test]
    fn the_first_cause_that_applies_is_named() {
        let everything = |h: &mut Host| {
            h.yama = Some(1);
            h.seccomp = true;
        };
        let (cause, help) = why(|f| f.tracer = Some((Pid::new(7), "gdb".into())), everything);
        assert_eq!(cause, "process 7 (gdb) traces it already");
        assert!(help.contains("one tracer"));
        assert!(
            why(|f| f.zombie = true, everything)
                .0
                .contains("it has ended")
        );
        assert!(
            why(|f| f.kernel_thread = true, everything)
                .0
                .contains("the kernel")
        );
        let (cause, help) = why(|f| f.uids[1] = 0, everything);
        assert!(cause.starts_with("it belongs to "), "{cause}");
        assert!(help.contains("sudo"));
        assert!(
            why(|f| f.gids[2] = 5, everything)
                .0
                .contains("another group")
        );
        assert!(
            why(|f| f.dumpable = false, everything)
                .0
                .contains("not dumpable")
        );
        let (cause, help) = why(|_| {}, everything);
        assert!(cause.contains("kernel.yama.ptrace_scope is 1"));
        assert!(help.contains("sysctl kernel.yama.ptrace_scope=0"));
        assert!(
            why(|_| {}, |h| h.yama = Some(2))
                .0
                .contains("administrators")
        );
        assert!(why(|_| {}, |h| h.seccomp = true).0.contains("seccomp"));
        assert!(why(|_| {}, |_| {}).1.contains("dmesg"));
    }

    #[test]
    fn root_gets_other_advice() {
        let root = |h: &mut Host| h.euid = 0;
        let (cause, help) = why(|_| {}, root);
        assert!(cause.contains("root without CAP_SYS_PTRACE"), "{cause}");
        assert!(help.contains("--cap-add=SYS_PTRACE"));
        let contained = |h: &mut Host| {
            h.euid = 0;
            h.container = Some("Docker");
        };
        assert!(why(|_| {}, contained).0.contains("this Docker container"));
        let capable = |h: &mut Host| {
            h.sys_ptrace = true;
            h.yama = Some(3);
        };
        assert!(
            why(|f| f.uids[0] = 5, capable)
                .0
                .contains("forbids all tracing")
        );
    }

    #[test]
    fn own_process_and_its_threads_are_refused() {
        let ours = Pid::new(std::process::id().cast_signed());
        assert!(before_attach(ours).is_err());
        // Tests run in threads that are not the leader.
        let thread = pai_ptrace::own_tid().as_pid();
        assert!(before_attach(thread).is_err());
        assert!(before_attach(Pid::new(i32::MAX)).is_ok());
    }

    #[test]
    fn the_dead_are_recognised() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::new(child.id().cast_signed());
        while !Facts::of(pid, pid.leader()).unwrap().zombie {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let Halt::Failed { message, code, .. } = no_process(pid) else {
            panic!("no failure");
        };
        assert_eq!(code, 125);
        assert!(
            message.contains("it has ended, and its parent"),
            "{message}"
        );
        child.wait().unwrap();
        let Halt::Failed { message, .. } = no_process(pid) else {
            panic!("no failure");
        };
        assert!(message.ends_with("there is no such process"), "{message}");
    }
}
