use super::*;
use crate::call::tests::{record, settings};
use crate::siginfo::tests::stop;

/// What a sequence of records prints, taken out after each of them.
struct Trace(Lines, String);

impl Trace {
    fn of(tasks: &[Tid]) -> Self {
        let mut lines = Lines::new(Rc::new(settings()), Clock::default());
        for &tid in tasks {
            lines.started(tid);
        }
        Self(lines, String::new())
    }

    fn call(&mut self, record: &SyscallRecord) -> &mut Self {
        self.with(|lines| {
            lines.call(Call {
                record,
                captured: &[],
            });
        })
    }

    fn unfinished(&mut self, record: &SyscallRecord) -> &mut Self {
        let mut entry = *record;
        entry.record_flags = RecordFlags::UNFINISHED;
        entry.ret = 0;
        self.call(&entry)
    }

    fn with(&mut self, what: impl FnOnce(&mut Lines)) -> &mut Self {
        what(&mut self.0);
        self.0.take(|piece| self.1.push_str(piece));
        self
    }
}

fn exec_by(tid: Tid) -> ExecInfo {
    ExecInfo {
        pid: 10,
        former_tid: tid,
        path: "/bin/true".into(),
        argv: vec!["true".into()],
        abi: 0,
        at: 0,
    }
}

#[test]
fn one_task_has_no_prefix() {
    let mut trace = Trace::of(&[10]);
    trace.call(&record(10, "close", &[3], 0));
    trace.with(|lines| lines.ended(10, &ExitStatus::Exited(3), 0));
    assert_eq!(
        trace.1,
        "close(0x3)                              = 0\n\
         +++ exited with 3 +++\n"
    );
}

#[test]
fn a_restarted_call_says_what_it_resumes() {
    let mut interrupted = record(10, "poll", &[], -516);
    interrupted.record_flags = RecordFlags::RESTARTS;
    let mut again = record(10, "restart_syscall", &[], -516);
    again.record_flags = RecordFlags::RESTARTS;
    let last = record(10, "restart_syscall", &[], 0);
    let mut trace = Trace::of(&[10]);
    trace.0.settings = Rc::new(Settings {
        columns: 0,
        ..settings()
    });
    trace.call(&interrupted).call(&again);
    trace.unfinished(&last);
    trace.call(&last).call(&last);
    assert_eq!(
        trace.1,
        "poll(0, 0, 0) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n\
         restart_syscall(<... resuming interrupted poll ...>) \
         = ? ERESTART_RESTARTBLOCK (Interrupted by signal)\n\
         restart_syscall(<... resuming interrupted restart_syscall ...>) = 0\n\
         restart_syscall() = 0\n"
    );
}

#[test]
fn a_line_goes_on_when_nothing_came_between() {
    let read = record(10, "read", &[0, 16, 1], 1);
    let mut trace = Trace::of(&[10]);
    trace.unfinished(&read);
    assert_eq!(trace.1, "read(0, 0x10, 0x1");
    trace.call(&read);
    assert_eq!(trace.1, "read(0, 0x10, 0x1)                      = 1\n");
}

#[test]
fn overlapping_calls_are_cut_and_resumed() {
    let read = record(21422, "read", &[3, 16, 1], 1);
    let futex = record(21421, "getpid", &[], 21421);
    let mut trace = Trace::of(&[21421, 21422]);
    trace.unfinished(&read).unfinished(&futex);
    trace.call(&read).call(&futex);
    trace.with(|lines| lines.ended(21422, &ExitStatus::Killed((9, false)), 0));
    trace.call(&record(21421, "close", &[3], -9));
    assert_eq!(
        trace.1,
        "[pid 21422] read(0x3, 0x10, 0x1 <unfinished ...>\n\
         [pid 21421] getpid( <unfinished ...>\n\
         [pid 21422] <... read resumed>)         = 1\n\
         [pid 21421] <... getpid resumed>)       = 21421\n\
         [pid 21422] +++ killed by SIGKILL +++\n\
         close(0x3)                              = -1 EBADF (Bad file descriptor)\n"
    );
}

