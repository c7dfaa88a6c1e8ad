//! Starting a program under trace.

use std::ffi::{CStr, CString, c_int};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::cstr::CArray;
use crate::disposition;
use crate::filter::{self, Filter};
use crate::stdio;
use crate::wait::{self, Block, Waited, What};
use crate::{Error, Op, Options, Signal, Stop, Stopped, Tid, kill, seize};

/// How often a child is looked at before the looks become rarer.
const PATIENT_LOOKS: u32 = 1000;

/// A program to execute. Nothing is looked up: `path` goes to execve(2) as it
/// is.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file.
    pub path: CString,
    /// Arguments, the program's own name first.
    pub argv: Vec<CString>,
    /// Environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Working directory; the caller's when absent.
    pub cwd: Option<CString>,
    /// Standard input, output and error; the caller's where absent, closed if the
    /// caller's process was started without.
    pub stdio: [Option<Arc<OwnedFd>>; 3],
    /// Who runs it; the caller when absent.
    pub user: Option<Credentials>,
}

/// A user with groups, by their numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub uid: u32,
    /// Real, effective and saved group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A child that is seized, stopped, and has not executed its program yet.
#[derive(Debug)]
pub struct Spawned {
    /// The child, in its first stop.
    pub stopped: Stopped,
    /// Lets it go on to its execve once written to.
    go: File,
    /// Carries the errno of a failed execve; closed by a successful one.
    failure: File,
}

/// The rest of a [`Spawned`] once its task has been taken out.
#[derive(Debug)]
pub struct Gate {
    go: File,
    failure: File,
}

impl Spawned {
    /// The task, and what holds it back.
    pub fn into_parts(self) -> (Stopped, Gate) {
        let gate = Gate {
            go: self.go,
            failure: self.failure,
        };
        (self.stopped, gate)
    }
}

impl Gate {
    /// Lets the child execute its program once it is resumed, with a filter if it can
    /// be had: /proc/PID/status tells.
    ///
    /// # Errors
    /// EPIPE when it was killed before.
    pub fn open(&mut self, filter: Option<&Filter>) -> Result<(), Error> {
        let errno = |e: std::io::Error| e.raw_os_error().unwrap_or(libc::EIO);
        let mut program = filter.map(Filter::bytes).unwrap_or_default();
        let length = size_of::<u32>();
        // At once, as the child reads nothing before it is resumed.
        if !fits(&self.go, length + program.len()) {
            program.clear();
        }
        let mut message = (program.len() as u32).to_ne_bytes().to_vec();
        message.extend(program);
        self.go
            .write_all(&message)
            .map_err(|e| Error::new(Op::Pipe, None, errno(e)))
    }

    /// Why the program was not executed, once the child has ended; `None` when
    /// it was killed before it tried.
    pub fn failure(&mut self) -> Option<i32> {
        let mut bytes = [0; 4];
        self.failure
            .read_exact(&mut bytes)
            .is_ok()
            .then(|| i32::from_ne_bytes(bytes))
    }
}

/// Forks a child of the calling thread, seizes it with `options` and stops it
/// before its execve.
///
/// The child waits on a pipe meanwhile: raising SIGSTOP in it would leave a
/// group-stop pending that its own children inherit. Because it is stopped
/// before it goes on, its first execve is seen whole.
///
/// # Errors
/// The failed step; nothing is left behind.
pub fn spawn(program: &Program, options: Options) -> Result<Spawned, Error> {
    let argv = CArray::new(program.argv.clone());
    let env = CArray::new(program.env.clone());
    let (go_read, go_write) = pipe()?;
    let (failure_read, failure_write) = pipe()?;

    let child = Child {
        path: &program.path,
        argv: &argv,
        env: &env,
        cwd: program.cwd.as_deref(),
        user: program.user.as_ref(),
        go: go_read.as_raw_fd(),
        parents_go: go_write.as_raw_fd(),
        failure: failure_write.as_raw_fd(),
        stdio: [0, 1, 2].map(|n: usize| program.stdio[n].as_ref().map_or(-1, |fd| fd.as_raw_fd())),
    };
    let tid = fork(&child)?;
    drop((go_read, failure_write));

    match stop_first(tid, options) {
        Ok(stopped) => Ok(Spawned {
            stopped,
            go: File::from(go_write),
            failure: File::from(failure_read),
        }),
        Err(error) => {
            // It is our child and has done nothing yet. A failure here means
            // that it is gone already, which is what is wanted.
            if kill(tid.as_pid(), Signal::KILL).is_ok() {
                wait::one(tid, Block::Yes)?;
            }
            Err(error)
        }
    }
}

