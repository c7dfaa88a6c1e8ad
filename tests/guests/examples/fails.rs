//! Fails or leaves at a hit of its breakpoint, in the middle of something.

use pai_plugin::bindings::pai::plugin::calls;
use pai_plugin::bindings::pai::plugin::control::{self, StepOptions};
use pai_plugin::{
    Allocation, BreakpointHit, Client, Error, OnBreakpoint, OnEnter, Protection, Result, options,
};
use pai_test_guests::{number, told};

pai_plugin::plugin! {
    name: "fails",
    description: "fails or leaves in the middle of something",
    wants: [
        Control("to insert a breakpoint, and to step"),
        Inject("to call something"),
        MemoryRead("to look it up"),
    ],
    options: [
        OptionSpec::integer("after", "with this hit").default("20"),
        OptionSpec::text("while", "hit, step, syscall, function or memory").default("hit"),
        OptionSpec::text("by", "panic, time, memory, detach, process, leave or error")
            .default("panic"),
        OptionSpec::integer("pages", "of the memory").default("302"),
    ],
    run: run,
}

#[derive(Default)]
struct Mine {
    hits: u64,
    memory: Vec<Allocation>,
    rubbish: Vec<Vec<u8>>,
}

const LEAVES: &str = "leaves";

/// As good as for ever.
const MANY_STEPS: u64 = 1 << 40;
const PAUSE: u32 = 34;

fn run() -> Result<()> {
    let mut client = Client::new(Mine::default());
    client.on_enter_of(&["getpriority"], |client, call| {
        if let Some((0x1234, [addr, ..])) = told(call) {
            client.on_breakpoint(call.pid, addr, |client, hit| {
                client.data_mut().hits += 1;
                if Some(client.data().hits) == number("after") {
                    engage(client, hit)?;
                    return fail(client);
                }
                Ok(OnBreakpoint::Keep)
            })?;
        }
        Ok(OnEnter::Proceed)
    })?;
    match client.loop_until_exit() {
        Err(error) if error.to_string() == LEAVES => Ok(()),
        ended => ended.map(drop),
    }
}

/// Starts what it will not see the end of.
fn engage(client: &mut Client<Mine>, hit: &BreakpointHit) -> Result<()> {
    let tid = hit.tid;
    match options::get("while").unwrap_or_default().as_str() {
        "step" => {
            let how = StepOptions {
                most: MANY_STEPS,
                until: None,
                out_of: None,
                over_calls: false,
                extra: Vec::new(),
            };
            control::step(tid, &how, None)?;
        }
        "syscall" => {
            calls::call_syscall(tid, PAUSE, &[], None)?;
        }
        "function" => {
            let pause = client.address_of(hit.pid, "pause")?;
            calls::call_function(tid, pause, &[], None)?;
        }
        "memory" => {
            let len = number("pages").unwrap_or(1) * 4096;
            let memory = client.allocate(tid, len, Protection::READ)?;
            client.data_mut().memory.push(memory);
            return Ok(());
        }
        _ => return Ok(()),
    }
    // It gets some way: until something else happens, or nothing does.
    client.run_until_timeout(20_000_000, |_| true).map(drop)
}

fn fail(client: &mut Client<Mine>) -> Result<OnBreakpoint> {
    match options::get("by").unwrap_or_default().as_str() {
        "time" => {
            let mut n = 1_u64;
            loop {
                n = std::hint::black_box(n.wrapping_mul(3));
            }
        }
        "memory" => loop {
            client.data_mut().rubbish.push(vec![1; 1 << 20]);
            if client.data().rubbish.len() == usize::MAX {
                return Ok(OnBreakpoint::Keep);
            }
        },
        "detach" => client.detach().map(|()| OnBreakpoint::Keep),
        "process" => Ok(OnBreakpoint::Detach),
        "leave" => Err(Error::new(LEAVES)),
        "error" => Err(Error::new("I have seen enough")),
        _ => panic!("in the middle of something"),
    }
}
