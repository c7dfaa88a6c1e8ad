//! Carries rules out: which applies to a call, whether it is its turn, what is done.

use std::collections::BTreeMap;

use pai_plugin::decode::{Decoded, Limits, describe};
use pai_plugin::json::Object;
use pai_plugin::output::emit;
use pai_plugin::select::Calls;
use pai_plugin::{
    Client, Event, ExitStatus, OnEnter, OnExit, OnNotice, Pid, Result, SyscallEvent, SyscallId,
    Tid, log, names, pattern,
};

use crate::rule::{Effects, Poke, Rule};

/// What else a call has to be so that rules are looked at.
pub(crate) struct Filter {
    pub(crate) calls: Calls,
    /// It concerns one of these, if there are any.
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) pattern: Option<String>,
    pub(crate) fd: Option<i64>,
}

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Row {
    /// All that a rule fits.
    Of(usize),
    /// Each call of each task.
    Each(Tid, u32, u32),
}

pub(crate) struct State {
    rules: Vec<Rule>,
    filter: Filter,
    counts: BTreeMap<Row, u64>,
    /// Tasks in calls that something is to be done to when they return, by which rule.
    inside: BTreeMap<Tid, usize>,
    /// The next execve is the host's, which starts the target.
    starting: bool,
    told: bool,
    pub(crate) fitting: u64,
    pub(crate) changed: u64,
}

impl State {
    /// With `told` every call that is changed is told.
    pub(crate) fn new(rules: Vec<Rule>, filter: Filter, told: bool) -> Self {
        Self {
            rules,
            filter,
            counts: BTreeMap::new(),
            inside: BTreeMap::new(),
            starting: false,
            told,
            fitting: 0,
            changed: 0,
        }
    }

    /// The last rule that has the call.
    fn rule_of(&self, call: SyscallId) -> Option<usize> {
        let wanted = self.filter.calls.has(call);
        let found = self.rules.iter().rposition(|rule| rule.calls.has(call));
        found.filter(|_| wanted)
    }

    /// Of the calls that a rule fits, which this is; the first is 1.
    fn count(&mut self, rule: usize, call: &SyscallEvent) -> u64 {
        let row = match self.rules[rule].for_each {
            true => Row::Each(call.tid, call.call.abi, call.call.nr),
            false => Row::Of(rule),
        };
        let count = self.counts.entry(row).or_insert(0);
        *count += 1;
        *count
    }

    fn forget(&mut self, tid: Tid) {
        let of_task = |row: &Row| matches!(row, Row::Each(of, ..) if *of == tid);
        self.counts.retain(|row, _| !of_task(row));
        self.inside.remove(&tid);
    }

    /// Another thread than the leader made the exec: it goes on under the leader's id.
    fn take_over(&mut self, former: Tid, pid: Pid) {
        if former == pid {
            return;
        }
        self.forget(pid);
        let counts = std::mem::take(&mut self.counts);
        let renamed = counts.into_iter().map(|(row, count)| match row {
            Row::Each(tid, abi, nr) if tid == former => (Row::Each(pid, abi, nr), count),
            row => (row, count),
        });
        self.counts = renamed.collect();
        if let Some(rule) = self.inside.remove(&former) {
            self.inside.insert(pid, rule);
        }
    }

    pub(crate) fn emit_total(&self) -> Result<()> {
        let total = Object::new().number("fitting", self.fitting);
        emit("total", &total.number("changed", self.changed).end())
    }
}

impl Filter {
    fn looks_at_arguments(&self) -> bool {
        self.pattern.is_some() || self.fd.is_some()
    }

    /// Refuses calls whose arguments cannot be looked at.
    pub(crate) fn check(&self, rules: &[Rule]) -> Result<()> {
        let named = rules.iter().filter(|rule| !rule.calls.has_unknown());
        for id in named.flat_map(|rule| rule.calls.ids()) {
            if self.looks_at_arguments() && describe(id.abi, id.nr).is_none() {
                let name = names::syscall(id).unwrap_or_default();
                return Err(format!("{name}: its arguments are not known").into());
            }
        }
        Ok(())
    }

    fn fits(&self, call: &Decoded) -> bool {
        let path = |pattern: &String| {
            let mut paths = call.paths();
            paths.any(|path| pattern::fits(pattern, path.name))
        };
        let fd = |fd: i64| call.fd().map(i64::from) == Some(fd);
        self.pattern.as_ref().is_none_or(path) && self.fd.is_none_or(fd)
    }
}