/// Polls instead of blocking: a report that somebody else has taken would be
/// waited for for ever, and the child needs only microseconds.
fn stop_first(tid: Tid, options: Options) -> Result<Stopped, Error> {
    let mut running = seize(tid, options)?;
    running.interrupt()?;
    let mut looks = 0_u32;
    loop {
        match wait::one(tid, Block::No)? {
            Waited::Report(report) => match report.what {
                What::Stopped(stopped, Stop::Interrupt) => return Ok(stopped),
                What::Stopped(stopped, Stop::SignalDelivery(signal)) => {
                    running = stopped.resume(crate::Resume::Cont, Some(signal))?;
                }
                What::Stopped(stopped, _) => {
                    running = stopped.resume(crate::Resume::Cont, None)?;
                }
                What::Exited(_) | What::Killed(..) => {
                    return Err(Error::new(Op::Seize, tid, libc::ESRCH));
                }
            },
            Waited::Nothing if wait::was_stolen(&running, tid.as_pid()) => {
                return Err(Error::new(Op::Wait, tid, libc::ECHILD));
            }
            Waited::Nothing if looks < PATIENT_LOOKS => {
                looks += 1;
                std::thread::yield_now();
            }
            Waited::Nothing => std::thread::sleep(Duration::from_millis(1)),
            Waited::Interrupted => {}
            Waited::NoTasks => return Err(Error::new(Op::Wait, tid, libc::ECHILD)),
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::new(Op::Pipe, None, errno as i32))
}

/// Whether an empty pipe holds so much, or can be made to: users with many pipes get small
/// ones (/proc/sys/fs/pipe-user-pages-soft in pipe(7)).
fn fits(pipe: &File, length: usize) -> bool {
    let holds = |size: c_int| usize::try_from(size).is_ok_and(|size| size >= length);
    let wanted = c_int::try_from(length).unwrap_or(c_int::MAX);
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(holds)
        || fcntl(pipe, FcntlArg::F_SETPIPE_SZ(wanted)).is_ok_and(holds)
}

struct Child<'a> {
    path: &'a CStr,
    argv: &'a CArray,
    env: &'a CArray,
    cwd: Option<&'a CStr>,
    user: Option<&'a Credentials>,
    go: c_int,
    parents_go: c_int,
    failure: c_int,
    /// -1 for what is inherited.
    stdio: [c_int; 3],
}

/// Forks with all signals blocked, so that none of our handlers runs in the
/// child.
fn fork(child: &Child<'_>) -> Result<Tid, Error> {
    let mut all = empty_set();
    let mut before = empty_set();
    // SAFETY: both sets are live locals.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    // SAFETY: the child runs only `Child::run`, which keeps to
    // async-signal-safe calls and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        disposition::block_again(&mut before);
        // SAFETY: we are the child of a fork, before exec.
        unsafe { child.run(&before) }
    }
    let error = Error::last(Op::Fork, None);
    // SAFETY: `before` was filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    if pid == -1 {
        Err(error)
    } else {
        Ok(Tid::new(pid))
    }
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: a plain structure of integers; all-zero is the empty set.
    unsafe { std::mem::zeroed() }
}

/// Groups first: afterwards there is no right to change them. The calls themselves,
/// because those of libc are for all threads, which a child of a fork does not have.
///
/// # Safety
/// Only in the child of a fork.
unsafe fn become_user(user: &Credentials) -> bool {
    // SAFETY: the list lives while the call reads it.
    unsafe {
        libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()) == 0
            && libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid) == 0
            && libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid) == 0
    }
}

