//! What /proc tells about a process and about ourselves (proc(5)).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User, getegid, geteuid};
use pai_engine::procfs;
use pai_ptrace::{Pid, Tid};

/// A process that was to be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The process that traces it, and its name.
    pub(crate) tracer: Option<(Pid, String)>,
    /// It has ended.
    pub(crate) zombie: bool,
    /// It has no user space.
    pub(crate) kernel_thread: bool,
    /// Its parent.
    pub(crate) parent: Pid,
    /// Real, effective, saved and file system user.
    pub(crate) uids: Vec<u32>,
    /// The same for groups.
    pub(crate) gids: Vec<u32>,
    /// See PR_SET_DUMPABLE(2const).
    pub(crate) dumpable: bool,
}

impl Facts {
    /// Of this task, if it is there.
    pub(crate) fn of(pid: Pid, tid: Tid) -> Option<Self> {
        let uids = ids(tid, "Uid")?;
        // Files of a process that is not dumpable belong to root; the folder
        // itself never does.
        let owner = fs::metadata(format!("/proc/{pid}/status")).ok()?.uid();
        Some(Self {
            tracer: tracer(tid),
            zombie: procfs::status_field(tid, "State")
                .is_some_and(|state| state.starts_with(['Z', 'X'])),
            kernel_thread: is_kernel_thread(pid),
            parent: procfs::status_id(tid, "PPid").unwrap_or(Pid::new(0)),
            dumpable: uids.get(1).is_none_or(|euid| *euid == owner),
            gids: ids(tid, "Gid")?,
            uids,
        })
    }
}

fn ids(tid: Tid, name: &str) -> Option<Vec<u32>> {
    let field = procfs::status_field(tid, name)?;
    field.split_whitespace().map(|id| id.parse().ok()).collect()
}

fn tracer(tid: Tid) -> Option<(Pid, String)> {
    // A thread's id; 0 also for a tracer in another pid namespace.
    let thread = procfs::status_id(tid, "TracerPid").filter(|pid| pid.get() != 0)?;
    let process = procfs::status_id(thread.leader(), "Tgid").unwrap_or(thread);
    let name = procfs::comm(process.leader()).unwrap_or_default();
    Some((process, name))
}

fn is_kernel_thread(pid: Pid) -> bool {
    // PF_KTHREAD in the kernel's linux/sched.h; the 9th field of stat. The
    // second may hold spaces and parentheses.
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .and_then(|fields| fields.split(' ').nth(6)?.parse::<u64>().ok())
        .is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// What this process may do, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// The process that traces this one, and its name.
    pub(crate) tracer: Option<(Pid, String)>,
    /// Effective user.
    pub(crate) euid: u32,
    /// Effective group.
    pub(crate) egid: u32,
    /// CAP_SYS_PTRACE is in effect.
    pub(crate) sys_ptrace: bool,
    /// kernel.yama.ptrace_scope, where there is Yama.
    pub(crate) yama: Option<u8>,
    /// A seccomp filter is installed.
    pub(crate) seccomp: bool,
    /// Executing a file gives no rights.
    pub(crate) no_new_privs: bool,
    /// The kind of container, as far as it shows.
    pub(crate) container: Option<&'static str>,
}

impl Host {
    /// As it is now.
    pub(crate) fn now() -> Self {
        // The number in linux/capability.h.
        const SYS_PTRACE: u32 = 19;
        let ours = Pid::new(std::process::id().cast_signed()).leader();
        let field = |name| procfs::status_field(ours, name);
        let effective = field("CapEff").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
        Self {
            tracer: tracer(ours),
            euid: geteuid().as_raw(),
            egid: getegid().as_raw(),
            sys_ptrace: effective.is_some_and(|set| set & 1 << SYS_PTRACE != 0),
            yama: fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope")
                .ok()
                .and_then(|value| value.trim().parse().ok()),
            seccomp: field("Seccomp").is_some_and(|mode| mode != "0"),
            no_new_privs: field("NoNewPrivs").is_some_and(|set| set == "1"),
            container: container(),
        }
    }
}

/// Only hints: a container need not say that it is one.
fn container() -> Option<&'static str> {
    if Path::new("/.dockerenv").exists() {
        return Some("Docker");
    }
    if Path::new("/run/.containerenv").exists() {
        return Some("Podman");
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("Kubernetes");
    }
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    [
        ("kubepods", "Kubernetes"),
        ("docker", "Docker"),
        ("libpod", "Podman"),
        ("lxc", "LXC"),
    ]
    .into_iter()
    .find(|(part, _)| groups.contains(part))
    .map(|(_, kind)| kind)
    .or_else(|| {
        Path::new("/run/systemd/container")
            .exists()
            .then_some("systemd-nspawn or similar")
    })
}

/// A user as people know it.
pub(crate) fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("{} (uid {uid})", user.name),
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_about_ourselves() {
        let pid = Pid::new(std::process::id().cast_signed());
        let facts = Facts::of(pid, pid.leader()).unwrap();
        assert_eq!(facts.uids.len(), 4);
        assert_eq!(facts.uids[1], Host::now().euid);
        assert!(!facts.zombie && !facts.kernel_thread && facts.dumpable);
        assert_eq!(Facts::of(Pid::new(i32::MAX), Tid::new(i32::MAX)), None);
    }

    #[test]
    fn kernel_threads_are_recognised() {
        // kthreadd, where the pid namespace shows it.
        let two = Pid::new(2);
        if procfs::comm(two.leader()).as_deref() == Some("kthreadd") {
            assert!(is_kernel_thread(two));
        }
    }

    #[test]
    fn users_have_names() {
        assert!(user(0).ends_with("(uid 0)"));
        assert_eq!(user(u32::MAX - 7), format!("uid {}", u32::MAX - 7));
    }
}
