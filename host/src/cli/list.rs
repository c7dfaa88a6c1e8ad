//! `pai-host list`

use pai_host::plugin::{self, Plugin};
use serde_json::json;

use super::message::{self, Halt};
use crate::exit::{Code, Exit};

/// Show the bundled plugins
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write JSON Lines: one object for each plugin
    #[arg(long)]
    json: bool,
}

/// Prints the list.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn run(args: &Args) -> Result<Exit, Halt> {
    let mut text = String::new();
    let mut rows = Vec::new();
    for name in plugin::bundled() {
        let plugin = Plugin::load(name)?;
        let manifest = &plugin.manifest;
        if args.json {
            let object = json!({
                "v": 1,
                "name": plugin.name,
                "version": manifest.version,
                "world": plugin.world,
                "description": manifest.description,
                "digest": plugin.digest_hex(),
            });
            text.push_str(&format!("{object}\n"));
        } else {
            rows.push(vec![
                plugin.name.clone(),
                manifest.version.clone(),
                plugin.world.to_string(),
                manifest.description.clone(),
            ]);
        }
    }
    text.push_str(&message::table(&rows, usize::MAX));
    message::stdout(&text)?;
    if text.is_empty() {
        message::warning("this pai-host was built without plugins", None);
    }
    Ok(Exit::Code(Code::SUCCESS))
}
