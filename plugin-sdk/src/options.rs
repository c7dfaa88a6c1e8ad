//! The plugin's options, as the user gave them.

use crate::bindings::pai::plugin::config;
use crate::error::{Error, Result};

/// The last value of an option, or its default.
pub fn get(name: &str) -> Option<String> {
    config::get(name)
}

/// Whether a flag was given.
pub fn flag(name: &str) -> bool {
    config::get(name).is_some_and(|value| value == "true")
}

/// The value of an integer option.
///
/// # Errors
/// When it is no number; the host checks declared options before.
pub fn integer(name: &str) -> Result<Option<i64>> {
    match config::get(name) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::new(format!("--{name}: {text:?} is no whole number"))),
        },
    }
}

/// All values of these options with the names, in the order given.
pub fn of(names: &[&str]) -> Vec<(String, String)> {
    let mut all = config::list();
    all.retain(|(name, _)| names.contains(&name.as_str()));
    all
}

/// All values of an option, in the order given.
pub fn all(name: &str) -> Vec<String> {
    of(&[name]).into_iter().map(|(_, value)| value).collect()
}
