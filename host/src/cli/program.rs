//! Finding the command to run as execvp(3) does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use pai_ptrace::Program;

use super::message::{Halt, cause, escape};
use crate::exit::Code;

/// What execvp(3) looks through when `PATH` is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Why nothing can be executed.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// No such file, in no folder of `PATH`.
    NotFound,
    /// A file of the name that is no program.
    Denied(PathBuf, String),
}

/// The program that these words mean, with the caller's environment; what helps if there
/// are none.
///
/// # Errors
/// With status 127 when it is not found, 126 when it cannot be executed.
pub(crate) fn find(command: &[OsString], help: &str) -> Result<Program, Halt> {
    let Some(name) = command.first() else {
        return Err(Halt::failed("no command is given").help(help));
    };
    let path = match look_up(name, env::var_os("PATH").as_deref()) {
        Ok(path) => path,
        Err(Missing::NotFound) => {
            let message = if name.is_empty() {
                "the command is empty".to_owned()
            } else {
                format!("{}: command not found", name.display())
            };
            return Err(Halt::failed(message).code(Code::NOT_FOUND));
        }
        Err(Missing::Denied(path, why)) => {
            return Err(
                Halt::failed(format!("{}: {why}", path.display())).code(Code::CANNOT_EXECUTE)
            );
        }
    };
    let argv = command.iter().map(|word| word.clone().into_vec());
    // Neither arguments nor variables of a process can hold a NUL.
    pai_engine::program(&path, argv, environment())
        .map_err(|_| Halt::failed("the command holds a NUL byte"))
}

/// The environment as it was given to us, entries without a "=" among them.
fn environment() -> Vec<Vec<u8>> {
    let mut block = std::fs::read("/proc/self/environ").unwrap_or_default();
    if block.pop().is_some() {
        return block.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    }
    let entry =
        |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
    env::vars_os().map(entry).collect()
}

fn look_up(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Missing> {
    if name.is_empty() {
        return Err(Missing::NotFound);
    }
    if name.as_bytes().contains(&b'/') {
        return check(PathBuf::from(name));
    }
    let mut denied = None;
    for folder in env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        // An empty one is the working directory.
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &folder
        };
        match check(folder.join(name)) {
            Ok(path) => return Ok(path),
            Err(Missing::NotFound) => {}
            Err(problem) => denied = denied.or(Some(problem)),
        }
    }
    Err(denied.unwrap_or(Missing::NotFound))
}

fn check(path: PathBuf) -> Result<PathBuf, Missing> {
    let denied = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => "it is a directory".to_owned(),
        Ok(metadata) if !metadata.is_file() => "it is not a regular file".to_owned(),
        Ok(_) => match faccessat(AT_FDCWD, &path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
            Ok(()) => return Ok(path),
            Err(_) => "it is not executable".to_owned(),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(Missing::NotFound);
        }
        Err(error) => cause(&error),
    };
    Err(Missing::Denied(path, denied))
}

/// Explains an execve(2) that failed after all checks: 126, or 127 when a file
/// is missing.
pub(crate) fn exec_failed(path: &str, errno: i32) -> Halt {
    let error = Errno::from_raw(errno);
    let halt = Halt::failed(format!("cannot execute {path}: {}", error.desc()));
    match error {
        Errno::ENOENT => match interpreter(Path::new(path)) {
            Some(interpreter) => halt.help(format!(
                "it needs {}, which is missing",
                escape(&interpreter)
            )),
            None => halt.help("the file, or the dynamic loader that it needs, is missing"),
        }
        .code(Code::NOT_FOUND),
        Errno::ENOEXEC => halt
            .help("it is no program for this machine; a script needs a first line like #!/bin/sh")
            .code(Code::CANNOT_EXECUTE),
        _ => halt.code(Code::CANNOT_EXECUTE),
    }
}

/// The program in the `#!` line of a script.
fn interpreter(script: &Path) -> Option<String> {
    let mut start = [0; 256];
    let len = File::open(script).ok()?.read(&mut start).ok()?;
    let line = start[..len].strip_prefix(b"#!")?.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace)?;
    Some(String::from_utf8_lossy(&line[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn folders_are_searched_in_order() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = env::join_paths([first.path(), second.path()]).unwrap();
        let look = |name: &str| look_up(OsStr::new(name), Some(&path));

        assert_eq!(look("tool"), Err(Missing::NotFound));
        let found = file(second.path(), "tool", 0o755);
        assert_eq!(look("tool"), Ok(found.clone()));
        // A file that is no program does not hide one further on.
        file(first.path(), "tool", 0o644);
        assert_eq!(look("tool"), Ok(found.clone()));
        fs::remove_file(&found).unwrap();
        let denied = Missing::Denied(first.path().join("tool"), "it is not executable".to_owned());
        assert_eq!(look("tool"), Err(denied));
        fs::create_dir(second.path().join("folder")).unwrap();
        assert!(matches!(look("folder"), Err(Missing::Denied(..))));
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let tool = file(folder.path(), "tool", 0o755);
        assert_eq!(look_up(tool.as_os_str(), None), Ok(tool.clone()));
        assert_eq!(
            look_up(folder.path().join("no").as_os_str(), None),
            Err(Missing::NotFound)
        );
        assert_eq!(look_up(OsStr::new(""), None), Err(Missing::NotFound));
        assert!(matches!(
            look_up(OsStr::new("/"), None),
            Err(Missing::Denied(..))
        ));
        // Without PATH there is still a shell.
        assert!(look_up(OsStr::new("sh"), None).is_ok());
    }

    #[test]
    fn missing_interpreters_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#! /no/such/shell -e\n").unwrap();
        assert_eq!(interpreter(&script).as_deref(), Some("/no/such/shell"));
        fs::write(&script, "\x7fELF").unwrap();
        assert_eq!(interpreter(&script), None);
    }
}
