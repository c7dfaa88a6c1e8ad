//! Taking a stopped task to where foreign code can run in it, and back.
//!
//! ```text
//!  stop of any kind -> prepare -> (anything runs) -> restore -> the same stop
//! ```
//!
//! In between the task is in user mode as far as the kernel is concerned: its
//! registers may be set to anything. All signals that can wait are blocked
//! meanwhile, so that the kernel keeps them, with all that came with them and in
//! their order. What the kernel would have done behind the stop is brought back:
//! a signal that was about to be delivered is about to be delivered again, a
//! call that was about to be entered is, and a call that was to restart will.
//!
//! The waits here are for one task that is about to stop, so they are short; a
//! report that is not about this is left to the loop.

use std::time::{Duration, Instant};

use pai_ptrace::wait::{self, Block, Report, Waited, What, was_stolen};
use pai_ptrace::{
    NewTask, Options, Pid, Regs, Resume, Running, SigInfo, Signal, Stop, Stopped, Tid, tgkill,
};

use crate::breakpoint::{Mark, Pass};
use crate::engine::Engine;
use crate::error::{Error, Fatal, unless_gone};
use crate::event::{Event, OtherStop};
use crate::memory::PAGE;
use crate::procfs;
use crate::restart::restarts;
use crate::space::room_near;
use crate::task::{After, Offer, State};

/// All signals but those that the processor raises (SIGILL, SIGTRAP, SIGBUS,
/// SIGFPE, SIGSEGV, SIGSYS), which cannot wait: the kernel takes their handlers
/// away when they are blocked (force_sig_info_to_task in kernel/signal.c).
const CAN_WAIT: u64 = !(1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30);

pub(crate) const NR_MMAP: u32 = 9;
pub(crate) const NR_MUNMAP: u32 = 11;
pub(crate) const NR_MADVISE: u32 = 28;

const PROT_READ_EXEC: u64 = 1 | 4;
const MAP_PRIVATE_ANONYMOUS: u64 = 0x2 | 0x20;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
pub(crate) const MADV_DONTFORK: u64 = 10;

/// How long the task may take before it is looked whether its report was stolen.
const LOOK: Duration = Duration::from_millis(250);

/// Which kind of stop the task was in, by what it takes to get back to it.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// On the way to user mode.
    User,
    /// The same, with a call that may restart.
    Interrupt,
    /// In a group-stop.
    GroupStop,
    /// About to enter a call.
    Entry,
    /// Inside a call, at an event: has to be taken to the exit.
    InCall,
    /// About to deliver a signal.
    Signal(Signal, Box<SigInfo>),
    /// Cannot run anything.
    Nowhere(&'static str),
}

/// What a task had before foreign code ran in it.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub(crate) regs: Regs,
    pub(crate) mask: u64,
    place: Place,
    /// Stop signals that came meanwhile.
    stop_signals: Vec<Signal>,
    /// It took part in a group-stop meanwhile, which has to be told.
    pub(crate) group_stop: bool,
    /// What it had to do with breakpoints.
    trap: (Option<Box<Pass>>, Option<Box<Mark>>),
}

impl Saved {
    /// Whether the task was about to enter a call.
    pub(crate) fn is_of_an_entry(&self) -> bool {
        matches!(self.place, Place::Entry)
    }
}

/// A task that was resumed: stopped, or on its way out, which the loop sees.
pub(crate) type Here<T> = Result<Option<T>, Fatal>;

impl Offer {
    /// Where the task is, by its stop.
    pub(crate) fn place(&self) -> Place {
        match (&self.event, self.after) {
            _ if self.at_exit => Place::User,
            (_, After::Listen(_)) => Place::GroupStop,
            (Event::Signal(stop), _) => Place::Signal(stop.signal, Box::new(stop.info)),
            (Event::SyscallEnter(_), _) => Place::Entry,
            (
                Event::Forked {
                    kind: NewTask::Vfork,
                    ..
                },
                _,
            ) => Place::Nowhere("it waits for its vfork child"),
            (
                Event::Forked { .. }
                | Event::Execed(_)
                | Event::Stop {
                    kind: OtherStop::VforkDone,
                    ..
                },
                _,
            ) => Place::InCall,
            (
                Event::Stop {
                    kind: OtherStop::Exit,
                    ..
                },
                _,
            ) => Place::Nowhere("it is about to end"),
            (Event::SyscallExit(_) | Event::Stop { .. }, _) => Place::Interrupt,
            (Event::TaskStarted { .. } | Event::JobControl { .. }, _) => Place::Interrupt,
            _ => Place::User,
        }
    }
}

