//! Where the agent's state and socket lie, and what the host is called.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::control::place;

/// The state folder, made when it is missing (mode 0750): as named, else `/var/lib/plimsoll` for root and the
/// service, else `$XDG_STATE_HOME/plimsoll`.
pub(super) fn folder(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let folder = match named {
        Some(named) => std::path::absolute(named).with_context(|| format!("state folder {}", named.display()))?,
        None => default_folder().context("no state folder: name one with --state, HOME is not set")?,
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(&folder).with_context(|| {
        format!("cannot make the state folder {}: name another with --state or `state:`", folder.display())
    })?;
    Ok(folder)
}

fn default_folder() -> Option<PathBuf> {
    // systemd's StateDirectory=; several are joined by colons.
    if let Some(folders) = std::env::var_os("STATE_DIRECTORY") {
        return std::env::split_paths(&folders).next();
    }
    place::default_state()
}

/// The control socket: systemd's runtime folder for the service, else beside the state.
pub(super) fn socket(state: &Path) -> PathBuf {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    let folder = runtime.and_then(|folders| std::env::split_paths(&folders).next());
    folder.unwrap_or_else(|| state.to_owned()).join(place::SOCKET)
}

/// The host's name up to its first dot would lose `db.eu` and `db.us` into one: it is kept whole.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().trim().to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_folder_is_made_and_a_file_in_its_place_is_named_in_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        assert_eq!(folder(Some(&state)).unwrap(), state);
        assert!(state.is_dir());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = format!("{:#}", folder(Some(&file)).unwrap_err());
        assert!(error.contains("file") && error.contains("--state"), "{error}");
    }
}
