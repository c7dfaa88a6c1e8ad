//! Tells who writes to a variable.

use std::collections::BTreeSet;
use std::rc::Rc;

use pai_plugin::json::Object;
use pai_plugin::output::{emit, structured};
use pai_plugin::{
    BreakpointHit, BreakpointOptions, Client, Error, Module, OnBreakpoint, Pid, Result, Symbol,
    options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "watch",
    description: "tells who writes to a variable",
    wants: [
        Control("to stop behind what writes to it"),
        MemoryRead("to find it, and to see its value"),
    ],
    options: [
        OptionSpec::text("variable", "a global variable, by NAME or MODULE!NAME; its first \
            8 bytes if it is larger; up to 4")
            .short("v").metavar("NAME").repeated(),
        OptionSpec::flag("reads", "also who reads it"),
    ],
    run: run,
}

struct State {
    /// How many variables were found.
    found: u64,
    /// How often they were written to.
    hits: u64,
    /// Names that no variable has yet.
    missing: BTreeSet<String>,
}

fn run() -> Result<()> {
    let names = options::all("variable");
    if names.is_empty() {
        return Err("which variable? see --variable".into());
    }
    let reads = options::flag("reads");
    let mut client = Client::new(State {
        found: 0,
        hits: 0,
        missing: names.iter().cloned().collect(),
    });
    client.on_modules(move |client, pid, modules| {
        for name in &names {
            for symbol in client.search(pid, name)? {
                let is_in = |module: &Module| (module.base..module.end).contains(&symbol.value);
                if symbol.kind == "object" && modules.iter().any(is_in) {
                    watch(client, pid, &symbol, reads)?;
                    client.data_mut().missing.remove(name);
                }
            }
        }
        Ok(())
    })?;
    let (_end, state) = client.loop_until_exit()?;
    let State {
        found,
        hits,
        missing,
    } = state;
    if structured() {
        let json = Object::new()
            .number("variables", found)
            .number("accesses", hits);
        return emit("total", &json.end());
    }
    for name in missing {
        pai_plugin::println!("there is no variable {name:?}");
    }
    if found > 0 {
        let what = if reads { "accesses" } else { "writes" };
        pai_plugin::println!("{hits} {what}");
    }
    Ok(())
}

fn watch(client: &mut Client<State>, pid: Pid, symbol: &Symbol, reads: bool) -> Result<()> {
    // The processor watches 1, 2, 4 or 8 bytes that are aligned to their number.
    let fits = |len: &u8| {
        u64::from(*len) <= symbol.size.max(1) && symbol.value.is_multiple_of(u64::from(*len))
    };
    let len = [8, 4, 2, 1].into_iter().find(fits).unwrap_or(1);
    let kind = match reads {
        true => BreakpointOptions::on_access(len),
        false => BreakpointOptions::on_write(len),
    };
    let addr = symbol.value;
    let name: Rc<str> = Rc::from(symbol.demangled.as_deref().unwrap_or(&symbol.name));
    let why = |error: Error| Error::new(format!("{} cannot be watched: {error}", symbol.name));
    client
        .on_breakpoint_with(pid, addr, kind, move |client, hit| {
            told(client, hit, &name, addr, len)
        })
        .map_err(why)?;
    client.data_mut().found += 1;
    Ok(())
}

fn told(
    client: &mut Client<State>,
    hit: &BreakpointHit,
    name: &str,
    addr: u64,
    len: u8,
) -> Result<OnBreakpoint> {
    client.data_mut().hits += 1;
    let mut value = [0; 8];
    let bytes = client.read_bytes(hit.pid, addr, usize::from(len))?;
    value[..bytes.len()].copy_from_slice(&bytes);
    let value = u64::from_le_bytes(value);
    // The task is behind the instruction.
    let before = hit.addr.saturating_sub(1);
    let at = client.resolve(hit.pid, before)?;
    let line = client.locate(hit.pid, before)?.into_iter().next();
    let line = line.and_then(|source| Some((source.file?, source.line?)));
    if structured() {
        let mut json = Object::new()
            .number("pid", hit.pid)
            .number("tid", hit.tid)
            .text("variable", name)
            .number("value", value)
            .number("ip", hit.addr);
        if let Some(at) = at {
            json = json.text("function", &at.symbol.name);
        }
        if let Some((file, line)) = line {
            json = json.text("file", &file).number("line", line);
        }
        emit("access", &json.end())?;
        return Ok(OnBreakpoint::Keep);
    }
    let function = match at {
        Some(at) => format!("{}+{:#x}", at.symbol.name, at.offset + 1),
        None => format!("{:#x}", hit.addr),
    };
    let line = line.map_or_else(String::new, |(file, line)| format!(" ({file}:{line})"));
    pai_plugin::println!("{:>7} {name} is {value:#x}: {function}{line}", hit.tid);
    Ok(OnBreakpoint::Keep)
}