impl Engine {
    /// The next stop of a task that was just resumed; `None` when it ends, of
    /// which the loop will be told.
    pub(crate) fn next_stop(&mut self, running: Running) -> Here<(Stopped, Stop)> {
        let next = self.next_report(running)?;
        Ok(next.map(|(stopped, stop, _)| (stopped, stop)))
    }

    /// The same, with the status as the kernel gave it.
    pub(crate) fn next_report(&mut self, running: Running) -> Here<(Stopped, Stop, i32)> {
        let tid = running.tid();
        let pid = self.tasks.get(&tid).map_or(tid.as_pid(), |task| task.pid);
        let mut look_at = Instant::now() + LOOK;
        loop {
            self.alarm.set_deadline(Some(look_at));
            let report = match wait::one(tid, Block::Yes)? {
                Waited::Report(report) => report,
                Waited::Interrupted | Waited::Nothing => {
                    if Instant::now() >= look_at {
                        look_at += LOOK;
                        if was_stolen(&running, pid) {
                            return Err(Fatal::Stolen { tid });
                        }
                    }
                    continue;
                }
                // Another task's exec has made it vanish.
                Waited::NoTasks => {
                    self.dying(tid)?;
                    return Ok(None);
                }
            };
            let Report { status, .. } = report;
            match report.what {
                What::Stopped(stopped, stop) if !matches!(stop, Stop::Exit | Stop::Exec) => {
                    self.stats.stops += 1;
                    return Ok(Some((stopped, stop, status)));
                }
                _ => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.state = State::Dying;
                    }
                    self.queue.push_front(report);
                    return Ok(None);
                }
            }
        }
    }

    /// Stops a task that may be executing code of the target. One that sleeps in
    /// the kernel will stop before it gets back to that.
    pub(crate) fn stop_now(&mut self, tid: Tid) -> Result<(), Fatal> {
        const PAUSE: Duration = Duration::from_millis(2);
        if self.queue.iter().any(|report| report.tid == tid) {
            return Ok(());
        }
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let State::Running(running) = &task.state else {
            return Ok(());
        };
        if unless_gone(running.interrupt())?.is_none() {
            return Ok(());
        }
        task.interrupting = true;
        loop {
            self.alarm.set_deadline(Some(Instant::now() + PAUSE));
            match wait::one(tid, Block::Yes)? {
                Waited::Report(report) => {
                    self.running = self.running.saturating_sub(1);
                    self.queue.push_back(report);
                    return Ok(());
                }
                Waited::NoTasks => return Ok(()),
                Waited::Interrupted | Waited::Nothing => {
                    if !procfs::is_on_cpu(tid) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Gives the loop a stop that was taken out of turn.
    pub(crate) fn serve_later(&mut self, stopped: Stopped, stop: Stop, status: i32) {
        let tid = stopped.tid();
        self.queue.push_front(Report {
            tid,
            status,
            what: What::Stopped(stopped, stop),
        });
    }

    /// Resumes a stopped task and waits for its next stop that is no business
    /// of the kernel's with signals and group-stops.
    fn run_to_stop(
        &mut self,
        stopped: Stopped,
        how: Resume,
        signal: Option<Signal>,
        saved: &mut Saved,
    ) -> Here<(Stopped, Stop)> {
        let tid = stopped.tid();
        let mut resumed = stopped.resume(how, signal);
        loop {
            let Some(running) = unless_gone(resumed)? else {
                self.dying(tid)?;
                return Ok(None);
            };
            let Some((stopped, stop)) = self.next_stop(running)? else {
                return Ok(None);
            };
            match stop {
                Stop::GroupStop(_) => saved.group_stop = true,
                Stop::SignalDelivery(signal) if signal.stops() => {
                    saved.stop_signals.push(signal);
                }
                // One that was asked for before.
                Stop::Interrupt => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.interrupting = false;
                    }
                }
                _ => return Ok(Some((stopped, stop))),
            }
            resumed = stopped.resume(how, None);
        }
    }

    /// Takes a stopped task to where its registers can be set to anything.
    /// `regs` are its registers if a client has changed them.
    ///
    /// `Err` inside: nothing was done, here is the task.
    pub(crate) fn prepare(
        &mut self,
        stopped: Stopped,
        place: Place,
        regs: Option<Regs>,
    ) -> Here<Result<(Stopped, Saved), (Stopped, Error)>> {
        let tid = stopped.tid();
        if let Place::Nowhere(why) = place {
            let error = Error::Unsupported(format!("task {tid} cannot run anything: {why}"));
            return Ok(Some(Err((stopped, error))));
        }
        let (Some(now), Some(mask)) = (
            unless_gone(stopped.regs())?,
            unless_gone(stopped.signal_mask())?,
        ) else {
            self.dying(tid)?;
            return Ok(None);
        };
        if !now.is_64_bit() {
            let error = Error::Unsupported(format!("task {tid} runs 32-bit code"));
            return Ok(Some(Err((stopped, error))));
        }
        if let Place::Signal(signal, _) = &place
            && mask & signal.bit() != 0
        {
            let error = Error::Unsupported(format!(
                "task {tid} is about to handle signal {signal} in a call with a mask of its own"
            ));
            return Ok(Some(Err((stopped, error))));
        }
        if let Err(error) = self.suspend_filter(&stopped)? {
            return Ok(Some(Err((stopped, error))));
        }
        let mut saved = Saved {
            regs: regs.unwrap_or(now),
            mask,
            place,
            stop_signals: Vec::new(),
            group_stop: false,
            trap: (None, None),
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            saved.trap = (task.trap.pass.take(), task.trap.mark.take());
        }
        if unless_gone(stopped.set_signal_mask(mask | CAN_WAIT))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        let stopped = match saved.place {
            Place::Entry => {
                let mut skip = now;
                skip.set_syscall_nr(-1);
                if unless_gone(stopped.set_regs(&skip))?.is_none() {
                    self.dying(tid)?;
                    return Ok(None);
                }
                self.run_to_exit(stopped, &mut saved)?
            }
            Place::InCall => {
                let stopped = self.run_to_exit(stopped, &mut saved)?;
                if let Some(stopped) = &stopped
                    && let Some(at_exit) = unless_gone(stopped.regs())?
                {
                    saved.regs = at_exit;
                }
                stopped
            }
            _ => Some(stopped),
        };
        Ok(stopped.map(|stopped| Ok((stopped, saved))))
    }

    /// A filter of the target's own may kill it for a call that is not its own: it
    /// must not hold meanwhile.
    fn suspend_filter(&mut self, stopped: &Stopped) -> Result<Result<(), Error>, Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Err(Error::NoSuchTask(tid)));
        };
        if !procfs::has_filter(tid) {
            return Ok(Ok(()));
        }
        let options = task.options | Options::SUSPEND_SECCOMP;
        match stopped.set_options(options) {
            Ok(()) => {
                task.options = options;
                Ok(Ok(()))
            }
            Err(error) if error.is_gone() => Ok(Err(Error::NoSuchTask(tid))),
            Err(error) => Ok(Err(Error::Unsupported(format!(
                "task {tid} filters its system calls (seccomp), so that one of ours could end \
                 it, and the filter cannot be suspended: {error}"
            )))),
        }
    }

    /// The other way round.
    pub(crate) fn restore_filter(&mut self, stopped: &Stopped) -> Result<(), Fatal> {
        if let Some(task) = self.tasks.get_mut(&stopped.tid())
            && task.options.contains(Options::SUSPEND_SECCOMP)
        {
            task.options.remove(Options::SUSPEND_SECCOMP);
            unless_gone(stopped.set_options(task.options))?;
        }
        Ok(())
    }

    /// Takes a task that is inside a call to the call's exit.
    pub(crate) fn run_to_exit_of_call(&mut self, stopped: Stopped) -> Here<Stopped> {
        let mut saved = Saved {
            regs: Regs::default(),
            mask: 0,
            place: Place::User,
            stop_signals: Vec::new(),
            group_stop: false,
            trap: (None, None),
        };
        self.run_to_exit(stopped, &mut saved)
    }

    fn run_to_exit(&mut self, stopped: Stopped, saved: &mut Saved) -> Here<Stopped> {
        let mut stopped = stopped;
        loop {
            match self.run_to_stop(stopped, Resume::Syscall, None, saved)? {
                Some((stopped, Stop::Syscall)) => return Ok(Some(stopped)),
                Some((other, _)) => stopped = other,
                None => return Ok(None),
            }
        }
    }

    /// Brings a task back to where [`Engine::prepare`] took it from. Its
    /// registers are to be as they were then.
    pub(crate) fn restore(&mut self, stopped: Stopped, saved: Saved) -> Here<Stopped> {
        let tid = stopped.tid();
        let mut saved = saved;
        let mut stopped = stopped;
        let place = std::mem::replace(&mut saved.place, Place::User);
        let regs = saved.regs;
        macro_rules! live {
            ($request:expr) => {
                if unless_gone($request)?.is_none() {
                    self.dying(tid)?;
                    return Ok(None);
                }
            };
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            (task.trap.pass, task.trap.mark) = std::mem::take(&mut saved.trap);
        }
        live!(stopped.set_regs(&regs));
        match place {
            Place::Entry => {
                let Some(there) = self.enter_again(stopped, &regs, &mut saved)? else {
                    return Ok(None);
                };
                stopped = there;
            }
            Place::Signal(signal, info) => {
                let Some(there) = self.signal_again(stopped, signal, &info, &mut saved)? else {
                    return Ok(None);
                };
                stopped = there;
            }
            Place::GroupStop => {
                saved.group_stop = false;
                let Some(there) = self.trap_again(stopped)? else {
                    return Ok(None);
                };
                stopped = there;
            }
            // Only behind such a stop does the kernel restart the call
            // (arch_do_signal_or_restart in arch/x86/kernel/signal.c).
            Place::Interrupt if regs.syscall_nr() >= 0 && restarts(regs.result()) => {
                let Some(there) = self.trap_again(stopped)? else {
                    return Ok(None);
                };
                stopped = there;
            }
            _ => {}
        }
        if saved.group_stop {
            live!(stopped.interrupt());
        }
        live!(stopped.set_signal_mask(saved.mask));
        self.restore_filter(&stopped)?;
        for signal in saved.stop_signals {
            // It has no sender any more, which nobody can see: a stop signal has
            // no handler, or is not one of those that cannot wait.
            if let Some(task) = self.tasks.get(&tid)
                && let Err(error) = tgkill(task.pid, tid, signal.get())
            {
                tracing::debug!(target: "pai::engine", %tid, %error, "a stop signal is lost");
            }
        }
        Ok(Some(stopped))
    }

    /// From one stop on the way to user mode into another, behind which the
    /// kernel looks at signals and restarts.
    fn trap_again(&mut self, stopped: Stopped) -> Here<Stopped> {
        let tid = stopped.tid();
        if unless_gone(stopped.interrupt())?.is_some()
            && let Some(running) = unless_gone(stopped.resume(Resume::Cont, None))?
        {
            return Ok(self.next_stop(running)?.map(|(stopped, _)| stopped));
        }
        self.dying(tid)?;
        Ok(None)
    }

    /// Enters a call that was skipped.
    fn enter_again(&mut self, stopped: Stopped, entry: &Regs, saved: &mut Saved) -> Here<Stopped> {
        let tid = stopped.tid();
        let mut again = *entry;
        again.restart_syscall();
        again.leave_syscall();
        // A breakpoint may be on the instruction itself.
        if let Ok(at) = self.syscall_instruction(tid) {
            again.set_ip(at);
        }
        if unless_gone(stopped.set_regs(&again))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        let Some((stopped, _)) = self.run_to_stop(stopped, Resume::Syscall, None, saved)? else {
            return Ok(None);
        };
        if unless_gone(stopped.set_regs(entry))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// Makes a signal that was taken off its queue be delivered again. At the
    /// stop of another one, that one turns into it. At a syscall stop the kernel
    /// sends what the task is resumed with anew (ptrace(2), PTRACE_CONT), without
    /// what came with it.
    fn signal_again(
        &mut self,
        stopped: Stopped,
        signal: Signal,
        info: &SigInfo,
        saved: &mut Saved,
    ) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(now) = unless_gone(stopped.siginfo())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        if now.is_of_a_signal() {
            if unless_gone(stopped.set_siginfo(info))?.is_none() {
                self.dying(tid)?;
                return Ok(None);
            }
            return Ok(Some(stopped));
        }
        if unless_gone(stopped.set_signal_mask(!signal.bit()))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        let mut stopped = stopped;
        let mut with = Some(signal);
        loop {
            let Some((there, stop)) =
                self.run_to_stop(stopped, Resume::Cont, with.take(), saved)?
            else {
                return Ok(None);
            };
            stopped = there;
            if stop == Stop::SignalDelivery(signal) {
                break;
            }
        }
        if let Some(found) = unless_gone(stopped.siginfo())?
            && found.code() != SI_KERNEL
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            // Another one of this number was waiting already. It comes last.
            task.displaced_signals.push(found);
        }
        if unless_gone(stopped.set_siginfo(info))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// At a signal that an earlier one has taken the siginfo from: gives it its
    /// own.
    pub(crate) fn bring_back_info(
        &mut self,
        stopped: &Stopped,
        signal: Signal,
    ) -> Result<(), Fatal> {
        let Some(found) = unless_gone(stopped.siginfo())? else {
            return Ok(());
        };
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        let infos = &mut task.displaced_signals;
        let Some(index) = infos.iter().position(|info| info.signal() == signal.get()) else {
            return Ok(());
        };
        let own = infos.remove(index);
        if found.code() != SI_KERNEL {
            infos.push(found);
        }
        unless_gone(stopped.set_siginfo(&own))?;
        Ok(())
    }

    /// Runs system calls in a prepared task; stops at the first that fails. The
    /// results, negative errno for a failure.
    pub(crate) fn run_calls(
        &mut self,
        stopped: Stopped,
        saved: &mut Saved,
        calls: &[(u32, [u64; 6])],
    ) -> Here<(Stopped, Vec<i64>)> {
        let tid = stopped.tid();
        let mut stopped = stopped;
        let mut results = Vec::new();
        for (nr, args) in calls {
            let Ok(at) = self.syscall_instruction(tid) else {
                results.push(ENOEXEC);
                break;
            };
            let mut regs = saved.regs;
            regs.set_syscall(*nr, args);
            regs.set_ip(at);
            if unless_gone(stopped.set_regs(&regs))?.is_none() {
                self.dying(tid)?;
                return Ok(None);
            }
            // Entry, exit. Anything else is a signal that cannot wait.
            for _ in 0..2 {
                let Some((there, stop)) =
                    self.run_to_stop(stopped, Resume::Syscall, None, saved)?
                else {
                    return Ok(None);
                };
                stopped = there;
                if stop != Stop::Syscall {
                    results.push(EFAULT);
                    return Ok(Some((stopped, results)));
                }
            }
            let Some(regs) = unless_gone(stopped.regs())? else {
                self.dying(tid)?;
                return Ok(None);
            };
            results.push(regs.result());
            if (-4095..0).contains(&regs.result()) {
                break;
            }
        }
        Ok(Some((stopped, results)))
    }

    /// Runs system calls in a stopped task and brings it back to its stop.
    pub(crate) fn inject(
        &mut self,
        stopped: Stopped,
        place: Place,
        calls: &[(u32, [u64; 6])],
    ) -> Here<(Stopped, Result<Vec<i64>, Error>)> {
        let (stopped, mut saved) = match self.prepare(stopped, place, None)? {
            Some(Ok(prepared)) => prepared,
            Some(Err((stopped, error))) => return Ok(Some((stopped, Err(error)))),
            None => return Ok(None),
        };
        let Some((stopped, results)) = self.run_calls(stopped, &mut saved, calls)? else {
            return Ok(None);
        };
        let stopped = self.restore(stopped, saved)?;
        Ok(stopped.map(|stopped| (stopped, Ok(results))))
    }

    /// The address of a `syscall` instruction in the task's process: one of
    /// ours, or of the target's own.
    pub(crate) fn syscall_instruction(&mut self, tid: Tid) -> Result<u64, Error> {
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        /// More of a mapping is not looked at.
        const MOST: u64 = 8 << 20;
        let pid = self.tasks.get(&tid).ok_or(Error::NoSuchTask(tid))?.pid;
        let space = self.space(pid).ok_or(Error::NoSuchProcess(pid))?;
        if let Some(pad) = space.pads.first() {
            return Ok(pad.syscall_at());
        }
        if let Some(at) = space.syscall_at {
            let mut bytes = [0; 2];
            // As it is in memory: there may be a breakpoint by now.
            if self.read_raw(pid, at, &mut bytes)? == 2 && bytes == SYSCALL {
                return Ok(at);
            }
        }
        let mut maps = self.maps(pid)?;
        maps.retain(|mapping| mapping.is_code() && mapping.name != "[vsyscall]");
        maps.sort_by_key(|mapping| mapping.name != "[vdso]");
        for mapping in maps {
            let len = (mapping.end - mapping.start).min(MOST);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            let done = self.read_raw(pid, mapping.start, &mut bytes)?;
            if let Some(at) = memchr::memmem::find(&bytes[..done], &SYSCALL) {
                let at = mapping.start + at as u64;
                if let Some(space) = self.space_mut(pid) {
                    space.syscall_at = Some(at);
                }
                return Ok(at);
            }
        }
        Err(Error::Unsupported(format!(
            "process {pid} has no syscall instruction"
        )))
    }

    /// Makes a pad near an address, by a prepared task of the process.
    pub(crate) fn make_pad(
        &mut self,
        stopped: Stopped,
        saved: &mut Saved,
        pid: Pid,
        addr: u64,
    ) -> Here<(Stopped, Result<(), Error>)> {
        let maps = match self.maps(pid) {
            Ok(maps) => maps,
            Err(error) => return Ok(Some((stopped, Err(error)))),
        };
        let len = self.space(pid).map_or(PAGE, |space| space.next_pad_len());
        let Some(base) = room_near(&maps, addr, len) else {
            let error = Error::Unsupported(format!(
                "process {pid} has no free page within 1 GiB of {addr:#x}"
            ));
            return Ok(Some((stopped, Err(error))));
        };
        let flags = MAP_PRIVATE_ANONYMOUS | MAP_FIXED_NOREPLACE;
        let calls = [
            (NR_MMAP, [base, len, PROT_READ_EXEC, flags, u64::MAX, 0]),
            (NR_MADVISE, [base, len, MADV_DONTFORK, 0, 0, 0]),
        ];
        let Some((stopped, results)) = self.run_calls(stopped, saved, &calls)? else {
            return Ok(None);
        };
        let made = match results[..] {
            [mapped, 0] if mapped.cast_unsigned() == base => self.begin_pad(pid, base, len),
            [errno, ..] => Err(mmap_error(errno)),
            [] => Err(mmap_error(ENOEXEC)),
        };
        Ok(Some((stopped, made)))
    }

    fn begin_pad(&mut self, pid: Pid, base: u64, len: u64) -> Result<(), Error> {
        let Some(space) = self.space_mut(pid) else {
            return Err(Error::NoSuchProcess(pid));
        };
        let head = space.add_pad(base, len);
        self.write_raw(pid, base, &head)
    }

    /// Unmaps what nobody needs any more, at a stop where that is possible.
    pub(crate) fn take_out_garbage(&mut self, stopped: Stopped, place: Place) -> Here<Stopped> {
        let tid = stopped.tid();
        let pid = self.tasks.get(&tid).map(|task| task.pid);
        let garbage = pid
            .and_then(|pid| self.space_mut(pid))
            .map(|space| std::mem::take(&mut space.garbage))
            .unwrap_or_default();
        if garbage.is_empty() {
            return Ok(Some(stopped));
        }
        let calls: Vec<_> = garbage
            .iter()
            .map(|(addr, len)| (NR_MUNMAP, [*addr, *len, 0, 0, 0, 0]))
            .collect();
        match self.inject(stopped, place, &calls)? {
            Some((stopped, Ok(_))) => Ok(Some(stopped)),
            Some((stopped, Err(_))) => {
                if let Some(space) = pid.and_then(|pid| self.space_mut(pid)) {
                    space.garbage = garbage;
                }
                Ok(Some(stopped))
            }
            None => Ok(None),
        }
    }
}

/// si_code of what the kernel sends by itself (sigaction(2)).
pub(crate) const SI_KERNEL: i32 = 0x80;
const EFAULT: i64 = -14;
const ENOEXEC: i64 = -8;

pub(crate) fn mmap_error(errno: i64) -> Error {
    Error::Os {
        errno: i32::try_from(-errno).unwrap_or(0),
        operation: "mmap in the target",
    }
}
