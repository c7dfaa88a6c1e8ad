//! Measures questions about symbols of a process that ends:
//! `symbol_figures PROGRAM NAME [ARGUMENT...]`.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use pai_engine::{Action, ClientId, Engine, Event, SyscallStop};
use pai_tests::trace::{Trace, calls};

const ROUNDS: u32 = 2000;

fn say(what: &str, took: Duration) {
    // The reader may have gone; nothing is lost then.
    drop(writeln!(std::io::stdout(), "{what:40} {took:>12.2?}"));
}

fn first_and_later(what: &str, mut work: impl FnMut()) {
    let start = Instant::now();
    work();
    say(&format!("{what}, first"), start.elapsed());
    let start = Instant::now();
    for _ in 0..ROUNDS {
        work();
    }
    say(&format!("{what}, later"), start.elapsed() / ROUNDS);
}

fn measure(engine: &mut Engine, client: ClientId, stop: &SyscallStop, name: &str) {
    let pid = stop.pid;
    first_and_later("modules", || {
        engine.modules(pid).expect("it is there");
    });
    let mut addr = 0;
    first_and_later("look-up", || {
        let symbol = engine.lookup(pid, name).expect("no error");
        addr = symbol.map_or(stop.ip, |symbol| symbol.value);
    });
    first_and_later("look-up in libc of an indirect one", || {
        engine.lookup(pid, "libc!memcpy").expect("no error");
    });
    first_and_later("look-up of what is not there", || {
        engine.lookup(pid, "no::such").expect("no error");
    });
    first_and_later("address", || {
        engine.resolve(pid, addr).expect("no error");
    });
    first_and_later("line", || {
        engine.locate(pid, addr).expect("no error");
    });
    first_and_later("backtrace", || {
        engine.backtrace(client, stop.tid, 100).expect("it is held");
    });
    let frames = engine.backtrace(client, stop.tid, 100).expect("it is held");
    say(&format!("  of {} frames", frames.len()), Duration::ZERO);
    let modules = engine.modules(pid).expect("it is there").len();
    say(&format!("  {modules} modules"), Duration::ZERO);
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let program = args.next().ok_or("which program?")?;
    let name = args.next().ok_or("which name?")?;
    let mut trace = Trace::of(program);
    for arg in args {
        trace = trace.arg(arg);
    }
    trace
        .client(
            vec![calls(&["exit_group"], true, false)],
            |engine, client, delivery| {
                if let Event::SyscallEnter(stop) = &delivery.event {
                    measure(engine, client, stop, &name);
                }
                Some(Action::Proceed)
            },
        )
        .run();
    Ok(())
}
