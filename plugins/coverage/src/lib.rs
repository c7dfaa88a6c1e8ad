//! Tells which functions were called.

use std::collections::{BTreeMap, BTreeSet};

use pai_plugin::output::{emit, push_json_string, structured};
use pai_plugin::pattern;
use pai_plugin::{
    BreakpointOptions, Client, ErrorKind, Module, OnBreakpoint, Pid, Result, Symbol, options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "coverage",
    description: "tells which functions of a program were called",
    wants: [
        Control("to stop once at each function"),
        MemoryRead("to find them"),
    ],
    options: [
        OptionSpec::text("module", "functions of MODULE, a file name or pattern; \
            without this of the program itself")
            .short("m").metavar("MODULE").repeated(),
        OptionSpec::flag("lcov", "write a tracefile of lcov, with functions that have lines"),
    ],
    run: run,
}

/// A function by its module's path and its place in there: processes have it at
/// different addresses.
type Key = (String, u64);

struct Function {
    name: String,
    file: Option<String>,
    line: u32,
    hit: bool,
}

struct State {
    functions: BTreeMap<Key, Function>,
    /// Patterns of the user that no module has fitted yet.
    missing: BTreeSet<String>,
}

fn run() -> Result<()> {
    let patterns = options::all("module");
    let lcov = options::flag("lcov");
    let mut client = Client::new(State {
        functions: BTreeMap::new(),
        missing: patterns.iter().cloned().collect(),
    });
    client.on_modules(move |client, pid, fresh| watch(client, pid, fresh, &patterns, lcov))?;
    let (_end, State { functions, missing }) = client.loop_until_exit()?;
    if structured() {
        emit_all(&functions)?;
    } else if lcov {
        pai_plugin::print!("{}", tracefile(&functions));
    } else {
        pai_plugin::print!("{}", summary(&functions, &missing));
        return Ok(());
    }
    // What is read by programs has no place for it.
    for pattern in missing {
        pai_plugin::log!(Warn, "no module fits {pattern:?}");
    }
    Ok(())
}

