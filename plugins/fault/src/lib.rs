//! Tampers with calls: the n-th that fits fails, returns something else, comes with a
//! signal, is held up, or finds other bytes in memory.

use pai_plugin::output::structured;
use pai_plugin::select::Calls;
use pai_plugin::{Client, Error, Result, names, options};

mod rule;
mod tamper;
mod when;

use rule::{Effects, Rule, errno};
use tamper::{Filter, State};
use when::When;

pai_plugin::without_wasi!();

pai_plugin::plugin! {
    name: "fault",
    description: "fails system calls, or delays them: the n-th of these, on these files",
    wants: [
        MemoryRead("to see the names of files"),
        MemoryWrite("to change what arguments point to"),
        Tamper("to skip the calls and return something else, and to send signals"),
        Control("to hold up calls"),
        Kill("to send SIGKILL"),
    ],
    options: [
        OptionSpec::text("call", "which: names, %classes, /regex/, !all-but, ?maybe")
            .short("c").metavar("SET").repeated(),
        OptionSpec::text("path", "only those that name a file that fits a shell pattern")
            .metavar("PATTERN"),
        OptionSpec::integer("fd", "only those on this descriptor").metavar("FD"),
        OptionSpec::text("when", "which of those that fit, the first is 1: N, N+ (and all \
            behind it), N+STEP (and every STEP-th behind it), FIRST..LAST, FIRST..LAST+STEP")
            .short("w").metavar("WHEN").default("1+"),
        OptionSpec::text("error", "they fail with this: a name such as EACCES, or a number")
            .short("e").metavar("ERROR"),
        OptionSpec::integer("retval", "they return this instead").metavar("NUMBER"),
        OptionSpec::text("inject", "the same and more in strace's words: SET[:error=E|:retval=V]\
            [:signal=S][:syscall=NAME][:delay_enter=T][:delay_exit=T]\
            [:poke_enter=@argN=HEX,...][:poke_exit=...][:when=WHEN]")
            .metavar("EXPR").repeated(),
        OptionSpec::text("fault", "as --inject=SET:error=ENOSYS: SET[:error=E][:when=WHEN]")
            .metavar("EXPR").repeated(),
        OptionSpec::text("trace", "leave all other calls alone").metavar("SET"),
        OptionSpec::text("trace-path", "leave calls alone that do not concern this path")
            .short("P").metavar("PATH").repeated(),
        OptionSpec::flag("quiet", "print nothing").short("q"),
    ],
    run: run,
}

fn run() -> Result<()> {
    let rules = rules()?;
    let filter = Filter {
        calls: match options::get("trace") {
            Some(set) => Calls::parse(&set)?,
            None => Calls::all(true),
        },
        paths: options::all("trace-path")
            .into_iter()
            .map(String::into_bytes)
            .collect(),
        pattern: options::get("path"),
        fd: options::integer("fd")?,
    };
    filter.check(&rules)?;
    let summary = Summary {
        quiet: options::flag("quiet"),
        returned: options::all("call")
            .first()
            .and(rules[0].effects.result)
            .map(shown),
    };
    let mut client = Client::new(State::new(rules, filter, !summary.quiet && structured()));
    tamper::register(&mut client)?;
    let (_end, state) = client.loop_until_exit()?;
    summary.tell(&state)
}

/// What is told at the end.
struct Summary {
    quiet: bool,
    /// What all calls returned that were changed, where that is one thing.
    returned: Option<String>,
}

impl Summary {
    fn tell(&self, state: &State) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        if structured() {
            return state.emit_total();
        }
        let (fitting, changed) = (state.fitting, state.changed);
        match &self.returned {
            Some(returned) => {
                pai_plugin::println!("{changed} of {fitting} calls that fit returned {returned}")
            }
            None => pai_plugin::println!("{changed} of {fitting} calls that fit were changed"),
        }
        Ok(())
    }
}

/// Of the options, then of the expressions, in their order.
fn rules() -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    let calls = options::all("call").join(",");
    let expressions = options::of(&["inject", "fault"]);
    if !calls.is_empty() {
        let when = When::parse(&options::get("when").unwrap_or_default());
        rules.push(Rule {
            calls: Calls::parse(&calls)?,
            when: when.map_err(|error| Error::new(format!("--when: {error}")))?,
            for_each: false,
            effects: Effects::of_result(result()?),
        });
    } else if expressions.is_empty() {
        return Err("which calls? see --call and --inject".into());
    }
    for (kind, text) in expressions {
        rules.push(Rule::parse(&kind, &text)?);
    }
    Ok(rules)
}

/// What the calls return, from `--error` or `--retval`.
fn result() -> Result<i64> {
    match (options::get("error"), options::integer("retval")?) {
        (None, Some(value)) => Ok(value),
        (Some(error), None) => match errno(&error) {
            Ok(errno) => Ok(-errno),
            Err(error) => Err(Error::new(format!("--error: {error}"))),
        },
        _ => Err("what should they return? see --error and --retval".into()),
    }
}

/// A result as people write it.
fn shown(ret: i64) -> String {
    let errno = u32::try_from(-ret).ok().and_then(names::errno);
    errno.map_or_else(|| ret.to_string(), Into::into)
}
