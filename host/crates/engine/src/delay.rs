//! What a client adds to its answer: a signal that comes with it, and a delay
//! that holds up one task and nobody else.

use std::time::{Duration, Instant};

use pai_ptrace::{Pid, Signal, Tid};

use crate::engine::Engine;
use crate::error::{Error, Fatal};
use crate::event::{Event, Touched};
use crate::subscription::ClientId;
use crate::task::{Held, Offer, State};

/// The longest delay of one stop; several add up to no more.
pub const MAX_DELAY: Duration = Duration::from_secs(u32::MAX as u64);

impl Engine {
    /// Holds up a task whose call this client holds: it goes on so much later than
    /// it would, when all have answered. Observers are told before, and others go on
    /// meanwhile. What several ask for adds up.
    ///
    /// # Errors
    /// `NotStopped`, `NoSuchTask`; `Invalid` at other stops; `Limit` above
    /// [`MAX_DELAY`].
    pub fn delay(&mut self, client: ClientId, tid: Tid, by: Duration) -> Result<(), Error> {
        let offer = self.call_held_by(client, tid)?;
        let delay = offer.change.delay.saturating_add(by);
        if delay > MAX_DELAY {
            return Err(Error::Limit("delay"));
        }
        offer.change.delay = delay;
        self.touch(tid, Touched::DELAYED);
        Ok(())
    }

    /// Sends a signal to a task whose call this client holds: the kernel does, when
    /// the task goes on, and says so in `si_code` (`ptrace_report_syscall` in
    /// include/linux/ptrace.h). Of several the first is sent.
    ///
    /// # Errors
    /// As [`Engine::delay`].
    pub fn raise(&mut self, client: ClientId, tid: Tid, signal: Signal) -> Result<(), Error> {
        let offer = self.call_held_by(client, tid)?;
        offer.change.raised.get_or_insert(signal);
        Ok(())
    }

    /// As [`Engine::write`], for a client: a call that it holds, and of which an
    /// argument points there, is known to be changed.
    ///
    /// # Errors
    /// As [`Engine::write`].
    pub fn write_for(
        &mut self,
        client: ClientId,
        pid: Pid,
        addr: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.write(pid, addr, bytes)?;
        let points_there = |tid: &Tid| {
            let task = self.tasks.get(tid).filter(|task| task.pid == pid);
            let held = task.and_then(|task| task.held());
            let offer = held.map(|held| &held.offer);
            offer.is_some_and(|offer| {
                offer.is_with(client) && call_of(offer).is_some_and(|call| call.contains(&addr))
            })
        };
        let poked: Vec<Tid> = self.tasks.keys().copied().filter(points_there).collect();
        for tid in poked {
            self.touch(tid, Touched::POKED);
        }
        Ok(())
    }

    fn call_held_by(&mut self, client: ClientId, tid: Tid) -> Result<&mut Offer, Error> {
        let task = self.tasks.get_mut(&tid).ok_or(Error::NoSuchTask(tid))?;
        let held = task.held_mut().filter(|held| held.offer.is_with(client));
        let offer = &mut held.ok_or(Error::NotStopped(tid))?.offer;
        if offer.moved || call_of(offer).is_none() {
            let what = offer.event.name();
            return Err(Error::Invalid(format!("{what} is no system call")));
        }
        Ok(offer)
    }

    /// Notes what was done to a call, for its exit too.
    fn touch(&mut self, tid: Tid, how: Touched) {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return;
        };
        let entered = match task.held_mut().map(|held| &mut held.offer.event) {
            Some(Event::SyscallEnter(stop)) => {
                stop.touched |= how;
                true
            }
            Some(Event::SyscallExit(stop)) => {
                stop.touched |= how;
                false
            }
            _ => return,
        };
        if entered {
            if how == Touched::POKED {
                // What was read for it is not there any more.
                task.captured.forget();
            }
            if let Some(syscall) = &mut task.syscall {
                syscall.touched |= how;
            }
        }
    }

    /// All have answered: it goes on later.
    pub(crate) fn wait_out(&mut self, mut held: Held) {
        let tid = held.stopped.tid();
        let until = Instant::now() + held.offer.change.delay;
        held.offer.until = Some(until);
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.state = State::Held(held);
            self.delays.push((until, tid));
        }
    }

    /// Nobody is left who wants them.
    pub(crate) fn cut_delays(&mut self) {
        let now = Instant::now();
        for (until, tid) in &mut self.delays {
            if let Some(held) = self.tasks.get_mut(tid).and_then(|task| task.held_mut())
                && held.offer.until == Some(*until)
            {
                held.offer.until = Some(now);
                *until = now;
            }
        }
    }

    /// Lets those go on whose time has come.
    pub(crate) fn expire_delays(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        let mut due: Vec<_> = self.delays.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (until, tid) in due {
            let Some(task) = self.tasks.get_mut(&tid) else {
                continue;
            };
            // It may have been killed, and another have its id.
            if task.held().and_then(|held| held.offer.until) != Some(until) {
                continue;
            }
            if let State::Held(held) = std::mem::replace(&mut task.state, State::Engaged) {
                self.leave_stop(held)?;
            }
        }
        Ok(())
    }
}

/// The arguments, if it is the stop of a call.
fn call_of(offer: &Offer) -> Option<[u64; 6]> {
    match &offer.event {
        Event::SyscallEnter(stop) | Event::SyscallExit(stop) => Some(stop.args),
        _ => None,
    }
}
