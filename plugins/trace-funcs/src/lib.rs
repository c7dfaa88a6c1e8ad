//! Prints calls of functions with arguments, results and times.

use std::collections::BTreeMap;
use std::rc::Rc;

use pai_plugin::output::{emit, push_json_string, structured};
use pai_plugin::{
    Client, ErrorKind, FunctionEvent, Module, OnCall, OnReturn, Pid, Result, Symbol, Tid, options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "trace-funcs",
    description: "prints calls of functions and their results",
    wants: [
        Control("to stop at functions"),
        MemoryRead("to find them, and arguments on the stack"),
    ],
    options: [
        OptionSpec::text("include", "functions that fit PATTERN, or MODULE!PATTERN; \
            without this all of the program itself")
            .short("i").metavar("PATTERN").repeated(),
        OptionSpec::text("exclude", "but not these")
            .short("x").metavar("PATTERN").repeated(),
        OptionSpec::integer("args", "print so many integer arguments").short("a").default("3"),
        OptionSpec::integer("max", "hook at most so many functions").default("10000"),
    ],
    run: run,
}

/// What is known of the calls that are going on.
#[derive(Default)]
struct State {
    /// Which task entered each, and when.
    entered: BTreeMap<u64, (Tid, u64)>,
    hooked: usize,
    /// Functions that fit and were not hooked.
    too_many: usize,
}

/// The user's wishes.
struct Wishes {
    include: Vec<String>,
    exclude: Vec<String>,
    args: usize,
    max: usize,
}

fn run() -> Result<()> {
    let number = |name| -> Result<usize> {
        let value = options::integer(name)?.unwrap_or_default();
        usize::try_from(value).map_err(|_| format!("--{name}: {value} is negative").into())
    };
    let wishes = Wishes {
        include: options::all("include"),
        exclude: options::all("exclude"),
        args: number("args")?,
        max: number("max")?,
    };
    let mut client = Client::new(State::default());
    client.on_modules(move |client, pid, modules| hook(client, pid, modules, &wishes))?;
    let (_end, state) = client.loop_until_exit()?;
    if structured() {
        let State {
            hooked, too_many, ..
        } = state;
        let json = format!("{{\"hooked\":{hooked},\"too_many\":{too_many}}}");
        return emit("total", &json);
    }
    if state.too_many > 0 {
        pai_plugin::println!(
            "{} functions were hooked; {} more fit and were not: narrow --include, or raise --max",
            state.hooked,
            state.too_many
        );
    }
    if state.hooked == 0 && state.too_many == 0 {
        pai_plugin::println!("no function fits");
    }
    Ok(())
}

/// Hooks what is wanted of these modules.
fn hook(client: &mut Client<State>, pid: Pid, modules: &[Module], wishes: &Wishes) -> Result<()> {
    let mut wanted: BTreeMap<u64, Symbol> = BTreeMap::new();
    let mut add = |symbols: Vec<Symbol>| {
        wanted.extend(symbols.into_iter().map(|symbol| (symbol.value, symbol)));
    };
    if wishes.include.is_empty() {
        // The program is the first of all, and new only once.
        let program = client.modules(pid)?.into_iter().next();
        let program = program.filter(|program| modules.iter().any(|m| m.base == program.base));
        if let Some(program) = program {
            add(client.functions_in(pid, &[program], "*")?);
        }
    }
    for pattern in &wishes.include {
        add(client.functions_in(pid, modules, pattern)?);
    }
    for pattern in &wishes.exclude {
        for symbol in client.functions_in(pid, modules, pattern)? {
            wanted.remove(&symbol.value);
        }
    }
    for symbol in wanted.into_values() {
        if client.data().hooked >= wishes.max {
            client.data_mut().too_many += 1;
            continue;
        }
        let name: Rc<str> = Rc::from(symbol.demangled.as_deref().unwrap_or(&symbol.name));
        let args = wishes.args;
        let entered = Rc::clone(&name);
        let hooked = client.on_symbol(
            pid,
            &symbol,
            move |client, call| enter(client, call, &entered, args),
            move |client, call| Ok(leave(client, call, &name)),
        );
        match hooked {
            Ok(_) => client.data_mut().hooked += 1,
            // What is called a function is none, or lies in shared memory.
            Err(error) if is_no_function(error.kind()) => {
                pai_plugin::log!(Debug, "{} is not hooked: {error}", symbol.name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_no_function(error: &ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::Invalid(_) | ErrorKind::BadAddress(_) | ErrorKind::Unsupported(_)
    )
}

fn enter(
    client: &mut Client<State>,
    call: &FunctionEvent,
    name: &str,
    count: usize,
) -> Result<OnCall> {
    let mut args = Vec::with_capacity(count);
    for index in 0..count {
        // The stack may end.
        let Ok(arg) = client.argument(call, index) else {
            break;
        };
        args.push(arg);
    }
    client
        .data_mut()
        .entered
        .insert(call.call, (call.tid, call.at));
    if structured() {
        let mut json = head(call, name);
        let args: Vec<String> = args.iter().map(u64::to_string).collect();
        json.push_str(&format!(",\"args\":[{}]}}", args.join(",")));
        emit("enter", &json)?;
    } else {
        let args: Vec<String> = args.into_iter().map(number).collect();
        pai_plugin::println!("{}-> {name}({})", margin(call), args.join(", "));
    }
    Ok(OnCall::Proceed)
}

fn leave(client: &mut Client<State>, call: &FunctionEvent, name: &str) -> OnReturn {
    let entered = client.data().entered.get(&call.call).copied();
    // A child that was forked inside returns, too.
    if entered.is_some_and(|(tid, _)| tid == call.tid) {
        client.data_mut().entered.remove(&call.call);
    }
    let took = entered.map(|(_, at)| call.at.saturating_sub(at));
    if structured() {
        let mut json = head(call, name);
        let ret = call
            .ret
            .map_or_else(|| "null".to_owned(), |ret| ret.to_string());
        let took = took.map_or_else(|| "null".to_owned(), |took| took.to_string());
        json.push_str(&format!(",\"ret\":{ret},\"took\":{took}}}"));
        // It is an object.
        if let Err(error) = emit("return", &json) {
            pai_plugin::log!(Warn, "{error}");
        }
    } else {
        let how = match call.ret {
            Some(ret) => format!("= {}", number(ret)),
            None => "was left".to_owned(),
        };
        let took = took.map(|took| format!(" <{}>", seconds(took)));
        pai_plugin::println!(
            "{}<- {name} {how}{}",
            margin(call),
            took.unwrap_or_default()
        );
    }
    OnReturn::Proceed
}

/// The task, and two spaces for each call around this one.
fn margin(call: &FunctionEvent) -> String {
    let depth = call.depth.min(40) as usize;
    format!("{:>7} {}", call.tid, "  ".repeat(depth))
}

fn seconds(nanos: u64) -> String {
    let micros = nanos / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Small numbers as such, others as addresses.
fn number(value: u64) -> String {
    match value.cast_signed() {
        small @ -65_536..=65_536 => small.to_string(),
        _ => format!("{value:#x}"),
    }
}

fn head(call: &FunctionEvent, name: &str) -> String {
    let mut json = format!(
        "{{\"pid\":{},\"tid\":{},\"call\":{},\"depth\":{},\"function\":",
        call.pid, call.tid, call.call, call.depth
    );
    push_json_string(&mut json, name);
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(7), "7");
        assert_eq!(number((-1_i64).cast_unsigned()), "-1");
        assert_eq!(number(0x7fff_0000_0010), "0x7fff00000010");
        assert_eq!(seconds(1_234_567_890), "1.234567");
    }
}
