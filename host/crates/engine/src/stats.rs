//! Counters of a session.

/// What the engine did.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Ptrace stops of all kinds.
    pub stops: u64,
    /// Of these, syscall stops.
    pub syscall_stops: u64,
    /// Stops at breakpoints.
    pub breakpoints: u64,
    /// Instructions under breakpoints that were stepped where they are, with all
    /// other tasks stopped.
    pub steps_in_place: u64,
    /// Signals passed on.
    pub signals: u64,
    /// Tasks seen.
    pub tasks: u64,
    /// Processes seen.
    pub processes: u64,
    /// Interrupted calls that were restarted so that the target saw no EINTR.
    pub restarted_calls: u64,
    /// Addresses that looked like pointers and were none.
    pub unexpected: u64,
    /// Answers of two clients that could not both be had.
    pub clashes: u64,
}

/// What one client got.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct ClientStats {
    /// Stops offered.
    pub stops: u64,
    /// Notices sent.
    pub notices: u64,
    /// Notices dropped.
    pub lost: u64,
    /// Longest time for which it held a stop, nanoseconds; 0 unless it is measured
    /// ([`crate::Engine::set_timed`]).
    pub held_longest: u64,
    /// Total of it.
    pub held_total: u64,
}
