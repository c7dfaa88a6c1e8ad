//! Fails calls: the n-th that fits.

use pai_plugin::decode::{Decoded, Limits, describe};
use pai_plugin::json::Object;
use pai_plugin::output::{emit, structured};
use pai_plugin::{Client, OnEnter, Result, SyscallEvent, names, options, pattern};

mod when;

use when::When;

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "fault",
    description: "fails system calls: the n-th of these names, on these files",
    wants: [
        MemoryRead("to see the names of files"),
        Tamper("to skip the calls and return something else"),
    ],
    options: [
        OptionSpec::text("call", "names of system calls, separated by commas")
            .short("c").metavar("NAMES").repeated(),
        OptionSpec::text("path", "only those that name a file that fits a shell pattern")
            .metavar("PATTERN"),
        OptionSpec::integer("fd", "only those on this descriptor").metavar("FD"),
        OptionSpec::text("when", "which of those that fit, the first is 1: N, N+ (and all \
            behind it), N+STEP (and every STEP-th behind it), FIRST..LAST, FIRST..LAST+STEP")
            .short("w").metavar("WHEN").default("1+"),
        OptionSpec::text("error", "they fail with this: a name such as EACCES, or a number")
            .short("e").metavar("ERROR"),
        OptionSpec::integer("retval", "they return this instead").metavar("NUMBER"),
    ],
    run: run,
}

/// What the options say.
struct Rule {
    path: Option<String>,
    fd: Option<i64>,
    when: When,
    ret: i64,
}

#[derive(Default)]
struct Done {
    fitting: u64,
    changed: u64,
}

fn run() -> Result<()> {
    let calls = options::all("call").join(",");
    let calls: Vec<&str> = calls.split(',').filter(|name| !name.is_empty()).collect();
    let rule = Rule {
        path: options::get("path"),
        fd: options::integer("fd")?,
        when: When::parse(&options::get("when").unwrap_or_default())?,
        ret: result()?,
    };
    if calls.is_empty() {
        return Err("which calls? see --call".into());
    }
    for id in names::ids(&calls)? {
        if rule.looks_at_arguments() && describe(id.abi, id.nr).is_none() {
            let name = names::syscall(id).unwrap_or_default();
            return Err(format!("{name}: its arguments are not known").into());
        }
    }
    let returned = shown(rule.ret);
    let mut client = Client::new(Done::default());
    client.on_enter_of(&calls, move |client, call| rule.apply(client, call))?;
    let (_end, done) = client.loop_until_exit()?;
    if structured() {
        let total = Object::new().number("fitting", done.fitting);
        return emit("total", &total.number("changed", done.changed).end());
    }
    let Done { fitting, changed } = done;
    pai_plugin::println!("{changed} of {fitting} calls that fit returned {returned}");
    Ok(())
}

/// What the calls return, from `--error` or `--retval`.
fn result() -> Result<i64> {
    match (options::get("error"), options::integer("retval")?) {
        (None, Some(value)) => Ok(value),
        (Some(error), None) => errno(&error)
            .map(|errno| -errno)
            .ok_or_else(|| format!("--error: {error:?} is no error").into()),
        _ => Err("what should they return? see --error and --retval".into()),
    }
}

/// By name or number.
fn errno(text: &str) -> Option<i64> {
    let number = match text.parse() {
        Ok(number) => number,
        Err(_) => (1..4096).find(|number| names::errno(*number).as_deref() == Some(text))?,
    };
    (1..4096).contains(&number).then(|| number.into())
}

/// A result as people write it.
fn shown(ret: i64) -> String {
    let errno = u32::try_from(-ret).ok().and_then(names::errno);
    errno.map_or_else(|| ret.to_string(), Into::into)
}

impl Rule {
    fn looks_at_arguments(&self) -> bool {
        self.path.is_some() || self.fd.is_some()
    }

    fn apply(&self, client: &mut Client<Done>, call: &SyscallEvent) -> Result<OnEnter> {
        let decoded = match self.looks_at_arguments() {
            true => client.decode(call, Limits::NONE)?,
            false => None,
        };
        if self.looks_at_arguments() && !decoded.as_ref().is_some_and(|call| self.fits(call)) {
            return Ok(OnEnter::Proceed);
        }
        let done = client.data_mut();
        done.fitting += 1;
        if !self.when.has(done.fitting) {
            return Ok(OnEnter::Proceed);
        }
        done.changed += 1;
        if structured() {
            self.emit(call, decoded.as_ref(), done.fitting)?;
        }
        Ok(OnEnter::Skip(self.ret))
    }

    fn fits(&self, call: &Decoded) -> bool {
        let path = |pattern: &String| {
            let mut paths = call.paths();
            paths.any(|path| pattern::fits(pattern, path.name))
        };
        let fd = |fd: i64| call.fd().map(i64::from) == Some(fd);
        self.path.as_ref().is_none_or(path) && self.fd.is_none_or(fd)
    }

    fn emit(&self, call: &SyscallEvent, decoded: Option<&Decoded>, number: u64) -> Result<()> {
        let name = names::syscall(call.call).unwrap_or_default();
        let mut object = Object::new()
            .number("pid", call.pid)
            .number("tid", call.tid)
            .text("syscall", &name)
            .number("number", number)
            .number("ret", self.ret);
        if let Some(path) = decoded.and_then(Decoded::path) {
            object = object.text("path", &String::from_utf8_lossy(path.name));
        }
        if let Some(fd) = decoded.and_then(Decoded::fd) {
            object = object.number("fd", fd);
        }
        emit("fault", &object.number("at", call.at).end())
    }
}
