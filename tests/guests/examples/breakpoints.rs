//! Counts the hits of breakpoints at addresses that a fixture tells, and with
//! `--calls` every system call. Prints the counts at the end.

use std::collections::{BTreeMap, BTreeSet};

use pai_plugin::condition::argument;
use pai_plugin::{
    BreakpointOptions, Client, Condition, HandlerId, OnBreakpoint, OnEnter, OnExit, Pid, Result,
    SyscallEvent, options, println,
};
use pai_test_guests::{name, number, told};

pai_plugin::plugin! {
    name: "breakpoints",
    description: "counts hits of breakpoints at addresses that are told",
    wants: [
        Control("to insert them"),
        MemoryRead("to look names and mappings up"),
    ],
    options: [
        OptionSpec::text("label", "say this first").default("breakpoints"),
        OptionSpec::text("code", "at the addresses of this code").default("0x1234"),
        OptionSpec::text("args", "these of them, from 0").default("0"),
        OptionSpec::text("symbol", "at this function instead, from the entry point on"),
        OptionSpec::integer("remove-after", "each removes itself with so many hits"),
        OptionSpec::flag("once", "each removes itself with its first hit"),
        OptionSpec::integer("skip", "let so many hits pass first").default("0"),
        OptionSpec::integer("equals", "only when the first argument is this"),
        OptionSpec::integer("below", "only when the first argument is below this"),
        OptionSpec::flag("calls", "count system calls too"),
        OptionSpec::text("clean", "remove all when this code is told"),
        OptionSpec::integer("pages", "look for mappings of so many pages then"),
    ],
    run: run,
}

/// What came by.
#[derive(Default)]
struct Seen {
    /// By the place of the address among those that were told.
    hits: BTreeMap<usize, u64>,
    processes: BTreeSet<Pid>,
    handlers: Vec<HandlerId>,
    /// Entries and exits.
    calls: BTreeMap<String, (u64, u64)>,
}

fn run() -> Result<()> {
    let mut client = Client::new(Seen::default());
    let label = options::get("label").unwrap_or_default();
    if options::flag("calls") {
        client.on_syscall_enter(|client, call| {
            client.data_mut().calls.entry(name(call)).or_default().0 += 1;
            if name(call) == "getpriority" {
                listen(client, call)?;
            }
            Ok(OnEnter::Proceed)
        })?;
        client.on_syscall_exit(|client, call| {
            client.data_mut().calls.entry(name(call)).or_default().1 += 1;
            Ok(OnExit::Proceed)
        })?;
    } else {
        client.on_enter_of(&["getpriority"], |client, call| {
            listen(client, call)?;
            Ok(OnEnter::Proceed)
        })?;
    }
    if let Some(symbol) = options::get("symbol")
        && let Some(hit) = client.run_until_entry()?
    {
        let addr = client.address_of(hit.pid, &symbol)?;
        insert(&mut client, hit.pid, addr, 0)?;
    }
    let (_, seen) = client.loop_until_exit()?;
    for (index, hits) in &seen.hits {
        println!("{label}: {hits} hits at {index}");
    }
    println!("{label}: {} processes", seen.processes.len());
    for (name, (enters, exits)) in &seen.calls {
        println!("{label}: {name} {enters} {exits}");
    }
    Ok(())
}

fn listen(client: &mut Client<Seen>, call: &SyscallEvent) -> Result<()> {
    let Some((code, addresses)) = told(call) else {
        return Ok(());
    };
    if Some(code) == number("clean") {
        for id in std::mem::take(&mut client.data_mut().handlers) {
            client.remove(id);
        }
        if let Some(pages) = number("pages") {
            let maps = client.maps(call.pid)?;
            let page = 4096;
            let left = maps
                .iter()
                .filter(|map| map.end - map.start == pages * page);
            let label = options::get("label").unwrap_or_default();
            println!("{label}: {} mappings of {pages} pages", left.count());
        }
    }
    if options::get("symbol").is_none() && Some(code) == number("code") {
        let args = options::get("args").unwrap_or_default();
        for index in args
            .split(',')
            .filter_map(|word| word.parse::<usize>().ok())
        {
            insert(client, call.pid, addresses[index], index)?;
        }
    }
    Ok(())
}

fn insert(client: &mut Client<Seen>, pid: Pid, addr: u64, index: usize) -> Result<()> {
    let remove_after = number("remove-after");
    let how = BreakpointOptions {
        once: options::flag("once"),
        skip: number("skip").unwrap_or(0),
        when: conditions(),
        ..BreakpointOptions::default()
    };
    let id = client.on_breakpoint_with(pid, addr, how, move |client, hit| {
        let seen = client.data_mut();
        seen.processes.insert(hit.pid);
        let hits = seen.hits.entry(index).or_insert(0);
        *hits += 1;
        Ok(match remove_after {
            Some(most) if *hits >= most => OnBreakpoint::Remove,
            _ => OnBreakpoint::Keep,
        })
    })?;
    client.data_mut().handlers.push(id);
    Ok(())
}

/// What the first argument is to be.
fn conditions() -> Vec<Condition> {
    let argument = || argument(0);
    let equals = number("equals").map(|value| argument().equals(value));
    let below = number("below").map(|value| argument().bytes(4).is_below(value));
    equals.into_iter().chain(below).collect()
}
