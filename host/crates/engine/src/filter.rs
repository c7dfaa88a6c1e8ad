//! Calls of a spawned target that nobody wants run without a stop: a filter in the
//! kernel (seccomp(2)) says which of them stop.
//!
//! Without it a task has to stop at both ends of every call as soon as one client wants
//! one call. With it, it runs with PTRACE_CONT:
//!
//! ```text
//! call that is wanted:   PTRACE_EVENT_SECCOMP (its entry) -> CONT
//!      with its result:  PTRACE_EVENT_SECCOMP -> SYSCALL -> exit-stop -> CONT
//! any other call:        no stop
//! ```
//!
//! The filter is made when all clients are ready, from all that they want by then, and
//! installed by the child before its execve: it cannot be changed or taken off. So
//!
//! * where clients come to want more, tasks stop at all calls again ("syscall-stops"; at
//!   a call in the filter the entry-stop comes first, and the seccomp-stop after it says
//!   nothing new);
//! * so they do in a process that gets a filter of its own, as the kernel obeys the
//!   strictest: a call that is refused by that one would not stop for ours;
//! * what has the filter is never let go. Without a tracer its calls would fail with
//!   ENOSYS. It ends with us, and there is no filter where something may have to be let
//!   go: without following, with [`Engine::set_detach_on_exec`].

use pai_ptrace::{
    Filter, Options, Pid, Resume, Signal, Stopped, SyscallInfo, SyscallOp, Test, Tid, Verdict,
    Verdicts, kill, tgkill,
};
use pai_syscalls::abi::{I386, X86_64};

use crate::attach::Follow;
use crate::births::{CLONE_UNTRACED, X32_BIT};
use crate::dispatch::is_exit;
use crate::engine::{Diagnostic, Engine};
use crate::error::{Fatal, set_regs, unless_gone};
use crate::event::SyscallId;
use crate::inject::Saved;
use crate::procfs::{self, Restrictions};
use crate::restart::is_restart_syscall;
use crate::single::Here;
use crate::subscription::{SLOTS, Table};
use crate::task::{After, InSyscall, Task};
use crate::untraced::Flags;

/// prctl(2) with this installs a filter (linux/prctl.h).
const PR_SET_SECCOMP: u32 = 22;
/// As a result (asm-generic/errno.h).
const ENOSYS: i64 = -38;
/// Calls from the vsyscall page do not stop at their exit, and must go on from where
/// they are (emulate_vsyscall in arch/x86/entry/vsyscall/vsyscall_64.c).
const VSYSCALL: std::ops::Range<u64> = 0xffff_ffff_ff60_0000..0xffff_ffff_ff60_1000;

/// Which calls stop, as far as they stop for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStops {
    /// None, or all, and why.
    All(&'static str),
    /// Those that clients want. Whether the targets cannot gain rights meanwhile, by
    /// set-user-id programs and the like (PR_SET_NO_NEW_PRIVS in prctl(2)): without
    /// CAP_SYS_ADMIN there is no other way.
    Wanted {
        /// They cannot.
        no_new_privs: bool,
        /// There was no time when more were wanted.
        always: bool,
    },
}

impl std::fmt::Display for CallStops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(why) => write!(f, "not filtered: {why}"),
            Self::Wanted {
                no_new_privs,
                always,
            } => {
                f.write_str("filtered")?;
                if !always {
                    f.write_str(", but not while more were wanted")?;
                }
                if *no_new_privs {
                    f.write_str(", and no program gains rights (no_new_privs)")?;
                }
                Ok(())
            }
        }
    }
}

/// How calls are filtered.
#[derive(Debug)]
pub(crate) enum Filtering {
    /// Not, and why.
    Off(&'static str),
    /// Not decided yet.
    Allowed,
    /// They are.
    On(Installed),
}

/// The filter that all processes have.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Calls that stop, and those of numbers without a slot.
    stops: [Vec<bool>; 2],
    rest: bool,
    /// What holds for us: so many filters are not the targets' own.
    before: Restrictions,
    /// The child has executed its program with it.
    confirmed: bool,
    /// All that is wanted now stops.
    covers: bool,
    /// So it was all the time.
    always: bool,
    /// The child lost the right to gain rights for it.
    no_new_privs: bool,
}

const NO_CALL: &str = "no call is wanted";
const MORE_LATER: &str = "more were wanted later";

const ABIS: [u32; 2] = [X86_64, I386];

/// The engine itself wants to see these.
fn own_verdict(call: SyscallId) -> Verdict {
    // It may continue a call that is wanted; x32 is a different table of calls.
    if is_restart_syscall(call) || call.abi == X86_64 && call.nr >= X32_BIT {
        return Verdict::Stop;
    }
    match Flags::of(call) {
        Some(Flags::InRegister) => Verdict::StopIf(0, Test::HasAny(CLONE_UNTRACED as u32)),
        Some(Flags::InMemory) => Verdict::Stop,
        None => installs_filter(call),
    }
}