impl Child<'_> {
    /// What the child does between fork and exec: only async-signal-safe calls
    /// and no allocation (fork(2), "async-signal-safe").
    ///
    /// # Safety
    /// Only in the child of a fork.
    unsafe fn run(&self, mask: &libc::sigset_t) -> ! {
        // SAFETY: system calls on descriptors and pointers that outlive this
        // process image; handlers are reset before signals are unblocked.
        unsafe {
            // Our end must go, or the read below never sees our death.
            libc::close(self.parents_go);
            disposition::restore_in_child();
            libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
            // Before the tracer watches, so that the target's first traced call
            // is its execve. A failure waits until there is somebody to tell.
            let prepared = self.prepare();
            let mut len = 0_u32;
            self.receive((&raw mut len).cast(), size_of::<u32>());
            const NOTHING: libc::sock_filter = libc::sock_filter {
                code: 0,
                jt: 0,
                jf: 0,
                k: 0,
            };
            let mut program = [NOTHING; filter::MAX_LEN];
            let len = (len as usize).min(size_of_val(&program));
            self.receive((&raw mut program).cast(), len);
            if let Err(errno) = prepared {
                self.fail(errno);
            }
            if let Some(program) = program.get(..len / size_of::<libc::sock_filter>())
                && !program.is_empty()
            {
                // Where it cannot be had the tracer finds none, and stops all calls.
                filter::install(program).ok();
            }
            // Behind the filter, for which a right may be needed that is lost here.
            if self.user.is_some_and(|user| !become_user(user)) {
                self.fail(*libc::__errno_location());
            }
            libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            self.fail(*libc::__errno_location())
        }
    }

    /// Reads so many bytes that the parent has written.
    ///
    /// # Safety
    /// As [`Child::run`]; there is room for them.
    unsafe fn receive(&self, to: *mut u8, len: usize) {
        let mut done = 0;
        while done < len {
            // SAFETY: within what the caller has room for.
            let read = unsafe { libc::read(self.go, to.add(done).cast(), len - done) };
            match usize::try_from(read) {
                Ok(more @ 1..) => done += more,
                // SAFETY: the errno of this thread.
                Err(_) if unsafe { *libc::__errno_location() } == libc::EINTR => {}
                // The parent is gone.
                // SAFETY: ends the process.
                _ => unsafe { libc::_exit(127) },
            }
        }
    }

    /// Puts descriptors and working directory in place.
    ///
    /// # Safety
    /// As [`Child::run`].
    unsafe fn prepare(&self) -> Result<(), c_int> {
        // SAFETY: async-signal-safe calls on live descriptors and strings.
        unsafe {
            for (target, fd) in (0..).zip(self.stdio) {
                // A descriptor that is in place already would keep its
                // close-on-exec flag.
                let done = match fd {
                    -1 if stdio::was_closed(target) => {
                        // Closed by the execve: what else has this number may be
                        // needed until then. EBADF says that it is closed already.
                        libc::fcntl(target, libc::F_SETFD, libc::FD_CLOEXEC);
                        0
                    }
                    -1 => 0,
                    same if same == target => libc::fcntl(target, libc::F_SETFD, 0),
                    other => libc::dup2(other, target),
                };
                if done == -1 {
                    return Err(*libc::__errno_location());
                }
            }
            match self.cwd.is_none_or(|cwd| libc::chdir(cwd.as_ptr()) != -1) {
                true => Ok(()),
                false => Err(*libc::__errno_location()),
            }
        }
    }

    /// Reports an errno to the parent and ends.
    ///
    /// # Safety
    /// As [`Child::run`].
    unsafe fn fail(&self, errno: c_int) -> ! {
        // SAFETY: async-signal-safe calls on a live local.
        unsafe {
            let bytes = errno.to_ne_bytes();
            libc::write(self.failure, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pipe_holds() {
        let (_reader, writer) = pipe().expect("a pipe");
        let writer = File::from(writer);
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("less is always granted");
        assert!(fits(&writer, 4096));
        assert_eq!(fcntl(&writer, FcntlArg::F_GETPIPE_SZ), Ok(4096));
        assert!(fits(&writer, 4097));
        assert_eq!(fcntl(&writer, FcntlArg::F_GETPIPE_SZ), Ok(8192));
        assert!(!fits(&writer, usize::MAX));
    }
}
