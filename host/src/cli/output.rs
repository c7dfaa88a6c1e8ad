//! Where `-o` leads.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use pai_host::output::{OutputTarget, TaskFiles};

use super::message::{self, Halt};

/// The output, and who reads it if that is a command.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) target: OutputTarget,
    pub(crate) reader: Option<Reader>,
}

/// Opens what `-o` names. It is closed in the target.
///
/// # Errors
/// When that is not possible.
pub(crate) fn open(path: &Path, append: bool, separate: bool) -> Result<Opened, Halt> {
    let bytes = path.as_os_str().as_bytes();
    if bytes == b"-" {
        return Err(Halt::failed("-o -: standard output belongs to the target")
            .help("leave -o out for standard error, or write -o ./- for a file of this name"));
    }
    let file = |target| Opened {
        target,
        reader: None,
    };
    if let Some((b'|' | b'!', command)) = bytes.split_first() {
        if separate {
            return Err(Halt::failed(
                "-o with a command: not with a file for each task",
            ));
        }
        let (pipe, reader) = Reader::start(OsStr::from_bytes(command))
            .map_err(|error| cannot("start", path, &error))?;
        return Ok(Opened {
            target: OutputTarget::File {
                file: File::from(pipe),
                path: path.to_owned(),
            },
            reader: Some(reader),
        });
    }
    if separate {
        check_folder(path)?;
        let files = TaskFiles::new(path.to_owned(), append);
        return Ok(file(OutputTarget::Files(files)));
    }
    let mut options = File::options();
    options.create(true).write(true);
    options.append(append).truncate(!append);
    match options.open(path) {
        Ok(opened) => Ok(file(OutputTarget::File {
            file: opened,
            path: path.to_owned(),
        })),
        Err(error) => Err(cannot("create", path, &error)),
    }
}

/// The files of tasks are created when there is something to write; that they cannot
/// be should be known before.
fn check_folder(base: &Path) -> Result<(), Halt> {
    let folder = folder_of(base);
    let may = AccessFlags::W_OK | AccessFlags::X_OK;
    let checked = match folder.is_dir() {
        false if folder.exists() => Err(nix::errno::Errno::ENOTDIR),
        _ => faccessat(AT_FDCWD, folder, may, AtFlags::AT_EACCESS),
    };
    checked.map_err(|errno| {
        let mut first = base.as_os_str().to_owned();
        first.push(".PID");
        cannot("create", Path::new(&first), &errno.into())
    })
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let named = folder.filter(|folder| !folder.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Halt {
    let cause = message::cause(error);
    let halt = Halt::failed(format!("cannot {what} {}: {cause}", path.display()));
    let folder = folder_of(path);
    match error.kind() {
        io::ErrorKind::NotFound if !folder.exists() => {
            halt.help(format!("the folder {} does not exist", folder.display()))
        }
        _ => halt,
    }
}

/// A command that reads the output.
///
/// It is the child of a thread of its own: the tracer waits for all children of its
/// thread.
#[derive(Debug)]
pub(crate) struct Reader(JoinHandle<io::Result<()>>);

impl Reader {
    fn start(command: &OsStr) -> io::Result<(OwnedFd, Self)> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command).stdin(Stdio::piped());
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new().name("pai-reader".into());
        let thread = thread.spawn(move || match shell.spawn() {
            Ok(mut child) => {
                let pipe = child.stdin.take().map(OwnedFd::from);
                // The other end waits for it.
                drop(tell.send(pipe));
                wait(child)
            }
            Err(error) => {
                drop(tell);
                Err(error)
            }
        })?;
        match told.recv() {
            Ok(Some(pipe)) => Ok((pipe, Self(thread))),
            _ => match thread.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            },
        }
    }

    /// Waits for its end, which comes when there is no more to read.
    pub(crate) fn wait(self) {
        match self.0.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(target: "pai::host", %error, "the command of -o is not waited for");
            }
            Err(_) => tracing::warn!(target: "pai::host", "the command of -o is not waited for"),
        }
    }
}

fn wait(mut child: Child) -> io::Result<()> {
    // Its status is its own business, as in strace.
    child.wait().map(drop)
}
