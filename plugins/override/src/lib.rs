//! Replaces the results of functions.

use std::collections::BTreeSet;
use std::rc::Rc;

use pai_plugin::json::Object;
use pai_plugin::output::{emit, structured};
use pai_plugin::{
    Client, ErrorKind, FunctionEvent, Module, OnCall, OnReturn, Pid, Result, options,
};

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "override",
    description: "replaces the results of functions",
    wants: [
        Control("to stop at functions"),
        MemoryRead("to find them"),
        Tamper("to replace what they return"),
    ],
    options: [
        OptionSpec::text("function", "NAME=RESULT, or NAME with --result; NAME may be \
            MODULE!NAME or a pattern, RESULT decimal or 0x...")
            .short("f").metavar("NAME[=RESULT]").repeated(),
        OptionSpec::text("result", "for functions that are given without one")
            .short("r").metavar("RESULT"),
        OptionSpec::flag("after", "let them run, and replace the result behind"),
    ],
    run: run,
}

struct State {
    /// How many results were replaced.
    count: u64,
    /// Patterns that no function has fitted yet.
    missing: BTreeSet<String>,
}

fn run() -> Result<()> {
    let rules = rules(&options::all("function"), options::get("result"))?;
    let after = options::flag("after");
    let patterns: BTreeSet<String> = rules.iter().map(|(pattern, _)| pattern.clone()).collect();
    let all = patterns.len();
    let mut client = Client::new(State {
        count: 0,
        missing: patterns,
    });
    client.on_modules(move |client, pid, modules| {
        for (pattern, result) in &rules {
            replace(client, pid, modules, pattern, *result, after)?;
        }
        Ok(())
    })?;
    let (_end, State { count, missing }) = client.loop_until_exit()?;
    let found = missing.len() < all;
    if structured() {
        let json = Object::new().number("results", count).flag("found", found);
        return emit("total", &json.end());
    }
    for pattern in missing {
        pai_plugin::println!("there is no function {pattern:?}");
    }
    if found {
        pai_plugin::println!("{count} results were replaced");
    }
    Ok(())
}

/// Names and results.
fn rules(functions: &[String], result: Option<String>) -> Result<Vec<(String, i64)>> {
    if functions.is_empty() {
        return Err("which function? see --function".into());
    }
    let default = match &result {
        Some(text) => Some(number(text).ok_or_else(|| format!("--result: {text:?} is no number"))?),
        None => None,
    };
    let rule = |function: &String| {
        // There are functions with names like "operator==".
        let parts = function.rsplit_once('=');
        if let Some((name, result)) = parts
            && let Some(result) = number(result)
        {
            return Ok((name.to_owned(), result));
        }
        match (default, parts) {
            (Some(result), _) => Ok((function.clone(), result)),
            (None, Some((_, text))) if !text.is_empty() => {
                Err(format!("{function}: {text:?} is no number").into())
            }
            (None, _) => Err(format!("{function}: no result is given").into()),
        }
    };
    functions.iter().map(rule).collect()
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

fn replace(
    client: &mut Client<State>,
    pid: Pid,
    modules: &[Module],
    pattern: &str,
    result: i64,
    after: bool,
) -> Result<()> {
    for symbol in client.functions_in(pid, modules, pattern)? {
        client.data_mut().missing.remove(pattern);
        let name: Rc<str> = Rc::from(symbol.demangled.as_deref().unwrap_or(&symbol.name));
        let hooked = client.on_symbol(
            pid,
            &symbol,
            move |client, call| {
                client.data_mut().count += 1;
                tell(call, &name, result)?;
                Ok(if after {
                    OnCall::Proceed
                } else {
                    OnCall::Return(result)
                })
            },
            move |_, _| {
                Ok(if after {
                    OnReturn::SetReturn(result)
                } else {
                    OnReturn::Proceed
                })
            },
        );
        match hooked {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Invalid(_)) => {
                pai_plugin::println!("{}: {error}", symbol.name);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A record of one call.
fn tell(call: &FunctionEvent, name: &str, result: i64) -> Result<()> {
    if !structured() {
        return Ok(());
    }
    let json = Object::new()
        .number("pid", call.pid)
        .number("tid", call.tid)
        .text("function", name)
        .number("result", result);
    emit("override", &json.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_names_and_numbers() {
        let functions = ["getpid=7", "libc.so!getuid=-1", "operator==", "x=0x10"].map(String::from);
        let rules = rules(&functions, Some("3".to_owned())).unwrap();
        let expected = [
            ("getpid", 7),
            ("libc.so!getuid", -1),
            ("operator==", 3),
            ("x", 16),
        ];
        assert_eq!(
            rules,
            expected.map(|(name, result)| (name.to_owned(), result))
        );
        for (function, why) in [
            ("operator==", "operator==: no result is given"),
            ("f", "f: no result is given"),
            ("f=abc", "f=abc: \"abc\" is no number"),
        ] {
            let error = super::rules(&[function.to_owned()], None).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
        assert!(super::rules(&[], None).is_err());
    }
}
