//! Where a control socket lies: the service's, or one in a state folder.

use std::path::{Path, PathBuf};

/// The socket's name in a state folder.
pub const SOCKET: &str = "control.sock";
/// Where the service's agent listens.
pub const SERVICE_SOCKET: &str = "/run/plimsoll/control.sock";
/// The state of the service, and of an agent that root starts by hand.
const ROOT_STATE: &str = "/var/lib/plimsoll";

/// The socket of the agent that a command most likely means.
pub fn of_running() -> PathBuf {
    found(Path::new(SERVICE_SOCKET), default_state())
}

/// The state folder of an agent that this user starts by hand and names none.
pub fn default_state() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from(ROOT_STATE));
    }
    own_state(|name| std::env::var_os(name).map(PathBuf::from))
}

/// The service's socket where there is one, else that of an agent that this user started, else the service's again.
fn found(service: &Path, own: Option<PathBuf>) -> PathBuf {
    match own.map(|state| state.join(SOCKET)) {
        Some(own) if !service.exists() && own.exists() => own,
        _ => service.to_owned(),
    }
}

/// `$XDG_STATE_HOME/plimsoll`, `~/.local/state/plimsoll` without it.
fn own_state(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let base = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    Some(base.join("plimsoll"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_comes_before_an_agent_of_this_user() {
        let dir = tempfile::tempdir().unwrap();
        let (service, own) = (dir.path().join("service.sock"), dir.path().join("own"));
        assert_eq!(found(&service, Some(own.clone())), service, "neither is there");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join(SOCKET), "").unwrap();
        assert_eq!(found(&service, Some(own.clone())), own.join(SOCKET));
        std::fs::write(&service, "").unwrap();
        assert_eq!(found(&service, Some(own)), service);
    }

    #[test]
    fn the_own_state_folder_follows_xdg() {
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/ann"));
        assert_eq!(own_state(home), Some("/home/ann/.local/state/plimsoll".into()));
        let relative = |name: &str| Some(PathBuf::from(if name == "HOME" { "/home/ann" } else { "relative" }));
        assert_eq!(own_state(relative), Some("/home/ann/.local/state/plimsoll".into()), "XDG ignores relative paths");
    }
}
