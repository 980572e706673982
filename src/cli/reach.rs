//! Which agent a command talks to: `--socket`, `--state`, or the one that is found.

use std::path::{Path, PathBuf};

use crate::control::Client;

/// The socket's name in a state folder.
pub const SOCKET: &str = "control.sock";
/// Where the service's agent listens.
pub const SERVICE_SOCKET: &str = "/run/plimsoll/control.sock";

/// Options of every command that talks to a running agent.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reach {
    /// The state folder of the agent to talk to [default: the service's, else your own]
    #[arg(long, value_name = "DIR", conflicts_with = "socket")]
    pub state: Option<PathBuf>,
    /// The control socket of the agent to talk to
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
}

impl Reach {
    /// The socket of the agent that is meant.
    pub fn socket(&self) -> PathBuf {
        match (&self.socket, &self.state) {
            (Some(socket), _) => socket.clone(),
            (None, Some(state)) => state.join(SOCKET),
            (None, None) => {
                found(Path::new(SERVICE_SOCKET), own_state(|name| std::env::var_os(name).map(PathBuf::from)))
            }
        }
    }

    /// Connects to the agent that is meant.
    ///
    /// # Errors
    /// The client's, which say what to do.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.socket()).await?)
    }
}

/// The service's socket where there is one, else that of an agent of this user, else the service's again.
fn found(service: &Path, own: Option<PathBuf>) -> PathBuf {
    match own.map(|state| state.join(SOCKET)) {
        Some(own) if !service.exists() && own.exists() => own,
        _ => service.to_owned(),
    }
}

/// `$XDG_STATE_HOME/plimsoll`, `~/.local/state/plimsoll` without it.
pub fn own_state(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let base = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let base = base.or_else(|| variable("HOME").map(|home| home.join(".local/state")))?;
    Some(base.join("plimsoll"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_socket_or_state_folder_is_taken() {
        let named = Reach { socket: Some("/a/b.sock".into()), state: None };
        assert_eq!(named.socket(), Path::new("/a/b.sock"));
        let state = Reach { socket: None, state: Some("/var/lib/two".into()) };
        assert_eq!(state.socket(), Path::new("/var/lib/two/control.sock"));
    }

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
