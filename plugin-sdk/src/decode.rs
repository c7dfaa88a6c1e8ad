//! What the arguments and results of calls mean, in typed form.
//!
//! [`Client::decode`] is for a call that a plugin holds, [`Call::decode`] for one that
//! it observes: with a topic that captures ([`CaptureLimits`]) with what the arguments
//! lead to, otherwise numbers, names and flags only.
//!
//! [`Client::decode`]: crate::Client::decode
//! [`Call::decode`]: crate::observer::Call::decode

pub use pai_syscalls::decode::*;

use crate::RecordFlags;
use crate::bindings::pai::plugin::events::{self, CaptureLimits, SyscallEvent};
use crate::bindings::pai::plugin::memory;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::observer::Call;

impl From<Descriptors> for events::Descriptors {
    fn from(wanted: Descriptors) -> Self {
        let mut flags = Self::empty();
        for (is_wanted, flag) in [
            (wanted.paths, Self::PATHS),
            (wanted.sockets, Self::SOCKETS),
            (wanted.devices, Self::DEVICES),
            (wanted.processes, Self::PROCESSES),
        ] {
            if is_wanted {
                flags |= flag;
            }
        }
        flags
    }
}

impl From<Limits> for CaptureLimits {
    fn from(limits: Limits) -> Self {
        let number = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Self {
            text: number(limits.text),
            items: number(limits.items),
            descriptors: limits.descriptors.into(),
            frames: number(limits.frames),
            tasks: limits.tasks,
        }
    }
}

impl Call<'_> {
    /// Its arguments and its result. `None` for a call that nothing is known of.
    pub fn decode(&self, limits: Limits) -> Option<Decoded> {
        let call = describe(self.call.abi, self.call.nr)?;
        let flags = self.record_flags;
        let unknown = RecordFlags::UNFINISHED
            | RecordFlags::NO_RETURN
            | RecordFlags::RESTARTS
            | RecordFlags::DETACHED;
        let ret = (!flags.intersects(unknown)).then_some(self.ret);
        let captured = Captured::decode(self.captured);
        Some(decode(
            call,
            self.call.abi,
            self.arguments(),
            ret,
            limits,
            &captured,
        ))
    }

    /// Its argument registers.
    pub fn arguments(&self) -> [u64; 6] {
        [self.a0, self.a1, self.a2, self.a3, self.a4, self.a5]
    }
}

impl<S: 'static> Client<S> {
    /// The call whose handler is running, or at which `run_until` returned: its
    /// arguments and, at its exit, its result. `None` for a call that nothing is known
    /// of. Capability `memory-read`.
    ///
    /// At its exit, what went in is what it was at its entry only if the topic captures;
    /// otherwise what it is now.
    ///
    /// # Errors
    /// When no stop is held.
    pub fn decode(&self, call: &SyscallEvent, limits: Limits) -> Result<Option<Decoded>> {
        let captured = self.captured(limits)?;
        let captured = Captured::decode(&captured);
        Ok(meaning(call, limits, &captured))
    }

    /// Whether the call whose handler is running, or at which `run_until` returned,
    /// concerns one of these paths. Capability `memory-read`.
    ///
    /// # Errors
    /// When no stop is held.
    #[cfg(feature = "select")]
    pub fn concerns(&self, call: &SyscallEvent, paths: &[Vec<u8>]) -> Result<bool> {
        let limits = Limits {
            descriptors: Descriptors::PATHS,
            ..Limits::default()
        };
        let captured = self.captured(limits)?;
        let captured = Captured::decode(&captured);
        let decoded = meaning(call, limits, &captured);
        Ok(decoded.is_some_and(|call| crate::select::concerns(&call, &captured, paths)))
    }

    fn captured(&self, limits: Limits) -> Result<Vec<u8>> {
        let stop = self.serving();
        let stop = stop.ok_or_else(|| Error::new("no stop is held"))?;
        Ok(memory::captured(stop, limits.into())?)
    }
}

/// `None` for a call that nothing is known of.
fn meaning(call: &SyscallEvent, limits: Limits, captured: &Captured<'_>) -> Option<Decoded> {
    let described = describe(call.call.abi, call.call.nr)?;
    let ret = call.ret.filter(|_| !call.restarts);
    let (abi, args) = (call.call.abi, call.args.into());
    Some(decode(described, abi, args, ret, limits, captured))
}
