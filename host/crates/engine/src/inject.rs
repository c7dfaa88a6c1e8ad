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

use pai_ptrace::{NewTask, Options, Regs, Resume, SigInfo, Signal, Stop, Stopped, Tid};
use pai_syscalls::abi::I386;

use crate::engine::Engine;
use crate::error::{Error, Fatal, set_regs, unless_gone};
use crate::event::{Event, OtherStop};
use crate::procfs;
use crate::restart::restarts;
use crate::single::Here;
use crate::task::{After, Offer};
use crate::trap_state::{Mark, Pass};

/// All signals but those that the processor raises (SIGILL, SIGTRAP, SIGBUS,
/// SIGFPE, SIGSEGV, SIGSYS), which cannot wait: the kernel takes their handlers
/// away when they are blocked (force_sig_info_to_task in kernel/signal.c).
pub(crate) const CAN_WAIT: u64 = !(1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30);

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
    /// The call that it was about to enter is one of i386, which `int 0x80` makes.
    pub(crate) int80: bool,
    /// It took part in a group-stop meanwhile, which has to be told.
    pub(crate) group_stop: bool,
    /// What it had to do with breakpoints.
    pub(crate) trap: (Option<Pass>, Option<Box<Mark>>),
}

impl Saved {
    /// For a task that is to come to a stop, and that nothing is done to.
    pub(crate) fn nothing() -> Self {
        Self {
            regs: Regs::default(),
            mask: 0,
            place: Place::User,
            int80: false,
            group_stop: false,
            trap: (None, None),
        }
    }

    /// Whether the task was about to enter a call.
    pub(crate) fn is_of_an_entry(&self) -> bool {
        matches!(self.place, Place::Entry)
    }

    /// What a child has of it that the task makes meanwhile. A signal that was about
    /// to be delivered, and a group-stop, are for the task alone.
    pub(crate) fn for_child(&self) -> Self {
        let place = match self.place {
            Place::Entry => Place::Entry,
            _ => Place::User,
        };
        Self {
            regs: self.regs,
            mask: self.mask,
            place,
            int80: self.int80,
            group_stop: false,
            trap: self.trap.clone(),
        }
    }
}

