//! What a program reads and writes: bytes, opens and errors by file.

use std::collections::BTreeMap;

use pai_plugin::decode::{AT_FDCWD, Limits, Value, is_error};
use pai_plugin::descriptors::{self, Descriptors, fd};
use pai_plugin::json::Object;
use pai_plugin::output::{emit, print, structured};
use pai_plugin::show::{command_line, word};
use pai_plugin::{
    Call, Event, Item, Observer, Overflow, Pid, RecordFlags, Result, Topic, names, options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "files",
    description: "what a program reads and writes: bytes, opens and errors by file",
    wants: [
        Control("the target waits rather than that a call is not counted"),
        MemoryRead("to see the names of files"),
    ],
    options: [
        OptionSpec::flag("per-process", "apart for each process").short("p"),
    ],
    run: run,
}

/// Calls that open, that read and that write.
const CALLS: &str = "open openat openat2 creat pipe pipe2 socket socketpair accept accept4 \
    chdir fchdir read pread64 readv preadv preadv2 write pwrite64 writev pwritev pwritev2 \
    sendfile sendfile64 copy_file_range splice";

fn run() -> Result<()> {
    let mut files = Files::new(options::flag("per-process"));
    for target in Observer::targets()? {
        files.found(target.pid, target.argv, target.attached);
    }
    let others = descriptors::CALLS.iter().copied();
    let calls = CALLS.split_whitespace().chain(others);
    let observer = Observer::new()
        .overflow(Overflow::Block)
        .topic(Topic::Forks)
        .topic(Topic::Execs)
        .calls(calls, Some(Limits::NONE.into()));
    observer.run(|item| {
        match item {
            Item::Call(call) => files.call(call),
            Item::Event(event) => files.event(event),
            Item::Lost(records) => files.lost += records,
            Item::Flush => {}
        }
        Ok(())
    })?;
    if structured() {
        return files.emit();
    }
    print(&files.text());
    Ok(())
}

/// What was done to one file.
#[derive(Clone, Copy, Default)]
struct Counts {
    opens: u64,
    read: u64,
    written: u64,
    errors: u64,
}

/// A process as it is seen from here.
#[derive(Clone, Default)]
struct Process {
    /// Its working directory, if it has changed it: relative to the first one unless it
    /// starts with a slash.
    cwd: Option<Vec<u8>>,
    /// What it executes.
    argv: Vec<String>,
}

#[derive(Default)]
struct Files {
    per_process: bool,
    processes: BTreeMap<Pid, Process>,
    /// What each descriptor refers to.
    open: Descriptors<String>,
    /// By process, or all under 0, and name.
    counts: BTreeMap<(Pid, String), Counts>,
    /// What processes that have ended executed.
    commands: BTreeMap<Pid, Vec<String>>,
    lost: u64,
}

impl Files {
    fn new(per_process: bool) -> Self {
        Self {
            per_process,
            ..Self::default()
        }
    }

