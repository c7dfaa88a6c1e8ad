//! Steps every task that hits a breakpoint at the first address that a fixture
//! tells. Prints how often and how far.

use pai_plugin::{BreakpointHit, Client, OnBreakpoint, OnEnter, Result, Steps, options, println};
use pai_test_guests::{number, told};

pai_plugin::plugin! {
    name: "steps",
    description: "steps what comes to an address that is told",
    wants: [Control("to step")],
    options: [
        OptionSpec::text("label", "say this first").default("steps"),
        OptionSpec::flag("each", "one by one to the second address"),
        OptionSpec::flag("until", "to the second address at once"),
        OptionSpec::integer("count", "so many instructions").default("1"),
    ],
    run: run,
}

#[derive(Default)]
struct Seen {
    rounds: u64,
    steps: u64,
    /// Rounds that did not end where they had to.
    astray: u64,
}

fn run() -> Result<()> {
    let mut client = Client::new(Seen::default());
    client.on_enter_of(&["getpriority"], |client, call| {
        if let Some((0x1234, [begin, end, ..])) = told(call) {
            client.on_breakpoint(call.pid, begin, move |client, hit| {
                step(client, hit, end)?;
                Ok(OnBreakpoint::Keep)
            })?;
        }
        Ok(OnEnter::Proceed)
    })?;
    let (_, seen) = client.loop_until_exit()?;
    let label = options::get("label").unwrap_or_default();
    println!(
        "{label}: {} rounds, {} steps, {} astray",
        seen.rounds, seen.steps, seen.astray
    );
    Ok(())
}

fn step(client: &mut Client<Seen>, hit: &BreakpointHit, end: u64) -> Result<()> {
    client.data_mut().rounds += 1;
    if options::flag("each") {
        client.step_each(hit.tid, |client, ip| {
            client.data_mut().steps += 1;
            Ok(ip != end)
        })?;
    } else if options::flag("until") {
        let how = Steps {
            until: Some(end),
            ..Steps::default()
        };
        let ip = client.step_with(hit.tid, 1_000_000, how)?;
        client.data_mut().astray += u64::from(ip != end);
    } else {
        let count = number("count").unwrap_or(1);
        let ip = client.step(hit.tid, count)?;
        let seen = client.data_mut();
        seen.steps += count;
        seen.astray += u64::from(ip == hit.addr);
    }
    Ok(())
}
