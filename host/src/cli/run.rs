//! `pai-host run`

use std::ffi::OsString;

use clap::ValueHint;
use pai_host::session::Target;

use super::message::Halt;
use super::plugin_options::{self, Place};
use super::{program, trace};
use crate::exit::{self, Exit, Whose};

const EXAMPLES: &str = "\
Examples:
  pai-host run strace -- ls -l /
  pai-host run strace --trace=openat,read -- cat /etc/passwd
  pai-host run strace --help
  pai-host run -o calls.jsonl --json strace -- make
  pai-host run ./target/wasm32-wasip2/release/tool.wasm -- ./server --port 80
  pai-host run -t exits -t 'count --sort=errors' -- python3 script.py";

/// Start a command and trace it with plugins
///
/// Host options come first, then the plugin, its own options, and the command.
/// The target keeps standard input, output and the terminal; what plugins print
/// goes to standard error. Processes that the target starts are traced too.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "pai-host run [HOST OPTIONS] PLUGIN [PLUGIN OPTIONS] [--] COMMAND [ARGS]...\n       \
                      pai-host run [HOST OPTIONS] -t 'PLUGIN [PLUGIN OPTIONS]'... [--] COMMAND [ARGS]...",
    after_help = "`pai-host run PLUGIN --help` shows the options of a plugin, `pai-host list` the \
                  bundled plugins.",
    after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP),
)]
pub(crate) struct Args {
    #[command(flatten)]
    options: trace::Options,

    /// The plugin: the name of a bundled one or the path of a .wasm file; its
    /// options; the command to run
    #[arg(
        value_name = "PLUGIN ... COMMAND",
        trailing_var_arg = true,
        value_hint = ValueHint::CommandWithArguments,
        hide = true
    )]
    pub(crate) words: Vec<OsString>,
}

/// Starts the command and traces it.
///
/// # Errors
/// When anything is wrong before it starts, or the session fails.
pub(crate) fn run(args: &Args, color: clap::ColorChoice) -> Result<Exit, Halt> {
    let (plugins, command) = if args.options.plugins.is_empty() {
        let (plugin, command) = plugin_options::select(&args.words, Place::Run, color)?;
        (vec![plugin], command)
    } else {
        (args.options.quoted_plugins(color)?, args.words.clone())
    };
    let program = program::find(
        &command,
        "put it after the plugin: pai-host run PLUGIN -- COMMAND [ARGS]",
    )?;
    args.options
        .trace(Target::Spawn(program), plugins, Whose::Target)
}