#[test]
fn short_ids_are_padded() {
    let mut trace = Trace::of(&[7, 1_234_567]);
    trace.call(&record(7, "getpid", &[], 7));
    trace.call(&record(1_234_567, "getpid", &[], 7));
    assert_eq!(
        trace.1,
        "[pid     7] getpid()                    = 7\n\
         [pid 1234567] getpid()                  = 7\n"
    );
}

#[test]
fn signals_cut_a_line_too() {
    let read = record(10, "read", &[0, 16, 1], -512);
    let mut restarts = read;
    restarts.record_flags = RecordFlags::RESTARTS;
    let mut trace = Trace::of(&[10]);
    trace.unfinished(&read).call(&restarts);
    trace.with(|lines| lines.signal(&stop(10, 0, &[5, 0])));
    trace.with(|lines| {
        lines.job_control(&JobEvent {
            pid: 10,
            tid: 10,
            signal: 19,
            stopped: true,
            at: 0,
        });
    });
    assert_eq!(
        trace.1,
        "read(0, 0x10, 0x1)                      \
         = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n\
         --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=5, si_uid=0} ---\n\
         --- stopped by SIGSTOP ---\n"
    );
}

#[test]
fn an_exec_takes_the_leaders_id() {
    let mut read = record(10, "read", &[3, 16, 1], 0);
    let exec = record(12, "execve", &[1, 2, 3], 0);
    let mut trace = Trace::of(&[10, 12]);
    trace.unfinished(&read).unfinished(&exec);
    read.record_flags = RecordFlags::NO_RETURN;
    trace.call(&read);
    trace.with(|lines| lines.execed(&exec_by(12)));
    trace.call(&SyscallRecord { tid: 10, ..exec });
    assert_eq!(
        trace.1,
        "[pid    10] read(0x3, 0x10, 0x1 <unfinished ...>\n\
         [pid    12] execve(0x1, 0x2, 0x3 <unfinished ...>\n\
         [pid    10] <... read resumed>)         = ?\n\
         +++ superseded by execve in pid 12 +++\n\
         <... execve resumed>)                   = 0\n"
    );
}

#[test]
fn a_task_that_dies_inside_a_call_ends_its_line() {
    let mut trace = Trace::of(&[10]);
    trace.unfinished(&record(10, "pause", &[], 0));
    trace.with(|lines| lines.ended(10, &ExitStatus::Killed((11, true)), 0));
    assert_eq!(
        trace.1,
        "pause()                                 = ?\n\
         +++ killed by SIGSEGV (core dumped) +++\n"
    );
}

#[test]
fn a_lost_result_does_not_swallow_the_next_call() {
    let mut trace = Trace::of(&[10]);
    trace.unfinished(&record(10, "pause", &[], 0));
    trace.with(|lines| lines.lost(3));
    let mut later = record(10, "pause", &[], -4);
    later.at += 1;
    trace.call(&later);
    assert_eq!(
        trace.1,
        "pause( <unfinished ...>\n\
         --- 3 records lost ---\n\
         pause()                                 = -1 EINTR (Interrupted system call)\n"
    );
}

#[test]
fn an_entry_that_was_not_seen_is_resumed() {
    let mut read = record(10, "read", &[3, 16, 1], 1);
    read.record_flags = RecordFlags::NO_ENTRY;
    let mut trace = Trace::of(&[10]);
    trace.call(&read);
    trace.unfinished(&record(10, "pause", &[], 0));
    trace.with(Lines::detached);
    assert_eq!(
        trace.1,
        "<... read resumed>)                     = 1\n\
         pause( <detached ...>\n"
    );
}

#[test]
fn pieces_end_with_a_line() {
    let mut lines = Lines::new(Rc::new(settings()), Clock::default());
    while lines.out.len() < 2 * PIECE {
        let record = &record(10, "getpid", &[], 10);
        lines.call(Call {
            record,
            captured: &[],
        });
    }
    let mut sizes = Vec::new();
    lines.take(|piece| {
        assert!(piece.ends_with('\n'));
        sizes.push(piece.len());
    });
    assert!(sizes.len() >= 2 && sizes.iter().all(|&size| size <= PIECE));
    assert!(lines.out.is_empty());
}
