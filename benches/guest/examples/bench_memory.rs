//! Reads pieces of the target's memory, all again and again at one stop.

use std::num::TryFromIntError;
use std::time::Instant;

use pai_plugin::{Client, Error, OnEnter, Result, SyscallEvent, options, output};

/// How far apart the pieces are.
const APART: u64 = 1 << 13;

pai_plugin::plugin! {
    name: "bench-memory",
    description: "reads memory, and tells how long that took",
    wants: [MemoryRead("to read it")],
    options: [
        OptionSpec::integer("len", "bytes of a piece").default("8"),
        OptionSpec::integer("pieces", "how many").default("1"),
        OptionSpec::integer("times", "how often").default("1"),
    ],
    run: run,
}

struct Plan {
    len: u32,
    pieces: u64,
    times: u64,
    done: bool,
}

/// What stands there (`targets/membuf.c`).
fn expected(at: u64) -> u8 {
    (at * 31 + 7) as u8
}

/// An option that is a number from 0 on.
fn number(name: &str) -> Result<u64> {
    u64::try_from(options::integer(name)?.unwrap_or(1)).map_err(out_of_range)
}

fn out_of_range(error: TryFromIntError) -> Error {
    Error::new(error.to_string())
}

fn run() -> Result<()> {
    let plan = Plan {
        len: u32::try_from(number("len")?).map_err(out_of_range)?,
        pieces: number("pieces")?,
        times: number("times")?,
        done: false,
    };
    let mut client = Client::new(plan);
    client.on_enter_of(&["read"], |client, stop| {
        // The dynamic loader reads, too, but not from standard input.
        if stop.args.0 == 0 && !client.data().done {
            client.data_mut().done = true;
            read(client, stop)?;
        }
        Ok(OnEnter::Proceed)
    })?;
    client.loop_until_exit().map(drop)
}

fn read(client: &mut Client<Plan>, stop: &SyscallEvent) -> Result<()> {
    let from = client.address_of(stop.pid, "bench_buf")?;
    let Plan {
        len, pieces, times, ..
    } = *client.data();
    let requests: Vec<(u64, u32)> = (0..pieces).map(|n| (from + n * APART, len)).collect();
    let mut read = Vec::new();
    let start = Instant::now();
    for _ in 0..times {
        read = match pieces {
            1 => vec![client.read_bytes(stop.pid, from, len as usize)?],
            _ => client
                .read_many(stop.pid, &requests)?
                .into_iter()
                .collect::<Result<_, _>>()?,
        };
    }
    let nanoseconds = start.elapsed().as_nanos();
    let right = |(piece, bytes): (u64, &Vec<u8>)| {
        let is_right = |(at, byte): &(u64, &u8)| **byte == expected(piece * APART + at);
        (0..).zip(bytes).filter(is_right).count()
    };
    let right: usize = (0..).zip(&read).map(right).sum();
    output::print(&format!("bytes {right}\nnanoseconds {nanoseconds}\n"));
    Ok(())
}
