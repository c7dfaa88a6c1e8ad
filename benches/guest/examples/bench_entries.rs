//! Counts the entries of one call, and changes nothing. At each of them it asks the host
//! as often as it is told to, for what one such question costs.

use pai_plugin::bindings::pai::plugin::{clock, memory, registers};
use pai_plugin::{Client, Error, OnEnter, Result, SyscallEvent, options, output};

pai_plugin::plugin! {
    name: "bench-entries",
    description: "counts the entries of one call",
    wants: [MemoryRead("for the import of that name")],
    options: [
        OptionSpec::text("call", "its name").default("getppid"),
        OptionSpec::text("import", "what is asked for at each: clock, registers or memory")
            .default("clock"),
        OptionSpec::integer("times", "how often").default("0"),
    ],
    run: run,
}

/// Bytes of one read.
const LEN: u32 = 8;

/// What was seen, and how often the host gave the right answer.
#[derive(Clone, Copy, Default)]
struct Seen {
    nr: u32,
    entries: u64,
    answers: u64,
}

fn run() -> Result<()> {
    let call = options::get("call").unwrap_or_default();
    let times = options::integer("times")?.unwrap_or_default();
    let ask = question(&options::get("import").unwrap_or_default())?;
    let mut client = Client::new(Seen::default());
    client.on_enter_of(&[&call], move |client, stop| {
        let seen = client.data_mut();
        seen.nr = stop.call.nr;
        seen.entries += 1;
        for _ in 0..times {
            seen.answers += u64::from(ask(stop)?);
        }
        Ok(OnEnter::Proceed)
    })?;
    let (_, seen) = client.loop_until_exit()?;
    let Seen {
        nr,
        entries,
        answers,
    } = seen;
    output::print(&format!(
        "counts entries={entries} exits=0 signals=0\ncall {nr} {entries} 0\nanswers {answers}\n"
    ));
    Ok(())
}

/// Asks once; whether the answer is right.
type Question = fn(&SyscallEvent) -> Result<bool>;

fn question(import: &str) -> Result<Question> {
    Ok(match import {
        "clock" => |_| Ok(clock::realtime() > 0),
        "registers" => |stop| Ok(registers::get_all(stop.tid)?.ip == stop.ip),
        "memory" => |stop| Ok(memory::read(stop.pid, stop.ip, LEN)?.len() == LEN as usize),
        _ => return Err(Error::new(format!("no import named {import:?}"))),
    })
}