impl Offer {
    /// Where the task is, by its stop, if that is not about a signal.
    pub(crate) fn place(&self) -> Place {
        match (&self.event, self.after) {
            _ if self.at_exit => Place::User,
            (_, After::Listen(_)) => Place::GroupStop,
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
    /// Where a held task is, also when it has gone on since its stop.
    pub(crate) fn place_of(&mut self, stopped: &Stopped, offer: &Offer) -> Result<Place, Fatal> {
        // At a signal: also a trap that is a hit and a signal of the program's own.
        let delivers = matches!(offer.after, After::Deliver(_));
        if !(offer.moved || delivers) || offer.at_exit {
            return Ok(offer.place());
        }
        let inside = self
            .tasks
            .get(&stopped.tid())
            .is_some_and(|task| task.in_call);
        Ok(match offer.after {
            After::Listen(_) => Place::GroupStop,
            After::Deliver(signal) => match unless_gone(stopped.siginfo())? {
                Some(info) => Place::Signal(signal, Box::new(info)),
                None => Place::Nowhere("it is about to end"),
            },
            After::Resume if inside => place_inside(stopped)?,
            After::Resume => Place::Interrupt,
        })
    }

    /// Resumes a stopped task, with a signal perhaps, and waits for its next stop
    /// that is no business of the kernel's with signals and group-stops. The delivery
    /// of the awaited signal is such a stop, whatever that signal does; and so is the
    /// interrupt that tells that it will not come.
    pub(crate) fn run_to_stop(
        &mut self,
        stopped: Stopped,
        how: Resume,
        with: Option<Signal>,
        awaited: Option<Signal>,
        saved: &mut Saved,
    ) -> Here<(Stopped, Stop)> {
        let tid = stopped.tid();
        let mut resumed = stopped.resume(how, with);
        loop {
            let Some(running) = unless_gone(resumed)? else {
                self.dying(tid)?;
                return Ok(None);
            };
            let Some((stopped, stop)) = self.next_stop(running)? else {
                return Ok(None);
            };
            let mut with = None;
            match stop {
                Stop::GroupStop(_) => saved.group_stop = true,
                // SIGSTOP cannot be blocked. The process is stopped, as it should be,
                // and only this task goes on: the kernel knows when SIGCONT comes.
                Stop::SignalDelivery(signal) if signal.stops() && awaited != Some(signal) => {
                    with = Some(signal);
                }
                // Our own filter: the call's entry was seen.
                Stop::Seccomp => {}
                // One that was asked for before.
                Stop::Interrupt => {
                    if let Some(task) = self.tasks.get_mut(&tid) {
                        task.interrupting = false;
                    }
                    if awaited.is_some_and(|signal| is_forestalled(tid, signal)) {
                        return Ok(Some((stopped, stop)));
                    }
                }
                _ => return Ok(Some((stopped, stop))),
            }
            resumed = stopped.resume(how, with);
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
        let mut before = None;
        let stopped = if matches!(place, Place::Interrupt | Place::GroupStop) {
            before = unless_gone(stopped.regs())?.map(|regs| regs.ip());
            match self.take_waiting_trap(stopped)? {
                Some(stopped) => stopped,
                None => return Ok(None),
            }
        } else {
            stopped
        };
        let (Some(now), Some(mask)) = (
            unless_gone(stopped.regs())?,
            unless_gone(stopped.signal_mask())?,
        ) else {
            self.dying(tid)?;
            return Ok(None);
        };
        let regs = regs.map(|mut regs| {
            // A client has not sent it elsewhere.
            if before == Some(regs.ip()) {
                regs.set_ip(now.ip());
            }
            regs
        });
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
        let int80 = matches!(place, Place::Entry)
            && unless_gone(stopped.syscall_info())?.is_some_and(|info| info.arch == I386);
        if int80 && let Err(error) = self.int80_instruction(tid, &now) {
            return Ok(Some(Err((stopped, error))));
        }
        if let Err(error) = self.suspend_filter(&stopped)? {
            return Ok(Some(Err((stopped, error))));
        }
        let mut saved = Saved {
            regs: regs.unwrap_or(now),
            mask,
            place,
            int80,
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
                if unless_gone(set_regs(&stopped, &skip))?.is_none() {
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

    /// At a stop that has come before the trap of a breakpoint which the task has
    /// executed already (get_signal in kernel/signal.c: stops that a tracer asks
    /// for, and group-stops, are first): takes the trap away, and the task back to
    /// the breakpoint, which it will hit again if that is still there.
    pub(crate) fn take_waiting_trap(&mut self, stopped: Stopped) -> Here<Stopped> {
        let tid = stopped.tid();
        let Some(pid) = self.tasks.get(&tid).map(|task| task.pid) else {
            return Ok(Some(stopped));
        };
        if self.space(pid).is_none_or(|space| !space.is_touched()) {
            return Ok(Some(stopped));
        }
        let Some(regs) = unless_gone(stopped.regs())? else {
            self.dying(tid)?;
            return Ok(None);
        };
        let addr = regs.ip().wrapping_sub(1);
        let known = self
            .space(pid)
            .is_some_and(|space| space.sites.contains_key(&addr));
        if !(known || self.was_site(pid, addr)) || !procfs::signals(tid).is_next_fault(Signal::TRAP)
        {
            return Ok(Some(stopped));
        }
        let mut stopped = stopped;
        loop {
            let Some(running) = unless_gone(stopped.resume(Resume::Cont, None))? else {
                self.dying(tid)?;
                return Ok(None);
            };
            let Some((there, stop)) = self.next_stop(running)? else {
                return Ok(None);
            };
            stopped = there;
            // Another one of those may be asked for already.
            if !matches!(stop, Stop::Interrupt | Stop::GroupStop(_)) {
                break;
            }
        }
        if unless_gone(stopped.set_ip(addr))?.is_none() {
            self.dying(tid)?;
            return Ok(None);
        }
        Ok(Some(stopped))
    }

    /// A filter of the target's own may kill it for a call that is not its own: it
    /// must not hold meanwhile.
    fn suspend_filter(&mut self, stopped: &Stopped) -> Result<Result<(), Error>, Fatal> {
        let tid = stopped.tid();
        if !self.is_refused_calls(tid) {
            return Ok(Ok(()));
        }
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(Err(Error::NoSuchTask(tid)));
        };
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
        self.run_to_exit(stopped, &mut Saved::nothing())
    }

    pub(crate) fn run_to_exit(&mut self, stopped: Stopped, saved: &mut Saved) -> Here<Stopped> {
        let mut stopped = stopped;
        loop {
            match self.run_to_stop(stopped, Resume::Syscall, None, None, saved)? {
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
        live!(set_regs(&stopped, &regs));
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
        live!(self.owe_group_stop(&stopped, &saved));
        live!(stopped.set_signal_mask(saved.mask));
        self.restore_filter(&stopped)?;
        Ok(Some(stopped))
    }

    /// A group-stop that the task took part in meanwhile is still to come.
    pub(crate) fn owe_group_stop(
        &mut self,
        stopped: &Stopped,
        saved: &Saved,
    ) -> Result<(), pai_ptrace::Error> {
        let Some(task) = self.tasks.get_mut(&stopped.tid()) else {
            return Ok(());
        };
        task.owes_group_stop |= saved.group_stop;
        if task.owes_group_stop {
            task.interrupting = true;
            stopped.interrupt()?;
        }
        Ok(())
    }
}

/// Where a task is that stopped inside a call. The kernel tells the kind of a stop
/// in its siginfo (ptrace(2), "PTRACE_EVENT stops" and "Syscall-stops").
fn place_inside(stopped: &Stopped) -> Result<Place, Fatal> {
    const EVENT_VFORK: i32 = 2;
    const EVENT_EXIT: i32 = 6;
    const EVENT_SECCOMP: i32 = 7;
    let info = unless_gone(stopped.siginfo())?;
    Ok(match info.map(|info| info.code() >> 8) {
        Some(0 | EVENT_SECCOMP) => Place::Entry,
        Some(EVENT_VFORK) => Place::Nowhere("it waits for its vfork child"),
        Some(EVENT_EXIT) | None => Place::Nowhere("it is about to end"),
        Some(_) => Place::InCall,
    })
}

/// si_code of what the kernel sends by itself (sigaction(2)).
pub(crate) const SI_KERNEL: i32 = 0x80;

/// Whether a signal that was sent to stop a process is gone: SIGCONT takes it away, and
/// makes each task stop for its tracer (prepare_signal in kernel/signal.c).
fn is_forestalled(tid: Tid, signal: Signal) -> bool {
    signal.stops() && !procfs::signals(tid).has_pending(signal)
}
