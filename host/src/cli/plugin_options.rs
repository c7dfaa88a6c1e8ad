//! A plugin's own command line: real options, made from its manifest.

use std::ffi::OsString;
use std::sync::Arc;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use pai_host::manifest::{Kind, OptionSpec};
use pai_host::plugin::Plugin;
use pai_host::session::PluginRun;

use super::message::{Halt, escape};

/// Where the options of a plugin stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `run PLUGIN [OPTIONS] [--] COMMAND`
    Run,
    /// `attach -p PID PLUGIN [OPTIONS]`
    Attach,
    /// `-t 'PLUGIN [OPTIONS]'`
    Quoted,
}

const COMMAND: &str = "COMMAND";

/// Loads the plugin that the first word names and reads its options from the
/// others. What is left is the command to run.
///
/// # Errors
/// When there is no such plugin, or it has no such option.
pub(crate) fn select(
    words: &[OsString],
    place: Place,
    color: clap::ColorChoice,
) -> Result<(PluginRun, Vec<OsString>), Halt> {
    let Some((reference, words)) = words.split_first() else {
        return Err(Halt::failed("no plugin is given")
            .help("`pai-host list` shows all bundled plugins; to load a file, give its path"));
    };
    let reference = reference.to_str().ok_or_else(|| {
        Halt::failed(format!(
            "plugin {}: its name is not UTF-8",
            reference.display()
        ))
    })?;
    let plugin = Plugin::load(reference)?;
    let usage = usage(reference, &plugin, place);
    let (options, command) = parse(&plugin, words, place, usage, color)?;
    let plugin = Arc::new(plugin);
    Ok((PluginRun { plugin, options }, command))
}

/// Loads what a `-t` names. Its value is split as a shell does.
///
/// # Errors
/// As [`select`], and for unbalanced quotes.
pub(crate) fn select_quoted(text: &str, color: clap::ColorChoice) -> Result<PluginRun, Halt> {
    let words = split(text)?;
    let (run, _) = select(&words, Place::Quoted, color)?;
    Ok(run)
}

fn split(text: &str) -> Result<Vec<OsString>, Halt> {
    let words = shlex::split(text).ok_or_else(|| {
        Halt::failed(format!(
            "-t {text}: a quote or a backslash at the end is not closed"
        ))
    })?;
    if words.is_empty() {
        return Err(Halt::failed("-t: no plugin is given")
            .help("give a name or a path, with options in quotes: -t 'count --sort=errors'"));
    }
    Ok(words.into_iter().map(OsString::from).collect())
}

type Options = Vec<(String, String)>;

fn parse(
    plugin: &Plugin,
    words: &[OsString],
    place: Place,
    usage: String,
    color: clap::ColorChoice,
) -> Result<(Options, Vec<OsString>), Halt> {
    let mut matches = command(plugin, place)
        .override_usage(usage)
        .color(color)
        .try_get_matches_from(words)
        .map_err(|error| super::usage(&error, Some(&plugin.name)))?;
    let options = values(plugin, &matches);
    let command = match place {
        Place::Run => matches
            .remove_many::<OsString>(COMMAND)
            .map(Iterator::collect)
            .unwrap_or_default(),
        Place::Attach | Place::Quoted => Vec::new(),
    };
    Ok((options, command))
}

/// The whole command line, with the plugin as the user called it.
fn usage(reference: &str, plugin: &Plugin, place: Place) -> String {
    let name = escape(reference);
    let options = if plugin.manifest.options.is_empty() {
        ""
    } else {
        " [OPTIONS]"
    };
    match place {
        Place::Run => format!("pai-host run {name}{options} [--] COMMAND [ARGS]..."),
        Place::Attach => format!("pai-host attach -p PID {name}{options}"),
        Place::Quoted => format!("-t '{name}{options}'"),
    }
}

/// The command line that the manifest describes.
fn command(plugin: &Plugin, place: Place) -> Command {
    let manifest = &plugin.manifest;
    let mut command = Command::new(plugin.name.clone())
        .no_binary_name(true)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .max_term_width(100)
        .about(manifest.description.clone())
        .arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .action(ArgAction::Help)
                .help("Print the options of this plugin"),
        );
    if !manifest.wants.is_empty() {
        let mut text = String::from("Capabilities:\n");
        for want in &manifest.wants {
            text.push_str(&format!("  {:<17} {}\n", want.capability, want.why));
        }
        command = command.after_help(text);
    }
    for option in &manifest.options {
        command = command.arg(argument(option));
    }
    if place == Place::Run {
        command = command.arg(
            Arg::new(COMMAND)
                .value_name("COMMAND")
                .help("What to run, and its arguments")
                .value_parser(ValueParser::os_string())
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true),
        );
    }
    command
}

/// Every option takes a list: it is read as the values in their order.
fn argument(option: &OptionSpec) -> Arg {
    let mut argument = Arg::new(option.name.clone())
        .long(option.name.clone())
        .help(option.help.clone());
    if let Some(short) = option.short.chars().next() {
        argument = argument.short(short);
    }
    if let Some(default) = &option.default {
        argument = argument.default_value(default.clone());
    }
    let usual_name = match option.kind {
        Kind::Flag => return flag(argument, option.repeated),
        Kind::Text => "TEXT",
        Kind::Integer => "N",
    };
    let name = if option.metavar.is_empty() {
        usual_name
    } else {
        &option.metavar
    };
    argument = argument.value_name(name.to_owned());
    if option.kind == Kind::Integer {
        argument = argument
            .value_parser(clap::value_parser!(i64))
            .allow_negative_numbers(true);
    }
    argument.action(if option.repeated {
        ArgAction::Append
    } else {
        ArgAction::Set
    })
}

fn flag(argument: Arg, repeated: bool) -> Arg {
    if repeated {
        argument.action(ArgAction::Count)
    } else {
        argument.action(ArgAction::SetTrue)
    }
}

/// The values in the order of the command line; what was not given comes
/// first, with its default.
fn values(plugin: &Plugin, matches: &ArgMatches) -> Options {
    let mut found: Vec<(usize, &str, String)> = Vec::new();
    for option in &plugin.manifest.options {
        let name = option.name.as_str();
        let given = match option.kind {
            Kind::Flag if option.repeated => {
                vec!["true".to_owned(); usize::from(matches.get_count(name))]
            }
            Kind::Flag if matches.get_flag(name) => vec!["true".to_owned()],
            Kind::Flag => Vec::new(),
            Kind::Text => matches
                .get_many::<String>(name)
                .map(|values| values.cloned().collect())
                .unwrap_or_default(),
            Kind::Integer => matches
                .get_many::<i64>(name)
                .map(|values| values.map(i64::to_string).collect())
                .unwrap_or_default(),
        };
        let typed = matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        let mut places = matches.indices_of(name).into_iter().flatten();
        let mut place = 0;
        for value in given {
            // Flags that were given several times have one place.
            place = places.next().filter(|_| typed).unwrap_or(place);
            found.push((place, name, value));
        }
    }
    found.sort_by_key(|(place, ..)| *place);
    found
        .into_iter()
        .map(|(_, name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
