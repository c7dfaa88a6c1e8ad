//! Standard descriptors that this process was started without.
//!
//! Rust's runtime opens /dev/null for those before `main`. A target must get what the
//! tracer was given, so which ones they are is noted before that.

use std::ffi::c_int;
use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each descriptor.
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = remember_closed;

extern "C" fn remember_closed() {
    for fd in 0..=libc::STDERR_FILENO {
        // SAFETY: takes numbers. EBADF, the only error, says that it is closed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            CLOSED_AT_START.fetch_or(1 << fd, Ordering::Relaxed);
        }
    }
}

/// Whether one of the three was closed when the process started.
pub(crate) fn was_closed(fd: c_int) -> bool {
    CLOSED_AT_START.load(Ordering::Relaxed) & 1 << fd != 0
}
