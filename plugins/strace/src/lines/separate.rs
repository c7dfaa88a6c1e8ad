//! Lines in one file, or each task's in a file of its own.

use std::collections::BTreeMap;
use std::rc::Rc;

use pai_plugin::{Call, ExecInfo, JobEvent, ProcessEnd, SignalStop, TaskEnd, TaskStart, Tid};

use super::{Inside, Lines};
use crate::settings::{Settings, TaskIds};
use crate::time::Clock;

/// Where lines go.
pub(crate) enum Sheets {
    /// Into one file.
    One(Box<Lines>),
    /// Into one for each task, which is not disturbed by others.
    Each {
        settings: Rc<Settings>,
        clock: Clock,
        of: BTreeMap<Tid, Lines>,
    },
}

impl Sheets {
    pub(crate) fn new(settings: Settings, clock: Clock, separate: bool) -> Self {
        if separate {
            return Self::Each {
                settings: Rc::new(Settings {
                    task_ids: TaskIds::Never,
                    ..settings
                }),
                clock,
                of: BTreeMap::new(),
            };
        }
        let lines = Lines::new(Rc::new(settings), clock);
        Self::One(Box::new(lines))
    }

    fn of(&mut self, tid: Tid) -> &mut Lines {
        match self {
            Self::One(lines) => lines,
            Self::Each {
                settings,
                clock,
                of,
            } => of
                .entry(tid)
                .or_insert_with(|| Lines::new(Rc::clone(settings), *clock)),
        }
    }

    fn all(&mut self) -> Vec<&mut Lines> {
        match self {
            Self::One(lines) => vec![lines],
            Self::Each { of, .. } => of.values_mut().collect(),
        }
    }

    pub(crate) fn started(&mut self, tid: Tid) {
        self.of(tid).started(tid);
    }

    pub(crate) fn born(&mut self, start: &TaskStart) {
        let name = match self {
            Self::One(lines) => lines.name(start.creator),
            Self::Each { of, .. } => {
                let creator = of.get(&start.creator);
                creator.and_then(|lines| lines.name(start.creator))
            }
        };
        let name = name.map(<[u8]>::to_vec);
        self.of(start.tid).born(start.tid, name);
    }

    pub(crate) fn call(&mut self, call: Call<'_>) {
        self.of(call.tid).call(call);
    }

    pub(crate) fn signal(&mut self, stop: &SignalStop) {
        self.of(stop.tid).signal(stop);
    }

    pub(crate) fn job_control(&mut self, event: &JobEvent) {
        self.of(event.tid).job_control(event);
    }

    pub(crate) fn execed(&mut self, exec: &ExecInfo) {
        let (former, now) = (exec.former_tid, exec.pid);
        match self {
            Self::Each { of, .. } if former != now => {
                for lines in of.values_mut() {
                    lines.forget_superseded(exec);
                }
                let inside = self.of(former).becomes(former, now);
                self.of(now).superseded(exec, inside);
            }
            _ => self.of(now).execed(exec),
        }
    }

    pub(crate) fn exited(&mut self, end: &TaskEnd) {
        self.of(end.tid).exited(end);
    }

    pub(crate) fn process_exited(&mut self, end: &ProcessEnd) {
        self.of(end.pid).process_exited(end);
    }

    pub(crate) fn lost(&mut self, records: u64) {
        for lines in self.all() {
            lines.lost(records);
        }
    }

    pub(crate) fn detached(&mut self) {
        for lines in self.all() {
            lines.detached();
        }
    }

    /// Hands out the text, with whose it is if it has a file of its own.
    pub(crate) fn take(&mut self, mut print: impl FnMut(Option<Tid>, &str)) {
        match self {
            Self::One(lines) => lines.take(|text| print(None, text)),
            Self::Each { of, .. } => of.retain(|tid, lines| {
                lines.take(|text| print(Some(*tid), text));
                !lines.tasks.is_empty()
            }),
        }
    }

    /// The table of counts, if there is to be one.
    pub(crate) fn table(&self) -> Option<String> {
        match self {
            Self::One(lines) => lines.table(),
            // The options exclude each other.
            Self::Each { .. } => None,
        }
    }
}

impl Lines {
    /// The task of this file goes on as another one, in the file of that.
    fn becomes(&mut self, tid: Tid, new: Tid) -> Option<Inside> {
        if self.open.take().is_some() {
            self.text(&format!(" <pid changed to {new} ...>\n"));
        }
        self.forget(tid)
    }
}

#[cfg(test)]
mod tests {
    use pai_plugin::{ExitStatus, RecordFlags};

    use super::*;
    use crate::call::tests::{record, settings};

    fn take(sheets: &mut Sheets, all: &mut BTreeMap<Option<Tid>, String>) {
        sheets.take(|tid, text| all.entry(tid).or_default().push_str(text));
    }

    #[test]
    fn nobody_interrupts_a_line_in_a_file_of_its_own() {
        let mut sheets = Sheets::new(settings(), Clock::default(), true);
        let mut all = BTreeMap::new();
        let mut entry = record(10, "read", &[3, 16, 1], 0);
        entry.record_flags = RecordFlags::UNFINISHED;
        let done = record(10, "read", &[3, 16, 1], 1);
        let other = record(11, "getpid", &[], 10);
        for record in [&entry, &other, &done] {
            let captured = &[];
            sheets.call(Call { record, captured });
            take(&mut sheets, &mut all);
        }
        sheets.exited(&TaskEnd {
            pid: 10,
            tid: 11,
            status: ExitStatus::Exited(3),
            at: 0,
        });
        take(&mut sheets, &mut all);
        assert_eq!(
            all[&Some(10)],
            "read(0x3, 0x10, 0x1)                    = 1\n"
        );
        assert_eq!(
            all[&Some(11)],
            "getpid()                                = 10\n+++ exited with 3 +++\n"
        );
        let Sheets::Each { of, .. } = &sheets else {
            panic!("they are separate");
        };
        assert!(of.keys().eq([&10]));
    }

    #[test]
    fn an_exec_in_a_thread_goes_on_in_the_leaders_file() {
        let mut sheets = Sheets::new(settings(), Clock::default(), true);
        let mut all = BTreeMap::new();
        let exec = record(12, "execve", &[1, 2, 3], 0);
        let mut entry = exec;
        entry.record_flags = RecordFlags::UNFINISHED;
        let mut pause = record(10, "pause", &[], 0);
        pause.record_flags = RecordFlags::NO_RETURN;
        let mut done = exec;
        done.tid = 10;
        let captured = &[];
        sheets.call(Call {
            record: &entry,
            captured,
        });
        sheets.call(Call {
            record: &pause,
            captured,
        });
        sheets.exited(&TaskEnd {
            pid: 10,
            tid: 12,
            status: ExitStatus::Other("superseded".into()),
            at: 0,
        });
        sheets.execed(&ExecInfo {
            pid: 10,
            former_tid: 12,
            path: "/bin/true".into(),
            argv: vec!["true".into()],
            abi: 0,
            at: 0,
        });
        sheets.call(Call {
            record: &done,
            captured,
        });
        take(&mut sheets, &mut all);
        assert_eq!(
            all[&Some(12)],
            "execve(0x1, 0x2, 0x3 <pid changed to 10 ...>\n"
        );
        assert_eq!(
            all[&Some(10)],
            "pause()                                 = ?\n\
             +++ superseded by execve in pid 12 +++\n\
             <... execve resumed>)                   = 0\n"
        );
    }
}
