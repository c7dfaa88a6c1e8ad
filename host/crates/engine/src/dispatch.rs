//! From a wait report to an event: what each stop means and who hears of it.

use pai_ptrace::wait::{Report, What};
use pai_ptrace::{
    Pid, Regs, SigInfo, Signal, Stop, Stopped, SyscallInfo, SyscallOp, Tid, monotonic_nanos,
};

use crate::engine::{Diagnostic, Engine};
use crate::error::{Fatal, unless_gone};
use crate::event::{Event, ExitStatus, OtherStop, SignalStop, SyscallId, SyscallStop, Touched};
use crate::filter::on_filter;
use crate::restart::{self, first_call, is_restart_syscall, restarts};
use crate::subscription::{ClientMask, Edge, wants_syscall};
use crate::task::{After, InSyscall, State, Task};
use crate::trap_state::Mark;

/// Its "result" is a register that the interrupted code had, which may look
/// like anything, also like a restart code.
fn is_sigreturn(call: SyscallId) -> bool {
    match call.abi {
        pai_syscalls::abi::X86_64 => call.nr == 15,
        pai_syscalls::abi::I386 => matches!(call.nr, 119 | 173),
        _ => false,
    }
}

pub(crate) fn is_exec(call: SyscallId) -> bool {
    match call.abi {
        pai_syscalls::abi::X86_64 => matches!(call.nr, 59 | 322),
        pai_syscalls::abi::I386 => matches!(call.nr, 11 | 358),
        _ => false,
    }
}

/// It does not return.
pub(crate) fn is_exit(call: SyscallId) -> bool {
    match call.abi {
        pai_syscalls::abi::X86_64 => matches!(call.nr, 60 | 231),
        pai_syscalls::abi::I386 => matches!(call.nr, 1 | 252),
        _ => false,
    }
}

impl Engine {
    /// Serves one report: bookkeeping, then either the task goes on at once or
    /// it is held and offered to clients.
    pub(crate) fn dispatch(&mut self, report: Report) -> Result<(), Fatal> {
        if !matches!(report.what, What::Stopped(..)) && !self.tasks.contains_key(&report.tid) {
            self.orphans.remove(&report.tid);
            self.early_ends.push(report);
            return Ok(());
        }
        let Report { tid, status, what } = report;
        match what {
            What::Exited(code) => self.task_ended(tid, ExitStatus::Exited(code)),
            What::Killed(signal, core) => self.task_ended(tid, ExitStatus::Killed(signal, core)),
            What::Stopped(stopped, stop) => {
                self.stats.stops += 1;
                if stop == Stop::Exec {
                    return self.on_exec(stopped);
                }
                let Some(task) = self.tasks.get_mut(&tid) else {
                    return self.on_unknown(stopped, stop);
                };
                let at_entry = std::mem::take(&mut task.at_entry);
                task.at_signal = None;
                let entered = match stop {
                    Stop::Seccomp => on_filter(&stopped, at_entry)?,
                    _ => None,
                };
                let stop = match entered {
                    Some(_) => Stop::Syscall,
                    None => stop,
                };
                let interrupted = std::mem::take(&mut task.interrupting);
                task.in_call = stop.is_inside_call();
                let is_other = stop != Stop::Interrupt;
                let wanted = interrupted && !task.wanted_by.is_empty() && is_other;
                // In a stopped process it comes as a group-stop.
                task.owes_group_stop &= is_other && !matches!(stop, Stop::GroupStop(_));
                if wanted || task.owes_group_stop {
                    // This stop has taken the place of the one that was asked for.
                    task.interrupting = unless_gone(stopped.interrupt())?.is_some();
                }
                let copied = task.trap.copy.is_some();
                if task.trap.pushed.is_some() {
                    self.hide_pushed(&stopped)?;
                }
                let known = match copied {
                    true => self.leave_copy(&stopped, stop)?,
                    false => None,
                };
                if let Some(info) = entered {
                    return self.on_call(stopped, &info, interrupted);
                }
                match stop {
                    Stop::Syscall => self.on_syscall(stopped, interrupted),
                    Stop::SignalDelivery(signal) => self.on_signal(stopped, signal, known),
                    Stop::GroupStop(signal) => self.on_group_stop(stopped, signal),
                    Stop::Interrupt => self.on_interrupt(stopped, status),
                    Stop::NewTask(kind) => self.on_new_task(stopped, kind),
                    Stop::VforkDone => self.on_other(stopped, status, OtherStop::VforkDone),
                    Stop::Exit => self.on_exit_event(stopped, status),
                    Stop::Seccomp => self.resume_again(stopped),
                    Stop::Exec | Stop::Other(_) => self.go_on(stopped, After::Resume),
                }
            }
        }
    }