/// When a call may install a filter, if it succeeds.
fn installs_filter(call: SyscallId) -> Verdict {
    match (call.abi, call.nr) {
        // seccomp
        (X86_64, 317) | (I386, 354) => Verdict::Stop,
        // prctl
        (X86_64, 157) | (I386, 172) => Verdict::StopIf(0, Test::Equals(PR_SET_SECCOMP)),
        _ => Verdict::Pass,
    }
}

impl InSyscall {
    fn installs_filter(&self) -> bool {
        installs_filter(self.call).stops(&self.args)
    }
}

impl Installed {
    fn new(table: &Table, before: Restrictions) -> Self {
        let wanted = |abi| {
            let of = |nr| table.wants(SyscallId { abi, nr });
            (0..SLOTS as u32).map(of).collect()
        };
        Self {
            stops: ABIS.map(wanted),
            rest: table.wants_rest(),
            before,
            confirmed: false,
            covers: true,
            always: true,
            no_new_privs: false,
        }
    }

    fn verdicts(&self) -> Vec<Verdicts> {
        let verdicts = |(abi, stops): (u32, &Vec<bool>)| {
            let last = [(SLOTS as u32, self.rest), (X32_BIT, self.rest)];
            let all = (0..).zip(stops.iter().copied()).chain(last);
            let mut ranges: Vec<(u32, Verdict)> = Vec::new();
            for (nr, stops) in all {
                let verdict = match stops {
                    true => Verdict::Stop,
                    false => own_verdict(SyscallId { abi, nr }),
                };
                if ranges.last().is_none_or(|(_, last)| *last != verdict) {
                    ranges.push((nr, verdict));
                }
            }
            Verdicts { arch: abi, ranges }
        };
        ABIS.into_iter().zip(&self.stops).map(verdicts).collect()
    }

    /// Whether all calls that are wanted are among those that stop.
    fn covers(&self, table: &Table) -> bool {
        let misses = |(abi, stops): (u32, &Vec<bool>)| {
            let mut numbers = (0..).zip(stops);
            numbers.any(|(nr, stops)| !stops && table.wants(SyscallId { abi, nr }))
        };
        !ABIS.into_iter().zip(&self.stops).any(misses) && (self.rest || !table.wants_rest())
    }
}

/// A filter says that a task stops. Which call it is, if that is not known yet: it goes on
/// as from an entry-stop.
pub(crate) fn on_filter(stopped: &Stopped, at_entry: bool) -> Here<SyscallInfo> {
    let Some(info) = unless_gone(stopped.syscall_info())? else {
        return Ok(None);
    };
    let SyscallOp::Seccomp { data, .. } = info.op else {
        return Ok(None);
    };
    if !Filter::is_own(data) {
        // One of the target's own; without a tracer, so it would be without us.
        if let Some(mut regs) = unless_gone(stopped.regs())? {
            regs.set_syscall_nr(-1);
            regs.set_result(ENOSYS);
            unless_gone(set_regs(stopped, &regs))?;
        }
    }
    Ok(Some(info).filter(|info| !at_entry && !VSYSCALL.contains(&info.ip)))
}

impl Task {
    /// It goes on so that calls may be made unseen.
    pub(crate) fn runs_unseen(&mut self) {
        self.chosen = None;
        // It is in no other.
        self.syscall.take_if(|call| !is_exit(call.call));
    }
}

impl Engine {
    /// Calls that nobody wants stop, too, where others are wanted: what this costs buys
    /// that targets can be let go.
    pub fn set_unfiltered(&mut self) {
        self.filtering = Filtering::Off("not wanted");
    }

    /// Which calls stop.
    pub fn call_stops(&self) -> CallStops {
        match &self.filtering {
            Filtering::Off(why) => CallStops::All(why),
            Filtering::Allowed => CallStops::All("the target was not started"),
            Filtering::On(installed) if !installed.covers => CallStops::All(MORE_LATER),
            Filtering::On(installed) => CallStops::Wanted {
                no_new_privs: installed.no_new_privs,
                always: installed.always,
            },
        }
    }

    /// The filter for the child that is about to execute its program.
    pub(crate) fn make_filter(&mut self) -> Option<Filter> {
        if !matches!(self.filtering, Filtering::Allowed) {
            return None;
        }
        match self.new_filter() {
            Ok((installed, filter)) => {
                self.filtering = Filtering::On(installed);
                self.options |= Options::SECCOMP;
                Some(filter)
            }
            Err(why) => {
                self.filtering = Filtering::Off(why);
                None
            }
        }
    }

