//! Lines as `strace -f` writes them: whose they are, and how calls that overlap
//! are cut and taken up again.

use std::rc::Rc;

use pai_plugin::decode::Captured;
use pai_plugin::decode::text::{push_decimal, push_name};
use pai_plugin::{
    Call, ExecInfo, ExitStatus, JobEvent, Pid, ProcessEnd, RecordFlags, SignalStop, SyscallId,
    SyscallRecord, TaskEnd, Tid,
};
use pai_syscalls::signal::Name;

use crate::call::{Shown, push_task_name, show};
use crate::settings::{Settings, Summary, TaskIds};
use crate::siginfo;
use crate::stack;
use crate::summary::Counts;
use crate::time::Clock;

mod dump;
pub(crate) mod separate;

/// Ids of tasks are as wide at least.
const TID_WIDTH: usize = 5;
/// Text is handed out in pieces of at most so many bytes.
const PIECE: usize = 256 * 1024;

/// Collects text; [`Lines::take`] hands it out.
#[derive(Default)]
pub(crate) struct Lines {
    out: Vec<u8>,
    /// Live tasks, by id.
    tasks: Vec<Task>,
    /// Tasks, with their processes, that ended because another executed.
    superseded: Vec<(Pid, Tid)>,
    /// The last line is not finished.
    open: Option<Tid>,
    /// Where the current line starts in `out`, and what of it is gone already.
    start: usize,
    gone: usize,
    /// What is shown, and how.
    pub(crate) settings: Rc<Settings>,
    pub(crate) clock: Clock,
    /// When the line before was begun, nanoseconds.
    before: u64,
    pub(crate) counts: Counts,
}

struct Task {
    tid: Tid,
    /// The call whose entry was written, but not its result.
    inside: Option<Inside>,
    /// The stack of the call in which it ends: that comes behind its end.
    last_stack: Vec<u8>,
    /// The number of its last call.
    last_call: u32,
    /// Its command, if that is wanted.
    name: Vec<u8>,
    /// What restart_syscall(2) would resume.
    interrupted: Option<SyscallId>,
}

