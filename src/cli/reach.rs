//! Which agent a command talks to: `--socket`, `--state`, or the one that is found.

use std::path::PathBuf;

use crate::control::{Client, place};

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
            (None, Some(state)) => state.join(place::SOCKET),
            (None, None) => place::of_running(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_named_socket_or_state_folder_is_taken() {
        let named = Reach { socket: Some("/a/b.sock".into()), state: None };
        assert_eq!(named.socket(), Path::new("/a/b.sock"));
        let state = Reach { socket: None, state: Some("/var/lib/two".into()) };
        assert_eq!(state.socket(), Path::new("/var/lib/two/control.sock"));
    }
}