    fn new_filter(&self) -> Result<(Installed, Filter), &'static str> {
        if !self.table.any_syscall {
            return Err(NO_CALL);
        }
        if self.table.wants_all() {
            return Err("all calls are wanted");
        }
        if self.follow == Follow::No || self.detach_on_exec {
            return Err("processes are let go");
        }
        if !Filter::is_supported() {
            return Err("the kernel has no filters");
        }
        let before = procfs::restrictions(pai_ptrace::own_tid());
        let before = before.ok_or("the kernel does not tell of filters")?;
        if before.traces_all() && !before.is_admin() && !before.no_new_privs {
            return Err("programs would gain no rights (no_new_privs)");
        }
        let installed = Installed::new(&self.table, before);
        let filter = Filter::new(&installed.verdicts());
        let filter = filter.ok_or("too many calls are wanted")?;
        Ok((installed, filter))
    }

    /// The child has executed its program: does it have the filter?
    pub(crate) fn confirm_filter(&mut self, tid: Tid) {
        if let Filtering::On(installed) = &mut self.filtering
            && !installed.confirmed
        {
            let before = installed.before;
            let now = procfs::restrictions(tid).filter(|now| now.filters > before.filters);
            installed.confirmed = now.is_some();
            installed.no_new_privs =
                now.is_some_and(|now| now.no_new_privs) && !before.no_new_privs;
            if !installed.confirmed {
                self.filtering = Filtering::Off("the kernel did not take it");
                self.options.remove(Options::SECCOMP);
            }
        }
    }

    /// Whether the targets may be let go now: they can do without us, or are to end.
    pub(crate) fn may_let_go(&self) -> bool {
        !self.is_filtered() || self.over.is_some()
    }

    /// Whether the targets cannot do without us.
    pub(crate) fn is_filtered(&self) -> bool {
        matches!(self.filtering, Filtering::On(_))
    }

    /// Wishes have changed. Whether tasks have to be stopped, as they would miss calls.
    pub(crate) fn filter_falls_short(&mut self) -> bool {
        match &mut self.filtering {
            Filtering::Off(why) if *why == NO_CALL && self.table.any_syscall => *why = MORE_LATER,
            Filtering::On(installed) => {
                let before = installed.covers;
                installed.covers = installed.covers(&self.table);
                installed.always &= installed.covers;
                return before && !installed.covers;
            }
            Filtering::Off(_) | Filtering::Allowed => {}
        }
        false
    }

    /// How to resume a task so that it stops where it has to.
    pub(crate) fn to_next_call(&self, task: &Task) -> Resume {
        let all = match &self.filtering {
            Filtering::On(Installed { covers: true, .. }) => self.has_own_filter(task.pid),
            _ => true,
        };
        match all && self.table.any_syscall || self.wants_exit(task) {
            true => Resume::Syscall,
            false => Resume::Cont,
        }
    }

    /// Whether the exit of the call that the task is in is wanted.
    fn wants_exit(&self, task: &Task) -> bool {
        if task.rewritten.is_some() {
            return true;
        }
        let Some(call) = task.syscall.as_ref().filter(|_| self.is_filtered()) else {
            return false;
        };
        self.table.wants_exit(call) || call.installs_filter()
    }

    fn has_own_filter(&self, pid: Pid) -> bool {
        let process = self.processes.get(&pid);
        process.is_some_and(|process| process.own_filter)
    }

    /// The process has calls of its own refused, or may have: ours is not all that
    /// decides.
    pub(crate) fn is_refused_calls(&self, tid: Tid) -> bool {
        match &self.filtering {
            Filtering::On(installed) => procfs::restrictions(tid)
                .is_some_and(|now| now.filters > installed.before.filters + 1),
            _ => procfs::has_filter(tid),
        }
    }

    /// A call that may have installed a filter has returned.
    pub(crate) fn look_for_filter(&mut self, tid: Tid, call: &InSyscall) {
        let pid = self.tasks.get(&tid).map(|task| task.pid);
        if self.is_filtered()
            && call.installs_filter()
            && self.is_refused_calls(tid)
            && let Some(process) = pid.and_then(|pid| self.processes.get_mut(&pid))
            && !std::mem::replace(&mut process.own_filter, true)
        {
            // Perhaps its other threads have it too (SECCOMP_FILTER_FLAG_TSYNC).
            self.interrupt_running();
        }
    }

    /// With a signal that a client sends, a task has to go on from an entry-stop: from a
    /// seccomp-stop it would not get it (`ptrace_event` in linux/ptrace.h).
    pub(crate) fn at_entry_stop(&mut self, stopped: Stopped, signal: Signal) -> Here<Stopped> {
        let Some(info) = unless_gone(stopped.syscall_info())? else {
            return Ok(Some(stopped));
        };
        if !matches!(info.op, SyscallOp::Seccomp { .. }) {
            return Ok(Some(stopped));
        }
        let tid = stopped.tid();
        let Some(entry) = unless_gone(stopped.regs())? else {
            return Ok(Some(stopped));
        };
        if info.arch != X86_64 {
            // Nothing of ours can be made to run there: as from kill(2).
            if let Some(task) = self.tasks.get(&tid) {
                unless_gone(tgkill(task.pid, tid, signal.get()))?;
            }
            return Ok(Some(stopped));
        }
        let mut skipped = entry;
        skipped.set_syscall_nr(-1);
        if unless_gone(set_regs(&stopped, &skipped))?.is_none() {
            return Ok(Some(stopped));
        }
        let mut saved = Saved::nothing();
        let Some(stopped) = self.run_to_exit(stopped, &mut saved)? else {
            return Ok(None);
        };
        let Some(stopped) = self.enter_again(stopped, &entry, &mut saved)? else {
            return Ok(None);
        };
        unless_gone(self.owe_group_stop(&stopped, &saved))?;
        Ok(Some(stopped))
    }

    /// From a stop that says nothing new, as from the one before.
    pub(crate) fn resume_again(&mut self, stopped: Stopped) -> Result<(), Fatal> {
        let Some(task) = self.tasks.get(&stopped.tid()) else {
            return Ok(());
        };
        // This stop may have taken the place of one that a new wish has asked for.
        let how = match (task.resumed, self.to_next_call(task)) {
            (Resume::Cont, Resume::Syscall) if task.operation.is_none() => Resume::Syscall,
            (before, _) => before,
        };
        self.resume_as(stopped, After::Resume, how)
    }

    /// What has the filter ends with us.
    pub(crate) fn end_filtered(&mut self) {
        for pid in self.processes.keys().copied().collect::<Vec<Pid>>() {
            self.end_if_filtered(pid);
        }
    }

    /// The same for one.
    pub(crate) fn end_if_filtered(&mut self, pid: Pid) {
        if !self.is_filtered() {
            return;
        }
        match kill(pid, Signal::KILL) {
            Ok(()) => self.diagnostics.push_back(Diagnostic::Killed(pid)),
            Err(error) => tracing::debug!(target: "pai::engine", %pid, %error, "gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::{ClientId, Subscriptions, SyscallFilter, SyscallSet, Topic};

    const UNRESTRICTED: Restrictions = Restrictions {
        filters: 0,
        no_new_privs: false,
        capabilities: 0,
    };

    fn call(abi: u32, nr: u32) -> SyscallId {
        SyscallId { abi, nr }
    }

    fn table(which: SyscallSet) -> Table {
        let topic = Topic::Syscalls(SyscallFilter::new(which, true, false));
        let wishes = Subscriptions::from([(1, topic)]);
        let mut table = Table::new();
        table.rebuild([(ClientId(0), &wishes)].into_iter());
        table
    }

    /// What stops is what is wanted, and what the engine needs, for every number.
    #[test]
    fn the_filter_is_what_is_wanted() {
        let openat = [call(X86_64, 257), call(I386, 295)];
        for which in [
            SyscallSet::Only(Vec::new()),
            SyscallSet::Only(openat.to_vec()),
            // 0 and the last of the slots; two without a slot.
            SyscallSet::Only(vec![call(X86_64, 0), call(I386, SLOTS as u32 - 1)]),
            SyscallSet::Only(vec![call(X86_64, SLOTS as u32)]),
            SyscallSet::Only(vec![call(I386, u32::MAX)]),
            SyscallSet::Except(openat.to_vec()),
        ] {
            let table = table(which.clone());
            let installed = Installed::new(&table, UNRESTRICTED);
            assert!(installed.covers(&table));
            for (abi, verdicts) in ABIS.into_iter().zip(installed.verdicts()) {
                assert_eq!(verdicts.arch, abi);
                let edges = [SLOTS as u32, X32_BIT, u32::MAX];
                let edges = edges
                    .into_iter()
                    .flat_map(|nr| [nr - 1, nr, nr.saturating_add(1)]);
                for nr in (0..SLOTS as u32).chain(edges) {
                    let call = call(abi, nr);
                    let wanted = match table.wants(call) {
                        true => Verdict::Stop,
                        false => own_verdict(call),
                    };
                    assert_eq!(verdicts.of(nr), wanted, "{which:?} {call:?}");
                }
            }
            assert!(Filter::new(&installed.verdicts()).is_some());
        }
    }

    #[test]
    fn later_wishes_are_covered_or_not() {
        let call = |nr| SyscallSet::Only(vec![call(X86_64, nr)]);
        let installed = Installed::new(&table(call(1)), UNRESTRICTED);
        assert!(installed.covers(&table(SyscallSet::Only(Vec::new()))));
        for more in [call(2), call(SLOTS as u32), SyscallSet::All] {
            assert!(!installed.covers(&table(more)));
        }
    }
}