struct Inside {
    record: SyscallRecord,
    captured: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(settings: Rc<Settings>, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            ..Self::default()
        }
    }

    /// A task that lives already.
    pub(crate) fn started(&mut self, tid: Tid) {
        self.task(tid);
    }

    /// A task that another has made, whose name it has.
    pub(crate) fn born(&mut self, tid: Tid, name: Option<Vec<u8>>) {
        self.task(tid).name = name.unwrap_or_default();
    }

    /// The command of a task, as far as it is known.
    fn name(&self, tid: Tid) -> Option<&[u8]> {
        let at = self.place(tid).ok()?;
        Some(self.tasks[at].name.as_slice())
    }

    pub(crate) fn call(&mut self, call: Call<'_>) {
        let record = call.record;
        let unfinished = record.record_flags.contains(RecordFlags::UNFINISHED);
        let task = self.task(record.tid);
        task.last_call = record.call.nr;
        let inside = task.inside.take();
        let interrupted = task.interrupted;
        if !unfinished {
            task.interrupted = is_interrupted(record).then_some(record.call);
        }
        // An entry time of its own: the result of the earlier call was lost.
        let resumes = inside.is_some_and(
            |Inside {
                 record: earlier, ..
             }| { earlier.at == record.at && earlier.call == record.call },
        );
        if !self.settings.trace.has(record.call) {
            return;
        }
        if self.settings.summary != Summary::None {
            self.counts.add(record, self.settings.overhead);
        }
        if self.settings.summary == Summary::Only {
            return;
        }
        let goes_on = resumes || record.record_flags.contains(RecordFlags::NO_ENTRY);
        self.note(&call, goes_on);
        let shown = show(call, &self.settings);
        if !self.is_wanted(&call, &shown) {
            return;
        }
        if !resumes || self.open != Some(record.tid) {
            let at = if goes_on {
                record.at + record.took
            } else {
                record.at
            };
            self.begin(Some(record.tid), at);
            self.push_place(record);
            if goes_on {
                self.out.extend_from_slice(b"<... ");
                shown.push_name(&mut self.out);
                self.out.extend_from_slice(b" resumed>");
            } else {
                shown.push_name(&mut self.out);
                self.out.push(b'(');
            }
        }
        if !goes_on {
            shown.push_entry(&mut self.out);
            if let Some(call) = interrupted.filter(|_| is_restart(record.call)) {
                self.out.extend_from_slice(b"<... resuming interrupted ");
                push_name(&mut self.out, call.abi, call.nr);
                self.out.extend_from_slice(b" ...>");
            }
        }
        if record.record_flags.contains(RecordFlags::DETACHED) {
            self.open = None;
            self.out.extend_from_slice(b" <detached ...>\n");
            self.forget(record.tid);
            return;
        }
        if unfinished {
            self.open = Some(record.tid);
            self.task(record.tid).inside = Some(Inside {
                record: *record,
                captured: call.captured.to_vec(),
            });
            return;
        }
        self.open = None;
        shown.push_rest(&mut self.out);
        self.out.push(b')');
        self.pad();
        shown.push_result(&mut self.out);
        if !record.record_flags.contains(RecordFlags::NO_RETURN) {
            self.settings.times.push_took(&mut self.out, record.took);
        }
        self.out.push(b'\n');
        self.dump(&call);
        self.note(&call, true);
        if self.settings.stacks {
            let frames = Captured::decode(call.captured).frames().unwrap_or(&[]);
            if record.record_flags.contains(RecordFlags::NO_RETURN) {
                self.task(record.tid).last_stack = frames.to_vec();
            } else {
                stack::push(&mut self.out, frames);
            }
        }
    }

    /// Whether the options leave this call in.
    fn is_wanted(&self, call: &Call<'_>, shown: &Shown<'_>) -> bool {
        self.settings.statuses.want(call.record) && shown.concerns(&self.settings.paths)
    }

    /// `[ 257] ` and `[00007f0bb93d2b1d] `, if they are wanted.
    fn push_place(&mut self, record: &SyscallRecord) {
        if self.settings.number {
            self.text(&format!("[{:4}] ", record.call.nr));
        }
        if self.settings.instruction_pointer {
            self.text(&format!("[{:016x}] ", record.ip));
        }
    }

    /// The bytes that went through a descriptor, if they are wanted.
    fn dump(&mut self, call: &Call<'_>) {
        dump::push(&mut self.out, call, &self.settings);
    }

    pub(crate) fn signal(&mut self, stop: &SignalStop) {
        if !self.settings.signals.has(stop.signal) || self.settings.summary == Summary::Only {
            return;
        }
        self.begin_event(stop.tid, stop.at, Some(stop.ip));
        let (name, info) = (
            Name(stop.signal),
            siginfo::describe(stop, &self.settings.style),
        );
        self.text(&format!("--- {name} {info} ---\n"));
        stack::push(&mut self.out, &stop.frames);
    }

    pub(crate) fn job_control(&mut self, event: &JobEvent) {
        if event.stopped && self.settings.summary != Summary::Only {
            self.begin_event(event.tid, event.at, None);
            self.text(&format!("--- stopped by {} ---\n", Name(event.signal)));
        }
    }

    /// Tasks are gone without an end because one of their process has executed.
    fn forget_superseded(&mut self, exec: &ExecInfo) {
        for (pid, tid) in std::mem::take(&mut self.superseded) {
            if pid != exec.pid {
                self.superseded.push((pid, tid));
            } else if tid != exec.former_tid {
                self.vanish(tid);
                self.forget(tid);
            }
        }
    }

    /// A task other than the leader made the exec: it lives on under the
    /// leader's id, and its call returns under that.
    pub(crate) fn execed(&mut self, exec: &ExecInfo) {
        self.forget_superseded(exec);
        if exec.former_tid == exec.pid {
            return;
        }
        let inside = self.forget(exec.former_tid);
        self.superseded(exec, inside);
    }

    /// As [`Lines::execed`]; `inside` is the call of the task that made it.
    fn superseded(&mut self, exec: &ExecInfo, inside: Option<Inside>) {
        self.vanish(exec.pid);
        if !self.settings.quiet.superseded && self.settings.summary != Summary::Only {
            self.begin_event(exec.pid, exec.at, None);
            let former = exec.former_tid;
            self.text(&format!("+++ superseded by execve in pid {former} +++\n"));
        }
        self.task(exec.pid).inside = inside;
    }

    /// A task has ended. That of a leader is told when all of its process has: until
    /// then its id may come back with an exec.
    pub(crate) fn exited(&mut self, end: &TaskEnd) {
        match &end.status {
            ExitStatus::Other(_) => self.superseded.push((end.pid, end.tid)),
            _ if end.tid == end.pid => self.vanish(end.tid),
            status => self.ended(end.tid, status, end.at),
        }
    }

    pub(crate) fn process_exited(&mut self, end: &ProcessEnd) {
        if self.place(end.pid).is_ok() {
            self.ended(end.pid, &end.status, end.at);
        }
    }

    fn ended(&mut self, tid: Tid, status: &ExitStatus, at: u64) {
        self.vanish(tid);
        if self.settings.tells_end(status) && self.settings.summary != Summary::Only {
            self.tell_end(tid, status, at);
        }
        let last_stack = std::mem::take(&mut self.task(tid).last_stack);
        if !last_stack.is_empty() {
            self.finish_line();
            stack::push(&mut self.out, &last_stack);
        }
        self.forget(tid);
    }

    fn tell_end(&mut self, tid: Tid, status: &ExitStatus, at: u64) {
        self.begin_event(tid, at, None);
        self.text(&match status {
            ExitStatus::Exited(code) => format!("+++ exited with {code} +++\n"),
            ExitStatus::Killed((signal, core)) => {
                let core = if *core { " (core dumped)" } else { "" };
                format!("+++ killed by {}{core} +++\n", Name(*signal))
            }
            ExitStatus::Other(text) => format!("+++ {} +++\n", text.escape_default()),
        });
    }

    pub(crate) fn lost(&mut self, records: u64) {
        self.begin(None, self.before);
        self.text(&format!("--- {records} records lost ---\n"));
    }

    /// Nothing more will come.
    pub(crate) fn detached(&mut self) {
        if self.open.take().is_some() {
            self.text(" <detached ...>\n");
        }
    }

    /// The table of counts, if there is to be one.
    pub(crate) fn table(&self) -> Option<String> {
        let wanted = self.settings.summary != Summary::None;
        wanted.then(|| {
            let columns = &self.settings.table;
            self.counts.table(self.settings.sort, columns)
        })
    }

    /// Hands the text out in pieces that end with a line where possible.
    pub(crate) fn take(&mut self, mut print: impl FnMut(&str)) {
        self.gone = match self.open {
            Some(_) => self.column(),
            None => 0,
        };
        self.start = 0;
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest));
            // All but ever ASCII, and then this is much quicker than the other.
            match std::str::from_utf8(piece) {
                Ok(text) => print(text),
                Err(_) => print(&String::from_utf8_lossy(piece)),
            }
            rest = after;
        }
        self.out.clear();
    }

    /// Cuts the line that is not finished.
    fn finish_line(&mut self) {
        if self.open.take().is_some() {
            self.out.extend_from_slice(b" <unfinished ...>\n");
        }
    }

    /// Starts a line, after cutting the one that is not finished.
    fn begin(&mut self, tid: Option<Tid>, at: u64) {
        self.finish_line();
        self.start = self.out.len();
        self.gone = 0;
        match (tid, self.settings.task_ids) {
            (Some(tid), TaskIds::Several) if self.tasks.len() > 1 => {
                self.out.extend_from_slice(b"[pid ");
                let digits = tid.checked_ilog10().unwrap_or(0) as usize + 1;
                let spaces = TID_WIDTH.saturating_sub(digits);
                self.out.resize(self.out.len() + spaces, b' ');
                push_decimal(&mut self.out, tid.into());
                self.push_name(tid);
                self.out.extend_from_slice(b"] ");
            }
            (Some(tid), TaskIds::Always) if self.settings.limits.tasks => {
                push_decimal(&mut self.out, tid.into());
                self.push_name(tid);
                self.out.push(b' ');
            }
            (Some(tid), TaskIds::Always) => {
                let end = self.out.len() + TID_WIDTH;
                push_decimal(&mut self.out, tid.into());
                self.out.resize(end.max(self.out.len()), b' ');
                self.out.push(b' ');
            }
            _ => {}
        }
        let past = match self.before {
            0 => 0,
            before => at.saturating_sub(before),
        };
        let times = self.settings.times;
        times.push(&mut self.out, at, past, self.clock);
        self.before = at;
    }

    /// Starts a line of something that is no call.
    fn begin_event(&mut self, tid: Tid, at: u64, ip: Option<u64>) {
        self.begin(Some(tid), at);
        if self.settings.number {
            let nr = self.task(tid).last_call;
            self.text(&format!("[{nr:4}] "));
        }
        match ip {
            _ if !self.settings.instruction_pointer => {}
            Some(ip) => self.text(&format!("[{ip:016x}] ")),
            None => self.text("[????????????????] "),
        }
    }

    fn push_name(&mut self, tid: Tid) {
        if let Some(name) = self.name(tid).filter(|name| !name.is_empty()) {
            let name = name.to_vec();
            push_task_name(&mut self.out, &name);
        }
    }

    /// What is known of a task by its call, before or after it.
    fn note(&mut self, call: &Call<'_>, after: bool) {
        if !self.settings.limits.tasks {
            return;
        }
        let (captured, tid) = (Captured::decode(call.captured), call.tid.cast_signed());
        let name = match after {
            true => captured.task_after(tid),
            false => captured.task(tid),
        };
        if let Some(name) = name {
            name.clone_into(&mut self.task(call.tid).name);
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn column(&self) -> usize {
        self.gone + self.out.len() - self.start
    }

    /// At least one space.
    fn pad(&mut self) {
        let spaces = self.settings.columns.saturating_sub(self.column()).max(1);
        self.out.extend(std::iter::repeat_n(b' ', spaces));
    }

    fn task(&mut self, tid: Tid) -> &mut Task {
        let at = match self.place(tid) {
            Ok(at) => at,
            Err(at) => {
                let task = Task {
                    tid,
                    inside: None,
                    last_stack: Vec::new(),
                    last_call: 0,
                    name: Vec::new(),
                    interrupted: None,
                };
                self.tasks.insert(at, task);
                at
            }
        };
        &mut self.tasks[at]
    }

    /// Where a task is, or would be.
    fn place(&self, tid: Tid) -> Result<usize, usize> {
        self.tasks.binary_search_by_key(&tid, |task| task.tid)
    }

    fn forget(&mut self, tid: Tid) -> Option<Inside> {
        let at = self.place(tid).ok()?;
        self.tasks.remove(at).inside
    }

    /// Closes the call in which a task ends, should the host not have done so.
    fn vanish(&mut self, tid: Tid) {
        if let Some(inside) = self.task(tid).inside.take() {
            let mut record = inside.record;
            record.record_flags = RecordFlags::NO_RETURN;
            self.task(tid).inside = Some(Inside {
                record,
                captured: Vec::new(),
            });
            self.call(Call {
                record: &record,
                captured: &inside.captured,
            });
        }
    }
}

/// Whether the kernel goes on with it by restart_syscall(2): ERESTART_RESTARTBLOCK in
/// linux/errno.h.
fn is_interrupted(record: &SyscallRecord) -> bool {
    record.record_flags.contains(RecordFlags::RESTARTS) && record.ret == -516
}

fn is_restart(call: SyscallId) -> bool {
    pai_syscalls::name(call.abi, call.nr) == Some("restart_syscall")
}

/// Where to cut off a piece of text: after the last line that fits.
fn cut(text: &[u8]) -> usize {
    match text.get(..PIECE) {
        None => text.len(),
        Some(piece) => match piece.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None => PIECE,
        },
    }
}

#[cfg(test)]
mod tests;
