//! The buffer and the thread that empties it.

use std::io::{self, ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pai_ptrace::SignalTrap;

use super::{OutputTarget, OwnStderr};

/// Bytes that wait to be written; whoever prints more waits.
const ROOM: usize = 8 << 20;
/// How long text may wait for more of it, so that a stream of lines is written
/// in pieces.
const NAP: Duration = Duration::from_millis(3);
/// How often the impatient are asked.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Shared {
    buffer: Mutex<Buffer>,
    /// For the thread: there is something to do.
    filled: Condvar,
    /// For the others: there is room, or an end.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Whose the bytes from there on are.
    owners: Vec<(usize, Option<u32>)>,
    /// The thread has nothing to do and has to be told.
    idle: bool,
    closing: bool,
    abandoned: bool,
    /// Text goes nowhere any more.
    broken: bool,
    problem: Option<String>,
    ended: bool,
}

/// What is written at once.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    owners: Vec<(usize, Option<u32>)>,
}

impl Piece {
    fn parts(&self) -> impl Iterator<Item = (Option<u32>, &[u8])> {
        let ends = self.owners.iter().skip(1).map(|(from, _)| *from);
        let ends = ends.chain([self.bytes.len()]);
        let parts = self.owners.iter().zip(ends);
        parts.map(|((from, task), end)| (*task, &self.bytes[*from..end]))
    }
}

impl Buffer {
    /// Text is dropped because nobody takes it.
    fn lose(&mut self) {
        let problem = || "the output was not taken; it is incomplete".to_owned();
        self.problem.get_or_insert_with(problem);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() + size_of_val(&self.owners[..]) >= ROOM
    }

    fn makes_wait(&self) -> bool {
        self.is_full() && !self.broken && !self.abandoned
    }
}

impl Shared {
    /// A panic elsewhere leaves plain data: nothing to repair.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Text about a task, or about none.
    pub(super) fn push(&self, task: Option<u32>, bytes: &[u8]) {
        let mut buffer = self.lock();
        while buffer.makes_wait() {
            buffer = self
                .emptied
                .wait_timeout(buffer, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            // The tracer itself may be waiting here, and is who looks at
            // signals. The user does not want to wait.
            if SignalTrap::is_pending() {
                break;
            }
        }
        if buffer.broken {
            return;
        }
        if buffer.is_full() {
            buffer.lose();
            return;
        }
        if buffer.owners.last().is_none_or(|(_, last)| *last != task) {
            let from = buffer.bytes.len();
            buffer.owners.push((from, task));
        }
        buffer.bytes.extend_from_slice(bytes);
        if std::mem::replace(&mut buffer.idle, false) {
            drop(buffer);
            self.filled.notify_one();
        }
    }

    /// Whoever prints now has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.lock().makes_wait()
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_one();
    }

    pub(super) fn abandon(&self) {
        self.lock().abandoned = true;
        self.emptied.notify_all();
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    /// Waits for the thread's end, true, or until somebody is impatient.
    pub(super) fn await_end(&self, mut impatient: impl FnMut() -> bool) -> bool {
        let mut buffer = self.lock();
        while !buffer.ended {
            let (after, pause) = self
                .emptied
                .wait_timeout(buffer, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            if pause.timed_out() && !after.ended {
                drop(after);
                if impatient() {
                    return false;
                }
                buffer = self.lock();
            } else {
                buffer = after;
            }
        }
        true
    }

    /// The thread.
    pub(super) fn write_all_to(&self, target: OutputTarget) {
        let mut target = target;
        let mut piece = Piece::default();
        while self.next_piece(&mut piece) {
            self.emptied.notify_all();
            for (task, bytes) in piece.parts() {
                let Err(error) = write_all(&mut target, task, bytes) else {
                    continue;
                };
                self.tell(&target.name(task), &error);
                if !target.gives_up(task) {
                    self.break_off();
                    break;
                }
            }
            piece.bytes.clear();
            piece.owners.clear();
            self.nap();
        }
        self.lock().ended = true;
        self.emptied.notify_all();
    }

    /// Waits for text and takes it; false when there will be none.
    fn next_piece(&self, piece: &mut Piece) -> bool {
        let mut buffer = self.lock();
        while buffer.bytes.is_empty() {
            if buffer.closing {
                return false;
            }
            buffer.idle = true;
            buffer = self
                .filled
                .wait(buffer)
                .unwrap_or_else(PoisonError::into_inner);
        }
        buffer.idle = false;
        std::mem::swap(&mut buffer.bytes, &mut piece.bytes);
        std::mem::swap(&mut buffer.owners, &mut piece.owners);
        true
    }

    fn nap(&self) {
        let buffer = self.lock();
        let awake = |buffer: &mut Buffer| !buffer.closing && buffer.bytes.len() < ROOM / 2;
        drop(self.filled.wait_timeout_while(buffer, NAP, awake));
    }

    /// The other end is gone, or takes no more.
    fn break_off(&self) {
        let mut buffer = self.lock();
        buffer.broken = true;
        buffer.bytes = Vec::new();
        buffer.owners = Vec::new();
        drop(buffer);
        self.emptied.notify_all();
    }

    /// Tells the user what is missing, once.
    fn tell(&self, target: &str, error: &io::Error) {
        let first = self.lock().problem.is_none();
        let reason = nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)).desc();
        let problem = format!("cannot write {target}: {reason}");
        if first && error.kind() != ErrorKind::BrokenPipe {
            let text = format!("pai-host: {problem}; output is incomplete\n");
            // If standard error is what is broken, nobody can be told.
            drop(OwnStderr.write_all(text.as_bytes()));
        }
        self.lock().problem.get_or_insert(problem);
    }
}

fn write_all(target: &mut OutputTarget, task: Option<u32>, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match target.write(task, rest) {
            Ok(0) => return Err(io::Error::from_raw_os_error(nix::libc::EIO)),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody who shares the terminal made it so (O_NONBLOCK).
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
