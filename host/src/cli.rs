//! The commands of pai-host.

mod attach;
mod completions;
mod doctor;
mod inspect;
mod limit;
mod list;
mod log;
mod message;
mod output;
mod pids;
mod plugin_options;
mod program;
mod run;
mod stats;
mod strace;
mod trace;
mod user;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::exit::{Code, Exit};
use pai_host::plugin;

pub(crate) use message::Halt;

/// For bug reports: what this program was made of.
fn long_version() -> String {
    format!(
        "{}\nwasmtime {}\npai:plugin {}\n{} {}",
        env!("CARGO_PKG_VERSION"),
        env!("PAI_WASMTIME_VERSION"),
        plugin::WIT_VERSION,
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// Trace Linux programs with sandboxed WebAssembly plugins.
#[derive(Debug, Parser)]
#[command(
    name = "pai-host",
    version,
    long_version = long_version(),
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "See `pai-host COMMAND --help` for examples, and `pai-host run PLUGIN --help` \
                  for the options of a plugin."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Verb,

    /// When to use colours in messages
    ///
    /// With `auto`, when standard error is a terminal. NO_COLOR and
    /// CLICOLOR_FORCE are respected.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Global options"
    )]
    color: clap::ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Attach(attach::Args),
    Strace(Box<strace::Args>),
    List(list::Args),
    Inspect(inspect::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
}

/// Does what the command line says, and tells how to end.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> Exit {
    let done = Cli::try_parse_from(arguments)
        .map_err(|error| usage(&error, None))
        .and_then(|cli| {
            choose_color(cli.color);
            match cli.command {
                Verb::Run(args) => run::run(&args, cli.color),
                Verb::Attach(args) => attach::run(&args, cli.color),
                Verb::Strace(args) => strace::run(&args, cli.color),
                Verb::List(args) => list::run(&args),
                Verb::Inspect(args) => inspect::run(&args),
                Verb::Doctor(args) => doctor::run(&args),
                Verb::Completions(args) => completions::run(&args),
            }
        });
    done.unwrap_or_else(Halt::report)
}

fn choose_color(choice: clap::ColorChoice) {
    let choice = match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// What clap has to say: help and versions go to standard output, mistakes
/// become a message like all others.
fn usage(error: &clap::Error, plugin: Option<&str>) -> Halt {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody reading on is no error.
            drop(error.print());
            Halt::Said(Code::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(error.print());
            Halt::Said(Code::HOST)
        }
        _ => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            Halt::failed(match plugin {
                Some(name) => format!("plugin {name}: {text}"),
                None => text.to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split_whitespace())
    }

    #[test]
    fn definition_is_valid_for_clap() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mistakes_are_125() {
        for mistake in [
            "pai-host frobnicate",
            "pai-host run --no-such-option x",
            "pai-host run -q -v minimal true",
            "pai-host run -f --no-follow minimal true",
            "pai-host run --color=sometimes minimal true",
            "pai-host run --limit fuel=1 minimal true",
            "pai-host attach minimal",
            "pai-host attach -p x minimal",
            "pai-host attach -p 0 minimal",
            "pai-host attach -p -1 minimal",
            "pai-host attach -p 1 --name x minimal",
            "pai-host inspect",
        ] {
            let error = parse(mistake).unwrap_err();
            match usage(&error, None) {
                Halt::Failed { code, message, .. } => {
                    assert_eq!(code, 125, "{mistake}");
                    assert!(!message.starts_with("error"), "{message}");
                }
                Halt::Said(_) => panic!("{mistake}"),
            }
        }
    }

    #[test]
    fn the_plugin_ends_the_options_of_the_host() {
        let words = |line: &str| match parse(line).unwrap().command {
            Verb::Run(args) => args.words,
            Verb::Attach(args) => args.words,
            other => panic!("{other:?}"),
        };
        let line = "pai-host run -q strace -o x --json -- ls --help";
        assert_eq!(
            words(line),
            ["strace", "-o", "x", "--json", "--", "ls", "--help"]
        );
        assert_eq!(words("pai-host run -t a -- ls -l"), ["ls", "-l"]);
        assert_eq!(
            words("pai-host attach -p 1,2 -p 3 strace -q"),
            ["strace", "-q"]
        );
        assert_eq!(words("pai-host run strace --help"), ["strace", "--help"]);
    }
}