/// Adds the handlers that the rules need.
pub(crate) fn register(client: &mut Client<State>) -> Result<()> {
    let spawned = client.targets()?.iter().all(|target| !target.attached);
    let execve = names::ids(&["execve"])?;
    let state = client.data_mut();
    let (mut entries, mut exits) = (Calls::all(false), Calls::all(false));
    for rule in &state.rules {
        entries.add_all(&rule.calls);
        if rule.effects.at_exit() {
            exits.add_all(&rule.calls);
        }
    }
    state.starting = spawned && execve.iter().any(|call| entries.has(*call));
    match entries.has_unknown() {
        true => client.on_syscall_enter(entered)?,
        false => client.on_enter_of_ids(entries.ids(), entered)?,
    };
    match exits.has_unknown() {
        true => client.on_syscall_exit(returned)?,
        false => client.on_exit_of_ids(exits.ids(), returned)?,
    };
    client.on_exec(|client, event| {
        if let Event::Execed(exec) = event {
            client.data_mut().take_over(exec.former_tid, exec.pid);
        }
        Ok(OnNotice::Proceed)
    })?;
    client.on_task_exited(|client, event| {
        // One that an exec has ended may be the one that made it.
        if let Event::TaskExited(end) = event
            && !matches!(end.status, ExitStatus::Other(_))
        {
            client.data_mut().forget(end.tid);
        }
        Ok(OnNotice::Proceed)
    })?;
    Ok(())
}

fn entered(client: &mut Client<State>, call: &SyscallEvent) -> Result<OnEnter> {
    match tamper(client, call) {
        Err(error) if error.is_gone() => Ok(OnEnter::Proceed),
        answer => answer,
    }
}

fn tamper(client: &mut Client<State>, call: &SyscallEvent) -> Result<OnEnter> {
    if client.data().starting && names::syscall(call.call).as_deref() == Some("execve") {
        client.data_mut().starting = false;
        return Ok(OnEnter::Proceed);
    }
    let Some(rule) = client.data().rule_of(call.call) else {
        return Ok(OnEnter::Proceed);
    };
    let paths = &client.data().filter.paths;
    if !paths.is_empty() && !client.concerns(call, paths)? {
        return Ok(OnEnter::Proceed);
    }
    let decoded = match client.data().filter.looks_at_arguments() {
        true => {
            let decoded = client.decode(call, Limits::NONE)?;
            let filter = &client.data().filter;
            if !decoded.as_ref().is_some_and(|call| filter.fits(call)) {
                return Ok(OnEnter::Proceed);
            }
            decoded
        }
        false => None,
    };
    let state = client.data_mut();
    state.fitting += 1;
    let number = state.count(rule, call);
    if !state.rules[rule].when.has(number) {
        return Ok(OnEnter::Proceed);
    }
    state.changed += 1;
    let effects = state.rules[rule].effects.clone();
    if effects.at_exit() {
        state.inside.insert(call.tid, rule);
    }
    if state.told {
        emit_call(call, decoded.as_ref(), number, &effects)?;
    }
    poke(client, call, &effects.poke_enter);
    if let Some(signal) = effects.signal {
        client.raise(call.tid, signal)?;
    }
    if let Some(nanos) = effects.delay_enter {
        client.delay(call.tid, nanos)?;
    }
    let Some(ret) = effects.result else {
        return Ok(OnEnter::Proceed);
    };
    let stand_in = effects
        .stand_in
        .and_then(|name| names::number(call.call.abi, &name));
    Ok(match stand_in {
        Some(nr) => OnEnter::StandIn { nr, ret },
        None => OnEnter::Skip(ret),
    })
}

fn returned(client: &mut Client<State>, call: &SyscallEvent) -> Result<OnExit> {
    let state = client.data_mut();
    let Some(rule) = state.inside.remove(&call.tid) else {
        return Ok(OnExit::Proceed);
    };
    let effects = state.rules[rule].effects.clone();
    poke(client, call, &effects.poke_exit);
    let delayed = match effects.delay_exit {
        Some(nanos) => client.delay(call.tid, nanos),
        None => Ok(()),
    };
    match delayed {
        Err(error) if !error.is_gone() => Err(error),
        _ => Ok(OnExit::Proceed),
    }
}

/// What cannot be written is told, and the call goes on.
fn poke(client: &Client<State>, call: &SyscallEvent, pokes: &[Poke]) {
    let args: [u64; 6] = call.args.into();
    let count = names::argument_count(call.call).unwrap_or(6) as usize;
    for Poke { argument, bytes } in pokes {
        let written = match args.get(*argument).filter(|_| *argument < count) {
            Some(addr) => client.write_bytes(call.pid, *addr, bytes),
            None => Err(format!("it has {count} arguments").into()),
        };
        if let Err(error) = written {
            let name = names::syscall(call.call).unwrap_or_default();
            let number = argument + 1;
            let text = format!("{name} of task {}: @arg{number}: {error}", call.tid);
            log::write(log::Level::Warn, &text);
        }
    }
}

fn emit_call(
    call: &SyscallEvent,
    decoded: Option<&Decoded>,
    number: u64,
    effects: &Effects,
) -> Result<()> {
    let name = names::syscall(call.call).unwrap_or_default();
    let mut object = Object::new()
        .number("pid", call.pid)
        .number("tid", call.tid)
        .text("syscall", &name)
        .number("number", number);
    if let Some(ret) = effects.result {
        object = object.number("ret", ret);
    }
    if let Some(signal) = effects.signal {
        object = object.number("signal", signal);
    }
    if let Some(path) = decoded.and_then(Decoded::path) {
        object = object.text("path", &String::from_utf8_lossy(path.name));
    }
    if let Some(fd) = decoded.and_then(Decoded::fd) {
        object = object.number("fd", fd);
    }
    emit("fault", &object.number("at", call.at).end())
}
