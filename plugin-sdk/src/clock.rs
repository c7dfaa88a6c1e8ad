//! Times of events as those of a wall clock.

use crate::bindings::pai::plugin::clock;

/// What to add to the time of an event, nanoseconds, for one since 1970.
pub fn realtime() -> i64 {
    clock::realtime()
}

/// How far the user's time zone is ahead of UTC, seconds, at so many seconds since
/// 1970.
pub fn utc_offset(at: i64) -> i32 {
    clock::utc_offset(at)
}
