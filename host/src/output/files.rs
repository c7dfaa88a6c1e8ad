//! A file for each task.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
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

    pub(super) fn write(&mut self, task: Option<u32>, bytes: &[u8]) -> io::Result<usize> {
        if let Some(at) = self.open.iter().position(|(of, _)| *of == task) {
            self.open.swap(at, self.open.len() - 1);
        } else {
            let first = !self.begun.contains(&task);
            let file = File::options()
                .create(true)
                .append(true)
                .open(self.path(task))?;
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
    fn what_was_there_can_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = TaskFiles::new(folder.path().join("log"), true);
        let file = folder.path().join("log.7");
        fs::write(&file, "old\n").unwrap();
        write(&mut files, Some(7), "new\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\nnew\n");
    }
}
