//! `pai-host completions`

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use pai_host::plugin;

use super::Cli;
use super::message::{self, Halt};
use crate::exit::{Code, Exit};

/// Write completions for a shell to standard output
///
/// For bash: pai-host completions bash > ~/.local/share/bash-completion/completions/pai-host
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn run(args: &Args) -> Result<Exit, Halt> {
    message::stdout(&script(args.shell))?;
    Ok(Exit::Code(Code::SUCCESS))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "pai-host", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // clap_complete 4.6 reads the hyphen of a program's name, which it has
        // made "__", as the border of a subcommand: half of its labels are
        // others than those that it jumps to.
        Shell::Bash => script.replace("pai__subcmd__host", "pai__host"),
        _ => script,
    }
}

/// The command line as shells are to complete it: where a plugin goes, the
/// names of the bundled ones.
fn command() -> Command {
    let names = || PossibleValuesParser::new(plugin::bundled());
    let plugin = || {
        Arg::new("plugin")
            .value_name("PLUGIN")
            .value_parser(names())
    };
    Cli::command()
        .mut_subcommand("run", |run| {
            with_positionals(
                &run,
                [
                    plugin(),
                    Arg::new("command")
                        .value_name("COMMAND")
                        .num_args(1..)
                        .trailing_var_arg(true)
                        .value_hint(ValueHint::CommandWithArguments),
                ],
            )
        })
        .mut_subcommand("attach", |attach| with_positionals(&attach, [plugin()]))
        .mut_subcommand("inspect", |inspect| {
            inspect.mut_arg("plugin", |plugin| plugin.value_parser(names()))
        })
}

/// `command` with other positional arguments.
fn with_positionals(command: &Command, positionals: impl IntoIterator<Item = Arg>) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(command.get_name().to_owned())
        .about(about)
        .args(command.get_opts().cloned())
        .args(positionals)
        .mut_arg("plugins", |plugins| {
            plugins.value_parser(PossibleValuesParser::new(plugin::bundled()))
        })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_gets_the_names_of_plugins() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            assert!(script.contains("attach"), "{shell}");
            // The others complete no values.
            let values = matches!(shell, Shell::Bash | Shell::Zsh | Shell::Fish);
            for name in plugin::bundled().filter(|_| values) {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }
}
