//! Calls a function that a fixture tells, each time that it tells something
//! else, or at each signal. Prints what came back.

use std::collections::BTreeMap;

use pai_plugin::{Argument, Client, OnEnter, OnSignal, Pid, Result, Tid, options, println};
use pai_test_guests::{number, told};

pai_plugin::plugin! {
    name: "calls",
    description: "calls a function that is told",
    wants: [
        Control("to let others go on meanwhile"),
        Inject("to call it"),
        MemoryWrite("to say that it is enough"),
    ],
    options: [
        OptionSpec::text("label", "say this first").default("calls"),
        OptionSpec::text("code", "the function is among those of this code").default("0x1236"),
        OptionSpec::integer("function", "the one at this place").default("3"),
        OptionSpec::text("at", "call it when this code is told").default("0x1240"),
        OptionSpec::integer("signal", "call it at this signal instead"),
        OptionSpec::integer("times", "so often").default("1"),
        OptionSpec::text("flag", "then set the variable that is told first with this code"),
    ],
    run: run,
}

#[derive(Default)]
struct Seen {
    function: u64,
    flag: u64,
    /// How often each result came.
    results: BTreeMap<u64, u64>,
    calls: u64,
}

fn run() -> Result<()> {
    let mut client = Client::new(Seen::default());
    client.on_enter_of(&["getpriority"], |client, call| {
        let Some((code, addresses)) = told(call) else {
            return Ok(OnEnter::Proceed);
        };
        if Some(code) == number("code") {
            let index = number("function").and_then(|index| usize::try_from(index).ok());
            client.data_mut().function = addresses[index.unwrap_or(0)];
        }
        if Some(code) == number("flag") {
            client.data_mut().flag = addresses[0];
        }
        if options::get("signal").is_none() && Some(code) == number("at") {
            one(client, call.pid, call.tid)?;
        }
        Ok(OnEnter::Proceed)
    })?;
    if let Some(signal) = number("signal").and_then(|signal| u32::try_from(signal).ok()) {
        client.on_signal(&[signal], |client, stop| {
            one(client, stop.pid, stop.tid)?;
            Ok(OnSignal::Proceed)
        })?;
    }
    let (_, seen) = client.loop_until_exit()?;
    let label = options::get("label").unwrap_or_default();
    for (result, times) in &seen.results {
        println!("{label}: {result} came back {times} times");
    }
    Ok(())
}

fn one(client: &mut Client<Seen>, pid: Pid, tid: Tid) -> Result<()> {
    let times = number("times").unwrap_or(1);
    let seen = client.data_mut();
    if seen.calls == times {
        return Ok(());
    }
    seen.calls += 1;
    let last = seen.calls == times;
    let (function, flag) = (seen.function, seen.flag);
    let result = client.call(tid, function, &[Argument::Int(40), Argument::Int(2)])?;
    *client.data_mut().results.entry(result.int).or_insert(0) += 1;
    if last && flag != 0 {
        client.write_u32(pid, flag, 1)?;
    }
    Ok(())
}
