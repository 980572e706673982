//! `plimsoll dashboards`: the boards that are shipped, as files, or put into a Grafana.
//!
//! They stand in the binary, so that a box without the package has them too.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::base::terminal::print;

mod compare;
mod grafana;
#[cfg(test)]
mod tests;

/// The boards, by the names of their files.
pub const BOARDS: [(&str, &str); 9] = [
    ("overview", include_str!("../../dashboards/overview.json")),
    ("plimsoll", include_str!("../../dashboards/plimsoll.json")),
    ("stage-1", include_str!("../../dashboards/stage-1.json")),
    ("stage-2", include_str!("../../dashboards/stage-2.json")),
    ("stage-3", include_str!("../../dashboards/stage-3.json")),
    ("stage-4", include_str!("../../dashboards/stage-4.json")),
    ("stage-5", include_str!("../../dashboards/stage-5.json")),
    ("stage-6", include_str!("../../dashboards/stage-6.json")),
    ("stage-7", include_str!("../../dashboards/stage-7.json")),
];

/// Put the boards into a Grafana, or write them as files
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Put the boards into a folder of a Grafana, and say what changed
    ///
    /// A board that is there already under the same uid is replaced. The token is one of a service account with the role
    /// Editor; without --token-file nothing is sent, for a Grafana that asks for none.
    Install {
        /// Where Grafana answers, such as https://grafana.example
        #[arg(long, value_name = "URL")]
        grafana: String,
        /// A file that holds the token, and nothing else
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Write the boards as files, for Grafana's provisioning
    Export {
        /// The folder; it is made where it is not there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// A file cannot be written, or Grafana does not take a board; names it, and what to do.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Install { grafana, token_file } => {
            for line in grafana::install(grafana, token_file.as_deref()).await? {
                print(&format!("{line}\n"))?;
            }
        }
        Action::Export { dir } => print(&export(dir)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the boards into `dir` and says of each what became of it.
fn export(dir: &Path) -> anyhow::Result<String> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    let mut said = String::new();
    for (name, text) in BOARDS {
        let path = dir.join(format!("{name}.json"));
        let became = match fs::read(&path) {
            Ok(there) if there == text.as_bytes() => "unchanged",
            Ok(_) => "replaced",
            Err(_) => "written",
        };
        if became != "unchanged" {
            // In one step: a Grafana that looks at the folder must not read half a board.
            let new = dir.join(format!(".{name}.json.new"));
            fs::File::create(&new)
                .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
                .and_then(|()| fs::rename(&new, &path))
                .with_context(|| format!("cannot write {}: name a folder that you may write to", path.display()))?;
        }
        said.push_str(&format!("{} {became}\n", path.display()));
    }
    Ok(said)
}
