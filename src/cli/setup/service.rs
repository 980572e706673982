//! Has the service take what was written: a reload for a new config, a restart for a new credential.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;

use super::files::Files;
use crate::base::http::shown;
use crate::control::{Client, place};

/// What systemd makes when it runs the system.
const BOOTED: &str = "/run/systemd/system";

/// The state of the service after it took `written`, in words.
///
/// # Errors
/// It did not, and why.
pub(super) async fn take(files: &Files, written: &[PathBuf]) -> Result<String, String> {
    if !Path::new(BOOTED).is_dir() {
        return without_systemd(written).await;
    }
    let credentials = written.iter().any(|path| *path == files.drop_in() || path.starts_with(files.credentials()));
    if credentials {
        run(&["daemon-reload"]).await?;
    }
    let active = systemctl(&["is-active", "--quiet", UNIT]).await?.status.success();
    if !active || credentials {
        run(&["restart", UNIT]).await.map_err(|why| format!("{why}\nits reason: journalctl -u {UNIT} -n 20"))?;
        return Ok(if active { "restarted, for a credential is read at the start" } else { "started" }.into());
    }
    if written.is_empty() {
        return Ok("runs, nothing to do".into());
    }
    reload().await
}

async fn reload() -> Result<String, String> {
    let mut client = Client::connect(Path::new(place::SERVICE_SOCKET)).await.map_err(|error| error.to_string())?;
    match client.reload().await.map_err(|error| error.to_string())? {
        Ok(changed) => Ok(format!("reloaded: {}", shown(&changed))),
        Err(refused) => Err(format!("the service refused the new config:\n{refused}")),
    }
}

/// A container, or an agent that somebody started.
async fn without_systemd(written: &[PathBuf]) -> Result<String, String> {
    if !written.is_empty() && Path::new(place::SERVICE_SOCKET).exists() {
        return reload().await;
    }
    Ok("not touched: systemd does not run here; start the agent with plimsoll run".into())
}

async fn run(arguments: &[&str]) -> Result<(), String> {
    let output = systemctl(arguments).await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("systemctl {}: {}", arguments.join(" "), shown(&said)))
}

async fn systemctl(arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new("systemctl").args(arguments).stdin(std::process::Stdio::null()).output().await;
    output.map_err(|error| format!("systemctl cannot be run: {error}"))
}

const UNIT: &str = "plimsoll.service";
