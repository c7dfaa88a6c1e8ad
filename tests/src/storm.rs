//! SIGCONTs from outside, at every moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as NixPid;
use pai_ptrace::Pid;

/// Sends a process SIGCONT, as often as is asked for, until this is dropped. With each of
/// them the kernel stops every task for the tracer once (ptrace_trap_notify in
/// kernel/signal.c), also between an instruction and the trap behind it. Without a limit a
/// slow tracer would never get on.
#[derive(Debug)]
pub struct Storm {
    due: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Storm {
    /// Over this process; none is sent yet.
    #[must_use]
    pub fn over(pid: Pid) -> Self {
        let due = Arc::new(AtomicU64::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (left, ended) = (Arc::clone(&due), Arc::clone(&is_over));
        let pid = NixPid::from_raw(pid.get());
        let thread = thread::spawn(move || {
            let mut sent = 0;
            while !ended.load(Ordering::Relaxed) {
                if sent < left.load(Ordering::Relaxed) {
                    if kill(pid, Signal::SIGCONT).is_err() {
                        // It has ended.
                        return;
                    }
                    sent += 1;
                } else {
                    thread::yield_now();
                }
            }
        });
        Self {
            due,
            is_over,
            thread: Some(thread),
        }
    }

    /// So many more.
    pub fn go_on(&self, times: u64) {
        self.due.fetch_add(times, Ordering::Relaxed);
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}
