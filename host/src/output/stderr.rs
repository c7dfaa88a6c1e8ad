//! Standard error, for what the host says itself.

use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pai_ptrace::SignalTrap;

/// A pipe that has room has it for so much (PIPE_BUF in pipe(7)).
const PIECE: usize = 4096;
/// How often signals are looked at meanwhile, in milliseconds.
const PATIENCE: u8 = 50;

/// Waits for whoever reads standard error, but not longer than the user wants to:
/// when a signal has come for the host, what is not taken is dropped. So the tracer is
/// not held up for good by what it has to say.
#[derive(Clone, Copy, Debug)]
pub struct OwnStderr;

impl Write for OwnStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stderr = io::stderr();
        let piece = &bytes[..bytes.len().min(PIECE)];
        loop {
            let mut wanted = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut wanted, PollTimeout::from(PATIENCE)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => match nix::unistd::write(&stderr, piece) {
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    written => return Ok(written?),
                },
                Err(errno) => return Err(errno.into()),
            }
            if SignalTrap::is_pending() {
                return Ok(bytes.len());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