fn watch(
    client: &mut Client<State>,
    pid: Pid,
    fresh: &[Module],
    patterns: &[String],
    lcov: bool,
) -> Result<()> {
    let mut found = Vec::new();
    if patterns.is_empty() {
        // The program is the first of all, and new only once.
        let program = client.modules(pid)?.into_iter().next();
        let program = program.filter(|program| fresh.iter().any(|m| m.base == program.base));
        if let Some(program) = program {
            found = client.functions_in(pid, &[program], "*")?;
        }
    }
    for module in patterns {
        let own = client.functions_in(pid, fresh, &format!("{module}!*"))?;
        if !own.is_empty() || fresh.iter().any(|one| fits(module, one)) {
            client.data_mut().missing.remove(module);
        }
        found.extend(own);
    }
    let all = found.len();
    for (index, symbol) in found.into_iter().enumerate() {
        let at = symbol.value;
        let Some(module) = fresh.iter().find(|m| (m.base..m.end).contains(&at)) else {
            continue;
        };
        let key = (module.path.clone(), at - module.base);
        let known = client.data().functions.get(&key);
        if known.is_some_and(|function| function.hit) {
            continue;
        }
        match watch_one(client, pid, &symbol, key, lcov) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Limit(_)) => {
                let rest = all - index;
                pai_plugin::log!(Warn, "{rest} functions are not watched: {error}");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a module without functions is one of those that the user means.
fn fits(pattern: &str, module: &Module) -> bool {
    if pattern.contains('/') {
        return pattern::fits(pattern, module.path.as_bytes());
    }
    let stem = module.name.split_once(".so").map(|(stem, _)| stem);
    stem == Some(pattern) || pattern::fits(pattern, module.name.as_bytes())
}

fn watch_one(
    client: &mut Client<State>,
    pid: Pid,
    symbol: &Symbol,
    key: Key,
    lcov: bool,
) -> Result<()> {
    let once = BreakpointOptions {
        once: true,
        ..BreakpointOptions::default()
    };
    let own = key.clone();
    let inserted = client.on_breakpoint_with(pid, symbol.value, once, move |client, _| {
        if let Some(function) = client.data_mut().functions.get_mut(&own) {
            function.hit = true;
        }
        Ok(OnBreakpoint::Remove)
    });
    match inserted {
        Ok(_) => {}
        // What is called a function is none, or lies in shared memory.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::Invalid(_) | ErrorKind::BadAddress(_) | ErrorKind::Unsupported(_)
            ) =>
        {
            pai_plugin::log!(Debug, "{} is not watched: {error}", symbol.name);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if client.data().functions.contains_key(&key) {
        return Ok(());
    }
    // Of what is inlined at the first instruction the last is the function.
    let source = match lcov {
        true => client.locate(pid, symbol.value)?.pop(),
        false => None,
    };
    let function = Function {
        name: symbol.demangled.as_ref().unwrap_or(&symbol.name).clone(),
        file: source.as_ref().and_then(|source| source.file.clone()),
        line: source.and_then(|source| source.line).unwrap_or(0),
        hit: false,
    };
    client.data_mut().functions.insert(key, function);
    Ok(())
}

fn hits<'a>(functions: impl Iterator<Item = &'a Function>) -> usize {
    functions.filter(|function| function.hit).count()
}

fn summary(functions: &BTreeMap<Key, Function>, missing: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let mut before = None;
    for ((module, _), function) in functions {
        if before != Some(module) {
            let own = || functions.iter().filter(|((m, _), _)| m == module);
            let hit = hits(own().map(|(_, function)| function));
            let line = format!(
                "{module}: {hit} of {} functions were called\n",
                own().count()
            );
            text.push_str(&line);
            before = Some(module);
        }
        let mark = if function.hit { '+' } else { '-' };
        text.push_str(&format!("  {mark} {}\n", function.name));
    }
    for pattern in missing {
        text.push_str(&format!("no module fits {pattern:?}\n"));
    }
    if functions.is_empty() && missing.is_empty() {
        text.push_str("there are no functions: is the program stripped?\n");
    }
    text
}

/// What geninfo(1) describes; nothing is known of lines and branches.
fn tracefile(functions: &BTreeMap<Key, Function>) -> String {
    let mut files: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for function in functions.values() {
        if let Some(file) = &function.file {
            files.entry(file).or_default().push(function);
        }
    }
    let mut text = String::new();
    for (file, functions) in files {
        text.push_str(&format!("TN:\nSF:{file}\n"));
        for function in &functions {
            text.push_str(&format!("FN:{},{}\n", function.line, function.name));
        }
        for function in &functions {
            let count = u32::from(function.hit);
            text.push_str(&format!("FNDA:{count},{}\n", function.name));
        }
        let hit = hits(functions.iter().copied());
        text.push_str(&format!(
            "FNF:{}\nFNH:{hit}\nend_of_record\n",
            functions.len()
        ));
    }
    text
}

fn emit_all(functions: &BTreeMap<Key, Function>) -> Result<()> {
    for ((module, _), function) in functions {
        let mut json = String::from("{\"module\":");
        push_json_string(&mut json, module);
        json.push_str(",\"function\":");
        push_json_string(&mut json, &function.name);
        json.push_str(&format!(",\"hit\":{}}}", function.hit));
        emit("function", &json)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        let function = |name: &str, line, hit| Function {
            name: name.to_owned(),
            file: (line > 0).then(|| "/src/a.c".to_owned()),
            line,
            hit,
        };
        let functions = BTreeMap::from([
            (("/bin/a".to_owned(), 16), function("main", 3, true)),
            (("/bin/a".to_owned(), 32), function("never", 9, false)),
            (("/bin/a".to_owned(), 48), function("_start", 0, true)),
        ]);
        assert_eq!(
            summary(&functions, &BTreeSet::new()),
            "/bin/a: 2 of 3 functions were called\n  + main\n  - never\n  + _start\n"
        );
        assert_eq!(
            tracefile(&functions),
            "TN:\nSF:/src/a.c\nFN:3,main\nFN:9,never\nFNDA:1,main\nFNDA:0,never\n\
             FNF:2\nFNH:1\nend_of_record\n"
        );
        let none = BTreeMap::new();
        assert_eq!(
            summary(&none, &BTreeSet::from(["a".to_owned()])),
            "no module fits \"a\"\n"
        );
        assert_eq!(
            summary(&none, &BTreeSet::new()),
            "there are no functions: is the program stripped?\n"
        );
    }
}
