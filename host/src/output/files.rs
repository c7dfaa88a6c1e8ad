//! A file for each task.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files that are open at once; the others are opened again when there is more for
/// them.
const MOST_OPEN: usize = 64;

/// Files with a common beginning of their names: `NAME` itself and `NAME.1234`.
#[derive(Debug)]
pub struct TaskFiles {
    base: PathBuf,
    /// What was there before stays.
    append: bool,
    /// Those that have been written to.
    begun: HashSet<Option<u32>>,
    /// Those that cannot be: what is for them is dropped.
    given_up: HashSet<u32>,
    /// The one that was used last at the end.
    open: VecDeque<(Option<u32>, File)>,
}

impl TaskFiles {
    /// None of them is there yet.
    #[must_use]
    pub fn new(base: PathBuf, append: bool) -> Self {
        Self {
            base,
            append,
            begun: HashSet::new(),
            given_up: HashSet::new(),
            open: VecDeque::new(),
        }
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    /// The file of a task, or that of all the rest.
    pub(super) fn path(&self, task: Option<u32>) -> PathBuf {
        let Some(task) = task else {
            return self.base.clone();
        };
        let mut path = OsString::from(&self.base);
        path.push(format!(".{task}"));
        path.into()
    }

    /// From now on what is for this task is dropped.
    pub(super) fn give_up(&mut self, task: u32) {
        self.given_up.insert(task);
        self.open.retain(|(of, _)| *of != Some(task));
    }

    pub(super) fn write(&mut self, task: Option<u32>, bytes: &[u8]) -> io::Result<usize> {
        if task.is_some_and(|task| self.given_up.contains(&task)) {
            return Ok(bytes.len());
        }
        if let Some(at) = self.open.iter().position(|(of, _)| *of == task) {
            self.open.swap(at, self.open.len() - 1);
        } else {
            let first = !self.begun.contains(&task);
            let mut options = File::options();
            options.create(true).append(true);
            if task.is_some() {
                // What is there may be a pipe that nobody reads.
                options.custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
            }
            let file = options.open(self.path(task))?;
            if task.is_some() && !file.metadata()?.is_file() {
                return Err(io::Error::from_raw_os_error(nix::libc::ENOTSUP));
            }
            if first {
                if !self.append {
                    file.set_len(0)?;
                }
                self.begun.insert(task);
            }
            if self.open.len() >= MOST_OPEN {
                self.open.pop_front();
            }
            self.open.push_back((task, file));
        }
        match self.open.back_mut() {
            Some((_, file)) => file.write(bytes),
            None => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(files: &mut TaskFiles, task: Option<u32>, text: &str) {
        assert_eq!(files.write(task, text.as_bytes()).unwrap(), text.len());
    }

    #[test]
    fn more_files_than_may_be_open() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("log");
        fs::write(folder.path().join("log.7"), "old\n").unwrap();
        let mut files = TaskFiles::new(base.clone(), false);
        for round in 0..3 {
            for task in 0..200 {
                write(&mut files, Some(task), &format!("{task} {round}\n"));
                assert!(files.open.len() <= MOST_OPEN);
            }
        }
        assert!(!base.exists());
        write(&mut files, None, "all\n");
        assert_eq!(fs::read_to_string(&base).unwrap(), "all\n");
        for task in 0..200 {
            let text = fs::read_to_string(files.path(Some(task))).unwrap();
            assert_eq!(text, format!("{task} 0\n{task} 1\n{task} 2\n"));
        }
    }

    #[test]
    fn what_is_no_file_is_given_up_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log.7")).unwrap();
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&folder.path().join("log.8"), mode).unwrap();
        let mut files = TaskFiles::new(folder.path().join("log"), false);
        for task in [7, 8] {
            assert!(files.write(Some(task), b"text").is_err());
            files.give_up(task);
            write(&mut files, Some(task), "more");
        }
        write(&mut files, Some(9), "text");
        assert_eq!(
            fs::read_to_string(folder.path().join("log.9")).unwrap(),
            "text"
        );
    }

    #[test]
    fn what_was_there_can_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = TaskFiles::new(folder.path().join("log"), true);
        let file = folder.path().join("log.7");
        fs::write(&file, "old\n").unwrap();
        write(&mut files, Some(7), "new\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\nnew\n");
    }
}
