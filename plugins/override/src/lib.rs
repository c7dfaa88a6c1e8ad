//! Replaces the results of functions.

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

fn run() -> Result<()> {
    let rules = rules(&options::all("function"), options::get("result"))?;
    let after = options::flag("after");
    let mut client = Client::new((0_u64, false));
    client.on_modules(move |client, pid, modules| {
        for (pattern, result) in &rules {
            replace(client, pid, modules, pattern, *result, after)?;
        }
        Ok(())
    })?;
    let (_end, (count, found)) = client.loop_until_exit()?;
    if structured() {
        let json = Object::new().number("results", count).flag("found", found);
        return emit("total", &json.end());
    }
    if found {
        pai_plugin::println!("{count} results were replaced");
    } else {
        pai_plugin::println!("there is no such function");
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
        if let Some((name, result)) = function.rsplit_once('=')
            && let Some(result) = number(result)
        {
            return Ok((name.to_owned(), result));
        }
        match default {
            Some(result) => Ok((function.clone(), result)),
            None => Err(format!("{function}: no result is given").into()),
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
    client: &mut Client<(u64, bool)>,
    pid: Pid,
    modules: &[Module],
    pattern: &str,
    result: i64,
    after: bool,
) -> Result<()> {
    for symbol in client.functions_in(pid, modules, pattern)? {
        let name: Rc<str> = Rc::from(symbol.demangled.as_deref().unwrap_or(&symbol.name));
        let hooked = client.on_symbol(
            pid,
            &symbol,
            move |client, call| {
                client.data_mut().0 += 1;
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
            Ok(_) => client.data_mut().1 = true,
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
        assert!(super::rules(&functions, None).is_err());
        assert!(super::rules(&[], None).is_err());
    }
}