    /// A process that is there already. One that was just made has standard streams; what
    /// else it was given is looked up when it is used.
    fn found(&mut self, pid: Pid, argv: Vec<String>, attached: bool) {
        self.processes.entry(pid).or_default().argv = argv;
        for fd in 0..if attached { 1024 } else { 3 } {
            if let Some(name) = inherited(pid, fd) {
                self.open.found(pid, fd, name);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.open.event(event);
        match event {
            Event::Forked(fork) if fork.followed => {
                let parent = self.processes.entry(fork.pid).or_default().clone();
                self.processes.insert(fork.child, parent);
            }
            Event::Execed(exec) => {
                let process = self.processes.entry(exec.pid).or_default();
                process.argv.clone_from(&exec.argv);
            }
            Event::ProcessExited(end) => {
                if let Some(process) = self.processes.remove(&end.pid) {
                    self.commands.insert(end.pid, process.argv);
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, call: Call<'_>) {
        let no_result = RecordFlags::RESTARTS | RecordFlags::NO_RETURN | RecordFlags::DETACHED;
        if call.record_flags.intersects(no_result) {
            return;
        }
        let Some(name) = names::syscall(call.call) else {
            return;
        };
        let (first, second) = (fd(call.a0), fd(call.a1));
        match &*name {
            "open" | "openat" | "openat2" | "creat" => self.opened(call),
            "read" | "pread64" | "readv" | "preadv" | "preadv2" => {
                self.moved(call, Some(first), None);
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                self.moved(call, None, Some(first));
            }
            "sendfile" | "sendfile64" => self.moved(call, Some(second), Some(first)),
            "copy_file_range" | "splice" => self.moved(call, Some(first), Some(fd(call.a2))),
            _ if is_error(call.ret) => self.open.call(&call),
            name @ ("pipe" | "pipe2" | "socketpair") => self.pair(call, name),
            "socket" => self.socket(call, call.a1),
            "accept" => self.socket(call, 0),
            "accept4" => self.socket(call, call.a3),
            "chdir" => {
                let decoded = call.decode(Limits::NONE);
                let path = decoded.as_ref().and_then(|call| call.path());
                let cwd = path.map(|path| path.resolve(|dirfd| self.dir(call.pid, dirfd)));
                self.processes.entry(call.pid).or_default().cwd = cwd;
            }
            "fchdir" => {
                let cwd = self.dir(call.pid, first);
                self.processes.entry(call.pid).or_default().cwd = cwd;
            }
            _ => self.open.call(&call),
        }
    }

    fn opened(&mut self, call: Call<'_>) {
        let Some(decoded) = call.decode(Limits::NONE) else {
            return;
        };
        let Some(path) = decoded.path() else {
            return;
        };
        let name = path.resolve(|dirfd| self.dir(call.pid, dirfd));
        let name = String::from_utf8_lossy(&name).into_owned();
        if let Some(fd) = decoded.new_fd() {
            // openat2(2) has its flags in a structure.
            let how = || decoded.argument("how")?.fields()?.get("flags");
            let flags = decoded.argument("flags").or_else(how);
            let flags = flags.and_then(Value::number).unwrap_or(0);
            self.open.open(&call, fd, name.clone(), flags);
        }
        let counts = self.counts(call.pid, name);
        match is_error(call.ret) {
            true => counts.errors += 1,
            false => counts.opens += 1,
        }
    }

    /// Bytes from one descriptor, to another, or both.
    fn moved(&mut self, call: Call<'_>, from: Option<i32>, to: Option<i32>) {
        // Not negative: what is, is an error.
        let bytes = u64::try_from(call.ret).unwrap_or(0);
        for (fd, is_read) in [(from, true), (to, false)] {
            let Some(name) = fd.and_then(|fd| self.name(call.pid, fd)) else {
                continue;
            };
            let counts = self.counts(call.pid, name);
            match is_read {
                true => counts.read += bytes,
                false => counts.written += bytes,
            }
            counts.errors += u64::from(is_error(call.ret));
        }
    }

    fn socket(&mut self, call: Call<'_>, flags: u64) {
        let made = fd(call.ret.cast_unsigned());
        self.open.open(&call, made, "(socket)".into(), flags);
    }

    /// Two in memory.
    fn pair(&mut self, call: Call<'_>, name: &str) {
        let Some(decoded) = call.decode(Limits {
            text: 0,
            items: 2,
            ..Limits::NONE
        }) else {
            return;
        };
        let (name, flags) = match name {
            "pipe" => ("(pipe)", 0),
            "pipe2" => ("(pipe)", call.a1),
            _ => ("(socket)", call.a1),
        };
        let made = decoded.args.iter().filter_map(|arg| arg.value.items());
        for made in made.flatten() {
            if let Value::Fd(fd) = made {
                self.open.open(&call, *fd, name.into(), flags);
            }
        }
    }

    /// What a descriptor is. One that no call has told of is looked up.
    fn name(&mut self, pid: Pid, fd: i32) -> Option<String> {
        if self.open.get(pid, fd).is_none() {
            self.open.found(pid, fd, inherited(pid, fd)?);
        }
        self.open.get(pid, fd).cloned()
    }

    /// The directory that names start from.
    fn dir(&self, pid: Pid, dirfd: i32) -> Option<Vec<u8>> {
        match dirfd {
            AT_FDCWD => self.processes.get(&pid)?.cwd.clone(),
            fd => Some(self.open.get(pid, fd)?.clone().into_bytes()),
        }
    }

    fn counts(&mut self, pid: Pid, name: String) -> &mut Counts {
        let pid = if self.per_process { pid } else { 0 };
        self.counts.entry((pid, name)).or_default()
    }

    fn command(&self, pid: Pid) -> Option<&[String]> {
        let alive = self.processes.get(&pid).map(|process| &process.argv);
        alive.or_else(|| self.commands.get(&pid)).map(Vec::as_slice)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut of = None;
        for ((pid, name), counts) in &self.counts {
            if of != Some(*pid) {
                of = Some(*pid);
                if let Some(argv) = self.command(*pid) {
                    text.push_str(&format!("{pid} {}\n", command_line(argv)));
                }
                text.push_str(HEAD);
            }
            text.push_str(&row(counts, name));
        }
        if self.lost > 0 {
            text.push_str(&format!(
                "{} records were lost: the counts are too low\n",
                self.lost
            ));
        }
        text
    }

    fn emit(&self) -> Result<()> {
        for ((pid, name), counts) in &self.counts {
            let mut object = Object::new();
            if self.per_process {
                object = object.number("pid", *pid);
                object = object.texts("argv", self.command(*pid).unwrap_or_default());
            }
            let object = object
                .text("file", name)
                .number("opens", counts.opens)
                .number("read", counts.read)
                .number("written", counts.written)
                .number("errors", counts.errors);
            emit("file", &object.end())?;
        }
        emit("total", &Object::new().number("lost", self.lost).end())
    }
}

const HEAD: &str = "    opens         read      written   errors file\n\
    --------- ------------ ------------ -------- ----------------\n";

fn row(counts: &Counts, name: &str) -> String {
    let [opens, read, written, errors] = [counts.opens, counts.read, counts.written, counts.errors]
        .map(|count| match count {
            0 => String::new(),
            count => count.to_string(),
        });
    format!(
        "{opens:>9} {read:>12} {written:>12} {errors:>8} {}\n",
        word(name)
    )
}

/// What a descriptor is that was open before anybody looked.
fn inherited(pid: Pid, fd: i32) -> Option<String> {
    let name = Observer::descriptor(pid, fd).ok()?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let kind = |kind: &str| name.starts_with(kind);
    Some(match () {
        () if kind("pipe:[") => "(pipe)".to_owned(),
        () if kind("socket:[") => "(socket)".to_owned(),
        () => name,
    })
}
