//! Which file each descriptor of each process is.

use std::collections::BTreeMap;

use pai_plugin::decode::AT_FDCWD;

/// An open descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// What it refers to.
    pub(crate) name: String,
    /// Closed by an exec.
    pub(crate) cloexec: bool,
    /// When the call that opened it returned.
    pub(crate) since: u64,
}

/// What a process has open, and where it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    fds: BTreeMap<i32, Open>,
    /// Its working directory, if it has changed it: relative to the first one unless it
    /// starts with a slash.
    pub(crate) cwd: Option<Vec<u8>>,
    /// What it executes.
    pub(crate) argv: Vec<String>,
}

impl Process {
    pub(crate) fn open(&mut self, fd: i32, open: Open) {
        self.fds.insert(fd, open);
    }

    pub(crate) fn get(&self, fd: i32) -> Option<&Open> {
        self.fds.get(&fd)
    }

    /// The same file under another number.
    pub(crate) fn duplicate(&mut self, from: i32, to: i32, cloexec: bool, since: u64) {
        match self.fds.get(&from).cloned() {
            Some(open) if from != to => {
                let open = Open {
                    cloexec,
                    since,
                    ..open
                };
                self.fds.insert(to, open);
            }
            Some(_) => {}
            None => {
                self.fds.remove(&to);
            }
        }
    }

    /// Closes by a call that was made at that time. What was opened later has only its
    /// number in common with what was closed: another thread got it in between.
    pub(crate) fn close(&mut self, first: i32, last: i32, at: u64) {
        let gone = |fd: i32, open: &Open| (first..=last).contains(&fd) && open.since <= at;
        self.fds.retain(|fd, open| !gone(*fd, open));
    }

    pub(crate) fn set_cloexec(&mut self, first: i32, last: i32, on: bool) {
        for (fd, open) in &mut self.fds {
            if (first..=last).contains(fd) {
                open.cloexec = on;
            }
        }
    }

    pub(crate) fn exec(&mut self, argv: &[String]) {
        self.fds.retain(|_, open| !open.cloexec);
        self.argv = argv.to_vec();
    }

    /// The directory that names start from.
    pub(crate) fn dir(&self, dirfd: i32) -> Option<Vec<u8>> {
        match dirfd {
            AT_FDCWD => self.cwd.clone(),
            fd => Some(self.get(fd)?.name.clone().into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str, cloexec: bool, since: u64) -> Open {
        Open {
            name: name.into(),
            cloexec,
            since,
        }
    }

    fn names(process: &Process) -> Vec<(i32, &str)> {
        let names = process
            .fds
            .iter()
            .map(|(fd, open)| (*fd, open.name.as_str()));
        names.collect()
    }

    #[test]
    fn descriptors_come_and_go() {
        let mut process = Process::default();
        process.open(3, open("/a", true, 1));
        process.duplicate(3, 5, false, 2);
        process.duplicate(5, 5, true, 3);
        process.duplicate(9, 5, true, 3);
        process.duplicate(3, 6, false, 4);
        assert_eq!(names(&process), [(3, "/a"), (6, "/a")]);
        process.exec(&[]);
        assert_eq!(names(&process), [(6, "/a")]);
        process.set_cloexec(6, 6, true);
        process.exec(&[]);
        assert_eq!(names(&process), []);
    }

    #[test]
    fn a_close_that_is_told_late_closes_nothing_newer() {
        let mut process = Process::default();
        process.open(3, open("/new", false, 20));
        process.open(4, open("/old", false, 5));
        process.close(3, i32::MAX, 10);
        assert_eq!(names(&process), [(3, "/new")]);
    }

    #[test]
    fn names_start_from_directories() {
        let mut process = Process::default();
        assert_eq!(process.dir(AT_FDCWD), None);
        process.cwd = Some(b"/w".to_vec());
        process.open(3, open("/d", false, 0));
        assert_eq!(process.dir(AT_FDCWD).as_deref(), Some(&b"/w"[..]));
        assert_eq!(process.dir(3).as_deref(), Some(&b"/d"[..]));
        assert_eq!(process.dir(4), None);
    }
}
