//! Where the config lies, and its reading.

use std::path::Path;

use super::Config;
use crate::base::yaml::{self, Errors};

/// Where the config lies when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/plimsoll/plimsoll.yaml";

/// Reads and checks the config at `path`. With `None` it is [`DEFAULT_PATH`], or the defaults where that is not there.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn load(path: Option<&Path>) -> Result<Config, Errors> {
    let file = path.unwrap_or(Path::new(DEFAULT_PATH));
    match yaml::read(file)? {
        Some(text) => parse(file, &text),
        None if path.is_none() => Ok(Config::default()),
        None => {
            Err(Errors::whole(file, "no such file", "write it, or leave --config out: every setting has a default"))
        }
    }
}

/// Reads and checks the text of a config; `file` is only its name in errors.
///
/// # Errors
/// All that is wrong with it, each with its place.
pub fn parse(file: &Path, text: &str) -> Result<Config, Errors> {
    yaml::parse(file, text, Config::faults)
}
