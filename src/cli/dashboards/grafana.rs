//! Grafana's HTTP API, as far as boards need it: a folder, and dashboards by their uid.

use std::path::Path;

use anyhow::{Context, Error, bail};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{BOARDS, compare};
use crate::base::http::ask::{self, Reply};
use crate::base::http::shown;
use crate::base::secret::token;

/// The folder that the boards stand in.
const FOLDER: &str = "plimsoll";

/// Puts the boards into the Grafana at `url` and says of each what became of it.
///
/// # Errors
/// It cannot be reached, or refuses; says which board, and what to do.
pub(super) async fn install(url: &str, token_file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let grafana = Grafana::new(url, token_file)?;
    grafana.make_folder().await?;
    let mut said = Vec::new();
    for (name, text) in BOARDS {
        let board: Value = serde_json::from_str(text).with_context(|| format!("the shipped board {name}"))?;
        let became = grafana.put(&board).await.with_context(|| format!("board {name}"))?;
        said.push(format!("{name}: {became}"));
    }
    Ok(said)
}

/// A Grafana and how to ask it.
struct Grafana {
    base: String,
    token: Option<SecretString>,
}

impl Grafana {
    fn new(url: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!("--grafana {url:?} is no address: it begins with https:// or http://");
        }
        Ok(Self { base, token: token_file.map(token).transpose().map_err(Error::msg).context("--token-file")? })
    }

    /// Sees to it that the folder is there. Of one that is not, Grafana says 404 to an administrator, and to an editor
    /// 403 or 500 in some versions, as it looks up the rights of its parents (grafana#109608): making it tells.
    async fn make_folder(&self) -> anyhow::Result<()> {
        let there = self.get(&format!("/api/folders/{FOLDER}")).await?;
        if !matches!(there.status, 403 | 404 | 500) {
            return self.good(&there, "look for the folder Plimsoll");
        }
        let made = self.post("/api/folders", &json!({ "uid": FOLDER, "title": "Plimsoll" })).await?;
        // It is there, and may not be looked at.
        if matches!(made.status, 409 | 412) {
            return Ok(());
        }
        self.good(&made, "make the folder Plimsoll")
    }

    /// Puts one board; in words, what became of it.
    async fn put(&self, board: &Value) -> anyhow::Result<String> {
        let uid = board["uid"].as_str().unwrap_or_default();
        let there = self.get(&format!("/api/dashboards/uid/{uid}")).await?;
        let became = if there.status == 404 {
            "new".to_owned()
        } else {
            self.good(&there, "read what is there")?;
            let known: Value = serde_json::from_slice(&there.body)
                .with_context(|| format!("{} answers no JSON: is this Grafana?", self.base))?;
            let changes = compare::changes(board, &known["dashboard"]);
            if changes.is_empty() {
                return Ok("unchanged".into());
            }
            format!("updated ({changes})")
        };
        let message = format!("plimsoll {}", env!("CARGO_PKG_VERSION"));
        let wish = json!({ "dashboard": board, "folderUid": FOLDER, "overwrite": true, "message": message });
        self.good(&self.post("/api/dashboards/db", &wish).await?, "save it")?;
        Ok(became)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        let reply = ask::get(&self.base, path, &[], self.token()).await;
        reply.map_err(Error::msg).with_context(|| self.base.clone())
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let reply = ask::post(&self.base, path, body.to_string(), self.token()).await;
        reply.map_err(Error::msg).with_context(|| self.base.clone())
    }

    fn token(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }

    /// An error that says what to do, unless the answer is good.
    fn good(&self, reply: &Reply, what: &str) -> anyhow::Result<()> {
        if reply.success().is_ok() {
            return Ok(());
        }
        let told = serde_json::from_slice::<Value>(&reply.body).ok();
        let told = told.and_then(|answer| answer["message"].as_str().map(shown));
        let told = told.unwrap_or_else(|| shown(&String::from_utf8_lossy(&reply.body)));
        let mend = match reply.status {
            401 => "name a valid token with --token-file",
            403 => "its service account needs the role Editor",
            300..=399 => "name the address that it sends you to",
            404 => "is this the address of Grafana, with its path?",
            400 if told.contains("provisioned") => "it comes from files: take it out there, or leave it to them",
            412 => "a board of this name is there already under another uid: rename or delete it",
            _ => "see the log of Grafana",
        };
        bail!("cannot {what}: {} answers {}: {told}: {mend}", self.base, reply.status)
    }
}
