//! `pai-host inspect`

use clap::ValueHint;
use pai_host::manifest::{Kind, OptionSpec};
use pai_host::plugin::{LoadError, Plugin};
use serde_json::json;

use super::message::{self, Halt};
use crate::exit::{Code, Exit};

/// Show what a plugin is, wants and can do
///
/// Nothing of the plugin is executed. Its imports are all that it can ever use.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name of a bundled plugin, or the path of a .wasm file
    #[arg(value_name = "PLUGIN", value_hint = ValueHint::FilePath)]
    pub(crate) plugin: String,

    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the description.
///
/// # Errors
/// When there is no such plugin, or it is damaged.
pub(crate) fn run(args: &Args) -> Result<Exit, Halt> {
    let plugin = Plugin::load(&args.plugin)?;
    plugin.validate().map_err(|error| LoadError {
        reference: args.plugin.clone(),
        ..error
    })?;
    let text = if args.json {
        let object = json!({
            "v": 1,
            "name": plugin.name,
            "manifest": (!plugin.manifest.is_absent()).then_some(&plugin.manifest),
            "world": plugin.world,
            "imports": plugin.imports,
            "size": plugin.wasm.len(),
            "digest": plugin.digest_hex(),
        });
        format!("{object}\n")
    } else {
        message::escape(&describe(&plugin))
    };
    message::stdout(&text)?;
    Ok(Exit::Code(Code::SUCCESS))
}

fn describe(plugin: &Plugin) -> String {
    let manifest = &plugin.manifest;
    let mut text = format!("{} {}\n", plugin.name, manifest.version).replace(" \n", "\n");
    if !manifest.description.is_empty() {
        text.push_str(&format!("{}\n", manifest.description));
    }
    text.push('\n');

    let mut rows = Vec::new();
    let mut field = |title: &str, values: &[[String; 2]]| {
        for (n, [value, remark]) in values.iter().enumerate() {
            let title = if n == 0 { title } else { "" };
            rows.push((title.to_owned(), value.clone(), remark.clone()));
        }
    };
    let one = |value: String| [[value, String::new()]];
    field("world", &one(plugin.world.to_string()));
    field(
        "api",
        &one(if manifest.is_absent() {
            "no manifest: it wants no capability and takes no options".to_owned()
        } else {
            manifest.api.clone()
        }),
    );
    if !manifest.license.is_empty() {
        field("licence", &one(manifest.license.clone()));
    }
    field("size", &one(format!("{} bytes", plugin.wasm.len())));
    field("sha256", &one(plugin.digest_hex()));
    let wants: Vec<[String; 2]> = manifest
        .wants
        .iter()
        .map(|want| [want.capability.clone(), want.why.clone()])
        .collect();
    field("wants", &wants);
    let options: Vec<[String; 2]> = manifest.options.iter().map(option).collect();
    field("options", &options);
    let imports: Vec<[String; 2]> = plugin
        .imports
        .iter()
        .map(|import| [import.clone(), String::new()])
        .collect();
    field("imports", &imports);

    let width = rows
        .iter()
        .filter(|(_, _, remark)| !remark.is_empty())
        .map(|(_, value, _)| value.chars().count())
        .max()
        .unwrap_or(0);
    for (title, value, remark) in rows {
        let line = format!("{title:<9}{value:<width$}  {remark}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// As help texts show it.
fn option(option: &OptionSpec) -> [String; 2] {
    let mut call = format!("--{}", option.name);
    if !option.short.is_empty() {
        call = format!("-{}, {call}", option.short);
    }
    if option.kind != Kind::Flag {
        let usual = if option.kind == Kind::Text {
            "TEXT"
        } else {
            "N"
        };
        let name = Some(option.metavar.as_str()).filter(|name| !name.is_empty());
        call.push_str(&format!(" <{}>", name.unwrap_or(usual)));
    }
    let mut help = option.help.clone();
    if let Some(default) = &option.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    [call, help]
}