    pub(crate) fn on_syscall(&mut self, stopped: Stopped, interrupted: bool) -> Result<(), Fatal> {
        let Some(info) = unless_gone(stopped.syscall_info())? else {
            return self.dying(stopped.tid());
        };
        self.on_call(stopped, &info, interrupted)
    }

    /// At an end of this call.
    fn on_call(
        &mut self,
        stopped: Stopped,
        info: &SyscallInfo,
        interrupted: bool,
    ) -> Result<(), Fatal> {
        self.stats.syscall_stops += 1;
        let tid = stopped.tid();
        let entered = info.is_entry();
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.at_entry = matches!(info.op, SyscallOp::Entry { .. });
            if task.operation.is_some() {
                task.in_call = entered;
                if task.runs_foreign_code() {
                    return self.on_foreign_syscall(stopped);
                }
                self.step_in_call(tid, entered);
            }
        }
        match info.op {
            SyscallOp::Entry { nr, args } | SyscallOp::Seccomp { nr, args, .. } => {
                if interrupted {
                    self.interrupt_again(&stopped)?;
                }
                self.on_enter(stopped, info, nr, args)
            }
            SyscallOp::Exit { ret } => self.on_exit(stopped, info, ret, interrupted),
            SyscallOp::None => self.go_on(stopped, After::Resume),
        }
    }

    fn on_enter(
        &mut self,
        stopped: Stopped,
        info: &SyscallInfo,
        nr: u64,
        args: [u64; 6],
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let call = SyscallId {
            abi: info.arch,
            // Numbers are 32 bits wide; -1 comes as 64 of them.
            nr: nr as u32,
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        if task.before_exec && !is_exec(call) {
            return self.go_on(stopped, After::Resume);
        }
        let pid = task.pid;
        task.chosen = None;
        task.stopped_at = None;
        task.rewritten = None;
        task.captured.forget();
        let restarting = task.restarting.take();
        let continues = restarting.filter(|_| is_restart_syscall(call));
        let enter = self.syscall_mask(call, continues, Edge::Enter, pid, tid);
        let exit = self.syscall_mask(call, continues, Edge::Exit, pid, tid);
        let at = if enter.or(exit).is_empty() {
            0
        } else {
            monotonic_nanos()
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.syscall = Some(InSyscall {
                call,
                args,
                ip: info.ip,
                sp: info.sp,
                at,
                continues,
                touched: Touched::default(),
            });
        }
        let entered = SyscallStop {
            pid,
            tid,
            call,
            args,
            ret: None,
            restarts: false,
            continues,
            entry_seen: true,
            touched: Touched::default(),
            ip: info.ip,
            sp: info.sp,
            at,
            took: 0,
        };
        if enter.is_empty() {
            if !self.table.captures(call).and(exit).is_empty() {
                self.keep_captured(&entered, &stopped);
            }
            self.keep_child(&stopped)?;
            return self.go_on(stopped, After::Resume);
        }
        let event = Event::SyscallEnter(entered);
        self.offer(stopped, event, enter, After::Resume)
    }

    fn on_exit(
        &mut self,
        stopped: Stopped,
        info: &SyscallInfo,
        ret: i64,
        interrupted: bool,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        if task.before_exec && task.syscall.is_none() {
            return self.go_on(stopped, After::Resume);
        }
        let entry = task.syscall.take();
        if task.trap.blocks {
            let mask = unless_gone(stopped.signal_mask())?;
            task.trap.blocks = mask.is_none_or(|mask| mask & Signal::TRAP.bit() != 0);
        }
        let mut ret = ret;
        let mut chosen = None;
        if let Some(rewritten) = &task.rewritten {
            chosen = rewritten.result;
            ret = chosen.unwrap_or(ret);
            self.put_back(&stopped)?;
        }
        if ret == restart::EINTR && chosen.is_none() && self.repair_exit(&stopped, interrupted)? {
            ret = restart::ERESTARTNOHAND;
        }
        let (entry, entry_seen) = match entry {
            Some(entry) => (entry, true),
            None => {
                // Attached in the middle: the registers still have the number
                // and, but for what the call clobbered, the arguments.
                let Some(regs) = unless_gone(stopped.regs())? else {
                    return self.dying(tid);
                };
                let compat = info.arch == pai_syscalls::abi::I386;
                let entry = InSyscall {
                    call: SyscallId {
                        abi: info.arch,
                        nr: regs.syscall_nr() as u32,
                    },
                    args: regs.syscall_args(compat),
                    ip: info.ip,
                    sp: info.sp,
                    at: 0,
                    continues: None,
                    touched: Touched::default(),
                };
                if let Some(task) = self.tasks.get_mut(&tid) {
                    task.captured.forget();
                }
                (entry, false)
            }
        };
        if self
            .tasks
            .get(&tid)
            .is_some_and(|t| t.trap.born_blocked.is_some())
        {
            self.settle_mask(&stopped, entry.call, &entry.args)?;
        }
        if ret >= 0 {
            self.look_for_filter(tid, &entry);
        }
        let restarts = restarts(ret) && !is_sigreturn(entry.call);
        if let Some(task) = self.tasks.get_mut(&tid) {
            if let Some(addr) = task.trap.call_at.take().filter(|_| restarts) {
                task.trap.mark = Some(Box::new(Mark::of_place(addr, info.sp)));
            }
            if is_sigreturn(entry.call)
                && let Some(mark) = &mut task.trap.mark
            {
                mark.returned |= mark.addr == info.ip;
            }
        }
        if restarts
            && ret == restart::ERESTART_RESTARTBLOCK
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.restarting = first_call(entry.call, entry.continues);
        }
        let mask = self.syscall_mask(entry.call, entry.continues, Edge::Exit, pid, tid);
        if mask.is_empty() {
            return self.go_on(stopped, After::Resume);
        }
        let at = monotonic_nanos();
        let took = if entry.at == 0 { 0 } else { at - entry.at };
        let event = Event::SyscallExit(SyscallStop {
            pid,
            tid,
            call: entry.call,
            args: entry.args,
            ret: Some(ret),
            restarts,
            continues: entry.continues,
            entry_seen,
            touched: entry.touched,
            ip: info.ip,
            sp: info.sp,
            at,
            took,
        });
        self.offer(stopped, event, mask, After::Resume)
    }

    /// Clients that want this end of this call from this task.
    fn syscall_mask(
        &self,
        call: SyscallId,
        continues: Option<u32>,
        edge: Edge,
        pid: Pid,
        tid: Tid,
    ) -> ClientMask {
        let mut mask = self.table.syscall(call, edge);
        let first = continues.map(|nr| SyscallId { abi: call.abi, nr });
        if let Some(first) = first {
            mask = mask.or(self.table.syscall(first, edge));
        }
        let picky = mask.and(self.table.picky);
        if !picky.is_empty() {
            for client in picky.iter() {
                let state = &self.clients[client.index()];
                let wants = |call| wants_syscall(&state.wishes, call, edge, tid);
                if state.left.contains(&pid) || !(wants(call) || first.is_some_and(wants)) {
                    mask.remove(client);
                }
            }
        }
        mask.minus(self.absent)
    }

    /// Clients of a plain topic that still trace this process.
    pub(crate) fn mask_for(&self, mask: ClientMask, pid: Pid) -> ClientMask {
        let mut mask = mask.minus(self.absent);
        for client in mask.and(self.table.picky).iter() {
            if self.clients[client.index()].left.contains(&pid) {
                mask.remove(client);
            }
        }
        mask
    }

    /// `known`: its registers, if they were read.
    pub(crate) fn on_signal(
        &mut self,
        stopped: Stopped,
        signal: Signal,
        known: Option<Regs>,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        if !self.started {
            return self.go_on(stopped, After::Deliver(signal));
        }
        let stopped = if signal == Signal::TRAP {
            match self.on_trap(stopped, known)? {
                Some(stopped) => {
                    self.own_trap_is_due(tid);
                    stopped
                }
                None => return Ok(()),
            }
        } else {
            stopped
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        // What happens with these may change registers.
        let known = known.filter(|_| signal != Signal::TRAP && task.trap.born_in_call.is_none());
        let stopped = if task.trap.born_in_call.is_some() {
            match self.on_return_of_child(stopped)? {
                Some(stopped) => stopped,
                None => return Ok(()),
            }
        } else {
            stopped
        };
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        if task.runs_foreign_code() {
            return match self.on_foreign_signal(stopped, signal)? {
                Some(stopped) => self.go_on(stopped, After::Deliver(signal)),
                None => Ok(()),
            };
        }
        if !task.displaced_signals.is_empty() {
            self.bring_back_info(&stopped, signal)?;
        }
        self.stats.signals += 1;
        let mask = self.mask_for(self.table.signal(signal), pid);
        if mask.is_empty() {
            return self.go_on(stopped, After::Deliver(signal));
        }
        let looked_into = !mask.and(self.table.siginfo).is_empty();
        let info = if looked_into {
            unless_gone(stopped.siginfo())?
        } else {
            None
        };
        let regs = match known {
            None if looked_into => unless_gone(stopped.regs())?,
            known => known,
        };
        let is_about_it = |info: &SigInfo| info.signal() == signal.get();
        if looked_into && !(info.as_ref().is_some_and(is_about_it) && regs.is_some()) {
            // Killed meanwhile: that is its exit's.
            return self.dying(tid);
        }
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.at_signal = regs;
        }
        let frames = match mask.and(self.table.frames).is_empty() {
            true => Vec::new(),
            false => self.named_frames(pid, &stopped, self.table.limits.frames),
        };
        let event = Event::Signal(SignalStop {
            pid,
            tid,
            signal,
            ip: regs.map_or(0, |regs| regs.ip()),
            info,
            frames,
            at: monotonic_nanos(),
        });
        self.offer(stopped, event, mask, After::Deliver(signal))
    }

    pub(crate) fn on_group_stop(&mut self, stopped: Stopped, signal: Signal) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        if matches!(task.state, State::Starting) {
            return self.on_first_stop(stopped, After::Listen(signal));
        }
        let known = matches!(task.state, State::Listening(..));
        task.stopped_at = unless_gone(stopped.regs())?.map(|regs| regs.ip());
        if known || !self.started {
            return self.go_on(stopped, After::Listen(signal));
        }
        if self.root == Some(pid) && tid == pid.leader() && self.gate.is_some() {
            self.diagnostics
                .push_back(Diagnostic::TargetStopped { pid, signal });
        }
        self.tell_group_stop(stopped, signal)
    }

    pub(crate) fn tell_group_stop(
        &mut self,
        stopped: Stopped,
        signal: Signal,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        let event = Event::JobControl {
            pid,
            tid,
            signal,
            stopped: true,
            at: monotonic_nanos(),
        };
        let mask = self.mask_for(self.table.plain.job_control, pid);
        self.offer(stopped, event, mask, After::Listen(signal))
    }

    fn on_interrupt(&mut self, stopped: Stopped, status: i32) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        match std::mem::replace(&mut task.state, State::Engaged) {
            State::Starting => {
                task.state = State::Starting;
                self.on_first_stop(stopped, After::Resume)
            }
            State::Listening(_, signal) => {
                let event = Event::JobControl {
                    pid,
                    tid,
                    signal,
                    stopped: false,
                    at: monotonic_nanos(),
                };
                let mask = self.mask_for(self.table.plain.job_control, pid);
                self.offer(stopped, event, mask, After::Resume)
            }
            _ => {
                self.repair_eintr(&stopped, None)?;
                let task = self.tasks.get(&tid);
                let foreign = task.is_some_and(Task::runs_foreign_code);
                let wanted = task.is_some_and(|task| !task.wanted_by.is_empty());
                if foreign || !wanted && self.is_made(tid) {
                    return self.go_on(stopped, After::Resume);
                }
                self.on_other(stopped, status, OtherStop::Interrupt)
            }
        }
    }

    pub(crate) fn on_other(
        &mut self,
        stopped: Stopped,
        status: i32,
        kind: OtherStop,
    ) -> Result<(), Fatal> {
        let tid = stopped.tid();
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Ok(());
        };
        let pid = task.pid;
        let asked = match kind {
            OtherStop::Interrupt => std::mem::take(&mut task.wanted_by),
            _ => ClientMask::NONE,
        };
        let mask = self.table.plain.all_stops.or(asked);
        let mask = self.mask_for(mask, pid);
        let event = Event::Stop {
            pid,
            tid,
            status,
            kind,
            at: monotonic_nanos(),
        };
        self.offer(stopped, event, mask, After::Resume)
    }
}
